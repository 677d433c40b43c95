"""JSON that strict readers refuse: it loses neither a page nor a batch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from support.in_process import sync
from support.partitions import asked, status
from support.singer import Json

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

ORDERS, PATH = "commerce_orders", "/orders"
ISSUES = "_rutter_issues"


def shop(rows: dict[str, str], *, plain: int = 3) -> tuple[World, Connection]:
    """A shop with these odd orders, parts of JSON by id, and some that are plain."""
    world = World(31, history_days=30)
    connection = world.add_connection("SHOPIFY", counts={PATH: plain})
    for minute, (key, inside) in enumerate(rows.items()):
        moment = datetime(2026, 3, 1, 12, minute, tzinfo=UTC)
        text = f'{{"id":"{key}","updated_at":"{moment:%Y-%m-%dT%H:%M:%S.000Z}",{inside}}}'
        world.put_raw(connection.id, PATH, key, text, updated_at=moment)
    return world, connection


def by_id(rows: list[Json]) -> dict[str, Json]:
    return {row["id"]: row for row in rows}


@pytest.mark.parametrize("number", ["1e200000", "1e-99999", "-1E+30000", "9" * 5_000])
def test_a_vast_number_leaves_as_text_wherever_it_stands(number: str) -> None:
    world, _ = shop(
        {
            "declared": f'"total_price":{number}',
            "array": f'"line_items":[{{"price":{number}}},{number}]',
            "object": f'"customer":{{"points":{number}}}',
            "unknown": f'"new_field":{{"deep":[{number}]}}',
        }
    )
    with Simulator(world) as simulator:
        messages = sync(simulator, ORDERS)
    rows = by_id(messages.records[ORDERS])
    assert len(rows) == 4 + 3
    text = number if number.isdigit() else str(Decimal(number))
    assert rows["declared"]["total_price"] is None
    assert rows["declared"][ISSUES] == {"total_price": text}
    assert rows["array"]["line_items"] == [{"price": text}, text]
    assert rows["object"]["customer"] == {"points": text}
    assert rows["unknown"]["_rutter_extra"] == {"new_field": {"deep": [text]}}
    # Nothing that a target would read as a number is beyond what a database holds.
    assert all(number not in line for line in written(messages.lines))


def written(lines: tuple[Json, ...]) -> list[str]:
    """Lines without their texts: numbers and structure are left."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: bare(entry) for name, entry in value.items()}
        if isinstance(value, list):
            return [bare(entry) for entry in value]
        return "" if isinstance(value, str) else value

    return [json.dumps(bare(line), default=str) for line in lines]


def test_what_is_not_quite_json_costs_one_value_and_one_request() -> None:
    world, connection = shop(
        {
            "tab": '"name":"a\tb"',
            "nan": '"total_price":NaN',
            "infinite": '"total_tax":-Infinity',
            "nested": '"customer":{"email":"a\x01b","first_name":"Ada"}',
            "inside": '"line_items":[{"title":"a\tb","price":NaN}]',
            "nul": '"name":"a\x00b"',
        }
    )
    with Simulator(world) as simulator:
        messages = sync(simulator, ORDERS, max_retry_seconds=0)
        assert asked(simulator)[PATH] == 1
    rows = by_id(messages.records[ORDERS])
    assert len(rows) == 6 + 3
    assert (rows["tab"]["name"], rows["tab"][ISSUES]) == (None, {"name": "a\tb"})
    assert (rows["nan"]["total_price"], rows["nan"][ISSUES]) == (None, {"total_price": "NaN"})
    assert rows["infinite"][ISSUES] == {"total_tax": "-Infinity"}
    assert rows["nested"]["customer"] == {"email": None, "first_name": "Ada"}
    assert rows["nested"][ISSUES] == {"customer.email": "a\x01b"}
    assert rows["inside"]["line_items"] == [{"title": "a\tb", "price": "NaN"}]
    assert rows["nul"][ISSUES] == {"name": "a\ufffdb"}
    for key in world.keys(connection.id, PATH):
        if len(key) == 36:
            assert ISSUES not in rows[key]
    assert status(messages, ORDERS) == ("complete", None)
    (report,) = (row for row in messages.records["sync_report"] if row["stream"] == ORDERS)
    assert (report["rows"], report["repaired_values"]) == (9, 5)
    assert messages.state["bookmarks"][ORDERS]["partitions"]


@pytest.mark.parametrize("cut", [1, 10, 30, 75])
def test_a_page_that_is_cut_short_is_tried_again_whatever_else_is_odd_in_it(cut: int) -> None:
    world, connection = shop({}, plain=0)
    rows = '{"id":"1","name":"a\tb","total_price":NaN},{"id":"2","updated_at":"2026-03-01"}'
    body = f'{{"orders":[{rows}],"next_cursor":null}}'
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=body[:-cut], times=1)
        simulator.faults.add("respond", path=PATH, status=200, body=body, times=None)
        messages = sync(simulator, ORDERS, max_retry_seconds=30)
    assert status(messages, ORDERS) == ("complete", None)
    assert {row["id"] for row in messages.records[ORDERS]} == {"1", "2"}
    (report,) = (row for row in messages.records["sync_report"] if row["stream"] == ORDERS)
    assert report["retries"] == 1
    assert connection.id == report["connection_id"]


@pytest.mark.parametrize(
    ("stream", "path", "body", "expected"),
    [
        (
            "commerce_store",
            "/store",
            '{"store":{"id":"1","store_name":"a\tb","url":"x"}}',
            {"store_name": None, ISSUES: {"store_name": "a\tb"}},
        ),
        (
            # Rows that the tap makes itself have no column for what is set aside.
            "commerce_metrics",
            "/commerce/metrics/total_revenue",
            '{"total_revenue":[{"start_date":"2026-01-01","end_date":"2026-01-31","currency":"USD",'
            '"value":NaN}]}',
            {"metric": "total_revenue", "value": "NaN", "currency": "USD"},
        ),
    ],
)
def test_answers_that_are_not_lists_are_read_as_leniently(
    stream: str, path: str, body: str, expected: Json
) -> None:
    world = World(31, history_days=30)
    world.add_connection("SHOPIFY")
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=path, status=200, body=body, times=None)
        messages = sync(simulator, stream, max_retry_seconds=0)
        assert asked(simulator)[path] == 1
    rows = [row for row in messages.records[stream] if row.get("metric") in {None, "total_revenue"}]
    assert [{name: row[name] for name in expected} for row in rows] == [expected]


@pytest.mark.parametrize(
    "value", ['"123456789"', '{"card":{"brand":"visa"}}', "[1.10]", "7", "true", "null"]
)
def test_gateway_data_lands_whatever_it_is(value: str) -> None:
    path, stream = "/transactions", "commerce_transactions"
    world = World(31, history_days=30)
    connection = world.add_connection("SHOPIFY", counts={path: 2})
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    for key, more in (("alone", ""), ("full", ',"new_field":1')):
        inside = f'"updated_at":"2026-03-01T00:00:00.000Z","gateway_data":{value}{more}'
        text = f'{{"id":"{key}",{inside}}}'
        world.put_raw(connection.id, path, key, text, updated_at=moment)
    with Simulator(world) as simulator:
        messages = sync(simulator, stream)
    rows = by_id(messages.records[stream])
    expected = json.loads(value, parse_float=Decimal)
    assert rows["alone"]["gateway_data"] == rows["full"]["gateway_data"] == expected
    assert all(ISSUES not in row for row in rows.values())
