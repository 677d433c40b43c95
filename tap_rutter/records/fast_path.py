"""The short way of a record: checked at C speed and passed on as its own text.

Most rows need nothing done to them. Their raw text is checked against a msgspec Struct made from
the stream's schema, without building objects for what is not looked at, and spliced into the RECORD
line: digits stay exact, and nothing is decoded twice. A row that does not pass for whatever reason
takes the full way (``records.py``); both ways give equal records.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from tap_rutter.json_values import has_vast_numbers
from tap_rutter.schema.document import EXTRA, ISSUES, JSONSchema, is_any

# RFC 3339 in UTC with Z, every day but 29 February, which takes the full way.
_DATE_TIME = (
    r"^(?!0000)[0-9]{4}-"
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?Z\Z"
)
# Lengths of 2026-03-02T09:30:00Z, and of the same with a point and nine more digits.
_SHORTEST, _LONGEST = 20, 30
_MOMENTS = msgspec.json.Decoder(list[datetime])
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that is none, of another form, or nested too deeply."""

Raw = bytes | msgspec.Raw
"""JSON as it came."""

_INTEGERS = msgspec.Meta(ge=-(2**63), le=2**63 - 1)

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

# Escapes of NUL, of surrogates, and of the letters of which names that say secret consist.
_ESCAPES = re.compile(rb"\\u(?:00(?:00|5[fF]|[4-7][0-9a-fA-F])|[dD][89a-fA-F])")
# The end of a name that may say secret; what is before it decides. One pass with a rare first
# byte costs a third of a search for each of the names.
_NAME_END = re.compile(rb'_(?i:url|token)"')
_SECRET_BEGINNINGS = (b"access", b"link", b"update")


class _AnyArray(msgspec.Struct, array_like=True, gc=False):
    """An array whatever it holds."""


class _AnyObject(msgspec.Struct, gc=False):
    """An object whatever it holds."""


_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": Annotated[int, _INTEGERS],
    "number": float,
    "boolean": bool,
    "array": _AnyArray,
    "object": _AnyObject,
}


def is_clean(content: bytes, rows: Iterable[Raw] = ()) -> bool:
    """Whether raw JSON is free of what would have to be mended or dropped at any depth.

    That is NUL and surrogate escapes, bytes that are no UTF-8, names that say secret, and numbers
    beyond what databases hold.

    Args:
        content: JSON, a row or a page of them.
        rows: Of a page: its rows, whose bytes are then the only ones that have to be UTF-8. One by
            one they take a third of the time that the page takes as a whole.
    """
    if b"\\" in content and _ESCAPES.search(content):
        return False
    if not content.isascii() and not all(map(_is_utf8, rows or (content,))):
        return False
    if any(
        content[match.start() - 6 : match.start()].lower().endswith(_SECRET_BEGINNINGS)
        for match in _NAME_END.finditer(content)
    ):
        return False
    return not has_vast_numbers(content)


def _is_utf8(text: Raw) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class _Form:
    """A Struct that accepts exactly what needs no repair."""

    struct: Any
    attributes: Mapping[str, str]
    """Names of the Struct's attributes by field."""
    times: Sequence[tuple[str, ...]]
    """Where the points in time are, as attributes from the row on; for those not checked yet."""


def _form(
    properties: Mapping[str, JSONSchema],
    key: Sequence[str] = (),
    *,
    time: Any,
    closed: bool = False,
) -> _Form:
    """
    Args:
        properties: The fields.
        key: Those that must be there.
        time: What points in time are checked as.
        closed: Whether there may be no other fields.
    """
    fields: list[Any] = []
    attributes: dict[str, str] = {}
    times: list[tuple[str, ...]] = []
    for index, (field, schema) in enumerate(properties.items()):
        attribute = f"f{index}"
        attributes[field] = attribute
        kind = next(entry for entry in schema["type"] if entry != "null")
        annotation = _TYPES[kind]
        if schema.get("format") == "date-time":
            annotation = time
            times.append((attribute,))
        elif kind == "object" and schema.get("properties"):
            inner = _form(schema["properties"], time=time)
            annotation = inner.struct
            times.extend((attribute, *path) for path in inner.times)
        if is_any(schema):
            fields.append((attribute, msgspec.Raw, None))
        elif field not in key:
            fields.append((attribute, annotation | None, None))
        elif schema.get("format") == "date-time":
            fields.append((attribute, annotation))
        else:
            fields.append((attribute, Annotated[str, msgspec.Meta(min_length=1)]))
    struct = msgspec.defstruct(
        "Form",
        fields,
        rename={attribute: field for field, attribute in attributes.items()},
        forbid_unknown_fields=closed,
        kw_only=True,
        gc=False,  # no cycles: the collector need not look at what lives for one page
    )
    return _Form(struct, attributes, times)


def _are_final(texts: Sequence[str]) -> bool:
    """Whether points in time are all written in the form that they leave in.

    As ``_DATE_TIME`` says, but read all at once, which takes a fifth of the time: written as one
    list, with T and Z at the same distance each, they are left to a reader of dates in C.
    """
    length = len(texts[0])
    if not (length == _SHORTEST or _SHORTEST + 1 < length <= _LONGEST):
        return False
    joined = '["' + '","'.join(texts) + '"]'
    step = length + 3
    count = len(texts)
    if (
        "\\" in joined  # an escape of an escape
        or len(joined) != step * count + 1
        or joined[12::step] != "T" * count
        or joined[length + 1 :: step] != "Z" * count
    ):
        return False
    try:
        return len(_MOMENTS.decode(joined)) == count
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False


def _times_at(rows: Sequence[Any], path: Sequence[str]) -> list[str]:
    for attribute in path:
        rows = [value for value in map(attrgetter(attribute), rows) if value is not None]
    return list(rows)


def _page_decoder(key: str, rows: Any) -> Callable[[bytes], Any]:
    fields: list[Any] = [("rows", rows), ("next_cursor", str | None, None)]
    page = msgspec.defstruct("Page", fields, rename={"rows": key}, gc=False)
    return msgspec.json.Decoder(page).decode


@cache
def _splitter(key: str) -> Callable[[bytes], Any]:
    return _page_decoder(key, list[msgspec.Raw])


def split(content: bytes, key: str) -> tuple[Sequence[Raw], str | None]:
    """The rows of a page as they came, and its cursor.

    Raises:
        UNREADABLE: for what is no such page.
    """
    page = _splitter(key)(content)
    return page.rows, page.next_cursor


class FastPath:
    """Checks raw rows of one stream."""

    def __init__(
        self, schema: JSONSchema, key: Sequence[str], *, without: Collection[str] = ()
    ) -> None:
        """
        Args:
            schema: Of the stream's records.
            key: Its key.
            without: Fields of the first level that are not selected.
        """
        self._without = frozenset(without)
        properties = {
            name: field
            for name, field in schema["properties"].items()
            # What the tap adds itself: a row that brings it along is not passed on as it is.
            if name not in {EXTRA, ISSUES, "connection_id"}
        }
        self._properties, self._key = properties, key
        checked = Annotated[str, msgspec.Meta(pattern=_DATE_TIME)]
        form = _form(properties, key, time=checked, closed=True)
        self._decode = msgspec.json.Decoder(form.struct).decode
        self._pages: dict[str, Callable[[bytes], Any]] = {}
        self._lock = threading.Lock()

    @cached_property
    def _form(self) -> _Form:
        """The form for whole pages, whose points in time are checked afterwards."""
        return _form(self._properties, self._key, time=str, closed=True)

    @property
    def drops_fields(self) -> bool:
        """Whether rows leave without some of their fields."""
        return bool(self._without)

    def rows_of(self, content: bytes, key: str) -> Sequence[Any] | None:
        """Check the rows of a whole page at once.

        Args:
            content: A page; whether it is clean is for ``is_clean`` to say.
            key: What the rows stand under.

        Returns:
            The rows, for ``column``; None unless every single one passes.
        """
        try:
            rows: Sequence[Any] = self._page(key)(content).rows
        except UNREADABLE:
            return None
        times = (_times_at(rows, path) for path in self._form.times)
        return rows if all(_are_final(texts) for texts in times if texts) else None

    def _page(self, key: str) -> Callable[[bytes], Any]:
        # A Struct's first decoder takes it to pieces: another thread that comes meanwhile would
        # find half of them, and crash the process.
        with self._lock:
            if key not in self._pages:
                rows: Any = list[self._form.struct]  # type: ignore[name-defined]
                self._pages[key] = _page_decoder(key, rows)
            return self._pages[key]

    def column(self, rows: Sequence[Any], field: str) -> Sequence[Any]:
        """What the rows of ``rows_of`` have in one field; None for a field that does not exist."""
        attribute = self._form.attributes.get(field)
        return [None] * len(rows) if attribute is None else list(map(attrgetter(attribute), rows))

    def passes(self, raw: Raw) -> bool:
        """Whether a clean row can be passed on as it is."""
        try:
            self._decode(raw)
        except UNREADABLE:
            return False
        return True

    def selected(self, raw: Raw) -> Raw:
        """The text of a row that has passed, without the fields that are not selected."""
        if not self._without:
            return raw
        fields = _FIELDS.decode(raw)
        return b"{%b}" % b",".join(
            b"%b:%b" % (msgspec.json.encode(name), bytes(value))
            for name, value in fields.items()
            if name not in self._without
        )
