"""Writes records and STATE. Used by the emitter's thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tap_rutter.api.json_text import ENCODER, Raw
from tap_rutter.api.pages import Page, key_of
from tap_rutter.errors import MapFailed, PartitionFailed
from tap_rutter.records.conform import decode_row
from tap_rutter.replication.base import Partition
from tap_rutter.sync.interfaces import RunStream, RunTap
from tap_rutter.sync.maps import MapFailures, messages
from tap_rutter.sync.partition_report import PartitionReport

logger = logging.getLogger("tap-rutter")

_LARGEST_LINE = 50 * 2**20 - 2**16  # Meltano ends a run at a line above 50 MiB
_LARGEST_PAGE = _LARGEST_LINE // 2  # no row of a smaller page makes a line that is too large
_LARGE_STATE = 20 * 2**20  # bytes; about 3,000 connections with rows in each of 45 streams
_STATE_SECONDS = 10.0
_STATE_ROWS = 5_000  # a backfill at full speed delivers this many in far less time …
_STATE_SHARE = 20  # … and may write a STATE if that is no more than a twentieth of the rows


class Line:
    """Makes the RECORD lines of one stream and connection, with one extraction time."""

    def __init__(self, stream: str, connection_id: str, moment: datetime) -> None:
        self._stream = stream
        self._head = b'{"type":"RECORD","stream":%b,"record":' % ENCODER.encode(stream)
        self._stamped = self._head + b'{"connection_id":%b,' % ENCODER.encode(connection_id)
        extracted = moment.isoformat().replace("+00:00", "Z").encode()
        self._tail = b',"time_extracted":"%b"}' % extracted

    def of(self, record: bytes) -> bytes:
        """The line of a finished record."""
        return checked(self._head + record + self._tail, self._stream)

    def of_raw(self, raw: Raw) -> bytes:
        """The line of a raw row, with its ``connection_id`` added."""
        text = bytes(raw)
        if b"\n" in text or b"\r" in text:
            # A line break can only be between two JSON tokens: within texts it is escaped.
            text = text.replace(b"\n", b" ").replace(b"\r", b" ")
        # A row without any selected field needs no comma.
        stamped = self._stamped if len(text) > 2 else self._stamped[:-1]
        return checked(stamped + text[1:] + self._tail, self._stream)

    def block_of(self, raws: Sequence[Raw]) -> memoryview:
        """The lines of raw rows, as one text; none of the rows has line breaks or is too large."""
        end = self._tail + b"\n"
        # Joined only once: the text has half a message too much on either side, which a view leaves
        # out.
        lines = (end + self._stamped).join([b"", *[memoryview(raw)[1:] for raw in raws], b""])
        return memoryview(lines)[len(end) : -len(self._stamped)]


def checked(line: bytes, stream: str) -> bytes:
    """The line, if it is not too long for the programs that run taps.

    Raises:
        PartitionFailed: for a longer line, which would end the whole run downstream.
    """
    if len(line) > _LARGEST_LINE:
        raise PartitionFailed(
            f"a record of {stream} has {len(line) / 2**20:.0f} MiB; Singer runners take lines of"
            " up to 50 MiB. Deselect its largest column in the catalog",
            reason="record_too_large",
        )
    return line


def in_order_of_age(page: Page) -> Sequence[Raw]:
    """The rows of a page; where an id comes more than once, its newest row last.

    A target keeps the row that comes last. A list that is newest first would leave it with the
    oldest.
    """
    if len(page.stamps) != len(page.raws):
        return page.raws
    newest: dict[Any, int] = {}
    for index, (key, moment) in enumerate(zip(map(key_of, page.ids), page.stamps, strict=True)):
        if key is None:
            continue
        best = newest.get(key)
        if best is None or (moment or 0) >= (page.stamps[best] or 0):
            newest[key] = index
    later = sorted(set(newest.values()))
    earlier = [index for index in range(len(page.raws)) if index not in set(later)]
    return [page.raws[index] for index in (*earlier, *later)]


class Delivery:
    """Writes what the emitter hands it, and a STATE when one is due."""

    def __init__(self, tap: RunTap) -> None:
        self._tap = tap
        self._stated = time.monotonic()
        self._bytes = 0
        self._rows = 0
        self._state_size = 0
        self.map_failures = MapFailures()
        self.total = 0
        """How many rows the run has read so far."""

    def page(
        self,
        stream: RunStream,
        page: Page,
        partition: Partition,
        entry: PartitionReport,
        *,
        write: bool,
    ) -> None:
        """Deliver all rows of a page, and count them in the partition's report.

        Raises:
            MapFailed: if a stream map fails for every row, so that it makes no sense to go on.
            PartitionFailed: for a row that cannot be delivered.
        """
        entry.pages += 1
        before = entry.rows
        moment = datetime.fromtimestamp(page.received_ms / 1000, UTC)
        fast_path = stream.fast_path if not page.request_values else None
        line = Line(stream.name, partition.connection.id, moment)
        rows = in_order_of_age(page)
        self._rows += len(rows)
        self.total += len(rows)
        self._bytes += page.size
        if write and rows:
            stream.declare()
        all_pass = fast_path is not None and page.all_pass
        keeps_all = fast_path is not None and not fast_path.drops_fields
        if all_pass and keeps_all and rows and page.size < _LARGEST_PAGE:
            entry.rows += len(rows)
            if write:
                self._tap.writer.write_block(line.block_of(rows))
            return
        for raw in rows:
            if fast_path is not None and (all_pass or fast_path.passes(raw)):
                entry.rows += 1
                if write:
                    self._tap.writer.write_line(line.of_raw(fast_path.selected(raw)))
                continue
            for row in stream.transform_row(decode_row(raw), page, partition):
                record = stream.conformer.conform(row, partition.connection.id, entry.repairs)
                try:
                    if write:
                        self.record(stream, record, moment)
                    entry.rows += 1
                except MapFailed as error:
                    self.note_unmapped(error, entry)
        if entry.unmapped is not None and rows and entry.rows == before:
            raise entry.unmapped

    def note_unmapped(self, error: MapFailed, entry: PartitionReport) -> None:
        """A stream map failed for a row: it does not leave, others do."""
        self.map_failures.note(error, entry.connection_id)
        entry.unmapped = (entry.unmapped or error).once_more()

    def record(self, stream: RunStream, record: dict[str, Any], moment: datetime) -> None:
        """Deliver one record, as it is or through the SDK's selection and maps.

        Raises:
            PartitionFailed: for a record that is too large for the programs that run taps.
            MapFailed: where a stream map fails for it.
        """
        stream.declare()
        if stream.leaves_whole:
            self._tap.writer.write_line(Line(stream.name, "", moment).of(ENCODER.encode(record)))
            return
        for message in messages(stream, record):
            message.time_extracted = moment
            self._tap.writer.write_line(
                checked(self._tap.writer.serialize_message(message), stream.name)
            )

    def state_if_due(self) -> None:
        """Write a STATE every ten seconds; sooner if much was delivered and the STATE is small."""
        if self._tap.bookmarks.changed and self._is_state_due():
            self.state()
        else:
            self._tap.writer.flush_if_due()

    def _is_state_due(self) -> bool:
        much = self._rows >= _STATE_ROWS and self._bytes >= _STATE_SHARE * self._state_size
        return much or time.monotonic() - self._stated >= _STATE_SECONDS

    def state(self) -> None:
        """A STATE that covers everything written before it, at once."""
        size = self._tap.writer.write_state(self._tap.state)
        if size > _LARGE_STATE >= self._state_size:
            logger.warning(
                "The STATE has grown to %.0f MiB. Meltano ends a run at a line of 50 MiB: let"
                " several runs read a part of the connections each, with setting 'shard'.",
                size / 2**20,
            )
        self._state_size = size
        self._stated = time.monotonic()
        self._bytes = self._rows = 0
        self._tap.bookmarks.changed = False
