"""A fleet on one machine: a simulated Rutter that sends webhooks, a receiver, workers, PostgreSQL.

All of it is what a user would run, each in a process of its own, but for Rutter.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from tap_rutter.demo.database import SCHEMA, Database
from tap_rutter.demo.fleet_watch import moment_of
from tap_rutter.simulator import Connection, Simulator, World

CATALOG = "catalog.json"
CONFIG = "fleet.toml"


class Scene:
    """The processes of a fleet, and the world that they follow."""

    def __init__(
        self,
        folder: Path,
        world: World,
        database: Database,
        streams: Sequence[str],
        *,
        settings: Mapping[str, Any] | None = None,
        tap: Mapping[str, Any] | None = None,
        lost: float = 0.0,
        doubled: float = 0.0,
    ) -> None:
        """Write the configuration; nothing runs yet.

        Args:
            folder: takes the files and the log of each process.
            world: what Rutter shows.
            database: takes the ledger and the tables.
            streams: what is read.
            settings: of ``[fleet]``, beside the defaults.
            tap: settings of the tap, beside the defaults.
            lost: the share of webhooks that Rutter never sends.
            doubled: the share that it sends twice.
        """
        self.folder = folder
        self.world = world
        self.simulator = Simulator(world)
        self.database = database
        self.port = _free_port()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.receiver: subprocess.Popen[bytes] | None = None
        self.broken: set[str] = set()
        """Connections that nobody expects to be read."""
        self._streams = streams
        self._settings = dict(settings or {})
        self._tap = dict(tap or {})
        self._lost, self._doubled = lost, doubled
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, workers: int = 2) -> None:
        """Start everything, and wait until the receiver takes webhooks."""
        self.simulator.start()
        self._write()
        self.receiver = self._process("serve", "--port", str(self.port), log="receiver")
        until(self._takes_webhooks, 60, "the receiver did not start")
        self.simulator.webhooks.subscribe(
            f"http://127.0.0.1:{self.port}/webhooks",
            lost=self._lost,
            doubled=self._doubled,
            hurry=100.0,
        )
        for _ in range(workers):
            self.add_worker()

    def add_worker(self, *options: str, config: str = CONFIG) -> subprocess.Popen[bytes]:
        """One more worker.

        Args:
            options: of its command.
            config: its configuration, in the scene's folder.
        """
        log = f"worker-{len(self.workers) + 1}"
        worker = self._process("work", *options, log=log, config=config)
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """End everything in order; what does not end is killed."""
        everything = [process for process in (*self.workers, self.receiver) if process is not None]
        running = [process for process in everything if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        end = time.monotonic() + 30
        for process in running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.simulator.stop()

    def _write(self) -> None:
        simulator, folder = self.simulator, self.folder
        tap = {
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "api_url": simulator.api_url,
            "max_retry_seconds": 10,
            **self._tap,
        }
        target = {
            "sqlalchemy_url": self.database.sqlalchemy_url,
            "default_target_schema": SCHEMA,
            "validate_records": False,
        }
        _private(folder / "tap.json", json.dumps(tap))
        _private(folder / "target.json", json.dumps(target))
        _private(folder / CATALOG, json.dumps(catalog_of(self._streams)))
        command = Path(sys.executable).with_name("target-postgres")
        fleet = {
            "ledger_url": self.database.uri,
            "look_seconds": 0.5,
            "lease_seconds": 10.0,
            "stop_seconds": 10.0,
            "work_directory": str(folder / "runs"),
            **self._settings,
        }
        (folder / "runs").mkdir(mode=0o700, exist_ok=True)
        lines = ["[fleet]", *(f"{name} = {json.dumps(value)}" for name, value in fleet.items())]
        lines += ["[tap]", 'config = "tap.json"', f'catalog = "{CATALOG}"', "[target]"]
        lines += [
            f"command = {json.dumps([str(command), '--config', str(folder / 'target.json')])}"
        ]
        lines += [f"database_url = {json.dumps(self.database.uri)}", f'schema = "{SCHEMA}"']
        _private(folder / CONFIG, "\n".join(lines) + "\n")

    def _process(self, *arguments: str, log: str, config: str = CONFIG) -> subprocess.Popen[bytes]:
        with (self.folder / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                [
                    Path(sys.executable).with_name("rutterctl"),
                    "fleet",
                    "--config",
                    str(self.folder / config),
                    *arguments,
                ],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                env=_environment(),
            )

    def _takes_webhooks(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        if self.receiver is not None and self.receiver.poll() is not None:
            raise RuntimeError(f"the receiver ended: {self.log('receiver')[-1000:]}")
        return False

    # ---- what can be seen

    def log(self, name: str) -> str:
        """What a process has said."""
        path = self.folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with psycopg.connect(self.database.uri) as connection:
            return connection.execute(text.encode(), values or None).fetchall()

    def readable(self) -> list[Connection]:
        """The connections whose data Rutter gives out."""
        return [
            c
            for c in self.world.connections.values()
            if c.status in {"active", "unhealthy"} and c.id not in self.broken
        ]

    def is_read_once(self) -> bool:
        """Whether every readable connection has been read completely."""
        found = self.query("select connection_id from rutter_fleet.connections where read_once")
        return {c.id for c in self.readable()} <= {name for (name,) in found}

    def is_idle(self) -> bool:
        """Whether nothing is marked, nothing runs, and no webhook is on its way."""
        if not self.simulator.webhooks.settled(1):
            return False
        ((busy,),) = self.query(
            "select (select count(*) from rutter_fleet.marks join rutter_fleet.connections"
            " using (connection_id) where status = 'active')"
            " + (select count(*) from rutter_fleet.connections where claim_id is not null)"
        )
        return not busy

    def missing(self, paths: Mapping[str, str]) -> list[str]:
        """How the tables differ from what Rutter shows, in words; nothing: they are equal.

        Args:
            paths: the endpoint of each stream that is compared. A row is compared by its key and
                by the field ``updated_at``, which every change moves.
        """
        said = []
        for stream, path in paths.items():
            shown = {}
            for connection in self.readable():
                for row in self.world.rows(connection.id, path):
                    shown[connection.id, row["id"]] = moment_of(row["updated_at"])
            landed = {
                (connection_id, key): moment
                for connection_id, key, moment in self.query(
                    f"select connection_id, id, updated_at from {SCHEMA}.{stream}"
                )
            }
            lost = [key for key in shown if key not in landed]
            stale = [
                key
                for key, at in shown.items()
                if at is not None and key in landed and (landed[key] is None or landed[key] < at)
            ]
            if lost or stale:
                said.append(
                    f"{stream}: {len(lost)} rows are missing, {len(stale)} are stale, such as"
                    f" {(lost + stale)[0]}"
                )
        return said


def until(condition: Callable[[], bool], seconds: float, why: str) -> None:
    """Wait for it.

    Raises:
        RuntimeError: when it does not come in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(why)
        time.sleep(0.2)


def catalog_of(streams: Iterable[str]) -> dict[str, Any]:
    """The tap's catalog with these streams selected."""
    from tap_rutter.tap import TapRutter

    wanted = set(streams)
    catalog = json.loads(json.dumps(TapRutter(config={}, validate_config=False).catalog_dict))
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in wanted
    return dict(catalog)


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _environment() -> dict[str, str]:
    ours = ("TAP_RUTTER_", "RUTTER_", "TARGET_POSTGRES_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
