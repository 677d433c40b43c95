"""Synced streams: rows have a ``last_synced_at``, by Rutter's own clock, and come sorted by it.

A sorted list needs no windows: with each page the bookmark moves to the newest time delivered. But
a platform may refuse the sort order, or ignore it. So the rows must show that they are sorted
before the bookmark moves (docs/state.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_rutter import times
from tap_rutter.api.pages import Page
from tap_rutter.errors import SortRefused
from tap_rutter.replication.base import OVERLAP, Partition
from tap_rutter.replication.items import End, Inline, Item, ListItem, Unsorted
from tap_rutter.replication.run_context import REPLICATION_KEY, REPLICATION_KEY_VALUE
from tap_rutter.replication.told import started_by

MIN = "last_synced_at_min"
_SORT = "last_synced_at ASC"
_RISES = 2  # how many times must have risen from page to page before a list counts as sorted


class Synced:
    """Lists on Rutter's own clock.

    Args:
        passes: The lists that make up the stream, as name → parameters. Each has its own bookmark.
            By default there is one list, without a name.
        sortable: Whether the endpoint has the parameter ``sort``.
        params: Parameters of every request.
    """

    label = "synced"
    reads_since = True

    def __init__(
        self,
        *,
        passes: Mapping[str, Mapping[str, str]] | None = None,
        sortable: bool = True,
        params: Mapping[str, str] | None = None,
    ) -> None:
        self._passes = passes or {"": {}}
        self._sortable = sortable
        self._params = dict(params or {})

    def read(self, partition: Partition) -> Iterator[Item]:
        """The rows of all passes, each from its own bookmark."""
        if len(self._passes) == 1:
            ((name, extra),) = self._passes.items()
            yield from self._read_pass(partition, name, extra)
        else:
            yield Inline(
                tuple(
                    [
                        self._read_pass(partition, name, extra)
                        for name, extra in self._passes.items()
                    ]
                )
            )

    def _read_pass(
        self, partition: Partition, name: str, extra: Mapping[str, str]
    ) -> Iterator[Item]:
        start = first_time(partition, name)
        params = {**partition.params(), **self._params, **extra}
        if start is not None:
            params[MIN] = str(start)
        if self._sortable:
            try:
                yield from partition.pages({**params, "sort": _SORT}, list_name=name)
            except SortRefused:
                yield Unsorted(name)
            else:
                yield End(name)
                return
        yield from partition.pages(params, list_name=name)
        yield End(name)

    def progress(self, partition: Partition) -> SyncedProgress:
        """A new object that keeps track of the partition's bookmarks."""
        return SyncedProgress(partition, tuple(self._passes), is_sorted=self._sortable)


def bookmark_of(partition: Partition, name: str = "") -> str | None:
    """The given bookmark of one pass; a state of an older version has one for all passes."""
    state = partition.input_state or {}
    passes = state.get("passes")
    value = passes.get(name) if name and passes is not None else state.get(REPLICATION_KEY_VALUE)
    return value if isinstance(value, str) else None


def first_time(partition: Partition, name: str = "") -> int | None:
    """Where a pass begins: its bookmark less the overlap, else the start date, else None."""
    return _start(partition, partition.resumes(bookmark_of(partition, name)))


def _start(partition: Partition, resumed: int | None) -> int | None:
    if partition.since is not None:
        return partition.since
    if resumed is None:
        return partition.run.settings.start_ms
    return started_by(partition, max(resumed - OVERLAP, 0))


class SortCheck:
    """Whether one list comes in its sort order, and where its bookmark may stand."""

    def __init__(self, cutoff: int, *, is_sorted: bool = True) -> None:
        self._cutoff = cutoff
        self._is_sorted = is_sorted
        self._rises = 0
        self._highest: int | None = None
        self._read = cutoff
        self.ended = False

    def see(self, page: Page) -> None:
        """Take a page into account, after its rows were delivered."""
        span = page.span
        if span.newest is None or span.oldest is None or span.first is None:
            return
        before = self._highest
        if span.is_unsorted or (
            before is not None and times.second_of(span.first) < times.second_of(before)
        ):
            self._is_sorted = False
        self._rises += times.second_of(span.newest) > times.second_of(
            span.oldest if before is None else before
        )
        self._highest = span.newest if before is None else max(before, span.newest)
        self._read = page.received_ms

    def mark_unsorted(self) -> None:
        """The list is not sorted: the rows read before this do not move the bookmark."""
        self._is_sorted = False
        self._highest = None

    @property
    def value(self) -> int | None:
        """Where the bookmark may stand now, Unix ms; None if the list allows no bookmark yet."""
        if self._highest is None:
            return None
        if not self._is_sorted:
            # Rows that changed while an unsorted list was read have times after the cutoff.
            return min(self._highest, self._cutoff) if self.ended else None
        # One rise may be one odd row before thousands of rows that were synced in the same second.
        proved = self.ended or self._rises >= _RISES
        # A row with a time in the future says nothing about the rows that come until then.
        return min(self._highest, self._read) if proved else None


class SyncedProgress:
    """The bookmarks of a partition's passes. Its own is the oldest, once all passes have one."""

    def __init__(self, partition: Partition, passes: tuple[str, ...], *, is_sorted: bool) -> None:
        self._partition = partition
        self._sort_checks = {
            name: SortCheck(partition.run.cutoff, is_sorted=is_sorted) for name in passes
        }
        self._resumed = {name: partition.resumes(bookmark_of(partition, name)) for name in passes}
        # What the lists allowed when the content was made, which is asked for after each page.
        self._allowed: list[int | None] = []
        self._state: Mapping[str, Any] | None = None
        resumes = any(moment is not None for moment in self._resumed.values())
        self.full_read = not resumes and partition.run.settings.start_ms is None
        starts = [_start(partition, moment) for moment in self._resumed.values()]
        self.start_ms = None if None in starts else min(start or 0 for start in starts)

    def see(self, item: ListItem) -> None:
        """Take an item into account, after its rows were delivered."""
        if isinstance(item, Page):
            self._sort_checks[item.list_name].see(item)
        elif isinstance(item, Unsorted):
            self._sort_checks[item.list_name].mark_unsorted()
        elif isinstance(item, End):
            self._sort_checks[item.list_name].ended = True

    def finish(self) -> None:
        """Does nothing: the ends of the lists have said it all."""

    def partition_state(self) -> Mapping[str, Any] | None:
        """The partition's content: moved bookmarks, else those that were given."""
        allowed = [check.value for check in self._sort_checks.values()]
        if allowed != self._allowed:
            self._allowed, self._state = allowed, self._made()
        return self._state

    def _made(self) -> Mapping[str, Any] | None:
        values: dict[str, str] = {}
        for name, check in self._sort_checks.items():
            value, resumed = check.value, self._resumed[name]
            if value is not None and (resumed is None or value > resumed):
                values[name] = times.to_text(value)
            elif resumed is not None:
                # A given bookmark stays, if its pass continued from it. A pass that did not
                # (another start date, a bookmark in the future) has no bookmark until its rows set
                # one.
                values[name] = bookmark_of(self._partition, name) or times.to_text(resumed)
        if all(check.value is None for check in self._sort_checks.values()):
            return without_context(self._partition.input_state)
        return self._content(values)

    def _content(self, values: Mapping[str, str]) -> dict[str, Any]:
        content: dict[str, Any] = {REPLICATION_KEY: self._partition.endpoint.replication_key}
        if len(values) == len(self._sort_checks):
            content[REPLICATION_KEY_VALUE] = min(
                values.values(), key=lambda value: times.parse(value) or 0
            )
        if len(self._sort_checks) > 1:
            content["passes"] = dict(values)
        resumed = all(moment is not None for moment in self._resumed.values())
        return content | read_from(self._partition, resumed=resumed)


def read_from(partition: Partition, *, resumed: bool) -> dict[str, Any]:
    """The start date that a partition's rows were read from, for its entry in the state."""
    if resumed:
        given = (partition.input_state or {}).get("start_date")
        return {"start_date": given} if given else {}
    start = partition.run.settings.start_ms
    return {} if start is None else {"start_date": times.to_text(start)}


def without_context(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A partition's entry without its context."""
    if state is None:
        return None
    return {name: value for name, value in state.items() if name != "context"}
