"""Requests over a connection that is there already: answered as the first over it, by urllib3."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tap_rutter.api.route import Route
from tap_rutter.api.transport import BrokenResponse, RawResponse, Transport
from tap_rutter.settings import Settings

pytestmark = pytest.mark.usefixtures("no_proxies")

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers its n-th request with the n-th text; one that ends with ``CLOSE`` ends there."""

    CLOSE = b"<close>"

    def __init__(self, *answers: bytes) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._answers = iter(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.place}/versioned"

    def __enter__(self) -> Server:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while head := client.recv(65_536):
                self.heads.append(head)
                answer = next(self._answers, GOOD)
                client.sendall(answer.removesuffix(self.CLOSE))
                if answer.endswith(self.CLOSE):
                    return


@contextlib.contextmanager
def transport(url: str, *, timeout: float = 1) -> Iterator[Transport]:
    given = {"client_id": "id", "client_secret": "s3cr3t", "api_url": url}
    config = Settings.from_config(
        {**given, "request_timeout": timeout}, with_credentials=True, known_optional=()
    )
    made = Transport(config, lambda: False)
    try:
        yield made
    finally:
        made.close()


def ask(made: Transport, path: str = "/x", **params: str) -> RawResponse:
    return made.get(path, params, end=time.monotonic() + 5)


def told(made: Transport) -> RawResponse | tuple[str, bool]:
    """What came of a request, whether it was answered or not."""
    try:
        return ask(made)
    except BrokenResponse as error:
        return str(error), error.begun


PACKED = gzip.compress(b"[1, 2]", mtime=0)
WHOLE = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]",
    "no body": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a length told twice": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n[1]",
    "an error": b"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}",
    "without a reason": b"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\n{}",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n",
    "chunks with all that may be in them": b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
    b"3;name=value\r\n[1]\r\n0\r\nTrailer: x\r\n\r\n",
    "chunks and a length": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked"
    b"\r\n\r\n3\r\n[1]\r\n0\r\n\r\n",
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(PACKED), PACKED),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a wait announced": b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]",
    "a value over two lines": b"HTTP/1.1 200 OK\r\nX-Long: a\r\n  b\r\n"
    b"Content-Length: 3\r\n\r\n[1]",
    "a header twice": b"HTTP/1.1 200 OK\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 3\r\n\r\n[1]",
    "a value that is not ASCII": b"HTTP/1.1 200 OK\r\nX-Odd: \xe9\r\nContent-Length: 3\r\n\r\n[1]",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 3\n\n[1]",
    "a byte order mark": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\xef\xbb\xbf[1]",
    "keep-alive of old": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
    b"Content-Length: 3\r\n\r\n[1]",
}
ENDS = {
    "asked to close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n[1]",
    "until it closes": b"HTTP/1.1 200 OK\r\n\r\n[1]" + Server.CLOSE,
    "of old": b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n[1]",
    "of old, until it closes": b"HTTP/1.0 200 OK\r\n\r\n[1]" + Server.CLOSE,
}
BROKEN = {
    "lengths that differ": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\n[1]",
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]" + Server.CLOSE,
    "a body that hangs": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]",
    "a chunk cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n[1]"
    + Server.CLOSE,
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n"
    + Server.CLOSE,
    "a chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n[1]\r\n",
    "headers cut short": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a line too long": b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 101 + b"\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "another version": b"HTTP/2 200\r\nContent-Length: 3\r\n\r\n[1]",
    "a status that is not a number": b"HTTP/1.1 OK\r\nContent-Length: 3\r\n\r\n[1]",
    "nothing": Server.CLOSE,
    "an answer only announced": b"HTTP/1.1 103 Early Hints\r\n\r\n",
}


def by_urllib3(answer: bytes) -> RawResponse | tuple[str, bool]:
    with Server(answer) as server, transport(server.url) as made:
        return told(made)


@pytest.mark.parametrize("kind", WHOLE)
def test_an_answer_is_the_same_over_a_connection_that_is_there(kind: str) -> None:
    with Server(GOOD, WHOLE[kind], GOOD) as server, transport(server.url) as made:
        ask(made)
        found = told(made)
        assert isinstance(found, RawResponse)
        assert found == by_urllib3(WHOLE[kind])
        # What follows is the next answer, not a rest of this one.
        assert ask(made).content == b"{}"
        assert server.connections == 1


@pytest.mark.parametrize("kind", ENDS)
def test_a_connection_that_ends_with_its_answer_is_made_anew(kind: str) -> None:
    with Server(GOOD, ENDS[kind], GOOD) as server, transport(server.url) as made:
        ask(made)
        found = told(made)
        assert isinstance(found, RawResponse)
        assert found.content == b"[1]"
        assert found == by_urllib3(ENDS[kind])
        assert ask(made).content == b"{}"
        assert server.connections == 2


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_answer_is_said_and_the_next_one_is_whole(kind: str) -> None:
    with Server(GOOD, BROKEN[kind], GOOD) as server, transport(server.url) as made:
        ask(made)
        found = told(made)
        assert isinstance(found, tuple)
        assert "s3cr3t" not in found[0]
        first = by_urllib3(BROKEN[kind])
        assert isinstance(first, tuple)
        assert found[1] == first[1]
        assert ask(made).content == b"{}"
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000 + GOOD,
        b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n[1]" % (b"9" * 5_000),
    ],
    ids=["announced without end", "a length beyond all measure"],
)
def test_what_no_server_means_is_broken_at_once(answer: bytes) -> None:
    with Server(GOOD, answer) as server, transport(server.url, timeout=60) as made:
        ask(made)
        assert isinstance(told(made), tuple)
        assert ask(made).content == b"{}"


def test_all_requests_look_alike_but_for_what_they_ask() -> None:
    with Server() as server, transport(server.url) as made:
        for _ in range(3):
            ask(made, "/accounting/bills", sort="last_synced_at ASC", cursor="a+b=&c")
        first, *others = server.heads
    assert first.startswith(
        b"GET /versioned/accounting/bills?sort=last_synced_at+ASC&cursor=a%2Bb%3D%26c HTTP/1.1\r\n"
    )
    for name in (b"Host: " + server.place.encode(), b"Accept-Encoding: gzip", b"Authorization: B"):
        assert first.count(b"\r\n" + name) == 1
    for other in others:
        assert sorted(other.split(b"\r\n")) == sorted(first.split(b"\r\n"))
        assert other.endswith(b"\r\n\r\n")


def test_a_connection_that_was_closed_meanwhile_costs_no_request() -> None:
    with Server(GOOD + Server.CLOSE, GOOD) as server, transport(server.url) as made:
        ask(made)
        time.sleep(0.1)  # until its end has come
        assert ask(made).content == b"{}"
        assert (server.connections, len(server.heads)) == (2, 2)


def test_closing_ends_the_connection_and_its_thread_may_go_on() -> None:
    with Server() as server, transport(server.url) as made:
        ask(made)
        route: Route = made._route()
        made.close()
        assert route._line is None
        ask(made)
        assert server.connections == 2


def test_requests_by_way_of_a_proxy_that_reads_them_keep_its_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pr0xypw@{proxy.place}")
        with transport("http://api.example/versioned") as made:
            for _ in range(2):
                ask(made)
        assert proxy.connections == 1
    assert [head.split(b"\r\n")[0] for head in proxy.heads] == [
        b"GET http://api.example/versioned/x HTTP/1.1"
    ] * 2
    assert all(b"Proxy-Authorization: Basic" in head for head in proxy.heads)


def test_no_secret_is_logged_of_any_request(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG, logger="tap-rutter"),
        Server() as server,
        transport(server.url) as made,
    ):
        for _ in range(2):
            ask(made, access_token="t0k3n")
    logged = [record.getMessage() for record in caplog.records if record.name == "tap-rutter"]
    assert not any("t0k3n" in line or "s3cr3t" in line for line in logged)
    assert sum("/x" in line for line in logged) == 2
