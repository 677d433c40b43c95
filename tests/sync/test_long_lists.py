"""What a long list costs and brings, whatever the shape of its data: through the whole tap."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak.check import differences
from soak.store import Store
from support.in_process import Run, sync

from tap_rutter.simulator import Batch, Connection, Simulator, World

pytestmark = pytest.mark.any_workers

HOUR, DAY = 3600, 86_400
YEAR = 365 * DAY
ORDERS, STREAM = "/orders", "commerce_orders"


def most(walk: int) -> float:
    """How many requests a list may cost whose cursor takes so many."""
    return 1.5 * walk + 24


@dataclass
class Shop:
    """One shop with nothing but orders, and a target that follows the runs."""

    simulator: Simulator
    connection: Connection
    store: Store

    @property
    def world(self) -> World:
        return self.simulator.world

    def fill(self, ages: Sequence[float]) -> None:
        """Orders that were last changed so many seconds ago."""
        for age in ages:
            self.world.create(self.connection.id, ORDERS, late=age, immediate=True)

    def walk(self, limit: int = 500) -> int:
        """How many requests it takes to follow the cursor."""
        pair = f"{self.simulator.client_id}:{self.simulator.client_secret}".encode()
        headers = {
            "Authorization": "Basic " + base64.b64encode(pair).decode(),
            "X-Rutter-Version": self.world.version,
        }
        params = {"access_token": self.connection.access_token, "limit": str(limit)}
        for count in range(1, 10_000):
            url = f"{self.simulator.api_url}{ORDERS}?{urlencode(params)}"
            with urlopen(Request(url, headers=headers)) as answer:
                cursor = json.load(answer).get("next_cursor")
            if not cursor:
                return count
            params["cursor"] = cursor
        raise AssertionError("a list without end")

    def run(self, state: Any = None, **options: Any) -> Run:
        """One run; afterwards the log holds its requests alone."""
        self.simulator.requests.clear()
        # The run's clock stands still as the world's does: windows are counted from it.
        output = sync(
            self.simulator,
            STREAM,
            state=state,
            now=lambda: self.world.clock.now,
            max_retry_seconds=0,
            **options,
        )
        self.store.take(output.lines)
        assert output.code == 0, output.failures
        return output

    @property
    def asked(self) -> int:
        return len(self.simulator.requests.to(ORDERS))

    def wrong(self) -> list[str]:
        """What the target lacks."""
        return differences(self.store, self.world, ORDERS, self.connection.id)

    def tells(self, is_told: bool) -> None:
        """Whether Rutter tells of the connection how far back its data go."""
        if not is_told:
            path = "/connections/status"
            body = json.dumps({"status": {"is_ready": True}})
            self.simulator.faults.add("respond", path=path, status=200, body=body, times=None)


@contextmanager
def opened() -> Iterator[Shop]:
    world = World(7, history_days=30)
    connection = world.add_connection("SHOPIFY", counts={ORDERS: 0})
    with Simulator(world, gzip=False) as simulator:
        yield Shop(simulator, connection, Store())


@pytest.fixture
def shop() -> Iterator[Shop]:
    with opened() as made:
        yield made


def evenly(count: int, span: float, since: float = HOUR) -> list[float]:
    return [since + span * index / count for index in range(count)]


def bursts(number: int, rows: int) -> list[float]:
    rng = Random(3)
    return [
        5 * DAY + month * 30 * DAY + rng.uniform(0, HOUR)
        for month in range(number)
        for _ in range(rows)
    ]


SHAPES = {
    "even": evenly(400, 3 * YEAR),
    "within an hour": evenly(300, HOUR, 60),
    "within an hour, long ago": evenly(300, HOUR, YEAR),
    "bursts of two pages": bursts(20, 20),
    "bursts of seven pages": bursts(6, 70),
    "one very old": [*evenly(300, 10 * DAY), 9 * YEAR],
    "of one second": [*[50 * DAY] * 150, *evenly(150, YEAR)],
    "ever more": [2.0**exponent * HOUR + n for exponent in range(14) for n in range(25)],
}


# ---- what was seen


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize(
    ("ages", "most_rows"),
    [(evenly(1_200, HOUR, 60), 0), (evenly(1_200, DAY, 60), 0), (evenly(120, 200 * DAY), 50)],
    ids=["within an hour", "over a day", "pages cut to fifty rows"],
)
def test_a_list_of_three_pages_costs_about_three_requests(
    shop: Shop, ages: list[float], most_rows: int, is_told: bool
) -> None:
    shop.fill(ages)
    shop.tells(is_told)
    shop.world.switches.set("most_rows", most_rows)
    assert shop.walk() == 3
    shop.run()
    assert shop.wrong() == []
    # Where nothing tells that there is nothing before them, that is looked into.
    assert shop.asked == 3 if is_told else shop.asked <= 20


# ---- the law


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("empty_pages", [True, False])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.longer
def test_no_shape_costs_more_than_half_again_what_its_cursor_takes(
    shop: Shop, name: str, empty_pages: bool, is_told: bool
) -> None:
    shop.fill(SHAPES[name])
    shop.tells(is_told)
    shop.world.switches.set("most_rows", 10)
    shop.world.switches.set("empty_pages", empty_pages)
    walk = shop.walk()
    first = shop.run(concurrency=8)
    assert shop.wrong() == []
    assert shop.asked <= most(walk)
    if not is_told:
        return
    # More history: all of it once more.
    shop.connection.batches.append(Batch(len(shop.connection.batches) + 1, 12, {}))
    shop.fill([4 * YEAR] * 3)
    shop.run(first.state, concurrency=8)
    assert shop.wrong() == []
    assert shop.asked >= walk, "read again"
    assert shop.asked <= most(shop.walk())


@settings(max_examples=12, deadline=None)
@given(data=st.data())
@pytest.mark.longer
def test_any_shape_is_read_whole_within_the_law(data: st.DataObject) -> None:
    pieces = st.tuples(
        st.sampled_from([60.0, HOUR, DAY, 30.0 * DAY, 3.0 * YEAR]),
        st.sampled_from([0.0, HOUR, 20.0 * DAY, YEAR]),
        st.integers(1, 250),
    )
    drawn = data.draw(st.lists(pieces, min_size=1, max_size=4))
    rng = Random(len(drawn))
    with opened() as shop:
        for span, since, count in drawn:
            shop.fill([since + 60 + rng.uniform(0, span) for _ in range(count)])
        shop.tells(data.draw(st.booleans()))
        shop.world.switches.set("most_rows", data.draw(st.sampled_from([10, 25])))
        shop.world.switches.set("empty_pages", data.draw(st.booleans()))
        seek = data.draw(st.sampled_from(["second", "exact"]))
        shop.world.switches.set("cursor_seek", seek)
        walk = shop.walk()
        shop.run(concurrency=data.draw(st.sampled_from([1, 8])))
        assert shop.wrong() == []
        assert shop.asked <= most(walk)


# ---- the same at any number of workers


def spoken(output: Run) -> list[str]:
    lines = []
    for line in output.lines:
        if line["type"] in {"RECORD", "SCHEMA"} and line["stream"] == STREAM:
            line.pop("time_extracted", None)
            lines.append(json.dumps(line, default=str))
    return lines


def requested(shop: Shop) -> list[str]:
    return sorted(json.dumps(entry.params, sort_keys=True) for entry in
                  shop.simulator.requests.to(ORDERS))  # fmt: skip


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_requests_and_rows_do_not_depend_on_the_number_of_workers(
    shop: Shop, name: str, is_told: bool
) -> None:
    shop.fill(SHAPES[name])
    shop.tells(is_told)
    alone = spoken(shop.run(concurrency=1, page_size=10))
    asked = requested(shop)
    assert len(alone) > len(SHAPES[name])
    for workers in (8, 32):  # the world stands still, and so does the run's clock
        assert spoken(shop.run(concurrency=workers, page_size=10)) == alone
        assert requested(shop) == asked


def test_answers_that_are_late_change_nothing(shop: Shop) -> None:
    shop.fill(SHAPES["bursts of seven pages"])
    alone = spoken(shop.run(concurrency=1, page_size=10))
    asked = requested(shop)
    for nth in (3, 9, 14, 20):
        shop.simulator.faults.add("delay", path=ORDERS, nth=nth, seconds=0.2)
    assert spoken(shop.run(concurrency=12, page_size=10)) == alone
    assert requested(shop) == asked


# ---- what may come besides


def test_rows_that_bear_a_time_to_come_or_of_the_run_are_read(shop: Shop) -> None:
    shop.fill([*SHAPES["even"], -2 * HOUR, -400 * DAY])
    late: list[str] = []

    def create(request: Any) -> None:
        # Not at the fifth request itself: with many workers, others may have come by then.
        if request.path == ORDERS and not late and len(shop.simulator.requests.to(ORDERS)) > 4:
            late.append(shop.world.create(shop.connection.id, ORDERS, immediate=True))

    shop.simulator.before_request = create
    shop.run(page_size=10)
    assert late
    assert shop.wrong() == []


@pytest.mark.parametrize("start_date", [None, "2025-06-01"])
@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("name", ["even", "bursts of seven pages", "one very old"])
def test_ignored_bounds_cost_the_windows_and_no_row(
    shop: Shop, name: str, concurrency: int, start_date: str | None
) -> None:
    shop.fill(SHAPES[name])
    shop.world.switches.set("updated_at_bounds", "ignore", path=ORDERS)
    walk = shop.walk(10)
    options = {} if start_date is None else {"start_date": start_date}
    output = shop.run(page_size=10, concurrency=concurrency, state_seconds=0.0, **options)
    assert shop.wrong() == []
    assert shop.asked <= most(walk)
    marked = [place for place, value in output.placed_states if STREAM in value["bookmarks"]]
    last = max(place for place, line in enumerate(output.lines) if line.get("stream") == STREAM)
    assert min(marked) > last, "no bookmark before the end"


@pytest.mark.parametrize("name", ["even", "bursts of seven pages", "within an hour, long ago"])
def test_a_run_that_is_killed_anywhere_repeats_no_more_than_it_was_in(
    shop: Shop, name: str
) -> None:
    shop.fill(SHAPES[name])
    whole = shop.run(page_size=10, state_seconds=0.0, concurrency=8)
    records = len(whole.records[STREAM])
    states = [entry for entry in whole.placed_states if STREAM in entry[1]["bookmarks"]]
    for place, state in states[:: max(1, len(states) // 6)]:
        shop.store = Store()
        shop.store.take(whole.lines[: place + 1])
        rest = shop.run(state, page_size=10, concurrency=8, lookback_hours=0)
        assert shop.wrong() == [], f"killed after line {place}"
        done = sum(line["type"] == "RECORD" for line in whole.lines[:place])
        assert len(rest.records[STREAM]) <= records - done + 8 * 10 * 2
