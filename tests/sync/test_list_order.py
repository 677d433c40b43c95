"""Lists that are said to come newest first, but by another time than their bounds are about."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from support.in_process import Run, sync
from support.partitions import GONE, asked

from tap_rutter import times
from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

STREAMS = {"/transactions": "commerce_transactions", "/orders": "commerce_orders"}
DAY = 86_400
ROWS, PAGE = 600, 20


def shop(path: str, seed: int = 0) -> tuple[World, Connection]:
    """Bursts of rows, a few of which changed long after they were made."""
    world = World(7, history_days=30)
    connection = world.add_connection("SHOPIFY", counts={path: 0})
    rng = Random(seed)
    for _ in range(ROWS):
        made = rng.choice([300 * rng.random(), 40 + rng.random() / 2, 40 + 3 * rng.random(), 3.1])
        made = (made + rng.random() / 5) * DAY
        changed = made - rng.random() * min(made, 60 * DAY) if rng.random() < 0.04 else made
        created_at = times.to_text(world.clock.now - int(made * 1000))
        world.create(connection.id, path, late=changed, immediate=True, created_at=created_at)
    world.switches.set("commerce_order", "created_at")
    return world, connection


def read(simulator: Simulator, path: str, **more: Any) -> Run:
    world = simulator.world
    options: dict[str, Any] = {"page_size": PAGE, "now": lambda: world.clock.now, **more}
    return sync(simulator, STREAMS[path], **options)


def missing(world: World, connection: Connection, path: str, *runs: Run) -> set[str]:
    """Rows that no run delivered."""
    landed = {str(row["id"]) for run in runs for row in run.records[STREAMS[path]]}
    return set(world.keys(connection.id, path)) - landed


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("seed", range(3))
def test_rows_land_that_are_older_by_the_order_of_the_list_than_by_its_bounds(
    path: str, seed: int
) -> None:
    world, connection = shop(path, seed)
    with Simulator(world, gzip=False) as simulator:
        run = read(simulator, path)
    assert run.code == 0
    assert not missing(world, connection, path, run)
    walk = ROWS // PAGE
    # Rutter's guide says how orders are sorted: it costs a walk more to find out that it errs.
    assert asked(simulator)[path] <= 1.5 * walk + 24 + (walk if path == "/orders" else 0)


def test_no_bookmark_passes_what_a_list_may_have_left_out() -> None:
    path = "/orders"
    with Simulator(shop(path)[0], gzip=False) as simulator:
        read(simulator, path, concurrency=1)
        bounds = [set(entry.params) - {"limit"} for entry in simulator.requests.to(path)]
    # The probe has neither a bound nor a cursor; nor has the walk that makes sure of all.
    walks = [index for index, names in enumerate(bounds, 1) if not names]
    assert len(walks) == 2
    world, connection = shop(path)
    with Simulator(world, gzip=False) as simulator:
        simulator.faults.add("respond", path=path, status=400, body=GONE, nth=walks[1])
        run = read(simulator, path, concurrency=1)
        assert run.code == 1
        assert not run.state["bookmarks"].get(STREAMS[path], {}).get("partitions")
        again = read(simulator, path, state=run.state)
    assert again.code == 0
    assert not missing(world, connection, path, again)
