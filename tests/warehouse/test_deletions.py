"""Deletions that Rutter reported, applied: mark, remove, and rows that come back."""

from __future__ import annotations

import pytest
from support.warehouse_schema import BILLS, A, B, Warehouse, day


def test_a_deleted_row_is_kept_with_its_values_and_marked(bills: Warehouse) -> None:
    bills.deletion("2", day(2))
    with bills.untouched(B):
        counted = bills.run("apply-deletions")
    assert counted == {BILLS: {"marked": 1, "removed": 0, "restored": 0, "note": None}}
    assert bills.marks() == {"2": (day(2), "event")}
    amounts = bills.query(f"select total_amount from {BILLS} where deleted_at is not null")
    assert [float(row["total_amount"]) for row in amounts] == [12.5]


def test_a_deleted_row_is_removed_on_request(bills: Warehouse) -> None:
    bills.deletion("2", day(2))
    with bills.untouched(B):
        counted = bills.run("apply-deletions", mode="remove")
    assert counted[BILLS]["removed"] == 1
    assert bills.ids() == ["1", "3"]


@pytest.mark.parametrize(
    ("synced", "deleted"),
    [
        (day(2, "11:59:59.999"), True),
        (day(2, "12:00:00"), True),
        (day(2, "12:00:00.001"), False),
    ],
)
@pytest.mark.parametrize("mode", ["mark", "remove"])
def test_only_rows_not_synced_after_their_newest_deletion_are_deleted(
    warehouse: Warehouse, mode: str, synced: str, deleted: bool
) -> None:
    warehouse.bills("1", synced=synced)
    warehouse.bills("1", synced=synced, connection=B)
    warehouse.deletion("1", day(1))
    warehouse.deletion("1", day(2, "12:00:00"))
    with warehouse.untouched(B):
        counted = warehouse.run("apply-deletions", mode=mode)
    assert counted[BILLS]["marked"] + counted[BILLS]["removed"] == int(deleted)
    with warehouse.untouched():
        warehouse.run("apply-deletions", mode=mode)


@pytest.mark.parametrize("mode", ["mark", "remove"])
@pytest.mark.parametrize("pruned", [False, True])
def test_a_row_synced_again_after_its_deletion_loses_its_mark(
    bills: Warehouse, mode: str, pruned: bool
) -> None:
    bills.deletion("2", day(2))
    bills.run("apply-deletions")
    bills.bills("2", synced=day(3), at=day(3))
    assert bills.marks(), "the target leaves the mark, so that the script has to lift it"
    if pruned:
        bills.query("delete from deleted_objects")
    with bills.untouched(B):
        counted = bills.run("apply-deletions", mode=mode)
    assert counted[BILLS] == {"marked": 0, "removed": 0, "restored": 1, "note": None}
    assert bills.marks() == {}
    assert bills.ids() == ["1", "2", "3"]


def test_a_row_that_came_back_can_be_deleted_again(bills: Warehouse) -> None:
    bills.deletion("2", day(2))
    bills.run("apply-deletions")
    bills.bills("2", synced=day(3), at=day(3))
    bills.deletion("2", day(4))
    bills.run("apply-deletions")
    assert bills.marks() == {"2": (day(4), "event")}


def test_events_that_cannot_be_applied_are_named_and_harm_nothing(bills: Warehouse) -> None:
    bills.deletion(None, day(2))
    bills.deletion("2", day(2), stream=None)
    bills.deletion("2", day(2), stream="accounting_vendors")
    bills.deletion("2", day(2), stream="sync_report")
    bills.full_read(day(2))
    with bills.untouched():
        counted = bills.run("apply-deletions", mode="remove")
    assert {stream: row["note"] for stream, row in counted.items()} == {
        "accounting_vendors": "no such table",
        "sync_report": "not keyed (connection_id, id)",
        None: "2 events name no stream or no object",
    }


def test_without_deletions_nothing_happens(bills: Warehouse) -> None:
    with bills.untouched():
        assert bills.run("apply-deletions") == {}


def test_deletions_of_one_connection_only(bills: Warehouse) -> None:
    bills.deletion("2", day(2))
    bills.deletion("3", day(2), connection_id=B)
    with bills.untouched(A):
        assert bills.run("apply-deletions", connection_id=B)[BILLS]["marked"] == 1
    with bills.untouched(B):
        assert bills.run("apply-deletions", connection_id=A)[BILLS]["marked"] == 1


def test_an_event_takes_over_the_mark_and_reconcile_leaves_it(bills: Warehouse) -> None:
    bills.bills("1", at=day(3))
    bills.full_read(day(2))
    bills.full_read(day(3))
    bills.run("reconcile")
    bills.deletion("2", day(4))
    with bills.untouched(B):
        bills.run("apply-deletions")
    expected = {"2": (day(4), "event"), "3": (day(2), "reconcile")}
    assert bills.marks() == expected
    # Delivered again, but not synced again: by the event the row is still deleted.
    bills.bills("2", at=day(5))
    bills.run("reconcile")
    assert bills.marks() == expected


def test_apply_deletions_leaves_the_marks_of_reconcile(bills: Warehouse) -> None:
    bills.full_read(day(2))
    bills.full_read(day(3))
    bills.run("reconcile")
    bills.deletion("2", day(1, "00:00:01"))
    bills.bills("2", synced=day(4))
    expected = bills.marks()
    assert expected.keys() == {"1", "2", "3"}
    bills.run("apply-deletions")
    assert bills.marks() == expected
