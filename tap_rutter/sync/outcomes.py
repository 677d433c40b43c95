"""What becomes of each pair: complete, skipped or failed; and the exit code that follows.

Judged by the emitter in plan order, so that neither output nor report depends on which worker was
faster.
"""

from __future__ import annotations

import logging

from tap_rutter.errors import ConnectionUnusable, NotActivated, RequestFailed, Unsupported
from tap_rutter.replication.base import Partition
from tap_rutter.sync.maps import MapFailed
from tap_rutter.sync.report import FOLDED, NOT_ACTIVATED, PartitionReport, Report
from tap_rutter.sync.support import Support

logger = logging.getLogger("tap-rutter")

_BENIGN = FOLDED | {"not_ready", "needs_reauth", "disabled"}
_LOGGED_FAILURES = 100


class Outcomes:
    """Takes in how pairs end, and says which need not be begun."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._support = Support()
        self._unusable: dict[str, str] = {}
        self._failures = 0

    def reason_to_skip(self, partition: Partition) -> str | None:
        """Why a pair is not read, judged by what ended before it; None where it is."""
        if (
            partition.connection.id in self._unusable
            and not partition.endpoint.is_about_connections
        ):
            return self._unusable[partition.connection.id]
        if self._support.is_not_activated(partition):
            return NOT_ACTIVATED
        return "unsupported" if self._support.rules_out(partition) else None

    def complete(
        self, partition: Partition, entry: PartitionReport, serving: frozenset[str] | None
    ) -> None:
        """The pair was read to its end.

        ``serving``: the platforms known to fill such a list; from others an empty one says no more
        than a refusal would.
        """
        if entry.pages:  # without an answer of its own it tells nothing: it had no parents
            self._support.served(partition)
        unserved = serving is not None and partition.connection.platform not in serving
        if unserved and entry.rows == 0 and not partition.input_state:
            self.skip(entry, "unsupported", entry.finished_ms or entry.started_ms)

    def skip(
        self, entry: PartitionReport, reason: str, now: int, error: RequestFailed | None = None
    ) -> None:
        """The pair is not read, or not to its end, for a reason that is no fault."""
        entry.skip(reason, now, error)
        # What was delivered is told of in a row of its own, and so is what users can change.
        if not entry.rows and reason != NOT_ACTIVATED:
            self.report.fold(entry)

    def fail(
        self, partition: Partition, entry: PartitionReport, error: Exception, now: int
    ) -> None:
        """The pair was not read to its end: a skip where the connection or platform is why."""
        if isinstance(error, ConnectionUnusable):
            self._unusable[partition.connection.id] = error.reason
            self.report.skip_connection(partition.connection.id, error.reason, now, error)
            self.skip(entry, error.reason, now, error)
            logger.warning(
                "Connection %s is skipped from here on (%s): %s",
                partition.connection.id,
                error.reason,
                error.message,
            )
        elif isinstance(error, NotActivated) and not (partition.is_served or entry.pages):
            # A bookmark is no objection: the organisation may have had the product before.
            self._support.not_activated(partition)
            self.skip(entry, error.reason, now, error)
        elif isinstance(error, Unsupported) and not (
            partition.input_state or partition.is_served or entry.pages
        ):
            self._support.missing(partition)
            self.skip(entry, "unsupported", now, error)
        else:
            entry.fail(error, now)
            self._log(partition, error)

    def fail_made(self, entry: PartitionReport, error: Exception, now: int) -> None:
        """Rows that the tap made itself did not all leave."""
        entry.fail(error, now)
        self._failures += 1

    def _log(self, partition: Partition, error: Exception) -> None:
        # A run over a thousand connections can fail sixty thousand times: sync_report has them all.
        self._failures += 1
        told = self._failures > _LOGGED_FAILURES or isinstance(error, MapFailed)
        level = logging.DEBUG if told else logging.ERROR
        logger.log(
            level,
            "%s of connection %s failed: %s",
            partition.endpoint.name,
            partition.connection.id,
            error,
            exc_info=None if isinstance(error, RequestFailed) else error,
        )

    def exit_code(self, *, strict: bool) -> int:
        """0 if everything is complete or was skipped for a benign reason, 1 otherwise.

        ``strict``: whether disabled connections and those that need to sign in again count.
        """
        benign = _BENIGN - {"needs_reauth", "disabled"} if strict else _BENIGN
        lost = any(reason not in benign for reason in self.report.reasons())
        return 1 if self._failures or lost else 0
