"""Routes under ``/_control/``, to look at the world and to change it from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tap_rutter.simulator.accounts import is_syncing
from tap_rutter.simulator.arguments import (
    ANYTHING,
    COUNTS,
    NUMBER,
    OBJECT,
    PAIRS,
    TEXT,
    TEXTS,
    TRUTH,
    WHOLE,
    Body,
    Kind,
    Refused,
    Route,
    meant,
    one_of,
    or_null,
)
from tap_rutter.simulator.connection import STATUSES, Connection
from tap_rutter.simulator.documents import UnknownVersion
from tap_rutter.simulator.faults import ACTIONS, Faults
from tap_rutter.simulator.places import place_of
from tap_rutter.simulator.platforms import serves
from tap_rutter.simulator.request import Answer, RequestLog
from tap_rutter.simulator.switches import SWITCHES
from tap_rutter.simulator.text import decode, encode, iso, to_bytes
from tap_rutter.simulator.webhooks import Webhooks
from tap_rutter.simulator.world import World

# The attributes of a connection that can be set.
_SETTABLE: Mapping[str, Kind] = {
    "status": one_of(STATUSES),
    "name": or_null(TEXT),
    "disabled_reason": or_null(TEXT),
    "unavailable_objects": or_null(TEXTS),
    "paused": TRUTH,
}
_DEEDS = ("sync", "pause", "resume", "make_ready")
_LIST: Mapping[str, Kind] = {"connection_id": TEXT, "path": TEXT}
_ROW: Mapping[str, Kind] = {**_LIST, "key": TEXT}
_WHEN: Mapping[str, Kind] = {"fields": OBJECT, "late": NUMBER, "immediate": TRUTH}
_SWITCH: Mapping[str, Kind] = {"platform": TEXT, "path": TEXT, "connection_id": TEXT}
_FAULT: Mapping[str, Kind] = {
    "path": TEXT,
    "connection_id": or_null(TEXT),
    "params": PAIRS,
    "nth": or_null(WHOLE),
    "after": WHOLE,
    "times": or_null(WHOLE),
    "probability": NUMBER,
    "status": WHOLE,
    "body": TEXT,
    "headers": PAIRS,
    "seconds": NUMBER,
}


_WEBHOOKS: Mapping[str, Kind] = {
    "codes": or_null(TEXTS),
    "lost": NUMBER,
    "doubled": NUMBER,
    "hurry": NUMBER,
}


class Controlled(Protocol):
    """A running simulator, as far as it can be controlled."""

    faults: Faults
    requests: RequestLog
    webhooks: Webhooks

    @property
    def api_url(self) -> str:
        """The base address of the API."""

    @property
    def world(self) -> World:
        """The world that it serves."""

    def replace_world(self, world: World) -> None:
        """Serve another world from now on."""


class Control:
    """Answers control requests; bodies and answers are JSON objects.

    A route's arguments come in the query of a GET or in the JSON body of a POST. A request that
    cannot be done gets a 400 with ``{"error": …}``, and changes nothing.
    """

    def __init__(self, simulator: Controlled) -> None:
        self._simulator = simulator
        self.routes: dict[tuple[str, str], Route] = {
            ("GET", ""): Route(self._index),
            ("GET", "/health"): Route(self._health),
            ("GET", "/world"): Route(self._world),
            ("GET", "/rows"): Route(self._rows, _LIST),
            ("GET", "/clock"): Route(self._clock),
            ("POST", "/clock"): Route(self._advance, {"seconds": NUMBER}),
            ("POST", "/create"): Route(self._create, _LIST, _WHEN),
            ("POST", "/update"): Route(self._update, _ROW, _WHEN),
            ("POST", "/delete"): Route(self._delete, _ROW),
            ("POST", "/touch"): Route(self._touch, _ROW),
            ("POST", "/put_raw"): Route(self._put_raw, {**_ROW, "text": TEXT}),
            ("POST", "/connection"): Route(
                self._connection, {"connection_id": TEXT}, {**_SETTABLE, "do": one_of(_DEEDS)}
            ),
            ("POST", "/history"): Route(
                self._history, {"connection_id": TEXT, "rows": COUNTS}, {"complete": TRUTH}
            ),
            ("GET", "/switches"): Route(self._switches),
            ("POST", "/switches"): Route(
                self._set_switch, {"name": one_of(sorted(SWITCHES)), "value": ANYTHING}, _SWITCH
            ),
            ("GET", "/faults"): Route(self._faults),
            ("POST", "/faults"): Route(self._add_fault, {"action": one_of(ACTIONS)}, _FAULT),
            ("POST", "/faults/clear"): Route(self._clear_faults, takes_any=True),
            ("GET", "/requests"): Route(self._requests),
            ("POST", "/requests/clear"): Route(self._clear_requests, takes_any=True),
            ("GET", "/webhooks"): Route(self._webhooks),
            ("POST", "/webhooks"): Route(self._subscribe, {"url": TEXT}, _WEBHOOKS),
            ("POST", "/webhooks/clear"): Route(self._clear_webhooks, takes_any=True),
            ("POST", "/reset"): Route(self._reset, takes_any=True),
        }

    def answer(self, method: str, path: str, params: dict[str, str], body: bytes) -> Answer:
        """The answer to a control request."""
        path = path.rstrip("/")
        route = self.routes.get((method, path))
        if route is None:
            return self._unknown(method, path)
        try:
            arguments = route.checked({**params, **_arguments(body)})
            with self._simulator.world.lock:
                return _json(200, route.answer(arguments))
        except (KeyError, TypeError, ValueError, UnknownVersion) as error:
            text = error.args[0] if error.args else type(error).__name__
            return _json(400, {"error": str(text), "route": f"{method} {path}"})

    def _unknown(self, method: str, path: str) -> Answer:
        methods = [verb for verb, name in self.routes if name == path]
        if methods:
            text = f"{path} takes {' or '.join(methods)}, not {method}"
            return _json(405, {"error": text})
        known = [name for _, name in self.routes]
        text = f"no control route {path!r}; GET /_control/ lists them{meant(path, known)}"
        return _json(404, {"error": text})

    def _index(self, _: Body) -> Any:
        return {
            "routes": {
                f"{method} /_control{path or '/'}": route.described()
                for (method, path), route in self.routes.items()
            }
        }

    def _health(self, _: Body) -> Any:
        simulator = self._simulator
        return {"ok": True, "api_url": simulator.api_url, "version": simulator.world.version}

    def _world(self, _: Body) -> Any:
        world = self._simulator.world
        return {
            "seed": world.seed,
            "version": world.version,
            "now": str(world.clock),
            "client_id": world.client_id,
            "connections": [self._describe(c) for c in world.connections.values()],
        }

    def _describe(self, connection: Connection) -> Any:
        world = self._simulator.world
        rows: dict[str, int] = {}
        for endpoint in world.document.lists():
            place = place_of(world.document, endpoint.path)
            if place is None or not serves(connection.platform, endpoint.path):
                continue
            count = len(world.source(connection, place))
            if count:
                rows[endpoint.path] = count
        return {
            "id": connection.id,
            "platform": connection.platform,
            "status": connection.status,
            "paused": connection.paused,
            "syncing": is_syncing(connection) and not connection.paused,
            "last_sync_completed_at": connection.last_sync_completed_at
            and iso(connection.last_sync_completed_at),
            "rows": rows,
        }

    def _rows(self, body: Body) -> Any:
        world = self._simulator.world
        asked = self._target(body)
        return {"rows": world.rows(*asked), "keys": world.keys(*asked)}

    def _clock(self, _: Body) -> Any:
        return {"now": str(self._simulator.world.clock)}

    def _advance(self, body: Body) -> Any:
        self._simulator.world.advance(body["seconds"])
        return self._clock(body)

    def _create(self, body: Body) -> Any:
        options, fields = _options(body)
        return {"key": self._simulator.world.create(*self._target(body), **options, **fields)}

    def _update(self, body: Body) -> Any:
        options, fields = _options(body)
        self._simulator.world.update(*self._target(body), body["key"], **options, **fields)
        return {"key": body["key"]}

    def _delete(self, body: Body) -> Any:
        self._simulator.world.delete(*self._target(body), body["key"])
        return {"key": body["key"]}

    def _touch(self, body: Body) -> Any:
        self._simulator.world.touch(*self._target(body), body["key"])
        return {"key": body["key"]}

    def _put_raw(self, body: Body) -> Any:
        self._simulator.world.put_raw(*self._target(body), body["key"], body["text"])
        return {"key": body["key"]}

    def _connection(self, body: Body) -> Any:
        """Set attributes of a connection; ``do``: sync, pause, resume or make_ready."""
        world = self._simulator.world
        connection = self._known_connection(body["connection_id"])
        for name in _SETTABLE:
            if name in body and name != "status":
                setattr(connection, name, body[name])
        if "status" in body:
            world.set_status(connection.id, body["status"])
        deeds = {
            "sync": world.sync,
            "pause": world.pause,
            "resume": world.resume,
            "make_ready": world.make_ready,
        }
        if "do" in body:
            deeds[body["do"]](connection.id)
        return self._describe(connection)

    def _history(self, body: Body) -> Any:
        for path in body["rows"]:
            self._target({**body, "path": path})
        made = self._simulator.world.add_history_batch(
            body["connection_id"], body["rows"], complete=body.get("complete", True)
        )
        return {"keys": made}

    def _switches(self, _: Body) -> Any:
        return {"switches": self._simulator.world.switches.as_json()}

    def _set_switch(self, body: Body) -> Any:
        self._simulator.world.switches.set(**body)
        return self._switches(body)

    def _faults(self, _: Body) -> Any:
        return {"faults": self._simulator.faults.as_json()}

    def _add_fault(self, body: Body) -> Any:
        self._simulator.faults.add(**body)
        return self._faults(body)

    def _clear_faults(self, body: Body) -> Any:
        self._simulator.faults.clear()
        return self._faults(body)

    def _requests(self, _: Body) -> Any:
        log = self._simulator.requests
        counts: dict[str, int] = {}
        for entry in log:
            counts[entry.path] = counts.get(entry.path, 0) + 1
        return {"count": len(log), "paths": counts, "requests": [e.as_json() for e in log]}

    def _clear_requests(self, _: Body) -> Any:
        self._simulator.requests.clear()
        return {"count": 0}

    def _webhooks(self, _: Body) -> Any:
        return self._simulator.webhooks.as_json()

    def _subscribe(self, body: Body) -> Any:
        self._simulator.webhooks.subscribe(**body)
        return self._webhooks(body)

    def _clear_webhooks(self, body: Body) -> Any:
        self._simulator.webhooks.clear()
        return self._webhooks(body)

    def _reset(self, body: Body) -> Any:
        recipe = self._simulator.world.recipe
        if recipe is None:
            raise Refused("this world was made by a program, so it cannot be reset")
        self._simulator.replace_world(recipe())
        return self._health(body)

    def _known_connection(self, connection_id: str) -> Connection:
        connection = self._simulator.world.connections.get(connection_id)
        if connection is None:
            raise Refused(
                f"no connection {connection_id!r} in this world; GET /_control/world lists them"
            )
        return connection

    def _target(self, body: Body) -> tuple[str, str]:
        world = self._simulator.world
        path = body["path"]
        self._known_connection(body["connection_id"])
        if place_of(world.document, path) is None:
            raise Refused(
                f"API version {world.version} has no path {path!r}"
                f"{meant(path, world.document.endpoints)}"
            )
        return body["connection_id"], path


def _arguments(body: bytes) -> Body:
    try:
        arguments = decode(body) if body else {}
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise Refused('the body must be a JSON object, such as {"seconds": 3600}')
    return arguments


def _options(body: Body) -> tuple[Body, Body]:
    options: Body = {name: body[name] for name in ("late", "immediate") if name in body}
    fields = dict(body.get("fields", {}))
    for name in ("late", "immediate"):
        if name in fields:
            raise Refused(f"{name!r} belongs beside 'fields', not inside")
    return options, fields


def _json(status: int, value: Any) -> Answer:
    return Answer(status, to_bytes(encode(value)))
