"""Start dates that move, and re-reading one stream or one connection without dropping anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from soak.check import differences
from soak.scene import STREAMS
from soak.store import Store
from support.in_process import Run, sync

from tap_rutter import times
from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

Json = dict[str, Any]

DAY = 86_400
LISTS = {
    "QUICKBOOKS": ("/accounting/invoices", "/accounting/expenses"),
    "SHOPIFY": ("/orders", "/payouts", "/customers"),
    "FACEBOOK": ("/ads/campaigns", "/ads/campaigns/dailies"),
}
TIMES = {"/orders": "updated_at", "/payouts": "created_at", "/customers": "updated_at"}
NAMES = sorted(STREAMS[path] for paths in LISTS.values() for path in paths)
# Read whole at first, since a bound would hide its rows without a time.
WHOLE = "/customers"


@dataclass
class Syncing:
    """Two connections of each platform, rows synced day by day, and a target that follows."""

    world: World
    simulator: Simulator
    store: Store = field(default_factory=Store)

    def run(self, **options: Any) -> Run:
        """A run whose lines the target takes."""
        options = {"page_size": 10, "payout_days": 0, **options}
        output = sync(
            self.simulator,
            *NAMES,
            state=self.store.state,
            now=lambda: self.world.clock.now,
            **options,
        )
        assert output.code == 0, output.failures
        self.store.take(output.lines)
        return output

    def of(self, platform: str) -> list[Connection]:
        """The connections on a platform."""
        return [c for c in self.world.connections.values() if c.platform == platform]

    def since(self, connection: Connection, path: str, start: str | None) -> set[str]:
        """Ids of the rows that are not older than a start date."""
        low = times.parse(start) or 0
        rows = self.world.rows(connection.id, path)
        column = TIMES.get(path, "last_synced_at")
        return {row["id"] for row in rows if row["id"] and (times.parse(row[column]) or 0) >= low}

    def partition(self, connection: Connection, path: str) -> Json:
        """The connection's partition under the stream of a list."""
        assert self.store.state is not None
        (found,) = [
            entry
            for entry in self.store.state["bookmarks"][STREAMS[path]]["partitions"]
            if entry["context"]["connection_id"] == connection.id
        ]
        assert isinstance(found, dict)
        return found


PAIRS = [(platform, path) for platform, paths in LISTS.items() for path in paths]
BOUNDED = [pair for pair in PAIRS if pair[1] != WHOLE]


@pytest.fixture
def syncing() -> Iterator[Syncing]:
    world = World(6, history_days=40)
    for platform, paths in LISTS.items():
        for _ in range(2):
            connection = world.add_connection(platform, counts=dict.fromkeys(paths, 24))
            connection.counts["/ads/campaigns"] = 4
            for path in paths:  # Rutter came to know them little by little
                rows = world.rows(connection.id, path) if path not in TIMES else []
                for number, row in enumerate(rows):
                    age = number * 40 * times.DAY // len(rows)
                    stamp = times.to_text(world.clock.now - age)
                    world.update(connection.id, path, row["id"], last_synced_at=stamp)
    with Simulator(world, gzip=False) as simulator:
        yield Syncing(world, simulator)


def ids(output: Run, path: str, connection: Connection) -> set[str]:
    """Ids of the records of one list."""
    records = output.records[STREAMS[path]]
    return {row["id"] for row in records if row["connection_id"] == connection.id}


# ---- start dates

LATER, START, EARLIER = "2026-02-20", "2026-02-12", "2026-01-28"


def test_a_start_date_bounds_the_first_read(syncing: Syncing) -> None:
    output = syncing.run(start_date=START)
    for platform, path in BOUNDED:
        for connection in syncing.of(platform):
            wanted = syncing.since(connection, path, START)
            assert 0 < len(wanted) < len(syncing.world.keys(connection.id, path)), path
            assert ids(output, path, connection) == wanted, path
            begun = syncing.partition(connection, path)["start_date"]
            assert begun == f"{START}T00:00:00.000Z", path


@pytest.mark.parametrize("moved", [EARLIER, None], ids=["earlier", "removed"])
def test_an_earlier_start_date_reads_the_missing_span_once(
    syncing: Syncing, moved: str | None
) -> None:
    settings = {} if moved is None else {"start_date": moved}
    syncing.run(start_date=START)
    syncing.world.advance(DAY)
    output = syncing.run(**settings)
    for platform, path in BOUNDED:
        for connection in syncing.of(platform):
            delivered = ids(output, path, connection)
            assert syncing.since(connection, path, moved) <= delivered, path
            kept = syncing.store.rows(STREAMS[path], connection.id)
            assert syncing.since(connection, path, moved) <= kept.keys()
            begun = syncing.partition(connection, path).get("start_date")
            assert begun == (None if moved is None else f"{moved}T00:00:00.000Z")
    syncing.world.advance(DAY)
    again = syncing.run(**settings)
    for platform, path in BOUNDED:
        for connection in syncing.of(platform):
            assert len(ids(again, path, connection)) < 8, f"{path} was read once more"


def test_a_later_start_date_changes_nothing(syncing: Syncing) -> None:
    def asked(start: str) -> list[str]:
        syncing.simulator.requests.clear()
        syncing.run(start_date=start)
        answered = [entry for entry in syncing.simulator.requests if entry.status == 200]
        return sorted(f"{entry.path} {entry.connection_id} {entry.params}" for entry in answered)

    syncing.run(start_date=START)
    before = syncing.store.state
    with_later = asked(LATER)
    assert syncing.store.state == before
    assert with_later == asked(START)


def test_a_later_start_date_that_is_moved_back_reads_nothing_again(
    syncing: Syncing,
) -> None:
    syncing.run(start_date=START)
    syncing.world.advance(DAY)
    syncing.run(start_date=LATER)
    syncing.world.advance(DAY)
    output = syncing.run(start_date=START)
    for platform, path in BOUNDED:
        for connection in syncing.of(platform):
            assert len(ids(output, path, connection)) < 8, path
            begun = syncing.partition(connection, path)["start_date"]
            assert begun == f"{START}T00:00:00.000Z"


@pytest.mark.parametrize("kill_after", [0, 12, 40, 100, 180])
def test_a_missing_span_whose_reading_is_killed_is_continued(
    syncing: Syncing, kill_after: int
) -> None:
    syncing.run(start_date=START)
    syncing.world.advance(DAY)
    killed = sync(
        syncing.simulator,
        *NAMES,
        state=syncing.store.state,
        kill_after=kill_after,
        state_seconds=0.0,
        now=lambda: syncing.world.clock.now,
        page_size=10,
        start_date=EARLIER,
    )
    assert (killed.code, len(killed.lines)) == (None, kill_after)
    place, state = killed.placed_states[-1] if killed.states else (-1, syncing.store.state)
    syncing.store.take(killed.lines[: place + 1])
    syncing.store.state = state
    syncing.run(start_date=EARLIER)
    for platform, path in BOUNDED:
        for connection in syncing.of(platform):
            kept = syncing.store.rows(STREAMS[path], connection.id)
            assert syncing.since(connection, path, EARLIER) <= kept.keys(), path


# ---- reading again


@pytest.mark.parametrize(("platform", "path"), PAIRS[1::2])
def test_a_full_table_stream_is_read_whole_and_its_bookmark_set_anew(
    syncing: Syncing, platform: str, path: str
) -> None:
    syncing.run()
    syncing.world.advance(DAY)
    # Something has gone wrong downstream, and in the state.
    wrong = times.to_text(syncing.world.clock.now)
    for connection in syncing.of(platform):
        syncing.store.tables[STREAMS[path], connection.id].clear()
        partition = syncing.partition(connection, path)
        partition["replication_key_value"] = wrong
        if "passes" in partition:
            partition["passes"] = dict.fromkeys(partition["passes"], wrong)
    output = syncing.run(full_table=[STREAMS[path]])
    for other_platform, other in PAIRS:
        for connection in syncing.of(other_platform):
            assert differences(syncing.store, syncing.world, other, connection.id) == []
            if other == path:
                assert syncing.partition(connection, path)["replication_key_value"] < wrong
            elif other != WHOLE:
                assert len(ids(output, other, connection)) < 8, other
    syncing.world.advance(DAY)
    later = syncing.run()
    if path != WHOLE:
        assert all(len(ids(later, path, entry)) < 8 for entry in syncing.of(platform))


def test_connections_are_read_again_and_the_others_keep_their_entries(syncing: Syncing) -> None:
    syncing.run()
    syncing.world.advance(DAY)
    chosen = {syncing.of(platform)[0].id for platform in LISTS}
    for platform, path in PAIRS:
        one, _ = syncing.of(platform)
        syncing.store.tables[STREAMS[path], one.id].clear()
    before = {
        (path, entry.id): dict(syncing.partition(entry, path))
        for platform, path in PAIRS
        for entry in syncing.of(platform)
    }
    output = syncing.run(full_table=NAMES, connection_ids=sorted(chosen))
    for platform, path in PAIRS:
        one, other = syncing.of(platform)
        assert differences(syncing.store, syncing.world, path, one.id) == []
        assert syncing.partition(other, path) == before[path, other.id]
        assert {row["connection_id"] for row in output.records[STREAMS[path]]} == {one.id}


def test_a_full_read_of_a_list_without_rows_keeps_its_entry(syncing: Syncing) -> None:
    syncing.run()
    (one, _) = syncing.of("QUICKBOOKS")
    before = dict(syncing.partition(one, "/accounting/invoices"))
    one.not_enabled.add("/accounting/invoices")  # nothing comes, for whatever reason
    syncing.run(full_table=NAMES)
    assert syncing.partition(one, "/accounting/invoices") == before
