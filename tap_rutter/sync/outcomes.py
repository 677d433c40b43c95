"""The outcome of each partition: complete, skipped or failed; and the exit code.

The emitter decides it in plan order, so that neither the output nor the report depends on which
worker was faster.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import assert_never

from tap_rutter.errors import (
    ConnectionUnusable,
    MapFailed,
    NotActivated,
    RequestFailed,
    Unsupported,
)
from tap_rutter.replication.base import Partition
from tap_rutter.replication.scouting import ENOUGH, Answer, Scouting
from tap_rutter.sync.partition_report import FOLDED, NOT_ACTIVATED, NOT_SYNCED, PartitionReport
from tap_rutter.sync.report import Report
from tap_rutter.sync.unserved import Unserved

logger = logging.getLogger("tap-rutter")

_BENIGN = FOLDED | {"not_ready", "needs_reauth", "disabled"}
_LOGGED_FAILURES = 100


class Outcomes:
    """Records how partitions end, and says which ones need not be read."""

    def __init__(self, report: Report, unserved: Unserved, scouting: Scouting) -> None:
        """
        Args:
            report: Where the outcomes are told.
            unserved: What earlier runs have found out about platforms, and this one finds out.
            scouting: Which partitions wait for what others find out.
        """
        self.report = report
        self.unserved = unserved
        self._scouting = scouting
        self._lists = _Served()
        self._unusable: dict[str, str] = {}
        self._failures = 0

    def reason_to_skip(self, partition: Partition) -> str | None:
        """Why a partition is not read, given how earlier ones ended; None if it is read."""
        if (
            partition.connection.id in self._unusable
            and not partition.endpoint.is_about_connections
        ):
            return self._unusable[partition.connection.id]
        if self._lists.is_not_activated(partition):
            return NOT_ACTIVATED
        known = self.unserved.rules_out(partition) or self._lists.rules_out(partition)
        return "unsupported" if known else None

    def leave_out(
        self, partition: Partition, entry: PartitionReport, reason: str, now: int
    ) -> None:
        """The partition was not asked."""
        # One that is not read, since nothing was synced, tells what it told before.
        is_served = reason == NOT_SYNCED and partition.input_state is not None
        self._judge(partition, Answer.SERVED if is_served else Answer.NOTHING)
        self.skip(entry, reason, now)

    def complete(
        self, partition: Partition, entry: PartitionReport, serving: frozenset[str] | None
    ) -> None:
        """The partition was read to its end.

        ``serving``: the platforms known to fill such a list. From others, an empty list means the
            same as a refusal.
        """
        # Without an answer of its own it tells nothing: it had no parents.
        self._judge(partition, Answer.SERVED if entry.pages else Answer.NOTHING)
        unserved = serving is not None and partition.connection.platform not in serving
        if unserved and entry.rows == 0 and not partition.input_state:
            self.skip(entry, "unsupported", entry.finished_ms or entry.started_ms)

    def skip(
        self, entry: PartitionReport, reason: str, now: int, error: RequestFailed | None = None
    ) -> None:
        """The partition is not read, or not to its end, for a reason that is not a failure."""
        entry.skip(reason, now, error)
        # A partition that delivered rows, or that users can activate, gets its own row in
        # sync_report.
        if not entry.rows and reason != NOT_ACTIVATED:
            self.report.fold(entry)

    def fail(
        self, partition: Partition, entry: PartitionReport, error: Exception, now: int
    ) -> None:
        """The partition was not read to its end: a skip where the connection or platform is why."""
        is_served = bool(partition.is_served or entry.pages)
        answer = Answer.SERVED if is_served else Answer.NOTHING
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
        elif isinstance(error, NotActivated) and not is_served:
            # With a bookmark, too: the organisation may have had the product before.
            answer = Answer.CLOSED
            self.skip(entry, error.reason, now, error)
        elif isinstance(error, Unsupported) and not (partition.input_state or is_served):
            if partition.run.counts(partition.connection):
                answer = Answer.MISSING
            self.skip(entry, "unsupported", now, error)
        else:
            entry.fail(error, now)
            self._log(partition, error)
        self._judge(partition, answer)

    def _judge(self, partition: Partition, answer: Answer) -> None:
        """Take in what the partition tells of others, for this run and for those to come."""
        self._lists.take(partition, answer)
        if answer is Answer.SERVED:
            self.unserved.served(partition)
        elif answer is Answer.MISSING and not self._lists.is_served(partition):
            self.unserved.missing(partition)
        self._scouting.note(partition.place, answer)

    def fail_rows_of_run(self, entry: PartitionReport, error: Exception, now: int) -> None:
        """Some rows that come from the run itself did not leave."""
        entry.fail(error, now)
        self._failures += 1

    def _log(self, partition: Partition, error: Exception) -> None:
        # In a run over a thousand connections, 60,000 partitions can fail. sync_report names them
        # all.
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


class _Served:
    """Which streams the platforms of a run serve, by what their connections answered."""

    def __init__(self) -> None:
        self._served: Counter[tuple[str, str]] = Counter()
        self._missing: Counter[tuple[str, str]] = Counter()
        self._anywhere: set[str] = set()
        self._closed: Counter[str] = Counter()

    def take(self, partition: Partition, answer: Answer) -> None:
        """Count what the partition has found out."""
        match answer:
            case Answer.SERVED:
                self._served[_key(partition)] += 1
                self._anywhere.add(partition.endpoint.name)
            case Answer.MISSING:
                self._missing[_key(partition)] += 1
            case Answer.CLOSED:
                self._closed[partition.endpoint.name] += 1
            case Answer.NOTHING:
                pass
            case _:
                assert_never(answer)

    def is_served(self, partition: Partition) -> bool:
        """Whether any partition of the platform was served so far."""
        return bool(self._served[_key(partition)])

    def is_not_activated(self, partition: Partition) -> bool:
        """Whether the organisation has no access: two partitions were refused, and none was served.

        This does not depend on the platform, nor on what was read before.
        """
        name = partition.endpoint.name
        return self._closed[name] >= ENOUGH and name not in self._anywhere

    def rules_out(self, partition: Partition) -> bool:
        """Whether the platform lacks the list: two of its partitions got 404, and none was served.

        A partition with a bookmark is always read: it once had rows.
        """
        key = _key(partition)
        return (
            bool(partition.connection.platform)
            and not partition.input_state
            and self._missing[key] >= ENOUGH
            and not self._served[key]
        )


def _key(partition: Partition) -> tuple[str, str]:
    return partition.connection.platform, partition.endpoint.name
