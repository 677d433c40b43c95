"""Reading a stream here and now: one request after another, nothing ahead, no bookmark moved.

For the SDK's trial of a tap (``--test``) and for whoever iterates ``get_records``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_rutter.api.pages import Page
from tap_rutter.errors import ConnectionUnusable, NotActivated, Stopped, Unsupported
from tap_rutter.names import counted
from tap_rutter.records.conform import Repairs, decode_row
from tap_rutter.replication.base import Partition
from tap_rutter.sync.maps import MapFailed
from tap_rutter.sync.plan import Plan, Unavailable, items_of
from tap_rutter.sync.read_ahead import Chain, Failed, ReadAhead
from tap_rutter.sync.report import PartitionReport

if TYPE_CHECKING:
    from tap_rutter.streams.base import RutterStream
    from tap_rutter.sync.run import Run
    from tap_rutter.tap import TapRutter

logger = logging.getLogger("tap-rutter")

WRITTEN_BY_RUN = frozenset({"connections", "sync_report"})
"""Streams whose rows the tap makes of what it knows."""


def preview_records(
    run: Run, stream: RutterStream, context: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """A stream's records.

    Args:
        run: The run whose connections are read.
        stream: What to read.
        context: Which connection to read; all for None.

    Raises:
        RequestFailed: where a connection fails for another reason than being of no use.
    """
    repairs = Repairs()
    if stream.name in WRITTEN_BY_RUN:
        for made in run.made_rows(stream):
            yield stream.conformer.conform(made, None, repairs)
        return
    plan = Plan([stream], run.connections, run.context)
    wanted = (context or {}).get("connection_id")
    for partition in plan.partitions(stream):
        if wanted not in {None, partition.connection.id}:
            plan.drop(partition)
    for chain, item in ReadAhead(plan.chains(), workers=0):
        if isinstance(item, Failed):
            if not isinstance(item.error, Unsupported | NotActivated | ConnectionUnusable):
                raise item.error
        elif isinstance(item, Page):
            for raw in item.raws:
                for row in stream.transform_row(decode_row(raw), item, chain.owner):
                    yield stream.conformer.conform(row, chain.owner.connection.id, repairs)


def preview_stream(run: Run, stream: RutterStream, limit: int) -> tuple[int, Exception | None]:
    """A few records of a stream, from as many connections as it takes.

    What a platform lacks is learnt as in a run, and what fails counts for the exit code.

    Returns:
        How many left, and why there are no more if that is a fault.
    """
    given = 0
    for partition, entry, records in _tries(run, stream):
        moment = datetime.fromtimestamp(run.clock.now() / 1000, UTC)
        try:
            for record in records:
                run.delivery.record(stream, record, moment)
                given += 1
                if given >= limit:
                    return given, None
        except (OSError, Stopped):  # of the output, or a signal: everyone's
            raise
        except Exception as error:
            if isinstance(error, MapFailed):
                run.delivery.note_unmapped(error, entry)
            if partition is None:
                run.outcomes.fail_made(entry, error, run.clock.now())
                return given, error
            run.outcomes.fail(partition, entry, error, run.clock.now())
            if not isinstance(error, Unsupported | ConnectionUnusable):
                return given, error
        else:
            entry.complete(run.clock.now())
            if partition is not None:
                run.outcomes.complete(partition, entry, stream.serving_platforms)
    return given, None


def _tries(
    run: Run, stream: RutterStream
) -> Iterator[tuple[Partition | None, PartitionReport, Iterator[dict[str, Any]]]]:
    """Where to try a stream, one place after another."""
    if stream.name in WRITTEN_BY_RUN:
        entry = PartitionReport("", stream.name, run.clock.now())
        yield None, entry, preview_records(run, stream, None)
        return
    for partition in Plan([stream], run.connections, run.context).partitions(stream):
        if run.outcomes.reason_to_skip(partition) is None:
            entry = run.report.partition(partition.connection.id, stream.name, run.clock.now())
            yield partition, entry, _records_of_pair(run, stream, partition)


def _records_of_pair(
    run: Run, stream: RutterStream, partition: Partition
) -> Iterator[dict[str, Any]]:
    repairs = Repairs()
    for _, item in ReadAhead(iter([Chain(partition, items_of(partition))]), workers=0):
        run.check_signal()
        if isinstance(item, Failed):
            raise item.error
        if isinstance(item, Unavailable):
            raise Unsupported("Rutter says that it has no such list.", reason="unavailable")
        if isinstance(item, Page):
            for raw in item.raws:
                for row in stream.transform_row(decode_row(raw), item, partition):
                    yield stream.conformer.conform(row, partition.connection.id, repairs)


# ---- for the command line


def write_schemas(tap: TapRutter) -> int:
    """A SCHEMA of each selected stream, without any request; returns the exit code."""
    streams = [stream for stream in tap.rutter_streams if stream.selected]
    for stream in streams:
        stream._write_schema_message()
    tap.writer.flush()
    logger.info("Tried out: the schemas of %s.", counted(len(streams), "stream"))
    return 0


def write_records(tap: TapRutter) -> int:
    """A SCHEMA and one record of each selected stream; returns the exit code.

    A stream that fails does not keep others from being tried.
    """
    given = empty = failed = 0
    for stream in tap.rutter_streams:
        if not stream.selected:
            continue
        tap.run.check_signal()
        stream._write_schema_message()
        count, error = preview_stream(tap.run, stream, limit=1)
        if error is not None:
            failed += 1
        elif count:
            given += 1
        else:
            empty += 1
        tap.writer.flush()
    logger.info(
        "Tried out %s: %d gave a record, %d have none, %d failed.",
        counted(given + empty + failed, "stream"),
        given,
        empty,
        failed,
    )
    return tap.run.exit_code
