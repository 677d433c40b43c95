"""What is asked of Rutter, what comes back, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Params = Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """What is to be fetched. The path is relative to the API's base address."""

    path: str
    params: Params
    connection_id: str | None = None
    """Whose access token goes with it; the token itself is looked up when the request is built."""
    sorted_list: bool = False
    """Whether a sort order is asked for: a 400 may then be about that."""
    proves_address: bool = False
    """Whether a 404 that is not Rutter's own says that the address is wrong, once and for all."""


@dataclass(frozen=True)
class Response:
    """A 200 from Rutter."""

    content: bytes
    received_ms: int
    """When it had arrived whole, on the run's clock."""


class UnreadableResponse(Exception):
    """A 200 whose body is not what was asked for: HTML, broken or cut JSON. It may pass."""


@dataclass(slots=True)
class Counts:
    """What one partition (one stream of one connection) cost."""

    requests: int = 0
    retries: int = 0
