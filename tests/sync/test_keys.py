"""No column of a key is null or empty, in any stream, whatever the API sends.

Loaders that go by way of CSV or COPY take an empty text for NULL, which no key column may hold: one
such row ends the load of the whole run.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from support.compare import DERIVED
from support.in_process import sync
from support.singer import Messages

from tap_rutter.api.json_text import ENCODER
from tap_rutter.api.pages import Page
from tap_rutter.errors import PartitionFailed
from tap_rutter.records.conform import Repairs, decode_row
from tap_rutter.simulator import Simulator, World, standard_world
from tap_rutter.streams import OPTIONAL
from tap_rutter.streams.base import RutterStream
from tap_rutter.tap import TapRutter

pytestmark = pytest.mark.any_workers

TAP = TapRutter(config={"optional_streams": list(OPTIONAL)}, validate_config=False)
STREAMS = {stream.name: stream for stream in TAP.rutter_streams}
ABSENT = object()
ODD: list[Any] = [None, "", 0, 17, Decimal("1.50"), True, [], {}, ["x"], " ", ABSENT]


@cache
def whole() -> Messages:
    """Everything that the standard world shows, and a few connections that are never read."""
    with Simulator(standard_world(scale=0.05)) as simulator:
        return sync(simulator, optional_streams=list(OPTIONAL))


def key_of(stream: str, record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in STREAMS[stream].primary_keys)


@pytest.mark.parametrize("stream", STREAMS)
def test_no_key_of_what_leaves_is_empty_or_comes_twice(stream: str) -> None:
    keys = [key_of(stream, record) for record in whole().records[stream]]
    assert keys, "a stream without rows proves nothing"
    assert all(isinstance(part, str) and part for primary_keys in keys for part in primary_keys)
    assert len(set(keys)) == len(keys)


def rows_of(stream: str) -> list[dict[str, Any]]:
    """A few rows of a stream, as the API would give them: what the tap stamps is left out."""
    stamped = {"connection_id"} if stream not in {"connections", "sync_report"} else set()
    return [
        {name: value for name, value in record.items() if name not in stamped}
        for record in whole().records[stream][:3]
    ]


def delivered(stream: RutterStream, row: dict[str, Any]) -> list[dict[str, Any]]:
    """What leaves for a row, by the fast path where it passes, else by the full path."""
    raw = ENCODER.encode(row)
    page = Page(raws=[raw], next_cursor=None, received_ms=1_700_000_000_000, size=len(raw))
    connection = None if stream.name in {"connections", "sync_report"} else "c1"
    if stream.fast_path is not None and stream.fast_path.passes(raw):
        return [{**row, "connection_id": connection}]
    rows = (
        [decode_row(raw)]
        if stream.is_allow_list
        else stream.transform_row(decode_row(raw), page, None)
    )
    return [stream.conformer.conform(entry, connection, Repairs()) for entry in rows]


@pytest.mark.parametrize("stream", STREAMS)
def test_no_key_is_empty_whatever_a_row_holds(stream: str) -> None:
    asked = STREAMS[stream]
    looked_at = 0
    for given in rows_of(stream):
        for column in given.keys() & set(asked.primary_keys):
            for odd in ODD:
                row = {name: value for name, value in given.items() if name != column}
                if odd is not ABSENT:
                    row[column] = odd
                try:
                    records = delivered(asked, row)
                except PartitionFailed:  # the pair fails, and nothing leaves
                    continue
                for record in records:
                    looked_at += 1
                    for part in key_of(stream, record):
                        assert isinstance(part, str) and part, (column, odd, record)
    assert looked_at or set(asked.primary_keys) == {"connection_id"}


@pytest.mark.parametrize("empty", [None, ""])
def test_metrics_without_a_currency_have_a_star(empty: str | None) -> None:
    path = "/accounting/metrics/current_ratio"
    world = World(5, history_days=90)
    world.add_connection("QUICKBOOKS")
    values = [{"start_date": "a", "end_date": "b", "currency": empty, "value": "1"}]
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=path, status=200, body=json.dumps({"current_ratio": values})
        )
        run = sync(simulator, "accounting_metrics", optional_streams=["accounting_metrics"])
    (record,) = (r for r in run.records["accounting_metrics"] if r["metric"] == "current_ratio")
    assert (record["start_date"], record["currency"]) == ("a", "*")


@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize(
    ("stream", "path", "platform", "body", "column"),
    [
        (
            "commerce_balance",
            "/balance",
            "STRIPE",
            {"balance": [{"amount": 1, "iso_currency_code": "?"}]},
            "iso_currency_code",
        ),
        (
            "accounting_custom_fields",
            "/accounting/bills/custom_fields",
            "NETSUITE",
            {"custom_fields": {"entity": [{"key": "?", "name": "n"}], "entity.line_items": []}},
            "key",
        ),
        (
            "commerce_product_categories",
            "/products/categories",
            "SHOPIFY",
            {"categories": [{"id": "?", "name": "n", "children": [{"id": "2", "children": []}]}]},
            "id",
        ),
        (
            "deleted_objects",
            "/events",
            "QUICKBOOKS",
            {"events": [{"id": "?", "resource": "BILL", "data": {"id": "b"}}]},
            "id",
        ),
        (
            "accounting_bills",
            "/accounting/bills",
            "QUICKBOOKS",
            {"bills": [{"id": "?", "last_synced_at": "2026-01-01T00:00:00Z"}]},
            "id",
        ),
    ],
)
def test_what_the_api_leaves_empty_is_not_empty_in_a_key(
    stream: str, path: str, platform: str, body: dict[str, Any], column: str, empty: str | None
) -> None:
    world = World(5, history_days=90)
    world.add_connection(platform)
    sent = json.dumps(body).replace('"?"', json.dumps(empty))
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=path, status=200, body=sent, times=None)
        run = sync(simulator, stream, optional_streams=[stream] if stream in OPTIONAL else [])
    assert run.code == 0, run.log
    records = [r for r in run.records[stream] if DERIVED.fullmatch(r[column])]
    assert len(records) == 1
    for record in run.records[stream]:
        assert all(key_of(stream, record))
    children = [r for r in run.records[stream] if r.get("parent_id")]
    assert {r["parent_id"] for r in children} <= {records[0]["id"]} if children else True


def test_the_report_on_the_listing_has_a_star() -> None:
    world = World(5, history_days=30)
    world.add_connection("QUICKBOOKS")
    with Simulator(world) as simulator:
        run = sync(simulator, "connections")
    assert run.report("connections", "*")["rows"] == 1
    assert [row["connection_id"] for row in run.reports] == ["*"]
