"""Singer messages to standard output, in pipe-sized blocks.

To write and flush each message costs more than to make it. So lines are collected until a block is
full. A STATE is always written at once, and so are lines that have waited for a second, so that a
slow source still shows progress downstream.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from singer_sdk.helpers._state import StateWriter
from singer_sdk.singerlib.encoding import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message, RecordMessage, StateMessage

from tap_rutter.api.json_text import ENCODER

STATE_NUMBER = "state_number"
"""Where a STATE has its number, beside its bookmarks."""

_BLOCK = 1 << 16
_LARGE_STATE = 1 << 20
_LONGEST_WAIT = 1.0  # seconds that a line may wait in the block


class GivenState(StateWriter):
    """The SDK's way to write the state that a run was given, without a copy of it.

    The SDK keeps one, to write no state twice: as much memory again, and seconds of work, where
    there are thousands of connections. All further states are the emitter's to write.
    """

    def write_state(self, state: dict[str, Any]) -> None:  # type: ignore[override]
        """Write the state; the SDK does so once, before the first stream."""
        self._message_writer.write_message(StateMessage(value=state))


class BlockWriter(GenericSingerWriter[bytes, Message]):
    """Writes messages as JSON lines; used by one thread only."""

    def __init__(self) -> None:
        super().__init__()
        self._block = bytearray()
        self._since = 0.0
        self.numbers_states = False
        """Whether each STATE bears its number, so that a run's last one is known among them."""
        self.states = 0
        """How many STATE messages have been made."""

    def serialize_message(self, message: Message) -> bytes:
        """A message as one line of JSON, without its line feed; decimals keep their digits."""
        if isinstance(message, StateMessage):
            # Directly: the message's own method would first copy every partition.
            return ENCODER.encode({"type": "STATE", "value": message.value})
        content = message.to_dict()
        moment = content.get("time_extracted")
        if isinstance(message, RecordMessage) and moment is not None:
            content["time_extracted"] = moment.isoformat().replace("+00:00", "Z")
        return ENCODER.encode(content)

    def write_message(self, message: Message) -> None:
        """Add a message; a STATE takes everything before it along."""
        if isinstance(message, StateMessage):
            self.write_state(message.value)
        else:
            self.write_line(self.serialize_message(message))

    def write_state(self, state: Mapping[str, Any]) -> int:
        """Add a STATE, which takes everything before it along, and say how many bytes it has.

        A large one goes stream by stream: that of a large organisation is too much to hold as text.

        Raises:
            ValueError: for a state that cannot be written; nothing of it is then.
        """
        self.states += 1
        if self.numbers_states:
            state = {**state, STATE_NUMBER: self.states}
        size = sum(map(len, _pieces(state)))
        if size < _LARGE_STATE:
            self.write_line(b"".join(_pieces(state)))
            self.flush()
            return size
        for piece in _pieces(state):
            self._block += piece
            if len(self._block) >= _BLOCK:
                self.flush()
        self._block += b"\n"
        self.flush()
        return size

    def write_line(self, line: bytes) -> None:
        """Add a message that is JSON already."""
        block = self._block
        if not block:
            self._since = time.monotonic()
        block += line
        block += b"\n"
        if len(block) >= _BLOCK or time.monotonic() - self._since >= _LONGEST_WAIT:
            self.flush()

    def write_block(self, lines: memoryview) -> None:
        """Add whole lines, with their line feeds; a large block is written without a copy."""
        if len(lines) < _BLOCK:
            self.write_line(bytes(lines[:-1]))
            return
        self.flush()
        write_out(lines)

    def flush(self) -> None:
        """Write out the collected lines, whole lines only."""
        if not self._block:
            return
        content, self._block = self._block, bytearray()
        write_out(content)

    def flush_if_due(self) -> None:
        """Write out lines that have waited long enough; called while the source is slow."""
        if self._block and time.monotonic() - self._since >= _LONGEST_WAIT:
            self.flush()


def _pieces(state: Mapping[str, Any]) -> Iterator[bytes]:
    """A STATE message, in pieces of a stream each."""
    yield b'{"type":"STATE","value":'
    yield from _in_parts(state, 2)
    yield b"}"


def _in_parts(value: Any, depth: int) -> Iterator[bytes]:
    """JSON of a value, cut at the fields of its outer objects, ``depth`` of them one in another."""
    if not depth or not isinstance(value, Mapping):
        yield ENCODER.encode(value)
        return
    before = b"{"
    for name, entry in value.items():
        yield before + ENCODER.encode(name) + b":"
        yield from _in_parts(entry, depth - 1)
        before = b","
    yield b"}" if value else b"{}"


def write_out(content: bytes | bytearray | memoryview) -> None:
    """All bytes to standard output.

    Raises:
        BrokenPipeError: when the reader is gone.
    """
    buffer: Any = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # tests of the SDK replace it by a text stream
        sys.stdout.write(bytes(content).decode())
        sys.stdout.flush()
        return
    sys.stdout.flush()
    try:
        descriptor = buffer.fileno()
    except (OSError, ValueError, AttributeError):
        buffer.write(content)
        buffer.flush()
        return
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
