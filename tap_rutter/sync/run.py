"""The run: one thread that takes what was read, in plan order, and speaks.

It alone writes messages and moves bookmarks. No STATE precedes the records that it covers; a pair
that fails keeps the bookmark that its delivered rows justify, and costs no other pair anything.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_rutter.api.client import Client, Clock
from tap_rutter.api.pages import Page
from tap_rutter.api.throttle import Throttle
from tap_rutter.cli.progress_bar import NoProgressBar, ProgressBar
from tap_rutter.connections.selection import (
    REFUSING,
    Connection,
    Selection,
    check_credentials,
    select_connections,
)
from tap_rutter.errors import (
    ConnectionUnusable,
    CredentialsRefused,
    PartitionFailed,
    Stopped,
    Terminated,
)
from tap_rutter.redact import SECRETS
from tap_rutter.replication.asking import unserved
from tap_rutter.replication.base import Partition, Progress, RunContext
from tap_rutter.schema.document import document
from tap_rutter.sync import preview
from tap_rutter.sync.delivery import Delivery
from tap_rutter.sync.maps import MapFailed
from tap_rutter.sync.outcomes import Outcomes
from tap_rutter.sync.plan import Begin, Done, Plan, Unavailable
from tap_rutter.sync.read_ahead import Failed, Idle, ReadAhead
from tap_rutter.sync.report import ALL, PartitionReport, Report

if TYPE_CHECKING:
    from tap_rutter.streams.base import RutterStream
    from tap_rutter.tap import TapRutter

logger = logging.getLogger("tap-rutter")

WRITTEN_BY_RUN = preview.WRITTEN_BY_RUN


class Run:
    """One run of the tap: its connections, its plan, and the emitter."""

    def __init__(self, tap: TapRutter) -> None:
        self.tap = tap
        settings = tap.settings
        SECRETS.add_basic(settings.client_id, settings.client_secret)
        SECRETS.add(*settings.access_tokens)
        self.clock = Clock()
        self.throttle = Throttle(settings.concurrency)
        self.client = Client(settings, self.clock, self.throttle)
        self._chosen: Selection | None = None
        self._context: RunContext | None = None
        self._plan: Plan | None = None
        self._ahead: ReadAhead[Partition] | None = None
        self._items: Iterator[tuple[Any, Any]] = iter(())
        self._queue: list[RutterStream] = []
        self._outcomes: Outcomes | None = None
        self._histories: set[str] = set()
        self._finished = False
        self._checked = False
        self._cut_short = False
        self.ended_by: int | None = None
        self.delivery = Delivery(tap)
        self.progress_bar: ProgressBar = NoProgressBar()
        self._selected_streams: list[RutterStream] | None = None

    # ---- what it reads

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that the settings choose; the first to ask lists them.

        Raises:
            CredentialsRefused: when Rutter refuses the client id and secret.
            UnknownConnections: when none of ``connection_ids`` exists.
        """
        if self._chosen is None:
            self._chosen = select_connections(self.client, self.tap.settings)
            logger.info(
                "%d connections chosen, API version %s.",
                len(self._chosen.connections),
                self.tap.settings.api_version,
            )
        return self._chosen.connections

    @property
    def notices(self) -> Sequence[str]:
        """What the settings ask for and there is not: said at the start, and at the end again."""
        return (*self.tap.notices, *(self._chosen.notices if self._chosen else ()))

    @property
    def context(self) -> RunContext:
        """What all pairs share; the run's one cutoff is taken when it is first asked for."""
        if self._context is None:
            _ = self.connections  # the first answer corrects the clock
            self._context = RunContext(
                settings=self.tap.settings,
                client=self.client,
                document=document(self.tap.settings.api_version),
                bookmarks=self.tap.bookmarks,
                cutoff=self.clock.now(),
                full_table=frozenset(
                    stream.name
                    for stream in self.tap.rutter_streams
                    if stream.forced_replication_method == "FULL_TABLE"
                ),
            )
        return self._context

    @property
    def report(self) -> Report:
        """What became of each pair so far."""
        return self.outcomes.report

    @property
    def outcomes(self) -> Outcomes:
        """Who takes in what became of each pair."""
        if self._outcomes is None:
            report = Report(self.tap.settings.api_version, self.context.cutoff)
            self._outcomes = Outcomes(report)
            for entry in self._chosen.not_found if self._chosen else ():
                report.skip_connection(entry.name, entry.reason, self.context.cutoff, entry.error)
            for connection in self.connections:
                reason = REFUSING.get(connection.status)
                if connection.status == "not_ready" and not self.tap.settings.force_fetch:
                    reason = "not_ready"
                if reason:
                    report.skip_connection(connection.id, reason, self.context.cutoff)
        return self._outcomes

    def end(self, signum: int) -> None:
        """Ask the run to end: at once for the workers, between two items for the emitter.

        Called from another thread than the emitter's; what the emitter has begun it completes, so
        that no line is split and no bookmark half moved.
        """
        self.ended_by = signum
        self.throttle.stop()

    def check_signal(self) -> None:
        """End here if a signal has asked for it.

        Raises:
            Terminated: for the command line, which writes the last STATE.
        """
        if self.ended_by is not None:
            raise Terminated(self.ended_by)

    def close(self) -> None:
        """End all threads and connections."""
        self.progress_bar.stop()
        self.throttle.stop()
        if self._ahead is not None:
            self._ahead.stop()
        self.client.close()

    # ---- the emitter

    def emit(self, stream: RutterStream, *, write: bool = True) -> None:
        """Deliver all pairs of one stream, then, at the last stream, the end of the run."""
        self.check_signal()
        if stream.ABORT_AT_RECORD_COUNT is not None:
            _, error = preview.preview_stream(self, stream, stream.ABORT_AT_RECORD_COUNT)
            self.tap.writer.flush()
            if error is not None:
                raise error
            return
        with stream.get_record_counter() as counter, stream.get_sync_timer():
            if stream.name in WRITTEN_BY_RUN:
                counter.increment(self._emit_made(stream, write=write))
            else:
                plan = self._plan_from(stream)
                partitions = plan.partitions(stream)
                for index, partition in enumerate(partitions):
                    self._show(stream, index, len(partitions))
                    counter.increment(self._emit_partition(stream, partition, plan, write=write))
                plan.forget(stream)
        if stream is self._last_stream():
            self.finish()

    def finish(self) -> None:
        """The last STATE; where the run was cut short, its report before that."""
        if self._finished:
            return
        self._finished = True
        if self._cut_short or self.ended_by is not None:
            self._report_interruption()
        self.delivery.state()
        if self._ahead is not None:
            self._ahead.stop(timeout=0.0 if self.ended_by is not None else 5.0)

    def _report_interruption(self) -> None:
        for stream in self.tap.rutter_streams:
            if stream.name == "sync_report" and stream.selected and self._outcomes is not None:
                stream._write_schema_message()
                self._emit_made(stream, write=True)

    def _last_stream(self) -> RutterStream | None:
        chosen = [stream for stream in self.tap.rutter_streams if stream.selected]
        return chosen[-1] if chosen else None

    def _plan_from(self, stream: RutterStream) -> Plan:
        """The plan that this stream comes next in; a new one if the streams come out of turn."""
        if not (self._plan and self._queue and self._queue[0] is stream):
            streams = [
                entry
                for entry in self.tap.rutter_streams
                if entry.selected and entry.name not in WRITTEN_BY_RUN
            ]
            at = streams.index(stream) if stream in streams else 0
            self._queue = streams[at:] if stream in streams else [stream]
            if self._ahead is not None:
                self._ahead.stop()
            self._plan = Plan(self._queue, self.connections, self.context)
            self._ahead = ReadAhead(self._plan.chains(), workers=self.tap.settings.concurrency)
            self._items = iter(self._ahead)
        self._queue = self._queue[1:]
        return self._plan

    def _emit_partition(
        self, stream: RutterStream, partition: Partition, plan: Plan, *, write: bool
    ) -> int:
        """Deliver one pair; returns how many records left."""
        entry = self.report.partition(partition.connection.id, stream.name, self.clock.now())
        entry.counts = partition.counts
        reason = self.outcomes.reason_to_skip(partition)
        if reason is not None:
            self._drop(partition, plan)
            self.outcomes.skip(entry, reason, self.clock.now())
            return 0
        progress: Progress | None = None
        for item in self._items_of(partition, plan):
            entry.started_ms = partition.started_ms or entry.started_ms
            if isinstance(item, Failed):
                self._drop(partition, plan)
                self._fail(partition, entry, item.error)
                break
            if isinstance(item, Unavailable):
                self.outcomes.skip(entry, "unavailable", self.clock.now())
                break
            try:
                if isinstance(item, Page):
                    self.delivery.page(stream, item, partition, entry, write=write)
                    entry.partial = entry.partial or item.partial
                if entry.unmapped is not None:
                    # What follows lands too, but no bookmark may pass a row that did not.
                    if isinstance(item, Done):
                        raise entry.unmapped
                    self.delivery.state_if_due()
                    continue
                error_for_response = (
                    unserved(partition) if isinstance(item, Done) and not entry.pages else None
                )
                if error_for_response is not None:
                    raise error_for_response
                if not entry.partial:  # else all of it is asked for again at the next run
                    progress = self._account(item, partition, entry, progress)
            except (OSError, Stopped):  # of the output, which is everyone's
                raise
            except Exception as error:
                # Whatever is odd about a row, a time or a bookmark costs its pair, and no other.
                self._drop(partition, plan)
                self._fail(partition, entry, error)
                break
            if isinstance(item, Done):
                entry.complete(self.clock.now())
                self.outcomes.complete(partition, entry, stream.serving_platforms)
                break
            self.delivery.state_if_due()
        else:
            self.check_signal()
            # Nothing says that it was read to its end, so it does not count as read.
            self._drop(partition, plan)
            cut = PartitionFailed(
                "the reading ended before the end of its rows", reason="interrupted"
            )
            self._fail(partition, entry, cut)
        self.delivery.state_if_due()
        return entry.rows

    def _account(
        self, item: Any, partition: Partition, entry: PartitionReport, progress: Progress | None
    ) -> Progress:
        """Take in an item whose rows were delivered: the pair's report and its bookmark."""
        if isinstance(item, Begin):
            progress = partition.endpoint.replication.progress(partition)
            self._begin(partition, entry, progress)
            return progress
        assert progress is not None
        if isinstance(item, Done):
            progress.finish()
        else:
            progress.see(item)
        entry.window_start = progress.start_ms
        self._move(partition, progress)
        return progress

    def _show(self, stream: RutterStream, index: int, partitions: int) -> None:
        if self._selected_streams is None:
            self._selected_streams = [entry for entry in self.tap.rutter_streams if entry.selected]
        at = self._selected_streams.index(stream) if stream in self._selected_streams else 0
        self.progress_bar.show(
            stream.name, at, len(self._selected_streams), index, partitions, self.delivery.total
        )

    def _items_of(self, partition: Partition, plan: Plan) -> Iterator[Any]:
        for chain, item in self._items:
            self.check_signal()
            if isinstance(item, Idle):
                self.delivery.state_if_due()
            elif chain.owner is partition:
                yield item
            elif not plan.has_dropped(chain.owner):
                # A later pair's: this one has ended without a word, and costs no other its rows.
                self._items = itertools.chain([(chain, item)], self._items)
                return

    def _begin(self, partition: Partition, entry: PartitionReport, progress: Progress) -> None:
        entry.full_read = progress.full_read and partition.moves_bookmark
        sync_status = partition.sync_status
        entry.source_synced_ms = sync_status.synced_at
        entry.source_count = sync_status.count_of(partition.endpoint.rutter_object)
        entry.window_start, entry.window_end = progress.start_ms, partition.run.cutoff
        if partition.distrusts_bookmark:
            logger.warning(
                "The bookmark of %s for connection %s lies in the future: read from its start.",
                partition.endpoint.name,
                partition.connection.id,
            )
        self._note_history(partition)

    def _note_history(self, partition: Partition) -> None:
        """Remember what a connection's data are read under, once a run.

        Where it has grown, older rows may have come: the connection's bookmarks on the platforms'
        clocks go, in the same STATE in which the new history is written.
        """
        connection = partition.connection
        if connection.id in self._histories or not partition.moves_bookmark:
            return
        self._histories.add(connection.id)
        bookmarks = self.tap.bookmarks
        history = partition.history
        again = [
            stream.name
            for stream in self.tap.rutter_streams
            if stream.rereads_when_history_grows
            and bookmarks.input_state(stream.name, connection.id)
        ]
        if again and partition.has_grown:
            logger.info(
                "Connection %s has more history than before: its updated streams and statements"
                " are read again from their start.",
                connection.id,
            )
            for name in again:
                bookmarks.put(name, connection.id, None)
        if history.to_state():
            bookmarks.put_history(connection.id, history)

    def made_rows(self, stream: RutterStream) -> Iterator[Mapping[str, Any]]:
        """The rows of a stream that the run makes of what it knows."""
        if stream.name == "connections":
            rows = [connection.row for connection in self.connections]
            lost = self._chosen.not_found if self._chosen else ()
            return iter([*rows, *(entry.row for entry in lost if entry.row is not None)])
        return self.report.rows()

    def _emit_made(self, stream: RutterStream, *, write: bool) -> int:
        """Deliver rows that the tap has made of what it knows."""
        entry = PartitionReport(ALL, stream.name, self.clock.now())
        if stream.name != "sync_report":
            entry = self.report.partition(ALL, stream.name, self.clock.now())
            entry.full_read = True
        moment = datetime.fromtimestamp(self.clock.now() / 1000, UTC)
        for row in self.made_rows(stream):
            record = stream.conformer.conform(row, None, entry.repairs)
            try:
                if write:
                    self.delivery.record(stream, record, moment)
                entry.rows += 1
            except MapFailed as error:
                self.delivery.note_unmapped(error, entry)
        if entry.unmapped is None:
            entry.complete(self.clock.now())
        else:
            self.outcomes.fail_made(entry, entry.unmapped, self.clock.now())
        return entry.rows

    def _drop(self, partition: Partition, plan: Plan) -> None:
        plan.drop(partition)
        if self._ahead is not None:
            self._ahead.cancel(partition)

    def _fail(self, partition: Partition, entry: PartitionReport, error: Exception) -> None:
        if isinstance(error, Stopped):
            self.check_signal()
            raise error
        self.outcomes.fail(partition, entry, error, self.clock.now())
        if isinstance(error, ConnectionUnusable) and error.status == 401:
            self._check_credentials()

    def _check_credentials(self) -> None:
        """Find out once whether it is the organisation's credentials that are refused by now.

        Raises:
            CredentialsRefused: if so; no other connection needs to be asked.
        """
        if self._checked:
            return
        self._checked = True
        try:
            check_credentials(self.client, self.tap.settings)
        except CredentialsRefused:
            self._cut_short = True
            self.throttle.stop()
            raise

    @property
    def exit_code(self) -> int:
        """0 if everything is complete or was skipped for a benign reason, 1 otherwise."""
        return self.outcomes.exit_code(strict=self.tap.settings.fail_on_connection_error)

    # ---- bookmarks and STATE

    def _move(self, partition: Partition, progress: Progress) -> None:
        """Let the pair's partition say what the delivered rows justify."""
        if partition.endpoint.replication_key is None or not partition.moves_bookmark:
            return
        self.tap.bookmarks.put(
            partition.endpoint.name, partition.connection.id, progress.partition_state()
        )
