"""Several processes at once, each with its part of the connections, as docs/state.md shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.meltano import Project, from_to
from support.singer import environment, run
from support.warehouse import read_tables

from tap_rutter.connections.selection import shard_of
from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, World

DOCS = Path(__file__).resolve().parents[2] / "docs" / "state.md"
LISTS = ("/orders", "/customers", "/products")


def scripts() -> tuple[str, str]:
    """The commands in the documentation: those for the first time, and those for later."""
    _, part = DOCS.read_text("utf-8").split("## Several processes")
    function, once, always = re.findall(r"```shell\n(.*?)```", part.split("\n## ")[0], re.S)
    return f"set -e\n{function}{once}{always}", f"set -e\n{function}{always}"


@pytest.fixture
def world() -> World:
    """Shops in every part."""
    world = World(4, history_days=20)
    for _ in range(12):
        world.add_connection("SHOPIFY", counts=dict.fromkeys(LISTS, 6))
    parts = {shard_of(connection_id, 4) for connection_id in world.connections}
    assert parts == {1, 2, 3, 4}
    return world


@pytest.mark.longer
def test_the_documented_processes_land_all_connections_and_keep_a_state_each(
    postgres: Database, tmp_path: Path, world: World
) -> None:
    project = Project.make(tmp_path)
    with Simulator(world) as simulator:
        variables = environment(
            **from_to(simulator, postgres),
            TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA="in_parts",
            TAP_RUTTER__SELECT='["commerce_*.*", "connections.*"]',
        )
        first, again = scripts()
        ended = run(["bash", "-c", first], env=variables, cwd=project.root)
        assert ended.code == 0, ended.stdout + ended.stderr
        requests = len(simulator.requests)
        states = {
            name: project.run("state", "get", name).stdout
            for name in project.run("state", "list").stdout.split()
            if name.startswith("rutter-")
        }
        # Again: each goes on from its own state, so nothing is asked for from its start.
        simulator.requests.clear()
        ended = run(["bash", "-c", again], env=variables, cwd=project.root)
        assert ended.code == 0, ended.stdout + ended.stderr
        assert len(simulator.requests) <= requests
    tables = read_tables(postgres, "in_parts")
    for path in LISTS:
        rows = tables["commerce_" + path[1:]].rows
        landed = sorted((row["connection_id"], row["id"]) for row in rows)
        assert landed == sorted(
            (name, key) for name in world.connections for key in world.keys(name, path)
        )
    assert len(states) == 4
    for name, state in states.items():
        part = int(name.split("-")[1])
        told = {connection for connection in world.connections if connection in state}
        assert told == {entry for entry in world.connections if shard_of(entry, 4) == part}
