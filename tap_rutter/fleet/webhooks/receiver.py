"""The receiver: an ASGI application that takes signed webhooks and keeps what they tell.

In this order: the body's size is bounded while it streams in, and so is the time; its signature is
verified; only then is it decoded; and it is answered 200 when it has been committed. What cannot be
taken now is answered 503, so that it comes again; what will never be taken is answered 4xx.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Deletion, Lane, Mark
from tap_rutter.fleet.webhooks.committer import Busy, Committer, NotCommitted
from tap_rutter.fleet.webhooks.counters import Counters
from tap_rutter.fleet.webhooks.events import UnreadableWebhook, read
from tap_rutter.fleet.webhooks.signature import HEADER, Verifier, secrets_of, signatures
from tap_rutter.redact import SECRETS

PATH = "/webhooks"
_SAID_EVERY = 60.0  # seconds between log lines about requests that were refused
_SHORT = 64 * 1024  # bytes of a body that may as well be received, although it was refused
_ANSWER_SECONDS = 5.0  # how long the ledger may take to tell that it is there
_LOOK_EVERY = 1.0  # seconds for which one answer about readiness serves everybody who asks
_logger = logging.getLogger(__name__)


class WebhookLedger(Protocol):
    """What the receiver does with the ledger."""

    def put_webhooks(self, marks: Sequence[Mark], deletions: Sequence[Deletion] = ()) -> None:
        """Keep them, in one transaction."""

    def due(self) -> Mapping[Lane, int]:
        """How many connections are due; here it only shows that the ledger answers."""

    def paused(self) -> str | None:
        """Why no connection is claimed at present."""


@dataclass(frozen=True)
class Limits:
    """Bounds of what one sender, and all of them, may take."""

    body_bytes: int = 8 * 2**20
    """The largest body: an order with thousands of lines, and the platform's own data twice."""
    held_bytes: int = 256 * 2**20
    """All bodies that are being read at once."""
    read_seconds: float = 10.0
    """From the head of a request to the end of its body."""
    most_waiting: int = 10_000
    """Webhooks that wait for their commit."""
    commit_seconds: float = 10.0
    """How long each of them waits."""


@dataclass(frozen=True)
class _Outcome:
    """What a request is answered, and under which name it is counted."""

    status: int
    text: str
    reason: str
    again: bool = False
    """Whether it is worth sending it again."""


TAKEN = _Outcome(200, "taken", "taken")
UNSIGNED = _Outcome(401, "not signed by a known secret", "signature")
TOO_LARGE = _Outcome(413, "too large", "too_large")
SLOW = _Outcome(408, "the body did not come in time", "slow")
UNREADABLE = _Outcome(400, "not a webhook", "unreadable")
FULL = _Outcome(503, "too many at once", "busy", again=True)
NOT_KEPT = _Outcome(503, "not kept", "ledger", again=True)
GONE = _Outcome(0, "", "disconnected")


class _Refused(Exception):
    def __init__(self, outcome: _Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def receiver(config: FleetConfig, ledger: WebhookLedger, limits: Limits | None = None) -> Starlette:
    """The application: ``POST /webhooks``, ``/healthz``, ``/readyz`` and ``/metrics``.

    Raises:
        ConfigError: when there is no secret to verify webhooks with.
    """
    limits = limits or Limits()
    secrets = secrets_of(config)
    SECRETS.add(*secrets)
    committer: Committer | None = None
    counters = Counters(lambda: committer.waiting if committer else 0)
    inbox = _Inbox(Verifier(secrets), limits, counters)
    readiness = _Readiness(ledger)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal committer
        async with Committer(
            ledger.put_webhooks,
            most_waiting=limits.most_waiting,
            patience=limits.commit_seconds,
            on_group=counters.groups.observe,
        ) as committer:
            inbox.committer = committer
            yield
        readiness.close()

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(counters.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route(PATH, inbox, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readiness.answer),
            Route("/metrics", metrics),
        ],
        lifespan=lifespan,
    )


class _Inbox:
    """Takes webhooks: plain ASGI, since the body is not to be read before it is known to fit."""

    def __init__(self, verifier: Verifier, limits: Limits, counters: Counters) -> None:
        self.committer: Committer | None = None
        self._verifier = verifier
        self._limits = limits
        self._counters = counters
        self._held = 0
        self._refusals = _Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        coming = _Coming(scope["headers"])
        try:
            outcome = await self._take(coming, receive)
        except _Refused as refused:
            outcome = refused.outcome
        if outcome is not TAKEN:
            self._counters.refused.labels(outcome.reason).inc()
            self._refusals.note(outcome)
        if outcome is not GONE:
            await _answer(send, outcome, close=coming.may_be_long)
        self._counters.seconds.observe(time.perf_counter() - started)

    async def _take(self, coming: _Coming, receive: Receive) -> _Outcome:
        given = [value for name, value in coming.headers if name == HEADER]
        if not signatures(given):
            return UNSIGNED  # without having read a byte of it
        if coming.declared is not None and coming.declared > self._limits.body_bytes:
            return TOO_LARGE
        body = await self._body(receive)
        coming.is_read = True
        if not self._verifier.verifies(given, body):
            return UNSIGNED
        try:
            told = read(body, datetime.now(UTC))
        except UnreadableWebhook:
            return UNREADABLE
        except Exception as error:
            # A fault of ours. The body is not to blame for more than that it is odd.
            _logger.error("A webhook could not be read: %s", type(error).__name__)
            return UNREADABLE
        del body
        if self.committer is None:
            return FULL
        try:
            await self.committer.commit(told)
        except Busy:
            return FULL
        except NotCommitted:
            return NOT_KEPT
        result = "kept" if told.marks else "nothing_to_do"
        self._counters.webhooks.labels(told.type, result).inc()
        self._counters.deletions.inc(len(told.deletions))
        return TAKEN

    async def _body(self, receive: Receive) -> bytes:
        """The whole body, counted while it comes.

        Raises:
            _Refused: it is too large, too slow, or one too many.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.read_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Refused(GONE)
                    chunk: bytes = message.get("body", b"")
                    size += len(chunk)
                    self._held += len(chunk)
                    if size > self._limits.body_bytes:
                        raise _Refused(TOO_LARGE)
                    if self._held > self._limits.held_bytes:
                        raise _Refused(FULL)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise _Refused(SLOW) from None
        finally:
            self._held -= size


class _Coming:
    """A request whose body may not have come yet."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.headers = headers
        self.is_read = False
        """Whether all of its body has come."""
        length = next((value for name, value in headers if name == b"content-length"), b"")
        self.declared = int(length[:20]) if length.isdigit() else None
        """Bytes of its body, as its sender says."""

    @property
    def may_be_long(self) -> bool:
        """Whether it is better to close the connection than to wait for the rest of the body.

        Otherwise it is kept: a proxy that has to open one for each refused request runs out of
        ports.
        """
        return not self.is_read and (self.declared is None or self.declared > _SHORT)


async def _answer(send: Send, outcome: _Outcome, *, close: bool) -> None:
    text = outcome.text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
    if outcome.again:
        headers.append((b"retry-after", b"5"))
    if close or outcome is SLOW:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": outcome.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class _Refusals:
    """Says in the log what was refused, seldom: strangers must not be able to fill it."""

    _SAY: Mapping[_Outcome, str] = {
        UNSIGNED: "were not signed by a known secret. If Rutter sent them, see that"
        " 'webhook_secrets' of [fleet], or the tap's 'client_secret', is the organisation's",
        TOO_LARGE: "were larger than the receiver takes",
        UNREADABLE: "were signed, but are not webhooks",
        FULL: "came while too many others were waiting, and were told to come again",
    }

    def __init__(self) -> None:
        self._counts: dict[_Outcome, int] = {}
        self._said_at: dict[_Outcome, float] = {}

    def note(self, outcome: _Outcome) -> None:
        """Count one, and say so if nothing was said of its kind for a while."""
        text = self._SAY.get(outcome)
        if text is None:
            return
        count = self._counts[outcome] = self._counts.get(outcome, 0) + 1
        now = time.monotonic()
        if now - self._said_at.get(outcome, float("-inf")) >= _SAID_EVERY:
            self._said_at[outcome] = now
            self._counts[outcome] = 0
            _logger.warning("Requests to %s that %s: %d.", PATH, text, count)


class _Readiness:
    """Whether the ledger answers: asked at most once a second, however many want to know.

    A fleet that is paused goes on taking webhooks: they wait in the ledger. So a pause is
    told here, and the status stays 200: webhooks need not be sent elsewhere.
    """

    def __init__(self, ledger: WebhookLedger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._asked_at = float("-inf")
        self._asking: asyncio.Future[str | None] | None = None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def answer(self, _: Request) -> Response:
        if self._asking is None or (
            self._asking.done() and time.monotonic() - self._asked_at >= _LOOK_EVERY
        ):
            self._asked_at = time.monotonic()
            loop = asyncio.get_running_loop()
            self._asking = loop.run_in_executor(self._thread, self._ask)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                paused = await asyncio.shield(self._asking)
        except Exception:
            return JSONResponse({"ready": False, "reason": "the ledger does not answer"}, 503)
        return JSONResponse({"ready": True, "paused": paused})

    def _ask(self) -> str | None:
        self._ledger.due()
        return self._ledger.paused()
