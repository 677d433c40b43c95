"""Windows: whether rows lie within what was asked for."""

from __future__ import annotations

import pytest

from tap_rutter.replication.windows import Window


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


def test_a_difference_within_the_tolerance_does_not_count() -> None:
    assert Window(1_000, 2_000).holds(0, 3_000, tolerance=1_000)
    assert not Window(1_000, 2_000).holds(-1, 3_000, tolerance=1_000)
    assert not Window(1_000, 2_000).holds(0, 3_001, tolerance=1_000)
