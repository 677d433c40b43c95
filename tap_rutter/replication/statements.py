"""Statements: one row per calendar month (UTC), requested by whole months.

Past months can be restated, so each run reads the last ``statement_months`` again, and all months
that no complete run has delivered yet. A first read without a start date goes back year by year as
long as there are rows.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from tap_rutter import times
from tap_rutter.api.json_text import decode_value
from tap_rutter.api.pages import Page
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import End, Inline, Item, ListItem, MonthsRead
from tap_rutter.replication.run_context import REPLICATION_KEY, REPLICATION_KEY_VALUE
from tap_rutter.replication.synced import without_context

_MONTHS_A_CALL = 12
_MOST_YEARS = 10  # how far back a first read without a start date goes at most
_READ_FROM = "read_from"  # the first month that was read: see _resumed
# True if the partition was read back as long as there were rows. It is not in states of earlier
# versions, which went back two years, nor after a read that began at a start date.
_ALL_YEARS = "all_years"


class Statements:
    """Monthly lists. Every request has a start date and an end date."""

    label = "statements"
    reads_since = False

    def first_month(self, partition: Partition) -> date | None:
        """The first month to read; None for a read that goes back as long as there are rows."""
        settings = partition.run.settings
        this_month = times.month_start(partition.run.cutoff)
        resumed = self._resumed(partition)
        if resumed is not None:
            newest = times.month_start(resumed)
            # At least the newest month is read again: it was not over when it was read.
            again = max(settings.statement_months, 1)
            return min(shifted(newest, 1 - again), this_month)
        if settings.start_ms is not None:
            return min(times.month_start(settings.start_ms), this_month)
        return None

    @staticmethod
    def _resumed(partition: Partition) -> int | None:
        """The bookmark that the read continues from; None for a first read."""
        before, start = partition.input_state or {}, partition.run.settings.start_ms
        read_from = times.parse(before.get(_READ_FROM))
        if partition.has_grown:
            return None
        if start is None and before.get(_ALL_YEARS) is not True:
            return None
        if start is not None and read_from is not None and start < read_from:
            return None
        moment = partition.resumes(before.get(REPLICATION_KEY_VALUE))
        # A bookmark before the first month that was requested was set by one odd row: months are
        # missing.
        return None if moment is not None and moment < (read_from or 0) else moment

    def read(self, partition: Partition) -> Iterator[Item]:
        """All months up to the current one, at most a year in each request."""
        first = self.first_month(partition)
        if first is None:
            yield from self._years_back(partition)
        else:
            last = times.month_start(partition.run.cutoff)
            yield Inline(tuple([self._months(partition, *months) for months in calls(first, last)]))
        yield End()

    def _years_back(self, partition: Partition) -> Iterator[Item]:
        """One year after another, newest first.

        It ends with the first year without rows, but not before the oldest date that Rutter gives
        for the connection: a business may have rested for a year.
        """
        oldest = partition.history.oldest_ms
        last = times.month_start(partition.run.cutoff)
        for _ in range(_MOST_YEARS):
            first = shifted(last, 1 - _MONTHS_A_CALL)
            rows = 0
            for item in self._months(partition, first, last):
                rows += len(item.raws) if isinstance(item, Page) else 0
                yield item
            if not rows and (oldest is None or first <= times.month_start(oldest)):
                return
            last = shifted(first, -1)

    def _months(self, partition: Partition, first: date, last: date) -> Iterator[Item]:
        end = last.replace(day=monthrange(last.year, last.month)[1])
        dates = {
            "start_date": f"{first.isoformat()}T00:00:00.000Z",
            "end_date": f"{end.isoformat()}T00:00:00.000Z",
        }
        yield from partition.pages({**partition.params(), **dates}, may_come_later=True)
        yield MonthsRead(first, last)

    def progress(self, partition: Partition) -> StatementsProgress:
        """A new object that keeps track of the partition's bookmark."""
        return StatementsProgress(partition, self.first_month(partition), self._resumed(partition))


class StatementsProgress:
    """A bookmark that is the newest month up to which no month is missing."""

    def __init__(self, partition: Partition, first: date | None, resumed: int | None) -> None:
        self._partition = partition
        self._resumed = resumed
        self._goes_back = first is None
        self._first = first
        self._brought: set[date] = set()
        self._months: set[date] = set()
        self._complete = False
        self.full_read = False
        self.start_ms = None if first is None else _moment(first)

    def see(self, item: ListItem) -> None:
        """Take an item into account, after its rows were delivered."""
        if isinstance(item, Page):
            for raw in item.raws:
                moment = times.parse(decode_value(raw).get("start_date"))
                if moment is not None:
                    self._brought.add(times.month_start(moment))
        elif isinstance(item, MonthsRead):
            # A month that was not requested is delivered, but says nothing of the months between.
            self._months |= {month for month in self._brought if item.first <= month <= item.last}
            self._brought.clear()
            self._first = min(self._first or item.first, item.first)
            self.start_ms = _moment(self._first)

    def finish(self) -> None:
        """All months have been read."""
        self._complete = True

    def partition_state(self) -> Mapping[str, Any] | None:
        """The partition's entry in the state, without its context."""
        given = None if self._partition.has_grown else without_context(self._partition.input_state)
        if not self._complete or not self._months or self._first is None:
            return given
        content = {
            REPLICATION_KEY: self._partition.endpoint.replication_key,
            REPLICATION_KEY_VALUE: f"{self._newest().isoformat()}T00:00:00.000Z",
        }
        if self._resumed is None:
            content[_READ_FROM] = f"{self._first.isoformat()}T00:00:00.000Z"
            kept: Mapping[str, Any] = {_ALL_YEARS: True} if self._goes_back else {}
        else:
            kept = {name: value for name, value in (given or {}).items() if name in _KEPT}
        return {**content, **kept}

    def _newest(self) -> date:
        """The last month of the unbroken series from the bookmark, or the oldest month, on."""
        month = min(self._months)
        if self._resumed is not None:
            month = times.month_start(self._resumed)
        while (following := shifted(month, 1)) in self._months and following > month:
            month = following
        return month


_KEPT = {_READ_FROM, _ALL_YEARS}


def calls(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The months from ``first`` to ``last``, oldest first, in spans of at most a year."""
    while first <= last:
        until = min(shifted(first, _MONTHS_A_CALL - 1), last)
        yield first, until
        if until == last:
            return
        first = shifted(until, 1)


def shifted(month: date, by: int) -> date:
    """The first day of the month ``by`` months later, kept within the calendar."""
    index = month.year * 12 + month.month - 1 + by
    index = min(max(index, date.min.year * 12), date.max.year * 12 + 11)
    return date(index // 12, index % 12 + 1, 1)


def _moment(month: date) -> int | None:
    return times.parse(month.isoformat())
