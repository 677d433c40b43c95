"""HTTP/1.1 on a socket: only what the simulator needs, and broken answers for faults."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import time
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from tap_rutter.simulator.faults import Fault
from tap_rutter.simulator.request import Answer

_MAX_HEAD = 65_536
# Compressing a smaller body costs more than it saves.
_WORTH_COMPRESSING = 1_400
_DRIPS = 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class BadRequest(Exception):
    """The bytes are not an HTTP request that the simulator can read."""


@dataclass
class Received:
    """A request as it came over the wire."""

    method: str
    path: str
    pairs: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class Wire:
    """One client's connection."""

    def __init__(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._ahead = b""

    def receive(self) -> Received | None:
        """The next request; None when the client has closed the connection."""
        data = self._ahead
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > _MAX_HEAD:
                raise BadRequest("the head of the request is too long")
            more = self._client.recv(_MAX_HEAD)
            if not more:
                return None
            data += more
        request_line, *lines = data[:end].decode("latin-1").split("\r\n")
        try:
            method, target, protocol = request_line.split(" ")
        except ValueError:
            raise BadRequest(f"not a request line: {request_line[:80]!r}") from None
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = data[end + 4 :]
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            more = self._client.recv(_MAX_HEAD)
            if not more:
                return None
            body += more
        self._ahead = body[length:]
        path, _, query = target.partition("?")
        closes = headers.get("connection", "").lower() == "close" or protocol == "HTTP/1.0"
        return Received(
            method=method,
            path=unquote(path),
            pairs=parse_qsl(query, keep_blank_values=True),
            headers=headers,
            body=body[:length],
            keep_alive=not closes,
        )

    def send(
        self,
        answer: Answer,
        *,
        date: str,
        request_id: str,
        compress: bool,
        keep_alive: bool,
        fault: Fault | None = None,
    ) -> int:
        """Send an answer; returns the bytes of its body as they were sent."""
        body = answer.body
        headers = {
            "Date": date,
            "Content-Type": answer.content_type,
            "Connection": "keep-alive" if keep_alive else "close",
        }
        if not answer.is_gateways:
            headers["X-Rutter-Request-ID"] = request_id
        headers |= answer.headers
        packed = "Content-Encoding" in answer.headers
        if compress and not packed and len(body) > _WORTH_COMPRESSING:
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        if fault is not None and fault.action == "bad_gzip":
            body = b"\x1f\x8b\x08\x00 this is not what it claims to be"
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        status = f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"
        lines = [status, *(f"{name}: {value}" for name, value in headers.items())]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if fault is not None and fault.action == "cut":
            body = body[: len(body) // 2]
        if fault is not None and fault.action == "drip":
            self._drip(head + body, fault.seconds)
        elif len(body) < _MAX_HEAD:
            self._client.sendall(head + body)
        else:
            self._client.sendall(head)
            self._client.sendall(body)
        return len(body)

    def reset(self) -> None:
        """Close the connection so that the client sees a reset."""
        with contextlib.suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def shut(self) -> None:
        """End the connection from another thread; a thread that reads from it then sees its end."""
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._client.close()

    def _drip(self, data: bytes, seconds: float) -> None:
        size = max(1, len(data) // _DRIPS)
        for start in range(0, len(data), size):
            self._client.sendall(data[start : start + size])
            time.sleep(seconds / _DRIPS)
