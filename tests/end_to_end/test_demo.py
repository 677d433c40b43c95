"""The demo's parts. `make demo` shows that the whole demo works."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml
from rich.console import Console

from tap_rutter.demo import DemoError, Keys, database, pipeline, report
from tap_rutter.demo.database import Table
from tap_rutter.demo.pipeline import Project
from tap_rutter.demo.world import let_things_happen, rows_shown
from tap_rutter.simulator.world import World

_TABLES = """
    CREATE SCHEMA rutter;
    CREATE TABLE bills (
        id text, connection_id text, amount numeric, _sdc_batched_at timestamp DEFAULT now(),
        PRIMARY KEY (connection_id, id)
    );
    CREATE TABLE deleted_objects (
        id text, connection_id text, stream text, object_id text,
        PRIMARY KEY (connection_id, id)
    );
    INSERT INTO bills VALUES ('1', 'c', 1.5), ('2', 'c', 2.5);
"""


_ROOT = Path(__file__).resolve().parents[2]


def _execute(uri: str, statements: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statements.encode())


def test_tables_tell_what_came_and_what_changed(tmp_path: Path) -> None:
    with database.running(tmp_path / "postgres") as postgres:
        postgres.prepare()
        _execute(postgres.uri, _TABLES)
        before = postgres.tables()
        _execute(
            postgres.uri,
            """
            UPDATE bills SET _sdc_batched_at = '2020-01-01';
            UPDATE bills SET amount = 3.5 WHERE id = '1';
            INSERT INTO bills VALUES ('3', 'c', 1);
            INSERT INTO deleted_objects VALUES
                ('e1', 'c', 'bills', '2'), ('e2', 'c', NULL, '3'), ('e3', 'c', 'bills', NULL);
            """,
        )
        after = postgres.tables()
        assert set(after) == {"bills", "deleted_objects"}
        assert after["bills"].rows.keys() == {("c", "1"), ("c", "2"), ("c", "3")}
        assert after["bills"].new_since(before["bills"]) == 1
        assert after["bills"].changed_since(before["bills"]) == 1
        assert postgres.deleted() == {"bills": {("c", "2")}}
        with psycopg.connect(postgres.uri) as connection:
            assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.uri)


def test_a_new_demo_stops_the_server_that_an_interrupted_one_left(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    script = (
        "import os, pathlib, sys\n"
        "from tap_rutter.demo import database\n"
        "with database.running(pathlib.Path(sys.argv[1])) as postgres:\n"
        "    postgres.prepare()\n"
        "    print(postgres.uri, flush=True)\n"
        "    os._exit(9)\n"
    )
    interrupted = subprocess.run(
        [sys.executable, "-c", script, data], stdout=subprocess.PIPE, text=True, check=False
    )
    with psycopg.connect(interrupted.stdout.strip()) as connection:
        database.remove(data)
        assert not data.exists()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_what_happens_between_the_runs_is_what_is_told_of_it() -> None:
    world = World()
    ledger = world.add_connection("QUICKBOOKS", counts={"/accounting/invoices": 5})
    world.add_connection("QUICKBOOKS", counts={"/accounting/invoices": 5}, status="disabled")
    shop = world.add_connection("SHOPIFY", counts={"/orders": 5})
    before = {
        path: {str(row["id"]): row for row in world.rows(connection.id, path)}
        for connection, path in ((ledger, "/accounting/invoices"), (shop, "/orders"))
    }
    changes = let_things_happen(world)
    assert set(changes) == set(before)
    for connection, path in ((ledger, "/accounting/invoices"), (shop, "/orders")):
        after = {str(row["id"]): row for row in world.rows(connection.id, path)}
        both = after.keys() & before[path].keys()
        assert changes[path] == (
            len(after.keys() - both),
            sum(after[key] != before[path][key] for key in both),
            len(before[path].keys() - both),
        )
        assert rows_shown(world, path) == len(after)
    # Shopify does not tell of deletions.
    assert changes["/orders"].deleted == 0
    assert changes["/accounting/invoices"].deleted == 1
    assert rows_shown(world, "/connections") == 3


@pytest.mark.parametrize(
    ("shown", "landed", "deleted", "expected", "right"),
    [
        (2, 2, set(), None, True),
        (1, 2, {("c", "1")}, (1, 1, 1), True),
        (2, 2, {("other", "1")}, (1, 1, 0), True),
        (2, 1, set(), None, False),
        (1, 2, set(), None, False),
        (2, 2, set(), (1, 0, 0), False),
    ],
)
def test_a_line_is_right_only_when_the_table_holds_what_rutter_shows(
    shown: int,
    landed: int,
    deleted: set[tuple[str, ...]],
    expected: tuple[int, int, int] | None,
    right: bool,
) -> None:
    first = Table({("c", "1"): "before"})
    second = Table({("c", str(number + 1)): "after" for number in range(landed)})
    line = report.line("bills", shown, first, second, deleted, expected)
    assert line.is_right is right
    assert report.wrong([line]) == ([] if right else ["bills"])


@pytest.mark.parametrize(
    ("file", "environment", "found"),
    [
        ("", {}, None),
        ("RUTTER_CLIENT_ID=a\nRUTTER_CLIENT_SECRET=b\n", {}, Keys("a", "b")),
        ("TAP_RUTTER_CLIENT_ID=a\nTAP_RUTTER_CLIENT_SECRET=b\n", {}, Keys("a", "b")),
        ("", {"RUTTER_CLIENT_ID": "a", "RUTTER_CLIENT_SECRET": "b"}, Keys("a", "b")),
        (
            "RUTTER_CLIENT_ID=a\nRUTTER_CLIENT_SECRET=b\n",
            {"RUTTER_CLIENT_ID": "", "RUTTER_CLIENT_SECRET": ""},
            None,
        ),
    ],
)
def test_keys_come_from_the_environment_or_the_file(
    file: str,
    environment: dict[str, str],
    found: Keys | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"RUTTER_{name}", raising=False)
        monkeypatch.delenv(f"TAP_RUTTER_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text(file)
    assert Keys.find(tmp_path) == found


def test_one_key_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUTTER_CLIENT_SECRET", "b")
    monkeypatch.delenv("RUTTER_CLIENT_ID", raising=False)
    monkeypatch.delenv("TAP_RUTTER_CLIENT_ID", raising=False)
    with pytest.raises(DemoError, match="RUTTER_CLIENT_ID is missing"):
        Keys.find(tmp_path)


def test_the_project_is_the_one_of_the_folder(tmp_path: Path) -> None:
    assert Project.find(_ROOT, tmp_path) == Project(_ROOT)


def test_a_folder_without_a_project_gets_one_whose_plugins_are_those_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "wheel"
    wheel.mkdir()
    shutil.copy(_ROOT / "meltano.yml", wheel)
    monkeypatch.setattr("importlib.resources.files", lambda _: wheel)
    project = Project.find(tmp_path, tmp_path / ".demo")
    assert project.root == tmp_path / ".demo" / "project"
    own = yaml.safe_load((project.root / "meltano.yml").read_text())
    theirs = yaml.safe_load((_ROOT / "meltano.yml").read_text())
    for plugins in theirs["plugins"].values():
        for plugin in plugins:
            del plugin["pip_url"]
    assert own == theirs


def test_a_folder_that_holds_another_project_is_refused_where_none_is_packaged(
    tmp_path: Path,
) -> None:
    (tmp_path / "meltano.yml").write_text("plugins: {}\n")
    with pytest.raises(DemoError, match=r"no meltano\.yml with tap-rutter"):
        Project.find(tmp_path, tmp_path / ".demo")


def test_a_run_that_fails_is_told_with_the_errors_that_were_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meltano = tmp_path / "meltano"
    meltano.write_text(
        "#!/bin/sh\n"
        "echo '2026-01-01T00:00:00.000000Z [info     ] tap-rutter   starting'\n"
        "echo '2026-01-01T00:00:01.000000Z [error    ] tap-rutter   the keys are refused'\n"
        'echo "$TAP_RUTTER_API_URL in $MELTANO_PROJECT_ROOT"\n'
        "exit 7\n"
    )
    meltano.chmod(0o755)
    monkeypatch.setattr(pipeline, "_meltano", lambda: str(meltano))
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", "/another/project")
    log = tmp_path / "run.log"
    with pytest.raises(DemoError) as raised:
        Project(tmp_path).run(
            "First run",
            settings={"TAP_RUTTER_API_URL": "http://127.0.0.1:1"},
            log=log,
            console=Console(file=io.StringIO()),
        )
    assert str(raised.value) == (
        "First run: meltano run tap-rutter target-postgres ended with exit code 7:\n\n"
        "  tap-rutter   the keys are refused\n\n"
        f"The whole log is in {log}"
    )
    assert log.read_text().splitlines()[-1] == f"http://127.0.0.1:1 in {tmp_path}"


def test_rows_are_counted_where_a_list_is_not_simply_a_list() -> None:
    world = World()
    shop = world.add_connection("SHOPIFY")
    bank = world.add_connection(
        "PLAID", counts={"/banking/bank_accounts": 4, "/banking/bank_accounts/balance": 4}
    )
    ledger = world.add_connection("NETSUITE")
    trees = json.dumps(world.rows(shop.id, "/products/categories"))
    assert "children" in trees
    assert rows_shown(world, "/products/categories") == trees.count('"name"')
    accounts = world.keys(bank.id, "/banking/bank_accounts")
    assert rows_shown(world, "/banking/bank_accounts/{id}/balance") == len(accounts) == 4
    fields = [
        field
        for name in ("bills", "expenses", "invoices", "invoice_payments", "journal_entries")
        for sections in world.rows(ledger.id, f"/accounting/{name}/custom_fields")
        for section in sections.values()
        for field in section
    ]
    assert fields
    assert rows_shown(world, "/accounting/{entityType}/custom_fields") == len(fields)


def test_a_list_that_rutter_calls_unavailable_is_not_counted() -> None:
    world = World()
    ledger = world.add_connection("NETSUITE", counts={"/accounting/locations": 3})
    assert rows_shown(world, "/accounting/locations") == 3
    ledger.unavailable_objects = ["location"]
    assert rows_shown(world, "/accounting/locations") == 0
