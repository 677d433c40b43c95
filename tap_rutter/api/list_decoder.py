"""A response's body decoded as one page of a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import msgspec

from tap_rutter import times
from tap_rutter.api.body import missing, open_body, split
from tap_rutter.api.json_text import (
    ENCODER,
    UNREADABLE,
    Raw,
    clean_text,
    decode_marked,
    decode_value,
    is_clean,
)
from tap_rutter.api.pages import Page, Span, key_of, span_of
from tap_rutter.api.request import Response
from tap_rutter.errors import PartitionFailed
from tap_rutter.json_values import Unfit

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_BRACE, _NULL = b"{n"


class RowTypes(Protocol):
    """Checks the fields of all rows of a page at once (``records/fast_path.py`` does)."""

    def rows_of(self, content: bytes, key: str) -> Sequence[Any] | None:
        """The rows that a page has under ``key``; None if any row is not as declared."""

    def column(self, rows: Sequence[Any], field: str) -> Sequence[Any]:
        """The values of one field in such rows."""


class ListDecoder:
    """Reads a page of a list: the rows under ``key``, and the cursor beside them."""

    def __init__(
        self,
        key: str,
        replication_key: str | None,
        *,
        where: str,
        fast_path: RowTypes | None = None,
    ) -> None:
        """
        Args:
            key: The key that the rows are under.
            replication_key: The field with the times that say how the page is sorted.
            where: The list, for messages.
            fast_path: The check of rows that may leave as they are.
        """
        self._key = key
        self._where = where
        self._replication_key = replication_key
        self._fast_path = fast_path

    def __call__(self, response: Response) -> Page:
        """Decode one response.

        Raises:
            UnreadableResponse: for a body that is not a JSON object; the next try may be better.
            PartitionFailed: for JSON without the list.
        """
        page = self._at_once(response, self._fast_path) if self._fast_path else None
        return page or self._in_parts(response)

    def _at_once(self, response: Response, fast_path: RowTypes) -> Page | None:
        """The page if all of its rows take the fast path, as on most pages: two checks do."""
        content = response.content
        if b"\n" in content or b"\r" in content:
            return None
        rows = fast_path.rows_of(content, self._key)
        if rows is None:
            return None
        try:
            raws, cursor = split(content, self._key)
        except UNREADABLE:
            return None
        if not is_clean(content, raws):
            return None
        stamps = fast_path.column(rows, self._replication_key or "id")
        ids = tuple(fast_path.column(rows, "id"))
        return self._page(response, raws, ids, stamps, cursor or None, all_pass=True)

    def _in_parts(self, response: Response) -> Page:
        outer = open_body(response.content)
        if self._key not in outer:
            raise missing(response.content, self._key, self._where)
        raws = self._rows(outer[self._key], response.content)
        ids, stamps = self._ids_and_times(raws, outer[self._key])
        return self._page(response, raws, ids, stamps, self._cursor(outer), all_pass=False)

    def _page(
        self,
        response: Response,
        raws: Sequence[Raw],
        ids: tuple[Any, ...],
        stamps: Sequence[object],
        cursor: str | None,
        *,
        all_pass: bool,
    ) -> Page:
        return Page(
            raws=raws,
            next_cursor=cursor,
            received_ms=response.received_ms,
            size=len(response.content),
            span=span_of(stamps) if self._replication_key else Span(rows=len(raws)),
            ids=ids,
            stamps=() if _is_distinct(ids) else tuple(map(times.parse, stamps)),
            all_pass=all_pass,
        )

    def _rows(self, raw: msgspec.Raw, content: bytes) -> list[msgspec.Raw]:
        try:
            rows = _RAWS.decode(raw)
        except msgspec.DecodeError:
            listed = decode_marked(raw)
            if not isinstance(listed, list):
                raise missing(content, self._key, self._where) from None
            rows = [msgspec.Raw(ENCODER.encode(row)) for row in listed]
        opening = [memoryview(row)[0] for row in rows]
        if opening.count(_BRACE) == len(rows):
            return rows
        rows = [row for row, first in zip(rows, opening, strict=True) if first != _NULL]
        if any(memoryview(row)[0] != _BRACE for row in rows):
            raise PartitionFailed(
                f"{self._where} answered 200 with rows under '{self._key}' that are not objects",
                reason="bad_response",
                status=200,
            )
        return rows

    def _ids_and_times(
        self, raws: list[msgspec.Raw], raw: msgspec.Raw
    ) -> tuple[tuple[Any, ...], list[object]]:
        """Ids and times of the rows, without building objects for the other fields."""
        field_name = self._replication_key or "id"
        try:
            stamps = _stamps(self._replication_key)(raw)
            if len(stamps) == len(raws):
                return (
                    tuple(stamp.id for stamp in stamps),
                    [getattr(stamp, field_name) for stamp in stamps],
                )
        except UNREADABLE:
            pass
        rows = [decode_value(row) for row in raws]
        return tuple(row.get("id") for row in rows), [row.get(field_name) for row in rows]

    def _cursor(self, outer: dict[str, msgspec.Raw]) -> str | None:
        """The next cursor. A missing, null or empty cursor ends a list, and nothing else does."""
        if "next_cursor" not in outer:
            return None
        cursor = decode_marked(outer["next_cursor"])
        if cursor is None or cursor == "":
            return None
        if isinstance(cursor, bool | dict | list | Unfit) or clean_text(str(cursor)) != str(cursor):
            raise PartitionFailed(
                f"{self._where} answered with a next_cursor that is not text",
                reason="bad_response",
                status=200,
            )
        return str(cursor)


@cache
def _stamps(replication_key: str | None) -> Callable[[msgspec.Raw], list[Any]]:
    fields = [(name, Any, None) for name in ("id", replication_key) if name]
    # The list type is made at run time, so the type checker cannot know it.
    stamps: Any = list[msgspec.defstruct("Stamp", fields, gc=False)]  # type: ignore[misc]
    return msgspec.json.Decoder(stamps).decode


def _is_distinct(ids: tuple[Any, ...]) -> bool:
    if set(map(type, ids)) == {str}:
        return len(set(ids)) == len(ids)
    known = [key for key in map(key_of, ids) if key is not None]
    return len(set(known)) == len(known)
