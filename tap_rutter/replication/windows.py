"""Time windows: how a long range of an updated stream is cut."""

from __future__ import annotations

from dataclasses import dataclass

from tap_rutter import times

_PAGES_PER_WINDOW = 3
_MOST_WINDOWS = 512
_SHORTEST = times.SECOND


@dataclass(frozen=True)
class Window:
    """A range of time, Unix milliseconds, both ends included; None is open."""

    low: int | None
    high: int | None

    def holds(self, oldest: int | None, newest: int | None, tolerance: int) -> bool:
        """Whether times lie inside, give or take ``tolerance`` ms."""
        if self.low is not None and oldest is not None and oldest < self.low - tolerance:
            return False
        return not (self.high is not None and newest is not None and newest > self.high + tolerance)


def length_for(page_oldest: int, page_newest: int, longest: int) -> int:
    """How long a window of about three pages is, judged by how much time one page spans.

    A page of rows from one moment (an import) says little: it counts as an hour at least.

    Args:
        page_oldest: Time of the oldest row of the probe page, Unix ms.
        page_newest: Time of its newest row.
        longest: No window is longer than this, ms.
    """
    spanned = max(page_newest - page_oldest, times.HOUR)
    return max(_SHORTEST, min(longest, spanned * _PAGES_PER_WINDOW))


def cut(start: int, end: int, length: int, *, open_below: bool) -> list[Window]:
    """Equal windows over [start, ∞), oldest first, overlapping by their inclusive bound.

    At most 512, so they grow where the range is longer than that. The last is open above: a row
    stamped in the future, or during the run, is still read. The first is open below where nothing
    says how far back the data go.

    Args:
        start: Where the range begins, Unix ms.
        end: The run's cutoff.
        length: Wanted length of a window, ms.
        open_below: Whether the first window has no lower bound.
    """
    reach = max(end - start, 0)
    count = max(1, min(_MOST_WINDOWS, -(-reach // max(length, 1))))
    edges = [start + reach * index // count for index in range(count)]
    windows = [Window(low, high) for low, high in zip(edges, [*edges[1:], None], strict=True)]
    if open_below:
        windows[0] = Window(None, windows[0].high)
    return windows
