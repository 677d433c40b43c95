"""The receiver on a port, until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.webhooks.receiver import PATH, Limits, WebhookLedger, receiver
from tap_rutter.redact import SECRETS

_MOST_CONNECTIONS = 2_000
_MOST_HEADERS = 32 * 1024  # bytes
# Longer than the proxies in front of it keep theirs: else one is closed just as it is used again.
_KEEP_ALIVE = 75
_logger = logging.getLogger(__name__)


def serve(
    config: FleetConfig, ledger: WebhookLedger, *, host: str = "127.0.0.1", port: int = 8080
) -> None:
    """Take webhooks until SIGTERM or SIGINT; what is being committed then is committed first.

    Args:
        config: says which secrets sign, and how long the end may take.
        ledger: it is migrated already, and closed by the caller.
        host: the address to listen on. It speaks plain HTTP: TLS is the business of the proxy.
        port: 0 takes any free one.

    Raises:
        ConfigError: there is no secret, or the address cannot be listened on.
    """
    limits = Limits()
    app = receiver(config, ledger, limits)
    SECRETS.add(config.ledger_url, config.tap_config.get("client_secret"))
    if not 0 <= port <= 65_535:
        raise ConfigError(f"The receiver cannot listen on port {port}: ports are 0 to 65535.")
    try:
        listener = socket.create_server((host, port), backlog=2_048)
    except OSError as error:
        raise ConfigError(f"The receiver cannot listen on {host}:{port}: {error}.") from None
    server = Server(app, limits, stop_seconds=config.stop_seconds)
    with listener, _signals_end_quietly():
        _logger.info("Taking webhooks at http://%s:%d%s", *listener.getsockname()[:2], PATH)
        server.run(sockets=[listener])
    _logger.info("The receiver has ended.")


class Server(uvicorn.Server):
    """uvicorn with our bounds. Its access log is off: an address may bear what is secret."""

    def __init__(self, app: Any, limits: Limits, *, stop_seconds: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",  # its bound on a head is known, and tested
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                limit_concurrency=_MOST_CONNECTIONS,
                h11_max_incomplete_event_size=_MOST_HEADERS,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=max(1, round(stop_seconds)),
            )
        )
        self._head_seconds = limits.read_seconds
        self._seen: Mapping[Any, float] = {}

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second; once in a while, look for heads that do not come.

        uvicorn waits for the head of a request as long as its sender likes: enough of such
        connections would leave none for Rutter.
        """
        if counter % 10 == 0:
            self._close_those_that_never_ask()
        return await super().on_tick(counter)

    def _close_those_that_never_ask(self) -> None:
        now = asyncio.get_running_loop().time()
        silent = {
            protocol: self._seen.get(protocol, now)
            for protocol in self.server_state.connections
            if _waits_for_a_head(protocol)
        }
        for protocol, since in silent.items():
            if now - since > self._head_seconds and protocol.transport is not None:
                protocol.transport.abort()
        self._seen = silent


def _waits_for_a_head(protocol: Any) -> bool:
    """Whether it has begun nothing, or has begun a request and not come to the end of its head.

    One that has been answered and rests is closed by its keep-alive timer.
    """
    cycle = protocol.cycle
    begun_none = cycle is None or cycle.response_complete
    return begun_none and protocol.timeout_keep_alive_task is None


@contextmanager
def _signals_end_quietly() -> Any:
    """uvicorn raises a signal again when it has ended; by then the work is done."""

    def nothing(_: int, __: FrameType | None) -> None:
        return None

    before = {}
    with suppress(ValueError):  # not in the main thread, where signals are somebody else's
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, nothing)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
