"""What is compared: how each contestant is started, and what it delivered."""

from __future__ import annotations

import copy
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks import keeping
from benchmarks.environments import BENCH, Environments
from benchmarks.lists import RutterList, write_schemas
from benchmarks.measure import Command, Cost

_PEERS = Path(__file__).resolve().parent / "peers"
_DAY = 86_400_000
# The rows of a simulated connection spread over this many days before its present.
_DAYS = 366
PAGE_SIZE = 500


@dataclass(frozen=True)
class Job:
    """What a contestant has to do."""

    server: dict[str, Any]
    """The simulator's address and connections, from ``serve.greeting``."""
    lists: Sequence[RutterList]
    workers: int
    folder: Path
    """An empty folder for this run."""
    connections: int | None = None
    """How many connections to read; None: all."""
    shard: str | None = None
    incremental: bool = False
    """Whether it continues from an earlier run's state, and makes a state for the next run."""
    state: Path | None = None
    """What ``keep`` returned after an earlier run."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the tap."""

    def write(self) -> Path:
        """Write the job as a file, in the form that all peers read."""
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
            # Airbyte's manifest needs this: a slice for each worker.
            "step": f"P{math.ceil((_DAYS + 1) / self.workers)}D",
            "threads": max(2, self.workers),
            "incremental": self.incremental,
            "state": str(self.state) if self.state else None,
        }
        return self.save("job.json", content)

    def save(self, name: str, content: object) -> Path:
        """Write a file into the run's folder."""
        file = self.folder / name
        file.write_text(json.dumps(content), encoding="utf-8")
        return file


@dataclass(frozen=True)
class Contestant:
    """A program that is compared."""

    name: str
    label: str
    command: Callable[[Environments, Job], Command]
    worker_counts: tuple[int, ...] = (1,)
    lists_rows: bool = True
    """Whether it writes a line for each record; otherwise its last line has their number."""
    share: int = 1
    """A large job is divided by this number for it (1: the whole job), if it would take too
    long."""
    keep: Callable[[Path], Path] = keeping.singer
    """Takes what the next run needs from the folder of a run."""

    def delivered(self, cost: Cost) -> int:
        """How many records it delivered, by its own count, or by its lines of any kind."""
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
    config |= job.settings
    tap = environments.own / "tap-rutter"
    return Command(
        [
            tap,
            "--config",
            job.save("config.json", config),
            "--catalog",
            job.save("catalog.json", _catalog(tap, tuple(entry.name for entry in job.lists))),
            *_state(job),
        ]
    )


def _state(job: Job) -> list[str | Path]:
    return ["--state", job.state] if job.state else []


@cache
def settings_known(tap: Path) -> frozenset[str]:
    """The settings that an installed tap has."""
    found = subprocess.run([tap, "--about", "--format=json"], capture_output=True, check=True)
    return frozenset(json.loads(found.stdout)["settings"]["properties"])


@cache
def _catalog(tap: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The tap's catalog with only these streams selected."""
    found = subprocess.run([tap, "--discover"], capture_output=True, check=True)
    catalog: dict[str, Any] = json.loads(found.stdout)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in names
    return catalog


def _plain_sdk(environments: Environments, job: Job) -> Command:
    python = environments.bin("plain-sdk") / "python"
    tap = _PEERS / "plain_sdk" / "tap_plain.py"
    return Command([python, tap, "--config", job.write(), *_state(job)])


def _dlt(environments: Environments, job: Job, *destination: str) -> Command:
    python = environments.bin("dlt") / "python"
    if job.state:
        # A run changes the folder that it works in. Each run starts with a copy of the first run's
        # folder.
        shutil.copytree(job.state, job.folder / keeping.DLT)
    return Command(
        [python, _PEERS / "dlt_rest_api.py", job.write(), job.folder, *destination],
        env={
            "DLT_DATA_DIR": str(job.folder / "dlt"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "EXTRACT__WORKERS": str(job.workers),
            # The default is 20.
            "EXTRACT__MAX_PARALLEL_ITEMS": str(max(20, job.workers)),
        },
    )


def _dlt_duckdb(environments: Environments, job: Job) -> Command:
    return _dlt(environments, job, "duckdb")


def _airbyte(environments: Environments, job: Job) -> Command:
    make = _partitioned if job.incremental else _sliced
    manifest, streams = make(job)
    return Command(
        [
            environments.bin("airbyte") / "source-declarative-manifest",
            "read",
            "--config",
            job.write(),
            "--catalog",
            job.save("catalog.json", {"streams": streams}),
            "--manifest-path",
            job.save("manifest.json", manifest),
            *_state(job),
        ]
    )


def _sliced(job: Job) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Airbyte's manifest and catalog for one list of one connection."""
    [entry] = job.lists
    schema = _schema(entry)
    manifest = _manifest("airbyte.yaml")
    manifest["streams"][0]["schema_loader"]["schema"] = schema
    return manifest, [_configured(entry, schema, "full_refresh")]


def _partitioned(job: Job) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same for many lists, each partitioned by connection: each is a copy of one stream."""
    manifest = _manifest("airbyte_partitions.yaml")
    [template] = manifest["streams"]
    manifest["streams"], chosen = [], []
    for entry in job.lists:
        schema = _schema(entry)
        stream = copy.deepcopy(template)
        stream["name"] = entry.name
        stream["schema_loader"]["schema"] = schema
        cursor = stream["incremental_sync"]
        cursor["cursor_field"] = entry.replication_key
        cursor["start_time_option"]["field_name"] = f"{entry.replication_key}_min"
        stream["retriever"]["requester"]["path"] = entry.path
        stream["retriever"]["record_selector"]["extractor"]["field_path"] = [entry.key]
        manifest["streams"].append(stream)
        chosen.append(_configured(entry, schema, "incremental"))
    manifest["check"]["stream_names"] = [job.lists[0].name]
    return manifest, chosen


def _manifest(name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((_PEERS / name).read_text(encoding="utf-8"))
    return manifest


def _schema(entry: RutterList) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        (schemas() / f"{entry.name}.json").read_text(encoding="utf-8")
    )
    return schema


def _configured(entry: RutterList, schema: Mapping[str, Any], mode: str) -> dict[str, Any]:
    stream = {"name": entry.name, "json_schema": schema, "supported_sync_modes": [mode]}
    return {"stream": stream, "sync_mode": mode, "destination_sync_mode": "append"}


def _guide(environments: Environments, job: Job) -> Command:
    return Command([environments.bin("guide") / "python", _PEERS / "guide_script.py", job.write()])


def _floor(environments: Environments, job: Job) -> Command:
    return Command([environments.bin("floor") / "python", _PEERS / "floor.py", job.write()])


MANY = 12
"""How many workers, or windows at once, a contestant has if it can have several."""

TAP = Contestant("tap", "tap-rutter", _tap, (1, MANY))
PLAIN_SDK = Contestant("plain_sdk", "plain SDK tap", _plain_sdk)
DLT = Contestant(
    "dlt",
    "dlt rest_api, extract only",
    _dlt,
    (1, MANY),
    lists_rows=False,
    keep=keeping.dlt,
)
# Loading takes as long with any number of windows, so a tenth of the orders is enough.
DUCKDB = Contestant(
    "dlt_duckdb",
    "dlt rest_api to DuckDB",
    _dlt_duckdb,
    (1, MANY),
    lists_rows=False,
    share=10,
)
AIRBYTE = Contestant("airbyte", "Airbyte CDK source", _airbyte, (1, MANY), keep=keeping.airbyte)
GUIDE = Contestant("guide", "the guide's script", _guide, keep=keeping.guide)
FLOOR = Contestant("floor", "floor (raw split and write)", _floor)

ALL = (TAP, PLAIN_SDK, DLT, DUCKDB, AIRBYTE, GUIDE, FLOOR)


def workers_text(contestant: Contestant, workers: int) -> str:
    """The number of workers as text, for a row."""
    if len(contestant.worker_counts) == 1:
        return "sequential"
    return f"{workers} worker{'s' if workers > 1 else ''}"
