"""Wrong clocks, and rows from the future: neither loses a row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from soak.check import differences
from soak.scene import STREAMS
from soak.store import Store
from support.in_process import Run, sync

from tap_rutter import times
from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.simulator.text import iso

pytestmark = pytest.mark.any_workers

MINUTE, HOUR, DAY = 60, 3600, 86_400

LISTS = {
    "QUICKBOOKS": ("/accounting/invoices", "/accounting/expenses", "/events"),
    "SHOPIFY": ("/orders", "/customers", "/payouts"),
    "FACEBOOK": ("/ads/campaigns", "/ads/campaigns/dailies"),
}
OFF = [10 * MINUTE, -10 * MINUTE, 3 * DAY, -3 * DAY]


class Following:
    """A world and a target that follows it, with this machine's clock so far off."""

    def __init__(self, *platforms: str, rows: int = 25, **settings: Any) -> None:
        self.world = World(3, history_days=20)
        self.off = 0.0
        self.settings = {"page_size": 10, **settings}
        self.store = Store()
        self.gone: set[str] = set()
        self.connections: dict[str, Connection] = {}
        for platform in platforms:
            counts = dict.fromkeys(LISTS[platform], rows)
            counts["/ads/campaigns"] = 3
            self.connections[platform] = self.world.add_connection(platform, counts=counts)
        self.simulator = Simulator(self.world, gzip=False).start()

    @property
    def streams(self) -> list[str]:
        """The streams of the lists that the connections have."""
        return sorted({STREAMS[path] for platform in self.connections for path in LISTS[platform]})

    def run(self, **options: Any) -> Run:
        """A run whose lines the target takes."""
        output = sync(
            self.simulator,
            *self.streams,
            state=self.store.state,
            now=lambda: self.world.clock.now + int(self.off * 1000),
            **{**self.settings, **options},
        )
        assert output.code == 0, output.failures
        self.store.take(output.lines)
        return output

    def wrong(self) -> list[str]:
        """What the target lacks."""
        return [
            line
            for platform, connection in self.connections.items()
            for path in LISTS[platform]
            for line in differences(self.store, self.world, path, connection.id, deleted=self.gone)
        ]

    def change(self, *, immediate: bool = True) -> None:
        """A change of two rows of every list, one new row, and one less."""
        for platform, connection in self.connections.items():
            for path in LISTS[platform]:
                keys = self.world.keys(connection.id, path)
                if path == "/events":
                    continue
                fields: dict[str, Any] = {}
                if path.endswith("/dailies"):
                    fields["campaign_id"] = self.world.keys(connection.id, "/ads/campaigns")[0]
                for key in (keys[0], keys[-1]):
                    self.world.update(connection.id, path, key, immediate=immediate)
                self.world.create(connection.id, path, immediate=immediate, **fields)
                if path == "/accounting/invoices" and keys[1] not in self.gone:
                    self.gone.add(keys[1])
                    self.world.delete(connection.id, path, keys[1], immediate=immediate)


@pytest.fixture
def following() -> Iterator[Callable[..., Following]]:
    made: list[Following] = []

    def make(*platforms: str, **options: Any) -> Following:
        made.append(Following(*platforms, **options))
        return made[-1]

    yield make
    for entry in made:
        entry.simulator.stop()


Make = Callable[..., Following]


@pytest.mark.parametrize("off", OFF)
def test_a_clock_that_is_off_loses_nothing(following: Make, off: float) -> None:
    at = following(*LISTS)
    at.off = off
    for seconds in (20 * MINUTE, 2 * HOUR, 2 * DAY):
        at.run()
        assert at.wrong() == []
        at.change()
        at.change(immediate=False)
        at.world.advance(seconds)
    at.run()
    assert at.wrong() == []


@pytest.mark.parametrize("off", OFF[:2])
def test_a_clock_that_is_off_for_one_run_loses_nothing(following: Make, off: float) -> None:
    at = following(*LISTS)
    at.run()
    at.world.advance(30 * MINUTE)
    at.change()
    at.off = off
    at.run()
    at.off = 0
    for _ in range(2):
        at.change(immediate=False)
        at.world.advance(30 * MINUTE)
        at.run()
    assert at.wrong() == []


@pytest.mark.parametrize("off", OFF[1:3])
def test_no_bookmark_depends_on_the_machines_clock(following: Make, off: float) -> None:
    right, wrong = following(*LISTS), following(*LISTS)
    wrong.off = off
    for at in (right, wrong):
        at.run()
        at.world.advance(90 * MINUTE)
        at.change()
        at.run()
    assert _rounded(wrong.store.state) == _rounded(right.store.state)


def _rounded(state: Any) -> Any:
    """A state with its times in tens of seconds: a server tells whole seconds only."""
    if isinstance(state, dict):
        return {name: _rounded(value) for name, value in state.items()}
    if isinstance(state, list):
        return [_rounded(value) for value in state]
    moment = times.parse(state)
    return state if moment is None else round(moment / 10_000)


@pytest.mark.parametrize("platform", LISTS)
def test_a_bookmark_from_the_future_is_not_trusted(
    following: Make, platform: str, caplog: pytest.LogCaptureFixture
) -> None:
    at = following(platform)
    at.run()
    whole = {stream: _ids(at, stream) for stream in at.streams}
    future = iso(at.world.clock.now + 2 * HOUR * 1000)
    assert at.store.state is not None
    for stream, entry in at.store.state["bookmarks"].items():
        for partition in entry["partitions"] if stream != "connections" else ():
            partition["replication_key_value"] = future
            for name in partition.get("passes", {}):
                partition["passes"][name] = future
    at.world.advance(HOUR / 2)
    at.change()
    with caplog.at_level(logging.WARNING, logger="tap-rutter"):
        output = at.run()
    assert at.wrong() == []
    for stream in at.streams:
        if whole[stream]:
            assert whole[stream] - at.gone <= {row["id"] for row in output.records[stream]}, stream
            assert f"bookmark of {stream} for connection" in caplog.text
    assert "lies in the future" in caplog.text
    # Its rows have set it anew: the next run reads little.
    caplog.clear()
    at.world.advance(HOUR / 2)
    at.run()
    assert "lies in the future" not in caplog.text


def _ids(at: Following, stream: str) -> set[str]:
    return {
        name for (table, _), rows in at.store.tables.items() if table == stream for name in rows
    }


@pytest.mark.parametrize("pass_name", ["expense", "refund"])
def test_one_pass_from_the_future_is_read_again_with_a_warning(
    following: Make, pass_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    at = following("QUICKBOOKS")
    at.run()
    assert at.store.state is not None
    (partition,) = at.store.state["bookmarks"]["accounting_expenses"]["partitions"]
    partition["passes"][pass_name] = iso(at.world.clock.now + DAY * 1000)
    with caplog.at_level(logging.WARNING, logger="tap-rutter"):
        output = at.run()
    rows = output.records["accounting_expenses"]
    wanted = sum(row["expense_type"] == pass_name for row in at.world.rows(*_expenses(at)))
    assert len({row["id"] for row in rows if row["expense_type"] == pass_name}) == wanted
    assert "bookmark of accounting_expenses for connection" in caplog.text


def _expenses(at: Following) -> tuple[str, str]:
    return at.connections["QUICKBOOKS"].id, "/accounting/expenses"


@pytest.mark.parametrize("ahead", [50 * MINUTE, 3 * HOUR])
@pytest.mark.parametrize(
    ("platform", "path"),
    [
        ("QUICKBOOKS", "/accounting/invoices"),
        ("QUICKBOOKS", "/accounting/expenses"),
        ("SHOPIFY", "/orders"),
        ("SHOPIFY", "/payouts"),
        ("FACEBOOK", "/ads/campaigns/dailies"),
    ],
)
def test_a_row_from_the_future_costs_no_other_row(
    following: Make, platform: str, path: str, ahead: float
) -> None:
    at = following(platform)
    connection = at.connections[platform]
    stamp = iso(at.world.clock.now + int(ahead * 1000))
    fields: dict[str, Any] = {}
    if path.endswith("/dailies"):
        fields["campaign_id"] = at.world.keys(connection.id, "/ads/campaigns")[0]
    if platform == "SHOPIFY":
        fields |= {"updated_at": stamp, "created_at": stamp}
    else:
        fields["last_synced_at"] = stamp
    at.world.create(connection.id, path, **fields)
    changed = at.world.keys(connection.id, path)[1:]
    step = max(25 * MINUTE, ahead / 5)
    for round_ in range(7):
        at.run()
        assert at.wrong() == [], f"after run {round_}"
        # A row that is stamped a moment before the run has ended, and shows a moment after it.
        synced = iso(at.world.clock.now - 2 * MINUTE * 1000)
        late: dict[str, Any] = {} if platform == "SHOPIFY" else {"last_synced_at": synced}
        at.world.update(connection.id, path, changed[round_ % len(changed)], **late)
        at.world.advance(step)
        at.world.update(connection.id, path, changed[(round_ + 1) % len(changed)])
        at.world.advance(60)
