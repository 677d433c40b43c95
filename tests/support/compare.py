"""Tables compared value by value with what should be in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from support.warehouse import Row, Table

Index = dict[tuple[str, ...], dict[str, str | None]]
"""Rows in a form that can be compared: text of every value, by the texts of the key."""


class Numbers(Enum):
    """What a target does to numbers with a fraction; the tap hands them over exact."""

    EXACT = "keeps every digit"
    COPIED = "passes those of number columns through a double, as target-postgres does with COPY"


DERIVED = re.compile(r"tap:[0-9a-f]{64}")
"""The key of a row that comes without one."""


def expected_index(rows: Iterable[Row], table: Table, numbers: Numbers) -> Index:
    """The rows by key, every value as the text that it has in a column of the table's types.

    A column that no row has is expected to be null; a field without a column fails.
    """
    found: Index = {}
    for row in rows:
        unknown = set(row) - set(table.types)
        assert not unknown, f"no column for {sorted(unknown)}"
        found |= _entry(row, table, numbers)
    return found


def landed_index(table: Table) -> Index:
    """The same for the rows of a table."""
    found: Index = {}
    for row in table.rows:
        found |= _entry(row, table, Numbers.EXACT)
    assert len(found) == len(table.rows), "two rows of one key"
    return found


def _entry(row: Row, table: Table, numbers: Numbers) -> Index:
    texts = {name: as_text(row.get(name), kind, numbers) for name, kind in table.types.items()}
    key = tuple(texts[name] or "" for name in table.key)
    if "id" in table.key and (not texts["id"] or DERIVED.fullmatch(texts["id"])):
        # A row that came without an id: known by all that it holds.
        texts["id"] = "derived"
        key = tuple(f"{name}={text}" for name, text in texts.items())
    return {key: texts}


def as_text(value: Any, kind: str, numbers: Numbers) -> str | None:
    """A value as text that is equal for equal values of a column type, and for no others."""
    if value is None:
        return None
    match kind:
        case "jsonb":
            return json.dumps(_canonical(value), sort_keys=True, ensure_ascii=False)
        case "timestamp without time zone":
            return _moment(value).isoformat()
        case "numeric" | "bigint":
            # Equal numbers, whatever their trailing zeros: a column's scale is the target's affair.
            return format(_number(value, numbers is Numbers.COPIED).normalize(), "f")
        case "boolean":
            assert isinstance(value, bool), f"{value!r} in a column of {kind}"
            return str(value)
        case "text" | "character varying":
            assert isinstance(value, str), f"{value!r} in a column of {kind}"
            return value
        case _:
            raise AssertionError(f"a column of type {kind}")


def _number(value: Any, double: bool) -> Decimal:
    assert isinstance(value, int | Decimal), f"{value!r} is no number"
    assert not isinstance(value, bool), f"{value!r} is no number"
    return Decimal(str(float(value))) if double and isinstance(value, Decimal) else Decimal(value)


def _canonical(value: Any) -> Any:
    """JSON with its numbers as text of their digits."""
    if isinstance(value, dict):
        return {name: _canonical(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_canonical(entry) for entry in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return {"number": format(Decimal(value), "f")}
    return value


def _moment(value: Any) -> datetime:
    """A column holds UTC without saying so; text of the API says its zone, or means UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def differences(expected: Index, landed: Index) -> list[str]:
    """What is wrong, in words; empty where both are equal."""
    found = [f"missing: {key}" for key in expected.keys() - landed.keys()]
    found += [f"not in Rutter: {key}" for key in landed.keys() - expected.keys()]
    for key in expected.keys() & landed.keys():
        for name, text in expected[key].items():
            if landed[key][name] != text:
                found.append(f"{key} {name}: {text!r} landed as {landed[key][name]!r}")
    return sorted(found)


def changed(before: Index, after: Index) -> set[tuple[str, ...]]:
    """Keys of the rows that are new, other than they were, or gone."""
    keys = before.keys() | after.keys()
    return {key for key in keys if before.get(key) != after.get(key)}
