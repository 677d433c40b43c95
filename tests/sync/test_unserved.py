"""What a platform does not serve: noticed once, remembered for the run, and never a loss."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.in_process import Run, sync
from support.singer import Json
from support.threads import HANG

from tap_rutter.replication.base import Partition
from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.simulator.request import Request
from tap_rutter.sync.outcomes import _Served as Support

pytestmark = pytest.mark.any_workers

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
ITEMS, ITEMS_PATH = "accounting_items", "/accounting/items"
VENDORS, VENDORS_PATH = "accounting_vendors", "/accounting/vendors"
COUNTS = {BILLS_PATH: 3, ITEMS_PATH: 1, VENDORS_PATH: 2}

BODIES = {
    "json": json.dumps({"error_type": "INVALID_REQUEST", "error_code": "ENDPOINT_NOT_SUPPORTED"}),
    "html": "<pre>Cannot GET /accounting/bills</pre>",
    "marked": "<pre>Cannot GET /accounting/bills</pre>",
    "empty": "",
}
MARK = {"X-Rutter-Request-ID": "7"}
"""Only Rutter's own answers bear it, whatever their body: that of a 404 is not documented."""
MARKED = {"marked", "empty"}


def read(simulator: Simulator, *streams: str, **more: Any) -> Run:
    names = streams or (BILLS, ITEMS, VENDORS)
    return sync(simulator, *names, **{"concurrency": 1, "page_size": 5, **more})


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Two ledgers."""
    world = World(6, history_days=30)
    for _ in range(2):
        world.add_connection("QUICKBOOKS", counts=COUNTS)
    with Simulator(world) as running:
        yield running


# ---- lists that answer with 404


def said_in(state: Json) -> list[Json]:
    """What a state remembers of platforms."""
    partitions = state.get("bookmarks", {}).get("connections", {}).get("partitions", [])
    return [said for entry in partitions for said in entry.get("unserved", ())]


def refusing_world(number: int) -> World:
    """Connections of one platform, none of which has bills; and one of another that has."""
    world = World(8, history_days=30)
    for _ in range(number):
        world.add_connection("QUICKBOOKS", counts={VENDORS_PATH: 1})
    world.add_connection("XERO", counts={BILLS_PATH: 2, VENDORS_PATH: 1})
    return world


def ledgers(world: World) -> list[str]:
    """The connections of the platform that is in question, in the order of reading."""
    return sorted(c.id for c in world.connections.values() if c.platform == "QUICKBOOKS")


def refuse_bills(simulator: Simulator, identities: list[str], form: str = "json") -> None:
    for identity in identities:
        simulator.faults.add(
            "respond",
            path=BILLS_PATH,
            connection_id=identity,
            status=404,
            body=BODIES[form],
            headers=MARK if form in MARKED else {},
            times=None,
        )


@pytest.mark.own_workers
@pytest.mark.parametrize("workers", [1, 8])
def test_a_platform_that_answered_two_with_404_is_asked_no_more(
    monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    world = refusing_world(30)
    refused = ledgers(world)
    judged = threading.Event()
    rules_out = Support.rules_out

    def judge(support: Support, pair: Partition) -> bool:
        found = rules_out(support, pair)
        if pair.endpoint.name == BILLS and pair.connection.id == refused[-1]:
            judged.set()
        return found

    monkeypatch.setattr(Support, "rules_out", judge)
    asked: list[str] = []

    def hold(request: Request) -> None:
        """From the third on, the answers come when all that follow have been judged."""
        if request.path == BILLS_PATH and request.connection_id in refused:
            asked.append(request.connection_id or "")
            if asked[-1] not in refused[:2]:
                assert judged.wait(HANG)

    with Simulator(world) as simulator:
        simulator.before_request = hold
        refuse_bills(simulator, refused)
        run = read(simulator, BILLS, VENDORS, concurrency=workers)
    assert run.code == 0
    assert sorted(asked) == refused[:2]
    for identity in refused:
        row = run.report("*", identity)
        assert (row["reason"], row["skipped"]) == ("unsupported", [BILLS])
        assert row["requests"] == asked.count(identity)
    assert "30 lists that their platforms do not have" in run.log


@pytest.mark.parametrize("form", BODIES)
def test_what_leaves_does_not_depend_on_the_number_of_workers(form: str) -> None:
    found = []
    for workers in (1, 8):
        with Simulator(refusing_world(12)) as simulator:
            refuse_bills(simulator, ledgers(simulator.world), form)
            run = read(simulator, BILLS, VENDORS, concurrency=workers)
            asked = {e.connection_id for e in simulator.requests.to(BILLS_PATH)}
            # A gateway's page says nothing of what a platform serves.
            assert run.code == (form == "html")
            assert len(asked) == 13 if form == "html" else len(asked) >= 3
        lines = [line for line in run.lines if line.get("stream") != "sync_report"]
        reports = {
            (row["connection_id"], row["stream"]): (row["status"], row["reason"], row["skipped"])
            for row in run.reports
        }
        for line in lines:
            line.pop("time_extracted", None)
            for entry in said_in(line.get("value", {})):
                entry.pop("at")  # by each run's own clock
        found.append((lines, reports))
    assert found[0] == found[1]
    ended = [row[:2] for row in found[0][1].values() if row[0] != "complete"]
    skipped, failed = ("skipped", "unsupported"), ("failed", "retries_exhausted")
    assert ended == [failed if form == "html" else skipped] * 12


def test_a_platform_that_serves_one_connection_is_always_asked() -> None:
    world = refusing_world(6)
    with Simulator(world) as simulator:
        refuse_bills(simulator, ledgers(world)[1:])
        run = read(simulator, BILLS)
        assert run.code == 0
        assert len(simulator.requests.to(BILLS_PATH)) == 7


@pytest.mark.parametrize("form", BODIES)
def test_a_404_where_there_was_a_bookmark_is_a_failure(simulator: Simulator, form: str) -> None:
    before = read(simulator)
    refuse_bills(simulator, ledgers(simulator.world), form)
    run = read(simulator, state=before.state)
    assert run.code == 1
    for connection in simulator.world.connections.values():
        row = run.report(BILLS, connection.id)
        reason = "retries_exhausted" if form == "html" else "unsupported"
        assert (row["status"], row["reason"]) == ("failed", reason)
        assert run.report(VENDORS, connection.id)["status"] == "complete"
    assert run.state == before.state


def test_a_404_of_a_window_is_a_failure_where_the_list_has_shown_rows() -> None:
    world = World(8, history_days=60)
    shop = world.add_connection("SHOPIFY", counts={"/orders": 30})
    with Simulator(world) as simulator:
        # The probe is answered, and of the windows not one: none of the list's rows has left.
        simulator.faults.add(
            "respond",
            path="/orders",
            params={"updated_at_max": "*"},
            status=404,
            body=BODIES["json"],
            times=None,
        )
        run = read(simulator, "commerce_orders", concurrency=8)
    assert run.code == 1
    row = run.report("commerce_orders", shop.id)
    assert (row["status"], row["reason"], row["rows"]) == ("failed", "unsupported", 0)


# ---- objects that Rutter says are not there


def test_an_unavailable_object_is_not_asked_for(simulator: Simulator, ill: Connection) -> None:
    ill.unavailable_objects = ["bill", "vendor"]
    run = read(simulator)
    assert run.code == 0
    assert not simulator.requests.to(BILLS_PATH, ill.id)
    assert not simulator.requests.to(VENDORS_PATH, ill.id)
    row = run.report("*", ill.id)
    assert (row["status"], row["reason"]) == ("skipped", "unavailable")
    assert row["skipped"] == [BILLS, VENDORS]
    assert run.report(ITEMS, ill.id)["status"] == "complete"


@pytest.mark.parametrize("named", [None, [], ["a thing that nobody knows"], ["Bill", "bills"]])
def test_what_is_not_known_skips_nothing(
    simulator: Simulator, ill: Connection, named: list[str] | None
) -> None:
    ill.unavailable_objects = named
    read(simulator)
    assert simulator.requests.to(BILLS_PATH, ill.id)
    assert simulator.requests.to(VENDORS_PATH, ill.id)


def test_an_unavailable_object_that_had_rows_is_asked_for(
    simulator: Simulator, ill: Connection
) -> None:
    before = read(simulator)
    ill.unavailable_objects = ["bill"]
    key = simulator.world.create(ill.id, BILLS_PATH)
    run = read(simulator, state=before.state)
    assert key in run.ids(BILLS, ill.id)
