"""The emitter: the one thread that takes what was read, in plan order, and writes messages.

It alone writes messages and moves bookmarks. No STATE precedes the records that it covers. A
partition that fails keeps the bookmark that its delivered rows justify, and costs no other
partition anything.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from typing import assert_never

from tap_rutter.api.pages import Page
from tap_rutter.connections.selection import Connection, Selection, check_credentials
from tap_rutter.errors import (
    ConnectionUnusable,
    CredentialsRefused,
    PartitionFailed,
    Stopped,
)
from tap_rutter.replication.base import Partition, Progress
from tap_rutter.replication.items import (
    Begin,
    BoundsIgnored,
    DeliveredItem,
    Done,
    End,
    ListItem,
    MonthsRead,
    OrderBroken,
    ParentRead,
    ParentsRead,
    Unavailable,
    Unchanged,
    Unsorted,
    WindowEnd,
)
from tap_rutter.replication.run_context import RunContext
from tap_rutter.sync.delivery import Delivery
from tap_rutter.sync.interfaces import RunStream, RunTap
from tap_rutter.sync.last_reads import LastReads
from tap_rutter.sync.outcomes import Outcomes
from tap_rutter.sync.own_rows import OwnRows
from tap_rutter.sync.partition_report import NOT_SYNCED, PartitionReport
from tap_rutter.sync.plan import Plan, is_unchanged
from tap_rutter.sync.progress import ProgressBar
from tap_rutter.sync.read_ahead import Brought, Chain, Failed, Idle, ReadAhead

logger = logging.getLogger("tap-rutter")

_PATIENCE = 5.0  # seconds in which workers may end what they are doing
_NOTHING_SET = object()


class Emitter:
    """Delivers the partitions of a run, stream by stream."""

    def __init__(
        self,
        tap: RunTap,
        context: RunContext,
        selection: Selection,
        outcomes: Outcomes,
        delivery: Delivery,
        *,
        check_signal: Callable[[], None],
    ) -> None:
        self._tap = tap
        self.context = context
        self.selection = selection
        self.outcomes = outcomes
        self.delivery = delivery
        self.check_signal = check_signal
        self.own_rows = OwnRows(selection, outcomes, delivery, self.now)
        self._plan: Plan | None = None
        self._queue: list[RunStream] = []
        self._planned = 0  # streams
        self._last_reads = LastReads(context, tap.bookmarks)
        self.bookmarks = tap.bookmarks
        self._read_ahead: ReadAhead[Partition] | None = None
        self._items: Iterator[tuple[Chain[Partition], Brought]] = iter(())
        self._histories: set[str] = set()
        self._has_checked_credentials = False
        self._is_cut_short = False

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that the settings choose."""
        return self.selection.connections

    def now(self) -> int:
        """The time on the run's clock, Unix ms."""
        return self.context.client.clock.now()

    # ---- streams

    def emit(self, stream: RunStream, bar: ProgressBar, *, write: bool) -> None:
        """Deliver all partitions of one stream."""
        with stream.get_record_counter() as counter, stream.get_sync_timer():
            if stream.is_written_by_run:
                counter.increment(self.own_rows.emit(stream, write=write))
                return
            plan = self._plan_from(stream)
            partitions = plan.partitions(stream)
            selected = [entry for entry in self._tap.rutter_streams if entry.selected]
            place = selected.index(stream) if stream in selected else 0
            for index, partition in enumerate(partitions):
                delivered = self.delivery.total
                bar.show(stream.name, place, len(selected), index, len(partitions), delivered)
                counter.increment(self._emit_partition(stream, partition, write=write))
            plan.forget(stream)

    def _plan_from(self, stream: RunStream) -> Plan:
        """The plan in which this stream is next; a new plan if streams come out of order."""
        if not (self._plan and self._queue and self._queue[0] is stream):
            streams = [
                entry
                for entry in self._tap.rutter_streams
                if entry.selected and not entry.is_written_by_run
            ]
            self._planned = len(streams)
            self._queue = streams[streams.index(stream) :] if stream in streams else [stream]
            self.stop()
            self._plan = Plan(
                self._queue,
                self.connections,
                self.context,
                is_left_out=self.outcomes.unserved.rules_out,
            )
            self._read_ahead = ReadAhead(
                self._plan.chains(), workers=self.context.settings.concurrency
            )
            self._items = iter(self._read_ahead)
        self._queue = self._queue[1:]
        return self._plan

    def finish(self, *, is_signalled: bool) -> None:
        """The last STATE; where the run was cut short, its report before that."""
        self._last_reads.write(self.connections, self._planned)
        if self._is_cut_short or is_signalled:
            for stream in self._tap.rutter_streams:
                if stream.name == "sync_report" and stream.selected:
                    stream._write_schema_message()
                    self.own_rows.emit(stream, write=True)
        self.delivery.state()
        self.stop(timeout=0.0 if is_signalled else _PATIENCE)

    def stop(self, timeout: float = _PATIENCE) -> None:
        """End the workers; wait at most ``timeout`` seconds for what they are doing now."""
        if self._read_ahead is not None:
            self._read_ahead.stop(timeout=timeout)

    # ---- one partition

    def _emit_partition(self, stream: RunStream, partition: Partition, *, write: bool) -> int:
        """Deliver one partition; returns how many records left."""
        report = self.outcomes.report.partition(partition.connection.id, stream.name, self.now())
        report.counts = partition.counts
        reason = self.outcomes.reason_to_skip(partition)
        if reason is not None:
            self._drop(partition)
            self.outcomes.leave_out(partition, report, reason, self.now())
        elif is_unchanged(partition):
            self._drop(partition)
            self.leave_unchanged(partition, report)
        else:
            self._read(stream, partition, report, write=write)
        self._last_reads.ended(partition, report)
        self.outcomes.report.close(report)
        return report.rows

    def leave_unchanged(self, partition: Partition, report: PartitionReport) -> None:
        """Nothing was synced since the partition was last read."""
        standing = self.context.known_standing(partition.connection)
        report.source_synced_ms = None if standing is None else standing.completed_ms
        self.outcomes.leave_out(partition, report, NOT_SYNCED, self.now())

    def _read(
        self, stream: RunStream, partition: Partition, report: PartitionReport, *, write: bool
    ) -> None:
        account = _Account(self, stream, partition, report, write=write)
        for item in self._items_of(partition):
            report.started_ms = partition.started_ms or report.started_ms
            if isinstance(item, Failed):
                self._drop(partition)
                self._fail(partition, report, item.error)
                break
            try:
                account.take(item)
            except (OSError, Stopped):  # the output has failed, which ends the run
                raise
            except Exception as error:
                # Whatever is odd about a row, a time or a bookmark fails this partition alone.
                self._drop(partition)
                self._fail(partition, report, error)
                break
            if account.is_over:
                break
            self.delivery.state_if_due()
        else:
            self.check_signal()
            # Nothing says that it was read to its end, so it does not count as read.
            self._drop(partition)
            cut = PartitionFailed(
                "the reading ended before the end of its rows", reason="interrupted"
            )
            self._fail(partition, report, cut)
        self.delivery.state_if_due()

    def _items_of(self, partition: Partition) -> Iterator[DeliveredItem | Failed]:
        for chain, item in self._items:
            self.check_signal()
            if isinstance(item, Idle):
                self.delivery.state_if_due()
            elif chain.owner is partition:
                yield item
            elif not chain.owner.is_dropped:
                # A later partition's: this one ended without a word, and costs no other its rows.
                self._items = itertools.chain([(chain, item)], self._items)
                return

    def _drop(self, partition: Partition) -> None:
        partition.is_dropped = True
        if self._read_ahead is not None:
            self._read_ahead.cancel(partition)

    def _fail(self, partition: Partition, report: PartitionReport, error: Exception) -> None:
        if isinstance(error, Stopped):
            self.check_signal()
            raise error
        self.outcomes.fail(partition, report, error, self.now())
        if isinstance(error, ConnectionUnusable) and error.status == 401:
            self._check_credentials()

    def _check_credentials(self) -> None:
        """Find out, once, whether Rutter now refuses the organisation's credentials.

        Raises:
            CredentialsRefused: if it does; then no other connection needs to be asked.
        """
        if self._has_checked_credentials:
            return
        self._has_checked_credentials = True
        client = self.context.client
        try:
            check_credentials(client, self.context.settings)
        except CredentialsRefused:
            self._is_cut_short = True
            client.throttle.stop()
            raise

    # ---- what a partition's first item says about its connection

    def begin(self, partition: Partition, report: PartitionReport, progress: Progress) -> None:
        """Take note of how the partition's connection stands, before its rows."""
        report.full_read = progress.full_read and partition.moves_bookmark
        status = partition.sync_status
        report.source_synced_ms = status.synced_at
        report.source_count = status.count_of(partition.endpoint.rutter_object)
        report.window_start, report.window_end = progress.start_ms, self.context.cutoff
        if partition.distrusts_bookmark:
            logger.warning(
                "The bookmark of %s for connection %s lies in the future: read from its start.",
                partition.endpoint.name,
                partition.connection.id,
            )
        self._note_history(partition)

    def _note_history(self, partition: Partition) -> None:
        """Put a connection's history into the state, once a run.

        If it has grown, older rows may have come. So the connection's bookmarks that are times of
        its platform's clock are removed, in the same STATE that has the new history.
        """
        connection = partition.connection
        if connection.id in self._histories or not partition.moves_bookmark:
            return
        self._histories.add(connection.id)
        bookmarks = self.bookmarks
        again = [
            stream.name
            for stream in self._tap.rutter_streams
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
        if partition.has_grown:
            self._last_reads.forget(connection)
        history = partition.history
        if history.to_state():
            bookmarks.put_history(connection.id, history)


class _Account:
    """One partition while its items come: its report, its progress and what was delivered."""

    def __init__(
        self,
        emitter: Emitter,
        stream: RunStream,
        partition: Partition,
        report: PartitionReport,
        *,
        write: bool,
    ) -> None:
        self._emitter = emitter
        self._stream = stream
        self._partition = partition
        self._report = report
        self._write = write
        self._progress: Progress | None = None
        self._moves_bookmark = False
        self._content: object = _NOTHING_SET
        """What the partition's entry in the state was last set to."""
        self.is_over = False

    def take(self, item: DeliveredItem) -> None:
        """Handle one item, in plan order.

        Raises:
            Exception: any error; it fails the partition.
        """
        match item:
            case Unavailable():
                self._emitter.outcomes.leave_out(
                    self._partition, self._report, "unavailable", self._emitter.now()
                )
                self.is_over = True
            case Unchanged():
                self._emitter.leave_unchanged(self._partition, self._report)
                self.is_over = True
            case Begin():
                self._progress = self._partition.endpoint.replication.progress(self._partition)
                self._emitter.begin(self._partition, self._report, self._progress)
                has_bookmark = self._partition.endpoint.replication_key is not None
                self._moves_bookmark = has_bookmark and self._partition.moves_bookmark
                self._move()
            case Page():
                self._deliver(item)
            case End() | Unsorted() | WindowEnd() | BoundsIgnored() | OrderBroken():
                self._see(item)
            case MonthsRead() | ParentRead() | ParentsRead():
                self._see(item)
            case Done():
                self._complete()
            case _:
                assert_never(item)

    def _deliver(self, page: Page) -> None:
        report = self._report
        self._emitter.delivery.page(self._stream, page, self._partition, report, write=self._write)
        report.partial = report.partial or page.partial
        self._see(page)

    def _see(self, item: ListItem) -> None:
        # No bookmark passes a row for which a map failed. After a partial job, all is read again.
        if self._report.unmapped is None and not self._report.partial:
            self._known_progress().see(item)
            self._move()

    def _complete(self) -> None:
        report, partition, emitter = self._report, self._partition, self._emitter
        if report.unmapped is not None:
            raise report.unmapped
        unserved = None if report.pages else partition.unserved()
        if unserved is not None:
            raise unserved
        # If only one parent answered 404, no first bookmark is set: a platform without such a list
        # would then seem to have had rows of it.
        has_rows = report.pages or partition.input_state or not partition.absent
        if has_rows and not report.partial:
            self._known_progress().finish()
            self._move()
        report.complete(emitter.now())
        emitter.outcomes.complete(partition, report, self._stream.serving_platforms)
        self.is_over = True

    def _known_progress(self) -> Progress:
        assert self._progress is not None, "a partition begins with Begin"
        return self._progress

    def _move(self) -> None:
        progress = self._known_progress()
        self._report.window_start = progress.start_ms
        if not self._moves_bookmark:
            return
        content = progress.partition_state()
        if content != self._content:  # most items change nothing
            self._content = content
            partition = self._partition
            self._emitter.bookmarks.put(partition.endpoint.name, partition.connection.id, content)
