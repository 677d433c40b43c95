"""A warehouse with the standard world in it, twice synced, and dbt built on top of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.dbt import Built, dbt_command, profile, run_dbt, sync

from tap_rutter.dbt.command import write_package
from tap_rutter.demo.database import Database
from tap_rutter.demo.world import let_things_happen
from tap_rutter.simulator import Simulator, standard_world


@pytest.fixture(scope="session")
def built(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("dbt")
    dbt_command()
    world = standard_world()
    with Simulator(world) as simulator:
        state = sync(simulator, postgres, None, folder)
        with world.lock:
            let_things_happen(world)
        sync(simulator, postgres, state, folder)
    package = folder / "package"
    write_package(package, [], None, from_variables=False)
    (package / "profiles.yml").write_text(profile(postgres), encoding="utf-8")
    done = run_dbt(package, "build")
    found = json.loads((package / "target" / "run_results.json").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stdout[-6000:]
    yield Built(world, postgres, package, found["results"])
