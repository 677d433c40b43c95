"""Staging models: a stream's living rows, and its lines, one row each."""

from __future__ import annotations

from collections.abc import Iterator

from tap_rutter.dbt.streams import LINES, LineField, Table

PREFIX = "stg_rutter__"
LINES_SUFFIX = "_lines"

_HEAD = "{{ config(materialized=var('rutter_staging_materialized', 'view')) }}\n\n"


def staging_name(stream: str) -> str:
    """The name of a stream's staging model."""
    return PREFIX + stream


def lines_name(stream: str) -> str:
    """The name of the model of a stream's lines."""
    return PREFIX + stream + LINES_SUFFIX


def living_rows(table: Table) -> str:
    """The SQL of the model of rows that are not deleted."""
    columns = ",\n".join(f"    loaded.{quoted(name)}" for name in table.columns)
    deletions = "true" if table.tells_deletions else "false"
    return (
        f"{_HEAD}select\n{columns}\n"
        f"from {{{{ source('rutter', '{table.name}') }}}} as loaded\n"
        f"where {{{{ rutter_is_living('{table.name}', deletions={deletions}) }}}}\n"
    )


def lines(table: Table) -> str:
    """The SQL of the model with a row for each line; ``line_number`` counts from 1."""
    return (
        _HEAD
        + "select\n"
        + ",\n".join(f"    {column}" for column in _line_columns(table))
        + f"\nfrom {{{{ ref('{staging_name(table.name)}') }}}} as parent\n"
        + f"cross join lateral {{{{ rutter_entries('parent.{LINES}') }}}}"
        + " with ordinality as entry (line, line_number)\n"
    )


def line_columns(table: Table) -> list[str]:
    """The columns of the model of lines, in order."""
    fields = (field.column for field in table.line_fields)
    return ["connection_id", "parent_id", "line_number", *fields, "line"]


def _line_columns(table: Table) -> Iterator[str]:
    yield "parent.connection_id"
    yield "parent.id as parent_id"
    yield "entry.line_number"
    for field in table.line_fields:
        yield f"{_value(field)} as {quoted(field.column)}"
    yield "entry.line"


def _value(field: LineField) -> str:
    """The SQL of a field of a line, in the type of a column."""
    *around, last = field.path
    inner = "".join(f" -> '{name}'" for name in around)
    text = f"entry.line{inner} ->> '{last}'"
    kinds = field.schema["type"]
    if "number" in kinds or "integer" in kinds:
        return f'{{{{ rutter_number("{text}") }}}}'
    if field.schema.get("format") == "date-time":
        return f'{{{{ rutter_time("{text}") }}}}'
    if "object" in kinds or "array" in kinds:
        return f"entry.line{inner} -> '{last}'"
    return text


def quoted(name: str) -> str:
    """An identifier as PostgreSQL takes it, whatever words the API uses for its fields."""
    return '"' + name.replace('"', '""') + '"'
