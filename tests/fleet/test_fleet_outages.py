"""Broker and ledger go away under a fleet at work, and come back: seconds are lost, and no row."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis
from support.harm import (
    PATHS,
    bustle,
    check_files,
    check_kept,
    check_nothing_secret_in,
    check_runs,
    check_states,
    free_port,
    harmed,
    parked,
    sweep_all,
)
from support.ledger import own_database

from tap_rutter.demo import database
from tap_rutter.demo.database import Database
from tap_rutter.demo.fleet_scene import until

SECONDS = float(os.environ.get("FLEET_SOAK_SECONDS", "4"))
CONNECTIONS = int(os.environ.get("FLEET_SOAK_CONNECTIONS", "3"))
BROKER_PASSWORD = "a-password-of-the-broker"


class Broker:
    """A Redis of the test's own, that can be killed; all that it is told is remembered."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("there is no redis-server to be killed")
        self._program = program
        self.port = free_port()
        self.url = f"redis://:{BROKER_PASSWORD}@127.0.0.1:{self.port}/0"
        self.told: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--requirepass", BROKER_PASSWORD, "--save", "", "--appendonly", "no"),
            ],
            stdout=subprocess.DEVNULL,
        )
        until(self._answers, 30, "Redis did not start")
        threading.Thread(target=self._listen, daemon=True).start()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(redis.Redis.from_url(self.url).ping())
        return False

    def _listen(self) -> None:
        with (
            suppress(redis.RedisError, OSError, ValueError),  # it is killed
            redis.Redis.from_url(self.url).monitor() as monitor,  # type: ignore[no-untyped-call]
        ):
            for command in monitor.listen():
                self.told.append(str(command["command"]))

    def bells(self) -> list[str]:
        """The messages that were sent."""
        return [command for command in self.told if "LPUSH" in command]


@contextmanager
def own_server(folder: Path) -> Iterator[Database]:
    """A PostgreSQL that no other test uses."""
    with database.running(folder) as server:
        server.prepare()
        yield server


def restart(server: Database) -> None:
    """As after a crash: it ends at once, and whatever was not committed is gone."""
    postgres = server._server
    subprocess.run(
        [
            *(postgres.bin_path / "pg_ctl", "-D", postgres.pgdata, "-m", "immediate", "-w"),
            *("-l", postgres.pgdata / "again.log", "restart"),
        ],
        user=postgres.system_user,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.longer
def test_broker_and_ledger_go_and_come_under_load(tmp_path: Path) -> None:
    dice, broker = random.Random(5), Broker()
    with (
        own_server(tmp_path / "postgres") as server,
        own_database(server) as url,
        harmed(tmp_path / "fleet", url, CONNECTIONS, settings={"broker_url": broker.url}) as scene,
    ):
        broker.start()
        try:
            scene.start(2)
            until(scene.is_read_once, 240, "the first reads did not end")
            bustle(scene, dice, SECONDS / 4)
            broker.kill()
            bustle(scene, dice, SECONDS / 4)
            broker.start()
            bustle(scene, dice, SECONDS / 4)
            until(lambda: bool(broker.bells()), 60, "no bell was rung")
            restart(server)
            bustle(scene, dice, SECONDS / 4)
            # Whoever met the outage has paused the fleet for half a minute.
            with psycopg.connect(scene.database.uri, autocommit=True) as connection:
                connection.execute("update rutter_fleet.fleet set paused_until = null")
            sweep_all(scene)
            until(lambda: scene.is_idle() and not scene.missing(PATHS), 240, "rows were lost")
            assert parked(scene) == set()
            check_states(scene)
            check_kept(scene)
            check_nothing_secret_in("messages", "\n".join(broker.bells()), scene)
        finally:
            scene.stop()
            broker.kill()
    check_runs(scene)
    check_files(scene)
