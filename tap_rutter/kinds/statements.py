"""Statements: one row per calendar month (UTC), asked for by whole months.

Past months can be restated, so each run reads the last ``statement_months`` again, and whatever no
complete run has delivered yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from tap_rutter import times
from tap_rutter.kinds.synced import without_context
from tap_rutter.pages import Page, decode_value
from tap_rutter.reading import End, Item, Pair, inline
from tap_rutter.state import KEY, VALUE

_FIRST_MONTHS = 24  # how far back a first read goes without a start date
_MONTHS_A_CALL = 12
_READ_FROM = "read_from"  # the partition's first month: an earlier start date reads from there


class Statements:
    """Monthly lists with a start and an end date, both always sent."""

    label = "statements"

    def first_month(self, pair: Pair) -> date:
        """The month that a read begins with."""
        settings = pair.env.settings
        this_month = times.month_start(pair.env.cutoff)
        resumed = self._resumed(pair)
        if resumed is not None:
            newest = times.month_start(resumed)
            # The newest month delivered was not over when it was read.
            again = max(settings.statement_months, 1)
            return min(shifted(newest, 1 - again), this_month)
        if settings.start_ms is not None:
            return min(times.month_start(settings.start_ms), this_month)
        return shifted(this_month, -_FIRST_MONTHS)

    @staticmethod
    def _resumed(pair: Pair) -> int | None:
        before, start = pair.before or {}, pair.env.settings.start_ms
        read_from = times.parse(before.get(_READ_FROM))
        if pair.has_grown or (start is not None and read_from is not None and start < read_from):
            return None
        return pair.resumes(before.get(VALUE))

    def read(self, pair: Pair) -> Iterator[Item]:
        """All months to the current one, at most a year a call, oldest first."""
        last = times.month_start(pair.env.cutoff)
        calls = []
        month = self.first_month(pair)
        while month <= last:
            until = min(shifted(month, _MONTHS_A_CALL - 1), last)
            calls.append(self._months(pair, month, until))
            month = shifted(until, 1)
        yield inline(pair, calls)
        yield End()

    def _months(self, pair: Pair, first: date, last: date) -> Iterator[Item]:
        end = shifted(last, 1) - timedelta(days=1)
        dates = {
            "start_date": f"{first.isoformat()}T00:00:00.000Z",
            "end_date": f"{end.isoformat()}T00:00:00.000Z",
        }
        yield from pair.pages({**pair.params(), **dates}, may_come_later=True)

    def progress(self, pair: Pair) -> StatementsProgress:
        """The bookkeeping of the pair's bookmark."""
        return StatementsProgress(pair, self.first_month(pair), self._resumed(pair))


class StatementsProgress:
    """A bookmark that is the newest month up to which no month is missing."""

    def __init__(self, pair: Pair, first: date, resumed: int | None) -> None:
        self._pair = pair
        self._resumed = resumed
        self._first = f"{first.isoformat()}T00:00:00.000Z"
        self._months: set[date] = set()
        self._complete = False
        self.full_read = False
        # Without a start date a first read is bounded all the same: rows below are not judged.
        self.start_ms = times.parse(first.isoformat())

    def see(self, item: Item) -> None:
        """Take an item in, after its rows were delivered."""
        if isinstance(item, Page):
            for raw in item.raws:
                moment = times.parse(decode_value(raw).get("start_date"))
                if moment is not None:
                    self._months.add(times.month_start(moment))

    def finish(self) -> None:
        """All months have been read."""
        self._complete = True

    def partition(self) -> Mapping[str, Any] | None:
        """The partition's content."""
        given = None if self._pair.has_grown else without_context(self._pair.before)
        if not self._complete or not self._months:
            return given
        month = min(self._months)
        while shifted(month, 1) in self._months:
            month = shifted(month, 1)
        if self._resumed is not None:
            month = max(month, times.month_start(self._resumed))
        return {
            KEY: self._pair.endpoint.time_field,
            VALUE: f"{month.isoformat()}T00:00:00.000Z",
            _READ_FROM: self._first if self._resumed is None else (given or {}).get(_READ_FROM),
        }


def shifted(month: date, by: int) -> date:
    """The first day of the month that lies ``by`` months from another."""
    index = month.year * 12 + month.month - 1 + by
    return date(index // 12, index % 12 + 1, 1)
