"""The standard world in four targets: as many rows as the tap delivered, each under its own key.

Two of them load by way of COPY from CSV, where an empty text in a key is NULL and ends the load of
the whole run: then no STATE is ever committed, and every run begins from the start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from psycopg import sql
from support.meltano import ROOT, loader_command
from support.singer import Messages, arguments, environment, run_tap, settings

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, standard_world
from tap_rutter.streams import OPTIONAL

Keys = list[tuple[str, ...]]
KEYS_OF_TIME = {"date", "start_date"}
"""Columns of keys that become timestamps, which every database writes in its own way."""


@dataclass(frozen=True)
class Delivered:
    """What the tap wrote to standard output."""

    text: str
    messages: Messages

    @property
    def keys(self) -> Mapping[str, Keys]:
        """The columns of each stream's key, and the key of each record, in order."""
        return {
            stream: [
                tuple(record[name] for name in schema["key_properties"])
                for record in self.messages.records[stream]
            ]
            for stream, schema in self.messages.schemas.items()
        }

    def key_of(self, stream: str) -> list[str]:
        columns: list[str] = self.messages.schemas[stream]["key_properties"]
        return columns


@pytest.fixture(scope="module")
def delivered() -> Delivered:
    """All streams of the standard world, optional ones included."""
    with Simulator(standard_world()) as simulator:
        ended = run_tap(config=settings(simulator, optional_streams=list(OPTIONAL)))
    assert ended.code == 0, ended.stderr
    found = Delivered(ended.stdout, ended.messages)
    assert all(found.keys.values()), "a stream without rows proves nothing"
    return found


def load(command: Path, delivered: Delivered, options: dict[str, Any], cwd: Path) -> None:
    """Pipe it all into a target; it must commit the tap's last STATE."""
    with arguments(options) as files:
        done = subprocess.run(
            [command, *files],
            input=delivered.text,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment(),
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(
        json.dumps(delivered.messages.state, default=float)
    )


def check(delivered: Delivered, rows_of: Callable[[str, list[str]], Keys]) -> None:
    """As many rows in each table as the tap delivered, and each under a key of its own."""
    for stream, keys in delivered.keys.items():
        columns = delivered.key_of(stream)
        landed = rows_of(stream, columns)
        # A row that stands on two pages is delivered twice, and lands once.
        assert len(landed) == len(set(keys)), stream
        assert [key for key, count in Counter(landed).items() if count > 1] == [], stream
        assert all(part not in (None, "") for key in landed for part in key), stream
        if not KEYS_OF_TIME & set(columns):
            assert set(landed) == set(keys), stream


def own_environment(name: str, *, before: tuple[int, int] | None = None) -> Path:
    """A command that ``make targets`` has installed into an environment of its own.

    Without it the calling test is skipped; where every check must run, it fails.

    Args:
        name: The package; its command may be called otherwise.
        before: The first Python on which it cannot be installed.
    """
    found = ROOT / ".targets" / name / "bin" / name.removeprefix("pipelinewise-")
    if found.exists():
        return found
    if before is not None and sys.version_info >= before:
        pytest.skip(f"{name} cannot be installed on Python {before[0]}.{before[1]} and newer")
    reason = f"{name} is not installed; `make targets` installs it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def in_postgres(database: Database, schema: str) -> Callable[[str, list[str]], Keys]:
    def rows_of(stream: str, columns: list[str]) -> Keys:
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(
                sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns
            ),
            sql.Identifier(schema, stream),
        )
        with psycopg.connect(database.uri) as connection:
            return connection.execute(query).fetchall()

    return rows_of


def test_every_row_lands_in_target_jsonl(delivered: Delivered, tmp_path: Path) -> None:
    options = {"destination_path": str(tmp_path), "do_timestamp_file": False}
    load(loader_command("target-jsonl"), delivered, options, tmp_path)
    for stream, keys in delivered.keys.items():
        lines = (tmp_path / f"{stream}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        # It appends: a row that is delivered twice stands there twice.
        columns = delivered.key_of(stream)
        assert [tuple(row[name] for name in columns) for row in rows] == keys


def test_every_row_lands_in_target_postgres_of_meltanolabs(
    delivered: Delivered, postgres: Database, tmp_path: Path
) -> None:
    options = {
        "sqlalchemy_url": postgres.sqlalchemy_url,
        "default_target_schema": "meltanolabs",
    }
    load(loader_command("target-postgres"), delivered, options, tmp_path)
    check(delivered, in_postgres(postgres, "meltanolabs"))


def test_every_row_lands_in_target_postgres_of_pipelinewise(
    delivered: Delivered, postgres: Database, tmp_path: Path
) -> None:
    command = own_environment("pipelinewise-target-postgres", before=(3, 12))
    address = urlsplit(postgres.uri)
    (folder,) = parse_qs(address.query)["host"]
    options = {
        "host": folder,
        "port": 5432,
        "user": address.netloc.rstrip("@"),
        "password": "none is asked for",
        "dbname": address.path.strip("/"),
        "default_target_schema": "pipelinewise",
    }
    load(command, delivered, options, tmp_path)
    check(delivered, in_postgres(postgres, "pipelinewise"))


def test_every_row_lands_in_target_duckdb(delivered: Delivered, tmp_path: Path) -> None:
    command = own_environment("target-duckdb", before=(3, 14))
    file = tmp_path / "landed.duckdb"
    load(
        command,
        delivered,
        {"filepath": str(file), "default_target_schema": "rutter"},
        tmp_path,
    )
    wanted = {stream: delivered.key_of(stream) for stream in delivered.keys}
    # DuckDB's own package lives in the target's environment only.
    told = subprocess.run(
        [command.with_name("python"), "-c", _ASK_DUCKDB, str(file)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(told.stdout)
    check(delivered, lambda stream, _: [tuple(key) for key in rows[stream]])


_ASK_DUCKDB = """
import json, sys
import duckdb

database = duckdb.connect(sys.argv[1], read_only=True)
answer = {}
for stream, columns in json.load(sys.stdin).items():
    parts = ", ".join(f'"{column}"::varchar' for column in columns)
    answer[stream] = database.execute(f'select {parts} from rutter."{stream}"').fetchall()
json.dump(answer, sys.stdout)
"""
