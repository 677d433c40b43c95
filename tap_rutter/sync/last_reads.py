"""What a run remembers of each connection's reading, for ``only_after_sync``.

Written at the end of a run, since only then is it known that all lists of a connection were read. A
run that is cut short leaves what the run before it has written.
"""

from __future__ import annotations

from collections import Counter

from tap_rutter.connections.selection import Connection
from tap_rutter.replication.after_sync import (
    CLOCKS_APART,
    LastRead,
    is_same_month,
    is_told_of,
    newest_sync,
)
from tap_rutter.replication.base import Partition
from tap_rutter.replication.run_context import RunContext
from tap_rutter.sync.partition_report import COMPLETE, FOLDED, SKIPPED, PartitionReport
from tap_rutter.sync.state import Bookmarks

_MOST_MISSED = 10
"""Streams of a connection; where more were not read to their ends, it is read whole again."""


class LastReads:
    """Counts how the partitions of each connection end. Lives with the emitter."""

    def __init__(self, run: RunContext, bookmarks: Bookmarks) -> None:
        self._run = run
        self._after_sync = run.after_sync
        self._bookmarks = bookmarks
        self._ended: Counter[str] = Counter()
        self._missed: dict[str, set[str]] = {}

    def ended(self, partition: Partition, report: PartitionReport) -> None:
        """Take in how a partition ended."""
        if self._after_sync is None:
            return
        connection = partition.connection
        self._ended[connection.id] += 1
        # What has changed since a time that the caller names is not all there is to be read.
        is_read = report.status == COMPLETE and not report.partial and partition.since is None
        if not (is_read or (report.status == SKIPPED and report.reason in FOLDED)):
            self._missed.setdefault(connection.id, set()).add(report.stream)

    def forget(self, connection: Connection) -> None:
        """A connection's history has grown: what was read under the former one counts no more."""
        self._bookmarks.put_last_reads(connection.id, {})

    def write(self, connections: tuple[Connection, ...], streams: int) -> None:
        """Remember what was read of those connections of which all streams have ended."""
        if self._after_sync is None or not streams:  # a preview reads nothing to its end
            return
        choice = self._after_sync.choice
        for connection in connections:
            if self._ended[connection.id] != streams or not self._run.counts(connection):
                continue
            kept = {**self._bookmarks.last_reads(connection.id)}
            before = kept.pop(choice, None)
            last = self._last_read(connection)
            if last is not None:
                kept[choice] = before if before and _is_same(before, last) else last
            self._bookmarks.put_last_reads(connection.id, kept)

    def _last_read(self, connection: Connection) -> LastRead | None:
        standing = self._run.known_standing(connection)
        synced = None if standing is None else newest_sync(standing, self._run.cutoff)
        missed = self._missed.get(connection.id, set())
        if synced is None or not is_told_of(connection) or len(missed) > _MOST_MISSED:
            return None
        return LastRead(
            synced_ms=synced,
            at_ms=self._run.cutoff,
            missed=frozenset(missed),
            bookmarks=self._bookmarks.count(connection.id),
        )


def _is_same(before: LastRead, last: LastRead) -> bool:
    """Whether a state need not be changed for it."""
    return (
        (before.synced_ms, before.missed, before.bookmarks)
        == (last.synced_ms, last.missed, last.bookmarks)
        and before.at_ms <= last.at_ms + CLOCKS_APART
        and is_same_month(before.at_ms, last.at_ms)
    )
