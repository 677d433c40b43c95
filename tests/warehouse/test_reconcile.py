"""Rows that the API no longer shows: marked after two full reads without them, never sooner."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from support.warehouse_schema import BILLS, A, B, Warehouse, day


def test_a_row_is_marked_after_a_second_full_read_without_it(bills: Warehouse) -> None:
    bills.bills("1", "3", at=day(2, "00:00:05"))
    bills.full_read(day(2))
    with bills.untouched():
        assert bills.run("reconcile") == {}
    bills.bills("1", "3", at=day(3, "00:00:05"))
    bills.full_read(day(3))
    with bills.untouched(B):
        counted = bills.run("reconcile")
    assert counted == {BILLS: {"connections": 1, "marked": 1, "restored": 0, "note": None}}
    assert bills.marks() == {"2": (day(2), "reconcile")}


def test_a_marked_row_that_comes_again_is_restored(bills: Warehouse) -> None:
    bills.full_read(day(2))
    bills.full_read(day(3))
    bills.run("reconcile")
    assert bills.marks().keys() == {"1", "2", "3"}
    bills.bills("2", at=day(3, "12:00:00"))
    with bills.untouched(B):
        assert bills.run("reconcile")[BILLS]["restored"] == 1
    assert bills.marks().keys() == {"1", "3"}
    bills.query("delete from sync_report")
    bills.bills("3", at=day(4))
    assert bills.run("reconcile")[BILLS]["restored"] == 1
    assert bills.marks().keys() == {"1"}


@pytest.mark.parametrize(
    "report",
    [
        {"status": "failed"},
        {"status": "interrupted"},
        {"full_read": False},
        {"connection_id": B},
        {"stream": "accounting_vendors"},
        {"started_at": "2999-01-01T00:00:00Z"},
    ],
)
def test_what_is_not_a_complete_full_read_of_the_partition_proves_nothing(
    bills: Warehouse, report: dict[str, Any]
) -> None:
    bills.full_read(day(2))
    bills.full_read(**{"started_at": day(3), **report})
    with bills.untouched():
        bills.run("reconcile")


def test_a_row_extracted_in_the_second_of_the_start_counts_as_delivered(bills: Warehouse) -> None:
    bills.bills("1", at=day(2, "00:00:07"))
    bills.full_read(day(2, "00:00:07.9"))
    bills.full_read(day(3))
    bills.run("reconcile")
    assert bills.marks().keys() == {"2", "3"}


def test_rows_below_the_start_of_a_bounded_read_were_not_asked_for(warehouse: Warehouse) -> None:
    payouts = "commerce_payouts"
    for id_, created, updated in (("old", day(1), day(9)), ("new", day(8), day(9))):
        payout = {"id": id_, "created_at": created, "updated_at": updated}
        warehouse.load(payouts, *({"connection_id": c, **payout} for c in (A, B)))
    warehouse.bills("old", synced=day(1))
    warehouse.bills("new", synced=day(8))
    for stream, started_at in itertools.product((BILLS, payouts), (day(10), day(11))):
        warehouse.full_read(started_at, stream, window_start=day(7))
    with warehouse.untouched(B):
        warehouse.run("reconcile")
    assert warehouse.marks(BILLS).keys() == {"new"}
    assert warehouse.marks(payouts).keys() == {"new"}


def test_a_read_that_never_reached_the_table_proves_nothing(bills: Warehouse) -> None:
    bills.full_read(day(2), rows=3)
    bills.full_read(day(3), rows=3)
    with bills.untouched():
        counted = bills.run("reconcile")
    assert counted[BILLS]["note"] == (
        "1 connections left alone: their newest full read is not in the table"
    )


def test_empty_reads_count_unless_told_otherwise(bills: Warehouse) -> None:
    bills.full_read(day(2), rows=0)
    bills.full_read(day(3), rows=0)
    with bills.untouched():
        assert bills.run("reconcile", ignore_empty_reads="true") == {}
    assert bills.run("reconcile")[BILLS]["marked"] == 3


def test_what_is_not_an_object_is_never_marked(warehouse: Warehouse) -> None:
    keys = {
        "accounting_balance_sheets": ("connection_id", "start_date"),
        "accounting_ap_aging_report_summaries": ("connection_id", "id"),
        "commerce_balance": ("connection_id", "date"),
        "deleted_objects": ("connection_id", "id"),
        "every_version": (),
    }
    row = {"connection_id": A, "id": "1", "start_date": day(1), "date": day(1), "object_id": None}
    for stream, key in keys.items():
        warehouse.load(stream, {**row, "stream": None}, key=key)
        warehouse.full_read(day(2), stream)
        warehouse.full_read(day(3), stream)
    with warehouse.untouched():
        assert warehouse.run("reconcile") == {}


def test_children_are_reconciled_under_their_own_key(warehouse: Warehouse) -> None:
    attachments = "accounting_bill_attachments"
    for connection in (A, B):
        warehouse.load(
            attachments,
            {"connection_id": connection, "parent_id": "1", "id": "1"},
            key=("connection_id", "parent_id", "id"),
        )
    warehouse.full_read(day(2), attachments)
    warehouse.full_read(day(3), attachments)
    with warehouse.untouched(B):
        warehouse.run("reconcile")
    assert warehouse.marks(attachments) == {"1": (day(2), "reconcile")}


def test_without_extraction_times_reconcile_says_so(warehouse: Warehouse) -> None:
    warehouse.load(BILLS, {"connection_id": A, "id": "1"}, metadata=False)
    assert warehouse.run("reconcile")[None]["note"] == "no table sync_report"
    warehouse.full_read(day(2))
    assert "add_record_metadata" in warehouse.run("reconcile")[BILLS]["note"]
