"""An answer's bytes cut into records, and the cursor to the page after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from tap_rutter import times
from tap_rutter.api.client import Response, UnreadableResponse
from tap_rutter.errors import (
    ConnectionUnusable,
    NotActivated,
    PartitionFailed,
    error_body,
    error_for_response,
)
from tap_rutter.json_values import Unfit, as_it_came, lenient, plain
from tap_rutter.records.fast_path import UNREADABLE, FastPath, Raw, is_clean, split

_OUTER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_VALUE = msgspec.json.Decoder(float_hook=Decimal)
_REFUSED = (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError)
ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=as_it_came)

_BRACE, _NULL = b"{n"
_HEAVY_ROWS = 25
_USUAL, _TO_SECOND = 24, 19  # lengths of 2026-03-02T09:30:00.000Z and of its whole second


def decode_value(raw: bytes | memoryview | msgspec.Raw) -> Any:
    """JSON as Python objects, with exact decimals.

    Takes what strict readers refuse but platforms let through (see ``json_values.py``).

    Raises:
        ValueError: for what is not JSON.
    """
    try:
        return _VALUE.decode(raw)
    except _REFUSED:
        return plain(lenient(raw))


def decode_marked(raw: bytes | memoryview | msgspec.Raw) -> Any:
    """The same, with ``Unfit`` for each value that a strict reader refuses.

    Raises:
        ValueError: for what is not JSON.
    """
    try:
        return _VALUE.decode(raw)
    except _REFUSED:
        return lenient(raw)


def clean_text(text: str) -> str:
    """The text without what PostgreSQL cannot hold: NUL and lone surrogates become U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Pairs that were escaped one by one are joined; what is left alone is replaced.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_value(value: Any) -> Any:
    """A JSON value with every text in it cleaned, keys included; marked ones stay as they came."""
    if isinstance(value, Unfit):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): clean_value(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [clean_value(entry) for entry in value]
    return value


@dataclass(frozen=True)
class Span:
    """What the times of one page's rows say; whole pages are judged by it."""

    rows: int = 0
    oldest: int | None = None
    newest: int | None = None
    first: int | None = None
    last: int | None = None
    is_unsorted: bool = False
    """Whether a row is older, by a whole second or more, than a row before it on the page."""
    nulls: bool = False
    """Whether a row has no readable time."""


@dataclass(frozen=True)
class Page:
    """One page of rows, as raw JSON texts."""

    raws: Sequence[Raw]
    next_cursor: str | None
    received_ms: int
    size: int
    span: Span = field(default_factory=Span)
    ids: tuple[Any, ...] = ()
    stamps: tuple[int | None, ...] = ()
    """Times of the rows, Unix ms; only there where an id comes more than once."""
    is_clean: bool = False
    """Whether no text in it has to be mended or dropped (see ``short.py``)."""
    is_final: bool = False
    """Whether every row can leave as it is, in the one line that it already has."""
    request_values: dict[str, Any] = field(default_factory=dict)
    """Values that the request, not the row, tells: a child's parent, a metric's name."""
    list_name: str = ""
    """Which of a pair's lists the page belongs to."""
    partial: str = ""
    """What Rutter says that it has left out of it."""

    @property
    def is_heavy(self) -> bool:
        """Whether the page counts against what may be read ahead."""
        return len(self.raws) >= _HEAVY_ROWS


Decoder = Callable[[Response], Page]


def _second(ms: int) -> int:
    return ms // times.SECOND


def span_of(stamps: Sequence[object]) -> Span:
    """Judge a page by its rows' times.

    Times are compared by whole seconds, since the API's cursor knows no finer ones: rows of one
    second may come in any order, and again on the next page.
    """
    if not stamps:
        return Span()
    alike = _span_of_alike(stamps)
    if alike is not None:
        return alike
    parsed = [times.parse(stamp) for stamp in stamps]
    known = [ms for ms in parsed if ms is not None]
    if not known:
        return Span(rows=len(stamps), nulls=True)
    is_unsorted, highest = False, known[0]
    for ms in known:
        if _second(ms) < _second(highest):
            is_unsorted = True
            break
        highest = max(highest, ms)
    return Span(
        rows=len(stamps),
        oldest=min(known),
        newest=max(known),
        first=known[0],
        last=known[-1],
        is_unsorted=is_unsorted,
        nulls=len(known) < len(parsed),
    )


def _is_distinct(ids: tuple[Any, ...]) -> bool:
    if set(map(type, ids)) == {str}:
        return len(set(ids)) == len(ids)
    known = [key for key in map(key_of, ids) if key is not None]
    return len(set(known)) == len(known)


def key_of(identity: Any) -> str | None:
    """An id as it is in its row's key; None for what gets a key of the tap's making."""
    if isinstance(identity, str):
        return identity
    if isinstance(identity, int | float | Decimal) and not isinstance(identity, bool):
        return ENCODER.encode(identity).decode()
    return None


def _span_of_alike(stamps: Sequence[object]) -> Span | None:
    """The same for a page on which all times are written alike, as they mostly are.

    Such times compare as their texts do, and only four of them need to be read.
    """
    texts = [
        stamp
        for stamp in stamps
        if isinstance(stamp, str) and len(stamp) == _USUAL and stamp[-1] == "Z"
    ]
    if len(texts) != len(stamps):
        return None
    ends = [times.parse(text) for text in (min(texts), max(texts), texts[0], texts[-1])]
    oldest, newest, first, last = ends
    if oldest is None or newest is None or first is None or last is None:
        return None
    is_unsorted, highest = False, ""
    for text in texts:
        second = text[:_TO_SECOND]
        if second < highest:
            is_unsorted = True
            break
        highest = second
    return Span(len(texts), oldest, newest, first, last, is_unsorted=is_unsorted)


@cache
def _stamps(replication_key: str | None) -> Callable[[msgspec.Raw], list[Any]]:
    fields = [(name, Any, None) for name in ("id", replication_key) if name]
    # A list type made at run time; the checker cannot know it.
    stamps: Any = list[msgspec.defstruct("Stamp", fields, gc=False)]  # type: ignore[misc]
    return msgspec.json.Decoder(stamps).decode


class ListDecoder:
    """Reads the page of a list: the records under ``key`` and the cursor beside them."""

    def __init__(
        self,
        key: str,
        replication_key: str | None,
        *,
        where: str,
        fast_path: FastPath | None = None,
    ) -> None:
        """
        Args:
            key: What the rows stand under.
            time_field: The field that they are judged by.
            where: The list, for messages.
            short_way: The check of rows that may leave as they are.
        """
        self._key = key
        self._where = where
        self._time_field = replication_key
        self._fast_path = fast_path

    def __call__(self, answer: Response) -> Page:
        """Decode one answer.

        Raises:
            UnreadableAnswer: for a body that is no JSON object (it may pass).
            PairFailed: for JSON without the list.
        """
        page = self._whole(answer) if self._fast_path else None
        return page or self._in_parts(answer)

    def _whole(self, answer: Response) -> Page | None:
        """A page whose rows can all leave as they are; as most can, in two passes."""
        content, fast_path = answer.content, self._fast_path
        assert fast_path is not None
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
        stamps = fast_path.column(rows, self._time_field or "id")
        ids = tuple(fast_path.column(rows, "id"))
        page = self._page(answer, raws, ids, stamps, cursor or None, is_clean=True)
        return replace(page, is_final=True)

    def _in_parts(self, answer: Response) -> Page:
        outer = open_body(answer.content)
        if self._key not in outer:
            raise missing(answer.content, self._key, self._where)
        raws = self._split(outer[self._key], answer.content)
        ids, stamps = self._judge(raws, outer[self._key])
        clean = is_clean(answer.content)
        return self._page(answer, raws, ids, stamps, self._cursor(outer), is_clean=clean)

    def _page(
        self,
        answer: Response,
        raws: Sequence[Raw],
        ids: tuple[Any, ...],
        stamps: Sequence[object],
        cursor: str | None,
        *,
        is_clean: bool,
    ) -> Page:
        return Page(
            raws=raws,
            next_cursor=cursor,
            received_ms=answer.received_ms,
            size=len(answer.content),
            span=span_of(stamps) if self._time_field else Span(rows=len(raws)),
            ids=ids,
            stamps=() if _is_distinct(ids) else tuple(map(times.parse, stamps)),
            is_clean=is_clean,
        )

    def _split(self, raw: msgspec.Raw, content: bytes) -> list[msgspec.Raw]:
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
                f"{self._where} answered 200 with rows under '{self._key}' that are no objects",
                reason="bad_response",
                status=200,
            )
        return rows

    def _judge(
        self, raws: list[msgspec.Raw], raw: msgspec.Raw
    ) -> tuple[tuple[Any, ...], list[object]]:
        """Ids and times of the rows, without making objects of the rest."""
        field_name = self._time_field or "id"
        try:
            stamps = _stamps(self._time_field)(raw)
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
        """The next cursor; a missing, null or empty one ends a list, and nothing else does."""
        if "next_cursor" not in outer:
            return None
        cursor = decode_marked(outer["next_cursor"])
        if cursor is None or cursor == "":
            return None
        if isinstance(cursor, bool | dict | list | Unfit) or clean_text(str(cursor)) != str(cursor):
            raise PartitionFailed(
                f"{self._where} answered with a next_cursor that is no text",
                reason="bad_response",
                status=200,
            )
        return str(cursor)


def open_body(content: bytes) -> dict[str, msgspec.Raw]:
    """The outermost object of an answer, its values still raw.

    Raises:
        UnreadableAnswer: for what is no JSON object.
    """
    try:
        return _OUTER.decode(content)
    except UNREADABLE:
        pass
    # A strict reader stops at a lone surrogate or a NaN anywhere on the page: mend it, then cut it.
    try:
        value = decode_marked(content)
    except ValueError:
        raise UnreadableResponse(
            "that is empty" if not content.strip() else "that is no JSON"
        ) from None
    if not isinstance(value, dict):
        raise UnreadableResponse("that is no JSON object")
    return {name: msgspec.Raw(ENCODER.encode(entry)) for name, entry in clean_value(value).items()}


def missing(
    content: bytes, key: str, where: str
) -> PartitionFailed | ConnectionUnusable | NotActivated:
    """The error for a 200 that lacks what was asked for: never taken for an empty list."""
    body = error_body(content)
    if body is not None:
        error = error_for_response(200, body, where=where, sorted_list=False)
        if isinstance(error, ConnectionUnusable | NotActivated):
            return error
        return PartitionFailed(error.message, reason="bad_response", status=200, code=error.code)
    return PartitionFailed(
        f"{where} answered 200 without its '{key}'", reason="bad_response", status=200
    )
