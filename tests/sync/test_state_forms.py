"""The state as others see it: its form, what stays in it, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from support.in_process import sync
from support.meltano import Project

from tap_rutter.connections.selection import shard_of
from tap_rutter.errors import ConfigError
from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.any_workers

Json = dict[str, Any]

DAY = 86_400

STREAMS = [
    "accounting_bills",
    "accounting_expenses",
    "accounting_invoices",
    "ads_campaign_dailies",
    "ads_campaigns",
    "commerce_customers",
    "commerce_orders",
    "commerce_payouts",
    "deleted_objects",
]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
KEYS = {
    "commerce_customers": "updated_at",
    "commerce_orders": "updated_at",
    "commerce_payouts": "created_at",
}
# What a partition may hold beside its context and its bookmark.
MORE = {
    "accounting_expenses": {"passes"},
    "ads_campaign_dailies": {"parents"},
    "commerce_customers": {"null_times", "whole_read_at"},
    "commerce_payouts": {"known_to"},
}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Two ledgers, two shops, and advertising; one list of the second ledger is empty."""
    world = World(9, history_days=20)
    lists = ("/accounting/invoices", "/accounting/expenses", "/accounting/bills")
    world.add_connection("QUICKBOOKS", counts=dict.fromkeys(lists, 12))
    world.add_connection("XERO", counts=dict.fromkeys(lists[:2], 12))
    shop = dict.fromkeys(("/orders", "/customers", "/payouts"), 12)
    world.add_connection("SHOPIFY", counts=shop)
    world.add_connection("SHOPIFY", counts=shop)
    counts = {"/ads/campaigns": 3, "/ads/campaigns/dailies": 9}
    world.add_connection("FACEBOOK", counts=counts)
    with Simulator(world, gzip=False) as running:
        yield running


def change_everything(world: World) -> None:
    """A day goes by, and every list has a row that changed."""
    world.advance(DAY)
    for connection in world.connections.values():
        for path in connection.counts:
            world.update(connection.id, path, world.keys(connection.id, path)[0])


def partitions(state: Json) -> dict[tuple[str, str], Json]:
    """All partitions by stream and connection."""
    return {
        (stream, partition["context"]["connection_id"]): partition
        for stream, entry in state["bookmarks"].items()
        for partition in entry["partitions"]
    }


# ---- the form


def test_the_state_has_the_form_of_the_sdk_and_known_keys_alone(simulator: Simulator) -> None:
    state = sync(simulator, *STREAMS, page_size=5).state
    assert list(state) == ["bookmarks"]
    assert set(state["bookmarks"]) == {"connections", *STREAMS}
    for stream, entry in state["bookmarks"].items():
        assert list(entry) == ["partitions"], stream
        for partition in entry["partitions"]:
            assert list(partition["context"]) == ["connection_id"], stream
            held = set(partition) - {"context"}
            if stream == "connections":
                assert {"history"} <= held <= {"history", "unserved"}
                continue
            wanted = {"replication_key", "replication_key_value"}
            assert wanted <= held <= wanted | MORE.get(stream, set()), stream
            assert partition["replication_key"] == KEYS.get(stream, "last_synced_at")
            assert TIME.fullmatch(partition["replication_key_value"]), stream


def test_expenses_hold_a_bookmark_per_pass_and_the_older_as_their_own(
    simulator: Simulator,
) -> None:
    state = sync(simulator, *STREAMS).state
    for (stream, connection_id), partition in partitions(state).items():
        if stream != "accounting_expenses":
            continue
        rows = simulator.world.rows(connection_id, "/accounting/expenses")
        newest = {
            kind: max(row["last_synced_at"] for row in rows if row["expense_type"] == kind)
            for kind in ("expense", "refund")
        }
        assert partition["passes"] == newest
        assert partition["replication_key_value"] == min(newest.values())


def test_pairs_without_rows_have_no_entry_until_they_deliver(simulator: Simulator) -> None:
    world = simulator.world
    xero = next(c for c in world.connections.values() if c.platform == "XERO")
    state = sync(simulator, *STREAMS).state
    with_rows = {
        (stream, connection.id)
        for connection in world.connections.values()
        for stream, path in _PATHS.items()
        if world.rows(connection.id, path)
    }
    assert {pair for pair in partitions(state) if pair[0] != "connections"} == with_rows
    assert ("accounting_bills", xero.id) not in with_rows
    world.advance(DAY)
    world.create(xero.id, "/accounting/bills", late=200 * DAY)
    output = sync(simulator, *STREAMS, state=state)
    assert len(output.records["accounting_bills"]) >= 1
    assert ("accounting_bills", xero.id) in partitions(output.state)


_PATHS = {
    "accounting_bills": "/accounting/bills",
    "accounting_expenses": "/accounting/expenses",
    "accounting_invoices": "/accounting/invoices",
    "ads_campaign_dailies": "/ads/campaigns/dailies",
    "ads_campaigns": "/ads/campaigns",
    "commerce_customers": "/customers",
    "commerce_orders": "/orders",
    "commerce_payouts": "/payouts",
    "deleted_objects": "/events",
}


def test_an_expense_without_a_refund_yet_has_no_bookmark_for_both() -> None:
    world = World(2, history_days=10)
    connection = world.add_connection("QUICKBOOKS")
    world.create(connection.id, "/accounting/expenses", expense_type="expense")
    with Simulator(world, gzip=False) as simulator:
        state = sync(simulator, "accounting_expenses").state
        partition = partitions(state)["accounting_expenses", connection.id]
        assert list(partition["passes"]) == ["expense"]
        assert "replication_key_value" not in partition
        # A refund that was stamped long ago becomes visible: its pass is read from the start.
        world.advance(DAY)
        old = "2026-01-05T00:00:00.000Z"
        key = world.create(
            connection.id, "/accounting/expenses", expense_type="refund", last_synced_at=old
        )
        output = sync(simulator, "accounting_expenses", state=state)
        assert key in {row["id"] for row in output.records["accounting_expenses"]}
        partition = partitions(output.state)["accounting_expenses", connection.id]
        assert partition["replication_key_value"] == old


def test_nothing_secret_is_in_the_state(simulator: Simulator) -> None:
    text = json.dumps(sync(simulator, *STREAMS, expand_platform_data=True).state)
    for connection in simulator.world.connections.values():
        assert connection.access_token not in text
        assert connection.link_url not in text
    assert simulator.client_secret not in text


def test_a_state_every_ten_seconds_and_at_the_end(simulator: Simulator) -> None:
    # Every look at the clock is a second later.
    seconds = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    with mock.patch("tap_rutter.sync.delivery.time", clock):
        output = sync(simulator, *STREAMS, page_size=2)
    places = [place for place, _ in output.placed_states]
    assert len(places) > 3
    assert places[-1] == len(output.lines) - 1
    looks = next(seconds)
    assert len(places) <= 1 + looks / 10
    assert len(sync(simulator, *STREAMS, page_size=2).states) == 1


# ---- runs that read a part


def part_of(simulator: Simulator, name: str) -> tuple[set[str], Json, list[str]]:
    """Which connections a filtered run reads, with which settings, and which streams."""
    ids = sorted(simulator.world.connections)
    if name == "connection_ids":
        return {ids[1], ids[3]}, {"connection_ids": [ids[1], ids[3]]}, STREAMS
    if name == "platforms":
        chosen = {c.id for c in simulator.world.connections.values() if c.platform == "SHOPIFY"}
        return chosen, {"platforms": ["shopify"]}, STREAMS
    if name == "shard":
        chosen = {entry for entry in ids if shard_of(entry, 2) == 1}
        assert 0 < len(chosen) < len(ids)
        return chosen, {"shard": "1/2"}, STREAMS
    return set(ids), {}, ["accounting_expenses", "commerce_orders"]


@pytest.mark.parametrize("name", ["connection_ids", "platforms", "shard", "streams"])
def test_runs_that_read_a_part_keep_the_rest_of_the_state(simulator: Simulator, name: str) -> None:
    before = sync(simulator, *STREAMS).state
    change_everything(simulator.world)
    chosen, settings, streams = part_of(simulator, name)
    output = sync(simulator, *streams, state=before, **settings)
    old, new = partitions(before), partitions(output.state)
    assert old.keys() == new.keys()
    for (stream, connection_id), partition in old.items():
        is_read = connection_id in chosen and stream in streams
        if not is_read and stream != "connections":
            assert new[stream, connection_id] == partition
    # All that was left out is made up for by a run of everything.
    simulator.world.advance(DAY)
    rest = sync(simulator, *STREAMS, state=output.state)
    for connection in simulator.world.connections.values():
        for path in connection.counts:
            stream = next(name for name, at in _PATHS.items() if at == path)
            changed = simulator.world.keys(connection.id, path)[0]
            delivered = [*output.records[stream], *rest.records[stream]]
            ids = {row["id"] for row in delivered if row["connection_id"] == connection.id}
            assert changed in ids or path == "/customers", (connection.platform, path)


def test_a_connection_that_is_gone_keeps_its_entries(simulator: Simulator) -> None:
    before = sync(simulator, *STREAMS).state
    gone = next(iter(simulator.world.connections))
    del simulator.world.connections[gone]
    change_everything(simulator.world)
    after = partitions(sync(simulator, *STREAMS, state=before).state)
    kept = {pair: entry for pair, entry in partitions(before).items() if pair[1] == gone}
    assert kept
    assert {pair: entry for pair, entry in after.items() if pair[1] == gone} == kept


@pytest.mark.parametrize("status", ["disabled", "needs_reauth", "not_ready"])
def test_a_connection_that_refuses_keeps_its_entries(simulator: Simulator, status: str) -> None:
    before = sync(simulator, *STREAMS).state
    change_everything(simulator.world)
    for connection in simulator.world.connections.values():
        connection.status = status
    assert sync(simulator, *STREAMS, state=before).state == before


def test_what_others_keep_in_the_state_stays(simulator: Simulator) -> None:
    before = sync(simulator, *STREAMS).state
    before["bookmarks"]["commerce_carts"] = {"partitions": [{"context": {"connection_id": "x"}}]}
    before["bookmarks"]["commerce_orders"]["partitions"].append({"context": {"shop": "y"}})
    change_everything(simulator.world)
    after = sync(simulator, *STREAMS, state=before).state
    assert after["bookmarks"]["commerce_carts"] == before["bookmarks"]["commerce_carts"]
    assert {"context": {"shop": "y"}} in after["bookmarks"]["commerce_orders"]["partitions"]


# ---- states that come from elsewhere


def test_a_run_that_changes_nothing_ends_with_the_state_it_was_given(
    simulator: Simulator,
) -> None:
    def now() -> int:
        return simulator.world.clock.now

    state = sync(simulator, *STREAMS, now=now).state
    assert sync(simulator, *STREAMS, state=state, now=now).state == state
    assert sync(simulator, *STREAMS, state=json.loads(json.dumps(state)), now=now).state == state


@pytest.mark.longer
def test_meltano_keeps_the_state_as_it_is(simulator: Simulator, tmp_path: Path) -> None:
    state = sync(simulator, *STREAMS).state
    project = Project.make(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps({"singer_state": state}), encoding="utf-8")
    name = "dev:tap-rutter-to-target-postgres"
    put = project.run("state", "set", "--force", "--input-file", "state.json", name)
    assert put.code == 0, put.stderr
    got = project.run("state", "get", name)
    assert got.code == 0, got.stderr
    kept = json.loads(got.stdout)["singer_state"]
    assert kept == state
    change_everything(simulator.world)
    from_kept, from_own = (
        sync(simulator, *STREAMS, state=kept),
        sync(simulator, *STREAMS, state=state),
    )
    for stream in STREAMS:
        assert from_kept.records[stream] == from_own.records[stream]


@pytest.mark.longer
def test_a_corrupt_state_is_refused_with_its_path_or_can_be_worked_with(
    simulator: Simulator,
) -> None:
    streams = ["accounting_expenses", "ads_campaign_dailies", "commerce_customers"]
    only: dict[str, Any] = {
        "connection_ids": [c.id for c in simulator.world.connections.values()][::2]
    }
    state = sync(simulator, *streams, **only).state
    refused = 0
    for seed in range(80):
        given = corrupted(copy.deepcopy(state), Random(seed))
        try:
            output = sync(simulator, *streams, state=given, **only)
        except ConfigError as error:
            refused += 1
            found = re.search(r"cannot be read: (the state|bookmarks\S*) ", error.message)
            assert found, f"{seed}: {error.message}"
        else:
            assert output.code == 0, f"{seed}: {output.failures}"
            # Whatever it was, what comes of it is a state that the tap reads again.
            assert sync(simulator, *streams, state=output.state, **only).code == 0, seed
    assert 25 < refused < 80


def corrupted(state: Any, rng: Random) -> Any:
    """The state with a value somewhere in it that is something else."""
    junk = [None, 7, -1.5, True, "", "x", [], {}, [None], {"a": None}, "2026-13-45", "0001-01-01"]
    parent: Any = None
    name: Any = None
    here = state
    while isinstance(here, dict | list) and here and rng.random() < 0.9:
        parent = here
        name = rng.choice(list(here) if isinstance(here, dict) else range(len(here)))
        here = here[name]
    if parent is None:
        return rng.choice([{}, {"bookmarks": rng.choice(junk)}, {"x": 1}])
    parent[name] = rng.choice(junk)
    return state
