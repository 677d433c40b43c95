"""A broker is killed under a fleet at work, and comes back empty: rows go on landing meanwhile."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from support.harm import (
    CONNECTIONS,
    PATHS,
    SECONDS,
    WORKERS,
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
from support.own_brokers import PASSWORD, OwnBroker, RabbitMQ, Redis, own_broker

from tap_rutter.demo.database import Database
from tap_rutter.demo.fleet_scene import Scene, until
from tap_rutter.demo.fleet_watch import Watch, change_something
from tap_rutter.fleet.model import Lane
from tap_rutter.fleet.work.doorbells import queue_of


@pytest.mark.longer
@pytest.mark.parametrize("kind", [RabbitMQ, Redis])
def test_rows_land_while_the_broker_is_away_and_it_is_listened_to_again(
    kind: type[OwnBroker], postgres: Database, tmp_path: Path
) -> None:
    dice = random.Random(5)
    with (
        own_broker(kind, tmp_path / "broker") as broker,
        own_database(postgres) as url,
        harmed(tmp_path / "fleet", url, CONNECTIONS, settings={"broker_url": broker.url}) as scene,
    ):
        broker.start()
        scene.start(WORKERS)
        until(scene.is_read_once, 240, "the first reads did not end")
        bustle(scene, dice, SECONDS / 4)
        until(lambda: broker.ears() == WORKERS, 60, "not all workers listened")
        until(lambda: rings(scene, broker, dice, 0), 60, "no bell was rung")
        broker.kill()
        rows_land(scene, dice, SECONDS / 4)
        heard = len(broker.bells)
        broker.start()
        until(lambda: broker.ears() == WORKERS, 60, "not all workers listened again")
        until(lambda: rings(scene, broker, dice, heard), 60, "no bell was rung again")
        bustle(scene, dice, SECONDS / 4)
        sweep_all(scene)
        until(lambda: scene.is_idle() and not scene.missing(PATHS), 240, "rows were lost")
        assert parked(scene) == set()
        check_states(scene)
        check_kept(scene)
        scene.stop()
        broker.kill()
        logs = "".join(path.read_text(errors="replace") for path in scene.folder.glob("*.log"))
        assert PASSWORD not in logs
        assert "Traceback" not in logs
        check_nothing_secret_in("messages", "\n".join(broker.bells), scene)
        assert queue_of(Lane.FRESH) in broker.written(), "files that are not this broker's"
        check_nothing_secret_in("the broker's files", broker.written(), scene)
    check_runs(scene)
    check_files(scene)


def rings(scene: Scene, broker: OwnBroker, dice: random.Random, heard: int) -> bool:
    """Whether the broker was told more than it had heard; rows change while somebody waits."""
    bustle(scene, dice, 0.5)
    return len(broker.bells) > heard


def rows_land(scene: Scene, dice: random.Random, seconds: float) -> None:
    """Rows change for so long at least, and until some of what has changed is in the tables."""
    watch, end = Watch(scene.database.uri), time.monotonic() + seconds
    try:
        changes = []

        def landed() -> bool:
            changes.append(change_something(scene.world, scene.readable(), PATHS, dice))
            watch.add(changes[-1])
            seen = {change.connection_id for change in changes if change.seen_at is not None}
            return time.monotonic() > end and len(seen) > 1

        until(landed, 60, "nothing landed without the broker")
    finally:
        watch.end()
