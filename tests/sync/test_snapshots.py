"""What is read whole at every run: single objects, trees, figures by name."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from support.in_process import sync
from support.partitions import GONE, asked, status
from support.singer import Json

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers


def connected(platform: str, **options: Any) -> tuple[World, Connection]:
    """A world with one connection."""
    world = World(9, **options)
    return world, world.add_connection(platform)


def read(world: World, stream: str, body: object, path: str, **settings: Any) -> list[Json]:
    """A stream's rows where its endpoint answers with this body."""
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=path, status=200, body=json.dumps(body), times=None)
        return sync(simulator, stream, **settings).records[stream]


# ---- balance


@pytest.mark.parametrize("form", ["object", "array"])
def test_a_balance_is_a_row_for_the_day_whether_object_or_array(form: str) -> None:
    world, connection = connected("STRIPE")
    world.switches.set("balance", form)
    with Simulator(world) as simulator:
        messages = sync(simulator, "commerce_balance")
    (shown,) = world.rows(connection.id, "/balance")
    assert messages.records["commerce_balance"] == [
        {"connection_id": connection.id, **shown, "date": "2026-03-02T00:00:00.000Z"}
    ]
    assert asked(simulator) == {"/balance": 1}
    assert "commerce_balance" not in messages.state["bookmarks"]


def test_balances_in_several_currencies_are_several_rows() -> None:
    world, connection = connected("PAYPAL")
    amounts = [("USD", 12.5), ("EUR", -3), ("JPY", 1000)]
    body = {"balance": [{"iso_currency_code": code, "amount": amount} for code, amount in amounts]}
    rows = read(world, "commerce_balance", body, "/balance")
    assert [(row["iso_currency_code"], row["amount"]) for row in rows] == amounts
    assert {row["connection_id"] for row in rows} == {connection.id}


def test_balances_of_different_days_build_up_a_history() -> None:
    world = World(9, start=datetime(2026, 3, 2, 23, 50, tzinfo=UTC))
    world.add_connection("STRIPE")
    keys = []
    with Simulator(world) as simulator:
        for _ in range(3):
            (row,) = sync(simulator, "commerce_balance").records["commerce_balance"]
            keys.append((row["date"][:10], row["iso_currency_code"]))
            world.advance(8 * 60)
    assert keys == [("2026-03-02", "USD"), ("2026-03-02", "USD"), ("2026-03-03", "USD")]


@pytest.mark.parametrize(
    ("stream", "path", "platform", "body"),
    [
        ("commerce_balance", "/balance", "STRIPE", {"balance": "none"}),
        ("commerce_balance", "/balance", "STRIPE", {"balance": [1]}),
        ("commerce_balance", "/balance", "STRIPE", {"amount": 1}),
        ("commerce_store", "/store", "SHOPIFY", {"connection": {}}),
        (
            "commerce_product_categories",
            "/products/categories",
            "SHOPIFY",
            {"categories": {"id": "1"}},
        ),
        (
            "accounting_custom_fields",
            "/accounting/*/custom_fields",
            "NETSUITE",
            {"custom_fields": []},
        ),
        ("commerce_metrics", "/commerce/metrics/*", "SHOPIFY", {"checkpoint": None}),
    ],
)
def test_an_answer_of_another_form_is_a_failure_and_no_empty_list(
    stream: str, path: str, platform: str, body: object
) -> None:
    world, _ = connected(platform)
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=path, status=200, body=json.dumps(body), times=None)
        messages = sync(simulator, stream)
    assert status(messages, stream) == ("failed", "bad_response")


# ---- store and company


@pytest.mark.parametrize("body", [{"store": None}, {"store": []}])
def test_a_shop_that_rutter_does_not_know_gives_no_row(body: object) -> None:
    world, _ = connected("SHOPIFY")
    assert read(world, "commerce_store", body, "/store") == []


@pytest.mark.parametrize(
    ("stream", "path", "platform"),
    [
        ("commerce_store", "/store", "SHOPIFY"),
        ("accounting_company_info", "/accounting/company_info", "QUICKBOOKS"),
    ],
)
def test_a_single_object_is_a_row_at_every_run(stream: str, path: str, platform: str) -> None:
    world, connection = connected(platform)
    with Simulator(world) as simulator:
        first = sync(simulator, stream)
        (key,) = world.keys(connection.id, path)
        world.update(connection.id, path, key, platform_id="another")
        second = sync(simulator, stream, state=first.state)
    (shown,) = world.rows(connection.id, path)
    assert second.records[stream] == [{"connection_id": connection.id, **shown}]
    assert [row["id"] for row in first.records[stream]] == [shown["id"]]
    assert first.records[stream][0]["platform_id"] != "another"
    assert asked(simulator) == {path: 2}


# ---- categories


def categories(body: list[Json]) -> list[Json]:
    """The rows of a tree of categories, without their connection."""
    world, connection = connected("SHOPIFY")
    path = "/products/categories"
    rows = read(world, "commerce_product_categories", {"categories": body}, path)
    assert {row.pop("connection_id") for row in rows} <= {connection.id}
    return rows


def test_a_tree_of_categories_becomes_flat_rows() -> None:
    tree: list[Json] = [
        {
            "id": "home",
            "name": "Home",
            "children": [
                {"id": "lamps", "name": "Lamps", "children": [{"id": "desk", "name": "Desk"}]},
                {"id": "rugs", "name": "Rugs", "children": []},
            ],
        },
        {"id": "garden", "name": None, "children": None},
    ]
    assert categories(tree) == [
        {"id": "home", "name": "Home", "parent_id": None, "path": ["home"], "position": 0},
        {
            "id": "lamps",
            "name": "Lamps",
            "parent_id": "home",
            "path": ["home", "lamps"],
            "position": 0,
        },
        {
            "id": "desk",
            "name": "Desk",
            "parent_id": "lamps",
            "path": ["home", "lamps", "desk"],
            "position": 0,
        },
        {
            "id": "rugs",
            "name": "Rugs",
            "parent_id": "home",
            "path": ["home", "rugs"],
            "position": 1,
        },
        {"id": "garden", "name": None, "parent_id": None, "path": ["garden"], "position": 1},
    ]


def test_a_category_below_itself_ends_the_way() -> None:
    tree = [{"id": "a", "children": [{"id": "b", "children": [{"id": "a", "children": []}]}]}]
    rows = [(row["id"], row["parent_id"], row["path"]) for row in categories(tree)]
    assert rows == [("a", None, ["a"]), ("b", "a", ["a", "b"])]


def test_categories_without_an_id_are_told_apart_and_keep_their_parents() -> None:
    shoes = {"name": "Shoes", "children": [{"id": None, "name": "Shoes"}]}
    tree: list[Json] = [{"name": name, "children": [dict(shoes)]} for name in ("Women", "Men")]
    rows = categories(tree)
    assert [row["name"] for row in rows] == ["Women", "Shoes", "Shoes", "Men", "Shoes", "Shoes"]
    assert len({row["id"] for row in rows}) == 6
    assert all(row["id"].startswith("tap:") for row in rows)
    ids = [row["id"] for row in rows]
    assert [row["parent_id"] for row in rows] == [None, *ids[:2], None, *ids[3:5]]
    assert [row["path"] for row in rows[:3]] == [ids[:1], ids[:2], ids[:3]]
    assert categories(tree) == rows


def test_categories_whose_ids_are_numbers_have_them_as_text() -> None:
    rows = categories([{"id": 1, "children": [{"id": 2, "children": [{"id": 1}]}]}])
    assert [(row["id"], row["parent_id"], row["path"]) for row in rows] == [
        ("1", None, ["1"]),
        ("2", "1", ["1", "2"]),
    ]


def test_a_tree_may_be_deep_and_wide() -> None:
    deep: Json = {"id": "0", "children": []}
    for number in range(1, 200):
        deep = {"id": str(number), "children": [deep]}
    wide = [{"id": f"w{number}", "children": []} for number in range(3000)]
    rows = categories([deep, *wide])
    assert len(rows) == 3200
    assert len(rows[199]["path"]) == 200
    assert [row["position"] for row in rows[200:]] == list(range(1, 3001))


# ---- custom fields


def custom_field(key: str, **fields: Any) -> Json:
    return {"key": key, "name": key.title(), "type": "string", "required": False, **fields}


@pytest.mark.parametrize("keys", ["literal", "named"])
def test_custom_fields_of_every_type_of_entity_whatever_the_wire_calls_it(keys: str) -> None:
    world, connection = connected("NETSUITE")
    world.switches.set("custom_field_keys", keys)
    stream = "accounting_custom_fields"
    with Simulator(world) as simulator:
        messages = sync(simulator, stream)
    types = ("bills", "expenses", "invoices", "invoice_payments", "journal_entries")
    paths = {name: f"/accounting/{name}/custom_fields" for name in types}
    assert asked(simulator) == dict.fromkeys(paths.values(), 1)
    assert {
        entry.params.get("platform_fields")
        for path in paths.values()
        for entry in simulator.requests.to(path)
    } == {"true"}
    expected = Counter(
        (name, "line_items" if "line_items" in section else "entity", field["key"])
        for name, path in paths.items()
        for sections in world.rows(connection.id, path)
        for section, fields in sections.items()
        for field in fields
    )
    rows = messages.records[stream]
    assert Counter((r["entity_type"], r["section"], r["key"]) for r in rows) == expected
    assert set(expected.values()) == {1}
    assert {section for _, section, _ in expected} == {"entity", "line_items"}


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (None, None),
        (True, "true"),
        ("Ⅳ “x”", '"Ⅳ “x”"'),
        ("", '""'),
        (12, "12"),
        (Decimal("1234567890.123456789010"), "1234567890.123456789010"),
    ],
)
def test_the_default_of_a_custom_field_is_json_text(default: object, text: str | None) -> None:
    world, _ = connected("NETSUITE")
    field = custom_field("custbody_1", default="@", options=[{"id": "1", "name": "one"}])
    body = json.dumps({"custom_fields": {"entity": [field]}})
    value = str(default) if isinstance(default, Decimal) else json.dumps(default)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path="/accounting/bills/custom_fields",
            status=200,
            body=body.replace('"@"', value),
        )
        rows = sync(simulator, "accounting_custom_fields").records["accounting_custom_fields"]
    row = next(row for row in rows if row["entity_type"] == "bills")
    assert row["default"] == text
    assert row["options"] == [{"id": "1", "name": "one"}]


def test_a_type_that_has_no_custom_fields_costs_the_others_nothing() -> None:
    world, _ = connected("NETSUITE")
    stream = "accounting_custom_fields"
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path="/accounting/expenses/custom_fields", status=404, body=GONE, times=None
        )
        messages = sync(simulator, stream)
    assert status(messages, stream) == ("complete", None)
    assert {row["entity_type"] for row in messages.records[stream]} == {
        "bills",
        "invoices",
        "invoice_payments",
        "journal_entries",
    }


# ---- figures


@pytest.mark.parametrize(
    ("stream", "path", "platform", "names"),
    [
        ("accounting_metrics", "/accounting/metrics", "QUICKBOOKS", 33),
        ("commerce_metrics", "/commerce/metrics", "SHOPIFY", 4),
    ],
)
def test_every_figure_is_asked_for_once_and_is_a_row_per_month(
    stream: str, path: str, platform: str, names: int
) -> None:
    world, connection = connected(platform)
    with Simulator(world) as simulator:
        messages = sync(simulator, stream)
    rows = messages.records[stream]
    metrics = {row["metric"] for row in rows}
    assert len(metrics) == names
    assert asked(simulator) == {f"{path}/{metric}": 1 for metric in metrics}
    expected = [
        {
            "connection_id": connection.id,
            "metric": metric,
            **row,
            "checkpoint": "2026-03-02T09:30:00.000Z",
        }
        for metric in metrics
        for row in world.rows(connection.id, f"{path}/{metric}")
    ]
    assert len(expected) == names * 13
    key = ("metric", "start_date", "end_date", "currency")

    def identity(row: Json) -> tuple[Any, ...]:
        return tuple(row[name] for name in key)

    assert sorted(rows, key=identity) == sorted(expected, key=identity)
    assert set(messages.schemas[stream]["key_properties"]) == {"connection_id", *key}


def test_a_figure_without_a_currency_has_a_star_for_it() -> None:
    world, _ = connected("SHOPIFY")
    values = [
        {"start_date": "2026-01-01", "end_date": "2026-01-31", "currency": None, "value": "0.12"},
        {"start_date": "2026-02-01", "end_date": "2026-02-28", "value": None},
    ]
    body = {"checkpoint": None, "refund_rate": values}
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path="/commerce/metrics/refund_rate", status=200, body=json.dumps(body)
        )
        messages = sync(simulator, "commerce_metrics")
    rows = [row for row in messages.records["commerce_metrics"] if row["metric"] == "refund_rate"]
    assert [(row["start_date"], row["currency"], row["value"]) for row in rows] == [
        ("2026-01-01", "*", "0.12"),
        ("2026-02-01", "*", None),
    ]
    (report,) = messages.records["sync_report"]
    assert report["derived_keys"] == 0


def test_a_platform_without_figures_costs_one_request_for_each() -> None:
    world, _ = connected("PLAID")
    with Simulator(world) as simulator:
        messages = sync(simulator, "accounting_metrics")
    assert status(messages, "accounting_metrics") == ("skipped", "unsupported")
    assert set(asked(simulator).values()) == {1}
    assert len(asked(simulator)) == 33


def test_a_figure_that_is_missing_costs_the_others_nothing() -> None:
    world, _ = connected("QUICKBOOKS")
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path="/accounting/metrics/quick_ratio", status=404, body=GONE, times=None
        )
        messages = sync(simulator, "accounting_metrics")
    assert status(messages, "accounting_metrics") == ("complete", None)
    assert len({row["metric"] for row in messages.records["accounting_metrics"]}) == 32


# ---- suppliers


def test_enrichments_that_come_later_are_waited_for() -> None:
    world = World(9)
    path = "/supplier_enablement/enrichments"
    connection = world.add_connection("QUICKBOOKS", counts={path: 4})
    world.switches.set("async_response", True)
    stream = "supplier_enablement_enrichments"
    with Simulator(world) as simulator:
        run = sync(simulator, stream)
    rows = run.records[stream]
    expected = [{"connection_id": connection.id, **row} for row in world.rows(connection.id, path)]
    assert sorted(rows, key=lambda row: str(row["id"])) == sorted(
        expected, key=lambda row: str(row["id"])
    )
    assert len(rows) == 4
    assert run.waits == (1.0, 2.0)
    assert [entry.path.split("/")[1] for entry in simulator.requests][-4:] == [
        "supplier_enablement",
        *["jobs"] * 3,
    ]


# ---- only in older API versions


def test_aging_summaries_of_the_versions_that_have_them() -> None:
    world, connection = connected("QUICKBOOKS", version="2023-03-14")
    with Simulator(world) as simulator:
        messages = sync(simulator, api_version="2023-03-14")
    for whose in ("ap", "ar"):
        stream = f"accounting_{whose}_aging_report_summaries"
        (shown,) = world.rows(connection.id, f"/accounting/{whose}_aging_report_summaries")
        assert messages.records[stream] == [{"connection_id": connection.id, **shown}]
