"""A list that comes newest first, without a server: for tests of how it is read in windows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from tap_rutter import times
from tap_rutter.api.pages import Page, Span
from tap_rutter.connections.history import History
from tap_rutter.connections.sync_status import SyncStatus
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import Inline, ListItem, WaitFor
from tap_rutter.replication.updated import Updated

CUTOFF = 1_706_702_412_345
"""When the runs begin; not at a whole second."""


@dataclass(frozen=True)
class TimedPage(Page):
    """A page that tells the times of its rows."""

    moments: Sequence[int] = ()


@dataclass
class NewestFirst:
    """Rows by their times alone, and how the server pages them.

    ``range`` serves for a million rows at even distances.
    """

    stamps: Sequence[int]
    """Unix ms, oldest first."""
    most_rows: int = 500
    """Of a page, whatever is asked for."""
    empty_pages: bool = False
    """Whether an empty page with a cursor comes before each page."""
    by_second: bool = False
    """Whether a cursor finds the second only, so that rows come again, half a page at most."""
    is_sorted: bool = True
    """Whether the list is sorted by the times that its bounds are about."""
    key: str = "updated_at"
    """What the bounds are about."""
    ignores: frozenset[str] = frozenset()
    """Bounds that the server takes no notice of."""
    requests: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)

    def pages(self, params: Mapping[str, str]) -> Iterator[Page]:
        """The pages of a request with these parameters, counted."""
        size = min(int(params["limit"]), self.most_rows)
        low = self._bound(params, f"{self.key}_min")
        high = self._bound(params, f"{self.key}_max")
        start = 0 if low is None else bisect_left(self.stamps, low)
        stop = len(self.stamps) if high is None else bisect_right(self.stamps, high)
        if not self.is_sorted:
            yield from self._mixed(params, self.stamps[start:stop], size)
            return
        while True:
            if self.empty_pages and stop > start:
                yield self._page(params, (), more=True)
            rows = self.stamps[max(start, stop - size) : stop]
            stop -= len(rows)
            yield self._page(params, rows, more=stop > start)
            if stop <= start:
                return
            if self.by_second:
                second = times.second_of(self.stamps[stop - 1]) * times.SECOND
                end = bisect_right(self.stamps, second + times.SECOND - 1)
                stop += min(end - stop, len(rows) // 2)

    def _mixed(self, params: Mapping[str, str], stamps: Sequence[int], size: int) -> Iterator[Page]:
        rows = sorted(stamps, key=lambda moment: moment * 7_919 % 1_000_003)
        for at in range(0, max(len(rows), 1), size):
            yield self._page(params, rows[at : at + size], more=at + size < len(rows))

    def walk(self, page_size: int = 500) -> int:
        """How many requests it takes to follow the cursor from the newest row to the oldest."""
        before = self.requests
        pages = sum(1 for _ in self.pages({"limit": str(page_size)}))
        self.requests = before
        self.asked.clear()
        return pages

    def _bound(self, params: Mapping[str, str], name: str) -> int | None:
        return int(params[name]) if name in params and name not in self.ignores else None

    def _page(self, params: Mapping[str, str], rows: Sequence[int], *, more: bool) -> Page:
        self.requests += 1
        self.asked.append(dict(params))
        span = Span()
        if rows:
            oldest, newest = rows[0], rows[-1]
            ties, falls = bisect_right(rows, rows[0]), True
            if not self.is_sorted:
                oldest, newest = min(rows), max(rows)
                ties, falls = rows.count(oldest), list(rows) == sorted(rows, reverse=True)
            span = Span(rows=len(rows), oldest=oldest, newest=newest, falls=falls, ties=ties)
        raws: Sequence[bytes] = (b"{}",) * len(rows)
        if rows and newest > CUTOFF:  # then they are looked at one by one
            raws = [b'{"%b": "%b"}' % (self.key.encode(), times.to_text(moment).encode())
                    for moment in rows]  # fmt: skip
        return TimedPage(raws, "next" if more else None, CUTOFF, 100, span, moments=rows)


@dataclass
class Asked:
    """What a partition is asked with, as ``Updated`` sees it."""

    rows: NewestFirst
    history: History = field(default_factory=History)
    start_ms: int | None = None
    resumed: int | None = None
    window_ms: int = 30 * times.DAY
    page_size: int = 500

    def partition(self) -> Partition:
        """A stand-in for the partition."""
        settings = SimpleNamespace(
            start_ms=self.start_ms,
            lookback_ms=times.DAY,
            payout_ms=0,
            window_ms=self.window_ms,
        )
        stand_in = SimpleNamespace(
            since=None,
            start_by=None,
            run=SimpleNamespace(settings=settings, cutoff=CUTOFF),
            endpoint=SimpleNamespace(
                rutter_object="order",
                replication_key=self.rows.key,
                replication_key_may_be_null=False,
            ),
            has_grown=False,
            input_state=None,
            is_served=False,
            sync_status=SyncStatus(
                history=self.history, sync_started_ms=CUTOFF, sync_completed_ms=CUTOFF
            ),
            resumes=lambda _value: self.resumed,
            params=lambda: {"limit": str(self.page_size)},
            pages=self.rows.pages,
        )
        return cast("Partition", stand_in)

    @property
    def replication(self) -> Updated:
        """How the partition is read."""
        return Updated(low=f"{self.rows.key}_min", high=f"{self.rows.key}_max")

    def read(self) -> Iterator[ListItem]:
        """All items in plan order, as one worker brings them."""
        return in_order(self.replication.read(self.partition()))


def in_order(items: Iterator[Any]) -> Iterator[ListItem]:
    """What an emitter gets of a reader; a gate must be open once all before it has been taken."""
    for item in items:
        if isinstance(item, Inline):
            for reading in item.readings:
                yield from in_order(reading)
        elif isinstance(item, WaitFor):
            assert item.gate.is_open, "waits for what comes later in the plan"
        else:
            yield item
