"""Streams that a run writes of what it knows itself: the connections, and its own report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tap_rutter.connections.selection import Selection
from tap_rutter.errors import MapFailed
from tap_rutter.sync.delivery import Delivery
from tap_rutter.sync.interfaces import RunStream
from tap_rutter.sync.outcomes import Outcomes
from tap_rutter.sync.partition_report import ALL, PartitionReport


class OwnRows:
    """Their rows, and how they leave."""

    def __init__(
        self,
        selection: Selection,
        outcomes: Outcomes,
        delivery: Delivery,
        now: Callable[[], int],
    ) -> None:
        """``now``: the time on the run's clock, Unix ms."""
        self._selection = selection
        self._outcomes = outcomes
        self._delivery = delivery
        self._now = now

    def of(self, stream: RunStream) -> Iterator[Mapping[str, Any]]:
        """The rows of such a stream."""
        if stream.name == "connections":
            rows: list[Mapping[str, Any]] = [entry.row for entry in self._selection.connections]
            rows += [entry.row for entry in self._selection.not_found if entry.row is not None]
            return iter(rows)
        return self._outcomes.report.rows()

    def emit(self, stream: RunStream, *, write: bool) -> int:
        """Deliver the rows of such a stream; returns how many left."""
        report = PartitionReport(ALL, stream.name, self._now())
        if stream.name != "sync_report":
            report = self._outcomes.report.partition(ALL, stream.name, self._now())
            report.full_read = True
        moment = datetime.fromtimestamp(self._now() / 1000, UTC)
        for row in self.of(stream):
            record = stream.conformer.conform(row, None, report.repairs)
            try:
                if write:
                    self._delivery.record(stream, record, moment)
                report.rows += 1
            except MapFailed as error:
                self._delivery.note_unmapped(error, report)
        if report.unmapped is None:
            report.complete(self._now())
        else:
            self._outcomes.fail_rows_of_run(report, report.unmapped, self._now())
        return report.rows
