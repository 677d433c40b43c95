"""Windows: no millisecond of the range is left out, whatever the figures."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_rutter import times
from tap_rutter.replication.windows import Window, cut, length_for

MOMENTS = st.integers(min_value=-times.DAY, max_value=10_000 * times.DAY)
LENGTHS = st.integers(min_value=-1, max_value=400 * times.DAY)

HOUR, DAY = times.HOUR, times.DAY


@given(start=MOMENTS, end=MOMENTS, length=LENGTHS, open_below=st.booleans())
@example(start=5, end=5, length=1, open_below=False)
@example(start=9, end=5, length=1, open_below=True)
@example(start=0, end=1, length=0, open_below=False)
@example(start=0, end=513, length=1, open_below=False)
def test_windows_cover_every_millisecond(
    start: int, end: int, length: int, open_below: bool
) -> None:
    windows = cut(start, end, length, open_below=open_below)
    assert 1 <= len(windows) <= 512
    assert windows[0].low == (None if open_below else start)
    assert windows[-1].high is None
    for window, following in pairwise(windows):
        assert following.low == window.high, "neighbours share their inclusive bound"
    inner = [window.high for window in windows if window.high is not None]
    assert len(inner) == len(windows) - 1
    edges = [start, *inner]
    assert edges == sorted(set(edges)), "windows come oldest first, and none is empty"
    assert start > end or edges[-1] <= end


@given(start=MOMENTS, end=MOMENTS, length=st.integers(min_value=1, max_value=400 * DAY))
def test_windows_are_equal_and_no_longer_than_asked_unless_there_are_too_many(
    start: int, end: int, length: int
) -> None:
    windows = cut(start, end, length, open_below=False)
    sizes = [
        (end if window.high is None else window.high) - (window.low or 0) for window in windows
    ]
    if end <= start:
        assert len(windows) == 1
        return
    assert max(sizes) - min(sizes) <= 1
    if len(windows) < 512:
        assert max(sizes) <= length


@given(
    start=MOMENTS,
    end=MOMENTS,
    length=LENGTHS,
    open_below=st.booleans(),
    moment=st.integers(min_value=-2 * DAY, max_value=20_000 * DAY),
)
def test_every_moment_of_the_range_lies_in_a_window(
    start: int, end: int, length: int, open_below: bool, moment: int
) -> None:
    held = [
        window
        for window in cut(start, end, length, open_below=open_below)
        if window.holds(moment, moment, 0)
    ]
    assert bool(held) == (open_below or moment >= start)
    assert len(held) <= 2


@pytest.mark.parametrize(
    ("spanned", "longest", "length"),
    [
        (2 * HOUR, 30 * DAY, 6 * HOUR),
        (0, 30 * DAY, 3 * HOUR),  # an import: all rows of one moment
        (HOUR // 2, 30 * DAY, 3 * HOUR),
        (40 * DAY, 30 * DAY, 30 * DAY),
        (-5 * HOUR, 30 * DAY, 3 * HOUR),
        (10 * HOUR, HOUR, HOUR),
    ],
)
def test_a_window_is_about_three_pages_long(spanned: int, longest: int, length: int) -> None:
    assert length_for(1_000 * DAY, 1_000 * DAY + spanned, longest) == length


@given(oldest=MOMENTS, newest=MOMENTS, longest=st.integers(min_value=DAY, max_value=366 * DAY))
def test_no_window_is_longer_than_the_user_allows(oldest: int, newest: int, longest: int) -> None:
    assert 0 < length_for(oldest, newest, longest) <= longest


@pytest.mark.parametrize(
    ("window", "oldest", "newest", "inside"),
    [
        (Window(100, 200), 100, 200, True),
        (Window(100, 200), 99, 200, False),
        (Window(100, 200), 100, 201, False),
        (Window(None, 200), -5, 200, True),
        (Window(100, None), 100, 10**15, True),
        (Window(None, None), -5, 10**15, True),
        (Window(100, 200), None, None, True),  # a page without rows, or without times
    ],
)
def test_rows_outside_their_window_are_noticed(
    window: Window, oldest: int | None, newest: int | None, inside: bool
) -> None:
    assert window.holds(oldest, newest, 0) is inside


def test_a_difference_within_the_tolerance_is_none() -> None:
    assert Window(1_000, 2_000).holds(0, 3_000, tolerance=1_000)
    assert not Window(1_000, 2_000).holds(-1, 3_000, tolerance=1_000)
    assert not Window(1_000, 2_000).holds(0, 3_001, tolerance=1_000)
