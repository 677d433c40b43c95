"""A whole fleet, whose processes are killed, stopped and cut off: in the end nothing is missing."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from support.ledger import own_database

from tap_rutter.demo.database import Database
from tap_rutter.demo.fleet_scene import Scene, until
from tap_rutter.demo.fleet_watch import change_something
from tap_rutter.simulator import World
from tap_rutter.simulator.worlds import counts_for

SECONDS = float(os.environ.get("FLEET_SOAK_SECONDS", "12"))
CONNECTIONS = int(os.environ.get("FLEET_SOAK_CONNECTIONS", "6"))
WORKERS = int(os.environ.get("FLEET_SOAK_WORKERS", "2"))
PATHS = {"commerce_orders": "/orders", "accounting_invoices": "/accounting/invoices"}
STREAMS = [*PATHS, "deleted_objects", "connections", "sync_report"]
DEEDS = ("worker", "child", "terminate", "freeze", "child", "sessions")
SECONDS_BETWEEN = 2.0


class _Server(Database):
    """A database of the test's own."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def sqlalchemy_url(self) -> str:
        return self._uri.replace("postgresql:", "postgresql+psycopg:", 1)


def busy_world() -> World:
    world = World(7, immediate=True)
    for number in range(CONNECTIONS):
        platform = ("SHOPIFY", "QUICKBOOKS")[number % 2]
        connection = world.add_connection(platform, name=f"{platform} {number}")
        counts = counts_for(world, connection, 0.05)
        connection.counts = {path: n for path, n in counts.items() if path in PATHS.values()}
    return world


@pytest.fixture
def scene(postgres: Database, tmp_path: Path) -> Iterator[Scene]:
    with own_database(postgres) as url:
        made = Scene(
            tmp_path / "fleet",
            busy_world(),
            _Server(url),
            STREAMS,
            settings={
                "lease_seconds": 4.0,
                "slots": 3,
                "sweep_minutes": 1,
                "park_after": 3,
                "back_off_seconds": 1.0,
            },
            tap={"max_retry_seconds": 2},
            lost=0.1,
            doubled=0.1,
        )
        poison = made.readable()[-1]
        made.broken.add(poison.id)
        made.simulator.faults.add("respond", status=500, connection_id=poison.id, times=None)
        made.start(WORKERS)
        try:
            yield made
        finally:
            made.stop()


def descendants(pid: int) -> list[tuple[int, str]]:
    """(pid, command line) of everything that a process has started, however deep."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        for child in parents.get(todo.pop(), ()):
            todo.append(child)
            try:
                text = (Path("/proc") / str(child) / "cmdline").read_bytes()
            except OSError:
                continue
            found.append((child, text.replace(b"\0", b" ").decode(errors="replace")))
    return found


def harm(scene: Scene, deed: str, dice: random.Random) -> None:
    """Do one bad thing."""
    living = [worker for worker in scene.workers if worker.poll() is None]
    worker = dice.choice(living)
    if deed == "worker":
        worker.kill()
        scene.add_worker()
    elif deed == "child":
        # The nursery, a supervisor, a tap, a target that works or waits.
        with suppress(ProcessLookupError, IndexError):
            os.kill(dice.choice(descendants(worker.pid))[0], signal.SIGKILL)
    elif deed == "terminate":
        # As whoever shuts a machine down does it: taps and targets, but not their worker.
        for child, _ in descendants(worker.pid):
            if not descendants(child):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)
    elif deed == "freeze":
        worker.send_signal(signal.SIGSTOP)
        time.sleep(6)  # past its lease
        worker.send_signal(signal.SIGCONT)
    else:
        with psycopg.connect(scene.database.uri, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks into /proc")
def test_whatever_is_killed_landed_equals_the_world(scene: Scene) -> None:
    dice = random.Random(11)
    until(scene.is_read_once, 240, "the first reads did not end")
    end = time.monotonic() + SECONDS
    next_harm = time.monotonic()
    deeds: list[str] = []
    while time.monotonic() < end or len(deeds) < len(DEEDS):
        change_something(scene.world, scene.readable(), PATHS, dice)
        time.sleep(0.2)
        if time.monotonic() > next_harm:
            deeds.append(DEEDS[len(deeds) % len(DEEDS)])
            harm(scene, deeds[-1], dice)
            next_harm = time.monotonic() + SECONDS_BETWEEN
    # The sweep brings what no webhook told of: all connections are due to it.
    with psycopg.connect(scene.database.uri, autocommit=True) as connection:
        connection.execute(
            "update rutter_fleet.connections set sweep_at = now() where status = 'active'"
        )
    until(lambda: scene.is_idle() and not scene.missing(PATHS), 240, f"after {deeds}: lost rows")
    until(lambda: parked(scene) == scene.broken, 120, f"parked are {parked(scene)}")
    check_states(scene)
    check_secrets(scene)
    scene.stop()
    check_runs(scene)
    check_files(scene)


def parked(scene: Scene) -> set[str]:
    rows = scene.query("select connection_id from rutter_fleet.connections where status = 'parked'")
    return {name for (name,) in rows}


def check_runs(scene: Scene) -> None:
    """No two runs of a connection overlap, as Rutter sees it."""
    spans: dict[str, dict[str, tuple[float, float]]] = {}
    for request in scene.simulator.requests:
        if request.connection_id is not None:
            _, _, claim = request.headers["user-agent"].partition(" (claim ")
            assert claim, "a request of no run"
            runs = spans.setdefault(request.connection_id, {})
            first, last = runs.get(claim, (request.started, request.started))
            runs[claim] = (min(first, request.started), max(last, request.started))
    assert spans.keys() >= {c.id for c in scene.readable()}
    assert max(len(runs) for runs in spans.values()) > 1
    for runs in spans.values():
        for (_, last), (first, _) in pairwise(sorted(runs.values())):
            assert last < first, "two runs of one connection at once"


def check_states(scene: Scene) -> None:
    """A state holds what is of its own connection."""
    rows = scene.query("select connection_id, state from rutter_fleet.states")
    assert {name for name, _ in rows} >= {c.id for c in scene.readable()}
    for name, state in rows:
        for stream in state["bookmarks"].values():
            for partition in stream.get("partitions", ()):
                assert partition["context"] == {"connection_id": name}


def check_secrets(scene: Scene) -> None:
    secrets = [c.access_token for c in scene.world.connections.values()]
    secrets.append(scene.simulator.client_secret)
    logs = "".join(path.read_text(errors="replace") for path in scene.folder.glob("*.log"))
    tables = scene.query(
        "select table_name from information_schema.tables where table_schema = 'rutter_fleet'"
    )
    kept = json.dumps(
        [
            scene.query(f"select to_jsonb(t)::text from rutter_fleet.{name} as t")
            for (name,) in tables
        ]
    )
    seen = "".join(text for worker in scene.workers for _, text in descendants(worker.pid))
    for secret in secrets:
        assert secret not in logs
        assert secret not in kept
        assert secret not in seen


def check_files(scene: Scene) -> None:
    """Workers that have ended leave no files with secrets behind, nor do runs of killed ones."""
    assert [path.name for path in (scene.folder / "runs").iterdir()] == []
