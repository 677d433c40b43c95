"""``only_after_sync``: what Rutter has not synced since it was last read is not read again."""

from __future__ import annotations

import copy
import json
import threading
from collections import Counter
from typing import Any

import pytest
from support.in_process import Run, sync
from support.singer import Json
from support.threads import HANG

from tap_rutter.errors import ConfigError
from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.simulator.request import Request
from tap_rutter.sync.state import check_shape

pytestmark = pytest.mark.any_workers

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
VENDORS, VENDORS_PATH = "accounting_vendors", "/accounting/vendors"
SHEETS, SHEETS_PATH = "accounting_balance_sheets", "/accounting/balance_sheets"
BALANCE, BALANCE_PATH = "commerce_balance", "/balance"
ORDERS, ORDERS_PATH = "commerce_orders", "/orders"
STATUSES = "connection_statuses"
STREAMS = (BILLS, VENDORS, SHEETS, STATUSES)
HOUR, DAY = 3600, 24 * 3600
GONE = json.dumps({"error_type": "INVALID_REQUEST", "error_code": "ENDPOINT_NOT_SUPPORTED"})


def read(simulator: Simulator, *streams: str, **more: Any) -> Run:
    simulator.requests.clear()
    return sync(simulator, *(streams or STREAMS), **{"only_after_sync": True, **more})


def ledgers(
    number: int = 1, platform: str = "NETSUITE", *, with_bills: bool = True
) -> tuple[World, list[Connection]]:
    """Connections with two bills and a vendor, whose changes show with syncs only."""
    world = World(5, history_days=200)
    world.immediate = False
    counts = {BILLS_PATH: 2 if with_bills else 0, VENDORS_PATH: 1, ORDERS_PATH: 2}
    made = [world.add_connection(platform, counts=counts) for _ in range(number)]
    # The first sync of each comes within the hour, so that no run below meets it by chance.
    world.advance(2 * HOUR)
    for connection in made:
        world.sync(connection.id)
    world.advance(60)
    return world, sorted(made, key=lambda connection: connection.id)


def asked(simulator: Simulator, connection: Connection | None = None) -> Counter[str]:
    """Paths that were asked for, in the run before."""
    identity = connection.id if connection else None
    return Counter(
        entry.path for entry in simulator.requests if identity in {None, entry.connection_id}
    )


def last_reads(state: Json) -> list[Json]:
    """What the state holds of the last reads of each connection, the latest at the end."""
    partitions = state["bookmarks"].get("connections", {}).get("partitions", [])
    return [list(entry["last_reads"].values())[-1] for entry in partitions if "last_reads" in entry]


def told(run: Run, stream: str, connection: Connection) -> tuple[str, str | None]:
    for row in run.reports:
        if row["connection_id"] == connection.id and (
            row["stream"] == stream or stream in (row["skipped"] or ())
        ):
            return row["status"], row["reason"]
    raise AssertionError(f"no word of {stream}")


IDLE = ("skipped", "not_synced_since")
READ = ("complete", None)


# ---- what it saves


@pytest.mark.own_workers
@pytest.mark.parametrize("workers", [1, 8, 32])
def test_an_idle_connection_costs_one_request(workers: int) -> None:
    world, connections = ledgers(9)
    streams = (*STREAMS, "accounting_sales_orders", "deleted_objects", ORDERS)
    with Simulator(world) as simulator:
        first = read(simulator, *streams, concurrency=workers)
        second = read(simulator, *streams, concurrency=workers, state=first.state)
        assert asked(simulator) == {"/connections": 1, "/connections/status": 9}
        third = read(simulator, *streams, concurrency=workers, state=second.state)
        assert asked(simulator) == {"/connections": 1, "/connections/status": 9}
    assert (first.code, second.code, third.code) == (0, 0, 0)
    assert first.state == second.state == third.state
    assert len(second.reports) == 9
    for connection in connections:
        row = second.report("*", connection.id)
        assert (row["status"], row["reason"]) == IDLE
        assert set(row["skipped"]) == set(streams)
        assert row["source_synced_at"] is not None
        assert row["requests"] == 0
    assert "Not synced by Rutter since they were last read: 9 connections." in second.log


def test_without_the_setting_nothing_is_left_out_and_nothing_remembered() -> None:
    world, _ = ledgers()
    with Simulator(world) as simulator:
        first = read(simulator, only_after_sync=False)
        second = read(simulator, state=first.state, only_after_sync=False)
        assert asked(simulator)[BILLS_PATH] == 1
    assert last_reads(second.state) == []


# ---- what it must not cost


def test_what_a_sync_brings_is_read_once_it_has_ended() -> None:
    world, (first, second) = ledgers(2)
    with Simulator(world) as simulator:
        state = read(simulator).state
        key = world.create(first.id, BILLS_PATH)
        idle = read(simulator, state=state)
        assert idle.records[BILLS] == []
        world.advance(60)
        world.sync(first.id)
        after = read(simulator, state=idle.state)
        assert key in after.ids(BILLS, first.id)
        assert told(after, BILLS, second) == IDLE
        assert BILLS_PATH not in asked(simulator, second)
        read(simulator, state=after.state)
        assert asked(simulator, first) == {"/connections/status": 1}


def test_what_shows_while_a_sync_runs_is_read_when_that_has_ended() -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        state = read(simulator).state
        keys = {world.create(connection.id, BILLS_PATH) for _ in range(40)}
        connection.sync_duration = 20 * 60_000
        connection.next_sync_at = world.clock.now + connection.sync_duration + 1
        landed: set[str] = set()
        shown = []
        for _ in range(30):
            world.advance(60)
            shown.append(len(keys & set(world.keys(connection.id, BILLS_PATH))))
            run = read(simulator, state=state)
            assert run.code == 0
            landed |= run.ids(BILLS, connection.id)
            state = run.state
    assert len(set(shown)) > 10  # they came one after another
    assert shown[-1] == 40
    assert keys <= landed


def test_a_read_that_a_sync_overtakes_does_not_count() -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        keys: list[str] = []

        def meddle(request: Any) -> None:
            # Between the status and the last list, a sync brings a bill that was read before.
            if request.path == SHEETS_PATH and not keys:
                keys.append(world.create(connection.id, VENDORS_PATH))
                world.advance(5)
                world.sync(connection.id)

        simulator.before_request = meddle
        first = read(simulator, VENDORS, SHEETS, concurrency=1)
        simulator.before_request = None
        second = read(simulator, VENDORS, SHEETS, state=first.state)
        third = read(simulator, VENDORS, SHEETS, state=second.state)
    assert keys[0] in second.ids(VENDORS, connection.id)
    assert told(third, VENDORS, connection) == IDLE


@pytest.mark.parametrize("platform", ["QUICKBOOKS", "XERO"])
def test_platforms_with_updates_in_real_time_are_always_read(platform: str) -> None:
    world, (connection,) = ledgers(platform=platform)
    with Simulator(world) as simulator:
        state = read(simulator).state
        world.immediate = True
        key = world.create(connection.id, BILLS_PATH)
        after = read(simulator, state=state)
    assert key in after.ids(BILLS, connection.id)
    assert last_reads(state) == []


def test_a_connection_without_sync_times_is_always_read() -> None:
    world, (connection,) = ledgers()
    connection.last_sync_completed_at = None
    connection.last_sync_started_at = None
    with Simulator(world) as simulator:
        state = read(simulator).state
        again = read(simulator, state=state)
    assert told(again, BILLS, connection) == READ
    assert last_reads(again.state) == []


def test_history_that_grows_without_a_sync_is_read_even_after_a_kill() -> None:
    world, (connection,) = ledgers(platform="AMAZON")
    with Simulator(world) as simulator:
        state = read(simulator, ORDERS).state
        assert told(read(simulator, ORDERS, state=state), ORDERS, connection) == IDLE
        made = world.add_history_batch(connection.id, {ORDERS_PATH: 3})[ORDERS_PATH]
        grown = read(simulator, ORDERS, state=state)
        assert set(made) <= grown.ids(ORDERS, connection.id)
        assert told(read(simulator, ORDERS, state=grown.state), ORDERS, connection) == IDLE
        # Of a run that was killed, the target has the first STATE.
        killed = grown.states[0]
        again = read(simulator, ORDERS, state=killed)
    assert set(made) <= again.ids(ORDERS, connection.id)


@pytest.mark.parametrize(
    "change",
    [
        {"start_date": "2020-01-01"},
        {"expand_platform_data": True},
        {"attachment_urls": True},
        {"statement_months": 24},
        {"payout_days": 90},
    ],
)
def test_another_setting_asks_for_what_was_not_asked_for(change: Json) -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        state = read(simulator, start_date="2025-06-01").state
        more = {"start_date": "2025-06-01", **change}
        changed = read(simulator, state=state, **more)
        assert told(changed, BILLS, connection) == READ
        again = read(simulator, state=changed.state, **more)
        assert told(again, BILLS, connection) == IDLE


def test_each_choice_of_streams_is_remembered_for_itself() -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        few = read(simulator, BILLS)
        many = read(simulator, BILLS, VENDORS, state=few.state)
        assert len(many.ids(VENDORS, connection.id)) == 1
        for streams in ((BILLS,), (BILLS, VENDORS)):
            run = read(simulator, *streams, state=many.state)
            assert told(run, BILLS, connection) == IDLE
        state = many.state
        for count, stream in enumerate(("accounting_items", "accounting_classes", SHEETS), 3):
            state = read(simulator, stream, state=state).state
            (entry,) = state["bookmarks"]["connections"]["partitions"]
            assert len(entry["last_reads"]) == min(count, 3)


def test_a_stream_that_failed_is_read_again_and_no_other() -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        fault = simulator.faults.add("respond", path=BILLS_PATH, status=400, body=GONE, times=None)
        failed = read(simulator)
        assert failed.code == 1
        fault.times = 0
        run = read(simulator, state=failed.state)
        assert run.code == 0
        assert set(asked(simulator, connection)) == {
            "/connections/status",
            "/connections/access_token",
            BILLS_PATH,
        }
        assert len(run.ids(BILLS, connection.id)) == 2
        assert told(run, VENDORS, connection) == IDLE
        read(simulator, state=run.state)
        assert asked(simulator, connection) == {"/connections/status": 1}


def test_what_a_job_left_out_is_read_again() -> None:
    world, (connection,) = ledgers()
    world.switches.set("async_response", True)
    world.switches.set("job_result", "partial_success")
    with Simulator(world) as simulator:
        first = read(simulator)
        partial = first.report(SHEETS, connection.id)["error_code"]
        again = read(simulator, state=first.state)
    assert partial == "PARTIAL_SUCCESS"
    assert told(again, SHEETS, connection) == READ
    assert told(again, BILLS, connection) == IDLE


def test_a_product_that_is_activated_is_read_without_a_sync() -> None:
    world, (connection, _, third) = ledgers(3)
    world.switches.set("activated", False, path=BILLS_PATH)
    with Simulator(world) as simulator:
        first = read(simulator)
        assert told(first, BILLS, third) == ("skipped", "not_activated")
        world.switches.set("activated", True, path=BILLS_PATH)
        after = read(simulator, state=first.state)
    for each in (connection, third):
        assert len(after.ids(BILLS, each.id)) == 2
        assert told(after, VENDORS, each) == IDLE


@pytest.mark.own_workers
def test_a_connection_that_is_left_out_does_not_speak_for_its_platform() -> None:
    """That its list was empty once does not mean that all others are asked for theirs."""
    world, connections = ledgers(8, with_bills=False)
    first, second, third, *_ = (connection.id for connection in connections)
    with Simulator(world) as simulator:
        state = read(simulator, BILLS, connection_ids=[first]).state
        simulator.faults.add("respond", path=BILLS_PATH, status=404, body=GONE, times=None)
        run = read(simulator, BILLS, state=state, concurrency=8)
        bills = {entry.connection_id for entry in simulator.requests.to(BILLS_PATH)}
    assert told(run, BILLS, connections[0]) == IDLE
    assert bills == {second, third}


@pytest.mark.own_workers
def test_whether_there_was_a_sync_is_asked_of_many_at_once() -> None:
    world, _ = ledgers(4)
    together = threading.Barrier(4)

    def hold(request: Request) -> None:
        if request.path == "/connections/status":
            together.wait(HANG)

    with Simulator(world) as simulator:
        state = read(simulator, BILLS).state
        simulator.before_request = hold
        run = read(simulator, BILLS, state=state, concurrency=4)
    assert run.code == 0
    assert {row["reason"] for row in run.reports} == {"not_synced_since"}


def test_statements_are_read_when_a_month_begins_and_balances_at_every_run() -> None:
    world, (connection,) = ledgers(platform="SHOPIFY")
    ledger = world.add_connection("NETSUITE", counts={BILLS_PATH: 1})
    world.pause(connection.id)
    world.pause(ledger.id)
    with Simulator(world) as simulator:
        state = read(simulator, BALANCE, SHEETS, BILLS, ORDERS).state
        for _ in range(2):
            world.advance(40 * DAY)
            run = read(simulator, BALANCE, SHEETS, BILLS, ORDERS, state=state)
            assert set(asked(simulator, connection)) >= {"/connections/status", BALANCE_PATH}
            assert ORDERS_PATH not in asked(simulator)
            assert len(run.records[BALANCE]) == 1
            assert told(run, SHEETS, ledger) == READ
            assert told(run, BILLS, ledger) == IDLE
            again = read(simulator, BALANCE, SHEETS, BILLS, ORDERS, state=run.state)
            assert told(again, SHEETS, ledger) == IDLE
            assert len(again.records[BALANCE]) == 1
            state = again.state


def test_a_full_table_read_is_a_full_table_read() -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        state = read(simulator).state
        run = read(simulator, state=state, full_table=[BILLS])
    assert len(run.ids(BILLS, connection.id)) == 2
    assert told(run, VENDORS, connection) == IDLE


@pytest.mark.parametrize("status", ["disabled", "needs_reauth", "not_ready"])
def test_a_connection_that_is_lost_is_told_of_as_ever(status: str) -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        state = read(simulator).state
        connection.status = status
        run = read(simulator, state=state)
        assert run.report("*", connection.id)["reason"] == status
        (row,) = run.records[STATUSES]
        assert row["connection_id"] == connection.id
        for forced in (True, False):
            read(simulator, state=run.state, force_fetch=forced)
        connection.status = "active"
        assert told(read(simulator, state=run.state), BILLS, connection) == IDLE


# ---- states


def test_a_state_without_its_bookmarks_is_not_believed() -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        state = read(simulator).state
        del state["bookmarks"][BILLS]
        run = read(simulator, state=state)
    assert len(run.ids(BILLS, connection.id)) == 2


@pytest.mark.parametrize(("name", "value"), [("at", "2099-01-01"), ("synced", "2025-01-01")])
def test_a_time_that_cannot_be_is_not_believed(name: str, value: str) -> None:
    world, (connection,) = ledgers()
    with Simulator(world) as simulator:
        state = copy.deepcopy(read(simulator).state)
        for entry in last_reads(state):
            entry[name] = value
        run = read(simulator, state=state)
        assert told(run, BILLS, connection) == READ
        assert told(read(simulator, state=run.state), BILLS, connection) == IDLE


@pytest.mark.parametrize(
    ("reads", "where"),
    [
        ([], "last_reads must be an object"),
        ({"a": 5}, "last_reads.a must be an object"),
        ({"a": {}}, "last_reads.a.synced must be a time"),
        ({"a": {"synced": "2026-01-01"}}, "last_reads.a.at must be a time"),
        (
            {"a": {"synced": "2026-01-01", "at": "2026-01-01", "bookmarks": "x"}},
            "last_reads.a.bookmarks must be an integer",
        ),
        (
            {"a": {"synced": "2026-01-01", "at": "2026-01-01", "bookmarks": 1, "missed": [5]}},
            "last_reads.a.missed must be an array of strings",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(reads: Any, where: str) -> None:
    partition = {"context": {"connection_id": "a"}, "last_reads": reads}
    with pytest.raises(ConfigError, match=where):
        check_shape({"bookmarks": {"connections": {"partitions": [partition]}}})


@pytest.mark.own_workers
def test_what_leaves_does_not_depend_on_the_number_of_workers() -> None:
    found = []
    for workers in (1, 8, 32):
        world, connections = ledgers(12)
        with Simulator(world) as simulator:
            simulator.faults.add(
                "respond",
                path=VENDORS_PATH,
                connection_id=connections[3].id,
                status=400,
                body=GONE,
                times=2,
            )
            state = read(simulator, concurrency=workers).state
            for connection in connections[::3]:
                world.create(connection.id, BILLS_PATH)
                world.sync(connection.id)
            run = read(simulator, concurrency=workers, state=state)
            requests = Counter((entry.path, entry.connection_id) for entry in simulator.requests)
        rows = [(r["connection_id"], r["stream"], r["reason"], r["skipped"]) for r in run.reports]
        records = [line["record"] for line in run.lines if line["type"] == "RECORD"]
        ids = [(record.get("connection_id"), record.get("id")) for record in records]
        found.append((rows, ids, requests))
    assert found[0] == found[1] == found[2]
