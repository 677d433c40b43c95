"""What a run did: rows to query (``sync_report``), and a summary for people."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from tap_rutter.errors import MAP_FAILED, RequestFailed
from tap_rutter.names import counted
from tap_rutter.sync.partition_report import (
    ALL,
    ALL_STREAMS,
    COMPLETE,
    FAILED,
    FOLDED,
    INTERRUPTED,
    NOT_ACTIVATED,
    NOT_SYNCED,
    SKIPPED,
    UNSERVED,
    PartitionReport,
    PartitionReports,
)

_FAMILIES = ("accounting", "commerce", "banking", "hris", "ads")
_SHOWN = 12  # failures that the summary spells out


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


def _add(totals: Counter[str], entry: PartitionReport) -> None:
    totals["rows"] += entry.rows
    totals["retries"] += entry.counts.retries
    totals["repaired"] += entry.repaired_values


class Report:
    """All partitions of a run, in plan order."""

    def __init__(self, api_version: str, started_ms: int) -> None:
        self.run_id = str(uuid.uuid4())
        self.api_version = api_version
        self.started_ms = started_ms
        self._partitions = PartitionReports()
        self._told = 0
        """How many of them have been news."""
        self._connections: dict[str, PartitionReport] = {}
        self._unserved = 0
        """How many streams were skipped for what their platform is."""
        self._unchanged: set[str] = set()
        """Connections of which streams were skipped, since nothing was synced."""
        self.configured: dict[str, frozenset[str]] = {}
        """By connection: the entities that Rutter is set to sync, if the run has read that."""

    def partition(self, connection_id: str, stream: str, now: int) -> PartitionReport:
        """Begin the report of a partition."""
        entry = PartitionReport(connection_id, stream, now)
        self._partitions.add(entry)
        return entry

    def close(self, entry: PartitionReport) -> None:
        """A partition is over: its report does not change any more."""
        self._partitions.close_last(entry)

    def fold(self, entry: PartitionReport) -> None:
        """Take a partition that was not asked into its connection's one row."""
        # Partitions are folded as they end, one after another.
        self._partitions.remove_last(entry)
        self._unserved += entry.reason in UNSERVED
        if entry.reason == NOT_SYNCED:
            self._unchanged.add(entry.connection_id)
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
        for entry in self._all():
            yield entry.row(self.run_id, self.api_version)

    def news(self, *, all_of_it: bool) -> Iterator[dict[str, Any]]:
        """The rows of partitions that have been judged since the last call, in plan order.

        ``all_of_it``: at the end, also those of what was interrupted, and of whole connections.
        """
        while self._told < len(self._partitions):
            entry = self._partitions[self._told]
            if entry.finished_ms is None and not all_of_it:
                break
            self._told += 1
            yield entry.row(self.run_id, self.api_version)
        for entry in self._connections.values() if all_of_it else ():
            yield entry.row(self.run_id, self.api_version)

    def _all(self) -> Iterator[PartitionReport]:
        return chain(self._connections.values(), self._partitions)

    @property
    def delivered(self) -> int:
        """How many rows have left, as the summary counts them."""
        return sum(entry.rows for entry in self._all())

    @property
    def failures(self) -> list[PartitionReport]:
        """Partitions that failed."""
        return [entry for entry in self._partitions.told_in_words() if entry.status == FAILED]

    def reasons(self) -> Mapping[str, int]:
        """How many connections were skipped whole, by reason."""
        return Counter(
            entry.reason or "" for entry in self._connections.values() if entry.reason not in FOLDED
        )

    def summary(self, now: int, requests: int) -> list[str]:
        """Lines for people: what was read, what was not and why.

        ``requests``: how many were made, including those that belong to no stream.
        """
        totals = Counter[str]()
        connections: set[str] = set()
        streams: set[str] = set()
        for entry in self._partitions:
            _add(totals, entry)
            connections.add(entry.connection_id)
            if entry.status == COMPLETE:
                streams.add(entry.stream)
        for entry in self._connections.values():
            _add(totals, entry)
        failures = self.failures
        seconds = (now - self.started_ms) / 1000
        parts = [
            counted(len(streams), "stream"),
            counted(len(connections - {ALL}), "connection"),
            *([f"{counted(len(failures), 'list')} failed"] if failures else ()),
            *(
                [f"{counted(self._unserved, 'list')} that their platforms do not have"]
                if self._unserved
                else ()
            ),
        ]
        lines = [
            f"Read {counted(totals['rows'], 'row')} with {counted(requests, 'request')}"
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
        if self._unchanged:
            lines.append(
                "Not synced by Rutter since they were last read:"
                f" {counted(len(self._unchanged), 'connection')}."
            )
        told = list(self._partitions.told_in_words())
        closed = dict.fromkeys(
            entry.stream
            for entry in told
            if (entry.status, entry.reason) == (SKIPPED, NOT_ACTIVATED)
        )
        if closed:
            lines.append(
                "Not activated for your organisation (PRODUCT_NOT_ALLOWED):"
                f" {_named(list(closed))}. Ask Rutter to activate them, or deselect these streams."
            )
        for entry in [entry for entry in told if entry.partial][:_SHOWN]:
            lines.append(
                f"Partial: {entry.stream} of connection {entry.connection_id}: {entry.partial}"
            )
        lines += [f"Hint: {hint}" for hint in self._hints()]
        # Failures of stream maps are named once for all connections.
        failures = [entry for entry in failures if entry.reason != MAP_FAILED]
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
            yield (
                "connections need to sign in again: only the merchant can do that, in Rutter Link."
            )
