"""Offboarding, what holds for every script, and `rutterctl sql` itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.warehouse_schema import BILLS, A, B, Warehouse, day, server

from tap_rutter.warehouse.command import sql
from tap_rutter.warehouse.database import DatabaseError
from tap_rutter.warehouse.scripts import SCRIPTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "warehouse.md"


@pytest.mark.parametrize(
    "awkward",
    ["o'brien", 'say "hi"', r"back\slash\'", "'; drop table accounting_bills; --", "%s %", "{x}$$"],
)
def test_a_connection_is_removed_everywhere(bills: Warehouse, awkward: str) -> None:
    bills.bills("1", "2", connection=awkward)
    bills.deletion("2", day(2), connection_id=awkward)
    bills.deletion("2", day(2), connection_id=B)
    bills.full_read(day(2), connection_id=awkward)
    bills.full_read(day(2), connection_id="*")
    bills.load("connections", {"id": awkward}, {"id": B}, key=("id",))
    with bills.untouched(A), bills.untouched(B), bills.untouched("*"):
        counted = bills.run("remove-connection", connection_id=awkward)
        again = bills.run("remove-connection", connection_id=awkward)
    assert {table: row["removed"] for table, row in counted.items()} == {
        BILLS: 2,
        "connections": 1,
        "deleted_objects": 1,
        "sync_report": 1,
    }
    assert {row["removed"] for row in again.values()} == {0}
    assert bills.query("select id from connections") == [{"id": B}]


@pytest.mark.parametrize("organisation", ["*", ""])
def test_reports_of_the_organisation_are_not_a_connection(
    bills: Warehouse, organisation: str
) -> None:
    bills.full_read(day(2), connection_id=organisation)
    with bills.untouched(), pytest.raises(DatabaseError, match="a connection id is needed"):
        bills.run("remove-connection", connection_id=organisation)


def test_an_unknown_connection_is_said_to_be_unknown(bills: Warehouse) -> None:
    arguments = ["remove-connection", "--schema", bills.schema, "--connection-id", "no-such-id"]
    with bills.untouched():
        result = CliRunner().invoke(sql, [*arguments, "--run", "--dsn", bills.uri])
    assert result.exit_code == 0
    assert 'has a row of connection "no-such-id": see whether the id is right' in result.stdout
    arguments[-1] = A
    known = CliRunner().invoke(sql, [*arguments, "--run", "--dsn", bills.uri])
    assert "see whether" not in known.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_second_run_changes_nothing(bills: Warehouse, name: str) -> None:
    bills.deletion("1", day(2))
    bills.full_read(day(2))
    bills.full_read(day(3))
    values = {"connection_id": A} if name == "remove-connection" else {}
    bills.run(name, **values)
    with bills.untouched():
        bills.run(name, **values)


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_unknown_schema_is_refused_by_name(warehouse: Warehouse, name: str) -> None:
    warehouse.schema = "no such"
    values = {"connection_id": A} if name == "remove-connection" else {}
    with pytest.raises(DatabaseError, match='schema "no such" does not exist'):
        warehouse.run(name, **values)


# --- rutterctl sql

_VALUES = {"remove-connection": ["--connection-id", A]}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_printed_script_runs_in_psql(bills: Warehouse, name: str) -> None:
    bills.deletion("1", day(2))
    bills.full_read(day(2))
    command = [name, "--schema", bills.schema, *_VALUES.get(name, [])]
    printed = CliRunner().invoke(sql, command)
    assert printed.exit_code == 0
    psql = subprocess.run(
        [server().bin_path / "psql", bills.uri, "-X", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input=printed.stdout,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (psql.returncode, psql.stderr) == (0, "")
    assert psql.stdout.rstrip().endswith("COMMIT")
    # psql did all there was to do.
    with bills.untouched():
        assert CliRunner().invoke(sql, [*command, "--run", "--dsn", bills.uri]).exit_code == 0


def test_a_run_prints_what_it_counted(bills: Warehouse) -> None:
    bills.deletion("2", day(2))
    uri = bills.uri.replace("postgresql://", "postgresql+psycopg://")
    arguments = ["remove-connection", "--schema", bills.schema, "--connection-id", A, "--run"]
    result = CliRunner().invoke(sql, arguments, env={"WAREHOUSE_DSN": uri})
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["table_name", "removed", "note"],
        [BILLS, "3"],
        ["deleted_objects", "1"],
    ]
    assert bills.ids() == []
    result = CliRunner().invoke(
        sql, ["line-items", "--schema", bills.schema, "--run", "--dsn", bills.uri]
    )
    assert result.stdout == "nothing to do\n"


@pytest.mark.parametrize("mode", ["mark", "remove"])
def test_options_reach_the_script(bills: Warehouse, mode: str) -> None:
    bills.deletion("2", day(2))
    bills.deletion("3", day(2), connection_id=B)
    arguments = ["apply-deletions", "--schema", bills.schema, "--mode", mode]
    arguments += ["--connection-id", A, "--run", "--dsn", bills.uri]
    with bills.untouched(B):
        assert CliRunner().invoke(sql, arguments).exit_code == 0
    assert bills.ids() == (["1", "2", "3"] if mode == "mark" else ["1", "3"])

    bills.full_read(day(3), rows=0)
    bills.full_read(day(4), rows=0)
    arguments = ["reconcile", "--schema", bills.schema, "--run", "--dsn", bills.uri]
    with bills.untouched():
        CliRunner().invoke(sql, [*arguments, "--ignore-empty-reads"])
    CliRunner().invoke(sql, arguments)
    assert bills.marks()["1"] == (day(3), "reconcile")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["indexes", "--run"], 2, "WAREHOUSE_DSN"),
        (["remove-connection"], 2, "--connection-id"),
        (["remove-connection", "--connection-id", ""], 2, "must not be empty"),
        (["indexes", "--run", "--dsn", "hunter2@host"], 1, "not a PostgreSQL URI"),
        (["indexes", "--run", "--dsn", "postgresql://u:hunter2@127.0.0.1:1/x"], 1, "127.0.0.1"),
    ],
)
def test_what_cannot_be_run_is_refused_without_the_password(
    arguments: list[str], exit_code: int, message: str
) -> None:
    result = CliRunner().invoke(sql, arguments, env={"WAREHOUSE_DSN": None})
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert "hunter2" not in result.output + repr(result.exception)


def test_a_failing_script_leaves_nothing_behind(bills: Warehouse) -> None:
    bills.query("create view sync_completeness as select 'of our own' as x")
    bills.full_read(day(1))
    arguments = ["report-views", "--schema", bills.schema, "--run", "--dsn", bills.uri]
    result = CliRunner().invoke(sql, arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cannot change name of view column")
    assert bills.query("select to_regclass('sync_freshness') as view") == [{"view": None}]
    assert "deleted_at" not in bills.query(f"select * from {BILLS} limit 1")[0]


def test_scripts_are_printed_without_psycopg(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError")
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1])\n"
        "from tap_rutter.warehouse.command import sql\n"
        "sql(json.loads(sys.argv[2]))"
    )
    for arguments, code in (["indexes"], 0), (["indexes", "--run", "--dsn", "postgresql://"], 1):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), json.dumps(arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert ("create index" in done.stdout) == (code == 0)
        assert ("pip install 'tap-rutter[warehouse]'" in done.stderr) == (code == 1)


def test_every_script_and_option_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, command in sql.commands.items():
        assert f"## {name}" in page
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert f"`{option}" in page
        assert isinstance(command, click.Command)
    assert sql.commands.keys() == SCRIPTS.keys()
