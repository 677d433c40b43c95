"""A whole fleet, whose processes are killed, stopped and cut off: in the end nothing is missing."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from support.harm import (
    PATHS,
    check_files,
    check_kept,
    check_runs,
    check_seen,
    check_states,
    free_port,
    harmed,
    parked,
    sweep_all,
)
from support.ledger import own_database
from support.runs import descendants

from tap_rutter.demo.database import Database
from tap_rutter.demo.fleet_scene import Scene, until
from tap_rutter.demo.fleet_watch import change_something

SECONDS = float(os.environ.get("FLEET_SOAK_SECONDS", "12"))
CONNECTIONS = int(os.environ.get("FLEET_SOAK_CONNECTIONS", "6"))
WORKERS = int(os.environ.get("FLEET_SOAK_WORKERS", "2"))
DEEDS = ("worker", "child", "terminate", "freeze", "child", "sessions")
SECONDS_BETWEEN = 2.0

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are looked at as Linux shows them"
)


@pytest.fixture
def scene(postgres: Database, tmp_path: Path) -> Iterator[Scene]:
    with own_database(postgres) as url, harmed(tmp_path / "fleet", url, CONNECTIONS) as made:
        poison = made.readable()[-1]
        made.broken.add(poison.id)
        made.simulator.faults.add("respond", status=500, connection_id=poison.id, times=None)
        made.start(WORKERS - 1)
        yield made


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
            os.kill(dice.choice([*descendants(worker.pid)]), signal.SIGKILL)
    elif deed == "terminate":
        # As whoever shuts a machine down does it: taps and targets, but not their worker.
        for child in descendants(worker.pid):
            if not descendants(child):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)
    elif deed == "freeze":
        worker.send_signal(signal.SIGSTOP)
        time.sleep(8)  # past its lease
        worker.send_signal(signal.SIGCONT)
    else:
        with psycopg.connect(scene.database.uri, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )


@pytest.mark.longer
def test_whatever_is_killed_landed_equals_the_world(scene: Scene) -> None:
    dice = random.Random(11)
    port = free_port()
    scene.add_worker("--metrics-port", str(port))
    until(scene.is_read_once, 240, "the first reads did not end")
    check_seen(scene, port)
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
    sweep_all(scene)
    until(lambda: scene.is_idle() and not scene.missing(PATHS), 240, f"after {deeds}: lost rows")
    until(lambda: parked(scene) == scene.broken, 120, f"parked are {parked(scene)}")
    check_states(scene)
    check_seen(scene)
    check_kept(scene)
    scene.stop()
    check_runs(scene)
    check_files(scene)
