"""A request to Rutter, its response, and how many requests a partition has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Params = Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """What to fetch. The path is relative to the API's base address."""

    path: str
    params: Params
    connection_id: str | None = None
    """The connection whose access token is sent; it is looked up when the request is built."""
    sorted_list: bool = False
    """Whether the request asks for a sort order: a 400 may then be about that."""
    proves_address: bool = False
    """Whether a 404 that is not Rutter's own means that the base address is wrong."""


@dataclass(frozen=True)
class Response:
    """A 200 from Rutter."""

    content: bytes
    received_ms: int
    """When the whole response had arrived, by the run's clock (Unix ms)."""


class UnreadableResponse(Exception):
    """A 200 whose body is not what was asked for: HTML, broken or cut JSON. A later try may do."""


@dataclass(slots=True)
class Counts:
    """How many requests and retries one partition has cost."""

    requests: int = 0
    retries: int = 0
