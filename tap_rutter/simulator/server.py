"""The simulator: serves a world at an address on this machine."""

from __future__ import annotations

import contextlib
import email.utils
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from tap_rutter.simulator import trouble
from tap_rutter.simulator.api import Api
from tap_rutter.simulator.control import Control
from tap_rutter.simulator.faults import Fault, Faults
from tap_rutter.simulator.generate import row_id
from tap_rutter.simulator.request import Answer, LoggedRequest, Request, RequestLog
from tap_rutter.simulator.webhooks import Webhooks
from tap_rutter.simulator.wire import BadRequest, Received, Wire
from tap_rutter.simulator.world import World

BASE_PATH = "/versioned"
CONTROL_PATH = "/_control"
# Not kept in the log: the first is a secret, and the second holds one.
_NOT_LOGGED = ("access_token", "authorization")


class Simulator:
    """Serves a world over HTTP, from `start` (or ``with``) until `stop`."""

    def __init__(
        self,
        world: World,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        latency: float = 0.0,
        gzip: bool = True,
        webhooks: Iterable[str] = (),
    ) -> None:
        """`port` 0 takes any free one; `latency`: seconds that each answer waits at least.

        `webhooks`: addresses that are told of every change; `self.webhooks` knows more of them.
        """
        self.world = world
        self.latency = latency
        self.gzip = gzip
        self.requests = RequestLog()
        self.faults = Faults(world.seed)
        self.before_request: Callable[[Request], None] | None = None
        """Called with each request before it is answered; it may change the world."""
        self.webhooks = Webhooks(world)
        for url in webhooks:
            self.webhooks.subscribe(url)
        self._api = Api(world)
        self._control = Control(self)
        self._address = (host, port)
        self._listener: socket.socket | None = None
        self._wires: set[Wire] = set()
        self._guard = threading.Lock()
        self._numbers = itertools.count(1)
        self._headers: dict[str, str] = {}

    @property
    def api_url(self) -> str:
        return f"{self.root_url}{BASE_PATH}"

    @property
    def control_url(self) -> str:
        return f"{self.root_url}{CONTROL_PATH}"

    @property
    def root_url(self) -> str:
        if self._listener is None:
            raise RuntimeError("the simulator is not running")
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def client_id(self) -> str:
        return self.world.client_id

    @property
    def client_secret(self) -> str:
        return self.world.client_secret

    def start(self) -> Self:
        listener = socket.create_server(self._address, backlog=256)
        self._listener = listener
        threading.Thread(
            target=self._accept, args=(listener,), name="rutter-simulator", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Close the address and every open connection; send no more webhooks."""
        self.webhooks.stop()
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._guard:
            wires, self._wires = self._wires, set()
        for wire in wires:
            wire.shut()

    def replace_world(self, world: World) -> None:
        """Serve another world from now on; requests and faults are forgotten, webhooks are not."""
        self.world = world
        self.webhooks.listen_to(world)
        self._api = Api(world)
        self.requests.clear()
        self.faults.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            wire = Wire(client)
            with self._guard:
                self._wires.add(wire)
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        try:
            while (received := wire.receive()) is not None:
                if not self._respond(wire, received):
                    break
        except (OSError, BadRequest):
            pass
        finally:
            with self._guard:
                self._wires.discard(wire)
            wire.close()

    def _respond(self, wire: Wire, received: Received) -> bool:
        """Answer one request; returns False if the connection is to be closed."""
        if received.path.startswith(CONTROL_PATH + "/"):
            answer = self._control.answer(
                received.method,
                received.path.removeprefix(CONTROL_PATH),
                dict(received.pairs),
                received.body,
            )
            self._send(wire, received, answer, "control")
            return received.keep_alive
        if not received.path.startswith(BASE_PATH + "/"):
            page = f"<pre>Cannot {received.method} {received.path}</pre>".encode()
            self._send(wire, received, Answer(404, page, "text/html; charset=utf-8"), "none")
            return received.keep_alive
        return self._respond_api(wire, received)

    def _respond_api(self, wire: Wire, received: Received) -> bool:
        started = time.monotonic()
        request = Request(
            number=next(self._numbers),
            method=received.method,
            path=received.path.removeprefix(BASE_PATH),
            pairs=received.pairs,
            headers=received.headers,
            body=received.body,
        )
        connection = self.world.by_token(request.params.get("access_token", ""))
        request.connection_id = connection.id if connection is not None else None
        if self.latency:
            time.sleep(self.latency)
        if self.before_request is not None:
            self.before_request(request)
        fault = self.faults.strike(request)
        if fault is not None and fault.call is not None:
            fault.call(request)
        if fault is not None and fault.action == "delay":
            time.sleep(fault.seconds)
        answer = trouble.replaced(fault) or self._answer(request, fault)
        request_id = row_id(self.world.seed, "request", "", request.number)
        if answer is None:
            self._log(request, 0, 0, started, fault)
            if fault is not None and fault.action == "reset":
                wire.reset()
            return False
        # Logged before it is sent, so that a client that has the answer finds the request in the
        # log.
        size = len(answer.body)
        self._log(request, answer.status, size, started, fault)
        self._send(wire, received, answer, request_id, fault)
        return received.keep_alive and (fault is None or fault.action != "cut")

    def _answer(self, request: Request, fault: Fault | None) -> Answer | None:
        if fault is not None and fault.action in {"reset", "close"}:
            return None
        asked = trouble.asked(request, fault)
        return trouble.spoiled(self._api.answer(asked), request, fault)

    def _send(
        self,
        wire: Wire,
        received: Received,
        answer: Answer,
        request_id: str,
        fault: Fault | None = None,
    ) -> None:
        accepted = "gzip" in received.headers.get("accept-encoding", "")
        wire.send(
            answer,
            date=email.utils.formatdate(self.world.clock.now / 1000, usegmt=True),
            request_id=request_id,
            compress=self.gzip and accepted,
            keep_alive=received.keep_alive,
            fault=fault,
        )

    def _log(
        self, request: Request, status: int, size: int, started: float, fault: Fault | None
    ) -> None:
        headers = {k: v for k, v in request.headers.items() if k not in _NOT_LOGGED}
        if headers != self._headers:
            # A client sends the same headers with every request: the log keeps them once.
            self._headers = headers
        self.requests.add(
            LoggedRequest(
                number=request.number,
                method=request.method,
                path=request.path,
                params={k: v for k, v in request.params.items() if k not in _NOT_LOGGED},
                headers=self._headers,
                connection_id=request.connection_id,
                status=status,
                size=size,
                at=str(self.world.clock),
                started=started,
                finished=time.monotonic(),
                fault=fault.action if fault is not None else None,
            )
        )
