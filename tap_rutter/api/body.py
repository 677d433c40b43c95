"""Cuts a response's body into its parts, which stay raw JSON. A missing part is an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec

from tap_rutter.api.json_text import ENCODER, UNREADABLE, Raw, clean_value, decode_marked
from tap_rutter.api.request import UnreadableResponse
from tap_rutter.errors import (
    ConnectionUnusable,
    NotActivated,
    PartitionFailed,
    error_body,
    error_for_response,
)

_OUTER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def open_body(content: bytes) -> dict[str, msgspec.Raw]:
    """The outermost object of a response, its values still raw.

    Raises:
        UnreadableResponse: for what is not a JSON object.
    """
    try:
        return _OUTER.decode(content)
    except UNREADABLE:
        pass
    # A strict reader fails on a lone surrogate or a NaN anywhere on the page: mend it, then cut it.
    try:
        value = decode_marked(content)
    except ValueError:
        raise UnreadableResponse(
            "that is empty" if not content.strip() else "that is not JSON"
        ) from None
    if not isinstance(value, dict):
        raise UnreadableResponse("that is not a JSON object")
    return {name: msgspec.Raw(ENCODER.encode(entry)) for name, entry in clean_value(value).items()}


def missing(
    content: bytes, key: str, where: str
) -> PartitionFailed | ConnectionUnusable | NotActivated:
    """The error for a 200 that lacks what was asked for. It is never taken for an empty list."""
    body = error_body(content)
    if body is not None:
        error = error_for_response(200, body, where=where, sorted_list=False)
        if isinstance(error, ConnectionUnusable | NotActivated):
            return error
        return PartitionFailed(error.message, reason="bad_response", status=200, code=error.code)
    return PartitionFailed(
        f"{where} answered 200 without its '{key}'", reason="bad_response", status=200
    )


def split(content: bytes, key: str) -> tuple[Sequence[Raw], str | None]:
    """The rows of a page as they came, and its cursor.

    Raises:
        UNREADABLE: for a body that is not such a page.
    """
    page = _splitter(key)(content)
    return page.rows, page.next_cursor


@cache
def _splitter(key: str) -> Callable[[bytes], Any]:
    return page_decoder(key, list[msgspec.Raw])


def page_decoder(key: str, rows: Any) -> Callable[[bytes], Any]:
    """A decoder of whole pages, for objects with ``rows`` and ``next_cursor``.

    Args:
        key: The key that the rows are under.
        rows: The type of the list of rows.
    """
    fields: list[Any] = [("rows", rows), ("next_cursor", str | None, None)]
    page = msgspec.defstruct("Page", fields, rename={"rows": key}, gc=False)
    return msgspec.json.Decoder(page).decode
