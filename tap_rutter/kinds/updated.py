"""Updated streams: rows bear the platform's clock, newest first, in no order one could ask for.

They are read in time windows, oldest first. No bookmark exceeds the connection's horizon: a row
can become visible long after the time that it bears (design section 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_rutter import times
from tap_rutter.ahead import Instead
from tap_rutter.facts import LONGEST_LAG
from tap_rutter.kinds.synced import read_from, without_context
from tap_rutter.pages import Page, decode_value
from tap_rutter.reading import End, Item, Pair, chain_of, inline
from tap_rutter.state import KEY, VALUE
from tap_rutter.windows import Window, cut, length_for

_WHOLE_EVERY = 7 * times.DAY
_WITHOUT_DATES = 3653 * times.DAY  # ten years: how far back windows begin when nothing tells
_TOLERANCE = times.SECOND  # platforms compare whole seconds
# Up to which moment of the platform's the last complete read knew the rows, where rows change
# without their time moving: what changed later is still to be read, however long ago that was.
_KNOWN_TO = "known_to"


@dataclass(frozen=True)
class WindowEnd:
    """A window has been read to its end."""

    high: int


@dataclass(frozen=True)
class Start:
    """How a pair is read: from where, and whether whole, without any bound."""

    low: int | None
    resumed: int | None
    whole: bool = False

    @property
    def is_full(self) -> bool:
        """Whether nothing of the pair is left out."""
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

    def start(self, pair: Pair) -> Start:
        """Where the pair begins.

        Rows without a time are hidden by any bound: a list that may hold them is read whole at
        first, at every run once it has shown one, and now and then otherwise.
        """
        resumed = None if pair.has_grown else pair.resumes((pair.before or {}).get(VALUE))
        low = pair.env.settings.start_ms
        if resumed is not None:
            low = max(resumed - pair.env.settings.lookback_ms, 0)
        if self._reads_whole(pair, resumed):
            return Start(low, resumed, whole=True)
        if self._low in self._again and low is not None:
            low = min(low, self._again_from(pair))
        return Start(low, resumed)

    @staticmethod
    def _again_from(pair: Pair) -> int:
        """From when on rows are read again that change without their time moving.

        Counted from the last read, not from now: a connection that was disabled meanwhile, not
        read, or not synced by Rutter, would otherwise keep what changed in that time.
        """
        cutoff, known = pair.env.cutoff, known_to(pair)
        if known is None:
            # States of earlier versions do not tell; a bookmark is never later than its read.
            known = pair.resumes((pair.before or {}).get(VALUE))
        return max(min(cutoff, cutoff if known is None else known) - pair.env.settings.payout_ms, 0)

    def _reads_whole(self, pair: Pair, resumed: int | None) -> bool:
        partition = pair.before or {}
        if partition.get("null_times"):
            return True
        if not pair.endpoint.time_may_be_null:
            return False
        if resumed is None:
            return True
        last = times.parse(partition.get("whole_read_at"))
        # One in the future was set under a wrong clock, and would hold for as long as it was wrong.
        return last is None or abs(pair.env.cutoff - last) >= _WHOLE_EVERY

    def read(self, pair: Pair) -> Iterator[Item]:
        """A probe; then the list as a whole where it is small, else window by window."""
        start = self.start(pair)
        if start.whole:
            yield from pair.pages(pair.params())
            yield End()
            return
        # Rows that changed without their time moving; a read without a bound has them all. They
        # come first: what the list itself shows of them after this is newer.
        for parameter in self._again if start.low is not None else ():
            if parameter != self._low:
                since = {parameter: str(self._again_from(pair))}
                yield from pair.pages({**pair.params(), **since}, chain="again")
        probe = self._pages(pair, Window(start.low, None))
        first = _first_with_rows(probe)
        pair.is_served = bool(first.raws)
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
            yield inline(pair, self._windows(pair, start, first))
            yield End()

    def _windows(self, pair: Pair, start: Start, probe: Page) -> list[Iterator[Item]]:
        cutoff, span = pair.env.cutoff, probe.span
        longest = pair.env.settings.window_ms
        begin = start.low
        if begin is None:
            oldest = pair.facts.history.oldest_ms
            begin = cutoff - _WITHOUT_DATES if oldest is None else min(oldest, cutoff)
        length = length_for(span.oldest or cutoff, span.newest or cutoff, longest)
        windows = cut(begin, cutoff, length, open_below=start.low is None)
        return [self._window(pair, window) for window in windows]

    def _window(self, pair: Pair, window: Window) -> Iterator[Item]:
        """One window's pages; where its bounds are ignored, one unbounded list instead of all."""
        for page in self._pages(pair, window):
            if not window.holds(page.span.oldest, page.span.newest, _TOLERANCE):
                yield Instead((chain_of(pair, pair.pages(pair.params())),))
                return
            yield page
        if window.high is not None:
            yield WindowEnd(window.high)

    def _pages(self, pair: Pair, window: Window) -> Iterator[Page]:
        params = pair.params()
        if window.low is not None:
            params[self._low] = str(window.low)
        if window.high is not None:
            params[self._high] = str(window.high)
        return pair.pages(params)

    def progress(self, pair: Pair) -> UpdatedProgress:
        """The bookkeeping of the pair's bookmark."""
        return UpdatedProgress(pair, self.start(pair), again=bool(self._again))


def _first_with_rows(pages: Iterator[Page]) -> Page:
    """The first page that tells something: an empty one may have a next page all the same."""
    page = next(pages)
    while page.next_cursor is not None and not page.raws:
        page = next(pages)
    return page


class UpdatedProgress:
    """A bookmark that follows finished windows and never passes the horizon."""

    def __init__(self, pair: Pair, start: Start, *, again: bool = False) -> None:
        """``again``: whether rows may change without their time moving."""
        self._pair = pair
        self._start = start
        self._again = again
        self._horizon = pair.facts.horizon(pair.env.cutoff)
        self._newest = start.resumed
        self._rows = 0
        self._nulls = False
        self._value: int | None = None
        self._complete = False
        self.full_read = start.is_full
        self.start_ms = None if start.whole else start.low

    def see(self, item: Item) -> None:
        """Take an item in, after its rows were delivered."""
        if isinstance(item, Page):
            if item.chain:
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
        self._value = self._reached(self._pair.env.cutoff)

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
        field = self._pair.endpoint.time_field or ""
        moments = (times.parse(decode_value(raw).get(field)) or 0 for raw in page.raws)
        return max((moment for moment in moments if moment <= page.received_ms), default=0)

    def partition(self) -> Mapping[str, Any] | None:
        """The partition's content."""
        given = None if self._pair.has_grown else without_context(self._pair.before)
        if self._value is None and not (self._complete and self._rows):
            return given and {**given, **self._known_to(given)}
        content: dict[str, Any] = {KEY: self._pair.endpoint.time_field}
        if self._value is not None:
            content[VALUE] = times.to_text(max(self._value, 0))
        elif self._start.resumed is not None and given and VALUE in given:
            content[VALUE] = given[VALUE]
        content |= self._null_facts(given or {}) | self._known_to(given or {})
        return content | read_from(self._pair, resumed=self._start.resumed is not None)

    def _known_to(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Up to when rows that change without their time moving are known."""
        if not (self._again and self._complete):
            return {_KNOWN_TO: given[_KNOWN_TO]} if given.get(_KNOWN_TO) else {}
        return {_KNOWN_TO: times.to_text(max(self._horizon, known_to(self._pair) or 0))}

    def _null_facts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the pair has rows without a time, and when it was last read whole."""
        facts = {name: given[name] for name in ("null_times", "whole_read_at") if given.get(name)}
        if self._nulls:
            facts["null_times"] = True
        if self._complete and self._start.whole and self._pair.endpoint.time_may_be_null:
            facts["whole_read_at"] = times.to_text(self._pair.env.cutoff)
        return facts


def known_to(pair: Pair) -> int | None:
    """Up to when a pair's changing rows are known, Unix ms; None where its partition does not tell.

    One in the future was set under a wrong clock.
    """
    known = times.parse((pair.before or {}).get(_KNOWN_TO))
    return None if known is None or known > pair.env.cutoff else known
