"""Products that are not activated for the organisation: reported once, and not a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.documents import BILL_ATTACHMENTS
from support.in_process import Run, sync

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
ITEMS, ITEMS_PATH = "accounting_items", "/accounting/items"
STATEMENTS, STATEMENTS_PATH = "accounting_balance_sheets", "/accounting/balance_sheets"
ORDERS, ORDERS_PATH = "commerce_orders", "/orders"
NOT_ALLOWED = json.dumps(
    {
        "error_type": "CONNECTION_ERROR",
        "error_code": "PRODUCT_NOT_ALLOWED",
        "error_message": "You do not have access to use this endpoint",
    }
)


def organisation(connections: int, *platforms: str) -> World:
    """Ledgers with two bills and an item each."""
    world = World(7, history_days=30)
    names = platforms or ("QUICKBOOKS", "XERO", "NETSUITE")
    for number in range(connections):
        counts = {BILLS_PATH: 2, ITEMS_PATH: 1}
        world.add_connection(names[number % len(names)], counts=counts)
    return world


def in_order(world: World) -> list[Connection]:
    return sorted(world.connections.values(), key=lambda connection: connection.id)


def read(simulator: Simulator, *streams: str, **more: Any) -> Run:
    return sync(simulator, *(streams or (BILLS, ITEMS)), **more)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 410, 429, 451, 500, 503])
def test_any_status_may_have_the_code(status: int) -> None:
    world = organisation(3)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=BILLS_PATH, status=status, body=NOT_ALLOWED, times=None
        )
        run = read(simulator)
    assert run.code == 0
    assert run.waits == ()
    for connection in world.connections.values():
        row = run.report(BILLS, connection.id)
        assert (row["status"], row["reason"]) == ("skipped", "not_activated")
        assert run.report(ITEMS, connection.id)["status"] == "complete"
        assert len(run.ids(ITEMS, connection.id)) == 1


@pytest.mark.own_workers
@pytest.mark.parametrize("workers", [1, 8, 32])
@pytest.mark.parametrize(
    ("stream", "path"), [(BILLS, BILLS_PATH), ("accounting_company_info", None)]
)
def test_a_large_organisation_is_asked_a_few_times_and_told_once(
    workers: int, stream: str, path: str | None
) -> None:
    world = organisation(120)
    path = path or "/accounting/company_info"
    world.switches.set("activated", False, path=path)
    with Simulator(world) as simulator:
        run = read(simulator, stream, ITEMS, concurrency=workers)
        asked = len(simulator.requests.to(path))
    assert run.code == 0
    assert asked == 2
    rows = [row for row in run.reports if row["stream"] == stream]
    assert {(row["status"], row["reason"]) for row in rows} == {("skipped", "not_activated")}
    assert len(rows) == 120
    assert len(run.records[ITEMS]) == 120
    (said,) = [line for line in run.log.splitlines() if "PRODUCT_NOT_ALLOWED" in line]
    assert stream in said
    assert "list failed" not in run.log
    assert "lists failed" not in run.log


def test_what_leaves_does_not_depend_on_the_number_of_workers() -> None:
    found = []
    for workers in (1, 8, 32):
        world = organisation(20)
        for path in (BILLS_PATH, STATEMENTS_PATH):
            world.switches.set("activated", False, path=path)
        with Simulator(world) as simulator:
            streams = (BILLS, STATEMENTS, ITEMS, BILL_ATTACHMENTS)
            optional = [BILL_ATTACHMENTS]
            run = read(simulator, *streams, concurrency=workers, optional_streams=optional)
        assert run.code == 0
        lines = [line for line in run.lines if line.get("stream") != "sync_report"]
        for line in lines:
            line.pop("time_extracted", None)
        reports = {
            (row["connection_id"], row["stream"]): (row["status"], row["reason"])
            for row in run.reports
        }
        found.append(([line for line in lines if line["type"] != "STATE"], reports))
    assert found[0] == found[1] == found[2]
    # The attachments' parents are bills: nothing can be asked for them either.
    closed = [pair for pair, told in found[0][1].items() if told == ("skipped", "not_activated")]
    assert len(closed) == 3 * 20


@pytest.mark.parametrize("served", [0, 1])
def test_a_product_that_one_connection_is_served_is_asked_of_all(served: int) -> None:
    world = organisation(8)
    connections = in_order(world)
    for connection in connections:
        if connection is not connections[served]:
            world.switches.set("activated", False, path=BILLS_PATH, connection_id=connection.id)
    # The last of them, too, is served, as its first answers shows if it is asked.
    world.switches.set("activated", True, path=BILLS_PATH, connection_id=connections[-1].id)
    with Simulator(world) as simulator:
        run = read(simulator)
        assert len(simulator.requests.to(BILLS_PATH)) == 8
    assert run.code == 0
    assert len(run.ids(BILLS, connections[-1].id)) == 2


def test_one_refusal_alone_rules_out_nothing() -> None:
    world = organisation(8)
    first, *others = in_order(world)
    world.switches.set("activated", False, path=BILLS_PATH, connection_id=first.id)
    with Simulator(world) as simulator:
        run = read(simulator)
    assert run.code == 0
    assert all(len(run.ids(BILLS, connection.id)) == 2 for connection in others)


def test_a_product_that_is_no_longer_activated_keeps_its_bookmarks() -> None:
    world = organisation(4)
    with Simulator(world) as simulator:
        before = read(simulator)
        world.switches.set("activated", False, path=BILLS_PATH)
        connection = in_order(world)[-1]
        new = world.create(connection.id, BILLS_PATH)
        without = read(simulator, state=before.state)
        assert without.code == 0
        assert without.report(BILLS, connection.id)["reason"] == "not_activated"
        assert not without.report(BILLS, connection.id)["full_read"]
        world.switches.set("activated", True, path=BILLS_PATH)
        again = read(simulator, state=without.state)
    assert new in again.ids(BILLS, connection.id)
    first = before.state["bookmarks"][BILLS]["partitions"]
    assert without.state["bookmarks"][BILLS]["partitions"] == first


@pytest.mark.parametrize("workers", [1, 8])
def test_a_refusal_after_rows_is_a_failure(workers: int) -> None:
    world = World(7, history_days=30)
    shop = world.add_connection("QUICKBOOKS", counts={BILLS_PATH: 9})
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path=BILLS_PATH,
            params={"cursor": "*"},
            status=403,
            body=NOT_ALLOWED,
            times=None,
        )
        run = read(simulator, BILLS, page_size=2, concurrency=workers)
    assert run.code == 1
    assert run.report(BILLS, shop.id)["status"] == "failed"


def test_a_listing_that_is_not_allowed_is_not_refused_credentials() -> None:
    with Simulator(organisation(1)) as simulator:
        simulator.faults.add(
            "respond", path="/connections", status=401, body=NOT_ALLOWED, times=None
        )
        run = read(simulator)
    assert run.code == 1
    assert "PRODUCT_NOT_ALLOWED" in run.log
    assert "client_secret" not in run.log


def test_figures_and_statements_that_are_not_activated_are_skipped() -> None:
    world = organisation(6)
    for path in (STATEMENTS_PATH, "/accounting/bills/custom_fields", ORDERS_PATH):
        world.switches.set("activated", False, path=path)
    for kind in ("expenses", "invoices", "invoice_payments", "journal_entries"):
        world.switches.set("activated", False, path=f"/accounting/{kind}/custom_fields")
    with Simulator(world) as simulator:
        run = read(simulator, STATEMENTS, "accounting_custom_fields", ORDERS)
    assert run.code == 0
    assert {(row["status"], row["reason"]) for row in run.reports} == {("skipped", "not_activated")}
    (said,) = [line for line in run.log.splitlines() if "PRODUCT_NOT_ALLOWED" in line]
    assert all(name in said for name in (STATEMENTS, "accounting_custom_fields", ORDERS))
