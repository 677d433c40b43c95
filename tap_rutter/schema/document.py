"""JSON Schemas of records, made once from the pinned description of an API version.

The rules (design section 3): everything but the key may be null; enums and id formats are not
enforced, since Rutter adds values without a new version; arrays are declared without ``items``
(targets would make arrays of a column type of them, and refuse a later change); what is recursive
or free-form is an open object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from tap_rutter.redact import SECRET_FIELD
from tap_rutter.schema.field_docs import describe

JSONSchema = dict[str, Any]

EXTRA = "_rutter_extra"
ISSUES = "_rutter_issues"

STRING: JSONSchema = {"type": ["string", "null"]}
INTEGER: JSONSchema = {"type": ["integer", "null"]}
NUMBER: JSONSchema = {"type": ["number", "null"]}
BOOLEAN: JSONSchema = {"type": ["boolean", "null"]}
DATE_TIME: JSONSchema = {"type": ["string", "null"], "format": "date-time"}
OBJECT: JSONSchema = {"type": ["object", "null"], "additionalProperties": True}
ARRAY: JSONSchema = {"type": ["array", "null"]}
# All named, object first: targets make the same JSON column of it as of an object, where {} would
# become text.
ANY: JSONSchema = {"type": ["object", "array", "string", "number", "boolean", "null"]}

_REF = "#/components/schemas/"


class Document:
    """The reduced OpenAPI description of one API version."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.version: str = content["info"]["version"]
        self.paths: Mapping[str, Any] = content["paths"]
        self.components: Mapping[str, Any] = content["components"]["schemas"]
        self.source: Mapping[str, Any] = content.get("x-source", {})

    def has(self, path: str) -> bool:
        """Whether the version has an endpoint."""
        return path in self.paths

    def parameters(self, path: str) -> frozenset[str]:
        """Names of an endpoint's query parameters."""
        entries = self.paths.get(path, {}).get("get", {}).get("parameters", ())
        return frozenset(entry["name"] for entry in entries if entry["in"] == "query")

    def choices(self, path: str, parameter: str) -> tuple[str, ...]:
        """The values that an endpoint's parameter takes, where they are listed."""
        for entry in self.paths.get(path, {}).get("get", {}).get("parameters", ()):
            if entry["name"] == parameter:
                return tuple(entry["schema"].get("enum", ()))
        return ()

    def properties(self, component: str) -> dict[str, JSONSchema]:
        """A component's fields as JSON Schemas, without those whose name says secret."""
        return self._properties(self.components[component], (component,))

    def _properties(self, node: Mapping[str, Any], seen: tuple[str, ...]) -> dict[str, JSONSchema]:
        return {
            name: self._normal(field, seen)
            for name, field in node.get("properties", {}).items()
            if not SECRET_FIELD.fullmatch(name)
        }

    def _normal(self, node: Mapping[str, Any], seen: tuple[str, ...]) -> JSONSchema:
        """One field as it is declared to targets."""
        if "$ref" in node:
            name = node["$ref"].removeprefix(_REF)
            if name in seen:
                return dict(OBJECT)
            return self._normal(self.components[name], (*seen, name))
        if "anyOf" in node:
            return self._union(node["anyOf"], seen)
        types = node.get("type", "object")
        named = [types] if isinstance(types, str) else types
        kinds = [entry for entry in named if entry != "null"] or ["object"]
        if is_any(node):
            return dict(ANY)
        if len(kinds) > 1:
            # No column holds several types: JSON text does.
            return dict(STRING)
        kind = kinds[0]
        if kind == "string" and node.get("format") == "date-time":
            return dict(DATE_TIME)
        if kind == "object" and node.get("properties"):
            return {
                "type": ["object", "null"],
                "properties": self._properties(node, seen),
                "additionalProperties": True,
            }
        return dict(OBJECT) if kind == "object" else {"type": [kind, "null"]}

    def _union(self, nodes: Sequence[Mapping[str, Any]], seen: tuple[str, ...]) -> JSONSchema:
        kinds = [self._normal(node, seen) for node in nodes if node.get("type") != "null"]
        if all(kind == kinds[0] for kind in kinds):
            return kinds[0]
        # Fields of one kind of object may be of another type in the other.
        are_objects = all(kind["type"] == OBJECT["type"] for kind in kinds)
        return dict(OBJECT if are_objects else STRING)


@cache
def document(version: str) -> Document:
    """The pinned description of an API version."""
    source = resources.files("tap_rutter.openapi").joinpath(f"{version}.json")
    return Document(json.loads(source.read_text(encoding="utf-8")))


def is_any(schema: Mapping[str, Any]) -> bool:
    """Whether a field may hold any JSON value."""
    return bool(schema.get("type") == ANY["type"])


def record_schema(
    properties: Mapping[str, JSONSchema],
    key: Sequence[str],
    *,
    made: bool = False,
    stream: str = "",
) -> JSONSchema:
    """The JSON Schema of a stream's records.

    Args:
        properties: Fields beside ``connection_id``.
        key: The primary key, ``connection_id`` included where the stream has it.
        made: Whether the tap makes the records itself; then there are no unknown fields to keep.
        stream: Whose records they are, for what their fields mean.
    """
    fields: dict[str, JSONSchema] = {}
    if "connection_id" in key:
        # First, since targets take the order of a key's columns from the order of properties.
        fields["connection_id"] = {"type": ["string"]}
    for name in key:
        if name not in fields:
            declared = properties.get(name, STRING)
            kinds = [kind for kind in declared["type"] if kind != "null"]
            fields[name] = {**declared, "type": kinds}
    for name, schema in properties.items():
        fields.setdefault(name, schema)
    if not made:
        fields[EXTRA] = dict(OBJECT)
        fields[ISSUES] = dict(OBJECT)
    for name, schema in fields.items():
        meaning = describe(stream, name)
        if meaning:
            fields[name] = {**schema, "description": meaning}
    return {"type": "object", "properties": fields, "additionalProperties": True}


def opened(schema: JSONSchema) -> JSONSchema:
    """The schema with nested objects left open, as SCHEMA messages declare it.

    A target conforms and validates each record along the nested properties, to no one's gain: the
    column is JSON either way.
    """
    fields = {
        name: {part: value for part, value in field.items() if part != "properties"}
        for name, field in schema.get("properties", {}).items()
    }
    return {**schema, "properties": fields}
