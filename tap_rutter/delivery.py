"""Records and STATE on their way out: used by the emitter's one thread only."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib import StateMessage

from tap_rutter.pages import ENCODER, Page
from tap_rutter.reading import Pair
from tap_rutter.records import decode_row
from tap_rutter.report import PairReport

if TYPE_CHECKING:
    from tap_rutter.streams.base import RutterStream
    from tap_rutter.tap import TapRutter

_STATE_SECONDS = 10.0
_STATE_ROWS = 5_000  # a backfill at full speed delivers this many in far less time …
_STATE_SHARE = 20  # … and may write a STATE if that is no more than a twentieth of the rows


class Delivery:
    """Writes what the emitter hands it, and a STATE when one is due."""

    def __init__(self, tap: TapRutter) -> None:
        self._tap = tap
        self._stated = time.monotonic()
        self._bytes = 0
        self._rows = 0
        self._state_size = 0

    def page(
        self, stream: RutterStream, page: Page, pair: Pair, entry: PairReport, *, write: bool
    ) -> None:
        """All rows of a page, counted in the pair's report."""
        entry.pages += 1
        moment = datetime.fromtimestamp(page.received_ms / 1000, UTC)
        for raw in page.raws:
            for row in stream.shape(decode_row(raw), page, pair):
                record = stream.conformer.conform(row, pair.connection.id, entry.repairs)
                entry.rows += 1
                if write:
                    self.record(stream, record, moment)
        self._rows += len(page.raws)
        self._bytes += page.size

    def record(self, stream: RutterStream, record: dict[str, Any], moment: datetime) -> None:
        """One record, as it is or by way of the SDK's selection and maps."""
        if stream.is_plain:
            self._tap.writer.write_line(
                b'{"type":"RECORD","stream":"%b","record":%b,"time_extracted":"%b"}'
                % (
                    stream.name.encode(),
                    ENCODER.encode(record),
                    moment.isoformat().replace("+00:00", "Z").encode(),
                )
            )
            return
        # Selection, flattening and maps are the SDK's; no public hook leads to them.
        for message in stream._generate_record_messages(record):
            message.time_extracted = moment
            self._tap.write_message(message)

    def state_if_due(self) -> None:
        """A STATE every ten seconds; sooner when much was delivered and the STATE is small."""
        if not self._tap.bookmarks.changed:
            self._tap.writer.flush_if_due()
            return
        due = time.monotonic() - self._stated >= _STATE_SECONDS
        much = self._rows >= _STATE_ROWS and self._bytes >= _STATE_SHARE * self._state_size
        if due or much:
            self.state()

    def state(self) -> None:
        """A STATE that covers everything written before it, at once."""
        line = self._tap.writer.serialize_message(StateMessage(value=self._tap.state))
        self._tap.writer.write_line(line)
        self._tap.writer.flush()
        self._state_size = len(line)
        self._stated = time.monotonic()
        self._bytes = self._rows = 0
        self._tap.bookmarks.changed = False
