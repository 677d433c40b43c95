"""The windows that a long list is read in: what has come of each, and what is left of it.

Pure: they know pages by what they say of their rows, and make no request. Each says at a gate when
something is known of it, so that a plan (``spread.py``) can wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tap_rutter import times
from tap_rutter.api.pages import Page
from tap_rutter.replication.gates import Gate
from tap_rutter.replication.windows import Window

MORE = 0.4
"""Requests more than a walk's for each of a walk's, of the 0.5 that the bound allows: rows at the
edges of windows come twice, and a walk reads them once."""
FEW = 8
"""Pages that are read one after another: windows would save no time."""
_LONG = 5
"""Pages after which what is left of a window is spread, if that seems to be more than a few."""
_WIDER = 4
"""How many times farther from a page each next edge lies, where nothing tells how far rows go."""
_EVEN = 128
"""Pages that may be left, by the last one, so that what is left is cut into equal windows."""
_PLANNED = 4
"""Requests to spare with which what is left is worth a plan of its own."""
_LOOK = 3
"""Requests of a look at most: where empty pages come and come, it is given up."""
_WITHIN_SECOND = 501


def between(moment: int) -> int:
    """About the same moment, but one that hardly a row bears: those of an edge are read twice.

    Platforms mostly tell whole seconds; and days end with the last millisecond of one.
    """
    return moment - moment % times.SECOND + _WITHIN_SECOND


class Tally:
    """Requests of one list, and their worth: how many of them a walk along the cursor makes too."""

    def __init__(self, page_rows: int) -> None:
        """``page_rows``: how many rows a full page has."""
        self.requests = 0
        self.worth = 0.0
        self.rows = 0
        self._page_rows = max(page_rows, 1)
        self._since = 0

    def see(self, page: Page) -> None:
        """Count a page: one that is full, and empty ones before it, are what a walk has too."""
        self.requests += 1
        self._since += 1
        rows = page.span.rows
        self.rows += rows
        if rows:
            share = 1.0 if page.next_cursor is not None else min(1.0, rows / self._page_rows)
            self.worth += self._since * share
            self._since = 0

    def add(self, other: Tally) -> None:
        """Count what was read as a part of this one."""
        self.requests += other.requests
        self.worth += other.worth
        self.rows += other.rows

    @property
    def debt(self) -> float:
        """What these requests have used up of what the bound allows; below 0: what they add."""
        return self.requests - (1 + MORE) * self.worth


@dataclass
class Order:
    """Whether a list keeps to the order that reading it in splits relies on.

    Shared by all windows of the list. The split of a window takes for granted that what is newer
    than its page was on it. A list that is sorted by another time may look sorted there, and show
    on other pages that it is not.
    """

    is_relied_on: bool = False
    """Whether a window has been split after a page of it."""
    is_broken: bool = False
    """Whether a row was newer, by a whole second, than one before it."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether rows may have been left out."""
        return self.is_relied_on and self.is_broken


@dataclass(eq=False)
class Look:
    """A request for the newest row at or before a moment alone: it tells of time without rows."""

    window: Window
    gate: Gate = field(default_factory=Gate)
    requests: int = 0
    found: int | None = None
    """The time of that row; None where there is none, or it is not known."""
    is_known: bool = False
    """Whether it has told what it was to tell."""
    is_over: bool = False
    is_ignored: bool = False

    def see(self, page: Page) -> None:
        """Take a page in; an empty one that has a next one tells nothing yet."""
        self.requests += 1
        self.found = page.span.newest
        self.is_known = page.next_cursor is None or page.span.newest is not None
        self.is_over = self.is_known or self.requests >= _LOOK
        if self.is_over:
            self.gate.open()

    def ignore(self) -> None:
        """Rows came that the bound excludes."""
        self.requests += 1
        self.is_ignored = True
        self.gate.open()


@dataclass(frozen=True)
class Rest:
    """What is older than a page of a window, and how it is to be read."""

    window: Window
    begin: int
    top: int
    pace: int
    spare: float = 0.0
    """Requests more than a walk's that a plan of its own may make; 0: it is cut at ``edges``."""
    edges: tuple[int, ...] = ()
    """Where windows end, oldest first, besides the last."""


@dataclass(eq=False)
class Part:
    """One window, and what has been read of it."""

    window: Window
    begin: int
    """Its lower bound, or where its data are taken to begin if it has none, Unix ms."""
    page_rows: int
    spare: float = 0.0
    """Requests more than a walk's that it may make, besides what its own pages are good for."""
    may_split: bool = True
    """Whether the list is sorted by the times that its bounds are about: what has not come of it
    is older then than what has."""
    order: Order = field(default_factory=Order)
    """What is known of the list's order."""
    cluster: float = 0.0
    """How many pages have lain close together in each of the windows before; 0 for not at all."""
    gate: Gate = field(default_factory=Gate)
    """Opens when it has been read."""
    begun: Gate = field(default_factory=Gate)
    """Opens when its first page has come."""
    begins_full: bool = False
    """Whether there were rows left after its first page."""
    is_ignored: bool = False
    """Whether rows came that its bounds exclude."""
    oldest: int | None = None
    newest: int | None = None

    def __post_init__(self) -> None:
        self.tally = Tally(self.page_rows)

    @property
    def is_clustered(self) -> bool:
        """Whether its rows lie close together in it."""
        if self.window.high is None or self.oldest is None or self.newest is None:
            return False
        return (self.newest - self.oldest) * 2 < self.window.high - self.begin

    def see(self, page: Page) -> Rest | None:
        """Take a page in; how what is older is to be read, if not along the cursor."""
        is_first = not self.tally.rows
        self.tally.see(page)
        rest = None
        if page.span.oldest is not None and page.span.newest is not None:
            # A list that does not fall may have anything on its next pages.
            is_later = self.oldest is not None and (
                times.second_of(page.span.newest) > times.second_of(self.oldest)
            )
            self.may_split = self.may_split and page.span.falls and not is_later
            if is_later or not (page.span.falls or page.span.nulls):
                self.order.is_broken = True
            self.oldest = min(page.span.oldest, self.oldest or page.span.oldest)
            self.newest = max(page.span.newest, self.newest or page.span.newest)
            if page.next_cursor is not None and self.may_split:
                rest = self._rest(page.span.oldest, page.span.newest, page.span.ties)
                if rest is not None:
                    self.order.is_relied_on = True
        if page.next_cursor is None:
            self.begun.open()
            self.gate.open()
        elif is_first and page.span.rows:
            self.begins_full = True
            self.begun.open()
        return rest

    def add(self, tally: Tally, *, is_ignored: bool) -> None:
        """What was left has been read."""
        self.tally.add(tally)
        self.is_ignored = self.is_ignored or is_ignored
        self.gate.open()

    def ignore(self) -> None:
        """Rows came that the bounds exclude."""
        self.tally.requests += 1
        self.is_ignored = True
        self.begun.open()
        self.gate.open()

    def _rest(self, oldest: int, newest: int, ties: int) -> Rest | None:
        # The cursor knows whole seconds: rows of one second may be many pages.
        if times.second_of(oldest) == times.second_of(newest):
            return None
        pace, worth = newest - oldest, self.tally.worth
        left = (oldest - self.begin) / pace
        again = ties / max(self.page_rows, 1)  # what comes once more below the page
        count = int(self.spare + MORE * worth - (1 + MORE) * again)
        ahead = self.cluster - worth
        if count < 2:
            return None
        if ahead >= 2 and left > 2 * ahead:
            count = min(count, round(ahead / 2))
            each = int(pace * ahead * 1.1 / count) + 1
            distances = [each * (index + 1) for index in range(count)]
        elif left <= FEW or (worth < _LONG and self.spare < 2):
            return None
        elif count >= _PLANNED:
            self.tally.worth -= again
            return Rest(Window(self.window.low, oldest), self.begin, oldest, pace, spare=count)
        elif left <= _EVEN:
            each = int(pace * left / (count + 1))
            distances = [each * (index + 1) for index in range(count)]
        else:
            distances = [FEW * _WIDER**index * pace for index in range(count)]
        self.tally.worth -= again
        return self._cut(oldest, pace, distances)

    def _cut(self, oldest: int, pace: int, distances: Iterable[int]) -> Rest:
        edges = {between(oldest - distance) for distance in distances}
        return Rest(
            Window(self.window.low, oldest),
            self.begin,
            oldest,
            pace,
            edges=tuple(sorted(edge for edge in edges if self.begin < edge < oldest)),
        )
