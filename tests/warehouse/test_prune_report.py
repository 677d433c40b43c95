"""Old rows of sync_report go; what the other scripts go by stays, whatever its age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.warehouse_schema import BILLS, A, B, Warehouse, bills_of_both

from tap_rutter.warehouse.database import DatabaseError


def ago(days: float) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def ages(warehouse: Warehouse, stream: str = BILLS, connection: str = A) -> list[int]:
    """The ages, in days, of the rows that are left."""
    rows = warehouse.query(
        "select round(extract(epoch from (now() at time zone 'utc') - started_at) / 86400) as age"
        f" from sync_report where stream = '{stream}' and connection_id = '{connection}' order by 1"
    )
    return [int(row["age"]) for row in rows]


def reports(warehouse: Warehouse, *rows: tuple[float, dict[str, Any]]) -> None:
    for days, more in rows:
        warehouse.full_read(ago(days), **{"rows": 5, **more})


def test_old_rows_go_but_for_two_complete_full_reads(warehouse: Warehouse) -> None:
    reports(warehouse, *((days, {}) for days in (10, 20, 30, 100, 200, 300)))
    counted = warehouse.run("prune-report", days="90")
    assert counted == {BILLS: {"removed": 3, "kept": 3}}
    warehouse.query("update sync_report set started_at = started_at - interval '500 days'")
    warehouse.run("prune-report", days="90")
    assert ages(warehouse) == [510, 520]


def test_what_reconcile_goes_by_stays(warehouse: Warehouse) -> None:
    reports(
        warehouse,
        (100, {"full_read": False}),
        (110, {"status": "failed", "full_read": True}),
        (120, {"rows": 0}),
        (130, {"rows": 0}),
        (140, {"rows": 0}),
        (150, {}),
        (170, {}),
        (180, {}),
        (190, {"connection_id": B}),
    )
    warehouse.full_read("2999-01-01T00:00:00Z")
    warehouse.run("prune-report")
    left = [age for age in ages(warehouse) if age > 0]
    assert left == [100, 120, 130, 150, 170]
    assert ages(warehouse, connection=B) == [190]


def test_the_newest_row_of_each_reason_stays(warehouse: Warehouse) -> None:
    failed = {"status": "failed", "full_read": False}
    reports(
        warehouse,
        (100, {**failed, "reason": "refused"}),
        (110, {**failed, "reason": "refused"}),
        (120, {**failed, "reason": "rate_limited"}),
        (130, {"full_read": False}),
        (140, {"full_read": False}),
    )
    warehouse.run("prune-report")
    assert ages(warehouse) == [100, 120, 130]


def test_reconcile_marks_the_same_rows_after_it(warehouse: Warehouse) -> None:
    bills = bills_of_both(warehouse)
    for days in (400, 300, 200):
        bills.full_read(ago(days), rows=0)
    bills.run("prune-report")
    assert bills.run("reconcile")[BILLS]["marked"] == 3


@pytest.mark.parametrize("days", ["0", "-1"])
def test_nothing_of_the_last_day_goes(warehouse: Warehouse, days: str) -> None:
    reports(warehouse, (2, {}))
    with pytest.raises(DatabaseError, match="days is 1 or more"):
        warehouse.run("prune-report", days=days)


def test_a_schema_without_reports_has_nothing_to_prune(warehouse: Warehouse) -> None:
    assert warehouse.run("prune-report") == {}
