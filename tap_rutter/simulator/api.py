"""The API's answers: from a checked request to status and body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tap_rutter.simulator import accounts, statements
from tap_rutter.simulator.checks import check_credentials, check_parameters, check_version
from tap_rutter.simulator.connection import Connection
from tap_rutter.simulator.documents import available_versions
from tap_rutter.simulator.errors import (
    CONNECTION_DISABLED,
    INVALID_CREDENTIALS,
    NEEDS_UPDATE,
    PRODUCT_NOT_ALLOWED,
    PRODUCT_NOT_READY,
    ApiError,
    bad_request,
    connection_error,
    gone,
    unknown_path,
    unsupported,
)
from tap_rutter.simulator.listing import (
    build_query,
    envelope,
    interleave_empty,
    render_page,
    without_mark,
)
from tap_rutter.simulator.places import SINGLETONS, STATEMENTS, Place, place_of
from tap_rutter.simulator.platforms import serves, supports_filter
from tap_rutter.simulator.request import Answer, Request
from tap_rutter.simulator.sync_configs import config_at, is_config
from tap_rutter.simulator.tables import Page, Query, Table
from tap_rutter.simulator.text import encode, iso, to_bytes
from tap_rutter.simulator.world import World

Switch = Callable[[str], Any]
_EXPAND = frozenset({"expand"})


class Api:
    """Answers requests about one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._jobs: dict[str, statements.Job] = {}
        self._places: dict[str, Place | None] = {}

    def answer(self, request: Request) -> Answer:
        """The answer to a request, which may be a refusal. Takes the world's lock."""
        with self._world.lock:
            if self._world.clock.runs:
                self._world.tick()
            try:
                return Answer(200, self._answer(request))
            except ApiError as error:
                return Answer(error.status, to_bytes(encode(error.body())))

    def _answer(self, request: Request) -> bytes:
        world = self._world
        token = request.params.get("access_token")
        connection = world.by_token(token) if token is not None else None
        request.connection_id = connection.id if connection is not None else None
        check_credentials(request, world.client_id, world.client_secret)
        check_version(request, world.version, available_versions())
        place = self._place(request.path)
        if place is None:
            raise unknown_path(request.path)
        if request.method != "GET":
            raise ApiError(
                405, "INVALID_REQUEST", "METHOD_NOT_ALLOWED", "this simulator only reads"
            )
        _check_path(place)
        if _names_all_parents(place):
            raise gone(410, request.path.rsplit("/", 1)[-1])
        switch = self._switch(connection, place)
        tolerated = _tolerated(place, switch)
        if place.storage == "/connections" and switch("connections_page_size"):
            tolerated |= {"cursor"}
        params = check_parameters(request, place.endpoint, tolerated)
        if place.storage == "/connections":
            return self._connections(place, params, switch)
        if is_config(place):
            configs = self._world.sync_configs, self._world.platform_sync_configs
            found = config_at(place, request.path, *configs)
            return to_bytes(encode(found.body(switch("sync_config"))))
        if place.storage == "/jobs":
            return self._job(place.key or "", switch)
        if "access_token" not in place.endpoint.parameters:
            raise unknown_path(request.path)
        if connection is None:
            raise connection_error(*INVALID_CREDENTIALS)
        return self._of_connection(request, place, connection, params, switch)

    def _of_connection(
        self,
        request: Request,
        place: Place,
        connection: Connection,
        params: dict[str, str],
        switch: Switch,
    ) -> bytes:
        world = self._world
        if place.storage == "/connections/access_token":
            return to_bytes(encode(accounts.describe_connection(world, connection)))
        if place.storage == "/connections/status":
            told = accounts.describe_status(world, connection)
            told = accounts.prune(world.document, place.endpoint.response, told)
            return _with_envelope(to_bytes(encode(told)), connection)
        if not switch("activated"):
            raise connection_error(switch("not_allowed_status"), *PRODUCT_NOT_ALLOWED)
        _check_status(connection, params, switch)
        if not serves(connection.platform, place.storage):
            raise unsupported(switch("unsupported_status"), place.storage, connection.platform)
        if place.storage in STATEMENTS:
            return self._statements(request, place, connection, params, switch)
        if place.key is not None:
            return self._single(place, connection, params, switch)
        if place.endpoint.paged or place.parent is not None:
            return self._list(place, connection, params, switch)
        return self._special(request, place, connection, params, switch)

    def _list(
        self, place: Place, connection: Connection, params: dict[str, str], switch: Switch
    ) -> bytes:
        query = build_query(place, connection, params, switch)
        if place.parent is not None and not place.endpoint.is_list:
            return self._child(place, connection, query, switch)
        if place.parent is not None and place.storage.endswith("/attachments"):
            self._check_parent(place, connection, switch)
        page = self._page(place, connection, query)
        if switch("empty_pages"):
            page = interleave_empty(params, query, page) or page
        return render_page(place, connection, params, page, switch)

    def _page(self, place: Place, connection: Connection, query: Query) -> Page:
        if place.storage in connection.not_enabled:
            return Page([], None)
        source = self._world.source(connection, place)
        cursor = without_mark(query.cursor)
        if cursor is not query.cursor:
            query = Query(**{**vars(query), "cursor": cursor})
        try:
            return source.page(query)
        except (ArithmeticError, ValueError):
            raise bad_request("INVALID_PARAMETER", "the cursor does not fit this list") from None

    def _single(
        self, place: Place, connection: Connection, params: dict[str, str], switch: Switch
    ) -> bytes:
        key = place.key or ""
        if params.get("id_type") == "platform" and not supports_filter(connection.platform):
            raise bad_request("INVALID_PARAMETER", "id_type=platform is not supported here")
        source = self._world.source(connection, place)
        if not isinstance(source, Table):
            raise gone(switch("gone_status"), key)
        row = source.rows.get(key)
        if params.get("id_type") == "platform":
            row = next((r for r in source.rows.values() if _platform_id(r.scalars) == key), None)
        if row is None:
            raise gone(switch("gone_status"), key)
        body = b'{"%s":%s}' % (
            place.endpoint.key.encode(),
            row.served(params.get("expand", "").split(",")),
        )
        return _with_envelope(body, connection) if place.endpoint.has_connection else body

    def _child(self, place: Place, connection: Connection, query: Query, switch: Switch) -> bytes:
        """The one object under a bank account: its balance or its details."""
        page = self._page(place, connection, query)
        if not page.bodies:
            raise gone(switch("gone_status"), place.parent or "")
        body = b'{"%s":%s}' % (place.endpoint.key.encode(), page.bodies[0])
        return _with_envelope(body, connection)

    def _check_parent(self, place: Place, connection: Connection, switch: Switch) -> None:
        parents = self._place(place.storage.removesuffix("/attachments"))
        if parents is None or place.parent is None:
            return
        source = self._world.source(connection, parents)
        if isinstance(source, Table) and place.parent not in source.rows:
            raise gone(switch("gone_status"), place.parent)

    def _statements(
        self,
        request: Request,
        place: Place,
        connection: Connection,
        params: dict[str, str],
        switch: Switch,
    ) -> bytes:
        world = self._world
        query = build_query(place, connection, params, switch)
        bounds = statements.month_bounds(params, world.clock.now, switch("statement_months"))
        if switch("start_date_bounds") == "honour":
            query = Query(**{**vars(query), "bounds": {"start_date": bounds}})
        body = render_page(place, connection, params, self._page(place, connection, query), switch)
        if switch("async_response") or params.get("response_mode") == "async":
            return self._start_job(request, connection, body, switch)
        return body

    def _start_job(
        self, request: Request, connection: Connection, body: bytes, switch: Switch
    ) -> bytes:
        base = f"http://{request.headers.get('host', '127.0.0.1')}/versioned"
        job = statements.Job(
            id=self._world.new_id(),
            url=base + request.path,
            body=body,
            polls_left=switch("job_polls"),
            result=switch("job_result"),
            connection_id=connection.id,
        )
        self._jobs[job.id] = job
        told = {
            "id": job.id,
            "response_url": statements.job_url(base, job.id, switch("job_shape")),
            "status": "prequeued",
        }
        return to_bytes(encode({"async_response": told}))

    def _job(self, key: str, switch: Switch) -> bytes:
        job = self._jobs.get(key)
        if job is None:
            raise gone(switch("gone_status"), key)
        status = job.poll()
        shape = switch("job_shape")
        text = to_bytes(encode(statements.describe_job(job, status, shape)))
        if status not in {"success", "partial_success", "failure"}:
            return text
        code, body = job.response()
        closing = b"}}" if shape == "wrapped" else b"}"
        response = b',"response":{"http_status":%s,"body":%s}' % (code, body)
        return text.removesuffix(closing) + response + closing

    def _special(
        self,
        request: Request,
        place: Place,
        connection: Connection,
        params: dict[str, str],
        switch: Switch,
    ) -> bytes:
        """Answers without pages: one object, or everything at once."""
        storage = place.storage
        if storage.endswith("/pdf"):
            return to_bytes(encode({"invoice": {"pdf_link": _file_link(request.path)}}))
        if storage.endswith("/file"):
            return b"%PDF-1.4\n"
        query = Query(column="updated_at", descending=False, limit=1_000_000, expand=_shown(params))
        bodies = self._page(place, connection, query).bodies
        key = place.endpoint.key
        if "metricName" in place.endpoint.path:
            key = storage.rsplit("/", 1)[-1]
            value = b"[" + b",".join(bodies) + b"]"
            checkpoint = iso(self._world.clock.now)
            body = b'{"checkpoint":"%s","%s":%s}' % (checkpoint.encode(), key.encode(), value)
            return _with_envelope(body, connection)
        if storage == "/balance" and switch("balance") == "array":
            value = b"[" + b",".join(bodies) + b"]"
        elif storage == "/products/categories" and "id" in params:
            value = b"[" + b",".join(b for b in bodies if _has_id(b, params["id"])) + b"]"
        elif place.endpoint.is_list and storage not in SINGLETONS:
            value = b"[" + b",".join(bodies) + b"]"
        else:
            value = bodies[0] if bodies else b"null"
        if storage.endswith("/custom_fields") and switch("custom_field_keys") == "named":
            value = value.replace(b'"entity', b'"' + storage.split("/")[2].encode())
        body = b'{"%s":%s}' % (key.encode(), value)
        if storage == "/supplier_enablement/enrichments" and switch("async_response"):
            return self._start_job(request, connection, body, switch)
        return _with_envelope(body, connection) if place.endpoint.has_connection else body

    def _connections(self, place: Place, params: dict[str, str], switch: Switch) -> bytes:
        if "status" in params and switch("status_parameter") == "refuse":
            raise bad_request("UNKNOWN_PARAMETER", "/connections takes no parameter status")
        listed = accounts.list_connections(self._world, params.get("status"))
        told: dict[str, Any] = {"connections": listed}
        size = switch("connections_page_size")
        if size:
            cursor = params.get("cursor", "0")
            if not cursor.isdigit():
                raise bad_request("INVALID_PARAMETER", "the cursor cannot be read")
            start = int(cursor)
            told["connections"] = listed[start : start + size]
            told = accounts.prune(self._world.document, place.endpoint.response, told)
            more = start + size < len(listed)
            return to_bytes(encode({**told, "next_cursor": str(start + size) if more else None}))
        return to_bytes(encode(accounts.prune(self._world.document, place.endpoint.response, told)))

    def _place(self, path: str) -> Place | None:
        if path not in self._places:
            if len(self._places) > 20_000:
                self._places.clear()
            self._places[path] = place_of(self._world.document, path)
        return self._places[path]

    def _switch(self, connection: Connection | None, place: Place) -> Switch:
        switches = self._world.switches

        def switch(name: str) -> Any:
            return switches.get(
                name,
                platform=connection.platform if connection else None,
                path=place.storage,
                connection_id=connection.id if connection else None,
            )

        return switch


def _names_all_parents(place: Place) -> bool:
    """Whether the path is the world's own path for the rows of all parents.

    The API takes the last part of such a path for an id, which does not exist.
    """
    under_parents = place.parent is None and place.key is None and "{id}" in place.endpoint.path
    return under_parents and not place.storage.endswith(("}/pdf", "}/file"))


def _check_path(place: Place) -> None:
    given = place.storage.strip("/").split("/")
    for part, value in zip(place.endpoint.segments, given, strict=False):
        allowed = place.endpoint.path_values.get(part.strip("{}"))
        if part.startswith("{") and allowed and value not in allowed:
            raise bad_request("INVALID_PARAMETER", f"{value!r} is not one of {', '.join(allowed)}")


def _tolerated(place: Place, switch: Switch) -> frozenset[str]:
    # Rutter's guide says that any list can give platform_data; the API document has it on few
    # lists.
    commerce_list = place.endpoint.family == "commerce" and place.endpoint.paged
    return _EXPAND if commerce_list and switch("undeclared_expand") == "honour" else frozenset()


def _check_status(connection: Connection, params: dict[str, str], switch: Switch) -> None:
    if connection.status == "disabled":
        raise connection_error(switch("disabled_status"), *CONNECTION_DISABLED)
    if connection.status == "needs_reauth":
        raise connection_error(switch("needs_update_status"), *NEEDS_UPDATE)
    if connection.status == "not_ready" and params.get("force_fetch") != "true":
        raise connection_error(switch("not_ready_status"), *PRODUCT_NOT_READY)


def _with_envelope(body: bytes, connection: Connection) -> bytes:
    return body[:-1] + b',"connection":%s}' % envelope(connection)


def _platform_id(scalars: Any) -> str:
    return str(scalars.get("platform_id"))


def _has_id(body: bytes, wanted: str) -> bool:
    return f'"id":{encode(wanted)}'.encode() in body


def _shown(params: dict[str, str]) -> tuple[str, ...]:
    return tuple(params.get("expand", "").split(","))


def _file_link(path: str) -> str:
    return f"https://files.rutter.example{path}?signature=0123456789abcdef"
