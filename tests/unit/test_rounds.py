"""How many rounds of requests a long list takes with twelve workers: a model, without any waiting.

A round is the time that one request takes. Three of them pass before a list's first page is asked
for: the list of connections, and the two requests about how the connection stands at Rutter.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from support.newest_first import CUTOFF, Asked, NewestFirst
from support.rounds import rounds_of

from tap_rutter import times
from tap_rutter.connections.history import History

HOUR, DAY = times.HOUR, times.DAY
YEAR = 365 * DAY
MONTHS, PAGE, WORKERS, BEFORE = 60, 500, 12, 3


def evenly(pages: int, since: int = 2 * HOUR) -> Sequence[int]:
    step = YEAR // (pages * PAGE)
    return range(CUTOFF - since - pages * PAGE * step, CUTOFF - since, step)


def bursts(pages: int) -> list[int]:
    """One within an hour, each month: an import, for instance."""
    rows = pages * PAGE
    return [
        CUTOFF - 2 * HOUR - month * 30 * DAY - index * HOUR // rows
        for month in range(MONTHS - 1, -1, -1)
        for index in range(rows - 1, -1, -1)
    ]


def anywhere(pages: int) -> list[int]:
    """The same at any time of each month."""
    rng = Random(1)
    begins = [CUTOFF - (month + 1) * 30 * DAY + rng.randrange(29 * DAY) for month in range(MONTHS)]
    return sorted(begin + rng.randrange(HOUR) for begin in begins for _ in range(pages * PAGE))


def times_as_fast(stamps: Sequence[int], *, is_begin_told: bool) -> float:
    """How many times as fast twelve workers are as one, which makes the same requests."""
    rows = NewestFirst(stamps)
    # Rutter tells of the oldest order's creation, which comes before its last change.
    ready = {"ORDER": (stamps[0] - HOUR) // times.SECOND if is_begin_told else None}
    asked = Asked(rows, History(ready=ready))
    rounds = rounds_of(
        [asked.replication.read(asked.partition())],
        workers=WORKERS,
        requests=lambda: rows.requests,
    )
    return (rows.requests + BEFORE) / (rounds + BEFORE)


@pytest.mark.parametrize(
    ("name", "stamps", "told", "not_told"),
    [
        ("even over a year", evenly(600), 10, 8),
        ("even, up to now", evenly(600, since=0), 10, 6.5),
        ("few pages, evenly", evenly(150), 7.5, 5.5),
        ("bursts of two pages", bursts(2), 6, 4),
        ("bursts of five pages", bursts(5), 8, 5.5),
        ("bursts of ten pages", bursts(10), 8, 5.5),
        ("bursts of two pages at any time", anywhere(2), 5.5, 5),
        ("bursts of five pages at any time", anywhere(5), 5.5, 5),
    ],
)
def test_twelve_workers_are_many_times_as_fast_as_one(
    name: str, stamps: Sequence[int], told: float, not_told: float
) -> None:
    assert times_as_fast(stamps, is_begin_told=True) >= told, name
    assert times_as_fast(stamps, is_begin_told=False) >= not_told, f"{name}, begin not known"


def test_the_model_counts_rounds() -> None:
    """One worker needs a round for each request; many follow a cursor no faster."""
    short = NewestFirst(evenly(3))
    asked = Asked(short, History(ready={"ORDER": short.stamps[0] // times.SECOND}))
    for workers in (1, 12):
        short.requests = 0
        reading = asked.replication.read(asked.partition())
        assert rounds_of([reading], workers=workers, requests=lambda: short.requests) == 3
        assert short.requests == 3
    long = NewestFirst(evenly(100))
    asked = Asked(long, History(ready={"ORDER": long.stamps[0] // times.SECOND}))
    reading = asked.replication.read(asked.partition())
    assert rounds_of([reading], workers=1, requests=lambda: long.requests) == long.requests
