"""Orders and events between a worker and a supervisor: JSON objects, one a line, over a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]
_CHUNK = 1 << 16


def send(connection: socket.socket, message: Message) -> bool:
    """Send a message whole; False if the other side is gone."""
    try:
        connection.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return False
    return True


class Incoming:
    """Takes messages off a socket, as they become whole."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._begun = bytearray()
        self.is_over = False
        """Whether the other side is gone; what it said before has been given out."""

    def read(self) -> Iterator[Message]:
        """The messages of one read, which blocks only if the socket does and nothing is there."""
        try:
            chunk = self._connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.is_over = True
            return
        self._begun += chunk
        *lines, self._begun = self._begun.split(b"\n")
        for line in lines:
            yield json.loads(line)
