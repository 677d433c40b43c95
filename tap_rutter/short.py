"""The short way of a record: checked at C speed and passed on as its own text.

Most rows need nothing done to them. Their raw text is checked against a msgspec Struct made from
the stream's schema, without building objects for what is not looked at, and spliced into the RECORD
line: digits stay exact, and nothing is decoded twice. A row that does not pass for whatever reason
takes the full way (``records.py``); both ways give equal records.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from tap_rutter.schemas import EXTRA, ISSUES, JSONSchema

# RFC 3339 in UTC with Z, every day but 29 February, which takes the full way.
_DATE_TIME = (
    r"^(?!0000)\d{4}-"
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z\Z"
)
_INTEGERS = msgspec.Meta(ge=-(2**63), le=2**63 - 1)

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

# Escapes of NUL, of surrogates, and of the letters of which names that say secret consist.
_ESCAPES = re.compile(rb"\\u(?:00(?:00|5[fF]|[4-7][0-9a-fA-F])|[dD][89a-fA-F])")
# The end of a name that may say secret; what is before it decides. One pass with a rare first
# byte costs a third of a search for each of the names.
_NAME_END = re.compile(rb'_(?i:url|token)"')
_SECRET_BEGINNINGS = (b"access", b"link", b"update")


class _AnyArray(msgspec.Struct, array_like=True):
    """An array whatever it holds."""


class _AnyObject(msgspec.Struct):
    """An object whatever it holds."""


_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": Annotated[int, _INTEGERS],
    "number": float,
    "boolean": bool,
    "array": _AnyArray,
    "object": _AnyObject,
}


def is_clean(content: bytes) -> bool:
    """Whether raw JSON is free of what would have to be mended or dropped at any depth.

    That is NUL and surrogate escapes, bytes that are no UTF-8, and names that say secret.
    """
    if b"\\" in content and _ESCAPES.search(content):
        return False
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError:
            return False
    return not any(
        content[match.start() - 6 : match.start()].lower().endswith(_SECRET_BEGINNINGS)
        for match in _NAME_END.finditer(content)
    )


def _annotation(schema: JSONSchema, name: str) -> Any:
    kind = next(entry for entry in schema["type"] if entry != "null")
    if schema.get("format") == "date-time":
        return Annotated[str, msgspec.Meta(pattern=_DATE_TIME)]
    if kind == "object" and schema.get("properties"):
        return _struct(schema["properties"], name, closed=False)
    return _TYPES[kind]


def _struct(properties: Mapping[str, JSONSchema], name: str, *, closed: bool) -> Any:
    """A Struct that accepts exactly what needs no repair."""
    fields: list[tuple[str, Any, Any]] = []
    renamed: dict[str, str] = {}
    for index, (field, schema) in enumerate(properties.items()):
        attribute = f"f{index}"
        renamed[attribute] = field
        fields.append((attribute, _annotation(schema, f"{name}_{index}") | None, None))
    return msgspec.defstruct(name, fields, rename=renamed, forbid_unknown_fields=closed)


class ShortWay:
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
        fields: list[Any] = []
        renamed: dict[str, str] = {}
        for index, (name, field) in enumerate(properties.items()):
            annotation = _annotation(field, f"Field{index}")
            renamed[f"f{index}"] = name
            if name not in key:
                fields.append((f"f{index}", annotation | None, None))
            elif field.get("format") == "date-time":
                fields.append((f"f{index}", annotation))
            else:
                fields.append((f"f{index}", Annotated[str, msgspec.Meta(min_length=1)]))
        row = msgspec.defstruct(
            "Row", fields, rename=renamed, forbid_unknown_fields=True, kw_only=True
        )
        self._decode = msgspec.json.Decoder(row).decode

    def passes(self, raw: bytes | msgspec.Raw) -> bool:
        """Whether a clean row can be passed on as it is."""
        try:
            self._decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return True

    def selected(self, raw: bytes | msgspec.Raw) -> bytes | msgspec.Raw:
        """The text of a row that has passed, without the fields that are not selected."""
        if not self._without:
            return raw
        fields = _FIELDS.decode(raw)
        return b"{%b}" % b",".join(
            b"%b:%b" % (msgspec.json.encode(name), bytes(value))
            for name, value in fields.items()
            if name not in self._without
        )
