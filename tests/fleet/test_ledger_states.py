"""A state is cut by connection and joined again, and nothing of it is lost or mixed up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.ledger import CONFIG, LedgerWorld, state_of

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.ledger import LedgerError
from tap_rutter.fleet.ledger.states import cut, join, merged, of_platform, without_connection
from tap_rutter.fleet.model import Lane
from tap_rutter.sync.state import check_shape

_NAMES = some.sampled_from(["a", "b", "c", "d"])
_VALUES = some.dictionaries(_NAMES, some.integers(0, 9), max_size=2)
_CONTEXTS = some.fixed_dictionaries({"connection_id": _NAMES}) | some.fixed_dictionaries(
    {"platform": _NAMES}
)


_TOLD = some.dictionaries(
    some.tuples(_NAMES, some.sampled_from(["v1", "v2"]), _NAMES),
    some.sampled_from(["t1", "t2"]),
    max_size=4,
)
"""Of a platform, an API version and a list: when it was answered 404."""


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
        if stream == "connections":
            for partition in entry.get("partitions", []):
                told = [
                    {"platform": platform, "api_version": version, "at": at, "streams": [name]}
                    for (platform, version, name), at in draw(_TOLD).items()
                ]
                if told and "connection_id" in partition["context"]:
                    partition["unserved"] = told
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
                if key != "partitions":
                    pieces.add(json.dumps([stream, key, piece], sort_keys=True))
                    continue
                for told in piece.get("unserved", ()):
                    for name in told["streams"]:
                        one = {**told, "streams": name, "of": piece["context"]}
                        pieces.add(json.dumps([stream, one], sort_keys=True))
                rest = {name: value for name, value in piece.items() if name != "unserved"}
                if "unserved" not in piece or len(rest) > 1:
                    pieces.add(json.dumps([stream, "partitions", rest], sort_keys=True))
    return pieces


@given(_states())
def test_what_is_cut_is_joined_again(state: dict[str, Any]) -> None:
    before = json.dumps(state)
    own, shared = cut(state)
    joined = join(own.values(), shared)
    assert _flat(joined) == _flat(state)
    assert json.dumps(state) == before
    for entry in joined.get("bookmarks", {}).values():
        contexts = [json.dumps(p["context"]) for p in entry.get("partitions", [])]
        assert len(contexts) == len(set(contexts)), "one partition became two"
    for connection_id, part in own.items():
        check_shape(part)
        for entry in part["bookmarks"].values():
            assert entry.keys() == {"partitions"}
            assert {p["context"]["connection_id"] for p in entry["partitions"]} == {connection_id}
            assert all("unserved" not in p for p in entry["partitions"])


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


LEARNT = "2026-03-02T10:00:00.000Z"


def _asked(connection_id: str, platform: str, *streams: str) -> dict[str, Any]:
    entry = {"platform": platform, "api_version": "v", "at": LEARNT, "streams": list(streams)}
    return {"context": {"connection_id": connection_id}, "unserved": [entry]}


def test_what_two_connections_were_answered_speaks_to_runs_of_others() -> None:
    """Two 404s rule a list out for a platform: the others of it are not asked again."""
    history = {"context": {"connection_id": "a"}, "history": {"completed": True}}
    state = {
        "bookmarks": {
            "connections": {
                "partitions": [
                    {**_asked("a", "XERO", "x", "y"), **history},
                    _asked("b", "XERO", "x"),
                    _asked("c", "OTHER", "x"),
                ]
            }
        }
    }
    own, shared = cut(state)
    assert own == {"a": {"bookmarks": {"connections": {"partitions": [history]}}}}
    of_xero = of_platform(shared, "XERO")
    assert join([state_of("d", "1")], of_xero)["bookmarks"]["connections"]["partitions"] == [
        _asked("a", "XERO", "x", "y"),
        _asked("b", "XERO", "x"),
    ]
    again = join([own["a"]], of_xero)["bookmarks"]["connections"]["partitions"]
    assert again == [{**history, **_asked("a", "XERO", "x", "y")}, _asked("b", "XERO", "x")]
    # Two runs, of which one is given a page of x, and the other one of y.
    without_x = {"bookmarks": {"connections": {"partitions": [_asked("a", "XERO", "y")]}}}
    without_y = {
        "bookmarks": {
            "connections": {"partitions": [_asked("a", "XERO", "x"), _asked("b", "XERO", "x")]}
        }
    }
    assert merged(of_xero, without_x, without_y) == {}
    assert without_connection(of_xero, "a") == {
        "bookmarks": {"connections": {"partitions": [_asked("b", "XERO", "x")]}}
    }


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


def test_what_is_not_a_state_is_refused_with_its_place(ledger_world: LedgerWorld) -> None:
    with pytest.raises(ConfigError, match="Meltano's wrapping"):
        ledger_world.ledger.import_state({"singer_state": {}})


def test_what_a_removed_connection_told_goes_with_it(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a", "b")
    told = {"connections": {"partitions": [_asked("a", "QUICKBOOKS", "x")]}}
    ledger_world.ledger.import_state({"bookmarks": told})
    assert ledger_world.claim(Lane.BULK).shared_state == {"bookmarks": told}
    ledger_world.ledger.remove("b")
    assert ledger_world.ledger.export_state() == {"bookmarks": told}
    ledger_world.ledger.remove("a")
    assert ledger_world.ledger.export_state() == {}


def test_a_run_gets_what_was_learnt_of_its_own_platform(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a")
    own, other = _asked("a", "QUICKBOOKS", "x"), _asked("c", "XERO", "y")
    told = {"bookmarks": {"connections": {"partitions": [own, other]}}}
    ledger_world.ledger.import_state(told)
    assert ledger_world.claim(Lane.BULK).shared_state == {
        "bookmarks": {"connections": {"partitions": [own]}}
    }


def test_what_a_run_learns_is_added_to_what_was_imported(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a", "b")
    given, learnt = _asked("c", "QUICKBOOKS", "x"), _asked("a", "QUICKBOOKS", "y")

    def shared(*told: dict[str, Any]) -> dict[str, Any]:
        return {"bookmarks": {"connections": {"partitions": list(told)}}}

    ledger_world.ledger.import_state(shared(given, _asked("d", "XERO", "z")))
    claim = ledger_world.claim(Lane.BULK)
    found = shared(given, learnt)
    ledger_world.ledger.save_states(claim.id, {}, {"QUICKBOOKS": found})
    assert ledger_world.claim(Lane.BULK).shared_state == found


def test_a_state_is_not_imported_under_a_run(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a")
    ledger_world.claim(Lane.BULK, config=CONFIG)
    with pytest.raises(LedgerError, match="1 of the connections are running, such as a"):
        ledger_world.ledger.import_state(state_of("a", "2026-01-01"))
    assert ledger_world.ledger.export_state() == {}
