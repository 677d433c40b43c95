"""Faults on purpose: what goes wrong, with which requests, how often."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tap_rutter.simulator.request import Request

ACTIONS = (
    "respond",  # the given status, body, headers
    "redirect",  # 302 to the `location` header, or to another host
    "html",  # 200 and a page of HTML
    "broken_json",  # 200 and half of the JSON, with a correct Content-Length
    "no_list",  # 200 and a JSON object without its data
    "reset",  # the TCP connection is reset without an answer
    "close",  # the TCP connection is closed without an answer
    "cut",  # the answer breaks off before its Content-Length
    "bad_gzip",  # Content-Encoding: gzip, but the bytes are not gzip
    "delay",  # the answer comes `seconds` late
    "drip",  # the answer comes in small pieces over `seconds`
    "repeat_cursor",  # next_cursor is the cursor that was sent (from the second page on)
    "endless",  # the first page at every request, each time with a new cursor
    "none",  # nothing but `call`
)


_IN_PYTHON = {"call", "raw"}


@dataclass
class Fault:
    """A rule. The first rule that matches a request is applied to it."""

    action: str
    path: str = "*"
    """A shell pattern for the path without the base path: ``/orders``, ``/accounting/*``."""
    connection_id: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    """Parameters that the request must have; ``"*"`` means any value."""
    nth: int | None = None
    """Only the n-th matching request, counted from 1."""
    after: int = 0
    """How many matching requests to leave alone first."""
    times: int | None = 1
    """How often the fault is applied at most; None: always."""
    probability: float = 1.0
    status: int = 500
    body: str = ""
    raw: bytes = b""
    """The body as bytes instead of text. Only for faults that are added in Python."""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    call: Callable[[Request], None] | None = None
    """Called before the request is answered, in the thread that serves it."""
    seen: int = 0
    applied: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"unknown fault action {self.action!r}; known: {', '.join(ACTIONS)}")

    def fits(self, request: Request) -> bool:
        return (
            fnmatchcase(request.path, self.path)
            and self.connection_id in (None, request.connection_id)
            and all(
                name in request.params and value in ("*", request.params[name])
                for name, value in self.params.items()
            )
        )

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _IN_PYTHON}


class Faults:
    """The faults of a simulator, in the order in which they were added."""

    def __init__(self, seed: int) -> None:
        self._faults: list[Fault] = []
        self._random = random.Random(f"faults|{seed}")
        self._lock = threading.Lock()

    def add(self, action: str, **conditions: Any) -> Fault:
        """Add a fault; the conditions are the fields of `Fault`. By default it is applied once."""
        fault = Fault(action, **conditions)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.as_json() for fault in self._faults]

    def strike(self, request: Request) -> Fault | None:
        """The fault for this request, which then counts as applied; None if there is none."""
        with self._lock:
            for fault in self._faults:
                if not fault.fits(request):
                    continue
                fault.seen += 1
                if fault.seen <= fault.after or fault.nth not in (None, fault.seen):
                    continue
                if fault.times is not None and fault.applied >= fault.times:
                    continue
                if fault.probability < 1.0 and self._random.random() >= fault.probability:
                    continue
                fault.applied += 1
                return fault
        return None
