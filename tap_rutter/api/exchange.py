"""A request and its answer over a connection that urllib3 has made, and that is free again.

urllib3 makes connections, by way of proxies and TLS, and carries the first request of each. For
further ones it would do again what only a new connection needs, and http.client would read the
headers of the answers as those of e-mails; a request for a small list then takes more than three
times as much processor time. So further requests go straight over the connection's socket. Where an
answer ends (its length, its chunks, the end of the connection) is decided by http.client in both
cases.
"""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    LineTooLong,
    RemoteDisconnected,
)
from typing import Any

from urllib3.exceptions import ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as TimedOut

_LONGEST_LINE = 1 << 16  # these two are http.client's own bounds
_MOST_HEADERS = 100
_MOST_WAITS = 100
_MOST_DIGITS = 18
_CONTINUE, _FIRST_STATUS = 100, 200
_NO_BODY = frozenset({204, 304})

Read = Callable[[Callable[[int], bytes]], bytes]
"""Reads a body to its end, given a function that gives up to so many bytes of it."""
Reply = tuple[int, dict[str, str], bytes]
"""The status, the headers by their names in small letters, and the body as it came."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class _Recorder(HTTPConnection):
    """Takes down what http.client would send."""

    sent = b""

    def send(self, data: Any) -> None:
        self.sent += bytes(data)


def head_after_target(address: Any, headers: Mapping[str, str]) -> bytes:
    """What follows the target in each request to a host: the version, and all headers.

    As http.client writes and checks them, so that they are the same in every request.

    Args:
        address: Of the API, as ``urlsplit`` gives it.
        headers: But for ``Host``.

    Raises:
        ValueError: for a header that cannot be sent.
    """
    recorder = _Recorder(address.hostname, address.port or _DEFAULT_PORTS[address.scheme])
    recorder.default_port = _DEFAULT_PORTS[address.scheme]
    recorder.putrequest("GET", "/", skip_accept_encoding=True)
    for name, value in headers.items():
        recorder.putheader(name, value)
    recorder.endheaders()
    return recorder.sent.removeprefix(b"GET /")


class Answer(HTTPResponse):
    """An answer whose headers are read line by line, into ``fields``.

    ``begin`` decides as http.client's own does, which takes three times as long.
    """

    fields: dict[str, str]
    """Headers by their names in small letters; those that came several times, joined."""

    def begin(self) -> None:
        """Read the status and the headers.

        Raises:
            HTTPException: for what is not HTTP.
            OSError: when they do not come.
        """
        for _ in range(_MOST_WAITS):
            version, status = self._status_of(self._line())
            self.fields = self._read_fields()
            if status != _CONTINUE:
                break
        else:
            raise HTTPException("it goes on saying that an answer will come")
        self.code = self.status = status
        connection = self.fields.get("connection", "").lower()
        self.will_close = "close" in connection
        if version < b"HTTP/1.1":
            self.will_close = "keep-alive" not in connection and "keep-alive" not in self.fields
        self.chunked = self.fields.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else self._length()
        if status in _NO_BODY or status < _FIRST_STATUS:
            self.length = 0
        if self.length is None and not self.chunked:
            self.will_close = True

    def _line(self) -> bytes:
        line = self.fp.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise LineTooLong("header line")
        return line

    def _status_of(self, line: bytes) -> tuple[bytes, int]:
        if not line:
            raise RemoteDisconnected("no answer")
        version, _, rest = line.partition(b" ")
        code = rest.split(None, 1)[0] if rest.strip() else b""
        if not version.startswith(b"HTTP/1.") or len(code) != 3 or not code.isdigit():
            raise BadStatusLine("not a status line")
        return version, int(code)

    def _read_fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        name = ""
        for _ in range(_MOST_HEADERS + 1):
            line = self._line()
            if line in (b"\r\n", b"\n", b""):
                return fields
            text = line.decode("iso-8859-1")
            if text[0] in " \t":  # the value above goes on
                if name:
                    fields[name] += " " + text.strip()
                continue
            name, colon, value = text.partition(":")
            name = name.lower() if colon else ""
            if name:
                value = value.strip()
                fields[name] = f"{fields[name]}, {value}" if name in fields else value
        raise HTTPException(f"more than {_MOST_HEADERS} headers")

    def _length(self) -> int | None:
        """How long the body is, as far as the headers tell.

        Raises:
            HTTPException: for lengths that contradict each other: where the next answer begins is
                then anybody's guess.
        """
        told = self.fields.get("content-length")
        if told is None:
            return None
        lengths = {length.strip() for length in told.split(",")}
        if len(lengths) > 1:
            raise HTTPException("several lengths")
        length = lengths.pop()
        if not (length.isascii() and length.isdigit()):
            return None
        if len(length) > _MOST_DIGITS:
            raise HTTPException("a length beyond all measure")
        return int(length)


class Line:
    """A connection that is free for the next request."""

    def __init__(self, connection: Any) -> None:
        """``connection``: urllib3's, which nobody else uses any more."""
        self._connection = connection
        # As urllib3's pool does for those that it keeps: whoever forgets it leaves nothing open.
        weakref.finalize(self, connection.close).atexit = False
        self.begun = False
        """Whether an answer to the last request has begun."""

    @property
    def is_open(self) -> bool:
        """Whether the server has neither closed it nor said anything unasked."""
        return bool(self._connection.is_connected)

    def close(self) -> None:
        """End it."""
        self._connection.close()

    def exchange(self, request: bytes, timeout: float, read: Read) -> Reply:
        """Send a request, and read its answer whole.

        Args:
            request: All of its bytes.
            timeout: Seconds that the next bytes may take.
            read: Reads the body.

        Afterwards the connection is closed unless the next request can go over it.

        Raises:
            urllib3.exceptions.HTTPError: as urllib3 would, and whatever ``read`` raises; the
                connection is closed then.
        """
        self.begun = keeps = False
        sock = self._connection.sock
        answer = Answer(sock, method="GET")
        try:
            if sock.gettimeout() != timeout:
                sock.settimeout(timeout)
            # A server that closes may have answered before: what there is of it is read.
            with suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(request)
            answer.begin()
            self.begun = True
            body = read(answer.read1)
            if answer.length:
                raise ProtocolError("a body cut short")
            keeps = not answer.will_close
        except TimeoutError as error:
            raise TimedOut from error
        except ssl.SSLError as error:
            raise SSLError(error) from error
        except (OSError, HTTPException) as error:
            raise ProtocolError("the connection broke") from error
        else:
            return answer.status, answer.fields, body
        finally:
            answer.close()
            if not keeps:
                self.close()
