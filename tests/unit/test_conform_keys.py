"""Keys of records: an id that is missing or odd, and a time that cannot be read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from test_conform import conform

from tap_rutter.records.conform import (
    Conformer,
    FieldTypes,
    Record,
    Repairs,
    decode_row,
    derived_key,
)
from tap_rutter.schema.json_schema import DATE_TIME, STRING
from tap_rutter.schema.record_schema import ISSUES, record_schema

DERIVED = re.compile(r"tap:[0-9a-f]{64}")


@pytest.mark.parametrize("empty", [None, ""])
def test_no_key_is_empty_in_rows_that_the_tap_makes(empty: str | None) -> None:
    schema = record_schema({"currency": STRING, "id": STRING}, ("connection_id", "currency"))
    conformer = Conformer(
        "report", FieldTypes.of(schema), ("connection_id", "currency"), closed=True
    )
    counts = Repairs()
    record = conformer.conform({"currency": empty, "id": "1"}, "c", counts)
    assert DERIVED.fullmatch(record["currency"])
    assert counts.derived_keys == 1


@pytest.mark.parametrize("identity", [{"id": None}, {"id": ""}, {}])
def test_a_row_without_an_id_gets_one_that_is_the_same_at_every_run(
    identity: dict[str, Any],
) -> None:
    counts = Repairs()
    record = conform({**identity, "platform_id": "p1", "text": "x"}, counts)
    assert DERIVED.fullmatch(record["id"])
    assert counts == Repairs(derived_keys=1)
    # A change of anything else, however often the row is read.
    assert conform({**identity, "platform_id": "p1", "text": "y"})["id"] == record["id"]
    # Another release must not key the rows anew.
    identified_by = b'["invoices","c1",{"platform_id":"p1"}]'
    assert record["id"] == "tap:" + hashlib.sha256(identified_by).hexdigest()


def test_a_derived_key_goes_by_the_first_that_identifies_a_row() -> None:
    def key(**row: Any) -> str:
        return derived_key("commerce_customers", "c1", row)

    everything = key(platform_id="p", email="e", phone="f", name="n")
    assert everything == key(platform_id="p", email="other", phone="other", name="other")
    assert key(email="e", phone="f", name="n") == key(email="e", phone="f", name="other")
    assert key(phone="f", name="n") == key(phone="f", name="other")
    assert key(email="e") == key(email="e", phone=None, platform_id="")
    assert key(name="n", lines=[1]) == key(name="n", lines=[2])
    distinct = [
        everything,
        key(platform_id="q"),
        key(platform_id=1),
        key(email="p"),
        key(phone="p"),
        key(email="e", phone="f"),
        key(name="n"),
        key(name="m"),
        key(name={"first": "n"}),
        key(),
    ]
    assert len(set(distinct)) == len(distinct)


def test_a_derived_key_depends_on_stream_and_connection_and_not_on_the_order_of_fields() -> None:
    row = {"name": "n", "at": {"a": 1, "b": [1]}, "amount": Decimal("1.10")}
    swapped = {"amount": Decimal("1.10"), "at": {"b": [1], "a": 1}, "name": "n"}
    assert derived_key("s", "c", row) == derived_key("s", "c", swapped)
    assert len({derived_key(s, c, row) for s in "st" for c in "cd"}) == 4


@pytest.mark.parametrize(
    ("given_text", "identity"),
    [("17", "17"), ("0", "0"), ("12345678901234567890", "12345678901234567890"), ("1.50", "1.50")],
)
def test_an_id_that_came_as_a_number_is_its_digits(given_text: str, identity: str) -> None:
    record = conform(decode_row(f'{{"id": {given_text}}}'.encode()))
    assert record == {"connection_id": "c1", "id": identity}


@pytest.mark.parametrize("given_text", ["true", "[]", '{"a": 1}'])
def test_an_id_of_another_shape_is_kept_beside_the_derived_one(given_text: str) -> None:
    record = conform(decode_row(f'{{"id": {given_text}, "platform_id": "p"}}'.encode()))
    assert DERIVED.fullmatch(record["id"])
    assert record[ISSUES] == {"id": json.loads(given_text)}


STATEMENTS = ("connection_id", "start_date")


def statement(row: Mapping[str, Any], connection_id: str = "c1") -> tuple[Record, Repairs]:
    """The record of a row that is keyed by a point in time."""
    fields = {"start_date": DATE_TIME, "end_date": DATE_TIME, "total": {"type": ["string", "null"]}}
    shape = FieldTypes.of(record_schema(fields, STATEMENTS))
    counts = Repairs()
    record = Conformer("statements", shape, STATEMENTS).conform(row, connection_id, counts)
    return record, counts


@pytest.mark.parametrize("given_date", ["2021-09-31T00:00:00Z", "0000-00-00", "", None, 7, "soon"])
def test_a_row_whose_key_is_an_unreadable_time_gets_one_of_its_own(given_date: Any) -> None:
    row = {"start_date": given_date, "total": "12.50"}
    record, counts = statement(row)
    assert record["total"] == "12.50"
    assert counts.derived_keys == 1
    moment = datetime.fromisoformat(record["start_date"])
    assert 1970 <= moment.year < 2000, "what every target's points in time can hold"
    assert moment.time() != time(0), "nobody's real month"
    aside = {} if given_date is None else {"start_date": given_date}
    assert record.get(ISSUES, {}) == aside
    assert statement(row)[0] == record
    assert statement(row, "c2")[0]["start_date"] != record["start_date"]
    assert statement({**row, "total": "13"})[0]["start_date"] != record["start_date"]


def test_a_restated_month_whose_date_is_unreadable_keeps_its_key() -> None:
    row = {"start_date": "2021-09-31", "end_date": "2021-10-31", "total": "12.50"}
    key = statement(row)[0]["start_date"]
    assert statement({**row, "total": "13"})[0]["start_date"] == key
    assert statement({**row, "end_date": "2021-11-30"})[0]["start_date"] != key
    assert statement({**row, "start_date": "2021-09-32"})[0]["start_date"] != key


def test_an_unreadable_month_keeps_its_key_in_another_release() -> None:
    row = {"start_date": "2021-09-31", "end_date": "2021-10-31"}
    identified_by = b'["statements","c1",{"end_date":"2021-10-31","start_date":"2021-09-31"}]'
    number = int.from_bytes(hashlib.sha256(identified_by).digest()[:8])
    # A second of a day from 1970 to 1999, but not midnight.
    day, second = divmod(number % (10_957 * 86_399), 86_399)
    expected = datetime(1970, 1, 1) + timedelta(days=day, seconds=second + 1)
    found = datetime.fromisoformat(statement(row)[0]["start_date"])
    assert found.replace(tzinfo=None) == expected
