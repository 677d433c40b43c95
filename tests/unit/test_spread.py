"""Windows that fit the data: whatever its shape, a list costs little more than along its cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.newest_first import CUTOFF, Asked, NewestFirst, TimedPage

from tap_rutter import times
from tap_rutter.api.pages import Page
from tap_rutter.connections.history import History
from tap_rutter.replication.items import BoundsIgnored, WindowEnd
from tap_rutter.replication.updated import Updated

pytestmark = pytest.mark.any_workers

SECOND, HOUR, DAY = times.SECOND, times.HOUR, times.DAY
YEAR = 365 * DAY


def most(walk: int) -> float:
    """The law: requests that a list may cost whose cursor takes so many."""
    return 1.5 * walk + 24


def told(oldest: int | None) -> History:
    """What Rutter says of the orders of a connection."""
    return History(ready={"ORDER": None if oldest is None else oldest // SECOND})


def check(asked: Asked) -> None:
    """Read a list: every row comes, no bookmark passes one, and it costs what it may."""
    rows = asked.rows
    walk = rows.walk(asked.page_size)
    missing = Counter(rows.stamps)
    low = asked.start_ms if asked.resumed is None else asked.resumed - DAY
    for moment in [moment for moment in missing if low is not None and moment < low]:
        del missing[moment]
    oldest_missing = sorted(missing, reverse=True)
    progress = asked.replication.progress(asked.partition())
    seen: Counter[int] = Counter()
    for item in asked.read():
        progress.see(item)
        if isinstance(item, TimedPage):
            seen.update(item.moments)
        if isinstance(item, WindowEnd):
            while oldest_missing and seen[oldest_missing[-1]] >= missing[oldest_missing[-1]]:
                oldest_missing.pop()
            state = progress.partition_state() or {}
            bookmark = times.parse(state.get("replication_key_value"))
            if bookmark is not None and oldest_missing:
                assert bookmark <= oldest_missing[-1], "a bookmark passes a row that has not come"
    assert not missing - seen, "rows have not come"
    if low is None:
        assert rows.requests <= most(walk), f"{rows.requests} requests, the cursor takes {walk}"


# ---- any shape

Part = Callable[[Random, int], list[int]]


def spread_out(rng: Random, count: int) -> list[int]:
    span = rng.choice([SECOND, 60 * SECOND, HOUR, DAY, 30 * DAY, YEAR, 10 * YEAR])
    gap = rng.choice([0, 0, DAY, YEAR])
    return [CUTOFF - gap - rng.randrange(span) for _ in range(count)]


def bursts(rng: Random, count: int) -> list[int]:
    number, every = rng.randint(1, 60), rng.choice([DAY, 30 * DAY, YEAR // 4])
    width = rng.choice([1, SECOND, HOUR, DAY])
    return [
        CUTOFF - at * every - DAY - rng.randrange(width)
        for at in range(number)
        for _ in range(max(1, count // number))
    ]


def growing(rng: Random, count: int) -> list[int]:
    mean = rng.choice([DAY, 100 * DAY])
    return [CUTOFF - min(int(rng.expovariate(1 / mean)), 9 * YEAR) for _ in range(count)]


def at_once(rng: Random, count: int) -> list[int]:
    return [CUTOFF - rng.choice([SECOND, DAY, 5 * YEAR])] * count


def one_old(rng: Random, _count: int) -> list[int]:
    return [CUTOFF - rng.randrange(9 * YEAR)]


def to_come(rng: Random, _count: int) -> list[int]:
    return [CUTOFF + rng.choice([1, HOUR, YEAR])]


SHAPES: Sequence[Part] = (spread_out, bursts, growing, at_once, one_old, to_come)


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4),
    most_rows=st.sampled_from([5, 20, 50, 500]),
    pages=st.floats(0.1, 60),
    empty_pages=st.booleans(),
    by_second=st.booleans(),
    tells=st.sampled_from(["nothing", "the oldest", "an older one", "a later one"]),
    start=st.sampled_from([None, None, "before", "within", "bookmark"]),
    window_days=st.sampled_from([1, 30, 366]),
)
def test_every_row_comes_and_the_law_holds(
    seed: int,
    shapes: list[Part],
    most_rows: int,
    pages: float,
    empty_pages: bool,
    by_second: bool,
    tells: str,
    start: str | None,
    window_days: int,
) -> None:
    rng = Random(seed)
    count = max(1, int(pages * most_rows / len(shapes)))
    stamps = sorted(moment for shape in shapes for moment in shape(rng, count))
    oldest = {
        "nothing": None,
        "the oldest": stamps[0],
        "an older one": stamps[0] - YEAR,
        "a later one": stamps[len(stamps) // 2],
    }[tells]
    middle = stamps[len(stamps) // 2]
    check(
        Asked(
            NewestFirst(stamps, most_rows, empty_pages, by_second),
            told(oldest),
            start_ms={"before": stamps[0] - YEAR, "within": middle}.get(start or ""),
            resumed=middle if start == "bookmark" else None,
            window_ms=window_days * DAY,
        )
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4),
    most_rows=st.sampled_from([5, 50]),
    pages=st.floats(2, 40),
    tells=st.booleans(),
    key=st.sampled_from(["created_at", "updated_at"]),
)
def test_lists_that_are_sorted_by_something_else_lose_no_row(
    seed: int, shapes: list[Part], most_rows: int, pages: float, tells: bool, key: str
) -> None:
    """Payouts are bounded by their creation, and sorted by their last change."""
    rng = Random(seed)
    most_rows = most_rows if key == "created_at" else 50
    count = max(1, int(pages * most_rows / len(shapes)))
    stamps = sorted(moment for shape in shapes for moment in shape(rng, count))
    rows = NewestFirst(stamps, most_rows, is_sorted=False, key=key)
    check(Asked(rows, told(stamps[0] if tells else None)))


# ---- shapes that were seen


def evenly(count: int, span: int) -> range:
    step = span // count
    return range(CUTOFF - count * step, CUTOFF, step)


def in_bursts(months: int, rows: int) -> list[int]:
    rng = Random(1)
    return sorted(
        CUTOFF - (month * 30 + 5) * DAY - rng.randrange(HOUR)
        for month in range(months)
        for _ in range(rows)
    )


NAMED: dict[str, tuple[Sequence[int], int]] = {
    "within an hour": (evenly(1_200, HOUR), 500),
    "within a day": (evenly(1_200, DAY), 500),
    "an hour, a year ago": ([moment - YEAR for moment in evenly(1_200, HOUR)], 500),
    "pages cut to fifty rows": (evenly(120, YEAR), 50),
    "even over a year": (evenly(100_000, YEAR), 500),
    "even over ten years": (evenly(15_000, 10 * YEAR), 500),
    "a million": (evenly(1_000_000, 3 * YEAR), 500),
    "a million within an hour": (evenly(1_000_000, HOUR), 500),
    "bursts of two pages": (in_bursts(48, 1_000), 500),
    "bursts of ten pages": (in_bursts(24, 5_000), 500),
    "one very old row": ([CUTOFF - 10 * YEAR, *evenly(50_000, 30 * DAY)], 500),
    "many long ago, few since": (
        sorted([*evenly(800, 9 * YEAR), *(CUTOFF - 5 * YEAR - n * 800 for n in range(50_000))]),
        500,
    ),
    "clumps between busy days": (
        sorted(
            [
                *evenly(20_000, DAY),
                *(moment - 9 * YEAR for moment in evenly(4_000, DAY)),
                *(CUTOFF - n * 40 * DAY + m for n in range(1, 80) for m in range(75)),
            ]
        ),
        500,
    ),
    "of one second": ([CUTOFF - 100 * DAY] * 20_000, 500),
    "of one second, and others": (
        sorted([*[CUTOFF - 100 * DAY] * 10_000, *evenly(10_000, YEAR)]),
        500,
    ),
}


@pytest.mark.parametrize("tells", ["nothing", "the oldest", "a much older one"])
@pytest.mark.parametrize("empty_pages", [False, True])
@pytest.mark.parametrize("name", NAMED)
def test_the_law_holds_for_shapes_that_occur(name: str, tells: str, empty_pages: bool) -> None:
    stamps, most_rows = NAMED[name]
    oldest = {"nothing": None, "the oldest": stamps[0], "a much older one": CUTOFF - 20 * YEAR}
    rows = NewestFirst(stamps, most_rows, empty_pages)
    asked = Asked(rows, told(oldest[tells]))
    if len(stamps) < 200_000:
        check(asked)
        return
    walk = -(-len(stamps) // most_rows) * (1 + empty_pages)
    came = sum(item.span.rows for item in asked.read() if isinstance(item, Page))
    assert came >= len(stamps)
    assert rows.requests <= most(walk)


def test_a_short_list_costs_what_its_cursor_takes() -> None:
    for name in ("within an hour", "within a day", "pages cut to fifty rows"):
        stamps, most_rows = NAMED[name]
        rows = NewestFirst(stamps, most_rows)
        walk = rows.walk()
        assert walk == 3
        list(Asked(rows, told(stamps[0])).read())
        assert rows.requests == walk, name


def test_windows_come_oldest_first_without_a_gap() -> None:
    rows = NewestFirst(evenly(100_000, YEAR))
    ends = [item.high for item in Asked(rows, told(rows.stamps[0])).read()
            if isinstance(item, WindowEnd)]  # fmt: skip
    assert ends == sorted(set(ends))
    assert len(ends) > 40
    begun = [params for params in rows.asked if params["limit"] == "500"]
    windows = sorted(
        {(int(p.get("updated_at_min", "0")), int(p.get("updated_at_max", "0"))) for p in begun[1:]}
    )
    lows, highs = {low for low, _ in windows}, {high for _, high in windows if high}
    assert highs <= lows, "each window begins where another ends"
    assert 0 in lows, "the first has no lower bound"
    assert any(not high for _, high in windows), "the last has no upper bound"


def test_windows_are_about_four_pages_and_no_longer_than_a_user_wants() -> None:
    rows = NewestFirst(evenly(20_000, YEAR))  # a page in nine days
    read = [item.high for item in Asked(rows, told(rows.stamps[0])).read()
            if isinstance(item, WindowEnd)]  # fmt: skip
    lengths = [(b - a) / DAY for a, b in pairwise(read)]
    assert all(25 < length <= 31 for length in lengths), "thirty days, not four pages"
    short = Asked(NewestFirst(evenly(20_000, YEAR)), told(rows.stamps[0]), window_ms=DAY)
    read = [item.high for item in short.read() if isinstance(item, WindowEnd)]
    lengths = [(b - a) / DAY for a, b in pairwise(read)]
    assert all(12 < length < 16 for length in lengths), "as short as the law allows"


# ---- bounds that are ignored


@pytest.mark.parametrize("name", ["updated_at_min", "updated_at_max", "both"])
@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("start", [None, CUTOFF - YEAR, CUTOFF - 200 * DAY])
def test_ignored_bounds_are_noticed(name: str, tells: bool, start: int | None) -> None:
    stamps = evenly(20_000, YEAR)
    ignores = {"updated_at_min", "updated_at_max"} if name == "both" else {name}
    rows = NewestFirst(stamps, ignores=frozenset(ignores))
    asked = Asked(rows, told(stamps[0] if tells else None), start_ms=start)
    walk = rows.walk()
    progress = Updated().progress(asked.partition())
    seen: set[int] = set()
    is_noticed = False
    for item in asked.read():
        before = progress.partition_state()
        progress.see(item)
        if isinstance(item, TimedPage):
            seen.update(item.moments)
        if isinstance(item, BoundsIgnored):
            is_noticed = True
        if is_noticed:
            assert progress.partition_state() == before, "no bookmark moves before the end"
    assert is_noticed or (name == "updated_at_min" and start is None)
    assert {moment for moment in stamps if start is None or moment >= start} <= seen
    assert rows.requests <= most(walk)
    progress.finish()
    assert progress.partition_state()
