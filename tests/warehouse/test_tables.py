"""The tables that the tests of the warehouse write are those that the real target loads."""

from __future__ import annotations

import io
import json
import warnings

from support.warehouse_schema import BILLS, KEY, A, B, Warehouse, day, server, sql_type


def _load_with_target(schema: str, synced: str, at: str) -> None:
    """The same bills, brought by the real target."""
    properties = {
        **{column: {"type": "string"} for column in KEY},
        "total_amount": {"type": ["null", "number"]},
        "last_synced_at": {"type": ["null", "string"], "format": "date-time"},
        "line_items": {"type": ["null", "array"]},
    }
    row = {"total_amount": 12.5, "last_synced_at": synced, "line_items": [{"total_amount": 12.5}]}
    records = [{"connection_id": c, "id": i, **row} for c in (A, B) for i in ("1", "2", "3")]
    messages = [
        {
            "type": "SCHEMA",
            "stream": BILLS,
            "schema": {"properties": properties},
            "key_properties": KEY,
        },
        *({"type": "RECORD", "stream": BILLS, "record": r, "time_extracted": at} for r in records),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the target's libraries
        from target_postgres.target import TargetPostgres

        target = TargetPostgres(
            config={
                "sqlalchemy_url": server().get_uri(driver="psycopg"),
                "default_target_schema": schema,
                "use_copy": True,
                "validate_records": False,
                "add_record_metadata": True,
            }
        )
        target.listen(io.StringIO("".join(f"{json.dumps(m)}\n" for m in messages)))


def test_marks_live_with_the_real_target(warehouse: Warehouse) -> None:
    _load_with_target(warehouse.schema, synced=day(1), at=day(1))
    types = warehouse.query(
        "select column_name, data_type from information_schema.columns"
        f" where table_schema = current_schema and table_name = '{BILLS}'"
    )
    assert {row["column_name"]: row["data_type"] for row in types}.items() >= {
        column: sql_type(column)
        for column in (*KEY, "total_amount", "last_synced_at", "line_items", "_sdc_extracted_at")
    }.items()

    warehouse.deletion("1", day(2))
    warehouse.full_read(day(2), rows=0)
    warehouse.full_read(day(3), rows=0)
    with warehouse.untouched(B):
        for script in ("apply-deletions", "reconcile", "report-views", "line-items", "indexes"):
            warehouse.run(script)
    marked = {"1": (day(2), "event"), "2": (day(2), "reconcile"), "3": (day(2), "reconcile")}
    assert warehouse.marks() == marked

    _load_with_target(warehouse.schema, synced=day(4), at=day(4))
    assert warehouse.marks() == marked, (
        "the target leaves marks, so that the scripts must lift them"
    )
    warehouse.run("apply-deletions")
    warehouse.run("reconcile")
    assert warehouse.marks() == {}
    lines = warehouse.query(f"select * from {BILLS}_line_items where connection_id = '{A}'")
    assert [(row["parent_id"], float(row["total_amount"])) for row in lines] == [
        ("1", 12.5),
        ("2", 12.5),
        ("3", 12.5),
    ]
