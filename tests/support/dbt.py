"""dbt, run on a warehouse that holds the standard world."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from support.meltano import load, loader_command
from support.singer import Json, environment, run_tap, settings
from support.targets import own_environment
from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator
from tap_rutter.simulator.world import World

SCHEMA = "for_dbt"
MODELS = "for_dbt_models"
AS_OF = "date '2026-02-20'"


@dataclass(frozen=True)
class Built:
    """What dbt made of the world."""

    world: World
    database: Database
    folder: Path
    results: list[dict[str, Any]]
    """dbt's own account: a node and its status each."""

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.database.uri, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(query).fetchall()


def dbt_command() -> Path:
    """The dbt that ``make targets`` installs; without it the calling test is skipped."""
    return own_environment("dbt", "dbt")


def run_dbt(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            dbt_command(),
            "--no-use-colors",
            "--no-send-anonymous-usage-stats",
            *command,
            "--project-dir",
            str(folder),
            "--profiles-dir",
            str(folder),
            "--vars",
            json.dumps({"rutter_schema": SCHEMA, "rutter_as_of": AS_OF}),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        check=False,
    )


def profile(database: Database) -> str:
    """A profile; JSON is YAML."""
    address = urlsplit(database.uri)
    (socket,) = parse_qs(address.query)["host"]
    output = {
        "type": "postgres",
        "host": socket,
        "port": 5432,
        "user": address.netloc.rstrip("@"),
        "password": "",
        "dbname": address.path.strip("/"),
        "schema": MODELS,
        "threads": 4,
    }
    return json.dumps({"rutter": {"target": "test", "outputs": {"test": output}}})


def sync(simulator: Simulator, postgres: Database, state: Any, folder: Path) -> Json:
    """One run of the tap into the warehouse; gives the state for the next."""
    ended = run_tap(config=settings(simulator), state=state)
    assert ended.code == 0, ended.stderr
    options = {"sqlalchemy_url": postgres.sqlalchemy_url, "default_target_schema": SCHEMA}
    return load(loader_command("target-postgres"), ended.stdout, options, folder)
