"""Runs that are killed, and what the next one does with the last STATE."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from soak import process
from soak.check import differences
from soak.scene import STREAMS
from soak.store import Store
from support.in_process import sync
from support.singer import catalog_of, settings

from tap_rutter import times
from tap_rutter.simulator import Simulator, World, bulk_world

pytestmark = pytest.mark.any_workers

Json = dict[str, Any]

DAY = 86_400
LISTS = {
    "QUICKBOOKS": ("/accounting/invoices", "/accounting/expenses", "/events"),
    "SHOPIFY": ("/orders", "/customers", "/payouts"),
    "FACEBOOK": ("/ads/campaigns", "/ads/campaigns/dailies"),
}
NAMES = sorted(STREAMS[path] for paths in LISTS.values() for path in paths)


def make_world(rows: int, *, seed: int = 8, history_days: int = 25) -> World:
    """A connection on each of three platforms, with so many rows in each list."""
    world = World(seed, history_days=history_days)
    for platform, paths in LISTS.items():
        counts = dict.fromkeys(paths, rows)
        counts["/ads/campaigns"] = 3
        connection = world.add_connection(platform, counts=counts)
        if platform == "QUICKBOOKS":
            for key in world.keys(connection.id, paths[0])[::4]:
                world.delete(connection.id, paths[0], key)
    return world


def wrong(store: Store, world: World) -> list[str]:
    """What the target lacks of all lists."""
    return [
        line
        for connection in world.connections.values()
        for path in LISTS[connection.platform]
        for line in differences(store, world, path, connection.id)
    ]


def change(world: World, rng: Random) -> None:
    """A change or two in every list."""
    for connection in world.connections.values():
        for path in LISTS[connection.platform]:
            if path != "/events":
                key = rng.choice(world.keys(connection.id, path))
                world.update(connection.id, path, key)


# ---- killed


@pytest.mark.parametrize("chain", range(5))
def test_runs_that_are_killed_recover(chain: int, tmp_path: Path) -> None:
    """Five runs one after another, each killed at some line, then one that is not."""
    rng = Random(chain)
    world = make_world(60, seed=chain)
    store = Store()
    with Simulator(world, gzip=False) as simulator:
        config = settings(simulator, page_size=rng.choice([5, 10]), concurrency=rng.choice([1, 4]))
        for _ in range(5):
            lines, code = process.run(
                tmp_path,
                config,
                catalog_of(*NAMES),
                store.state,
                kill_after=rng.randint(0, 120),
                often=rng.random() < 0.8,
            )
            assert code in {-9, 0}, (tmp_path / "stderr").read_text(encoding="utf-8")
            last = max(
                (place for place, line in enumerate(lines) if line["type"] == "STATE"), default=-1
            )
            store.take(lines[: last + 1])
            kept = rng.randint(last + 1, len(lines))
            store.take(lines[last + 1 : kept])
            change(world, rng)
            world.advance(rng.choice([60, DAY]))
        lines, code = process.run(tmp_path, config, catalog_of(*NAMES), store.state)
        assert code == 0, (tmp_path / "stderr").read_text(encoding="utf-8")
        store.take(lines)
        assert wrong(store, world) == []


class Orders:
    """Looks at the lines of a large backfill, and keeps what tells."""

    _ID = re.compile(rb'"id":"([^"]+)"')

    def __init__(self) -> None:
        self.ids: set[bytes] = set()
        self.covered: set[bytes] = set()
        self.rows = 0
        self.state: Json | None = None

    def __call__(self, line: bytes) -> None:
        if line.startswith(b'{"type":"RECORD","stream":"commerce_orders"'):
            found = self._ID.search(line)
            assert found is not None
            self.ids.add(found[1])
            self.rows += 1
        elif line.startswith(b'{"type":"STATE"'):
            self.state = json.loads(line)["value"]
            self.covered = set(self.ids)


@pytest.mark.own_workers  # what is read ahead, and so read again, grows with their number
@pytest.mark.longer
def test_a_large_backfill_that_is_killed_repeats_little() -> None:
    count, page_size = 200_000, 500
    world = bulk_world(count, body_size=0, pool=7)
    settings: dict[str, Any] = {"page_size": page_size, "concurrency": 8}
    with Simulator(world, gzip=False) as simulator:
        first, second = Orders(), Orders()
        most = int(count * 0.6)
        killed = sync(simulator, "commerce_orders", kill_after=most, look=first, **settings)
        assert killed.code is None
        before = simulator.requests.to("/orders")
        simulator.requests.clear()
        assert first.state is not None
        output = sync(simulator, "commerce_orders", state=first.state, look=second, **settings)
        after = simulator.requests.to("/orders")
    assert output.code == 0, output.failures
    # The target has no more than what came before the last STATE.
    assert len(first.covered | second.ids) == count
    # Rows that were asked for, what was read ahead included, judged by the bytes of the answers.
    size = sum(entry.size for entry in after) / second.rows
    asked = sum(entry.size for entry in (*before, *after)) / size
    assert len(before) * page_size >= most
    assert asked - count <= 0.15 * count, f"{len(before)} pages, then {len(after)}"


def test_a_small_connection_costs_one_request_per_list() -> None:
    world = World(1, history_days=30)
    for platform, paths in LISTS.items():
        world.add_connection(platform, counts=dict.fromkeys(paths, 6))
    served = {connection.platform: connection.id for connection in world.connections.values()}
    with Simulator(world, gzip=False) as simulator:
        state = sync(simulator, *NAMES).state
        first = Counter((entry.path, entry.connection_id) for entry in simulator.requests)
        simulator.requests.clear()
        sync(simulator, *NAMES, state=state)
        second = Counter((entry.path, entry.connection_id) for entry in simulator.requests)
    for counted in (first, second):
        assert counted["/connections", None] == 1
        for platform, paths in LISTS.items():
            for facts in ("/connections/status", "/connections/access_token"):
                assert counted[facts, served[platform]] == 1
            for path in paths:
                wanted = {
                    "/accounting/expenses": 2,  # of both types
                    "/ads/campaigns": 2,  # for themselves, and for their days
                    "/ads/campaigns/dailies": 6,  # campaign by campaign
                }.get(path, 1)
                if path == "/payouts" and counted is second:
                    wanted = 2  # those that arrived of late are read again
                assert counted[path, served[platform]] == wanted, path


# ---- every STATE


TURNS: dict[str, list[tuple[str, str, str | None]]] = {
    "as documented": [],
    "order ignored": [("sort", "ignore", None)],
    "order refused": [("sort", "refuse", None)],
    "bounds ignored": [
        ("updated_at_bounds", "ignore", None),
        ("created_at_bounds", "ignore", None),
        ("last_synced_at_bounds", "ignore", None),
    ],
}


@pytest.fixture(params=TURNS)
def simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A world in which some of what is not known of the API is turned one way."""
    world = make_world(18)
    for name, value, path in TURNS[request.param]:
        world.switches.set(name, value, path=path)
    with Simulator(world, gzip=False) as running:
        yield running


def test_every_state_of_a_run_leads_to_all_rows(simulator: Simulator) -> None:
    state: Json | None = None
    delivered = Store()
    for _ in range(2):
        output = sync(simulator, *NAMES, state=state, page_size=6, state_seconds=0.0, concurrency=4)
        assert output.code == 0, output.failures
        assert len(output.states) > 6
        for place, intermediate in output.placed_states[:: max(1, len(output.states) // 6)]:
            store = Store()
            store.tables = {name: dict(rows) for name, rows in delivered.tables.items()}
            store.take(output.lines[: place + 1])
            rest = sync(simulator, *NAMES, state=intermediate, page_size=6)
            store.take(rest.lines)
            assert wrong(store, simulator.world) == [], f"from the STATE at line {place}"
        delivered.take(output.lines)
        state = output.state
        change_nearly_all(simulator.world)


def change_nearly_all(world: World) -> None:
    """So many changes that the next run, too, reads many pages."""
    world.advance(DAY)
    for connection in world.connections.values():
        for path in LISTS[connection.platform]:
            if path != "/events":
                for key in world.keys(connection.id, path)[3:]:
                    world.advance(90)
                    world.update(connection.id, path, key)
    world.advance(DAY)


def test_no_state_precedes_the_records_that_it_covers(simulator: Simulator) -> None:
    state: Json | None = None
    store = Store()
    for _ in range(2):
        output = sync(simulator, *NAMES, state=state, page_size=6, state_seconds=0.0, concurrency=4)
        place = 0
        for at, value in output.placed_states:
            store.take(output.lines[place:at])
            place = at
            assert uncovered(value, store, simulator.world) == [], f"the STATE at line {at}"
        store.take(output.lines[place:])
        state = output.state
        change_nearly_all(simulator.world)


def uncovered(state: Json, store: Store, world: World) -> list[str]:
    """Rows that a bookmark counts as delivered, though they were not, in their newest version."""
    found: list[str] = []
    for connection in world.connections.values():
        for path in LISTS[connection.platform]:
            entries = state["bookmarks"].get(STREAMS[path], {}).get("partitions", [])
            for entry in entries:
                if entry["context"]["connection_id"] == connection.id:
                    found += _uncovered(entry, path, connection.id, store, world)
    return found


def _uncovered(
    entry: Json, path: str, connection_id: str, store: Store, world: World
) -> Sequence[str]:
    lacking = differences(store, world, path, connection_id)
    if not lacking:
        return []
    column = entry["replication_key"]
    # A payout changes without the time that its bookmark is about.
    told = " ".join(line for line in lacking if path != "/payouts" or "missing" in line)
    found = []
    for key, row in zip(
        world.keys(connection_id, path), world.rows(connection_id, path), strict=True
    ):
        bookmark = entry.get("replication_key_value")
        if "passes" in entry:
            bookmark = entry["passes"].get(row["expense_type"])
        moment, reached = times.parse(row[column]), times.parse(bookmark)
        # Of rows that share the bookmark's own moment some may be still to come: it is inclusive.
        if key in told and moment is not None and reached is not None and moment < reached:
            found.append(f"{path} {key} {row[column]} is before {bookmark}")
    return found
