"""What one small list request takes, from a bare socket to a decoded page of the tap."""

from __future__ import annotations

import http.client
import re
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from benchmarks.bench import Bench
from benchmarks.lists import ledger
from benchmarks.serve import World
from tap_rutter.api.client import Client
from tap_rutter.api.clock import Clock
from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.request import Counts, Request
from tap_rutter.api.throttle import Throttle
from tap_rutter.api.transport import Transport
from tap_rutter.tap import TapRutter

_REQUESTS = 500
_TIMES = 5
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")
_REFERENCE = "urllib3's pool"


def measure(bench: Bench) -> dict[str, float]:
    """Microseconds of processor time for an answer without rows, the least of several times.

    The first three ask and read the bytes, and do nothing with them; the others are the tap's, each
    with what it does besides the one before.
    """
    count = bench.size(_REQUESTS, 50)
    _, empty = ledger()
    asked = empty[0]
    with bench.serving(World(platform="NETSUITE", empty={asked.path: asked.key})) as server:
        token = server["connections"][0]["access_token"]
        params = {
            "limit": "500",
            "last_synced_at_min": "1700000000000",
            "sort": "last_synced_at ASC",
        }
        whole = {**params, "access_token": token}
        address = urlsplit(server["api_url"])
        host, port = str(address.hostname), address.port or 80
        target = f"{address.path}{asked.path}?{urlencode(whole)}"
        headers = _headers(server)
        tap = TapRutter(
            config={name: server[name] for name in ("api_url", "client_id", "client_secret")}
        )
        [stream] = [entry for entry in tap.rutter_streams if entry.name == asked.name]
        decode = ListDecoder(
            asked.key, asked.replication_key, where=asked.path, fast_path=stream.fast_path
        )
        client = Client(tap.settings, Clock(), Throttle(1))
        client.tokens["one"] = token
        request = Request(asked.path, params, "one", sorted_list=True)
        with (
            closing(socket.create_connection((host, port))) as plain,
            closing(http.client.HTTPConnection(host, port)) as connection,
            closing(urllib3.HTTPConnectionPool(host, port)) as pool,
            closing(Transport(tap.settings, lambda: False)) as transport,
            closing(client),
        ):
            lines = [f"{name}: {value}" for name, value in headers.items()]
            head = "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}:{port}", *lines, "", ""])
            steps: dict[str, Callable[[], object]] = {
                "a bare socket": lambda: _by_socket(plain, head.encode()),
                "http.client": lambda: _by_http_client(connection, target, headers),
                _REFERENCE: lambda: _by_urllib3(pool, target, headers),
                "the tap: one try": lambda: transport.get(
                    asked.path, whole, end=time.monotonic() + 60
                ),
                "the tap: a request with its tries, decoded": lambda: client.get(
                    request, decode, Counts()
                ),
            }
            return {name: _least(step, count) for name, step in steps.items()}


def _headers(server: dict[str, Any]) -> dict[str, str]:
    credentials = f"{server['client_id']}:{server['client_secret']}".encode()
    return {
        "User-Agent": "benchmark",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "X-Rutter-Version": server["api_version"],
        "Authorization": f"Basic {b64encode(credentials).decode()}",
    }


def _by_socket(plain: socket.socket, request: bytes) -> bytes:
    plain.sendall(request)
    head, _, body = plain.recv(1 << 16).partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    assert found is not None
    while len(body) < int(found[1]):
        body += plain.recv(1 << 16)
    return body


def _by_http_client(
    connection: http.client.HTTPConnection, target: str, headers: dict[str, str]
) -> bytes:
    connection.request("GET", target, headers=headers)
    return connection.getresponse().read()


def _by_urllib3(pool: urllib3.HTTPConnectionPool, target: str, headers: dict[str, str]) -> bytes:
    return pool.urlopen("GET", target, headers=headers, retries=False).data


def _least(step: Callable[[], object], count: int) -> float:
    step()
    found = []
    for _ in range(_TIMES):
        begun = time.thread_time()
        for _ in range(count):
            step()
        found.append(time.thread_time() - begun)
    return min(found) / count * 1e6


def as_text(measured: dict[str, float]) -> str:
    """A line for each, with how it compares to urllib3's pool."""
    reference = measured[_REFERENCE]
    return "\n".join(
        f"{value:7.1f} µs per request ({value / reference:4.2f} of {_REFERENCE}): {name}"
        for name, value in measured.items()
    )
