"""The recipes of docs/recipes.md: where rows land, where secrets are from, logs, alerts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from psycopg import sql
from support.hidden import secrets
from support.meltano import Project, from_to
from support.recipes import RECIPES, into_postgres, said, small_world
from support.singer import Ended, environment, run, settings
from support.warehouse import Table, read_tables

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.longer


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(small_world()) as running:
        yield running


# ---- where it lands


def owners(database: Database, schema: str, table: str) -> set[str]:
    query = sql.SQL("SELECT DISTINCT connection_id FROM {}").format(sql.Identifier(schema, table))
    with psycopg.connect(database.uri) as connection:
        return {owner for (owner,) in connection.execute(query)}


def test_a_schema_for_each_merchant(
    simulator: Simulator, postgres: Database, tmp_path: Path
) -> None:
    recipe = RECIPES["One schema per merchant"]
    shops = [c.id for c in simulator.world.connections.values() if c.platform == "SHOPIFY"]
    project = Project.make(tmp_path)
    variables = {
        **from_to(simulator, postgres),
        "TAP_RUTTER__SELECT": '["commerce_orders.*", "sync_report.*"]',
    }
    failing, other = shops
    simulator.faults.add("respond", path="/orders", connection_id=failing, status=400, times=None)
    ended = project.shell(recipe.block("shell"), failing, other, **variables)
    assert ended.code == 1, said(ended)
    # One that fails costs the others nothing.
    mine, others = ("rutter_" + shop.replace("-", "_") for shop in (failing, other))
    assert owners(postgres, mine, "sync_report") >= {failing}
    assert read_tables(postgres, mine)["commerce_orders"].rows == ()
    assert owners(postgres, others, "commerce_orders") == {other}
    assert len(read_tables(postgres, others)["commerce_orders"].rows) == 25
    assert states_of(project) == {mine, others}


def test_views_for_one_merchant(simulator: Simulator, postgres: Database, tmp_path: Path) -> None:
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS rutter CASCADE")
    into_postgres(simulator, {}, postgres, "rutter", tmp_path)
    ledger, shop, _ = simulator.world.connections
    script = RECIPES["One schema per merchant"].block("sql").replace("CONNECTION_ID", shop)
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        for _ in range(2):
            connection.execute(script)
    assert len(owners(postgres, "rutter", "commerce_orders")) == 2
    assert owners(postgres, "merchant_a", "commerce_orders") == {shop}
    assert owners(postgres, "merchant_a", "accounting_vendors") == set()
    assert owners(postgres, "rutter", "accounting_vendors") == {ledger}


def test_two_environments_and_logs_of_meltano_as_json(
    simulator: Simulator, postgres: Database, tmp_path: Path
) -> None:
    recipe = RECIPES["Two environments"]
    to_dev, to_prod = recipe.block("shell").splitlines()
    assert to_dev == to_prod.replace("prod", "dev")
    by_default, _ = RECIPES["Logs as JSON"].blocks("shell")
    project = Project.make(tmp_path)
    project.add(recipe.yaml())
    sandbox = World(2)
    sandbox.add_connection("SHOPIFY", counts={"/orders": 3})
    variables = {
        "TAP_RUTTER__SELECT": '["commerce_orders.*", "commerce_products.*"]',
        "TARGET_POSTGRES_SQLALCHEMY_URL": postgres.sqlalchemy_url,
        "RUTTER_CLIENT_ID": simulator.client_id,
        "RUTTER_CLIENT_SECRET": simulator.client_secret,
        "RUTTER_SANDBOX_CLIENT_ID": sandbox.client_id,
        "RUTTER_SANDBOX_CLIENT_SECRET": sandbox.client_secret,
    }
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS rutter, rutter_dev CASCADE")
    with Simulator(sandbox) as other:
        other.faults.add("respond", path="/products", status=400, times=None)
        ended = project.shell(by_default, **variables, TAP_RUTTER_API_URL=other.api_url)
    assert ended.code == 1, said(ended)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    told = [line for line in lines if "commerce_products of connection" in line["event"]]
    assert "error" in {line["level"] for line in told}
    ended = project.shell(to_prod, **variables, TAP_RUTTER_API_URL=simulator.api_url)
    assert ended.code == 0, said(ended)
    assert len(read_tables(postgres, "rutter_dev")["commerce_orders"].rows) == 3
    assert len(read_tables(postgres, "rutter")["commerce_orders"].rows) == 50
    assert states_of(project) == {
        "dev:tap-rutter-to-target-postgres",
        "prod:tap-rutter-to-target-postgres",
    }


def states_of(project: Project) -> set[str]:
    """The names under which Meltano keeps states."""
    database = sqlite3.connect(project.root / ".meltano" / "meltano.db")
    try:
        return {name for (name,) in database.execute("SELECT state_id FROM state")}
    finally:
        database.close()


# ---- how it is run

VAULT = """#!/bin/sh
# Stands for HashiCorp Vault's command.
case "$*" in
  "kv get -field=client_id secret/rutter") cat {folder}/client_id ;;
  "kv get -field=client_secret secret/rutter") cat {folder}/client_secret ;;
  "kv get -field=password secret/warehouse") echo "a password" ;;
  *) exit 64 ;;
esac
"""


def test_a_vault_and_a_subset_of_columns(
    simulator: Simulator, postgres: Database, tmp_path: Path
) -> None:
    script = RECIPES["Secrets from a vault"].block("shell")
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "vault").write_text(VAULT.format(folder=vault), encoding="utf-8")
    (vault / "vault").chmod(0o700)
    (vault / "client_id").write_text(simulator.client_id, encoding="utf-8")
    root = tmp_path / "project"
    root.mkdir()
    project = Project.make(root)
    project.add(RECIPES["A subset of columns"].yaml())
    variables = {
        "PATH": f"{vault}:{environment()['PATH']}",
        "TAP_RUTTER_API_URL": simulator.api_url,
        "TARGET_POSTGRES_SQLALCHEMY_URL": postgres.sqlalchemy_url,
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "some_columns",
    }
    ended = project.shell(script, **variables)  # the secret cannot be had
    assert ended.code != 0
    assert list(simulator.requests) == []
    assert "meltano" not in said(ended).lower()

    (vault / "client_secret").write_text(simulator.client_secret, encoding="utf-8")
    ended = project.shell(script, **variables)
    assert ended.code == 0, said(ended)
    check_columns(read_tables(postgres, "some_columns"))
    assert {entry.path for entry in simulator.requests} <= {
        "/connections",
        "/connections/status",
        "/connections/access_token",
        "/orders",
        "/accounting/vendors",
    }
    left = "".join(file.read_bytes().decode("utf-8", "replace") for file in files_of(project.root))
    hidden = {**secrets(simulator.world), "password": "a password"}
    assert [what for what, secret in hidden.items() if secret in said(ended) + left] == []


def check_columns(tables: dict[str, Table]) -> None:
    assert tables.keys() == {"commerce_orders", "accounting_vendors", "sync_report"}
    orders, vendors = tables["commerce_orders"], tables["accounting_vendors"]
    assert (len(orders.rows), len(vendors.rows)) == (50, 12)
    assert orders.types.keys() == {
        "connection_id",
        "id",
        "updated_at",
        "total_price",
        "iso_currency_code",
    }
    assert "vendor_name" in vendors.types
    assert "bank_account_number" not in vendors.types


def files_of(folder: Path) -> Iterator[Path]:
    """What a project has written, without the plugins."""
    return (f for f in folder.rglob("*") if f.is_file() and "venv" not in f.parts)


def test_logs_of_the_tap_as_json(simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.add("respond", path="/orders", status=400, times=None)
    recipe = RECIPES["Logs as JSON"]
    (tmp_path / "logging.yaml").write_text(recipe.block("yaml"), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps(settings(simulator)), encoding="utf-8")
    _, script = recipe.blocks("shell")
    ended = run(["sh", "-c", script], env=environment(), cwd=tmp_path)
    assert ended.code == 1
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert all({"level", "message", "ts"} <= line.keys() for line in lines)
    assert [e for e in lines if e["level"] == "error" and "commerce_orders" in e["message"]]
    assert not [what for what, e in secrets(simulator.world).items() if e in ended.stderr]
    assert (tmp_path / "messages.jsonl").read_text(encoding="utf-8").count('"RECORD"') > 20


# ---- alerts


def test_alerts(postgres: Database, tmp_path: Path) -> None:
    recipe = RECIPES["Alerts"]
    make_views, alert = recipe.blocks("shell")
    (tmp_path / "alert.sql").write_text(recipe.block("sql"), encoding="utf-8")
    address = urlsplit(postgres.uri)
    (socket,) = parse_qs(address.query)["host"]
    variables = {
        "PATH": f"{postgres.psql.parent}:{environment()['PATH']}",
        "PGHOST": socket,
        "PGDATABASE": address.path.strip("/"),
        "PGUSER": address.netloc.rstrip("@"),
        "WAREHOUSE_DSN": postgres.uri,
    }

    def shell(script: str, **more: str) -> Ended:
        return run(["sh", "-c", script], env=environment(**{**variables, **more}), cwd=tmp_path)

    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS rutter CASCADE")
    nothing_there = shell(alert)
    assert nothing_there.code not in {0, 1}

    world = small_world(start=datetime.now(UTC) - timedelta(hours=2))
    with Simulator(world) as simulator:
        ledger, shop, _ = world.connections
        into_postgres(simulator, {}, postgres, "rutter", tmp_path)
        assert shell(make_views).code == 0
        well = shell(alert)
        assert (well.code, well.stdout) == (0, ""), said(well)

        world.advance(3600)
        world.set_status(ledger, "needs_reauth")
        simulator.faults.add("respond", path="/orders", connection_id=shop, status=400, times=None)
        into_postgres(simulator, {}, postgres, "rutter", tmp_path, code=1)
    ill = shell(alert)
    assert ill.code == 1
    told = {tuple(line.split("|")[:4]) for line in ill.stdout.splitlines()}
    assert (shop, "commerce_orders", "failed", "refused") in told
    assert (ledger, "accounting_vendors", "skipped", "needs_reauth") in told
    assert {owner for owner, *_ in told} == {ledger, shop}

    with psycopg.connect(postgres.uri) as connection:
        connection.execute(
            "UPDATE rutter.sync_report SET started_at = started_at - interval '25 hours',"
            " finished_at = finished_at - interval '25 hours',"
            " status = 'complete', reason = NULL WHERE stream <> '*'"
        )
        connection.execute("DELETE FROM rutter.sync_report WHERE stream = '*'")
    late = shell(alert)
    assert late.code == 1
    assert f"{shop}|commerce_products|complete" in late.stdout
    assert shell(alert, PGDATABASE="there_is_none").code not in {0, 1}
