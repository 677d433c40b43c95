"""Updated streams: rows have a time by the platform's clock, and come newest first.

They cannot be asked for in another sort order, so long lists are read in time windows, oldest
first, as ``spread.py`` plans them. No bookmark exceeds the connection's horizon, since a row can
become visible long after its own time: Rutter polls, and connections pause (docs/state.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from tap_rutter import times
from tap_rutter.api.json_text import decode_value
from tap_rutter.api.pages import Page
from tap_rutter.connections.sync_status import LONGEST_LAG
from tap_rutter.replication.base import Partition
from tap_rutter.replication.gates import Gate
from tap_rutter.replication.items import (
    BoundsIgnored,
    End,
    Inline,
    Item,
    ListItem,
    OrderBroken,
    WaitFor,
    WindowEnd,
)
from tap_rutter.replication.parts import Look, Part
from tap_rutter.replication.run_context import REPLICATION_KEY, REPLICATION_KEY_VALUE
from tap_rutter.replication.spread import Spread
from tap_rutter.replication.synced import read_from, without_context
from tap_rutter.replication.told import started_by
from tap_rutter.replication.windows import Window

_WHOLE_EVERY = 7 * times.DAY
_WITHOUT_DATES = (
    3653 * times.DAY
)  # ten years: where windows begin if nothing says how old the data are
_TOLERANCE = times.SECOND  # platforms compare whole seconds
# For streams whose rows change without a change of their time: up to when (by the platform's clock)
# the last complete read knew all changes. Later changes are still to be read, however old they are.
_KNOWN_TO = "known_to"


@dataclass(frozen=True)
class Start:
    """How a partition is read: from which time on, or whole, without any bound."""

    low: int | None
    resumed: int | None
    whole: bool = False

    @property
    def is_full(self) -> bool:
        """Whether the partition is read without a lower bound."""
        return self.whole or self.low is None


class Updated:
    """Lists on the platform's clock.

    Args:
        low: Query parameter of the lower bound; ``high`` that of the upper.
        again: For a stream whose rows change without a change of their time: query parameters. By
            each of them, the last ``payout_days`` are read again.
        is_sorted: Whether the rows come newest first by the time that the bounds are about.
    """

    label = "updated"

    def __init__(
        self,
        *,
        low: str = "updated_at_min",
        high: str = "updated_at_max",
        again: tuple[str, ...] = (),
        is_sorted: bool = True,
    ) -> None:
        self._low = low
        self._high = high
        self._again = again
        self._is_sorted = is_sorted

    @property
    def reads_since(self) -> bool:
        """Not where rows change without their time moving: a bound would hide what has changed."""
        return not self._again

    def start(self, partition: Partition) -> Start:
        """Where the partition begins.

        Any bound hides rows without a time. So a list that may hold such rows is read whole at
        first, and from time to time. Once it has shown one, it is read whole at every run.
        """
        resumed = (
            None
            if partition.has_grown
            else partition.resumes((partition.input_state or {}).get(REPLICATION_KEY_VALUE))
        )
        if partition.since is not None:
            return Start(partition.since, resumed)
        low = partition.run.settings.start_ms
        if resumed is not None:
            low = started_by(partition, max(resumed - partition.run.settings.lookback_ms, 0))
        if self._reads_whole(partition, resumed):
            return Start(low, resumed, whole=True)
        if self._low in self._again and low is not None:
            low = min(low, self._again_from(partition))
        return Start(low, resumed)

    @staticmethod
    def _again_from(partition: Partition) -> int:
        """From which time on rows are read again that change without a change of their time.

        It is counted back from the last read, not from now. Otherwise the changes would be lost
        that were made while the connection was disabled, was not read, or was not synced by Rutter.
        """
        cutoff, known = partition.run.cutoff, known_to(partition)
        if known is None:
            # States of earlier versions lack it. The bookmark is never later than the read that set
            # it.
            known = partition.resumes((partition.input_state or {}).get(REPLICATION_KEY_VALUE))
        return max(
            min(cutoff, cutoff if known is None else known) - partition.run.settings.payout_ms, 0
        )

    def _reads_whole(self, partition: Partition, resumed: int | None) -> bool:
        state = partition.input_state or {}
        if state.get("null_times"):
            return True
        if not partition.endpoint.replication_key_may_be_null:
            return False
        if resumed is None:
            return True
        last = times.parse(state.get("whole_read_at"))
        # A time in the future was set by a wrong clock, and would suppress reads until then.
        return last is None or abs(partition.run.cutoff - last) >= _WHOLE_EVERY

    def read(self, partition: Partition) -> Iterator[Item]:
        """A probe; then the list as a whole where it is short, else window by window."""
        start = self.start(partition)
        if start.whole:
            yield from partition.pages(partition.params())
            yield End()
            return
        # Rows that changed without a change of their time; a read without a bound has them anyway.
        # They are read first, so that what the list itself shows of them afterwards is newer.
        for parameter in self._again if start.low is not None else ():
            if parameter != self._low:
                since = {parameter: str(self._again_from(partition))}
                yield from partition.pages({**partition.params(), **since}, list_name="again")
        pages = self._pages(partition, Window(start.low, None))
        asked, probe = _first_with_rows(pages)
        partition.is_served = bool(probe.raws)
        if probe.next_cursor is None:
            yield probe
        elif probe.span.nulls or not Window(start.low, None).holds(
            probe.span.oldest, None, _TOLERANCE
        ):
            # Bounds are ignored, or would hide the rows without a time: one list, to its end.
            yield probe
            yield from pages
        else:
            yield from self._spread(partition, start, probe, asked, pages)
        yield End()

    def _spread(
        self, partition: Partition, start: Start, probe: Page, asked: int, pages: Iterator[Page]
    ) -> Iterator[Item]:
        """A list of more than a page: along its cursor where it is short, else in windows."""
        cutoff = partition.run.cutoff
        history = partition.sync_status.history
        oldest = history.oldest_of(partition.endpoint.rutter_object)
        begin = history.oldest_ms if oldest is None else oldest
        if begin is None:
            begin = cutoff - _WITHOUT_DATES
        if start.low is not None:
            begin = max(begin, start.low)
        spread = Spread(
            Window(start.low, None),
            begin=begin,
            top=cutoff,
            pace=cutoff - (cutoff if probe.span.oldest is None else probe.span.oldest),
            page_rows=probe.span.rows,
            longest=partition.run.settings.window_ms,
            asked=asked,
            may_look=True,
            is_begin_known=oldest is not None or start.resumed is not None,
            is_sorted=self._is_sorted,
        )
        if spread.is_short:
            part = spread.whole()
            yield from self._part(partition, part, itertools.chain([probe], pages))
            spread.is_ignored = part.is_ignored
        else:
            yield from self._windows(partition, spread)
        if spread.is_ignored:
            yield BoundsIgnored()
            yield Inline((partition.pages(partition.params()),))
        elif spread.order.is_in_doubt:
            yield OrderBroken()
            yield Inline((self._pages(partition, Window(start.low, None)),))

    def _windows(self, partition: Partition, spread: Spread) -> Iterator[Item]:
        """What a range is spread over; each window waits for those that it depends on."""
        for step in spread.steps():
            match step:
                case Gate():
                    yield WaitFor(step)
                case Look():
                    yield Inline((self._look(partition, step),))
                case Part():
                    yield Inline((self._part(partition, step),))
                case _:
                    assert_never(step)

    def _part(
        self, partition: Partition, part: Part, pages: Iterator[Page] | None = None
    ) -> Iterator[Item]:
        """One window's pages, or those given; what proves to be long yet is spread in turn."""
        along = pages if pages is not None else self._pages(partition, part.window)
        for page in along:
            if not part.window.holds(page.span.oldest, page.span.newest, _TOLERANCE):
                yield BoundsIgnored()
                if pages is None:
                    part.ignore()
                else:  # it is the whole list that is being followed
                    yield page
                    yield from pages
                return
            rest = part.see(page)
            yield page
            if rest is not None:
                spread = Spread.of(rest, part, partition.run.settings.window_ms)
                yield from self._windows(partition, spread)
                part.add(spread.tally, is_ignored=spread.is_ignored)
                break
        if part.window.high is not None and not part.is_ignored:
            yield WindowEnd(part.window.high)

    def _look(self, partition: Partition, look: Look) -> Iterator[Item]:
        for page in self._pages(partition, look.window, limit=1):
            if not look.window.holds(page.span.newest, page.span.newest, _TOLERANCE):
                look.ignore()
                return
            look.see(page)
            if look.is_over:
                return
        yield from ()

    def _pages(
        self, partition: Partition, window: Window, *, limit: int | None = None
    ) -> Iterator[Page]:
        params = partition.params()
        if limit is not None and "limit" in params:
            params["limit"] = str(limit)
        if window.low is not None:
            params[self._low] = str(window.low)
        if window.high is not None:
            params[self._high] = str(window.high)
        return partition.pages(params)

    def progress(self, partition: Partition) -> UpdatedProgress:
        """The bookkeeping of the partition's bookmark."""
        return UpdatedProgress(partition, self.start(partition), again=bool(self._again))


def _first_with_rows(pages: Iterator[Page]) -> tuple[int, Page]:
    """The first page that tells something, and how many requests it took.

    An empty page may have a next one all the same.
    """
    for asked, page in enumerate(pages, 1):
        if page.next_cursor is None or page.raws:
            return asked, page
    raise AssertionError("a list has a page")


class UpdatedProgress:
    """A bookmark that follows finished windows and never passes the horizon."""

    def __init__(self, partition: Partition, start: Start, *, again: bool = False) -> None:
        """``again``: whether rows may change without a change of their time."""
        self._partition = partition
        self._start = start
        self._again = again
        self._horizon = partition.sync_status.horizon(partition.run.cutoff)
        self._newest = start.resumed
        self._rows = 0
        self._nulls = False
        self._value: int | None = None
        self._complete = False
        self._is_frozen = False
        self.full_read = start.is_full
        self.start_ms = None if start.whole else start.low

    def see(self, item: ListItem) -> None:
        """Take an item in, after its rows were delivered."""
        if isinstance(item, Page):
            if item.list_name:
                return  # rows that are read again do not say how far the list itself was read
            self._rows += item.span.rows
            self._nulls = self._nulls or item.span.nulls
            if item.span.newest is not None:
                self._newest = max(self._newest or 0, self._newest_on(item))
        elif isinstance(item, BoundsIgnored):
            self._is_frozen = True
        elif isinstance(item, OrderBroken):
            self._is_frozen, self._value = True, None
        elif isinstance(item, WindowEnd) and not self._is_frozen:
            reached = self._reached(item.high)
            if reached is not None and reached > (self._start.resumed or -1):
                self._value = reached

    def finish(self) -> None:
        """The last window is complete: it sets the bookmark too."""
        self._complete = True
        self._value = self._reached(self._partition.run.cutoff)

    def _reached(self, end: int) -> int | None:
        """Up to when all rows can be taken to be known, once those up to ``end`` were delivered.

        Not later than the newest row, unless that row is old: the next rows may be late. So a run
        that breaks off here claims no more than a run that completes.
        """
        if not self._rows or self._newest is None:
            return None
        return min(end, self._horizon, max(self._newest, self._horizon - LONGEST_LAG))

    def _newest_on(self, page: Page) -> int:
        """The newest time on a page that was not in the future when it came; 0 if there is none.

        A row with a time in the future says nothing about rows that are late.
        """
        newest = page.span.newest or 0
        if newest <= page.received_ms:
            return newest
        field = self._partition.endpoint.replication_key or ""
        moments = (times.parse(decode_value(raw).get(field)) or 0 for raw in page.raws)
        return max((moment for moment in moments if moment <= page.received_ms), default=0)

    def partition_state(self) -> Mapping[str, Any] | None:
        """The partition's content."""
        given = None if self._partition.has_grown else without_context(self._partition.input_state)
        if self._value is None and not (self._complete and self._rows):
            return given and {**given, **self._known_to(given)}
        content: dict[str, Any] = {REPLICATION_KEY: self._partition.endpoint.replication_key}
        if self._value is not None:
            content[REPLICATION_KEY_VALUE] = times.to_text(max(self._value, 0))
        elif self._start.resumed is not None and given and REPLICATION_KEY_VALUE in given:
            content[REPLICATION_KEY_VALUE] = given[REPLICATION_KEY_VALUE]
        content |= self._null_facts(given or {}) | self._known_to(given or {})
        return content | read_from(self._partition, resumed=self._start.resumed is not None)

    def _known_to(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The entry ``known_to``, for rows that change without a change of their time."""
        if not (self._again and self._complete):
            return {_KNOWN_TO: given[_KNOWN_TO]} if given.get(_KNOWN_TO) else {}
        return {_KNOWN_TO: times.to_text(max(self._horizon, known_to(self._partition) or 0))}

    def _null_facts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the partition has rows without a time, and when it was last read whole."""
        sync_status = {
            name: given[name] for name in ("null_times", "whole_read_at") if given.get(name)
        }
        if self._nulls:
            sync_status["null_times"] = True
        if (
            self._complete
            and self._start.whole
            and self._partition.endpoint.replication_key_may_be_null
        ):
            sync_status["whole_read_at"] = times.to_text(self._partition.run.cutoff)
        return sync_status


def known_to(partition: Partition) -> int | None:
    """Up to when a partition's changing rows are known, Unix ms; None if its entry does not say.

    A time in the future was set by a wrong clock, and does not count.
    """
    known = times.parse((partition.input_state or {}).get(_KNOWN_TO))
    return None if known is None or known > partition.run.cutoff else known
