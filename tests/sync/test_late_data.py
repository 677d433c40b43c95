"""Rows that come late, change while they are read, or come with history that grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from soak.check import differences
from soak.scene import STREAMS
from soak.store import Store
from support.in_process import Run, sync

from tap_rutter.simulator import Batch, Connection, Simulator, World
from tap_rutter.simulator.platforms import entity_of
from tap_rutter.simulator.request import Request
from tap_rutter.simulator.text import iso

pytestmark = pytest.mark.any_workers

HOUR, DAY = 3600, 86_400

PLATFORM: Mapping[str, str] = {
    "/accounting/invoices": "QUICKBOOKS",
    "/accounting/expenses": "QUICKBOOKS",
    "/accounting/bank_feeds/transactions": "SAGE_INTACCT",
    "/orders": "SHOPIFY",
    "/customers": "SHOPIFY",
    "/payouts": "SHOPIFY",
    "/ads/campaigns": "FACEBOOK",
    "/ads/campaigns/dailies": "FACEBOOK",
}


@dataclass
class Scene:
    """One connection, one list that matters, and a target that follows the runs."""

    simulator: Simulator
    connection: Connection
    path: str
    settings: dict[str, Any] = field(default_factory=dict)
    store: Store = field(default_factory=Store)

    @property
    def world(self) -> World:
        return self.simulator.world

    @property
    def stream(self) -> str:
        return STREAMS[self.path]

    def run(self, **options: Any) -> Run:
        """A run whose lines the target takes."""
        settings = {"page_size": 10, "max_retry_seconds": 0, **self.settings, **options}
        output = sync(self.simulator, self.stream, state=self.store.state, **settings)
        self.store.take(output.lines)
        return output

    def wrong(self) -> list[str]:
        """What the target lacks of the list."""
        return differences(self.store, self.world, self.path, self.connection.id)

    def update(self, key: str, **fields: Any) -> None:
        """Change a row at the platform."""
        name = "clicks" if self.path.endswith("dailies") else _TEXTS.get(self.path, "memo")
        value: Any = 4711 if name == "clicks" else "changed"
        self.world.update(self.connection.id, self.path, key, **{name: value, **fields})

    def create(self, **fields: Any) -> str:
        """A new row at the platform."""
        return self.world.create(self.connection.id, self.path, **fields)

    @property
    def bookmark(self) -> dict[str, Any] | None:
        """The connection's partition under the stream."""
        entry = (self.store.state or {}).get("bookmarks", {}).get(self.stream, {})
        for partition in entry.get("partitions", []):
            if partition["context"]["connection_id"] == self.connection.id:
                found: dict[str, Any] = partition
                return found
        return None

    @property
    def asked(self) -> int:
        """Requests to the list since the log was last cleared."""
        return len(self.simulator.requests.to(self.path))


_TEXTS = {
    "/orders": "name",
    "/customers": "first_name",
    "/payouts": "status",
    "/ads/campaigns": "name",
}


@pytest.fixture
def scene() -> Iterator[Callable[..., Scene]]:
    """Makes a scene for a list with so many rows."""
    running: list[Simulator] = []

    def make(path: str, rows: int = 35, *, history_days: int = 30, **settings: Any) -> Scene:
        world = World(5, history_days=history_days)
        counts = {path: rows}
        if path == "/ads/campaigns/dailies":
            counts["/ads/campaigns"] = 3
        connection = world.add_connection(PLATFORM[path], counts=counts)
        simulator = Simulator(world, gzip=False).start()
        running.append(simulator)
        return Scene(simulator, connection, path, settings)

    yield make
    for simulator in running:
        simulator.stop()


Make = Callable[..., Scene]


# ---- late


@pytest.mark.parametrize("path", ["/orders", "/customers", "/payouts", "/accounting/invoices"])
@pytest.mark.parametrize("days", [[5], [9, 9]], ids=str)
def test_a_connection_that_catches_up_brings_its_rows_in_the_first_run(
    scene: Make, path: str, days: list[int]
) -> None:
    at = scene(path, payout_days=0)
    at.run()
    at.world.pause(at.connection.id)
    at.world.advance(HOUR)
    new, changed = at.create(), at.world.keys(at.connection.id, path)[3]
    if path != "/payouts":
        at.update(changed)
    for gap in days:
        at.world.advance(gap * DAY)
        at.run()
    assert new not in at.store.rows(at.stream, at.connection.id)
    at.world.resume(at.connection.id)
    at.world.advance(120)
    at.run()
    assert new in at.store.rows(at.stream, at.connection.id)
    assert at.wrong() == []


@pytest.mark.parametrize("path", ["/orders", "/payouts"])
def test_a_row_that_shows_twenty_hours_late_is_read(scene: Make, path: str) -> None:
    at = scene(path)
    at.run()
    at.world.advance(10 * HOUR)
    at.run()
    at.create(late=20 * HOUR)
    at.run()
    assert at.wrong() == []


def test_lookback_hours_of_zero_rely_on_the_horizon_alone(scene: Make) -> None:
    at = scene("/orders", lookback_hours=0)
    at.run()
    at.create(immediate=False)
    at.world.advance(30 * 60)  # no sync yet
    at.run()
    at.world.advance(2 * HOUR)
    at.run()
    assert at.wrong() == []


@pytest.mark.parametrize("days", [3, 5, 6, 10, 14])
@pytest.mark.parametrize("path", ["/orders", "/payouts"])
@pytest.mark.longer
def test_a_list_that_lags_loses_nothing_wherever_a_run_breaks(
    scene: Make, path: str, days: int
) -> None:
    """No row has come for days: those that are to come may be as old, at every window's end."""
    settings: dict[str, Any] = {"page_size": 10, "window_days": 1, "payout_days": 0}
    settings["lookback_hours"] = 0
    at = scene(path, 0, **settings)
    # So long a history, and so many pages of it, that windows end within the quiet time.
    for index in range(1_200):
        at.create(late=(days + 1) * DAY + index * (days + 1) * HOUR, immediate=True)
    whole = sync(at.simulator, at.stream, state_seconds=0.0, **settings)
    assert whole.code == 0
    upper = "created_at_max" if path == "/payouts" else "updated_at_max"
    ends = {int(entry.params.get(upper, "0")) for entry in at.simulator.requests.to(path)}
    quiet = at.world.clock.now - (days + 1) * DAY * 1000
    assert any(end > quiet for end in ends)
    key = at.create(late=days * DAY, immediate=True)
    for place, state in whole.placed_states[-8:]:
        at.store = Store()
        at.store.take(whole.lines[: place + 1])
        at.store.state = state
        at.run()
        assert key in at.store.rows(at.stream, at.connection.id), f"broken after line {place}"
        assert at.wrong() == []


def test_a_row_with_a_time_in_the_future_does_not_hide_late_rows(scene: Make) -> None:
    at = scene("/orders", 0, lookback_hours=0)
    at.create(late=6 * DAY, immediate=True)
    at.create(late=-900 * DAY, immediate=True)
    at.run()
    at.create(late=5 * DAY, immediate=True)
    at.run()
    assert at.wrong() == []


@pytest.mark.parametrize("days", [8, 14])
def test_where_no_sync_time_is_known_rows_of_a_fortnight_are_read_again(
    scene: Make, days: int
) -> None:
    at = scene("/orders")
    for path in ("/connections/status", "/connections/access_token"):
        at.simulator.faults.add("respond", path=path, status=500, times=None)
    at.run()
    key = at.create(late=days * DAY, immediate=True)
    at.run()
    assert key in at.store.rows(at.stream, at.connection.id)


# ---- while it is read


def ignored(name: str) -> Callable[[World, str], None]:
    return lambda world, path: world.switches.set(name, "ignore", path=path)


def refused(world: World, path: str) -> None:
    world.switches.set("sort", "refuse", path=path)


def nothing(_world: World, _path: str) -> None:
    pass


WAYS: list[tuple[str, str, Callable[[World, str], None]]] = [
    ("sorted", "/accounting/invoices", nothing),
    ("sort ignored", "/accounting/invoices", ignored("sort")),
    ("sort refused", "/accounting/bank_feeds/transactions", refused),
    ("bounds ignored", "/accounting/invoices", ignored("last_synced_at_bounds")),
    ("passes", "/accounting/expenses", nothing),
    ("windows", "/orders", nothing),
    ("one unbounded list", "/orders", ignored("updated_at_bounds")),
    ("whole, for rows without a time", "/customers", nothing),
    ("payouts", "/payouts", nothing),
    ("payouts, bounds ignored", "/payouts", ignored("created_at_bounds")),
    ("parents", "/ads/campaigns", nothing),
    ("children", "/ads/campaigns/dailies", nothing),
]


@pytest.mark.parametrize(("path", "turn"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
@pytest.mark.parametrize(("seen", "concurrency"), [("first", 1), ("first", 8), ("fresh", 1)])
def test_rows_that_change_while_they_are_read_land_in_their_newest_version(
    scene: Make, path: str, turn: Callable[[World, str], None], concurrency: int, seen: str
) -> None:
    at = scene(path, concurrency=concurrency)
    turn(at.world, path)
    if seen == "fresh":  # so many changes that the second run, too, reads four pages
        at.run()
        at.world.advance(2 * HOUR)
        for key in at.world.keys(at.connection.id, path):
            at.world.update(at.connection.id, path, key)
        at.world.advance(2 * HOUR)
    keys = at.world.keys(at.connection.id, path)
    asked: list[str] = []

    def meddle(request: Request) -> None:
        if request.path != path:
            return
        asked.append(request.path)
        if len(asked) == 2:  # a row of each page, and those at the borders
            for place in (0, 5, 9, 10, 15, 19, 20, 29, 30, 34):
                if place < len(keys):
                    at.update(keys[place])
            at.create(**_fields(at))

    at.simulator.before_request = meddle
    at.run()
    assert len(asked) >= 3
    at.simulator.before_request = None
    at.world.advance(2 * HOUR)
    at.run()
    assert at.wrong() == []


def _fields(at: Scene) -> dict[str, Any]:
    if at.path != "/ads/campaigns/dailies":
        return {}
    return {"campaign_id": at.world.keys(at.connection.id, "/ads/campaigns")[0]}


@pytest.mark.parametrize("way", ["sort ignored", "sort refused", "children"])
def test_a_row_that_changes_in_a_list_that_takes_hours_to_read_is_not_lost(
    scene: Make, way: str
) -> None:
    path = "/ads/campaigns/dailies" if way == "children" else "/accounting/invoices"
    at = scene(path, concurrency=1)
    if way != "children":
        at.world.switches.set("sort", "ignore" if way == "sort ignored" else "refuse")
    keys = at.world.keys(at.connection.id, path)
    asked: list[str] = []

    def meddle(request: Request) -> None:
        if request.path != path or "cursor" not in request.params:
            return
        asked.append(request.path)
        if len(asked) == 1:
            # Missed, if it comes to stand before what is read now …
            at.update(keys[-1])
            at.update(keys[0])
            at.world.advance(3 * HOUR)
            # … while a row that is still to be read has a later time.
            for key in keys[1:]:
                at.world.touch(at.connection.id, path, key)

    at.simulator.before_request = meddle
    at.run()
    at.simulator.before_request = None
    at.world.advance(HOUR)
    at.run()
    assert at.wrong() == []


def test_an_event_that_comes_while_events_are_read_is_not_lost(scene: Make) -> None:
    at = scene("/accounting/invoices")
    keys = at.world.keys(at.connection.id, at.path)
    for key in keys[:25]:
        at.world.delete(at.connection.id, at.path, key)
    at.path = "/events"

    def meddle(request: Request) -> None:
        if request.path == "/events" and "cursor" in request.params and not deleted:
            deleted.append(keys[-1])
            at.world.delete(at.connection.id, "/accounting/invoices", keys[-1])

    deleted: list[str] = []
    at.simulator.before_request = meddle
    at.run()
    assert deleted
    at.run()
    assert at.wrong() == []
    told = at.store.rows("deleted_objects", at.connection.id).values()
    assert {keys[-1], *keys[:25]} <= {row["object_id"] for row in told}


# ---- an order that is refused


@pytest.mark.parametrize("page", ["first", "second", "third"])
@pytest.mark.parametrize("path", ["/accounting/invoices", "/accounting/expenses"])
def test_a_sort_order_that_is_refused_on_any_page_loses_nothing(
    scene: Make, path: str, page: str
) -> None:
    at = scene(path, 60)
    body = '{"error_type":"INVALID_REQUEST","error_code":"X","error_message":"no sort here"}'
    error_for_response = {"path": path, "status": 400, "body": body, "times": None}
    if page == "first":
        at.simulator.faults.add("respond", params={"sort": "*"}, **error_for_response)
    else:
        wanted = {"sort": "*", "cursor": "*"}
        at.simulator.faults.add(
            "respond", params=wanted, after=0 if page == "second" else 1, **error_for_response
        )
    for step in range(3):
        at.world.advance(2 * HOUR)
        at.update(at.world.keys(at.connection.id, path)[step])
        at.create()
        output = at.run(state_seconds=0.0)
        assert output.code == 0, output.failures
        assert at.wrong() == []
    # What the ascending chain had moved did not stay: the list is in no order after all.
    assert at.bookmark is not None


@pytest.mark.parametrize("kill_after", range(0, 75, 6))
def test_a_sort_order_that_is_ignored_moves_no_bookmark_before_the_end(
    scene: Make, kill_after: int
) -> None:
    at = scene("/accounting/invoices", 60)
    at.world.switches.set("sort", "ignore")
    killed = at.run(kill_after=kill_after, state_seconds=0.0)
    assert len(killed.lines) <= kill_after  # the last of them are as many as a whole run has
    at.run()
    assert at.wrong() == []


# ---- not ready


def test_data_of_a_connection_that_is_not_ready_move_no_bookmark(scene: Make) -> None:
    at = scene("/orders", force_fetch=True)
    other = at.world.add_connection("SHOPIFY", counts={"/orders": 5})
    at.run()
    before = at.bookmark
    at.connection.status = "not_ready"
    at.world.advance(DAY)
    at.simulator.requests.clear()
    at.run()
    assert at.bookmark == before
    forced = {
        entry.connection_id
        for entry in at.simulator.requests.to("/orders")
        if "force_fetch" in entry.params
    }
    plain = {
        entry.connection_id
        for entry in at.simulator.requests.to("/orders")
        if "force_fetch" not in entry.params
    }
    assert forced == {at.connection.id}
    assert plain == {other.id}
    at.world.make_ready(at.connection.id)
    at.run()
    assert at.wrong() == []


@pytest.mark.parametrize("path", ["/orders", "/accounting/invoices", "/ads/campaigns/dailies"])
def test_a_first_read_of_a_connection_that_is_not_ready_leaves_no_entry(
    scene: Make, path: str
) -> None:
    at = scene(path, force_fetch=True)
    at.connection.status = "not_ready"
    at.connection.initial_sync_done = False
    at.run(state_seconds=0.0)
    assert at.store.rows(at.stream, at.connection.id)
    assert at.store.state is not None
    assert at.connection.id not in str(at.store.state)
    at.world.make_ready(at.connection.id)
    at.run()
    assert at.wrong() == []


def test_without_force_fetch_a_connection_that_is_not_ready_is_not_asked(scene: Make) -> None:
    at = scene("/orders")
    at.run()
    before = at.bookmark
    at.connection.status = "not_ready"
    at.world.advance(DAY)
    at.simulator.requests.clear()
    at.run()
    assert at.asked == 0
    assert at.bookmark == before


# ---- history that grows


def completed(at: Scene) -> None:
    at.connection.historical_sync_completed = True


def one_more_batch(at: Scene) -> None:
    at.connection.batches.append(Batch(len(at.connection.batches) + 1, 12, {}))


def made_ready(at: Scene) -> None:
    at.connection.unready_entities.clear()


def older_than_all(at: Scene) -> None:
    at.create(late=400 * DAY)


WAYS_TO_GROW = [completed, one_more_batch, made_ready, older_than_all]


def before_growth(at: Scene) -> None:
    at.connection.historical_sync_completed = False
    at.connection.unready_entities.add(entity_of(at.path))


def grow(at: Scene, way: Callable[[Scene], None]) -> None:
    for days in (2, 9, 17):
        at.create(late=days * DAY)
    way(at)


@pytest.mark.parametrize("way", WAYS_TO_GROW)
@pytest.mark.parametrize("path", ["/orders", "/customers", "/payouts"])
def test_history_that_grows_is_read_again_once(
    scene: Make, path: str, way: Callable[[Scene], None]
) -> None:
    at = scene(path, payout_days=0)
    before_growth(at)
    at.run()
    at.world.advance(DAY)
    at.run()
    grow(at, way)
    again = at.run()
    assert at.wrong() == []
    ids = {row["id"] for row in again.records[at.stream]}
    assert len(ids) == len(at.world.keys(at.connection.id, path)), "read from its start"
    at.world.advance(HOUR)
    if path == "/customers":  # read whole for its rows without a time, at every run
        return
    later = at.run()
    assert len({row["id"] for row in later.records[at.stream]}) < 10, "read again once, and no more"


@pytest.mark.parametrize("way", WAYS_TO_GROW)
@pytest.mark.parametrize("path", ["/orders", "/payouts"])
def test_a_reread_that_is_killed_goes_on_wherever_it_was(
    scene: Make, path: str, way: Callable[[Scene], None]
) -> None:
    at = scene(path, payout_days=0)
    # Another list of the connection comes before: the news of more history leaves with it.
    for _ in range(12):
        at.world.create(at.connection.id, "/customers")
    streams = ["commerce_customers", at.stream]
    before_growth(at)
    at.store.take(sync(at.simulator, *streams).lines)
    at.world.advance(DAY)
    at.store.take(sync(at.simulator, *streams, state=at.store.state).lines)
    grow(at, way)
    kept, start = at.store, at.store.state
    whole = sync(
        at.simulator, *streams, state=start, page_size=10, payout_days=0, state_seconds=0.0
    )
    assert len(whole.states) > 3
    for place, state in whole.placed_states:
        at.store = Store()
        at.store.tables = {name: dict(rows) for name, rows in kept.tables.items()}
        at.store.take(whole.lines[: place + 1])
        at.store.state = state
        at.run()
        assert at.wrong() == [], f"killed after line {place}"


def test_a_batch_that_comes_during_a_run_is_read_by_the_next(scene: Make) -> None:
    at = scene("/orders")
    at.run()
    at.world.advance(DAY)

    def meddle(request: Request) -> None:
        if request.path == "/orders" and not at.connection.batches:
            grow(at, one_more_batch)

    at.simulator.before_request = meddle
    at.run()
    assert at.connection.batches
    at.simulator.before_request = None
    at.run()
    assert at.wrong() == []


def test_a_list_that_is_enabled_later_is_read_from_its_start(scene: Make) -> None:
    at = scene("/accounting/invoices")
    at.connection.not_enabled.add(at.path)
    at.run()
    at.world.advance(3 * DAY)
    at.run()
    assert at.bookmark is None
    at.connection.not_enabled.clear()
    at.run()
    assert at.wrong() == []
    assert at.bookmark is not None


# ---- payouts, and rows without a time


@pytest.mark.parametrize(
    ("created", "arrives"), [(50, 45), (75, 40), (75, -10)], ids=["created", "arrived", "to come"]
)
def test_a_payout_that_changes_within_sixty_days_is_read_again(
    scene: Make, created: int, arrives: int
) -> None:
    at = scene("/payouts", 3)
    arrival = iso(at.world.clock.now - arrives * DAY * 1000)
    key = at.create(late=created * DAY, arrival_at=arrival)
    at.run()
    at.world.advance(HOUR)
    at.update(key, status="PAID")
    at.run()
    assert at.wrong() == []
    assert at.store.rows("commerce_payouts", at.connection.id)[key]["status"] == "PAID"


def not_read(_at: Scene) -> None:
    """Nobody runs the tap."""


def disabled(at: Scene) -> None:
    """The connection is disabled at Rutter, and read by no run."""
    at.connection.status = "disabled"


def paused(at: Scene) -> None:
    """Rutter does not sync the connection, and runs find nothing new."""
    at.world.pause(at.connection.id)


@pytest.mark.parametrize("pause", [not_read, disabled, paused])
@pytest.mark.parametrize("days", [40, 65, 200])
@pytest.mark.parametrize(
    ("created", "arrives"), [(20, 15), (75, 40)], ids=["by creation", "by arrival"]
)
def test_a_payout_that_changed_during_a_long_pause_is_read_again(
    scene: Make, created: int, arrives: int, days: int, pause: Callable[[Scene], None]
) -> None:
    at = scene("/payouts", 3)
    arrival = iso(at.world.clock.now - arrives * DAY * 1000)
    key = at.create(late=created * DAY, arrival_at=arrival, status="PENDING", immediate=True)
    at.world.advance(HOUR)
    at.run()
    assert at.store.rows(at.stream, at.connection.id)[key]["status"] == "PENDING"
    pause(at)
    at.world.advance(HOUR)
    at.update(key, status="PAID")
    for _ in range(4):
        at.world.advance(days * DAY / 4)
        if pause is not not_read:
            at.run()
    at.connection.status = "active"
    at.world.resume(at.connection.id)
    at.world.advance(2 * HOUR)
    at.run()
    assert at.wrong() == []
    assert at.store.rows(at.stream, at.connection.id)[key]["status"] == "PAID"
    # Once is enough: the next run goes back payout_days again, and no further.
    at.world.advance(HOUR)
    at.simulator.requests.clear()
    at.run()
    asked = [
        int(entry.params[name])
        for entry in at.simulator.requests.to("/payouts")
        for name in ("created_at_min", "arrival_at_min")
        if name in entry.params
    ]
    assert len(asked) == 2
    assert min(asked) >= at.world.clock.now - 61 * DAY * 1000


def test_a_state_without_a_word_of_the_last_read_counts_from_its_bookmark(scene: Make) -> None:
    at = scene("/payouts", 3)
    key = at.create(late=20 * DAY, status="PENDING", immediate=True)
    at.run()
    assert at.bookmark is not None
    del at.bookmark["known_to"]  # as versions before it wrote the state
    at.world.advance(100 * DAY)
    at.update(key, status="PAID", immediate=True)
    at.run()
    assert at.wrong() == []


def test_a_customer_without_a_time_lands_and_is_read_at_every_run(scene: Make) -> None:
    at = scene("/customers", 3)
    at.run()
    assert at.bookmark is not None
    assert "null_times" not in at.bookmark
    at.world.advance(HOUR)
    key = at.create(updated_at=None)
    at.run()
    assert key not in at.store.rows(at.stream, at.connection.id), "hidden by the bound"
    at.world.advance(7 * DAY)
    at.run()
    assert at.wrong() == []
    at.world.advance(HOUR)
    at.update(key, updated_at=None)
    at.run()
    assert at.wrong() == []


def test_a_customer_without_a_time_is_seen_on_the_first_read(scene: Make) -> None:
    at = scene("/customers", 35)
    at.create(updated_at=None, late=20 * DAY)
    at.run()
    assert at.wrong() == []
    assert at.bookmark is not None
    assert at.bookmark["null_times"] is True
