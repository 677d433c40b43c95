"""A request, its answer, and the log of both."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

JSON_TYPE = "application/json; charset=utf-8"


@dataclass
class Request:
    """One request for data; `path` is without the base path."""

    number: int
    method: str
    path: str
    pairs: list[tuple[str, str]]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""
    connection_id: str | None = None

    @property
    def params(self) -> dict[str, str]:
        return dict(self.pairs)


@dataclass
class Answer:
    """The answer, before compression."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    is_gateways: bool = False
    """Whether something before Rutter answers: then there is no ``X-Rutter-Request-ID``."""


@dataclass(frozen=True)
class LoggedRequest:
    """A request in the log: without the access token, but with its connection."""

    number: int
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    connection_id: str | None
    status: int
    """0 where no answer was sent."""
    size: int
    """Bytes of the body as sent."""
    at: str
    """The world's time."""
    started: float
    finished: float
    """Seconds, by the monotonic clock."""
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


class RequestLog(Sequence[LoggedRequest]):
    """All requests so far, in the order in which they were answered."""

    def __init__(self) -> None:
        self._entries: list[LoggedRequest] = []
        self._lock = threading.Lock()

    def add(self, entry: LoggedRequest) -> None:
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def to(self, path: str, connection_id: str | None = None) -> list[LoggedRequest]:
        """The requests to one path, of one connection if given."""
        return [
            entry
            for entry in self
            if entry.path == path and connection_id in (None, entry.connection_id)
        ]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(list(self._entries))

    @overload
    def __getitem__(self, index: int) -> LoggedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LoggedRequest]: ...
    def __getitem__(self, index: int | slice) -> LoggedRequest | Sequence[LoggedRequest]:
        with self._lock:
            return self._entries[index]
