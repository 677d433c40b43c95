"""Workers of two API versions on one ledger, as while a deployment is rolled out."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from support.harm import (
    CONNECTIONS,
    PATHS,
    SECONDS,
    bustle,
    check_files,
    check_states,
    config_with,
    harmed,
    parked,
    sweep_all,
)
from support.ledger import own_database

from tap_rutter.demo.database import SCHEMA, Database
from tap_rutter.demo.fleet_scene import Scene, until
from tap_rutter.simulator.checks import check_version
from tap_rutter.simulator.request import Request
from tap_rutter.versions import LATEST

OLD, OLDEST = "2024-04-30", "2023-02-07"


def of_version(scene: Scene, version: str) -> str:
    """The configuration with a tap that is set to a version; its name in the scene's folder."""
    return config_with(scene, version, {"api_version": version})


def prepare(scene: Scene, version: str) -> subprocess.CompletedProcess[str]:
    """What an operator types to bring the fleet to a version."""
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("rutterctl"), "fleet"),
            *("--config", scene.folder / of_version(scene, version)),
            *("prepare", "--new-api-version"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def versions_of_runs(scene: Scene) -> set[str]:
    """The API versions that runs have asked for."""
    return {
        request.headers["x-rutter-version"]
        for request in scene.simulator.requests
        if "(claim " in request.headers["user-agent"]
    }


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rutter answers in any version; what is read here has the same form in these two."""

    def check_both(request: Request, served: str, known: list[str]) -> None:
        is_old = request.headers.get("x-rutter-version") == OLD
        check_version(request, OLD if is_old else served, known)

    monkeypatch.setattr("tap_rutter.simulator.api.check_version", check_both)


@pytest.mark.longer
@pytest.mark.usefixtures("both")
def test_a_version_is_rolled_out_with_nothing_lost_and_nobody_in_the_way(
    postgres: Database, tmp_path: Path
) -> None:
    dice = random.Random(3)
    with (
        own_database(postgres) as url,
        harmed(tmp_path / "fleet", url, CONNECTIONS) as scene,
    ):
        scene.start(0)
        old = scene.add_worker(config=of_version(scene, OLD))
        until(scene.is_read_once, 90, "the first reads did not end")
        # The new one waits, and the old one goes on as if it were not there.
        scene.add_worker(config=of_version(scene, LATEST))
        until(lambda: "This worker waits" in scene.log("worker-2"), 60, "it did not wait")
        bustle(scene, dice, SECONDS / 4)
        assert versions_of_runs(scene) == {OLD}
        # Tables that this target cannot bring to a version: the fleet stays where it is.
        refused = prepare(scene, OLDEST)
        assert refused.returncode == 1
        assert "The tables cannot be prepared" in refused.stderr
        bustle(scene, dice, SECONDS / 4)
        assert prepare(scene, LATEST).returncode == 0
        bustle(scene, dice, SECONDS / 4)
        old.terminate()
        assert old.wait(30) == 0
        scene.simulator.requests.clear()
        bustle(scene, dice, SECONDS / 4)
        sweep_all(scene)
        until(lambda: scene.is_idle() and not scene.missing(PATHS), 120, "rows were lost")
        until(lambda: is_read_anew(scene), 60, "not everything was read in the new version")
        assert versions_of_runs(scene) == {LATEST}
        assert parked(scene) == set()
        assert scene.query("select pause_reason from rutter_fleet.fleet") == [(None,)]
        assert "Traceback" not in scene.log("worker-1") + scene.log("worker-2")
        check_states(scene)
        scene.stop()
    check_files(scene)


def is_read_anew(scene: Scene) -> bool:
    """Whether each connection was read whole in the new version."""
    found = scene.query(
        f"select distinct connection_id from {SCHEMA}.sync_report"
        " where full_read and api_version = %s and stream = any(%s)",
        LATEST,
        [*PATHS],
    )
    return {name for (name,) in found} >= {c.id for c in scene.readable()}
