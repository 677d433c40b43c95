"""Who is measured: how each is started, and how one sees what it delivered."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.environments import BENCH, Environments
from benchmarks.lists import RutterList, write_schemas
from benchmarks.measure import Command, Cost

_PEERS = Path(__file__).resolve().parent / "peers"
_DAY = 86_400_000
# The rows of a simulated connection lie within so many days before its present.
_DAYS = 366
PAGE_SIZE = 500


@dataclass(frozen=True)
class Job:
    """What a contestant is to do."""

    server: dict[str, Any]
    """The simulator's address and connections, as ``serve.greeting`` tells them."""
    lists: Sequence[RutterList]
    workers: int
    folder: Path
    """An empty folder of this run."""
    connections: int | None = None
    """Only the first so many connections; None: all."""
    shard: str | None = None

    def write(self) -> Path:
        """The job as a file, in the form that all peers read."""
        end = self.server["end_ms"]
        start = end - _DAYS * _DAY
        content = self.server | {
            "connections": self.server["connections"][: self.connections],
            "page_size": PAGE_SIZE,
            "workers": self.workers,
            "start_ms": start,
            "end_ms": end,
            "start": _iso(start),
            "end": _iso(end),
            "schemas": str(schemas()),
            "streams": [entry.to_json() for entry in self.lists],
            # What Airbyte's manifest takes: a slice for each worker.
            "step": f"P{math.ceil((_DAYS + 1) / self.workers)}D",
            "threads": max(2, self.workers),
        }
        return self._save("job.json", content)

    def _save(self, name: str, content: object) -> Path:
        file = self.folder / name
        file.write_text(json.dumps(content), encoding="utf-8")
        return file


@dataclass(frozen=True)
class Contestant:
    """One of those that are compared."""

    name: str
    label: str
    command: Callable[[Environments, Job], Command]
    worker_counts: tuple[int, ...] = (1,)
    lists_rows: bool = True
    """Whether it writes a line per record; otherwise its last line tells how many it had."""
    share: int = 1
    """Of a large job only this part is measured (1: all of it), where the whole takes too long."""

    def delivered(self, cost: Cost) -> int:
        """How many records it says or shows that it delivered; messages of other kinds count."""
        if self.lists_rows:
            return cost.lines
        return int(json.loads(cost.tail.splitlines()[-1])["delivered"])


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def schemas() -> Path:
    """The folder of the peers' typed schemas."""
    folder = BENCH / "schemas"
    write_schemas(folder)
    return folder


def _tap(environments: Environments, job: Job) -> Command:
    config: dict[str, Any] = {
        name: job.server[name] for name in ("api_url", "client_id", "client_secret")
    }
    config |= {"concurrency": job.workers, "page_size": PAGE_SIZE}
    if job.connections is not None:
        found = job.server["connections"][: job.connections]
        config["connection_ids"] = [connection["id"] for connection in found]
    if job.shard is not None:
        config["shard"] = job.shard
    tap = environments.own / "tap-rutter"
    return Command(
        [
            tap,
            "--config",
            job._save("config.json", config),
            "--catalog",
            job._save("catalog.json", _catalog(tap, tuple(entry.name for entry in job.lists))),
        ]
    )


@cache
def _catalog(tap: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The tap's catalog with these streams selected and no others."""
    found = subprocess.run([tap, "--discover"], capture_output=True, check=True)
    catalog: dict[str, Any] = json.loads(found.stdout)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in names
    return catalog


def _plain_sdk(environments: Environments, job: Job) -> Command:
    python = environments.bin("plain-sdk") / "python"
    return Command([python, _PEERS / "plain_sdk" / "tap_plain.py", "--config", job.write()])


def _dlt(environments: Environments, job: Job, *destination: str) -> Command:
    python = environments.bin("dlt") / "python"
    return Command(
        [python, _PEERS / "dlt_rest_api.py", job.write(), job.folder, *destination],
        env={
            "DLT_DATA_DIR": str(job.folder / "dlt"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "EXTRACT__WORKERS": str(job.workers),
        },
    )


def _dlt_duckdb(environments: Environments, job: Job) -> Command:
    return _dlt(environments, job, "duckdb")


def _airbyte(environments: Environments, job: Job) -> Command:
    [entry] = job.lists
    schema = json.loads((schemas() / f"{entry.name}.json").read_text(encoding="utf-8"))
    manifest = yaml.safe_load((_PEERS / "airbyte.yaml").read_text(encoding="utf-8"))
    manifest["streams"][0]["schema_loader"]["schema"] = schema
    stream = {"name": entry.name, "json_schema": schema, "supported_sync_modes": ["full_refresh"]}
    chosen = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
    return Command(
        [
            environments.bin("airbyte") / "source-declarative-manifest",
            "read",
            "--config",
            job.write(),
            "--catalog",
            job._save("catalog.json", {"streams": [chosen]}),
            "--manifest-path",
            job._save("manifest.json", manifest),
        ]
    )


def _guide(environments: Environments, job: Job) -> Command:
    return Command([environments.bin("guide") / "python", _PEERS / "guide_script.py", job.write()])


def _floor(environments: Environments, job: Job) -> Command:
    return Command([environments.bin("floor") / "python", _PEERS / "floor.py", job.write()])


MANY = 12
"""Workers, or windows at once, where a contestant can have several."""

TAP = Contestant("tap", "tap-rutter", _tap, (1, MANY))
PLAIN_SDK = Contestant("plain_sdk", "plain SDK tap", _plain_sdk)
DLT = Contestant("dlt", "dlt rest_api, extract only", _dlt, (1, MANY), lists_rows=False)
# Loading takes its time whatever the windows, so a tenth of the orders tells as much.
DUCKDB = Contestant(
    "dlt_duckdb",
    "dlt rest_api to DuckDB",
    _dlt_duckdb,
    (1, MANY),
    lists_rows=False,
    share=10,
)
AIRBYTE = Contestant("airbyte", "Airbyte CDK source", _airbyte, (1, MANY))
GUIDE = Contestant("guide", "the guide's script", _guide)
FLOOR = Contestant("floor", "floor (raw split and write)", _floor)

ALL = (TAP, PLAIN_SDK, DLT, DUCKDB, AIRBYTE, GUIDE, FLOOR)
