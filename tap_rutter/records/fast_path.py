"""The fast path: a row that needs no change leaves as its own text.

**What always holds: the fast path and the full path give equal messages.** The fast path is taken
only where the full path (``conform.py``) would change nothing. In doubt the full path is taken,
which only costs time. ``tests/unit/test_fast_path.py`` and ``test_fast_path_pages.py`` check this.

A row takes the fast path if all of this is true:

* *Its stream has a fast path.* ``RutterStream.fast_path`` is not None if no stream map and no
  flattening changes the records (``is_unmapped``), the tap does not make or transform the rows, and
  only whole fields of the first level are deselected. The request adds no values of its own to the
  page (``Page.request_values``).
* *Its fields are as declared.* The text is checked in C against a msgspec Struct made from the
  schema, without building objects for fields that are not needed.
* *Its text is clean* (``is_clean`` in ``api/json_text.py``): nothing in it, at any depth, has to be
  mended or dropped.

``FastPath.passes`` checks the last two for one row. On most pages all rows pass. So the list
decoder checks all rows of a page at once (``FastPath.rows_of``, then ``is_clean``) and sets
``Page.all_pass``. Their lines leave as one block, unless fields are deselected. On other pages each
row is checked by itself; a row with a 29 February then takes the full path. A row's text is copied
into its RECORD line, so digits stay exact, and nothing is decoded twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from tap_rutter.api.body import page_decoder
from tap_rutter.api.json_text import ENCODER, UNREADABLE, Raw, is_clean
from tap_rutter.schema.json_schema import JSONSchema, is_any, type_of
from tap_rutter.schema.record_schema import EXTRA, ISSUES

# RFC 3339 in UTC with Z. A 29 February does not match, and takes the full path.
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

_INTEGERS = msgspec.Meta(ge=-(2**63), le=2**63 - 1)

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _AnyArray(msgspec.Struct, array_like=True, gc=False):
    """An array with any content."""


class _AnyObject(msgspec.Struct, gc=False):
    """An object with any content."""


_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": Annotated[int, _INTEGERS],
    "number": float,
    "boolean": bool,
    "array": _AnyArray,
    "object": _AnyObject,
}


@dataclass(frozen=True)
class _Form:
    """A Struct that accepts exactly what needs no repair."""

    struct: Any
    attributes: Mapping[str, str]
    """Names of the Struct's attributes by field."""
    times: Sequence[tuple[attrgetter[Any], ...]]
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
        key: The fields that must be there.
        time: The type that times are checked as.
        closed: Whether there may be no other fields.
    """
    fields: list[Any] = []
    attributes: dict[str, str] = {}
    times: list[tuple[attrgetter[Any], ...]] = []
    for index, (field, schema) in enumerate(properties.items()):
        attribute = f"f{index}"
        attributes[field] = attribute
        kind = type_of(schema)
        annotation = _TYPES[kind]
        if schema.get("format") == "date-time":
            annotation = time
            times.append((attrgetter(attribute),))
        elif kind == "object" and schema.get("properties"):
            inner = _form(schema["properties"], time=time)
            annotation = inner.struct
            times.extend((attrgetter(attribute), *path) for path in inner.times)
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
        gc=False,  # no cycles, so the garbage collector can ignore these objects
    )
    return _Form(struct, attributes, times)


def _are_normal(texts: Sequence[str]) -> bool:
    """Whether all times are written in the form in which they leave.

    This is the check of ``_DATE_TIME`` for many times at once, in a fifth of the time: the times
    are written as one JSON list, with T and Z at fixed places, which a date reader in C then
    checks.
    """
    length = len(texts[0])
    if not (length == _SHORTEST or _SHORTEST + 1 < length <= _LONGEST):
        return False
    joined = '["' + '","'.join(texts) + '"]'
    step = length + 3
    count = len(texts)
    if (
        "\\" in joined  # it would begin an escape
        or len(joined) != step * count + 1
        or joined[12::step] != "T" * count
        or joined[length + 1 :: step] != "Z" * count
    ):
        return False
    try:
        return len(_MOMENTS.decode(joined)) == count
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False


def _times_at(rows: Sequence[Any], path: Sequence[attrgetter[Any]]) -> Sequence[str]:
    for attribute in path:
        rows = [value for value in map(attribute, rows) if value is not None]
    return rows


class FastPath:
    """Checks whether raw rows of one stream can take the fast path."""

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
            # Fields that the tap adds. A row that has one already takes the full path.
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
        """The form for whole pages, whose times are checked afterwards."""
        return _form(self._properties, self._key, time=str, closed=True)

    @property
    def drops_fields(self) -> bool:
        """Whether rows leave without some of their fields."""
        return bool(self._without)

    def rows_of(self, content: bytes, key: str) -> Sequence[Any] | None:
        """Check the rows of a whole page at once.

        Args:
            content: A page. This does not check whether its text is clean.
            key: The key that the rows are under.

        Returns:
            The rows, for ``column``; None if the fields of any row are not as declared.
        """
        try:
            rows: Sequence[Any] = self._page(key)(content).rows
        except UNREADABLE:
            return None
        times = [texts for path in self._form.times if (texts := _times_at(rows, path))]
        # Those of several fields are mostly written alike, too: then they are read at once.
        if len(times) > 1 and _are_normal(list(chain.from_iterable(times))):
            return rows
        return rows if all(map(_are_normal, times)) else None

    def _page(self, key: str) -> Callable[[bytes], Any]:
        # The first decoder of a Struct changes the Struct. Another thread that uses it at the same
        # time would find it half changed, and crash the process.
        with self._lock:
            if key not in self._pages:
                rows: Any = list[self._form.struct]  # type: ignore[name-defined]
                self._pages[key] = page_decoder(key, rows)
            return self._pages[key]

    def column(self, rows: Sequence[Any], field: str) -> Sequence[Any]:
        """The values of one field in rows from ``rows_of``; None if there is no such field."""
        attribute = self._form.attributes.get(field)
        return [None] * len(rows) if attribute is None else list(map(attrgetter(attribute), rows))

    def passes(self, raw: Raw) -> bool:
        """Whether a row needs no change."""
        try:
            self._decode(raw)
        except UNREADABLE:
            return False
        return is_clean(bytes(raw))

    def selected(self, raw: Raw) -> Raw:
        """The text of such a row, without the fields that are not selected."""
        if not self._without:
            return raw
        fields = _FIELDS.decode(raw)
        return b"{%b}" % b",".join(
            b"%b:%b" % (ENCODER.encode(name), bytes(value))
            for name, value in fields.items()
            if name not in self._without
        )
