"""The fast and the full path of a record give equal messages, whatever the row and the stream."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.in_process import sync
from support.singer import catalog_of, run_tap
from support.singer import settings as configured

from tap_rutter.api.json_text import ENCODER, is_clean
from tap_rutter.records.conform import Conformer, FieldTypes, Repairs, decode_row
from tap_rutter.records.fast_path import FastPath
from tap_rutter.schema.document import document
from tap_rutter.schema.json_schema import is_any
from tap_rutter.schema.record_schema import record_schema
from tap_rutter.simulator import Simulator, standard_world
from tap_rutter.sync.delivery import Line

pytestmark = pytest.mark.any_workers

MOMENT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
STREAMS = (
    "Order",
    "Invoice",
    "Payout",
    "CommerceTransaction",
    "CommerceCustomer",
    "Employee",
    "CompanyInfo",
)
REPLICATION_KEY = ("connection_id", "id")


class Bare(str):
    """JSON text to be sent, which may be malformed on purpose."""


@cache
def ways(component: str) -> tuple[dict[str, Any], FastPath, Conformer]:
    """A component's schema and the two ways of its rows."""
    pinned = document("2024-08-31")
    name = component if component in pinned.components else "HrisEmployee"
    schema = record_schema(pinned.properties(name), REPLICATION_KEY)
    return (
        schema,
        FastPath(schema, REPLICATION_KEY),
        Conformer("stream", FieldTypes.of(schema), REPLICATION_KEY),
    )


TIMES = st.one_of(
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)).map(
        lambda moment: moment.isoformat() + "Z"
    ),
    st.sampled_from(
        [
            "2024-02-29T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-31T00:00:00.123456789Z",
            "2024-01-31T00:00:00.1234567890Z",
            "2024-01-31T24:00:00Z",
            "2024-01-31T23:59:60Z",
            "2024-01-31T10:00:00+02:00",
            "2024-01-31",
            "0000-00-00",
            "10000-01-01T00:00:00Z",
            "2024-01-31T00:00:00Z\n",
            "",
        ]
    ),
)
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=4),
    st.integers(-(2**70), 2**70),
    st.sampled_from([Decimal("1E+400"), Decimal("1E-400"), Decimal("-0.0"), Decimal("1.10")]),
)
VAST = st.sampled_from(
    [
        *map(Bare, ("1e200000", "1e-99999", "-1.5E+1001", "1e0001001", "10e1000", "0e-5000")),
        Bare("0." + "0" * 1_500 + "1"),
        Bare("9" * 1_500),
        Bare("9" * 5_000),
        # As far as an exponent may go, and what only looks like one.
        *map(Bare, ("1e1000", "1e-1000", "1e99", "1e-7", '"1e5000"', '"1e5000, 1e6000 "')),
        # What is not quite JSON.
        *map(Bare, ("NaN", "-Infinity", '"a\tb"', '"\x00"')),
    ]
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "\x00", "a\ud800b", "\U0001f600", "access_token", "ünï", '\n\r\t\\"']),
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, TIMES, VAST),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(TEXTS, st.sampled_from(["access_token", "x_link_url", "update_url"])),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


def value_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Mostly what a field is declared as, now and then anything."""
    if is_any(schema):
        return ANYTHING
    kind = next(entry for entry in schema["type"] if entry != "null")
    if schema.get("format") == "date-time":
        fitting: st.SearchStrategy[Any] = TIMES
    elif kind == "object" and schema.get("properties"):
        fitting = row_of(schema["properties"])
    else:
        fitting = {
            "string": TEXTS,
            "number": st.one_of(NUMBERS, VAST),
            "integer": st.one_of(st.integers(), NUMBERS),
            "boolean": st.booleans(),
            "array": st.lists(ANYTHING, max_size=3),
            "object": st.dictionaries(TEXTS, ANYTHING, max_size=3),
        }[kind]
    return st.one_of(fitting, fitting, fitting, st.none(), ANYTHING)


def row_of(properties: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the declared fields."""
    names = sorted(properties)
    return st.lists(st.sampled_from(names), unique=True, max_size=6).flatmap(
        lambda chosen: st.fixed_dictionaries({name: value_of(properties[name]) for name in chosen})
    )


def json_text(value: Any) -> str:
    """JSON with the digits of decimals, and with lone surrogates escaped as platforms send them."""
    if isinstance(value, Decimal | Bare):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {json_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n".join(map(json_text, value)) + "]"
    return json.dumps(value)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_row_that_takes_the_fast_path_leaves_as_it_would_on_the_full_path(
    data: st.DataObject,
) -> None:
    schema, short, conformer = ways(data.draw(st.sampled_from(STREAMS)))
    fields = {name: field for name, field in schema["properties"].items() if name[0] != "_"}
    del fields["connection_id"]
    row = data.draw(row_of(fields)) | {"id": data.draw(st.sampled_from(["a", "b-1", "", None, 5]))}
    if data.draw(st.booleans()) and data.draw(st.booleans()):
        row[data.draw(st.sampled_from(["unknown", "access_token", "_rutter_extra"]))] = 1
    raw = json_text(row).encode("utf-8", "surrogatepass")
    line = Line("stream", "c1", MOMENT)
    if not short.passes(raw):
        return
    conformed = conformer.conform(decode_row(raw), "c1", Repairs())
    assert decimals(line.of_raw(raw)) == decimals(line.of(ENCODER.encode(conformed)))
    assert b"\n" not in line.of_raw(raw)


def decimals(line: bytes) -> Any:
    return json.loads(line, parse_float=Decimal)


@pytest.mark.parametrize("component", STREAMS)
def test_an_ordinary_row_does_take_the_fast_path(component: str) -> None:
    schema, short, _ = ways(component)
    row: dict[str, Any] = {}
    for name, field in schema["properties"].items():
        kind = next(entry for entry in field["type"] if entry != "null")
        if name[0] == "_" or name == "connection_id":
            continue
        row[name] = {
            "string": "2026-03-02T09:30:00.000Z" if "format" in field else "text",
            "number": 1.5,
            "integer": 3,
            "boolean": True,
            "array": [{"a": 1}],
            "object": {},
        }[kind]
    raw = json.dumps(row).encode()
    assert short.passes(raw)
    assert not short.passes(json.dumps({**row, "new_field": 1}).encode())
    # A secret in a list, whose entries have no declared fields: only its name gives it away.
    lists = [name for name, value in row.items() if isinstance(value, list)]
    for name in lists:
        secret = {**row, name: [{"access_token": "x"}]}
        assert not short.passes(json.dumps(secret).encode())
    assert is_clean(raw)
    assert not is_clean(json.dumps({"deep": [{"access_token": "x"}]}).encode())


def test_deselected_fields_stay_behind_on_the_fast_path() -> None:
    schema, _, _ = ways("Order")
    short = FastPath(schema, REPLICATION_KEY, without=["status", "line_items"])
    raw = b'{"id":"a","status":"paid","line_items":[{"x":1}],"total_price":1.10}'
    assert short.passes(raw)
    line = Line("stream", "c1", MOMENT).of_raw(short.selected(raw))
    assert b'"record":{"connection_id":"c1","id":"a","total_price":1.10}' in line


@pytest.mark.parametrize("dropped", [("status",), ("status", "customer")])
def test_a_catalog_that_deselects_fields_drops_them_from_records_and_schema(
    dropped: tuple[str, ...],
) -> None:
    world = standard_world(seed=1)
    catalog = catalog_of("commerce_orders")
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if part["breadcrumb"] and part["breadcrumb"][-1] in dropped:
                part["metadata"]["selected"] = False
    with Simulator(world) as simulator:
        ended = run_tap(config=configured(simulator), catalog=catalog)
        whole = sync(simulator, "commerce_orders")
    assert ended.code == 0
    records = ended.messages.records["commerce_orders"]
    expected = [
        {name: value for name, value in record.items() if name not in dropped}
        for record in whole.records["commerce_orders"]
    ]
    assert records == expected
    assert len(records) > 100
    properties = ended.messages.schemas["commerce_orders"]["schema"]["properties"]
    assert not set(dropped) & set(properties)
