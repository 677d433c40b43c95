"""Records as they leave: every odd value as it was sent, and as it leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_rutter.api.json_text import ENCODER, decode_value
from tap_rutter.json_values import Unfit
from tap_rutter.records.conform import (
    Conformer,
    FieldTypes,
    Record,
    Repairs,
    decode_row,
)
from tap_rutter.schema.json_schema import ARRAY, BOOLEAN, DATE_TIME, OBJECT, STRING
from tap_rutter.schema.record_schema import EXTRA, ISSUES, record_schema

INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
REPLICATION_KEY = ("connection_id", "id")
LEAVES = {
    "text": STRING,
    "number": NUMBER,
    "integer": INTEGER,
    "flag": BOOLEAN,
    "moment": DATE_TIME,
    "rows": ARRAY,
    "open": OBJECT,
}
INNER = {"type": ["object", "null"], "properties": LEAVES, "additionalProperties": True}
OUTER = {
    "type": ["object", "null"],
    "properties": {**LEAVES, "inner": INNER},
    "additionalProperties": True,
}
FIELDS = {"id": STRING, **LEAVES, "outer": OUTER, "platform_id": STRING, "email": STRING}
SCHEMA = record_schema(FIELDS, REPLICATION_KEY)
CONFORMER = Conformer("invoices", FieldTypes.of(SCHEMA), REPLICATION_KEY)
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

REPLACED = "\ufffd"


def conform(row: Mapping[str, Any], counts: Repairs | None = None) -> Record:
    return CONFORMER.conform(row, "c1", counts or Repairs())


def sent(text: str, field: str) -> Record:
    """The record of a row with one field, given as JSON text."""
    return conform(decode_row(f'{{"id": "1", "{field}": {text}}}'.encode()))


def as_text(value: Any) -> str:
    return ENCODER.encode(value).decode()


# ---- the table: field, as sent, as it leaves

KEPT = [
    ("text", '""', '""'),
    ("text", '"x"', '"x"'),
    ("text", '" x "', '" x "'),
    ("text", r'"a\u0000b"', f'"a{REPLACED}b"'),
    ("text", r'"\ud800"', f'"{REPLACED}"'),
    ("text", r'"\udfff\ud83d"', f'"{REPLACED}{REPLACED}"'),
    ("text", r'"\ud83d\ude00"', '"\U0001f600"'),
    ("text", r'"tab\tline\n"', r'"tab\tline\n"'),
    ("number", "12.50", "12.50"),
    ("number", "0.1000000000000000055", "0.1000000000000000055"),
    ("number", "123456789012345678901234567890.123", "123456789012345678901234567890.123"),
    ("number", "123456789012345678901234567890", "123456789012345678901234567890"),
    ("number", "-0.00", "-0.00"),
    ("number", "7", "7"),
    ("number", "1e2", "1E+2"),
    ("number", "1.5e-3", "0.0015"),
    ("number", '"12.50"', "12.50"),
    ("number", '" 12.50 "', "12.50"),
    ("number", '"-3"', "-3"),
    ("number", '"+3.10"', "3.10"),
    ("number", '"1e3"', "1E+3"),
    ("number", '".5"', "0.5"),
    ("integer", "1", "1"),
    ("integer", "1.0", "1"),
    ("integer", "1.000", "1"),
    ("integer", "-0", "0"),
    ("integer", "1e3", "1000"),
    ("integer", '"12"', "12"),
    ("integer", '"12.0"', "12"),
    ("integer", "9223372036854775807", "9223372036854775807"),
    ("integer", "-9223372036854775808", "-9223372036854775808"),
    ("flag", "true", "true"),
    ("flag", "false", "false"),
    ("moment", '"2024-01-31T12:00:00Z"', '"2024-01-31T12:00:00Z"'),
    ("moment", '"2024-01-31T12:00:00.123456Z"', '"2024-01-31T12:00:00.123456Z"'),
    ("moment", '"2024-01-31"', '"2024-01-31T00:00:00Z"'),
    ("moment", '"2024-01-31T12:00:00"', '"2024-01-31T12:00:00Z"'),
    ("moment", '"2024-01-31T14:00:00.5+02:00"', '"2024-01-31T12:00:00.5Z"'),
    ("rows", "[]", "[]"),
    ("rows", '[1, "a", null, [2.50]]', '[1,"a",null,[2.50]]'),
    ("rows", '[{"moment": "soon", "number": "x"}]', '[{"moment":"soon","number":"x"}]'),
    ("open", "{}", "{}"),
    ("open", '{"moment": "0000-00-00", "n": 1.10}', '{"moment":"0000-00-00","n":1.10}'),
    ("outer", "{}", "{}"),
    ("outer", '{"new": {"x": 1.10}}', '{"new":{"x":1.10}}'),
    ("outer", '{"number": "1.10", "inner": {"integer": 2.0}}',
     '{"number":1.10,"inner":{"integer":2}}'),
    *((field, "null", "null") for field in [*LEAVES, "outer"]),
]  # fmt: skip

MISFITS = [
    ("text", "17"),
    ("text", "12.50"),
    ("text", "true"),
    ("text", "[]"),
    ("text", "{}"),
    ("number", '""'),
    ("number", '"12,50"'),
    ("number", '"$12"'),
    ("number", '"1 000"'),
    ("number", '"1_000"'),
    ("number", '"NaN"'),
    ("number", '"Infinity"'),
    ("number", '"0x10"'),
    ("number", '"١٢"'),
    ("number", '"1e99999"'),
    ("number", '"' + "9" * 2_000 + '"'),
    ("number", "true"),
    ("number", "[]"),
    ("integer", "1.5"),
    ("integer", '"1.5"'),
    ("integer", '"one"'),
    ("integer", "9223372036854775808"),
    ("integer", "-9223372036854775809"),
    ("integer", "false"),
    ("integer", "{}"),
    ("flag", "0"),
    ("flag", "1"),
    ("flag", '"true"'),
    ("flag", '""'),
    ("moment", '""'),
    ("moment", '"0000-00-00"'),
    ("moment", '"10000-01-01T00:00:00Z"'),
    ("moment", '"2024-01-31T24:00:00Z"'),
    ("moment", '"2023-02-29"'),
    ("moment", '"yesterday"'),
    ("moment", "1706702400000"),
    ("moment", "true"),
    ("rows", "{}"),
    ("rows", '"[]"'),
    ("open", "[]"),
    ("open", '"{}"'),
    ("outer", "[1]"),
    ("outer", '"x"'),
    ("outer", "0"),
]


@pytest.mark.parametrize(("field", "given_text", "left"), KEPT)
def test_a_value_that_fits_or_can_be_made_to_fit(field: str, given_text: str, left: str) -> None:
    record = sent(given_text, field)
    assert as_text(record[field]) == left
    assert set(record) == {"connection_id", "id", field}
    nested = conform(decode_row(f'{{"id": "1", "outer": {{"{field}": {given_text}}}}}'.encode()))
    if field != "outer":
        assert as_text(nested["outer"][field]) == left


@pytest.mark.parametrize(("field", "given_text"), MISFITS)
def test_a_value_that_does_not_fit_is_kept_beside_the_row(field: str, given_text: str) -> None:
    record = sent(given_text, field)
    value = decode_value(given_text.encode())
    assert record == {"connection_id": "c1", "id": "1", field: None, ISSUES: {field: value}}


@pytest.mark.parametrize(("field", "given_text"), [m for m in MISFITS if m[0] != "outer"])
def test_a_nested_value_that_does_not_fit_stands_under_its_dotted_path(
    field: str, given_text: str
) -> None:
    record = sent(f'{{"inner": {{"{field}": {given_text}, "new": "kept"}}}}', "outer")
    assert record["outer"] == {"inner": {field: None, "new": "kept"}}
    assert record[ISSUES] == {f"outer.inner.{field}": decode_value(given_text.encode())}


@pytest.mark.parametrize("digits", ["1e1001", "1e999999999", "1e99999999999999999999", "9" * 5_000])
def test_a_number_that_no_column_holds_is_kept_as_text(digits: str) -> None:
    """As a JSON number it would end the load of a whole batch, wherever it stands."""
    record = sent(digits, "number")
    assert record["number"] is None
    kept = record[ISSUES]["number"]
    record = sent(f'[{digits}, {{"a": {digits}}}]', "rows")
    for value in (kept, record["rows"][0], record["rows"][1]["a"]):
        assert isinstance(value, str)
        assert value.lower().replace("e+", "e") == digits


def test_several_misfits_of_one_row() -> None:
    counts = Repairs()
    record = conform(
        {"id": "1", "flag": 1, "outer": {"moment": "", "inner": {"integer": "x"}}}, counts
    )
    assert record[ISSUES] == {"flag": 1, "outer.moment": "", "outer.inner.integer": "x"}
    assert counts == Repairs(repaired_values=3)


# ---- NUL and lone surrogates

DIRTY = r"\u0000\ud800"
CLEAN = REPLACED * 2


@pytest.mark.parametrize(
    ("given_text", "left"),
    [
        (f'{{"rows": [["{DIRTY}"]]}}', {"rows": [[CLEAN]]}),
        (f'{{"rows": [{{"{DIRTY}": ["{DIRTY}"]}}]}}', {"rows": [{CLEAN: [CLEAN]}]}),
        (f'{{"open": {{"{DIRTY}": {{"{DIRTY}": 1}}}}}}', {"open": {CLEAN: {CLEAN: 1}}}),
        (f'{{"outer": {{"{DIRTY}": "{DIRTY}"}}}}', {"outer": {CLEAN: CLEAN}}),
        (f'{{"outer": {{"inner": {{"text": "{DIRTY}"}}}}}}', {"outer": {"inner": {"text": CLEAN}}}),
        (f'{{"{DIRTY}": {{"{DIRTY}": 1}}}}', {EXTRA: {CLEAN: {CLEAN: 1}}}),
        (f'{{"flag": "{DIRTY}"}}', {"flag": None, ISSUES: {"flag": CLEAN}}),
        (f'{{"open": "{DIRTY}"}}', {"open": None, ISSUES: {"open": CLEAN}}),
        (
            f'{{"outer": {{"moment": {{"{DIRTY}": 1}}}}}}',
            {"outer": {"moment": None}, ISSUES: {"outer.moment": {CLEAN: 1}}},
        ),
        (f'{{"moment": "2024-01-31{DIRTY}"}}',
         {"moment": None, ISSUES: {"moment": f"2024-01-31{CLEAN}"}}),
    ],
)  # fmt: skip
def test_nul_and_lone_surrogates_are_replaced_at_any_depth(
    given_text: str, left: dict[str, Any]
) -> None:
    row = decode_row(given_text.encode())
    record = conform({"id": "1", **row})
    assert record == {"connection_id": "c1", "id": "1", **left}


def test_an_id_is_cleaned_as_well() -> None:
    assert conform(decode_row(rf'{{"id": "{DIRTY}"}}'.encode()))["id"] == CLEAN


# ---- secrets

SECRETS = ["access_token", "link_url", "reauth_link_url", "update_url", "ACCESS_TOKEN", "Link_URL"]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "row",
    [
        {"NAME": "secret"},
        {"new": {"NAME": "secret", "kept": 1}},
        {"new": [{"deep": [{"NAME": {"a": "secret"}, "kept": 1}]}]},
        {"rows": [[{"NAME": "secret", "kept": 1}]]},
        {"open": {"NAME": ["secret"], "kept": {"NAME": "secret"}}},
        {"outer": {"NAME": "secret", "inner": {"NAME": "secret", "kept": 1}}},
        {"outer": {"new": {"NAME": "secret"}}},
        {"flag": {"NAME": "secret", "kept": 1}},
        {"outer": {"moment": [{"NAME": "secret"}]}},
        {"outer": [{"NAME": "secret"}]},
    ],
)
def test_a_field_whose_name_says_secret_is_dropped_at_any_depth(
    row: dict[str, Any], name: str
) -> None:
    text = json.dumps({"id": "1", **row}).replace("NAME", name)
    left = as_text(conform(decode_row(text.encode())))
    assert "secret" not in left
    assert name not in left
    assert ("kept" in text) == ("kept" in left)


@pytest.mark.parametrize("name", ["url", "platform_url", "token", "linked_url", "link_urls"])
def test_other_names_say_no_secret(name: str) -> None:
    assert conform({"id": "1", name: "x"})[EXTRA] == {name: "x"}


def test_a_text_that_names_a_secret_field_is_a_text() -> None:
    assert conform({"id": "1", "text": "access_token"})["text"] == "access_token"


# ---- unknown fields


def test_unknown_fields_are_kept_beside_the_row_as_they_came() -> None:
    counts = Repairs()
    record = conform(
        decode_row(b'{"id": "1", "new": {"at": "soon", "n": 1.10}, "other": null, "text": "x"}'),
        counts,
    )
    assert record == {
        "connection_id": "c1",
        "id": "1",
        "text": "x",
        EXTRA: {"new": {"at": "soon", "n": Decimal("1.10")}, "other": None},
    }
    assert counts == Repairs(unknown_fields=2)


def test_unknown_nested_fields_stay_where_they_are() -> None:
    record = conform({"id": "1", "outer": {"new": 1, "inner": {"newer": [2]}}})
    assert record == {
        "connection_id": "c1",
        "id": "1",
        "outer": {"new": 1, "inner": {"newer": [2]}},
    }


@pytest.mark.parametrize("name", [EXTRA, ISSUES])
def test_a_field_of_the_api_never_passes_for_one_of_the_taps_own(name: str) -> None:
    assert conform({"id": "1", name: {"a": 1}})[EXTRA] == {name: {"a": 1}}


@pytest.mark.parametrize(
    ("own", "extra"), [("c1", None), (None, None), ("other", {"connection_id": "other"})]
)
def test_the_connection_is_stamped_by_the_tap(own: str | None, extra: Any) -> None:
    record = conform({"id": "1", "connection_id": own})
    assert record["connection_id"] == "c1"
    assert record.get(EXTRA) == extra


def test_the_connection_is_the_first_field() -> None:
    assert next(iter(conform({"text": "x", "id": "1"}))) == "connection_id"


def test_a_stream_without_connections_gets_none() -> None:
    conformer = Conformer("connections", FieldTypes.of(SCHEMA), ("id",))
    assert conformer.conform({"id": "1"}, None, Repairs()) == {"id": "1"}


@pytest.mark.parametrize("name", ["select", "a.b", "_sdc_x", "x" * 70, "Text", "", "ünï", "a b"])
def test_odd_names_are_kept(name: str) -> None:
    assert conform({"id": "1", name: 1})[EXTRA] == {name: 1}


def test_rows_that_the_tap_makes_hold_nothing_but_their_columns() -> None:
    conformer = Conformer("statuses", FieldTypes.of(SCHEMA), REPLICATION_KEY, closed=True)
    row = {"id": "1", "text": "x", "flag": "no", "new": 1, "access_token": "secret"}
    record = conformer.conform(row, "c1", Repairs())
    assert record == {"connection_id": "c1", "id": "1", "text": "x", "flag": None}


def test_a_text_with_a_raw_line_break_stays_in_rows_that_the_tap_makes() -> None:
    conformer = Conformer("statuses", FieldTypes.of(SCHEMA), REPLICATION_KEY, closed=True)
    row = {"id": "1", "text": Unfit.of("two\nlines", '"two\nlines"')}
    assert conformer.conform(row, "c1", Repairs())["text"] == "two\nlines"


# ---- any row at all

names = st.one_of(
    st.sampled_from([*FIELDS, "inner", "connection_id", EXTRA, ISSUES]),
    st.sampled_from(["access_token", "x_link_url", "update_url"]),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=8),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(10**1200), max_value=10**1200),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal("1E+9999"), Decimal("-0.0"), Decimal("1E-9999"), Decimal("1.0")]),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=8),
    st.sampled_from(["", "0000-00-00", "2024-01-31", "12.50", "NaN", "\ud800", "\x00"]),
    st.datetimes().map(lambda moment: moment.isoformat()),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=5)),
    max_leaves=10,
)
rows = st.dictionaries(names, values, max_size=8)


def leaves_of(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every name and text in a value."""
    if isinstance(value, dict):
        return [leaf for key, entry in value.items() for leaf in leaves_of(entry, key)]
    if isinstance(value, list):
        return [leaf for entry in value for leaf in leaves_of(entry, name)]
    return [(name, value)]


@given(rows)
@example({"id": Decimal("1E+9999")})
@example({"id": "1", "rows": [Decimal("1E+9999")]})
def test_any_row_has_a_record_that_its_schema_allows(row: dict[str, Any]) -> None:
    record = conform(row)
    text = ENCODER.encode(record)
    assert b"\\u0000" not in text
    decoded = json.loads(text, parse_float=Decimal)
    VALIDATOR.validate(decoded)
    assert decoded["connection_id"] == "c1"
    assert isinstance(decoded["id"], str)
    assert decoded["id"]
    for name, value in leaves_of(decoded):
        assert not re.fullmatch(r"access_token|update_url|.*link_url", name, re.I | re.S)
        assert not isinstance(value, Decimal) or abs(value.adjusted()) <= 1_000


@given(rows)
def test_a_record_brought_into_form_is_in_form(row: dict[str, Any]) -> None:
    record = conform(row)
    counts = Repairs()
    declared = {name: record[name] for name in record if name in FIELDS}
    again = conform({**declared, "connection_id": record["connection_id"]}, counts)
    assert again == {"connection_id": "c1", **declared}
    assert as_text(again) == as_text({"connection_id": "c1", **declared})
    assert counts == Repairs()


@given(rows)
def test_no_value_is_lost(row: dict[str, Any]) -> None:
    """What is null in a record though it was not in its row stands among the issues."""
    record = conform(row)
    for name, value in row.items():
        if name in FIELDS and name != "id" and value is not None and record[name] is None:
            assert name in record[ISSUES]
    issues = [path for path in record.get(ISSUES, {}) if "." not in path]
    assert set(issues) <= set(FIELDS)
