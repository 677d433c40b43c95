"""A run: it starts by listing the connections, hands streams to the emitter, and has a result.

``start`` lists the connections and takes the cutoff, once; nothing else here does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tap_rutter.api.client import Client
from tap_rutter.api.clock import Clock
from tap_rutter.api.throttle import Throttle
from tap_rutter.connections.selection import REFUSING, Selection, select_connections
from tap_rutter.errors import ConnectionUnusable, TapError, Terminated
from tap_rutter.names import counted
from tap_rutter.redact import SECRETS
from tap_rutter.replication.after_sync import AfterSync
from tap_rutter.replication.run_context import RunContext
from tap_rutter.schema.document import document
from tap_rutter.sync import preview
from tap_rutter.sync.delivery import Delivery
from tap_rutter.sync.emitter import Emitter
from tap_rutter.sync.interfaces import RunStream, RunTap
from tap_rutter.sync.outcomes import Outcomes
from tap_rutter.sync.plan import is_asked
from tap_rutter.sync.progress import NoProgressBar, ProgressBar
from tap_rutter.sync.report import Report
from tap_rutter.sync.report_file import ReportFile
from tap_rutter.sync.unserved import Unserved

logger = logging.getLogger("tap-rutter")


@dataclass(frozen=True)
class Started:
    """What a run knows once it has listed its connections."""

    selection: Selection
    context: RunContext
    outcomes: Outcomes
    emitter: Emitter


class Run:
    """One run of the tap."""

    def __init__(self, tap: RunTap) -> None:
        settings = tap.settings
        SECRETS.add_basic(settings.client_id, settings.client_secret)
        SECRETS.add(*settings.access_tokens)
        self._tap = tap
        self.clock = Clock()
        self.throttle = Throttle(settings.concurrency)
        self.client = Client(settings, self.clock, self.throttle)
        self.delivery = Delivery(tap)
        self.progress_bar: ProgressBar = NoProgressBar()
        self.ended_by: int | None = None
        self._started: Started | None = None
        self._finished = False
        self.trouble: TapError | None = None
        """Why the run did not begin, or was given up."""
        self._report_file = ReportFile(settings.report_file) if settings.report_file else None

    # ---- start

    def start(self) -> Started:
        """List the connections and take the run's one cutoff. A further call does nothing.

        Raises:
            ConfigError: for a ``connections_file`` that cannot be used.
            CredentialsRefused: when Rutter refuses the client id and secret.
            UnknownConnections: when none of ``connection_ids`` exists.
            RequestFailed: when the connections cannot be listed.
        """
        if self._started is None:
            try:
                selection = select_connections(self.client, self._tap.settings)
                logger.info(
                    "%s chosen, API version %s.",
                    counted(len(selection.connections), "connection"),
                    self._tap.settings.api_version,
                )
                # The cutoff comes after the listing: its answer corrects the clock.
                started = self._begun(selection, self.clock.now())
                if self._tap.settings.connections_file:
                    self._ask_first(started)
            except TapError as error:
                self.trouble = error
                raise
            self._started = started
        return self._started

    def _ask_first(self, started: Started) -> None:
        """Read one connection's status, where no list of connections has been asked for.

        Its answer corrects the clock, and shows that there is somebody who answers. No request is
        made in vain: the first partition of that connection needs it.

        Raises:
            Unreachable: when nothing answers.
        """
        context = started.context
        for connection in started.selection.connections:
            if is_asked(connection, context):
                with suppress(ConnectionUnusable):  # kept, and told of with its first partition
                    context.standing(connection)
                break
        context.cutoff = self.clock.now()

    def _begun(self, selection: Selection, cutoff: int) -> Started:
        settings = self._tap.settings
        full_table = frozenset(
            stream.name
            for stream in self._tap.rutter_streams
            if stream.forced_replication_method == "FULL_TABLE"
        )
        context = RunContext(
            settings=settings,
            client=self.client,
            document=document(settings.api_version),
            input_state=self._tap.bookmarks,
            cutoff=cutoff,
            full_table=full_table,
            after_sync=AfterSync(settings, cutoff, self._read_streams(), self._resynced(full_table))
            if settings.only_after_sync
            else None,
        )
        report = Report(settings.api_version, cutoff)
        for entry in selection.not_found:
            report.skip_connection(entry.name, entry.reason, cutoff, entry.error)
        for connection in selection.connections:
            reason = REFUSING.get(connection.status)
            if connection.status == "not_ready" and not settings.force_fetch:
                reason = "not_ready"
            if reason:
                report.skip_connection(connection.id, reason, cutoff)
        unserved = Unserved(self._tap.bookmarks, settings, cutoff)
        outcomes = Outcomes(report, unserved, context.scouting)
        emitter = Emitter(
            self._tap,
            context,
            selection,
            outcomes,
            self.delivery,
            check_signal=self.check_signal,
        )
        return Started(selection, context, outcomes, emitter)

    def _read_streams(self) -> list[str]:
        """The selected streams that are read from the API, partition by partition."""
        return [
            stream.name
            for stream in self._tap.rutter_streams
            if stream.selected and not stream.is_written_by_run
        ]

    def _resynced(self, full_table: frozenset[str]) -> frozenset[str]:
        """Streams that somebody wants to have again.

        In a catalog, snapshots are FULL_TABLE whatever is wanted: they count with any other.
        """
        has_bookmark = {
            stream.name
            for stream in self._tap.rutter_streams
            if stream.selected and stream.replication_key is not None
        }
        return full_table if full_table & has_bookmark else frozenset()

    @property
    def is_started(self) -> bool:
        """Whether the connections have been listed."""
        return self._started is not None

    # ---- streams, one after another

    def emit(self, stream: RunStream, *, write: bool = True) -> None:
        """Deliver all partitions of one stream, then, at the last stream, the end of the run."""
        self.check_signal()
        emitter = self.start().emitter
        if stream.ABORT_AT_RECORD_COUNT is not None:
            _, error = preview.preview_stream(emitter, stream, stream.ABORT_AT_RECORD_COUNT)
            self._tap.writer.flush()
            if error is not None:
                raise error
            return
        emitter.emit(stream, self.progress_bar, write=write)
        self.tell()
        if stream is self._last_stream():
            self.finish()

    def _last_stream(self) -> RunStream | None:
        selected = [stream for stream in self._tap.rutter_streams if stream.selected]
        return selected[-1] if selected else None

    # ---- end

    def end(self, signum: int) -> None:
        """Ask the run to end: the workers at once, the emitter between two items.

        It is called from another thread than the emitter's. The emitter completes the item that it
        has begun, so that no line is split and no bookmark moves halfway.
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

    def finish(self) -> None:
        """Write the last STATE; before it the report, if the run was cut short."""
        if self._finished:
            return
        self._finished = True
        if self._started is None:
            self.delivery.state()
            return
        self._started.emitter.finish(is_signalled=self.ended_by is not None)

    def tell(self) -> None:
        """Write what has been judged to the report file, where there is one."""
        if self._report_file is not None and self._started is not None:
            self._report_file.tell(self.report)

    def end_report(self, code: int) -> None:
        """The end of the report file, where there is one; ``code``: the exit code."""
        if self._report_file is not None:
            self._report_file.end(
                code,
                report=self.report if self._started else None,
                trouble=self.trouble,
                last_state=self._tap.writer.states,
                requests=self.throttle.turns,
                throttled=self.throttle.refused,
            )

    def close(self) -> None:
        """End all threads and connections."""
        if self._report_file is not None:
            self._report_file.close()
        self.progress_bar.stop()
        self.throttle.stop()
        if self._started is not None:
            self._started.emitter.stop()
        self.client.close()

    # ---- the result

    @property
    def report(self) -> Report:
        """The outcomes of the partitions so far. It exists once the run has started."""
        assert self._started is not None, "the run has not started"
        return self._started.outcomes.report

    @property
    def notices(self) -> Sequence[str]:
        """Hints about settings that have no effect, or name what does not exist."""
        return (*self._tap.notices, *(self._started.selection.notices if self._started else ()))

    @property
    def exit_code(self) -> int:
        """0 if everything is complete or was skipped for a benign reason, 1 otherwise."""
        assert self._started is not None, "the run has not started"
        strict = self._tap.settings.fail_on_connection_error
        return self._started.outcomes.exit_code(strict=strict)
