"""How one partition ended, with its figures, and all of a run's partitions in little memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tap_rutter import __version__, times
from tap_rutter.api.request import Counts
from tap_rutter.errors import MapFailed, RequestFailed
from tap_rutter.records.conform import Repairs

COMPLETE, SKIPPED, FAILED, INTERRUPTED = "complete", "skipped", "failed", "interrupted"
ALL = "*"
"""In a key: all streams of a connection, or all connections. It must not be "": loaders that use
CSV read that as NULL, and refuse the whole load."""

ALL_STREAMS = ALL
UNSERVED = {"unsupported", "unavailable"}
"""Reasons why a stream is skipped that tell of the platform."""
NOT_SYNCED = "not_synced_since"
"""Rutter has synced nothing since the stream was last read."""
FOLDED = UNSERVED | {NOT_SYNCED}
"""Reasons for which one row a connection names the streams, in place of a row for each."""
NOT_ACTIVATED = "not_activated"
"""The organisation has no access to the stream's endpoint."""
PARTIAL = "PARTIAL_SUCCESS"
"""Error code of a partition that is complete, except for rows that a job of Rutter left out."""


_NO_REPAIRS = Repairs()
# Places of connection and stream, whether it is a full read, counts, times.
_PLAIN = struct.Struct("<II?qIIIqqqqqq")
_NONE = -(1 << 63)
"""Stands for None where a figure may be unknown: no time and no count is as small."""


@dataclass(slots=True)
class PartitionReport:
    """The outcome of one partition, with its figures."""

    connection_id: str
    stream: str
    started_ms: int
    status: str = INTERRUPTED
    reason: str | None = INTERRUPTED
    error_code: str | None = None
    error_message: str | None = None
    rows: int = 0
    pages: int = 0
    counts: Counts = field(default_factory=Counts)
    full_read: bool = False
    finished_ms: int | None = None
    window_start: int | None = None
    window_end: int | None = None
    source_synced_ms: int | None = None
    source_count: int | None = None
    unmapped: MapFailed | None = None
    """The error of the stream map that failed for rows, so that they did not leave."""
    partial: str = ""
    """What Rutter says that it left out; nothing of the partition is bookmarked then."""
    # A run has hundreds of thousands of partitions, and few of them have any of these.
    _repairs: Repairs | None = None
    _skipped: list[str] | None = None

    @property
    def repairs(self) -> Repairs:
        """How often values needed more than being passed on, to be counted up."""
        if self._repairs is None:
            self._repairs = Repairs()
        return self._repairs

    @property
    def repaired_values(self) -> int:
        """How many values did not fit their type."""
        return 0 if self._repairs is None else self._repairs.repaired_values

    @property
    def skipped(self) -> list[str]:
        """Streams of the connection that this row speaks for, to be added to."""
        if self._skipped is None:
            self._skipped = []
        return self._skipped

    def complete(self, now: int) -> None:
        """Everything was delivered."""
        self.status, self.reason, self.finished_ms = COMPLETE, None, now
        if self.partial:
            self.full_read = False
            self.error_code, self.error_message = PARTIAL, self.partial

    def skip(self, reason: str, now: int, error: RequestFailed | None = None) -> None:
        """Not read, or not to its end, for a reason that is not a failure."""
        self.status, self.reason, self.finished_ms = SKIPPED, reason, now
        if error is not None:
            self.error_code, self.error_message = error.code, error.message

    def fail(self, error: Exception, now: int) -> None:
        """Not read to its end."""
        self.status, self.finished_ms = FAILED, now
        self.error_message = str(error)
        if isinstance(error, RequestFailed):
            self.reason, self.error_code = error.reason, error.code
        else:
            self.reason = "bad_response"

    @property
    def is_plain(self) -> bool:
        """Whether it is complete, and nothing else is to be said but its figures."""
        return (
            self.status == COMPLETE
            and not (self.error_code or self.partial or self.unmapped or self._skipped)
            and self._repairs in (None, _NO_REPAIRS)
        )

    def row(self, run_id: str, api_version: str) -> dict[str, Any]:
        """The record of the stream ``sync_report``."""
        repairs = self._repairs or _NO_REPAIRS
        return {
            "run_id": run_id,
            "connection_id": self.connection_id or ALL,
            "stream": self.stream,
            "status": self.status,
            "reason": self.reason,
            "error_code": self.error_code,
            "error_message": self.error_message,
            "rows": self.rows,
            "pages": self.pages,
            "requests": self.counts.requests,
            "retries": self.counts.retries,
            "repaired_values": repairs.repaired_values,
            "unknown_fields": repairs.unknown_fields,
            "derived_keys": repairs.derived_keys,
            "full_read": self.full_read,
            "started_at": times.to_text(self.started_ms),
            "finished_at": _text(self.finished_ms),
            "window_start": _text(self.window_start),
            "window_end": _text(self.window_end),
            "source_synced_at": _text(self.source_synced_ms),
            "source_count": self.source_count,
            "skipped": self._skipped or None,
            "api_version": api_version,
            "tap_version": __version__,
        }


def _text(moment: int | None) -> str | None:
    return None if moment is None else times.to_text(moment)


class PartitionReports:
    """The reports of a run's partitions, in plan order.

    There may be hundreds of thousands, and nearly all of them say no more than figures. Once they
    are over, these are kept as bytes, in a third of the memory.
    """

    def __init__(self) -> None:
        self._entries: list[PartitionReport | bytes] = []
        self._names: list[str] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[PartitionReport]:
        return map(self._open, self._entries)

    def __getitem__(self, index: int) -> PartitionReport:
        """A report. To change it has an effect only while it is not over."""
        return self._open(self._entries[index])

    def add(self, entry: PartitionReport) -> None:
        """Add the report of a partition that begins."""
        self._entries.append(entry)

    def remove_last(self, entry: PartitionReport) -> None:
        """Take the last one out."""
        assert self._entries[-1] is entry
        self._entries.pop()

    def close_last(self, entry: PartitionReport) -> None:
        """The last partition is over: its report does not change any more."""
        if self._entries and self._entries[-1] is entry and entry.is_plain:
            self._entries[-1] = self._packed(entry)

    def told_in_words(self) -> Iterator[PartitionReport]:
        """Those that are not complete, or have more to tell than figures."""
        return (entry for entry in self._entries if isinstance(entry, PartitionReport))

    def _packed(self, entry: PartitionReport) -> bytes:
        return _PLAIN.pack(
            self._place(entry.connection_id),
            self._place(entry.stream),
            entry.full_read,
            entry.rows,
            entry.pages,
            entry.counts.requests,
            entry.counts.retries,
            entry.started_ms,
            *(
                _NONE if figure is None else figure
                for figure in (
                    entry.finished_ms,
                    entry.window_start,
                    entry.window_end,
                    entry.source_synced_ms,
                    entry.source_count,
                )
            ),
        )

    def _open(self, entry: PartitionReport | bytes) -> PartitionReport:
        if isinstance(entry, PartitionReport):
            return entry
        connection, stream, full_read, rows, pages, requests, retries, started, *others = (
            _PLAIN.unpack(entry)
        )
        finished, window_start, window_end, synced, count = (
            None if figure == _NONE else figure for figure in others
        )
        return PartitionReport(
            connection_id=self._names[connection],
            stream=self._names[stream],
            started_ms=started,
            status=COMPLETE,
            reason=None,
            rows=rows,
            pages=pages,
            counts=Counts(requests, retries),
            full_read=full_read,
            finished_ms=finished,
            window_start=window_start,
            window_end=window_end,
            source_synced_ms=synced,
            source_count=count,
        )

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = len(self._names)
            self._names.append(name)
        return place
