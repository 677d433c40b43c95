"""End to end into PostgreSQL, with the target's settings compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from benchmarks import contestants as who
from benchmarks.bench import Bench, Entry
from benchmarks.contestants import Contestant, Job
from benchmarks.environments import BENCH, ROOT
from benchmarks.lists import ORDERS, orders
from benchmarks.measure import Command, Cost, RunFailed, run
from benchmarks.rows import Row
from benchmarks.serve import World
from tap_rutter.demo import database

REFERENCE = "tap-meltano"
_SCHEMA = "benchmark"


def _of_meltano_yml() -> dict[str, Any]:
    """The target's settings for loading in the project's own meltano.yml."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    [loader] = [
        entry for entry in project["plugins"]["loaders"] if entry["name"] == "target-postgres"
    ]
    wanted = ("use_copy", "validate_records", "add_record_metadata", "batch_size_rows")
    found = {
        setting["name"]: setting["value"]
        for setting in loader["settings"]
        if setting["name"] in wanted and "value" in setting
    }
    return found | {
        name: value for name, value in loader.get("config", {}).items() if name in wanted
    }


def _variants() -> list[tuple[Contestant, str, str, dict[str, Any]]]:
    """For each variant: the tap, its key, its name, and the target's settings."""
    unchecked = {"validate_records": False}
    small, large = (unchecked | {"batch_size_rows": size} for size in (1_000, 50_000))
    quick = unchecked | {"use_copy": True}
    return [
        (who.TAP, "meltano", "meltano.yml's settings", _of_meltano_yml()),
        (who.PLAIN_SDK, "defaults", "the target's defaults", {}),
        (who.PLAIN_SDK, "meltano", "meltano.yml's settings", _of_meltano_yml()),
        (who.TAP, "defaults", "the target's defaults", {}),
        (who.TAP, "unchecked-1000", "validate_records: false, batches of 1,000", small),
        (who.TAP, "unchecked", "validate_records: false", unchecked),
        (who.TAP, "unchecked-50000", "validate_records: false, batches of 50,000", large),
        (who.TAP, "copy", "use_copy: true", {"use_copy": True}),
        (who.TAP, "quick", "both", quick),
        (who.TAP, "quick-1000", "both, batches of 1,000", quick | {"batch_size_rows": 1_000}),
    ]


def measure(bench: Bench) -> tuple[str, list[Row]]:
    """One connection's orders through a tap and target-postgres into an embedded PostgreSQL."""
    count = bench.size(10_000, 300)
    variants = _variants()[: bench.size(None, 4)]
    with postgres() as warehouse, bench.serving(World(orders=count)) as server:
        entries = []
        for tap, key, setting, config in variants:
            if not (tap is who.TAP or bench.wants(tap)):
                continue
            row = Row(
                group="all",
                key=f"{tap.name}-{key}",
                label=tap.label,
                setting=setting,
                units=count,
                records=count,
            )
            entries.append(Entry(row, _Load(bench, tap, server, config, warehouse, count)))
        rows = bench.measure(entries)
    for row in rows:
        if row.stages:
            row.note = "CPU of the tap {:.1f} s, of the target {:.1f} s".format(*row.stages)
    about = (
        f"{count:,} orders of one connection, no latency, piped into target-postgres. CPU and"
        " memory are those of tap and target together, without the database server's."
    )
    return about, rows


class _Load:
    """One load into an empty schema; counts the rows that landed."""

    def __init__(
        self,
        bench: Bench,
        tap: Contestant,
        server: Mapping[str, Any],
        config: Mapping[str, Any],
        warehouse: database.Database,
        count: int,
    ) -> None:
        self._bench = bench
        self._tap = tap
        self._server = dict(server)
        self._config = config
        self._warehouse = warehouse
        self._count = count

    def __call__(self, folder: Path) -> Cost:
        self._clear()
        workers = self._tap.worker_counts[-1]
        job = Job(self._server, [orders()], workers, folder)
        tap = self._tap.command(self._bench.environments, job)
        file = folder / "target.json"
        file.write_text(
            json.dumps(
                {
                    "sqlalchemy_url": self._warehouse.sqlalchemy_url,
                    "default_target_schema": _SCHEMA,
                    **self._config,
                }
            ),
            encoding="utf-8",
        )
        executable = self._bench.environments.bin("target") / "target-postgres"
        target = Command([executable, "--config", file])
        cost = run([[tap, target]], folder, timeout=self._bench.timeout)
        landed = self._landed()
        if landed != self._count:
            raise RunFailed(f"{landed} of {self._count} rows landed")
        return cost

    def _clear(self) -> None:
        with psycopg.connect(self._warehouse.uri, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
            connection.execute("CHECKPOINT")

    def _landed(self) -> int:
        table = sql.Identifier(_SCHEMA, ORDERS)
        with psycopg.connect(self._warehouse.uri) as connection:
            found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        return int(found[0]) if found else 0


@contextmanager
def postgres(name: str = "postgres", sessions: int = 0) -> Iterator[database.Database]:
    """An embedded PostgreSQL with nothing in it, in a folder that no other case uses.

    ``sessions``: how many it allows at once, where that is not its default.
    """
    data = BENCH / name
    BENCH.mkdir(parents=True, exist_ok=True)
    database.remove(data)
    with database.running(data, sessions) as warehouse:
        warehouse.prepare()
        yield warehouse
