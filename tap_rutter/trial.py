"""Reading a stream here and now: one request after another, nothing ahead, no bookmark moved.

For the SDK's trial of a tap (``--test``) and for whoever iterates ``get_records``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_rutter.ahead import Chain, Failed, ReadAhead
from tap_rutter.errors import ConnectionUnusable, NotActivated, Stopped, Unsupported
from tap_rutter.maps import MapFailed
from tap_rutter.names import counted
from tap_rutter.pages import Page
from tap_rutter.plan import Plan, Unavailable, steps
from tap_rutter.reading import Pair
from tap_rutter.records import Repairs, decode_row
from tap_rutter.report import PairReport

if TYPE_CHECKING:
    from tap_rutter.run import Run
    from tap_rutter.streams.base import RutterStream
    from tap_rutter.tap import TapRutter

logger = logging.getLogger("tap-rutter")

MADE_HERE = frozenset({"connections", "sync_report"})
"""Streams whose rows the tap makes of what it knows."""


def records_of(
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
    if stream.name in MADE_HERE:
        for made in run.made_rows(stream):
            yield stream.conformer.conform(made, None, repairs)
        return
    plan = Plan([stream], run.connections, run.env)
    wanted = (context or {}).get("connection_id")
    for pair in plan.pairs(stream):
        if wanted not in {None, pair.connection.id}:
            plan.drop(pair)
    for chain, item in ReadAhead(plan.chains(), workers=0):
        if isinstance(item, Failed):
            if not isinstance(item.error, Unsupported | NotActivated | ConnectionUnusable):
                raise item.error
        elif isinstance(item, Page):
            for raw in item.raws:
                for row in stream.shape(decode_row(raw), item, chain.owner):
                    yield stream.conformer.conform(row, chain.owner.connection.id, repairs)


def try_out(run: Run, stream: RutterStream, limit: int) -> tuple[int, Exception | None]:
    """A few records of a stream, from as many connections as it takes.

    What a platform lacks is learnt as in a run, and what fails counts for the exit code.

    Returns:
        How many left, and why there are no more if that is a fault.
    """
    given = 0
    for pair, entry, records in _tries(run, stream):
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
            if pair is None:
                run.outcomes.fail_made(entry, error, run.clock.now())
                return given, error
            run.outcomes.fail(pair, entry, error, run.clock.now())
            if not isinstance(error, Unsupported | ConnectionUnusable):
                return given, error
        else:
            entry.complete(run.clock.now())
            if pair is not None:
                run.outcomes.complete(pair, entry, stream.serving_platforms)
    return given, None


def _tries(
    run: Run, stream: RutterStream
) -> Iterator[tuple[Pair | None, PairReport, Iterator[dict[str, Any]]]]:
    """Where to try a stream, one place after another."""
    if stream.name in MADE_HERE:
        entry = PairReport("", stream.name, run.clock.now())
        yield None, entry, records_of(run, stream, None)
        return
    for pair in Plan([stream], run.connections, run.env).pairs(stream):
        if run.outcomes.reason_to_skip(pair) is None:
            entry = run.report.pair(pair.connection.id, stream.name, run.clock.now())
            yield pair, entry, _records_of_pair(run, stream, pair)


def _records_of_pair(run: Run, stream: RutterStream, pair: Pair) -> Iterator[dict[str, Any]]:
    repairs = Repairs()
    for _, item in ReadAhead(iter([Chain(pair, steps(pair))]), workers=0):
        run.check_signal()
        if isinstance(item, Failed):
            raise item.error
        if isinstance(item, Unavailable):
            raise Unsupported("Rutter says that it has no such list.", reason="unavailable")
        if isinstance(item, Page):
            for raw in item.raws:
                for row in stream.shape(decode_row(raw), item, pair):
                    yield stream.conformer.conform(row, pair.connection.id, repairs)


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
        count, error = try_out(tap.run, stream, limit=1)
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
