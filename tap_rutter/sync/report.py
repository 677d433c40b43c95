"""What a run did: rows to query (``sync_report``), and a summary for people."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tap_rutter import __version__, times
from tap_rutter.api.request import Counts
from tap_rutter.errors import MAP_FAILED, MapFailed, RequestFailed
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

_FAMILIES = ("accounting", "commerce", "banking", "hris", "ads")
_SHOWN = 12  # failures that the summary spells out
_NO_REPAIRS = Repairs()


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
    is_folded: bool = False
    """Whether its connection's one row tells of it."""
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

    def row(self, run: Report) -> dict[str, Any]:
        """The record of the stream ``sync_report``."""
        repairs = self._repairs or _NO_REPAIRS
        return {
            "run_id": run.run_id,
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
            "api_version": run.api_version,
            "tap_version": __version__,
        }


def _text(moment: int | None) -> str | None:
    return None if moment is None else times.to_text(moment)


def _named(streams: Sequence[str]) -> str:
    """Names for people: the first dozen."""
    return ", ".join(streams[:_SHOWN]) + (", …" if len(streams) > _SHOWN else "")


def _entity(name: str) -> str:
    """The common form of an object's names: ACCOUNTING_INVOICE, invoices, accounting_invoices."""
    word = name.lower()
    for family in _FAMILIES:
        word = word.removeprefix(f"{family}_")
    for plural, singular in (("ies", "y"), ("sses", "ss"), ("ss", "ss"), ("s", "")):
        if word.endswith(plural):
            return word.removesuffix(plural) + singular
    return word


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


class Report:
    """All partitions of a run, in plan order."""

    def __init__(self, api_version: str, started_ms: int) -> None:
        self.run_id = str(uuid.uuid4())
        self.api_version = api_version
        self.started_ms = started_ms
        self._partitions: list[PartitionReport] = []
        self._connections: dict[str, PartitionReport] = {}
        self._folded: dict[str, list[tuple[str, str]]] = {}
        self._untold: deque[PartitionReport] = deque()
        self.configured: dict[str, frozenset[str]] = {}
        """By connection: the entities that Rutter is set to sync, if the run has read that."""

    def partition(self, connection_id: str, stream: str, now: int) -> PartitionReport:
        """Begin the report of a partition."""
        entry = PartitionReport(connection_id, stream, now)
        self._partitions.append(entry)
        self._untold.append(entry)
        return entry

    def fold(self, entry: PartitionReport) -> None:
        """Take a partition that was not asked into its connection's one row."""
        assert self._partitions[-1] is entry  # partitions are folded as they end, one after another
        self._partitions.pop()
        entry.is_folded = True
        self._folded.setdefault(entry.connection_id, []).append(
            (entry.stream, entry.reason or "unsupported")
        )
        totals = self._connections.get(entry.connection_id)
        if totals is None:
            totals = PartitionReport(entry.connection_id, ALL_STREAMS, entry.started_ms)
            self._connections[entry.connection_id] = totals
        totals.counts.requests += entry.counts.requests
        totals.counts.retries += entry.counts.retries
        # Where nothing was synced, that is what the row is about, whatever else it names.
        if totals.reason in {INTERRUPTED, None} or (
            entry.reason == NOT_SYNCED and totals.reason in UNSERVED
        ):
            totals.skip(entry.reason or "unsupported", entry.finished_ms or entry.started_ms)
        totals.finished_ms = entry.finished_ms
        totals.source_synced_ms = entry.source_synced_ms or totals.source_synced_ms
        totals.skipped.append(entry.stream)

    def skip_connection(
        self, connection_id: str, reason: str, now: int, error: RequestFailed | None = None
    ) -> None:
        """Note a connection whose remaining streams are not read."""
        entry = self._connections.setdefault(
            connection_id, PartitionReport(connection_id, ALL_STREAMS, now)
        )
        entry.skip(reason, now, error)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The records of the stream ``sync_report``."""
        for entry in (*self._connections.values(), *self._partitions):
            yield entry.row(self)

    def news(self, *, all_of_it: bool) -> Iterator[dict[str, Any]]:
        """The rows of partitions that have been judged since the last call, in plan order.

        ``all_of_it``: at the end, also those of what was interrupted, and of whole connections.
        """
        while self._untold and (all_of_it or self._untold[0].finished_ms is not None):
            entry = self._untold.popleft()
            if not entry.is_folded:
                yield entry.row(self)
        for entry in self._connections.values() if all_of_it else ():
            yield entry.row(self)

    @property
    def delivered(self) -> int:
        """How many rows have left, as the summary counts them."""
        return sum(entry.rows for entry in (*self._partitions, *self._connections.values()))

    @property
    def failures(self) -> list[PartitionReport]:
        """Partitions that failed."""
        return [entry for entry in self._partitions if entry.status == FAILED]

    def reasons(self) -> Mapping[str, int]:
        """How many connections were skipped whole, by reason."""
        return Counter(
            entry.reason or "" for entry in self._connections.values() if entry.reason not in FOLDED
        )

    @property
    def _unserved(self) -> int:
        """How many streams were skipped for what their platform is."""
        return sum(reason in UNSERVED for skipped in self._folded.values() for _, reason in skipped)

    def summary(self, now: int, requests: int) -> list[str]:
        """Lines for people: what was read, what was not and why.

        ``requests``: how many were made, including those that belong to no stream.
        """
        statuses = Counter(entry.status for entry in self._partitions)
        totals = Counter[str]()
        for entry in (*self._partitions, *self._connections.values()):
            totals["rows"] += entry.rows
            totals["retries"] += entry.counts.retries
            totals["repaired"] += entry.repaired_values
        connections = {
            entry.connection_id for entry in self._partitions if entry.connection_id != ALL
        }
        streams = {entry.stream for entry in self._partitions if entry.status == COMPLETE}
        seconds = (now - self.started_ms) / 1000
        parts = [
            _counted(len(streams), "stream"),
            _counted(len(connections), "connection"),
            *([f"{_counted(statuses[FAILED], 'list')} failed"] if statuses[FAILED] else ()),
            *(
                [f"{_counted(self._unserved, 'list')} that their platforms do not have"]
                if self._unserved
                else ()
            ),
        ]
        lines = [
            f"Read {_counted(totals['rows'], 'row')} with {_counted(requests, 'request')}"
            f" ({totals['retries']:,} tried again) in {seconds:,.1f} s: {'; '.join(parts)}."
        ]
        if totals["repaired"]:
            lines.append(
                f"{totals['repaired']:,} values did not fit their type: see _rutter_issues."
            )
        for reason, count in sorted(self.reasons().items()):
            named = [
                entry.connection_id
                for entry in self._connections.values()
                if entry.reason == reason
            ]
            more = ", …" if count > _SHOWN else ""
            lines.append(
                f"Connections skipped, {reason}: {count:,} ({', '.join(named[:_SHOWN])}{more})."
            )
        unchanged = sum(
            any(reason == NOT_SYNCED for _, reason in skipped) for skipped in self._folded.values()
        )
        if unchanged:
            lines.append(
                "Not synced by Rutter since they were last read:"
                f" {_counted(unchanged, 'connection')}."
            )
        told = [
            (entry.stream, entry.reason) for entry in self._partitions if entry.status == SKIPPED
        ]
        closed = dict.fromkeys(stream for stream, reason in told if reason == NOT_ACTIVATED)
        if closed:
            lines.append(
                "Not activated for your organisation (PRODUCT_NOT_ALLOWED):"
                f" {_named(list(closed))}. Ask Rutter to activate them, or deselect these streams."
            )
        for entry in [entry for entry in self._partitions if entry.partial][:_SHOWN]:
            lines.append(
                f"Partial: {entry.stream} of connection {entry.connection_id}: {entry.partial}"
            )
        lines += [f"Hint: {hint}" for hint in self._hints()]
        # Failures of stream maps are named once for all connections.
        failures = [entry for entry in self.failures if entry.reason != MAP_FAILED]
        for entry in failures[:_SHOWN]:
            lines.append(
                f"Failed: {entry.stream} of connection {entry.connection_id or '-'}:"
                f" {entry.error_message}"
            )
        if len(failures) > _SHOWN:
            lines.append(f"… and {len(failures) - _SHOWN:,} more: see sync_report.")
        return lines

    def _is_enabled(self, stream: str, connections: Sequence[str]) -> bool | None:
        """Whether Rutter is set to sync a stream's objects; None if unknown or not alike for all.

        True if it is so for all of the connections, False if it is so for none of them.
        """
        word = _entity(stream)
        known = [self.configured.get(identity) for identity in connections]
        says = {None if names is None else word in map(_entity, names) for names in known}
        return says.pop() if len(says) == 1 else None

    def _hints(self) -> Iterator[str]:
        """Hints about likely causes of what the run has found."""
        rows: Counter[str] = Counter()
        complete: Counter[str] = Counter()
        served: dict[str, list[str]] = {}
        for entry in self._partitions:
            if entry.status == COMPLETE and entry.full_read and entry.connection_id != ALL:
                rows[entry.stream] += entry.rows
                complete[entry.stream] += 1
                served.setdefault(entry.stream, []).append(entry.connection_id)
        empty = [stream for stream, count in complete.items() if count >= 2 and not rows[stream]]
        if empty and sum(rows.values()):
            told = {stream: self._is_enabled(stream, served[stream]) for stream in empty}
            enabled = [stream for stream in empty if told[stream]]
            disabled = [stream for stream in empty if told[stream] is False]
            empty = [stream for stream in empty if told[stream] is None]
            if disabled:
                yield (
                    f"empty, and not enabled in Rutter's sync configuration: {_named(disabled)}."
                    " After a change there, existing connections need a backfill."
                )
            if enabled:
                yield (
                    "empty, though enabled in Rutter's sync configuration, so there is nothing to"
                    f" read: {_named(enabled)}."
                )
        if empty and sum(rows.values()):
            yield (
                f"empty for every connection that serves them: {_named(empty)}. If rows are"
                " expected, see whether these objects are enabled in Rutter's Data Sync"
                " Configuration; existing connections need a backfill after a change there."
            )
        reasons = self.reasons()
        if reasons.get("unauthorized"):
            yield (
                "an access token that is refused (401) belongs to another environment or another"
                " organisation, or its connection was deleted: production and sandbox have keys and"
                " connections of their own."
            )
        if reasons.get("needs_reauth"):
            yield "connections that need to sign in again do so by the merchant, in Rutter Link."
