"""Snapshot streams: read whole at each run, without a bookmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_rutter import times
from tap_rutter.api.body import missing, open_body
from tap_rutter.api.json_text import ENCODER, decode_marked
from tap_rutter.api.pages import Page
from tap_rutter.api.request import Request, Response
from tap_rutter.connections.packed import json_of
from tap_rutter.errors import ConnectionUnusable, PartitionFailed
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import End, Item, ListItem


class NoBookmark:
    """The progress of a partition that is read whole each time."""

    full_read = True
    start_ms: int | None = None

    def see(self, item: ListItem) -> None:
        """Does nothing: there is no bookmark."""

    def finish(self) -> None:
        """Does nothing: there is no bookmark."""

    def partition_state(self) -> Mapping[str, Any] | None:
        """Always None: such a partition has no entry in the state."""
        return None


class Snapshot:
    """A list, or a single object, that is read whole."""

    label = "snapshot"
    reads_since = False

    def __init__(self, *, single: bool = False, may_come_later: bool = False) -> None:
        """
        Args:
            single: Whether the answer holds one object, which may be null, instead of a list.
            may_come_later: Whether Rutter may answer with a job.
        """
        self._single = single
        self._may_come_later = may_come_later

    def read(self, partition: Partition) -> Iterator[Item]:
        """The whole list, or the object."""
        if self._single:
            yield single_object(partition)
        else:
            yield from partition.pages(partition.params(), may_come_later=self._may_come_later)
        yield End()

    def progress(self, partition: Partition) -> NoBookmark:  # noqa: ARG002 - the protocol's
        """There is no bookmark."""
        return NoBookmark()


class Status:
    """The connection's status, which the run has read anyway: this makes no further request.

    If it could not be read, the partition fails: a row with nulls would overwrite an earlier one.
    """

    label = "snapshot"
    reads_since = False

    def read(self, partition: Partition) -> Iterator[Item]:
        """The one row.

        Raises:
            RequestFailed: if it could not be read.
        """
        sync_status = partition.sync_status
        if isinstance(sync_status.trouble, ConnectionUnusable):
            # With force_fetch the connection's data are read all the same, so only this partition
            # fails.
            trouble = sync_status.trouble
            raise PartitionFailed(
                trouble.message, reason=trouble.reason, status=trouble.status, code=trouble.code
            )
        if sync_status.trouble is not None:
            raise sync_status.trouble
        raw = json_of(sync_status.status)
        yield Page(raws=[raw], next_cursor=None, received_ms=sync_status.received_ms, size=len(raw))
        yield End()

    def progress(self, partition: Partition) -> NoBookmark:  # noqa: ARG002 - the protocol's
        """There is no bookmark."""
        return NoBookmark()


def single_object(
    partition: Partition,
    *,
    path: str | None = None,
    declared: str | None = None,
    request_values: Mapping[str, Any] | None = None,
) -> Page:
    """One object under its key, as a page of one row; a page without rows if it is null.

    ``declared``: the path in the API document, if ``path`` has an id in it.
    """
    path, key = path or partition.endpoint.path, partition.endpoint.records_key
    query = {
        name: value for name, value in partition.params(declared or path).items() if name != "limit"
    }

    def decode(answer: Response) -> Page:
        outer = open_body(answer.content)
        if key not in outer:
            raise missing(answer.content, key, path)
        value = decode_marked(outer[key])
        rows = value if isinstance(value, list) else [value]
        if any(not isinstance(row, dict) for row in rows if row is not None):
            raise missing(answer.content, key, path)
        return Page(
            raws=[ENCODER.encode(row) for row in rows if row is not None],
            next_cursor=None,
            received_ms=answer.received_ms,
            size=len(answer.content),
            request_values=dict(request_values or {}),
        )

    def send(params: Mapping[str, str]) -> Page:
        call = Request(path, params, partition.connection.id)
        return partition.run.client.get(call, decode, partition.counts)

    return partition.ask(query, send)


def utc_day(ms: int) -> str:
    """The midnight (UTC) at which the day of a time began."""
    return times.to_text(ms - ms % times.DAY)
