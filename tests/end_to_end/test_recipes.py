"""The recipes of docs/recipes.md do what the page says; their blocks are run as they stand there.

Here: which streams, rows and columns leave. How the tap is run: test_recipes_of_running.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from support.meltano import Project
from support.recipes import RECIPES, config_of, into_postgres, said, small_world
from support.shown import shown
from support.singer import Ended, run_tap, settings
from support.warehouse import read_tables

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, standard_world

pytestmark = pytest.mark.longer

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
PERSONAL = {
    "address",
    "addresses",
    "billing_address",
    "contact_name",
    "customer",
    "customer_name",
    "first_name",
    "last_name",
    "phone",
    "shipping_address",
}
"""Columns that tell of people."""
BLOCKS = {
    "Hash personal data": ["yaml"],
    "Rename and filter": ["yaml"],
    "Flatten nested objects": ["yaml"],
    "A subset of columns": ["yaml"],
    "One schema per merchant": ["shell", "sql"],
    "Two environments": ["yaml", "shell"],
    "Secrets from a vault": ["shell"],
    "Logs as JSON": ["shell", "yaml", "shell"],
    "Alerts": ["shell", "sql", "shell", "text"],
}
"""What a test below takes from the page. The crontab alone is not run."""


def test_every_block_of_the_page_is_known_here() -> None:
    found = {
        title: re.findall(r"^```(\w+)\n", section.text, re.MULTILINE)
        for title, section in RECIPES.items()
    }
    assert found == BLOCKS


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(small_world()) as running:
        yield running


@pytest.fixture(scope="module")
def people() -> Iterator[Simulator]:
    """All streams, with addresses in unknown fields, odd values and deleted objects as well."""
    world = standard_world(scale=0.05)
    shop = next(c for c in world.connections.values() if c.platform == "SHOPIFY")
    ledger = next(c for c in world.connections.values() if c.platform == "QUICKBOOKS")
    world.create(shop.id, "/customers", email="New@Example.com ", reply_to="to@example.net")
    vendor = world.create(ledger.id, "/accounting/vendors", email=["listed@example.net"])
    world.delete(ledger.id, "/accounting/vendors", vendor)
    world.create(ledger.id, "/accounting/vendors", email={"work": "nested@example.net"})
    with Simulator(world) as running:
        yield running


def hashed(people: Simulator, folder: Path, **variables: str) -> Ended:
    project = Project.make(folder)
    project.add(RECIPES["Hash personal data"].yaml())
    keys = {
        "RUTTER_CLIENT_ID": people.client_id,
        "RUTTER_CLIENT_SECRET": people.client_secret,
        "TAP_RUTTER_API_URL": people.api_url,
    }
    return project.run("invoke", "tap-rutter", **keys, **variables)


def test_no_address_leaves_unhashed(people: Simulator, tmp_path: Path) -> None:
    known = set(ADDRESS.findall(json.dumps(shown(people.world), default=str)))
    without = run_tap(config=settings(people)).stdout
    assert {"to@example.net", "listed@example.net", "nested@example.net"} <= known
    assert known <= set(ADDRESS.findall(without)), "nothing would be hidden"

    ended = hashed(people, tmp_path, RUTTER_HASH_KEY="a key")

    assert ended.code == 0, ended.stderr
    assert ADDRESS.findall(said(ended)) == []
    records = ended.messages.records
    assert not [address for address in known if address in said(ended)]
    assert {
        stream for stream, rows in records.items() if any(PERSONAL & r.keys() for r in rows)
    } <= {
        "accounting_company_info"  # a business
    }
    wanted = {hashlib.sha256(f"a key{e.strip().lower()}".encode()).hexdigest() for e in known}
    for stream, column in {
        "commerce_customers": "email",
        "commerce_orders": "customer_email",
        "accounting_customers": "email",
        "accounting_vendors": "email",
    }.items():
        hashes = {row[column] for row in records[stream]} - {None}
        assert hashes, stream
        assert hashes <= wanted, stream
    new = hashlib.sha256(b"a keynew@example.com").hexdigest()
    assert new in {row["email"] for row in records["commerce_customers"]}


def test_without_a_key_for_the_hashes_no_row_with_an_address_leaves(
    simulator: Simulator, tmp_path: Path
) -> None:
    ended = hashed(simulator, tmp_path, TAP_RUTTER__SELECT='["commerce_customers.*"]')
    assert ended.code == 1, ended.stderr
    assert ADDRESS.findall(said(ended)) == []
    rows = ended.messages.records["commerce_customers"]
    assert [row for row in rows if row["email"] is not None] == []


def test_renamed_and_filtered(simulator: Simulator, postgres: Database, tmp_path: Path) -> None:
    orders = shown(simulator.world, ["commerce_orders"])["commerce_orders"]
    dollars = {
        row["id"]: row.get("total_price") for row in orders if row["iso_currency_code"] == "USD"
    }
    assert 0 < len(dollars) < len(orders)
    into_postgres(simulator, config_of(RECIPES["Rename and filter"]), postgres, "renamed", tmp_path)
    tables = read_tables(postgres, "renamed")
    assert "commerce_orders" not in tables
    table = tables["shop_orders"]
    assert {row["id"]: row["total"] for row in table.rows} == dollars
    assert table.types["total"] == "numeric"
    assert "total_price" not in table.types
    reports = [row for row in tables["sync_report"].rows if row["rows"]]
    assert "commerce_orders" in {row["stream"] for row in reports}


def test_flattened(simulator: Simulator, postgres: Database, tmp_path: Path) -> None:
    recipe = RECIPES["Flatten nested objects"]
    into_postgres(simulator, config_of(recipe), postgres, "flattened", tmp_path)
    table = read_tables(postgres, "flattened")["commerce_orders"]
    orders = shown(simulator.world, ["commerce_orders"])["commerce_orders"]
    cities = {row["id"]: (row.get("billing_address") or {}).get("city") for row in orders}
    assert any(cities.values())
    assert {row["id"]: row["billing_address__city"] for row in table.rows} == cities
    assert "billing_address" not in table.types
    lines = {row["id"]: row["line_items"] for row in orders}
    assert table.types["line_items"] == "text"
    for row in table.rows:
        assert json.loads(row["line_items"], parse_float=Decimal) == lines[row["id"]]
