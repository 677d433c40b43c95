"""A receiver of webhooks on a port of its own, and a ledger that remembers what it was given."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Deletion, Lane, Mark
from tap_rutter.fleet.webhooks.receiver import PATH, Limits, WebhookLedger, receiver
from tap_rutter.fleet.webhooks.serve import Server

SECRET = "the organisation's client secret"
TOKEN = "5ad0fa9c-8f6a-4a0e-b0bb-0c8b2f9d7e11"


def sign(body: bytes, secret: str = SECRET) -> str:
    """The header, made without the receiver's own code."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return "sha256=" + base64.b64encode(digest).decode()


def about_order(number: int = 1, code: str = "ORDER_UPDATED", connection: str = "c-1") -> bytes:
    """A webhook about an order, with the token that Rutter puts into each."""
    order = {"id": f"o-{number}", "updated_at": f"2026-03-02T09:{number % 60:02}:00Z"}
    content = {"type": "ORDER", "code": code, "connection_id": connection, "order": order}
    return json.dumps({**content, "access_token": TOKEN}).encode()


@dataclass
class FakeLedger:
    """Remembers groups as they were committed; a test may hold a commit up, or let it fail."""

    groups: list[tuple[list[Mark], list[Deletion]]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    """Cleared: commits wait."""
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released whenever a commit begins."""
    error: Exception | None = None
    pause_reason: str | None = None

    def __post_init__(self) -> None:
        self.go_on.set()

    def put_webhooks(self, marks: Sequence[Mark], deletions: Sequence[Deletion] = ()) -> None:
        self.entered.release()
        assert self.go_on.wait(60)
        if self.error is not None:
            raise self.error
        self.groups.append((list(marks), list(deletions)))

    def due(self) -> Mapping[Lane, int]:
        if self.error is not None:
            raise self.error
        return dict.fromkeys(Lane, 0)

    def paused(self) -> str | None:
        return self.pause_reason

    @property
    def marks(self) -> list[Mark]:
        """All that were put, in order."""
        return [mark for marks, _ in self.groups for mark in marks]


@dataclass
class Answer:
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Receiver:
    """A receiver that runs in a thread of this process."""

    port: int
    server: Server
    thread: threading.Thread

    def stop(self) -> None:
        """As a signal does."""
        self.server.should_exit = True

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method,
                path,
                body=body,
                headers=dict(headers or {}),
                encode_chunked=not isinstance(body, bytes),
            )
            response = connection.getresponse()
            text = response.read().decode()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
        finally:
            connection.close()

    def post(self, body: bytes, signature: str | None = None) -> Answer:
        """A signed webhook."""
        headers = {"X-Rutter-Signature": sign(body) if signature is None else signature}
        return self.ask("POST", PATH, body, headers)

    def raw(self, *parts: bytes, hold: bool = False) -> bytes:
        """What comes back for bytes on a socket; with ``hold``, while nothing more is sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as wire:
            for part in parts:
                wire.sendall(part)
            if not hold:
                wire.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while more := wire.recv(65_536):
                    answer += more
            except ConnectionResetError:
                pass
            return answer


@contextmanager
def receiving(
    ledger: WebhookLedger, limits: Limits | None = None, **settings: Any
) -> Iterator[Receiver]:
    """A receiver on a free port, stopped at the end."""
    limits = limits or Limits()
    config = FleetConfig(**{"webhook_secrets": (SECRET,), **settings})
    server = Server(receiver(config, ledger, limits), limits, stop_seconds=30)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with listener:
        running = Receiver(listener.getsockname()[1], server, thread)
        try:
            # It listens already; an answer comes as soon as it is up.
            assert running.ask("GET", "/healthz").status == 200
            yield running
        finally:
            running.stop()
            thread.join(60)
