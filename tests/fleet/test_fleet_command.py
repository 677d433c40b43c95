"""``rutterctl fleet …``: each command does what it says; mistakes are one line, and no secret."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from support.ledger import PASSWORD, LedgerWorld
from support.runs import WELL, scripted

from tap_rutter.cli import rutterctl
from tap_rutter.demo.fleet_scene import catalog_of, until
from tap_rutter.fleet.model import Mark
from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.versions import LATEST

SECRET = "the-clients-secret-of-this-test"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = World(3, immediate=True)
    for platform in ("SHOPIFY", "QUICKBOOKS", "XERO"):
        world.add_connection(platform, counts={})
    world.client_secret = SECRET
    with Simulator(world) as running:
        yield running


class Operator:
    """Types commands; nothing that they print may hold a secret."""

    def __init__(self, folder: Path, simulator: Simulator, url: str) -> None:
        self.config = folder / "fleet.toml"
        self.tap: dict[str, Any] = {
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "api_url": simulator.api_url,
            "max_retry_seconds": 1,
        }
        self.sections: dict[str, dict[str, Any]] = {
            "fleet": {"ledger_url": url},
            "tap": {"config": "tap.json"},
            "target": {"command": [sys.executable, "-c", "pass"]},
        }
        self._tokens = [c.access_token for c in simulator.world.connections.values()]

    def write(self) -> None:
        """The configuration as it is now."""
        lines = []
        for section, settings in self.sections.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        self.config.write_text("\n".join(lines), encoding="utf-8")
        self.config.with_name("tap.json").write_text(json.dumps(self.tap), encoding="utf-8")

    def types(self, *arguments: str) -> Result:
        """One command, with the configuration as it is now."""
        self.write()
        result = CliRunner().invoke(
            rutterctl.main, ["fleet", "--config", str(self.config), *arguments]
        )
        for secret in (SECRET, PASSWORD, *self._tokens):
            assert secret not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    def says(self, *arguments: str) -> str:
        """What a command prints that succeeds."""
        result = self.types(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def fails(self, code: int, *arguments: str) -> str:
        """The one line of a command that fails."""
        result = self.types(*arguments)
        assert result.exit_code == code, result.output
        line = result.stderr.strip()
        assert line.startswith("Error: "), result.output
        assert "\n" not in line
        return line


@pytest.fixture
def operator(
    tmp_path: Path, simulator: Simulator, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> Operator:
    # The handler would keep the stream of one command, which is closed with it.
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    for name in ("CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"TAP_RUTTER_{name}", raising=False)
    return Operator(tmp_path, simulator, ledger_url)


@pytest.fixture
def swept(operator: Operator, simulator: Simulator) -> list[Connection]:
    """The connections, which the ledger knows."""
    connections = [*simulator.world.connections.values()]
    assert operator.says("sweep").startswith(f"{len(connections)} added, 0 revived, 0 parked")
    return connections


def statuses(operator: Operator, *connection_ids: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(operator.says("status", "--json", *connection_ids))["connections"]
    return {row["connection_id"]: row for row in rows}


def test_the_ledger_is_made_by_the_first_command(operator: Operator) -> None:
    assert operator.says("migrate") == "The ledger is up to date.\n"
    assert operator.says("migrate") == "The ledger is up to date.\n"


def test_a_sweep_adds_what_rutter_lists(
    operator: Operator, swept: list[Connection], simulator: Simulator
) -> None:
    simulator.world.set_status(swept[0].id, "disabled")
    said = operator.says("sweep")
    assert said.startswith("0 added, 0 revived, 1 parked, 0 missing from Rutter's list; ")
    simulator.world.set_status(swept[0].id, "active")
    assert "1 revived" in operator.says("sweep")


def test_status_is_a_table_or_json(operator: Operator, swept: list[Connection]) -> None:
    said = operator.says("status")
    for connection in swept:
        assert f"{connection.id}\t{connection.platform}\t" in said
    assert "never read" in said
    content = json.loads(operator.says("status", "--json"))
    assert content["paused"] is None
    assert content["speed"] == 1
    assert content["lanes"].keys() == {"fresh", "sweep", "bulk"}
    assert len(content["connections"]) == len(swept)
    assert statuses(operator, swept[1].id).keys() == {swept[1].id}


def test_parked_ones_say_why_until_they_are_unparked(
    operator: Operator, swept: list[Connection]
) -> None:
    name = swept[0].id
    operator.says("park", name, "--reason", "the merchant asked")
    assert "parked: the merchant asked" in operator.says("status", name)
    assert statuses(operator)[name]["status"] == "parked"
    operator.says("unpark", name)
    assert statuses(operator)[name]["status"] == "active"


def test_sync_makes_due_at_once(
    operator: Operator, swept: list[Connection], ledger_url: str
) -> None:
    name = swept[2].id
    assert operator.says("sync", name) == "Due: 1.\n"
    assert statuses(operator)[name]["lane"] is not None
    world = LedgerWorld(ledger_url)
    try:
        assert world.marks(name)
    finally:
        world.close()


def test_what_is_removed_is_not_added_again(operator: Operator, swept: list[Connection]) -> None:
    name = swept[0].id
    said = operator.says("remove", name)
    assert f"rutterctl sql remove-connection --connection-id {name} --run" in said
    assert operator.says("sweep").startswith("0 added")
    assert name not in statuses(operator)


@pytest.mark.parametrize("command", ["sync", "park", "unpark", "remove", "status"])
def test_a_connection_that_nobody_knows_is_said(
    operator: Operator, swept: list[Connection], command: str
) -> None:
    assert len(swept) == 3
    assert operator.fails(1, command, "nobody") == "Error: the ledger does not know nobody."


def test_states_go_out_and_in(operator: Operator, swept: list[Connection], tmp_path: Path) -> None:
    partition = {
        "context": {"connection_id": swept[1].id},
        "replication_key": "updated_at",
        "replication_key_value": "2026-01-02T03:04:05Z",
    }
    given = {"bookmarks": {"accounting_invoices": {"partitions": [partition]}}}
    file = tmp_path / "state.json"
    file.write_text(json.dumps({"singer_state": given}), encoding="utf-8")
    assert operator.says("state", "import", str(file)) == "Connections: 1.\n"
    found = json.loads(operator.says("state", "export"))
    assert found["bookmarks"]["accounting_invoices"]["partitions"] == [partition]


@pytest.mark.parametrize("text", ["{", "[]", '{"bookmarks": 3}'])
def test_a_state_that_is_none_is_refused(operator: Operator, tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text, encoding="utf-8")
    operator.fails(2, "state", "import", str(file))


def test_old_rows_of_the_report_are_pruned(operator: Operator, ledger_url: str) -> None:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute("create schema rutter")
        connection.execute(
            "create table rutter.sync_report (connection_id text, stream text, status text,"
            " reason text, rows bigint, full_read boolean, started_at timestamp,"
            " finished_at timestamp, error_message text)"
        )
        connection.execute(
            "insert into rutter.sync_report select 'c', 'bills', 'complete', null, 5, false,"
            " now() - make_interval(days => n), now(), null from generate_series(1, 200, 10) as n"
        )
    operator.sections["target"] |= {"database_url": ledger_url, "schema": "rutter"}
    assert operator.says("prune", "--days", "90") == "bills: 11 rows removed, 9 kept.\n"
    operator.sections["target"].pop("schema")
    assert "'schema' of [target]" in operator.fails(2, "prune")


# ---- mistakes


def _no_ledger(operator: Operator) -> None:
    operator.sections["fleet"].pop("ledger_url")


def _no_target(operator: Operator) -> None:
    operator.sections.pop("target")


def _unknown_setting(operator: Operator) -> None:
    operator.sections["fleet"]["slot"] = 3


def _unknown_section(operator: Operator) -> None:
    operator.sections["flet"] = {}


def _no_secret(operator: Operator) -> None:
    operator.tap.pop("client_secret")


def _no_catalog(operator: Operator) -> None:
    operator.sections["tap"]["catalog"] = "nowhere.json"


def _wrong_tap(operator: Operator) -> None:
    operator.tap["page_size"] = SECRET


@pytest.mark.parametrize(
    ("spoil", "command", "said"),
    [
        (_no_ledger, "status", "'ledger_url' of [fleet] is missing"),
        (_unknown_setting, "status", "no setting 'slot'. Did you mean 'slots'?"),
        (_unknown_section, "status", "[flet] is not a section"),
        (_no_target, "work", "'command' of [target] is missing"),
        (_no_target, "prepare", "'command' of [target] is missing"),
        (_no_secret, "serve", "Webhooks cannot be verified"),
        (_no_secret, "work", "client_secret"),
        (_wrong_tap, "sweep", "page_size"),
        (_no_catalog, "work", "nowhere.json cannot be read: No such file"),
        (_no_catalog, "prepare", "nowhere.json cannot be read: No such file"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    operator: Operator, spoil: Callable[[Operator], None], command: str, said: str
) -> None:
    spoil(operator)
    assert said in operator.fails(2, command)


@pytest.mark.longer
def test_a_ledger_that_does_not_answer_is_one_line(operator: Operator) -> None:
    operator.sections["fleet"]["ledger_url"] = f"postgresql://me:{PASSWORD}@127.0.0.1:9/none"
    operator.fails(1, "status")


def test_credentials_that_rutter_refuses_are_said(operator: Operator) -> None:
    operator.tap["client_id"] = "somebody-else"
    assert "Rutter refuses" in operator.fails(3, "sweep")


def test_another_api_version_is_refused_unless_it_is_asked_for(
    operator: Operator, swept: list[Connection], tmp_path: Path
) -> None:
    operator.sections["target"]["command"] = [*scripted(tmp_path, WELL)]
    operator.tap["api_version"] = "2024-04-30"
    said = operator.says("prepare", "--new-api-version")
    assert said.endswith(
        "The fleet reads API version 2024-04-30. Connections to be read anew: 0.\n"
    )
    operator.tap["api_version"] = LATEST
    said = operator.fails(1, "prepare")
    assert f"reads API version 2024-04-30, and this configuration says {LATEST}" in said
    assert "API version: 2024-04-30" in operator.says("status")
    said = operator.says("prepare", "--new-api-version")
    assert said.endswith(
        f"reads API version {LATEST}. Connections to be read anew: {len(swept)}.\n"
    )
    assert operator.says("prepare") == "The target's tables are prepared.\n"
    assert json.loads(operator.says("status", "--json"))["api_version"] == LATEST


def test_an_api_version_for_which_tables_cannot_be_made_is_not_taken(
    operator: Operator, swept: list[Connection], tmp_path: Path
) -> None:
    operator.sections["target"]["command"] = [*scripted(tmp_path, WELL)]
    operator.says("prepare", "--new-api-version")
    operator.tap["api_version"] = "2023-03-14"
    operator.sections["target"]["command"] = [*scripted(tmp_path, "sys.exit(1)")]
    assert "cannot be prepared" in operator.fails(1, "prepare", "--new-api-version")
    assert json.loads(operator.says("status", "--json"))["api_version"] == LATEST
    assert statuses(operator).keys() == {connection.id for connection in swept}


def test_a_target_that_cannot_be_started_is_said(operator: Operator, tmp_path: Path) -> None:
    operator.sections["target"]["command"] = ["no-such-target"]
    (tmp_path / "catalog.json").write_text(json.dumps(catalog_of(["bills"])), encoding="utf-8")
    operator.sections["tap"]["catalog"] = "catalog.json"
    assert "no-such-target" in operator.fails(1, "prepare")


def test_the_taps_variables_count(
    operator: Operator, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.tap.pop("client_secret")
    assert "client_secret" in operator.fails(2, "sweep")
    monkeypatch.setenv("TAP_RUTTER_CLIENT_SECRET", simulator.client_secret)
    assert operator.says("sweep").startswith("3 added")


@pytest.mark.parametrize("arguments", [["status"], ["work", "--metrics-port", "1"], ["--help"]])
def test_without_the_extra_it_says_what_to_install(arguments: list[str]) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['psycopg', 'psycopg_pool', 'celery']));"
        "from tap_rutter.cli.rutterctl import main; main(prog_name='rutterctl')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "fleet", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'pip install "tap-rutter[fleet]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_marks_are_shown(operator: Operator, swept: list[Connection], ledger_url: str) -> None:
    world = LedgerWorld(ledger_url)
    try:
        world.ledger.put_webhooks([Mark(swept[0].id, "bills"), Mark(swept[0].id, "invoices")])
    finally:
        world.close()
    assert "2 streams marked by webhooks" in operator.says("status", swept[0].id)


def hears_sigterm(pid: int) -> bool:
    """Whether a process has a handler for it: Celery sets its own after the engine has begun."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it looks into /proc")
@pytest.mark.longer
def test_celery_starts_the_same_worker(
    operator: Operator, simulator: Simulator, ledger_url: str
) -> None:
    operator.sections["fleet"]["broker_url"] = "memory://"
    operator.write()
    world = LedgerWorld(ledger_url)
    process = subprocess.Popen(
        [Path(sys.executable).with_name("celery"), "-A", "tap_rutter.fleet", "worker"],
        env={**os.environ, "RUTTER_FLEET_CONFIG": str(operator.config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wanted = len(simulator.world.connections)
        until(
            lambda: len(world.sql("select 1 from rutter_fleet.connections")) == wanted,
            60,
            "it did not list the connections",
        )
        until(lambda: hears_sigterm(process.pid), 60, "Celery did not get ready")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        world.close()
    assert process.returncode == 0, said
    assert SECRET not in said
    assert PASSWORD not in said


def test_celery_without_a_broker_is_told(operator: Operator) -> None:
    operator.write()
    done = subprocess.run(
        [Path(sys.executable).with_name("celery"), "-A", "tap_rutter.fleet", "worker"],
        env={**os.environ, "RUTTER_FLEET_CONFIG": str(operator.config)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "'broker_url' of [fleet] is missing" in done.stdout + done.stderr
