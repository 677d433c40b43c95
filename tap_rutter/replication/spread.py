"""How a long list that comes newest first is spread over windows, which are read several at once.

Pure: it makes no request. What it decides follows from what the windows brought that come first in
the plan, and never from which of them was read first.

The law is a bound on requests: 1.5 times those of a walk along the cursor, plus 24, whatever the
shape of the data. What a walk makes at least is known of every window that has been read: its
worth (``parts.py``). A window more is made only where the bound holds though it brings nothing;
where it would not, the rest of the range is one window.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from tap_rutter import times
from tap_rutter.replication.gates import Gate
from tap_rutter.replication.parts import FEW, Look, Order, Part, Rest, Tally, between
from tap_rutter.replication.windows import Window

SPARE = 23.0
"""Requests more than a walk's that may be made in any case, of the 24; one is for rounding."""
_AIM = 3.7
"""Pages of a window: most end within the fourth."""
_LEAST = 1.5
"""Pages of a window that is to be longer than a user wants; with less, half would be wasted."""
_TRIED, _FIRST, _MOST = 4, 12, 32
"""Windows under way: before one has shown rows, then, and where many pages are known."""
_MOST_PAGES = 64
"""Pages that the windows under way may bring: what is read ahead is bounded all the same."""
_LANDING = 6
"""Requests that are kept for the window in which all the rest is read, if it comes to that."""
_RECENT, _LATEST = 8, 3
"""Windows by which the length of the next one is judged: the denser of both."""
_GROWTH = 3
"""How many times longer than the time without rows a window that passes over it is."""
_FAR = 64
"""Pages, by the first one: so long a range is looked into."""
_LOOKS, _SEARCHES = 5, 2
"""Looks at first; and how often three more are taken to find where the data begin."""
_CLUSTER = 4.5
"""Pages that lie close together, so that the next ones like them are read several at once."""
_NOTHING, _SOME = 0.1, 0.5
"""Pages: a window with less is as good as empty; one with more shows what is to be expected."""
_APART = 2.0
"""How far apart clusters of rows are, by the time without rows before a moment between two."""
_SHOWING = 3
"""Looks that show a time without rows, so that rows are taken to lie in clusters."""
_NEVER = -(1 << 62)


class Spread:
    """Spreads a range over windows, oldest first, as answers come in."""

    def __init__(
        self,
        window: Window,
        *,
        begin: int,
        top: int,
        pace: int,
        page_rows: int,
        longest: int,
        spare: float = SPARE,
        asked: int = 0,
        may_look: bool = False,
        is_begin_known: bool = True,
        is_sorted: bool = True,
    ) -> None:
        """Spread a range.

        Args:
            window: The range.
            begin: Its lower bound; where its data are taken to begin if it has none; Unix ms.
            top: Its upper bound; the cutoff if it has none, Unix ms. The last window is open above
                then: a row stamped in the future, or during the run, is still read.
            pace: How much time a page spans, judged by what has come, ms.
            page_rows: Rows of a full page.
            longest: How long a window is at most where it holds rows, ms; longer only where the
                bound on requests would not hold.
            spare: Requests more than a walk's that may be made, besides what windows add to it.
            asked: Requests that it took to see a first page, which is read once more.
            may_look: Whether the range may be looked into.
            is_begin_known: Whether Rutter, or a bookmark, says where the data begin.
            is_sorted: Whether the list is sorted by the times that the bounds are about.
        """
        self._window = window
        self._top = top
        self._edge = min(begin, top)
        self._pace = max(pace, times.SECOND // 4)
        self._page_rows = page_rows
        self._longest = longest
        self._spare = spare
        self._cost = max(asked, 1)  # requests of a window that brings nothing
        self._may_look = may_look
        self._is_begin_known = is_begin_known
        self._is_sorted = is_sorted
        self.order = Order()
        self._edges: tuple[int, ...] = ()
        self._under_way: deque[Part] = deque()
        self._recent: deque[Part] = deque(maxlen=_RECENT)
        self._looking: list[Look] = []  # of which nothing is known yet
        self._gaps: list[tuple[int, int]] = []  # times without rows, as looks have told
        self._empty = 0  # time without rows that the last windows have shown, ms
        self._until = 0  # up to when it is not known where the data begin, Unix ms
        self._is_sure = False  # whether a window has shown that rows are where they are expected
        self.tally = Tally(page_rows)
        self.tally.requests = asked
        self.is_ignored = False
        """Whether bounds are ignored: what has been read is not all."""

    @classmethod
    def of(cls, rest: Rest, part: Part, longest: int) -> Spread:
        """How what is left of a part is read."""
        spread = cls(
            rest.window,
            begin=rest.begin,
            top=rest.top,
            pace=rest.pace,
            page_rows=part.page_rows,
            longest=longest,
            spare=rest.spare,
        )
        spread.order = part.order
        spread._edges = rest.edges
        return spread

    @property
    def is_short(self) -> bool:
        """Whether the range is so short that its list is followed along its cursor."""
        return self._top - self._edge <= FEW * self._pace

    def whole(self) -> Part:
        """The whole range as one part."""
        part = Part(self._window, self._edge, self._page_rows, may_split=self._is_sorted)
        part.order = self.order
        return part

    def steps(self) -> Iterator[Part | Look | Gate]:
        """What to begin now, and gates to wait for before the next step is asked for."""
        if self._spare:
            yield from self._plan()
        else:
            yield from self._cut(self._window.low, self._edge, self._edges, 0)
        while self._under_way:
            yield from self._learn()

    # ---- windows

    def _plan(self) -> Iterator[Part | Look | Gate]:
        low, waited = self._window.low, None
        self._looking = [*self._check(), *self._first_looks()]
        yield from self._looking
        if not self._is_begin_known:
            yield from self._search()
        elif len(self._looking) > 1:
            yield from self._take_in()
        while not self.is_ignored:
            if len(self._under_way) >= self._at_once:
                part = self._under_way[0]
                if self._is_sure or part is waited:
                    yield from self._learn()
                else:
                    waited = part
                    yield from self._take_in(1 if self._may_look else 0)
                    yield part.begun
                    self._is_sure = part.begins_full
                continue
            if self._looking and self._empty:
                yield from self._search()
            begin = self._skip(self._edge)
            if self._empty and not self._is_sure and begin >= self._until:
                yield from self._narrow(low)
                break
            length, is_long = self._length(begin)
            is_last = self._top - begin <= 1.3 * length
            if not is_last and not self._affords(2 + self._kept):
                if self._under_way:
                    yield from self._learn()
                    continue
                is_last = True
            self._edge = between(self._skip(begin + length))
            high = self._window.high if is_last else self._edge
            spare = self._spare_for(is_long=is_long, is_last=is_last)
            yield self._begin(Window(low, high), begin, spare)
            low = high
            if is_last:
                break
        yield from self._take_in()

    def _narrow(self, low: int | None) -> Iterator[Part | Gate]:
        """Windows that grow into the past: little is where rows begin, so most are at the end."""
        while self._under_way:
            yield from self._learn()
        begin = self._skip(self._edge)
        near = FEW // 2 * self._pace
        ratio = max((self._top - begin) / near, 1.0)
        budget = int(self._spare - self.tally.debt) // self._cost - 1
        count = max(0, min(budget, math.ceil(math.log(ratio, _GROWTH))))
        moments = [self._top - int(near * ratio ** (k / (count + 1))) for k in range(count)]
        edges = sorted({between(self._skip(moment)) for moment in moments})
        edges = [edge for edge in edges if begin < edge < self._top]
        yield from self._cut(low, begin, tuple(edges), budget - len(edges))

    def _cut(
        self, low: int | None, begin: int, edges: tuple[int, ...], spare: int
    ) -> Iterator[Part]:
        """Windows that end at these edges, all at once; what there is to spare is shared out."""
        bounds = [low, *edges, self._window.high]
        for index, (least, most) in enumerate(pairwise(bounds)):
            share = max(spare, 0) // (len(edges) + 1 - index)
            spare -= share
            start = begin if index == 0 or least is None else least
            yield self._begin(Window(least, most), start, float(share))

    def _begin(self, window: Window, begin: int, spare: float) -> Part:
        part = Part(
            window,
            begin,
            self._page_rows,
            spare=spare,
            may_split=self._is_sorted,
            order=self.order,
            cluster=self._cluster,
        )
        self._under_way.append(part)
        return part

    def _learn(self) -> Iterator[Gate]:
        """Wait for the oldest window under way, and learn of it."""
        yield self._under_way[0].gate
        part = self._under_way.popleft()
        self.tally.add(part.tally)
        self.is_ignored = self.is_ignored or part.is_ignored
        self._recent.append(part)
        self._is_sure = self._is_sure or part.tally.worth >= _SOME
        end = self._top if part.window.high is None else part.window.high
        # That there was nothing before rows were to begin tells nothing of what comes after.
        if part.tally.worth < _NOTHING and end > self._until + self._pace:
            self._empty += self._length_of(part)
        else:
            self._empty = 0

    def _length_of(self, part: Part) -> int:
        high = self._top if part.window.high is None else part.window.high
        return max(high - part.begin, 1)

    # ---- how many, how long

    @property
    def _at_once(self) -> int:
        tried = _TRIED if self._spare >= SPARE else int(self._spare) // 2
        first = _FIRST if self._is_sure and not self._passes else tried
        pages = [min(part.tally.requests, FEW) for part in self._recent]
        each = max(sum(pages) / len(pages), 1) if pages else 1
        most = min(_MOST, first + self.tally.worth / 4, _MOST_PAGES / each)
        return max(2, int(most))

    def _affords(self, more: float) -> bool:
        """Whether so many windows more may be made, though all under way bring nothing."""
        reserved = sum(self._cost + part.spare for part in self._under_way)
        reserved += len(self._looking) * self._cost
        return self.tally.debt + reserved + more * self._cost <= self._spare

    @property
    def _kept(self) -> int:
        return _LANDING if self._spare >= SPARE and self.tally.worth < FEW else 1

    def _spare_for(self, *, is_long: bool, is_last: bool) -> float:
        """What a window may ask more than a walk, where that is likely to be of use."""
        if is_last:
            wanted, left = _LANDING, 1
        elif is_long or self._cluster:
            wanted, left = 3, 2 + _LANDING
        else:
            return 0.0
        while wanted and not self._affords(left + wanted):
            wanted -= 1
        return float(wanted)

    @property
    def _pace_now(self) -> float:
        """Milliseconds a page, as far as windows have told."""
        paces = []
        for count in (_RECENT, _LATEST):
            parts = list(self._recent)[-count:]
            worth = sum(part.tally.worth for part in parts)
            if worth >= 1:
                paces.append(sum(map(self._length_of, parts)) / worth)
        return min(paces, default=self._pace)

    @property
    def _cluster(self) -> float:
        """How many pages lie close together in each of the windows that have any, if they do."""
        parts = [part for part in self._recent if part.tally.worth >= _NOTHING]
        if not parts or not all(part.is_clustered for part in parts):
            return 0.0
        usual = sum(part.tally.worth for part in parts) / len(parts)
        return usual if usual >= _CLUSTER else 0.0

    def _length(self, begin: int) -> tuple[int, bool]:
        """How long the next window is, and whether much may lie in it unseen."""
        pace = self._pace_now
        length = int(max(min(_AIM * pace, self._longest), _LEAST * pace, times.SECOND))
        if begin < self._until:
            return max(length, self._until + 1 - begin), self._until - begin > length
        if self._passes:
            return max(length, _GROWTH * self._empty), True
        distance = min(int(self._distance), self._longest)
        return max(distance, length), distance > length

    @property
    def _distance(self) -> float:
        """How far apart clusters of rows lie, ms; 0 if looks do not show that they lie in clusters.

        A page from within a cluster tells too short a pace: windows by that would be empty.
        """
        gaps = sorted(newest - oldest for oldest, newest in self._gaps if oldest != _NEVER)
        longest = gaps[-_SHOWING:]
        if len(longest) < _SHOWING or longest[0] <= _AIM * self._pace:
            return 0.0
        return _APART * sum(longest) / _SHOWING

    @property
    def _passes(self) -> bool:
        """Whether windows have shown no rows for so long that longer ones are tried."""
        if not self._empty:
            return False
        usual = max(_AIM * self._pace_now, self._distance)
        return self.tally.worth < 1 or self._empty > 2 * usual

    # ---- looking into a long range

    def _check(self) -> list[Look]:
        """Whether lower bounds are heeded: windows would find out only once they are at theirs."""
        return [Look(Window(self._top, None))] if self._may_look else []

    def _first_looks(self) -> list[Look]:
        """At distances from the newest page that grow by the same factor, back to the beginning."""
        span = self._top - self._edge
        # Where empty pages come between, a look costs several requests, of the few to spare.
        if not self._may_look or self._cost > 1 or span <= _FAR * self._pace:
            return []
        ratio = (span / self._pace) ** (1 / (_LOOKS + 1))
        moments = [self._top - int(self._pace * ratio**k) for k in range(_LOOKS, 0, -1)]
        return [Look(Window(self._window.low, moment)) for moment in moments]

    def _search(self) -> Iterator[Look | Gate]:
        """Find where rows begin: between a moment without older ones and one that has some."""
        if not any(look.window.high for look in self._looking):
            return
        yield from self._take_in()
        for _ in range(_SEARCHES):
            begin, until = self._bracket()
            if until - begin <= FEW * self._pace or not self._affords(5):
                break
            step = (until - begin) // 4
            moments = [begin + step * index for index in (1, 2, 3)]
            self._looking = [Look(Window(self._window.low, moment)) for moment in moments]
            yield from self._looking
            yield from self._take_in()
        self._until = self._bracket()[1]

    def _bracket(self) -> tuple[int, int]:
        """Between which moments the rows begin that come next, as far as looks have told.

        Where rows have been read, and no look tells of a gap after them, they go on at once.
        """
        begin = self._skip(self._edge)
        if begin == self._edge and self.tally.rows:
            return begin, begin
        found = [oldest for oldest, _ in self._gaps if oldest > begin]
        return begin, min(found, default=max(begin, self._top - self._pace))

    def _take_in(self, count: int | None = None) -> Iterator[Gate]:
        """Learn of the first looks, or of all."""
        count = len(self._looking) if count is None else count
        looks, self._looking = self._looking[:count], self._looking[count:]
        for look in looks:
            yield look.gate
            self.tally.requests += look.requests
            self.is_ignored = self.is_ignored or look.is_ignored
            if look.window.high is not None and look.is_known:
                oldest = _NEVER if look.found is None else look.found
                self._gaps.append((oldest, look.window.high))

    def _skip(self, moment: int) -> int:
        """The same moment, or the end of the time without rows that it lies in.

        No row is lost by it: the window goes from where the one before it ends, and is only longer.
        """
        for oldest, newest in sorted(self._gaps):
            if oldest < moment < newest:
                moment = newest
        return moment
