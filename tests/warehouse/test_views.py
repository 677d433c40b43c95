"""What an analyst sees: freshness, completeness, single lines; and the indexes below."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.warehouse_schema import BILLS, A, B, Warehouse, day

from tap_rutter.warehouse.scripts import DEFAULT_SCHEMA

PAGE = Path(__file__).resolve().parents[2] / "docs" / "warehouse.md"

ORDERS = "commerce_orders"


def view(warehouse: Warehouse, name: str, connection: str = A) -> dict[str, dict[str, Any]]:
    rows = warehouse.query(f"select * from {name} where connection_id = '{connection}'")
    return {row["stream"]: row for row in rows}


# --- freshness


def test_freshness_shows_the_last_attempt_beside_the_last_success(warehouse: Warehouse) -> None:
    warehouse.full_read(day(1), finished_at=day(1, "01:00:00"), source_synced_at=day(1))
    warehouse.full_read(day(2), full_read=False, finished_at=day(2, "01:00:00"))
    warehouse.full_read(
        day(3), status="failed", reason="retries_exhausted", error_code="X", full_read=False
    )
    warehouse.full_read(day(4), connection_id=B)
    warehouse.run("report-views")
    row = view(warehouse, "sync_freshness")[BILLS]
    assert (row["status"], row["reason"], row["error_code"]) == ("failed", "retries_exhausted", "X")
    assert f"{row['last_attempt_at']:%d %H}" == "03 00"
    assert f"{row['last_complete_at']:%d %H}" == "02 01"
    assert f"{row['last_full_read_at']:%d %H}" == "01 00"
    assert view(warehouse, "sync_freshness", B)[BILLS]["status"] == "complete"


def test_the_lag_is_counted_from_the_older_of_our_read_and_rutters(warehouse: Warehouse) -> None:
    warehouse.full_read(day(10), source_synced_at=day(7))
    warehouse.full_read(day(10), ORDERS, source_synced_at=day(11))
    warehouse.full_read(day(10), "accounting_items")
    warehouse.full_read(day(10), "accounting_tasks", status="failed")
    warehouse.run("report-views")
    [now] = warehouse.query("select now() at time zone 'utc' as utc")
    lags = {
        stream: row["lag"] and (now["utc"] - row["lag"] + timedelta(hours=1)).day
        for stream, row in view(warehouse, "sync_freshness").items()
    }
    assert lags == {BILLS: 7, ORDERS: 10, "accounting_items": 10, "accounting_tasks": None}


def test_a_connection_left_out_whole_shows_in_each_of_its_streams(warehouse: Warehouse) -> None:
    warehouse.full_read(day(1))
    warehouse.full_read(day(2), "*", status="skipped", reason="needs_reauth", full_read=False)
    warehouse.full_read(day(2), "*", connection_id=B, status="skipped", reason="disabled")
    warehouse.run("report-views")
    [row] = view(warehouse, "sync_freshness").values()
    assert (row["stream"], row["status"], row["reason"]) == (BILLS, "skipped", "needs_reauth")
    assert f"{row['last_attempt_at']:%d}, {row['last_complete_at']:%d}" == "02, 01"
    assert view(warehouse, "sync_freshness", B)["*"]["reason"] == "disabled"

    warehouse.full_read(day(3))
    assert view(warehouse, "sync_freshness")[BILLS]["status"] == "complete"


def test_streams_the_platform_does_not_serve_say_nothing_of_the_others(
    warehouse: Warehouse,
) -> None:
    warehouse.full_read(day(1), ORDERS)
    warehouse.full_read(day(2))
    skipped = {"status": "skipped", "full_read": False, "skipped": ["accounting_tasks"]}
    warehouse.full_read(day(2), "*", reason="unsupported", **skipped)
    warehouse.run("report-views")
    statuses = {s: row["status"] for s, row in view(warehouse, "sync_freshness").items()}
    assert statuses == {BILLS: "complete", ORDERS: "complete"}


def test_what_was_not_synced_since_is_as_complete_as_it_was(warehouse: Warehouse) -> None:
    warehouse.full_read(day(1), finished_at=day(1, "01:00:00"), source_synced_at=day(1))
    warehouse.full_read(day(1), ORDERS, finished_at=day(1, "01:00:00"))
    warehouse.full_read(day(2), "*", status="skipped", reason="disabled", full_read=False)
    idle = {"status": "skipped", "reason": "not_synced_since", "full_read": False}
    idle["finished_at"] = day(3, "01:00:00")
    warehouse.full_read(day(3), "*", skipped=[BILLS, "accounting_tasks"], **idle)
    warehouse.run("report-views")
    rows = view(warehouse, "sync_freshness")
    assert set(rows) == {BILLS, ORDERS}
    assert (rows[BILLS]["status"], rows[BILLS]["reason"]) == ("complete", None)
    assert f"{rows[BILLS]['last_attempt_at']:%d %H}" == "03 00"
    assert f"{rows[BILLS]['last_complete_at']:%d %H}" == "03 01"
    assert f"{rows[BILLS]['last_full_read_at']:%d %H}" == "01 00"
    # It says nothing of a stream that it does not name.
    assert (rows[ORDERS]["status"], rows[ORDERS]["reason"]) == ("skipped", "disabled")

    warehouse.full_read(day(4), status="failed", reason="refused", full_read=False)
    row = view(warehouse, "sync_freshness")[BILLS]
    assert (row["status"], f"{row['last_complete_at']:%d}") == ("failed", "03")


def test_a_stream_read_before_its_connection_was_disabled_keeps_its_status(
    warehouse: Warehouse,
) -> None:
    warehouse.full_read(day(2))
    warehouse.full_read(day(1), ORDERS)
    report = {"status": "skipped", "reason": "disabled", "run_id": day(2)}
    warehouse.full_read(day(2, "00:10:00"), "*", **report)
    warehouse.run("report-views")
    statuses = {s: row["status"] for s, row in view(warehouse, "sync_freshness").items()}
    assert statuses == {BILLS: "complete", ORDERS: "skipped"}


# --- completeness


def test_completeness_sets_rows_landed_against_the_source(bills: Warehouse) -> None:
    bills.full_read(day(1), source_count=9)
    bills.full_read(day(2), source_count=4)
    bills.full_read(day(2), "accounting_vendors", source_count=7)
    bills.run("report-views")
    bills.deletion("1", day(2))
    bills.run("apply-deletions")
    rows = view(bills, "sync_completeness")
    counts = ("rows_landed", "rows_marked_deleted", "source_count", "missing")
    assert {stream: tuple(row[c] for c in counts) for stream, row in rows.items()} == {
        BILLS: (2, 1, 4, 2),
        "accounting_vendors": (0, 0, 7, 7),
    }
    other = view(bills, "sync_completeness", B)[BILLS]
    assert (other["rows_landed"], other["source_count"], other["missing"]) == (3, None, None)


def test_completeness_knows_rutters_own_counts(bills: Warehouse) -> None:
    bills.load(ORDERS, {"connection_id": A, "id": "1"})
    expected = [
        {"entity": "bills", "batch_num": 1, "count": 3, "is_estimate": False},
        {"entity": "bills", "batch_num": 2, "count": 2, "is_estimate": True},
        {"entity": "vendors", "batch_num": 1, "count": None, "is_estimate": True},
    ]
    statuses = (
        {
            "connection_id": A,
            "synced_orders_count": 8,
            "expected_entity_counts": expected,
            "entities": {"bills": {"ready": True, "synced_count": 4}, "items": None},
        },
        {
            "connection_id": B,
            "synced_orders_count": None,
            "expected_entity_counts": None,
            "entities": None,
        },
    )
    bills.load("connection_statuses", *statuses, key=("connection_id",))
    bills.full_read(day(1))
    bills.run("report-views")
    rows = view(bills, "sync_completeness")
    counts = {stream: (row["expected_count"], row["synced_count"]) for stream, row in rows.items()}
    assert counts == {BILLS: (5, 4), ORDERS: (None, 8)}
    assert view(bills, "sync_completeness", B)[BILLS]["expected_count"] is None


def test_views_wait_for_reports_and_take_up_tables_that_come_later(bills: Warehouse) -> None:
    assert bills.run("report-views")[None]["note"] == "no table sync_report"
    bills.full_read(day(1), "connections", connection_id="*", source_count=2)
    bills.run("report-views")
    assert view(bills, "sync_completeness", "*")["connections"]["rows_landed"] == 0
    bills.load("connections", {"id": A}, {"id": B}, key=("id",))
    bills.load("connection_statuses", {"connection_id": A}, key=("connection_id",))
    bills.run("report-views")
    assert view(bills, "sync_completeness", "*")["connections"]["rows_landed"] == 2
    assert view(bills, "sync_completeness")[BILLS]["rows_landed"] == 3


def test_reports_of_earlier_versions_count_for_all_connections(warehouse: Warehouse) -> None:
    """They have an empty connection id, which is "*" now."""
    warehouse.load("connections", {"id": A}, {"id": B}, key=("id",))
    warehouse.full_read(day(1), "connections", connection_id="", source_count=2)
    warehouse.run("report-views")
    for name in ("sync_freshness", "sync_completeness"):
        assert view(warehouse, name, "*").keys() == {"connections"}
    assert view(warehouse, "sync_completeness", "*")["connections"]["missing"] == 0
    warehouse.full_read(day(3), "connections", connection_id="*", source_count=3)
    warehouse.full_read(day(2), "connections", connection_id="", status="failed")
    for name in ("sync_freshness", "sync_completeness"):
        rows = warehouse.query(f"select * from {name} where stream = 'connections'")
        assert [(row["connection_id"], row["status"]) for row in rows] == [("*", "complete")]
    assert view(warehouse, "sync_completeness", "*")["connections"]["missing"] == 1


def test_the_views_work_over_reports_alone(warehouse: Warehouse) -> None:
    warehouse.full_read(day(1), source_count=2)
    warehouse.run("report-views")
    assert view(warehouse, "sync_completeness")[BILLS]["missing"] == 2


# --- line items


@pytest.mark.parametrize(
    ("line_items", "lines"),
    [
        (None, []),
        ([], []),
        ("none", []),
        ({"id": "x"}, [(1, "x")]),
        ([{"id": "x"}, {"id": "y"}], [(1, "x"), (2, "y")]),
        ([{"id": "x"}, None, 5, "text", ["y"]], [(1, "x"), *((n, None) for n in (2, 3, 4, 5))]),
    ],
)
def test_each_line_is_a_row(warehouse: Warehouse, line_items: Any, lines: list[Any]) -> None:
    warehouse.load(ORDERS, {"connection_id": A, "id": "1", "line_items": line_items})
    warehouse.run("line-items")
    rows = warehouse.query(f"select * from {ORDERS}_line_items order by line_number")
    assert [(row["line_number"], row["line_id"]) for row in rows] == lines
    assert {(row["connection_id"], row["parent_id"]) for row in rows} <= {(A, "1")}


def test_a_lines_fields_are_columns_with_exact_numbers(warehouse: Warehouse) -> None:
    lines = [
        {"item": {"id": "i", "quantity": 2, "unit_amount": 0.1}, "total_amount": 0.2},
        {"item_id": "j", "quantity": "3", "unit_amount": "-4.50", "total_amount": "n/a"},
        {"price": 12345678901234567890.12, "sku": "s", "quantity": 0, "item": None},
    ]
    # Written as text, since Python's floats would lose the digits.
    text = str(lines).replace("'", '"').replace("None", "null")
    text = text.replace("1.2345678901234567e+19", "12345678901234567890.12")
    warehouse.load("accounting_invoices", {"connection_id": A, "id": "1", "line_items": []})
    warehouse.query(f"update accounting_invoices set line_items = '{text}'")
    warehouse.run("line-items")
    rows = warehouse.query("select * from accounting_invoices_line_items order by line_number")
    columns = ("item_id", "quantity", "unit_amount", "total_amount", "price", "sku")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("i", 2, Decimal("0.1"), Decimal("0.2"), None, None),
        ("j", 3, Decimal("-4.50"), None, None, None),
        (None, 0, None, None, Decimal("12345678901234567890.12"), "s"),
    ]


def test_lines_of_all_objects_stand_together_and_show_their_parents_mark(
    warehouse: Warehouse,
) -> None:
    row = {"id": "1", "last_synced_at": day(1), "line_items": [{"total_amount": 5}]}
    for connection in (A, B):
        warehouse.load(BILLS, {"connection_id": connection, **row})
        warehouse.load(ORDERS, {"connection_id": connection, "id": "1", "line_items": [{}]})
    warehouse.load("accounting_vendors", {"connection_id": A, "id": "1"})
    assert warehouse.run("line-items").keys() == {f"{BILLS}_line_items", f"{ORDERS}_line_items"}
    warehouse.deletion("1", day(2))
    warehouse.run("apply-deletions")
    rows = warehouse.query(
        f"select * from {BILLS}_line_items union all select * from {ORDERS}_line_items"
    )
    marked = [row["connection_id"] for row in rows if row["parent_deleted_at"]]
    assert (len(rows), marked) == (4, [A])


def test_a_table_of_the_views_name_is_left_alone(warehouse: Warehouse) -> None:
    warehouse.load(ORDERS, {"connection_id": A, "id": "1", "line_items": []})
    warehouse.load(f"{ORDERS}_line_items", {"connection_id": A, "id": "1"})
    counted = warehouse.run("line-items")
    assert counted[f"{ORDERS}_line_items"]["note"] == "not created: the name is taken"


# --- indexes


def test_indexes_are_created_where_their_columns_are(bills: Warehouse) -> None:
    bills.deletion("1", day(2))
    bills.full_read(day(1))
    bills.load("accounting_tasks", {"connection_id": A, "id": "1"})
    bills.run("apply-deletions")
    bills.run("indexes")
    assert indexes(bills) == {
        BILLS: {
            "(connection_id, last_synced_at)",
            "(connection_id, deleted_at, deleted_by) WHERE (deleted_at IS NOT NULL)",
        },
        "deleted_objects": {
            "(connection_id, last_synced_at)",
            "(stream, connection_id, object_id)",
        },
        "sync_report": {"(connection_id, stream, started_at)"},
    }


def test_an_index_that_serves_is_not_made_again(warehouse: Warehouse) -> None:
    times = {"updated_at": day(1), "last_synced_at": day(1)}
    warehouse.load(BILLS, {"connection_id": A, "id": "1", **times})
    ours = {
        "(connection_id, updated_at, id)",  # serves: the wanted columns come first
        "(last_synced_at, connection_id)",  # does not: another order
        "(connection_id, last_synced_at) WHERE (id IS NOT NULL)",  # does not: part of the rows
    }
    for definition in ours:
        warehouse.query(f"create index on {BILLS} {definition}")
    warehouse.run("indexes")
    assert indexes(warehouse) == {BILLS: ours | {"(connection_id, last_synced_at)"}}


def indexes(warehouse: Warehouse) -> dict[str, set[str]]:
    """What is indexed beside the primary keys, by table."""
    found: dict[str, set[str]] = {}
    for row in warehouse.query(
        "select tablename, indexdef from pg_indexes"
        " where schemaname = current_schema and indexdef not like '%UNIQUE%'"
    ):
        found.setdefault(row["tablename"], set()).add(row["indexdef"].partition("btree ")[2])
    return found


# --- what the page shows


def test_the_queries_of_the_page_run_as_they_stand(warehouse: Warehouse) -> None:
    """On the schema that target-postgres loads into unless it is told otherwise."""
    page = PAGE.read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.+?)```", page, re.DOTALL)
    assert len(queries) >= 2
    lines = [{"account_id": "a", "total_amount": 1}]
    for table in (BILLS, "accounting_expenses"):
        row = {"connection_id": A, "id": "1", "line_items": lines, "last_synced_at": day(1)}
        warehouse.load(table, row)
    warehouse.full_read(day(1))
    warehouse.run("report-views")
    warehouse.run("line-items")
    for query in queries:
        named = re.findall(r"\bfrom ([a-z_]+)\.", query)
        assert set(named) == {DEFAULT_SCHEMA}
        assert warehouse.query(query.replace(f"{DEFAULT_SCHEMA}.", "")), query
