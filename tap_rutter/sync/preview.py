"""Reads a stream at once: one request after another, without reading ahead, moving no bookmark.

For the SDK's test of a tap (``--test``), and for code that iterates ``get_records``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tap_rutter.api.pages import Page
from tap_rutter.errors import ConnectionUnusable, MapFailed, NotActivated, Stopped, Unsupported
from tap_rutter.names import counted
from tap_rutter.records.conform import Repairs, decode_row
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import Unavailable
from tap_rutter.sync.emitter import Emitter
from tap_rutter.sync.interfaces import RunStream
from tap_rutter.sync.partition_report import ALL, PartitionReport
from tap_rutter.sync.plan import Plan, items_of
from tap_rutter.sync.read_ahead import Chain, Failed, ReadAhead
from tap_rutter.sync.writer import BlockWriter

logger = logging.getLogger("tap-rutter")


def preview_records(
    emitter: Emitter, stream: RunStream, context: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """A stream's records.

    Args:
        emitter: The emitter of the run whose connections are read.
        stream: The stream to read.
        context: The connection to read; None for all.

    Raises:
        RequestFailed: if a connection fails, and not only lacks the stream.
    """
    repairs = Repairs()
    if stream.is_written_by_run:
        for made in emitter.own_rows.of(stream):
            yield stream.conformer.conform(made, None, repairs)
        return
    plan = Plan([stream], emitter.connections, emitter.context)
    wanted = (context or {}).get("connection_id")
    for partition in plan.partitions(stream):
        if wanted not in {None, partition.connection.id}:
            partition.is_dropped = True
    for chain, item in ReadAhead(plan.chains(), workers=0):
        if isinstance(item, Failed):
            if not isinstance(item.error, Unsupported | NotActivated | ConnectionUnusable):
                raise item.error
        elif isinstance(item, Page):
            for raw in item.raws:
                for row in stream.transform_row(decode_row(raw), item, chain.owner):
                    yield stream.conformer.conform(row, chain.owner.connection.id, repairs)


def preview_stream(emitter: Emitter, stream: RunStream, limit: int) -> tuple[int, Exception | None]:
    """A few records of a stream, from as many connections as it takes.

    Skips and failures are recorded as in a run, and failures count for the exit code.

    Returns:
        How many records left; and the error, if one is the reason why there are no more.
    """
    given = 0
    for partition, entry, records in _tries(emitter, stream):
        moment = datetime.fromtimestamp(emitter.now() / 1000, UTC)
        try:
            for record in records:
                emitter.delivery.record(stream, record, moment)
                given += 1
                if given >= limit:
                    return given, None
        except (OSError, Stopped):  # the output has failed, or a signal came: this ends the run
            raise
        except Exception as error:
            if isinstance(error, MapFailed):
                emitter.delivery.note_unmapped(error, entry)
            if partition is None:
                emitter.outcomes.fail_rows_of_run(entry, error, emitter.now())
                return given, error
            emitter.outcomes.fail(partition, entry, error, emitter.now())
            if not isinstance(error, Unsupported | ConnectionUnusable):
                return given, error
        else:
            entry.complete(emitter.now())
            if partition is not None:
                emitter.outcomes.complete(partition, entry, stream.serving_platforms)
    return given, None


def _tries(
    emitter: Emitter, stream: RunStream
) -> Iterator[tuple[Partition | None, PartitionReport, Iterator[dict[str, Any]]]]:
    """The connections in which to try a stream."""
    if stream.is_written_by_run:
        entry = PartitionReport(ALL, stream.name, emitter.now())
        yield None, entry, preview_records(emitter, stream, None)
        return
    for partition in Plan([stream], emitter.connections, emitter.context).partitions(stream):
        if emitter.outcomes.reason_to_skip(partition) is None:
            entry = emitter.outcomes.report.partition(
                partition.connection.id, stream.name, emitter.now()
            )
            yield partition, entry, _records_of(emitter, stream, partition)


def _records_of(
    emitter: Emitter, stream: RunStream, partition: Partition
) -> Iterator[dict[str, Any]]:
    repairs = Repairs()
    for _, item in ReadAhead(iter([Chain(partition, items_of(partition))]), workers=0):
        emitter.check_signal()
        if isinstance(item, Failed):
            raise item.error
        if isinstance(item, Unavailable):
            raise Unsupported("Rutter says that it has no such list.", reason="unavailable")
        if isinstance(item, Page):
            for raw in item.raws:
                for row in stream.transform_row(decode_row(raw), item, partition):
                    yield stream.conformer.conform(row, partition.connection.id, repairs)


# ---- for the command line


def write_schemas(streams: Sequence[RunStream], writer: BlockWriter) -> None:
    """Write a SCHEMA of each selected stream, without any request."""
    selected = [stream for stream in streams if stream.selected]
    for stream in selected:
        stream.declare()
    writer.flush()
    logger.info("Tried out: the schemas of %s.", counted(len(selected), "stream"))


def write_records(emitter: Emitter, streams: Sequence[RunStream], writer: BlockWriter) -> None:
    """Write a SCHEMA and one record of each selected stream.

    A stream that fails does not keep others from being tried.
    """
    given = empty = failed = 0
    for stream in streams:
        if not stream.selected:
            continue
        emitter.check_signal()
        stream.declare()
        count, error = preview_stream(emitter, stream, limit=1)
        if error is not None:
            failed += 1
        elif count:
            given += 1
        else:
            empty += 1
        writer.flush()
    logger.info(
        "Tried out %s: %d gave a record, %d have none, %d failed.",
        counted(given + empty + failed, "stream"),
        given,
        empty,
        failed,
    )
