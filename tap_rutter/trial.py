"""Reading a stream here and now: one request after another, nothing ahead, no bookmark moved.

For the SDK's trial of a tap (``--test``) and for whoever iterates ``get_records``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import MaxRecordsLimitException

from tap_rutter.ahead import Failed, ReadAhead
from tap_rutter.errors import ConnectionUnusable, Unsupported
from tap_rutter.pages import Page
from tap_rutter.plan import Plan
from tap_rutter.records import Repairs, decode_row

if TYPE_CHECKING:
    from tap_rutter.run import Run
    from tap_rutter.streams.base import RutterStream


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
    if stream.name in {"connections", "sync_report"}:
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
            if not isinstance(item.error, Unsupported | ConnectionUnusable):
                raise item.error
        elif isinstance(item, Page):
            for raw in item.raws:
                for row in stream.shape(decode_row(raw), item, chain.owner):
                    yield stream.conformer.conform(row, chain.owner.connection.id, repairs)


def try_out(run: Run, stream: RutterStream) -> None:
    """A few records of a stream, as many as the SDK's trial asks for."""
    moment = datetime.fromtimestamp(run.clock.now() / 1000, UTC)
    for index, record in enumerate(records_of(run, stream, None)):
        if index >= (stream.ABORT_AT_RECORD_COUNT or 0):
            run.tap.writer.flush()
            # Ends the stream in the way that the SDK's trial waits for.
            stream._abort_sync(MaxRecordsLimitException("The trial's records have been read."))
        run.delivery.record(stream, record, moment)
    run.tap.writer.flush()
