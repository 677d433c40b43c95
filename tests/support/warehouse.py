"""The tables that a target loaded, read back with exact values."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from tap_rutter.demo.database import Database

Row = dict[str, Any]

METADATA = "_sdc_"

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'
    ORDER BY c.relname, a.attnum
"""
_KEYS = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY k.place)
    FROM pg_class c
    JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
    WHERE c.relnamespace = %s::regnamespace
    GROUP BY c.relname
"""


@dataclass(frozen=True)
class Table:
    """A table's own columns, without what the target adds, and its rows."""

    key: tuple[str, ...]
    """Columns of the primary key, in the key's order."""
    types: Mapping[str, str]
    """PostgreSQL's name of each column's type."""
    rows: tuple[Row, ...]


def read_tables(database: Database, schema: str) -> dict[str, Table]:
    """All tables of a schema, by name."""
    types: dict[str, dict[str, str]] = {}
    with psycopg.connect(database.uri, row_factory=dict_row) as connection:
        set_json_loads(functools.partial(json.loads, parse_float=Decimal), connection)
        plain = connection.cursor(row_factory=psycopg.rows.tuple_row)
        for table, column, kind in plain.execute(_COLUMNS, [schema]).fetchall():
            if not column.startswith(METADATA):
                types.setdefault(table, {})[column] = kind
        keys: dict[str, list[str]] = dict(plain.execute(_KEYS, [schema]).fetchall())
        return {
            name: Table(
                key=tuple(keys.get(name, ())),
                types=columns,
                rows=tuple(connection.execute(_select(schema, name, columns)).fetchall()),
            )
            for name, columns in types.items()
        }


def _select(schema: str, table: str, columns: Mapping[str, str]) -> sql.Composed:
    return sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, table)
    )
