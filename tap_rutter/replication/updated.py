"""Updated streams: rows have a time of the platform's clock, and come newest first.

They cannot be asked for in another sort order, so they are read in time windows, oldest first. No
bookmark exceeds the connection's horizon, since a row can become visible long after its own time:
Rutter polls, and connections pause (docs/state.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_rutter import times
from tap_rutter.api.json_text import decode_value
from tap_rutter.api.pages import Page
from tap_rutter.connections.sync_status import LONGEST_LAG
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import End, Inline, Instead, Item, ListItem, WindowEnd
from tap_rutter.replication.run_context import REPLICATION_KEY, REPLICATION_KEY_VALUE
from tap_rutter.replication.synced import read_from, without_context
from tap_rutter.replication.windows import Window, cut, length_for

_WHOLE_EVERY = 7 * times.DAY
_WITHOUT_DATES = 3653 * times.DAY  # ten years: how far back windows begin when nothing tells
_TOLERANCE = times.SECOND  # platforms compare whole seconds
# Up to which moment of the platform's the last complete read knew the rows, where rows change
# without their time moving: what changed later is still to be read, however long ago that was.
_KNOWN_TO = "known_to"


@dataclass(frozen=True)
class Start:
    """How a partition is read: from where, and whether whole, without any bound."""

    low: int | None
    resumed: int | None
    whole: bool = False

    @property
    def is_full(self) -> bool:
        """Whether nothing of the partition is left out."""
        return self.whole or self.low is None


class Updated:
    """Lists on the platform's clock.

    Args:
        low: Query parameter of the lower bound; ``high`` that of the upper.
        again: Query parameters by each of which the trailing ``payout_days`` are read again, for a
            stream whose rows change without their time moving.
    """

    label = "updated"

    def __init__(
        self,
        *,
        low: str = "updated_at_min",
        high: str = "updated_at_max",
        again: tuple[str, ...] = (),
    ) -> None:
        self._low = low
        self._high = high
        self._again = again

    def start(self, partition: Partition) -> Start:
        """Where the partition begins.

        Rows without a time are hidden by any bound: a list that may hold them is read whole at
        first, at every run once it has shown one, and now and then otherwise.
        """
        resumed = (
            None
            if partition.has_grown
            else partition.resumes((partition.input_state or {}).get(REPLICATION_KEY_VALUE))
        )
        low = partition.run.settings.start_ms
        if resumed is not None:
            low = max(resumed - partition.run.settings.lookback_ms, 0)
        if self._reads_whole(partition, resumed):
            return Start(low, resumed, whole=True)
        if self._low in self._again and low is not None:
            low = min(low, self._again_from(partition))
        return Start(low, resumed)

    @staticmethod
    def _again_from(partition: Partition) -> int:
        """From when on rows are read again that change without their time moving.

        Counted from the last read, not from now: a connection that was disabled meanwhile, not
        read, or not synced by Rutter, would otherwise keep what changed in that time.
        """
        cutoff, known = partition.run.cutoff, known_to(partition)
        if known is None:
            # States of earlier versions do not tell; a bookmark is never later than its read.
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
        # One in the future was set under a wrong clock, and would hold for as long as it was wrong.
        return last is None or abs(partition.run.cutoff - last) >= _WHOLE_EVERY

    def read(self, partition: Partition) -> Iterator[Item]:
        """A probe; then the list as a whole where it is small, else window by window."""
        start = self.start(partition)
        if start.whole:
            yield from partition.pages(partition.params())
            yield End()
            return
        # Rows that changed without their time moving; a read without a bound has them all. They
        # come first: what the list itself shows of them after this is newer.
        for parameter in self._again if start.low is not None else ():
            if parameter != self._low:
                since = {parameter: str(self._again_from(partition))}
                yield from partition.pages({**partition.params(), **since}, list_name="again")
        probe = self._pages(partition, Window(start.low, None))
        first = _first_with_rows(probe)
        partition.is_served = bool(first.raws)
        if first.next_cursor is None:
            yield first
            yield End()
        elif first.span.nulls or not Window(start.low, None).holds(
            first.span.oldest, None, _TOLERANCE
        ):
            # Bounds are ignored, or would hide the rows without a time: one list, to its end.
            yield first
            yield from probe
            yield End()
        else:
            yield Inline(tuple(self._windows(partition, start, first)))
            yield End()

    def _windows(self, partition: Partition, start: Start, probe: Page) -> list[Iterator[Item]]:
        cutoff, span = partition.run.cutoff, probe.span
        longest = partition.run.settings.window_ms
        begin = start.low
        if begin is None:
            oldest = partition.sync_status.history.oldest_ms
            begin = cutoff - _WITHOUT_DATES if oldest is None else min(oldest, cutoff)
        length = length_for(span.oldest or cutoff, span.newest or cutoff, longest)
        windows = cut(begin, cutoff, length, open_below=start.low is None)
        return [self._window(partition, window) for window in windows]

    def _window(self, partition: Partition, window: Window) -> Iterator[Item]:
        """One window's pages; where its bounds are ignored, one unbounded list instead of all."""
        for page in self._pages(partition, window):
            if not window.holds(page.span.oldest, page.span.newest, _TOLERANCE):
                yield Instead((partition.pages(partition.params()),))
                return
            yield page
        if window.high is not None:
            yield WindowEnd(window.high)

    def _pages(self, partition: Partition, window: Window) -> Iterator[Page]:
        params = partition.params()
        if window.low is not None:
            params[self._low] = str(window.low)
        if window.high is not None:
            params[self._high] = str(window.high)
        return partition.pages(params)

    def progress(self, partition: Partition) -> UpdatedProgress:
        """The bookkeeping of the partition's bookmark."""
        return UpdatedProgress(partition, self.start(partition), again=bool(self._again))


def _first_with_rows(pages: Iterator[Page]) -> Page:
    """The first page that tells something: an empty one may have a next page all the same."""
    page = next(pages)
    while page.next_cursor is not None and not page.raws:
        page = next(pages)
    return page


class UpdatedProgress:
    """A bookmark that follows finished windows and never passes the horizon."""

    def __init__(self, partition: Partition, start: Start, *, again: bool = False) -> None:
        """``again``: whether rows may change without their time moving."""
        self._partition = partition
        self._start = start
        self._again = again
        self._horizon = partition.sync_status.horizon(partition.run.cutoff)
        self._newest = start.resumed
        self._rows = 0
        self._nulls = False
        self._value: int | None = None
        self._complete = False
        self.full_read = start.is_full
        self.start_ms = None if start.whole else start.low

    def see(self, item: ListItem) -> None:
        """Take an item in, after its rows were delivered."""
        if isinstance(item, Page):
            if item.list_name:
                return  # rows read once more say nothing of how far the list itself has been read
            self._rows += item.span.rows
            self._nulls = self._nulls or item.span.nulls
            if item.span.newest is not None:
                self._newest = max(self._newest or 0, self._newest_on(item))
        elif isinstance(item, WindowEnd):
            reached = self._reached(item.high)
            if reached is not None and reached > (self._start.resumed or -1):
                self._value = reached

    def finish(self) -> None:
        """The last window is complete: it sets the bookmark too."""
        self._complete = True
        self._value = self._reached(self._partition.run.cutoff)

    def _reached(self, end: int) -> int | None:
        """How far all rows can be taken to be known once those up to ``end`` have been delivered.

        Not beyond the newest of them, unless it is old: the rows that follow may be late. A run
        that breaks here claims no more than one that completes.
        """
        if not self._rows or self._newest is None:
            return None
        return min(end, self._horizon, max(self._newest, self._horizon - LONGEST_LAG))

    def _newest_on(self, page: Page) -> int:
        """The newest time on a page that had come by then; 0 where there is none.

        A row that bears a time to come says nothing of the rows that are late.
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
        """Up to when rows that change without their time moving are known."""
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
    """Up to when a partition's changing rows are known, Unix ms; None where its entry has none.

    One in the future was set under a wrong clock.
    """
    known = times.parse((partition.input_state or {}).get(_KNOWN_TO))
    return None if known is None or known > partition.run.cutoff else known
