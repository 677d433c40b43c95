"""Lists: from a request's parameters to a page of rows and the next cursor."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable
from typing import Any

from tap_rutter.simulator.checks import limit_of, milliseconds
from tap_rutter.simulator.connection import Connection
from tap_rutter.simulator.documents import Endpoint
from tap_rutter.simulator.errors import ApiError, bad_request
from tap_rutter.simulator.filters import BadFilter, parse_filter
from tap_rutter.simulator.places import STATEMENTS, Place
from tap_rutter.simulator.platforms import RESOURCE_NAMES, supports_filter
from tap_rutter.simulator.tables import Bounds, Cursor, Page, Query, Row
from tap_rutter.simulator.text import decode, encode, to_bytes

MAX_LIMIT = 500
_DEFAULT_LIMIT = 50
# Everything in one page, for lists without the parameter limit.
_UNPAGED = 1_000_000_000
# Marks a cursor that an empty page gave.
_AFTER_EMPTY = "~"

# Parameters that every list has, or that are handled elsewhere. Others compare for equality.
_NOT_A_MATCH = frozenset(
    {"access_token", "cursor", "limit", "filter", "sort", "expand", "force_fetch", "resources"}
    | {"type", "id", "attached_to_id", "properties", "start_date", "end_date", "response_mode"}
)
_SORTABLE = ("updated_at", "last_synced_at")
_FILTERABLE_ALWAYS = ("created_at", "updated_at", "last_synced_at")
# Fields that are marked as filterable, and so can be sorted by, besides the times.
_FILTERABLE = {
    "/accounting/accounts": "account_type status balance name nominal_code",
    "/accounting/transactions": "transaction_date",
    "/accounting/bill_payments": "account_id vendor_id reference",
    "/accounting/bills": "vendor_id due_date status document_number",
    "/accounting/classes": "name status",
    "/accounting/customers": "customer_name email phone",
    "/accounting/expenses": "vendor_id transaction_date expense_type",
    "/accounting/invoice_credit_memos": "customer_id document_number",
    "/accounting/invoice_payments": "account_id customer_id reference",
    "/accounting/invoices": "customer_id due_date status document_number",
    "/accounting/items": "name",
    "/accounting/purchase_orders": "vendor_id",
    "/accounting/sales_receipts": "customer_id document_number reference",
    "/accounting/vendors": "vendor_name",
}

Switch = Callable[[str], Any]


def build_query(
    place: Place, connection: Connection, params: dict[str, str], switch: Switch
) -> Query:
    """The query that the parameters describe; raises ApiError (400) if they cannot be read."""
    endpoint = place.endpoint
    column, descending = _order(place, connection, params, switch)
    cursor = _read_cursor(params["cursor"]) if "cursor" in params else None
    equals = {
        name: value
        for name, value in params.items()
        if name not in _NOT_A_MATCH and not name.endswith(("_min", "_max"))
    }
    where = _filter(place, connection, params, switch)
    if place.storage == "/accounting/expenses":
        # Refunds are left out unless they are requested.
        equals.setdefault("expense_type", "expense")
    if place.storage == "/orders" and "phone" in equals:
        where = _customer_phone(equals.pop("phone"))
    if place.storage == "/events" and "resources" in params:
        where = _resources(params["resources"])
    return Query(
        column=column,
        descending=descending,
        limit=_limit(endpoint, params, switch),
        cursor=cursor,
        bounds=_bounds(params, switch),
        equals=equals,
        where=where,
        parent=place.parent or params.get("id") or params.get("attached_to_id"),
        nulls_first=switch("nulls") == "first",
        exact_seek=switch("cursor_seek") == "exact",
        expand=tuple(params.get("expand", "").split(",")),
    )


def render_page(
    place: Place, connection: Connection, params: dict[str, str], page: Page, switch: Switch
) -> bytes:
    """The body of the answer: the rows under their key, the next cursor, the connection."""
    endpoint = place.endpoint
    bodies = page.bodies
    if "properties" in params:
        bodies = [_project(body, params["properties"].split(",")) for body in bodies]
    parts: list[bytes] = []
    for name in endpoint.response["properties"]:
        if name == endpoint.key:
            parts.append(b'"%s":[%s]' % (name.encode(), b",".join(bodies)))
        elif name == "next_cursor":
            end = _end(endpoint, connection, switch) if page.next is None else None
            if page.next is not None:
                text = encode(write_cursor(page.next, endpoint.family))
                parts.append(b'"next_cursor":%s' % text.encode())
            elif end is not None:
                parts.append(b'"next_cursor":%s' % end)
        elif name == "connection":
            parts.append(b'"connection":%s' % envelope(connection))
    return b"{" + b",".join(parts) + b"}"


def envelope(connection: Connection) -> bytes:
    return to_bytes(
        encode(
            {
                "id": connection.id,
                "orgId": connection.org_id,
                "platform": connection.platform,
            }
        )
    )


def write_cursor(cursor: Cursor, family: str) -> str:
    separator = "||" if family == "commerce" else "_"
    return base64.b64encode(f"{cursor.token}{separator}{cursor.key}".encode()).decode()


def interleave_empty(params: dict[str, str], query: Query, page: Page) -> Page | None:
    """The empty page before each page, if the world is set so; else None.

    The cursor of an empty page points at the first row of the page after it.
    """
    if query.cursor is not None and query.cursor.token.startswith(_AFTER_EMPTY):
        return None
    if not page.bodies:
        return None
    if query.cursor is None:
        return Page([], Cursor(_AFTER_EMPTY, ""))
    del params
    return Page([], Cursor(_AFTER_EMPTY + query.cursor.token, query.cursor.key))


def without_mark(cursor: Cursor | None) -> Cursor | None:
    """The cursor without its mark; None for the start of the list."""
    if cursor is None or not cursor.token.startswith(_AFTER_EMPTY):
        return cursor
    token = cursor.token.removeprefix(_AFTER_EMPTY)
    return Cursor(token, cursor.key) if token else None


def _read_cursor(text: str) -> Cursor:
    try:
        plain = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _bad_cursor() from None
    separator = "||" if "||" in plain else "_"
    token, found, key = plain.partition(separator)
    bare = token.removeprefix(_AFTER_EMPTY)
    if not found or not (bare in ("", "null") or bare.lstrip("-").isalnum()):
        raise _bad_cursor()
    return Cursor(token, key)


def _bad_cursor() -> ApiError:
    return bad_request("INVALID_PARAMETER", "the cursor cannot be read")


def _limit(endpoint: Endpoint, params: dict[str, str], switch: Switch) -> int:
    parameter = endpoint.parameters.get("limit")
    if parameter is None:
        return _UNPAGED
    default = int(parameter.default) if parameter.default is not None else _DEFAULT_LIMIT
    if endpoint.path in STATEMENTS:
        default = MAX_LIMIT
    limit = limit_of(params, default, MAX_LIMIT, clamp=switch("limit_above_max") == "clamp")
    return min(limit, switch("most_rows") or limit)


def _order(
    place: Place, connection: Connection, params: dict[str, str], switch: Switch
) -> tuple[str, bool]:
    if place.storage == "/events":
        return "last_synced_at", True
    if place.storage in STATEMENTS:
        return "start_date", True
    text = params.get("sort")
    mode = switch("sort")
    recent = "updated_at"
    if place.endpoint.family == "commerce" and "created_at" in place.rows.columns:
        recent = switch("commerce_order")
    if text is None or mode == "ignore":
        return recent, True
    if mode == "refuse":
        raise bad_request("INVALID_PARAMETER", f"{place.endpoint.path} cannot be sorted here")
    if place.endpoint.family == "commerce":
        return recent, text == "desc"
    field, _, direction = text.partition(" ")
    if direction not in ("", "ASC", "DESC"):
        raise bad_request("INVALID_PARAMETER", f"sort: {direction!r} is neither ASC nor DESC")
    if field not in _sortable(place, connection):
        raise bad_request("INVALID_PARAMETER", f"sort: {field!r} cannot be sorted by")
    return field, direction == "DESC"


def _sortable(place: Place, connection: Connection) -> set[str]:
    if place.endpoint.family != "accounting" or not supports_filter(connection.platform):
        return set(_SORTABLE)
    return _filterable(place) | set(_SORTABLE)


def _filterable(place: Place) -> set[str]:
    tagged = (*_FILTERABLE_ALWAYS, *_FILTERABLE.get(place.storage, "").split())
    return {name for name in tagged if name in place.rows.columns}


def _filter(
    place: Place, connection: Connection, params: dict[str, str], switch: Switch
) -> Callable[[Row], bool] | None:
    text = params.get("filter")
    mode = switch("filter")
    if text is None or mode == "ignore":
        return None
    if mode == "refuse" or not supports_filter(connection.platform):
        raise bad_request(
            "INVALID_PARAMETER", f"filter is not supported for platform {connection.platform}"
        )
    try:
        return parse_filter(text, _filterable(place))
    except BadFilter as error:
        raise bad_request("INVALID_PARAMETER", str(error)) from None


def _bounds(params: dict[str, str], switch: Switch) -> dict[str, Bounds]:
    bounds: dict[str, Bounds] = {}
    for name, text in params.items():
        if not name.endswith(("_min", "_max")):
            continue
        column, end = name[:-4], name[-3:]
        value = milliseconds(name, text)
        mode = switch(f"{column}_bounds")
        if mode == "refuse":
            raise bad_request("INVALID_PARAMETER", f"{name} is not supported here")
        if mode == "ignore":
            continue
        low, high = bounds.get(column, (None, None))
        bounds[column] = (value, high) if end == "min" else (low, value)
    return bounds


def _end(endpoint: Endpoint, connection: Connection, switch: Switch) -> bytes | None:
    """The text of the last page's cursor; None to leave the cursor out."""
    mode = switch("cursor_end")
    if mode == "auto":
        forms = ("null",) if endpoint.cursor_required else ("absent", "null", "empty")
        mode = forms[zlib.crc32(f"{endpoint.path}{connection.id}".encode()) % len(forms)]
    return {"absent": None, "null": b"null", "empty": b'""'}[mode]


def _project(body: bytes, names: list[str]) -> bytes:
    row = decode(body)
    return to_bytes(encode({name: row[name] for name in names if name in row}))


def _customer_phone(phone: str) -> Callable[[Row], bool]:
    def test(row: Row) -> bool:
        customer = json.loads(row.body).get("customer") or {}
        return bool(customer.get("phone") == phone)

    return test


def _resources(text: str) -> Callable[[Row], bool]:
    wanted = set(text.split(","))
    unknown = wanted - RESOURCE_NAMES
    if unknown:
        raise bad_request("INVALID_PARAMETER", f"resources: {sorted(unknown)} are unknown")
    return lambda row: row.scalars.get("resource") in wanted
