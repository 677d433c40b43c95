"""A whole fleet, whose processes are killed, stopped and cut off: in the end nothing is missing."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from support.ledger import own_database

from tap_rutter.demo.database import Database
from tap_rutter.demo.fleet_scene import Scene, until
from tap_rutter.simulator import World
from tap_rutter.simulator.worlds import counts_for

SECONDS = float(os.environ.get("FLEET_SOAK_SECONDS", "20"))
CONNECTIONS = int(os.environ.get("FLEET_SOAK_CONNECTIONS", "8"))
WORKERS = int(os.environ.get("FLEET_SOAK_WORKERS", "2"))
PATHS = {"commerce_orders": "/orders", "accounting_invoices": "/accounting/invoices"}
STREAMS = [*PATHS, "deleted_objects", "connections", "sync_report"]


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
            settings={"lease_seconds": 4.0, "slots": 3, "sweep_minutes": 1},
        )
        made.start(WORKERS)
        try:
            yield made
        finally:
            made.stop()


def change(scene: Scene, dice: random.Random) -> None:
    connection = dice.choice(scene.readable())
    path = "/orders" if connection.platform == "SHOPIFY" else "/accounting/invoices"
    with scene.world.lock:
        scene.world.advance(1)
        if dice.random() < 0.5:
            scene.world.create(connection.id, path)
        else:
            key = dice.choice(scene.world.keys(connection.id, path))
            scene.world.update(connection.id, path, key)


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


def harm(scene: Scene, dice: random.Random) -> str:
    """Do one bad thing; what it was."""
    living = [worker for worker in scene.workers if worker.poll() is None]
    worker = dice.choice(living)
    deed = dice.choice(["worker", "child", "child", "target", "freeze", "sessions"])
    if deed == "worker":
        worker.kill()
        scene.add_worker()
    elif deed in {"child", "target"}:
        children = descendants(worker.pid)
        if deed == "target":
            children = [entry for entry in children if "target-postgres" in entry[1]]
        if children:
            number = signal.SIGTERM if deed == "target" else signal.SIGKILL
            with suppress(ProcessLookupError):
                os.kill(dice.choice(children)[0], number)
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
    return deed


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks into /proc")
def test_whatever_is_killed_landed_equals_the_world(scene: Scene) -> None:
    dice = random.Random(11)
    until(scene.is_read_once, 240, "the first reads did not end")
    end = time.monotonic() + SECONDS
    next_harm = time.monotonic() + 2
    deeds = []
    while time.monotonic() < end:
        change(scene, dice)
        time.sleep(0.2)
        if time.monotonic() > next_harm:
            deeds.append(harm(scene, dice))
            next_harm = time.monotonic() + 4
    # Webhooks whose rows a run has read and lost are told of by the sweep: all streams are due.
    with psycopg.connect(scene.database.uri, autocommit=True) as connection:
        connection.execute(
            "update rutter_fleet.connections set sweep_at = now() where status = 'active'"
        )
    until(lambda: scene.is_idle() and not scene.missing(PATHS), 240, f"after {deeds}: lost rows")
    parked = scene.query(
        "select connection_id, parked_reason from rutter_fleet.connections where status = 'parked'"
    )
    assert parked == [], "nobody was at fault"
    check_states(scene)
    check_secrets(scene)


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
    left = list((scene.folder / "runs").iterdir())
    running = {
        name for worker in scene.workers for name in (text for _, text in descendants(worker.pid))
    }
    for folder in left:
        assert any(str(folder) in text for text in running), "a run left its files behind"
