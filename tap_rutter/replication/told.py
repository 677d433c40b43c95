"""What the caller of a run knows of changes: webhooks tell of them (``connections_file.py``)."""

from __future__ import annotations

from collections.abc import Mapping

from tap_rutter import times
from tap_rutter.connections.connections_file import ALL_STREAMS
from tap_rutter.replication.base import Partition
from tap_rutter.replication.run_context import REPLICATION_KEY_VALUE

TOLERANCE = 5 * times.MINUTE
"""Changes are told of by a platform's clock, which may be ahead of Rutter's."""


def told(partition: Partition) -> Partition:
    """The partition, with what its connection's row in the file says of it."""
    wanted = partition.connection.wanted
    partition.since = _moment(partition, wanted.since)
    partition.start_by = _moment(partition, wanted.start_by)
    return partition


def _moment(partition: Partition, by_stream: Mapping[str, int]) -> int | None:
    """The time, Unix ms; None where the partition is read as usual.

    That is where a bound of time would hide changes, and where there is no bookmark to keep: what
    the partition held before the change has not been read.
    """
    moment = by_stream.get(partition.endpoint.name, by_stream.get(ALL_STREAMS))
    if moment is None or not partition.endpoint.replication.reads_since:
        return None
    state = partition.input_state or {}
    given = (state.get(REPLICATION_KEY_VALUE), *(state.get("passes") or {}).values())
    if all(partition.resumes(value) is None for value in given):
        return None
    return max(moment - TOLERANCE, 0)


def started_by(partition: Partition, start_ms: int) -> int:
    """Where a read with a bookmark starts: where it would, or earlier if the caller says so."""
    return start_ms if partition.start_by is None else min(start_ms, partition.start_by)
