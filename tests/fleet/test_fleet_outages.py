"""Broker and ledger go away under a fleet at work, and come back: seconds are lost, and no row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from support.harm import (
    CONNECTIONS,
    PATHS,
    SECONDS,
    bustle,
    check_files,
    check_kept,
    check_nothing_secret_in,
    check_runs,
    check_states,
    harmed,
    parked,
    sweep_all,
)
from support.ledger import own_database
from support.own_brokers import Redis, own_broker

from tap_rutter.demo import database
from tap_rutter.demo.database import Database
from tap_rutter.demo.fleet_scene import until


@contextmanager
def own_server(folder: Path) -> Iterator[Database]:
    """A PostgreSQL that no other test uses."""
    with database.running(folder) as server:
        server.prepare()
        yield server


@pytest.mark.longer
def test_broker_and_ledger_go_and_come_under_load(tmp_path: Path) -> None:
    dice = random.Random(5)
    with (
        own_broker(Redis, tmp_path / "broker") as broker,
        own_server(tmp_path / "postgres") as server,
        own_database(server) as url,
        harmed(tmp_path / "fleet", url, CONNECTIONS, settings={"broker_url": broker.url}) as scene,
    ):
        broker.start()
        scene.start(2)
        until(scene.is_read_once, 240, "the first reads did not end")
        bustle(scene, dice, SECONDS / 4)
        broker.kill()
        bustle(scene, dice, SECONDS / 4)
        broker.start()
        bustle(scene, dice, SECONDS / 4)
        until(lambda: bool(broker.bells), 60, "no bell was rung")
        server.restart("immediate")  # as after a crash: what was not committed is gone
        bustle(scene, dice, SECONDS / 4)
        # Whoever met the outage has paused the fleet for half a minute.
        with psycopg.connect(scene.database.uri, autocommit=True) as connection:
            connection.execute("update rutter_fleet.fleet set paused_until = null")
        sweep_all(scene)
        until(lambda: scene.is_idle() and not scene.missing(PATHS), 240, "rows were lost")
        assert parked(scene) == set()
        check_states(scene)
        check_kept(scene)
        check_nothing_secret_in("messages", "\n".join(broker.bells), scene)
        scene.stop()
    check_runs(scene)
    check_files(scene)
