"""Turns a row into a record: typed, repaired where necessary, without losing a value.

Values are passed on as the API gives them. A value that does not fit its declared type goes into
``_rutter_issues``, under its dotted path. A field that the schema does not know goes into
``_rutter_extra``. A field whose name says that it is secret is dropped, at any depth.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from tap_rutter import times
from tap_rutter.api.json_text import ENCODER, LARGEST_EXPONENT, clean_text, decode_marked
from tap_rutter.json_values import Unfit
from tap_rutter.redact import SECRET_FIELD
from tap_rutter.schema.json_schema import JSONSchema, is_any, type_of
from tap_rutter.schema.record_schema import EXTRA, ISSUES

Record = dict[str, Any]

_CANONICAL = msgspec.json.Encoder(decimal_format="number", order="sorted")

_NUMBER_TEXT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_LARGEST_INTEGER = 2**63 - 1  # bigint, the widest integer column of most warehouses
_DERIVED_DAYS = 10_957  # from 1970 to 1999: times that every target can store
_SECONDS = times.DAY // times.SECOND - 1  # of a day, without midnight

_Repair = Callable[[Any], Any]
MISFIT = object()
"""What a repair returns for a value that cannot be brought into the declared type."""


@dataclass(slots=True)
class Repairs:
    """How many values of a partition could not be passed on as they were."""

    repaired_values: int = 0
    unknown_fields: int = 0
    derived_keys: int = 0


def _text(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) else MISFIT


def _date_time(value: Any) -> Any:
    if not isinstance(value, str):
        return MISFIT
    normal = times.normal_form(value)
    return MISFIT if normal is None else normal


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, str):
        value = value.strip()
        if len(value) > LARGEST_EXPONENT or not _NUMBER_TEXT.fullmatch(value):
            return None
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    return value if abs(value.adjusted()) <= LARGEST_EXPONENT else None


def _number(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 10**LARGEST_EXPONENT else MISFIT
    number = _decimal(value)
    return MISFIT if number is None else number


def _integer(value: Any) -> Any:
    if isinstance(value, bool):
        return MISFIT
    if not isinstance(value, int):
        number = _decimal(value)
        if number is None or number != number.to_integral_value():
            return MISFIT
        value = int(number)
    return value if -_LARGEST_INTEGER - 1 <= value <= _LARGEST_INTEGER else MISFIT


def _boolean(value: Any) -> Any:
    return value if isinstance(value, bool) else MISFIT


def _array(value: Any) -> Any:
    return open_value(value) if isinstance(value, list) else MISFIT


def _object(value: Any) -> Any:
    return open_value(value) if isinstance(value, dict) else MISFIT


def open_value(value: Any) -> Any:
    """A free-form value with cleaned text, exact numbers, and without secret fields."""
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, dict):
        return {
            clean_text(name): open_value(entry)
            for name, entry in value.items()
            if not SECRET_FIELD.fullmatch(name)
        }
    if isinstance(value, list):
        return [open_value(entry) for entry in value]
    if isinstance(value, Decimal) and abs(value.adjusted()) > LARGEST_EXPONENT:
        return str(value)  # as a number, it would make the load of the whole batch fail
    return value


_REPAIRS: Mapping[str, _Repair] = {
    "string": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "array": _array,
    "object": _object,
}


@dataclass(frozen=True)
class FieldTypes:
    """By field name: the repair for the declared type, or the types of a nested object."""

    fields: Mapping[str, _Repair | FieldTypes]

    @classmethod
    def of(cls, schema: JSONSchema) -> FieldTypes:
        """The types that a JSON Schema's properties declare."""
        fields: dict[str, _Repair | FieldTypes] = {}
        for name, entry in schema.get("properties", {}).items():
            kind = type_of(entry)
            if kind == "object" and "properties" in entry:
                fields[name] = cls.of(entry)
            elif is_any(entry):
                fields[name] = open_value
            elif entry.get("format") == "date-time":
                fields[name] = _date_time
            else:
                fields[name] = _REPAIRS[kind]
        return cls(fields)


@dataclass
class Conformer:
    """Brings one stream's rows into the form that its schema declares."""

    stream: str
    field_types: FieldTypes
    key: Sequence[str]
    closed: bool = False
    """Whether unknown fields are left out: for records that the tap makes itself."""

    def conform(self, row: Mapping[str, Any], connection_id: str | None, counts: Repairs) -> Record:
        """The record of a row.

        Args:
            row: As decoded, with exact decimals.
            connection_id: Stamped as the first field; None for a stream without it.
            counts: Every repair is counted here.
        """
        issues: dict[str, Any] = {}
        record: Record = {}
        if connection_id is not None:
            record["connection_id"] = connection_id
        extra: dict[str, Any] = {}
        for name, value in row.items():
            repair = self.field_types.fields.get(name)
            if name == "connection_id" and connection_id is not None:
                if value != connection_id and value is not None:
                    extra[name] = open_value(value)
                continue
            if repair is None or name in {EXTRA, ISSUES}:
                if not SECRET_FIELD.fullmatch(name):
                    extra[clean_text(name)] = open_value(value)
            else:
                record[name] = self._field(name, value, repair, issues)
        self._complete_key(record, row, issues, counts)
        if self.closed:
            return record
        if extra:
            counts.unknown_fields += len(extra)
            record[EXTRA] = extra
        if issues:
            counts.repaired_values += len(issues)
            record[ISSUES] = issues
        return record

    def _field(
        self, path: str, value: Any, repair: _Repair | FieldTypes, issues: dict[str, Any]
    ) -> Any:
        if value is None:
            return None
        if isinstance(value, Unfit):
            if not self.closed:
                issues[clean_text(path)] = open_value(value)
                return None
            value = str(value)  # there is no _rutter_issues, so the text is kept
        if isinstance(repair, FieldTypes):
            if not isinstance(value, dict):
                issues[path] = open_value(value)
                return None
            return {
                clean_text(name): self._nested(f"{path}.{name}", name, entry, repair, issues)
                for name, entry in value.items()
                if not SECRET_FIELD.fullmatch(name)
            }
        repaired = repair(value)
        if repaired is MISFIT:
            issues[clean_text(path)] = open_value(value)
            return None
        return repaired

    def _nested(
        self, path: str, name: str, value: Any, field_types: FieldTypes, issues: dict[str, Any]
    ) -> Any:
        repair = field_types.fields.get(name)
        return open_value(value) if repair is None else self._field(path, value, repair, issues)

    def _complete_key(
        self, record: Record, row: Mapping[str, Any], issues: dict[str, Any], counts: Repairs
    ) -> None:
        """Make sure that no part of the key is null or empty: targets refuse or merge such rows.

        Empty text is as bad as null, since loaders that use CSV cannot tell the two apart.
        """
        for name in self.key:
            if record.get(name) not in (None, ""):
                continue
            is_time = self.field_types.fields.get(name) is _date_time
            given = issues.pop(name, None)
            if isinstance(given, int | Decimal) and not (isinstance(given, bool) or is_time):
                # An id that came as a number is kept as the text of its digits.
                record[name] = ENCODER.encode(given).decode()
                continue
            if given is not None:
                issues[name] = given
            key = derived_key(self.stream, record.get("connection_id"), row)
            if is_time:
                key = derived_time(self.stream, record.get("connection_id"), row, name)
            record[name] = key
            counts.derived_keys += 1


def derived_key(stream: str, connection_id: str | None, row: Mapping[str, Any]) -> str:
    """A key for a row without an id: the same at every run, from what identifies the row best.

    It is a hash over stream, connection and the first of these that the row has: the platform's id;
    email and phone; the whole row without its nested lists.
    """
    if row.get("platform_id") not in (None, ""):
        identity: object = {"platform_id": row["platform_id"]}
    elif row.get("email") or row.get("phone"):
        identity = {"email": row.get("email"), "phone": row.get("phone")}
    else:
        identity = {name: value for name, value in row.items() if not isinstance(value, list)}
    return "tap:" + _digest(stream, connection_id, identity).hex()


def derived_time(stream: str, connection_id: str | None, row: Mapping[str, Any], name: str) -> str:
    """A key column's time for a row whose date cannot be read.

    The time lies before 2000 and not at midnight, so it is not the start of any real month. It is
    the same at every run. It is a hash over the unreadable text and the end date, if there are
    both, so it stays the same when other values of the row change. Otherwise it is a hash as in
    ``derived_key``.
    """
    given = row.get(name)
    identity: object = derived_key(stream, connection_id, row)
    if isinstance(given, str) and given.strip() and times.parse(row.get("end_date")) is not None:
        identity = {name: given, "end_date": row["end_date"]}
    number = int.from_bytes(_digest(stream, connection_id, identity)[:8])
    day, second = divmod(number % (_DERIVED_DAYS * _SECONDS), _SECONDS)
    return times.to_text(day * times.DAY + (second + 1) * times.SECOND)


def _digest(stream: str, connection_id: str | None, identity: object) -> bytes:
    text = _CANONICAL.encode([stream, connection_id, open_value(identity)])
    return hashlib.sha256(text).digest()


def decode_row(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """A raw row as a dict with exact decimals."""
    row: dict[str, Any] = decode_marked(raw)
    return row
