"""A state is cut by connection and joined again, and nothing of it is lost or mixed up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.ledger import CONFIG, LedgerWorld, state_of

from tap_rutter.fleet.ledger import LedgerError
from tap_rutter.fleet.ledger.states import cut, join, merged, of_platform
from tap_rutter.fleet.model import Lane
from tap_rutter.sync.state import check_shape

_NAMES = some.sampled_from(["a", "b", "c", "d"])
_VALUES = some.dictionaries(_NAMES, some.integers(0, 9), max_size=2)
_CONTEXTS = some.fixed_dictionaries({"connection_id": _NAMES}) | some.fixed_dictionaries(
    {"platform": _NAMES}
)


@some.composite
def _states(draw: Any) -> dict[str, Any]:
    bookmarks: dict[str, Any] = {}
    for stream in draw(
        some.lists(some.sampled_from(["orders", "bills", "connections"]), unique=True)
    ):
        contexts = draw(some.lists(_CONTEXTS, unique_by=lambda c: json.dumps(c), max_size=6))
        entry: dict[str, Any] = draw(_VALUES)
        if contexts:
            entry["partitions"] = [{"context": c, **draw(_VALUES)} for c in contexts]
        if entry:
            bookmarks[stream] = entry
    return {**draw(_VALUES), **({"bookmarks": bookmarks} if bookmarks else {})}


def _flat(state: dict[str, Any]) -> set[str]:
    """Every piece of a state, with its place."""
    pieces = {
        json.dumps([key, value], sort_keys=True)
        for key, value in state.items()
        if key != "bookmarks"
    }
    for stream, entry in state.get("bookmarks", {}).items():
        for key, value in entry.items():
            for piece in value if key == "partitions" else [value]:
                pieces.add(json.dumps([stream, key, piece], sort_keys=True))
    return pieces


@given(_states())
def test_what_is_cut_is_joined_again(state: dict[str, Any]) -> None:
    before = json.dumps(state)
    own, shared = cut(state)
    assert _flat(join(own.values(), shared)) == _flat(state)
    assert json.dumps(state) == before
    for connection_id, part in own.items():
        check_shape(part)
        for entry in part["bookmarks"].values():
            assert entry.keys() == {"partitions"}
            assert {p["context"]["connection_id"] for p in entry["partitions"]} == {connection_id}
    for entry in shared.get("bookmarks", {}).values():
        assert all("connection_id" not in p["context"] for p in entry.get("partitions", []))


@given(_states(), _states(), _states())
def test_two_runs_that_learn_different_things_both_count(
    before: dict[str, Any], after: dict[str, Any], now: dict[str, Any]
) -> None:
    base, new, kept = (cut(state)[1] for state in (before, after, now))
    assert _flat(merged(base, new, base)) == _flat(new)
    assert _flat(merged(base, base, kept)) == _flat(kept)
    result = _flat(merged(base, new, kept))
    assert _flat(new) - _flat(base) <= result
    assert result <= _flat(new) | _flat(kept)


def test_a_platform_takes_its_own_part_and_what_names_none() -> None:
    def entry(platform: str) -> dict[str, Any]:
        return {"context": {"platform": platform}, "absent": 1}

    shared = {"x": 1, "bookmarks": {"orders": {"y": 2, "partitions": [entry("A"), entry("B")]}}}
    assert of_platform(shared, "A") == {
        "x": 1,
        "bookmarks": {"orders": {"y": 2, "partitions": [entry("A")]}},
    }


def test_a_state_goes_in_and_comes_out_again(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    ledger_world.list("a", "b")
    whole = join(
        [state_of("a", "2026-01-01"), state_of("b", "2026-01-02"), state_of("new", "2026-01-03")],
        {"bookmarks": {"commerce_orders": {"absent": {"QUICKBOOKS": 5}}}},
    )
    assert ledger.import_state(whole) == 3
    assert _flat(ledger.export_state()) == _flat(whole)
    ledger_world.list("new")
    # What has a state is not read for the first time.
    assert ledger_world.row("new", "read_once, bulk") == {"read_once": True, "bulk": False}
    claim = ledger_world.claim(Lane.SWEEP)
    states = {member.connection_id: member.state for member in claim.members}
    assert states == {
        "a": state_of("a", "2026-01-01"),
        "b": state_of("b", "2026-01-02"),
        "new": state_of("new", "2026-01-03"),
    }
    assert claim.shared_state == cut(whole)[1]


def test_a_state_is_not_imported_under_a_run(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a")
    ledger_world.claim(Lane.BULK, config=CONFIG)
    with pytest.raises(LedgerError, match="1 of the connections are running, such as a"):
        ledger_world.ledger.import_state(state_of("a", "2026-01-01"))
    assert ledger_world.ledger.export_state() == {}
