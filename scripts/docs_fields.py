"""The fields of a stream's rows in an API version, at all depths, as the documentation shows them.

Types are those that the catalog declares; ``any`` is a field that may hold any JSON value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from tap_rutter.redact import SECRET_FIELD
from tap_rutter.schema.document import document
from tap_rutter.schema.json_schema import is_any
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.streams.base import RutterStream
from tap_rutter.tap import TapRutter
from tap_rutter.versions import SUPPORTED

VERSIONS = tuple(sorted(SUPPORTED))
_REF = "#/components/schemas/"
_BY_THE_TAP = ("_rutter_extra", "_rutter_issues")


class Field(NamedTuple):
    """A field of a row."""

    path: str
    """Dotted, with ``[]`` behind an array."""
    type: str
    choices: tuple[str, ...] = ()
    """The values that the API document names; Rutter may add others."""

    @property
    def is_nested(self) -> bool:
        """Whether it is part of a column, and not a column."""
        return "." in self.path


@cache
def tap_of(version: str) -> TapRutter:
    """A tap that speaks a version, with all optional streams."""
    config = {
        "api_version": version,
        "optional_streams": list(OPTIONAL),
        "attachment_urls": True,  # so that the column that it adds is described too
    }
    return TapRutter(config=config, validate_config=False)


def streams_of(version: str) -> dict[str, type[RutterStream]]:
    """The streams that a version has, by name."""
    there = tap_of(version).streams
    return {name_of(stream): stream for stream in STREAMS if name_of(stream) in there}


def versions_of(stream: type[RutterStream]) -> tuple[str, ...]:
    """The versions that have a stream, oldest first."""
    return tuple(version for version in VERSIONS if name_of(stream) in streams_of(version))


@cache
def fields_of(version: str, stream: str) -> tuple[Field, ...]:
    """The columns of a stream and the fields in them, without the columns that every stream has."""
    leaf = streams_of(version)[stream]
    node = document(version).components.get(leaf.component, {})
    inside = node.get("properties", {})
    found: list[Field] = []
    for name, schema in tap_of(version).streams[stream].schema["properties"].items():
        if name in _BY_THE_TAP:
            continue
        declared = inside.get(name, {}) if not leaf.is_allow_list else {}
        found.append(Field(name, _column_type(schema), _choices(version, declared)))
        found += _nested(version, declared, name, (leaf.component,))
    return tuple(found)


def _column_type(schema: Mapping[str, Any]) -> str:
    if is_any(schema):
        return "any"
    kind = next(kind for kind in schema["type"] if kind != "null")
    return str(schema.get("format", kind))


def _nested(
    version: str, node: Mapping[str, Any], path: str, seen: tuple[str, ...]
) -> Iterator[Field]:
    """The fields inside a field; of a recursive type, one level."""
    if "$ref" in node:
        name = node["$ref"].removeprefix(_REF)
        if name in seen:
            return
        yield from _nested(version, document(version).components[name], path, (*seen, name))
    for part in node.get("anyOf", ()):
        yield from _nested(version, part, path, seen)
    if "items" in node:
        yield from _nested(version, node["items"], f"{path}[]", seen)
    for name, field in node.get("properties", {}).items():
        if not SECRET_FIELD.fullmatch(name):
            yield Field(f"{path}.{name}", _type(version, field), _choices(version, field))
            yield from _nested(version, field, f"{path}.{name}", seen)


def _type(version: str, node: Mapping[str, Any]) -> str:
    """The type of a nested field."""
    if "$ref" in node:
        return _type(version, document(version).components[node["$ref"].removeprefix(_REF)])
    if "anyOf" in node:
        kinds = {_type(version, part) for part in node["anyOf"] if part.get("type") != "null"}
        return " or ".join(sorted(kinds))
    types = node.get("type", "object")
    kinds = {types} if isinstance(types, str) else set(types)
    kind = "any" if is_any(node) else " or ".join(sorted(kinds - {"null"})) or "object"
    return str(node["format"]) if node.get("format") == "date-time" else kind


def _choices(version: str, node: Mapping[str, Any]) -> tuple[str, ...]:
    """The values that the API document names for a field."""
    if "$ref" in node:
        return _choices(version, document(version).components[node["$ref"].removeprefix(_REF)])
    parts = [value for part in node.get("anyOf", ()) for value in _choices(version, part)]
    return tuple(str(value) for value in (*node.get("enum", ()), *parts) if value is not None)
