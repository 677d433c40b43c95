"""Routes under ``/_control/``: to look at the world and to change it from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tap_rutter.simulator.accounts import is_syncing
from tap_rutter.simulator.connection import STATUSES, Connection
from tap_rutter.simulator.documents import UnknownVersion
from tap_rutter.simulator.places import place_of
from tap_rutter.simulator.platforms import serves
from tap_rutter.simulator.request import Answer
from tap_rutter.simulator.text import decode, encode, iso, to_bytes

if TYPE_CHECKING:
    from tap_rutter.simulator.server import Simulator

Body = dict[str, Any]
Route = Callable[[Body], Any]

# What may be set on a connection.
_SETTABLE = ("status", "name", "disabled_reason", "unavailable_objects", "paused")


class Control:
    """Answers control requests; bodies and answers are JSON objects.

    A route's arguments come in the query of a GET or in the JSON body of a POST.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "/health"): self._health,
            ("GET", "/world"): self._world,
            ("GET", "/rows"): self._rows,
            ("GET", "/clock"): self._clock,
            ("POST", "/clock"): self._advance,
            ("POST", "/create"): self._create,
            ("POST", "/update"): self._update,
            ("POST", "/delete"): self._delete,
            ("POST", "/touch"): self._touch,
            ("POST", "/put_raw"): self._put_raw,
            ("POST", "/connection"): self._connection,
            ("POST", "/history"): self._history,
            ("GET", "/switches"): self._switches,
            ("POST", "/switches"): self._set_switch,
            ("GET", "/faults"): self._faults,
            ("POST", "/faults"): self._add_fault,
            ("POST", "/faults/clear"): self._clear_faults,
            ("GET", "/requests"): self._requests,
            ("POST", "/requests/clear"): self._clear_requests,
            ("POST", "/reset"): self._reset,
        }

    def answer(self, method: str, path: str, params: dict[str, str], body: bytes) -> Answer:
        route = self._routes.get((method, path.rstrip("/")))
        if route is None:
            known = [f"{verb} {name}" for verb, name in self._routes]
            return _json(404, {"error": f"no route {method} {path}", "routes": known})
        try:
            arguments = decode(body) if body else {}
            if not isinstance(arguments, dict):
                raise ValueError("the body must be a JSON object")
            with self._simulator.world.lock:
                return _json(200, route({**params, **arguments}))
        except (KeyError, TypeError, ValueError, UnknownVersion) as error:
            text = error.args[0] if error.args else repr(error)
            return _json(400, {"error": f"{type(error).__name__}: {text}"})

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
        asked = body["connection_id"], body["path"]
        return {"rows": world.rows(*asked), "keys": world.keys(*asked)}

    def _clock(self, _: Body) -> Any:
        return {"now": str(self._simulator.world.clock)}

    def _advance(self, body: Body) -> Any:
        self._simulator.world.advance(float(body["seconds"]))
        return self._clock(body)

    def _create(self, body: Body) -> Any:
        options, fields = _options(body)
        return {"key": self._simulator.world.create(*_target(body), **options, **fields)}

    def _update(self, body: Body) -> Any:
        options, fields = _options(body)
        self._simulator.world.update(*_target(body), body["key"], **options, **fields)
        return {"key": body["key"]}

    def _delete(self, body: Body) -> Any:
        self._simulator.world.delete(*_target(body), body["key"])
        return {"key": body["key"]}

    def _touch(self, body: Body) -> Any:
        self._simulator.world.touch(*_target(body), body["key"])
        return {"key": body["key"]}

    def _put_raw(self, body: Body) -> Any:
        self._simulator.world.put_raw(*_target(body), body["key"], body["text"])
        return {"key": body["key"]}

    def _connection(self, body: Body) -> Any:
        """Set attributes of a connection; ``do``: sync, pause, resume or make_ready."""
        world = self._simulator.world
        connection = world.connections[body["connection_id"]]
        if body.get("status", connection.status) not in STATUSES:
            raise ValueError(f"status is one of {', '.join(STATUSES)}")
        for name in _SETTABLE:
            if name in body:
                setattr(connection, name, body[name])
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
        made = self._simulator.world.add_history_batch(
            body["connection_id"], body["rows"], complete=bool(body.get("complete", True))
        )
        return {"keys": made}

    def _switches(self, _: Body) -> Any:
        return {"switches": self._simulator.world.switches.as_json()}

    def _set_switch(self, body: Body) -> Any:
        conditions = {k: body[k] for k in ("platform", "path", "connection_id") if k in body}
        self._simulator.world.switches.set(body["name"], body["value"], **conditions)
        return self._switches(body)

    def _faults(self, _: Body) -> Any:
        return {"faults": self._simulator.faults.as_json()}

    def _add_fault(self, body: Body) -> Any:
        numbers: Body = {k: float(body[k]) for k in ("seconds", "probability") if k in body}
        conditions: Body = {**body, **numbers}
        self._simulator.faults.add(conditions.pop("action"), **conditions)
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

    def _reset(self, body: Body) -> Any:
        recipe = self._simulator.world.recipe
        if recipe is None:
            raise ValueError("this world was made by hand and cannot be made again")
        self._simulator.replace_world(recipe())
        return self._health(body)


def _target(body: Body) -> tuple[str, str]:
    return body["connection_id"], body["path"]


def _options(body: Body) -> tuple[Body, Body]:
    options: Body = {}
    if "late" in body:
        options["late"] = float(body["late"])
    if "immediate" in body:
        options["immediate"] = bool(body["immediate"])
    return options, dict(body.get("fields", {}))


def _json(status: int, value: Any) -> Answer:
    return Answer(status, to_bytes(encode(value)))
