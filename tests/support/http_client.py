"""A client of the simulator that is not the tap's."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from tap_rutter.simulator import Connection, Simulator, World


@dataclass
class RawResponse:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


class Client:
    """Asks a simulator over one connection."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._http = http.client.HTTPConnection(simulator.root_url.removeprefix("http://"))
        pair = f"{simulator.client_id}:{simulator.client_secret}"
        self.headers = {
            "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
            "X-Rutter-Version": simulator.world.version,
        }

    def close(self) -> None:
        self._http.close()

    def get(
        self,
        path: str,
        connection: Connection | None = None,
        *,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        **params: Any,
    ) -> RawResponse:
        if connection is not None:
            params["access_token"] = connection.access_token
        target = "/versioned" + path + ("?" + urlencode(params) if params else "")
        self._http.request(method, target, headers=self.headers if headers is None else headers)
        answer = self._http.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return RawResponse(answer.status, names, answer.read())

    def pages(self, path: str, connection: Connection, **params: Any) -> list[list[dict[str, Any]]]:
        """The rows of all pages; every page must have another cursor than the one before."""
        key = {"/events": "events"}.get(path, path.rsplit("/", 1)[-1])
        found: list[list[dict[str, Any]]] = []
        cursors: set[str] = set()
        while True:
            reply = self.get(path, connection, **params)
            assert reply.status == 200, reply.body
            found.append(reply.json[key])
            cursor = reply.json.get("next_cursor")
            if not cursor:
                return found
            assert cursor not in cursors
            cursors.add(cursor)
            params["cursor"] = cursor

    def rows(self, path: str, connection: Connection, **params: Any) -> list[dict[str, Any]]:
        return [row for page in self.pages(path, connection, **params) for row in page]


def of(world: World, platform: str, status: str | None = None) -> Connection:
    """The first connection on a platform, in a status if one is named."""
    return next(
        c
        for c in world.connections.values()
        if c.platform == platform and status in (None, c.status)
    )


def milliseconds(text: str) -> int:
    """A moment in Unix milliseconds."""
    moment = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return round(moment.total_seconds() * 1000)
