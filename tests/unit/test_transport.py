"""One try of a request against servers and surroundings that are not as they should be."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.in_process import sync
from support.singer import settings as configured

from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.request import Response, UnreadableResponse
from tap_rutter.api.transport import BrokenResponse, RawResponse, Transport
from tap_rutter.records.fast_path import FastPath
from tap_rutter.settings import Settings
from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.usefixtures("no_proxies")

BILLS, PATH = "accounting_bills", "/accounting/bills"
VENDORS = "accounting_vendors"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def server(*answers: list[bytes]) -> Iterator[str]:
    """Answers its n-th request with the n-th list of bytes, sent a little apart, then goes on.

    An empty list closes the connection. Counts from the first request, whatever the connection.
    """
    left = iter(answers)

    def serve(client: socket.socket) -> None:
        with client:
            while client.recv(65_536):
                pieces = next(left, [GOOD])
                if not pieces:
                    return
                for piece in pieces:
                    client.sendall(piece)
                    time.sleep(0.05)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/versioned"
        listener.shutdown(socket.SHUT_RDWR)


def wire(address: str) -> Transport:
    given = {"client_id": "id", "client_secret": "secret", "api_url": address}
    return Transport(checked({**given, "request_timeout": 2}), lambda: False)


def checked(config: dict[str, Any]) -> Settings:
    return Settings.from_config(config, with_credentials=True, known_optional=())


def ask(line: Transport) -> RawResponse:
    return line.get("/x", {}, end=time.monotonic() + 2)


def test_an_answer_that_is_only_announced_is_not_taken_for_the_next_ones() -> None:
    late = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"late"'
    with server([b"HTTP/1.1 103 Early Hints\r\n\r\n", late], [GOOD]) as address:
        line = wire(address)
        with pytest.raises(BrokenResponse, match="status 103"):
            ask(line)
        time.sleep(0.1)  # the answer itself has come by now, to a connection that is closed
        assert ask(line).content == b"{}"
        line.close()


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nabc"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!"],
        [b"nonsense\r\n\r\n"],
        [],
    ],
    ids=["hangs", "hangs in a chunk", "is not gzip", "is not HTTP", "does not come"],
)
def test_after_a_broken_answer_the_next_one_is_whole(answer: list[bytes]) -> None:
    with server(answer, [GOOD]) as address:
        line = wire(address)
        with pytest.raises(BrokenResponse):
            ask(line)
        assert ask(line).content == b"{}"
        line.close()


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        (b"Content-Encoding: gzip\r\n", gzip.compress(b"[1]", mtime=0), b"[1]"),
        (b"Content-Encoding: utf-8\r\n", b"[1]", b"[1]"),
        (b"Content-Encoding: identity\r\n", b"\xef\xbb\xbf[1]", b"[1]"),
        (b"", b"", b""),
    ],
)
def test_bodies_are_what_was_meant(header: bytes, body: bytes, expected: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (header, len(body))
    with server([head + body]) as address:
        line = wire(address)
        assert ask(line).content == expected
        line.close()


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    with server([moved]) as address:
        line = wire(address)
        assert ask(line).status == 302
        line.close()


# ---- what the environment says of proxies and certificates


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = World(41, history_days=30)
    world.add_connection("QUICKBOOKS", counts={PATH: 3, "/accounting/vendors": 2})
    with Simulator(world) as running:
        yield running


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:pr0xypw@127.0.0.1:99999",
        "http://user:pr0xypw/@127.0.0.1:8080",
        "http://user:pr0xypw#@127.0.0.1:8080",
        "http://user:pr0xypw@",
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    run = sync(simulator, BILLS)
    assert run.code == 1
    assert run.waits == ()
    assert "a proxy's address cannot be read" in run.log
    assert "HTTP_PROXY" in run.log
    assert "pr0xypw" not in run.log
    assert "Traceback" not in run.log


def test_certificates_that_cannot_be_read_are_said_at_once(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with server() as address:
        run = sync(simulator, BILLS, api_url=address.replace("http", "https", 1))
    assert run.code == 1
    assert run.waits == ()
    assert "REQUESTS_CA_BUNDLE" in run.log
    assert "cannot be read" in run.log


# ---- what is nested too deeply


def nested(depth: int) -> bytes:
    deep = "[" * depth + "]" * depth
    return json.dumps({"rows": [{"id": "a", "line_items": "?"}]}).replace('"?"', deep).encode()


def test_a_page_nested_too_deeply_is_unreadable_and_may_pass() -> None:
    schema: dict[str, Any] = {
        "properties": {"id": {"type": ["string"]}, "line_items": {"type": ["array", "null"]}}
    }
    short = FastPath(schema, ("connection_id", "id"))
    decode = ListDecoder("rows", None, where="/rows", fast_path=short)
    assert decode(Response(nested(50), 1)).all_pass
    with pytest.raises(UnreadableResponse):
        decode(Response(nested(100_000), 1))
    assert not short.passes(nested(100_000))


def test_a_configuration_reaches_the_wire(simulator: Simulator) -> None:
    config = configured(simulator, user_agent="lender/1.0", api_version="2024-08-31")
    line = Transport(checked(config), lambda: False)
    assert line.get("/connections", {"status": "any"}, end=time.monotonic() + 5).status == 200
    line.close()
    [request] = simulator.requests
    assert request.headers["user-agent"] == "lender/1.0"
    assert request.headers["x-rutter-version"] == "2024-08-31"


# ---- bodies that go on and on


def endless(members: int, each: int) -> bytes:
    """A body of gzip members one after another, each of so many zeros."""
    return gzip.compress(b"\0" * each) * members


HOSTILE = {
    "one that decompresses to a thousand times its size": lambda: endless(1, 300 << 20),
    "many of them": lambda: endless(30, 10 << 20),
    "more members than anybody makes": lambda: endless(20_000, 0),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_body_that_decompresses_without_end_fails_its_list_alone(
    simulator: Simulator, kind: str
) -> None:
    packed = HOSTILE[kind]()
    (connection,) = simulator.world.connections.values()
    simulator.faults.add(
        "respond",
        path=PATH,
        times=None,
        status=200,
        headers={"Content-Encoding": "gzip"},
        raw=packed,
    )
    tracemalloc.start()
    try:
        run = sync(simulator, BILLS, VENDORS, concurrency=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert run.code == 1
    # It would be as large the next time: it is not asked for again.
    assert run.waits == ()
    assert len(simulator.requests.to(PATH)) == 1
    row = run.report(BILLS, connection.id)
    assert (row["status"], row["reason"]) == ("failed", "bad_response")
    assert "decompress" in row["error_message"] or "gzip" in row["error_message"]
    assert len(run.ids(VENDORS, connection.id)) == 2
    assert peak < 150 << 20


def test_a_page_of_many_members_that_packs_well_is_read_whole() -> None:
    rows = b"".join(b'{"id":"%06d","note":"%s"},' % (n, b"-" * 200) for n in range(60_000))
    packed = b"".join(gzip.compress(rows[at : at + 70_000]) for at in range(0, len(rows), 70_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with server([head + packed]) as address:
        line = wire(address)
        assert ask(line).content == rows
        line.close()
