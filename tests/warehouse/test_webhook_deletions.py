"""Deletions that webhooks told of, applied: by the last state that they show, and by what was read.

The table is the one that the fleet makes, with the columns that the fleet fills.
"""

from __future__ import annotations

import pytest
from support.warehouse_schema import BILLS, A, B, Warehouse, day

ORDERS, CUSTOMERS = "commerce_orders", "commerce_customers"


def order(
    warehouse: Warehouse,
    id_: str = "1",
    *,
    updated: str | None = day(1),
    read: str = day(1),
    connection: str = A,
    stream: str = ORDERS,
) -> None:
    """A commerce row: it bears the platform's time alone."""
    facts = {"connection_id": connection, "id": id_, "total_amount": 12.5, "updated_at": updated}
    warehouse.load(stream, facts, at=read)


def told(
    warehouse: Warehouse,
    id_: str = "1",
    *,
    at: str = day(3),
    state: str | None = day(1),
    stream: str = ORDERS,
    connection: str = A,
) -> None:
    """A webhook came at a time, and showed a state of a time."""
    facts = {"connection_id": connection, "object_id": id_, "deleted_at": at, "state_at": state}
    key = f"{connection} {id_} {at} {state}"
    warehouse.load(
        "webhook_deletions",
        {"body_sha256": key, "stream": stream, **facts},
        key=("body_sha256", "stream"),
        metadata=False,
    )


@pytest.fixture
def orders(warehouse: Warehouse) -> Warehouse:
    """Orders 1 and 2 of two shops, and the deletion of the first shop's order 1."""
    for connection in (A, B):
        order(warehouse, "1", connection=connection)
        order(warehouse, "2", connection=connection)
    told(warehouse)
    return warehouse


def test_a_commerce_row_is_marked_by_its_webhook(orders: Warehouse) -> None:
    with orders.untouched(B):
        counted = orders.run("apply-deletions")
    assert counted == {ORDERS: {"marked": 1, "removed": 0, "restored": 0, "note": None}}
    assert orders.marks(ORDERS) == {"1": (day(3), "webhook")}
    with orders.untouched():
        assert orders.run("apply-deletions")[ORDERS]["marked"] == 0


def test_a_commerce_row_is_removed_on_request(orders: Warehouse) -> None:
    with orders.untouched(B):
        counted = orders.run("apply-deletions", mode="remove")
    assert counted[ORDERS]["removed"] == 1
    assert orders.ids(ORDERS) == ["2"]
    assert "deleted_at" not in orders.query(f"select * from {ORDERS} limit 1")[0]


@pytest.mark.parametrize("mode", ["mark", "remove"])
@pytest.mark.parametrize(
    ("updated", "read", "state", "deleted"),
    [
        (day(1), day(1), day(1), True),
        # It is newer than the state that was deleted: created anew, although before the webhook.
        (day(2), day(1), day(1), False),
        # The same old state, shown again after the webhook: restored.
        (day(1), day(3, "00:05:01"), day(1), False),
        # Read when the webhook came: that answer may have been on its way.
        (day(1), day(3, "00:04:59"), day(1), True),
        # Rows without a time, as some customers are: what was read decides.
        (None, day(1), day(1), True),
        (None, day(4), day(1), False),
        # A webhook whose object bears no time: by when it came.
        (day(2), day(1), None, True),
        (day(4), day(1), None, False),
    ],
)
def test_only_what_has_not_come_back_is_deleted(
    warehouse: Warehouse,
    mode: str,
    updated: str | None,
    read: str,
    state: str | None,
    deleted: bool,
) -> None:
    order(warehouse, updated=updated, read=read)
    order(warehouse, updated=updated, read=read, connection=B)
    told(warehouse, state=state)
    with warehouse.untouched(B):
        counted = warehouse.run("apply-deletions", mode=mode)
    assert counted[ORDERS]["marked"] + counted[ORDERS]["removed"] == int(deleted)
    with warehouse.untouched():
        warehouse.run("apply-deletions", mode=mode)


@pytest.mark.parametrize("mode", ["mark", "remove"])
@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize(
    ("updated", "read"),
    [(day(4), day(4)), (day(1), day(4)), (day(4), day(1))],
    ids=["created anew", "restored as it was", "read by a clock that is behind"],
)
def test_a_row_that_comes_back_loses_its_mark(
    orders: Warehouse, mode: str, pruned: bool, updated: str, read: str
) -> None:
    orders.run("apply-deletions")
    order(orders, updated=updated, read=read)
    assert orders.marks(ORDERS), "the target leaves the mark, so that the script has to lift it"
    if pruned:
        orders.query("delete from webhook_deletions")
    with orders.untouched(B):
        counted = orders.run("apply-deletions", mode=mode)
    assert counted[ORDERS] == {"marked": 0, "removed": 0, "restored": 1, "note": None}
    assert orders.marks(ORDERS) == {}
    assert orders.ids(ORDERS) == ["1", "2"]


def test_a_row_created_anew_before_the_webhook_came_loses_its_mark(orders: Warehouse) -> None:
    orders.run("apply-deletions")
    # Loaded after the mark was set, from an answer of before: only its own time tells.
    order(orders, updated=day(2), read=day(2))
    assert orders.run("apply-deletions")[ORDERS]["restored"] == 1
    assert orders.marks(ORDERS) == {}


def test_a_row_that_came_back_can_be_deleted_again(orders: Warehouse) -> None:
    orders.run("apply-deletions")
    order(orders, updated=day(4), read=day(4))
    orders.run("apply-deletions")
    told(orders, at=day(5), state=day(4))
    orders.run("apply-deletions")
    assert orders.marks(ORDERS) == {"1": (day(5), "webhook")}


def test_the_newest_of_several_counts(orders: Warehouse) -> None:
    told(orders, at=day(5), state=day(4))
    order(orders, updated=day(4), read=day(4))
    orders.run("apply-deletions")
    assert orders.marks(ORDERS) == {"1": (day(5), "webhook")}


def test_webhooks_of_one_connection_only(orders: Warehouse) -> None:
    told(orders, connection=B)
    with orders.untouched(A):
        assert orders.run("apply-deletions", connection_id=B)[ORDERS]["marked"] == 1
    order(orders, updated=day(4), read=day(4), connection=B)
    with orders.untouched(B):
        orders.run("apply-deletions", connection_id=A)


def test_a_stream_that_is_not_loaded_is_no_matter(orders: Warehouse) -> None:
    # A webhook about a customer names both families; a connection has one of them.
    for stream in (CUSTOMERS, "accounting_customers"):
        told(orders, "c", stream=stream)
    order(orders, "c", stream=CUSTOMERS)
    counted = orders.run("apply-deletions")
    assert counted.keys() == {ORDERS, CUSTOMERS}
    assert counted[CUSTOMERS]["marked"] == 1


# ---- beside events


def test_a_row_of_accounting_is_judged_by_rutters_clock(warehouse: Warehouse) -> None:
    warehouse.bills("1", synced=day(1))
    warehouse.bills("2", synced=day(2))
    for id_ in ("1", "2"):
        told(warehouse, id_, stream=BILLS)
    assert warehouse.run("apply-deletions")[BILLS]["marked"] == 1
    assert warehouse.marks() == {"1": (day(3), "webhook")}


def test_an_event_takes_over_the_mark_of_a_webhook(warehouse: Warehouse) -> None:
    warehouse.bills("1")
    told(warehouse, stream=BILLS)
    warehouse.run("apply-deletions")
    warehouse.deletion("1", day(2))
    warehouse.run("apply-deletions")
    assert warehouse.marks() == {"1": (day(2), "event")}
    with warehouse.untouched():
        warehouse.run("apply-deletions")


def test_an_event_and_a_webhook_at_once_are_the_events(warehouse: Warehouse) -> None:
    warehouse.bills("1")
    told(warehouse, stream=BILLS)
    warehouse.deletion("1", day(2))
    assert warehouse.run("apply-deletions")[BILLS]["marked"] == 1
    assert warehouse.marks() == {"1": (day(2), "event")}


def test_reconcile_leaves_the_mark_of_a_webhook_and_a_webhook_takes_over_its(
    orders: Warehouse,
) -> None:
    orders.run("apply-deletions")
    for number in (4, 5):
        orders.full_read(day(number), ORDERS, rows=0)
    orders.run("reconcile")
    assert orders.marks(ORDERS) == {"1": (day(3), "webhook"), "2": (day(4), "reconcile")}
    told(orders, "2", at=day(6))
    orders.run("apply-deletions")
    assert orders.marks(ORDERS)["2"] == (day(6), "webhook")
    with orders.untouched():
        orders.run("reconcile")


def test_a_removed_connection_leaves_no_webhooks(orders: Warehouse) -> None:
    told(orders, connection=B)
    counted = orders.run("remove-connection", connection_id=A)
    assert counted["webhook_deletions"]["removed"] == 1
    assert [row["connection_id"] for row in orders.query("select * from webhook_deletions")] == [B]


def test_they_are_found_by_an_index(orders: Warehouse) -> None:
    assert orders.run("indexes")["webhook_deletions"] == {
        "created": "stream, connection_id, object_id"
    }
