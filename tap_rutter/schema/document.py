"""The document of an API version, and the fields of its rows as JSON Schemas.

Enums and id formats are not enforced, since Rutter adds values without a new version. Arrays are
declared without ``items``: with them, targets would create array columns, and refuse a later change
of the type. Recursive and free-form values are open objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from tap_rutter.redact import SECRET_FIELD
from tap_rutter.schema.json_schema import ANY, DATE_TIME, OBJECT, STRING, JSONSchema, is_any

_REF = "#/components/schemas/"


class Document:
    """The reduced OpenAPI description of one API version: its endpoints and their rows' fields."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.version: str = content["info"]["version"]
        self.paths: Mapping[str, Any] = content["paths"]
        self.components: Mapping[str, Any] = content["components"]["schemas"]
        self.source: Mapping[str, Any] = content.get("x-source", {})
        self._parameters: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        """Whether the version has an endpoint."""
        return path in self.paths

    def parameters(self, path: str) -> frozenset[str]:
        """Names of an endpoint's query parameters."""
        known = self._parameters.get(path)
        if known is None:
            entries = self.paths.get(path, {}).get("get", {}).get("parameters", ())
            known = frozenset(entry["name"] for entry in entries if entry["in"] == "query")
            self._parameters[path] = known
        return known

    def choices(self, path: str, parameter: str) -> tuple[str, ...]:
        """The values that an endpoint's parameter takes, where they are listed."""
        for entry in self.paths.get(path, {}).get("get", {}).get("parameters", ()):
            if entry["name"] == parameter:
                return tuple(entry["schema"].get("enum", ()))
        return ()

    def properties(self, component: str) -> dict[str, JSONSchema]:
        """A component's fields as JSON Schemas, without secret fields."""
        return self._properties(self.components[component], (component,))

    def _properties(self, node: Mapping[str, Any], seen: tuple[str, ...]) -> dict[str, JSONSchema]:
        return {
            name: self._normal(field, seen)
            for name, field in node.get("properties", {}).items()
            if not SECRET_FIELD.fullmatch(name)
        }

    def _normal(self, node: Mapping[str, Any], seen: tuple[str, ...]) -> JSONSchema:
        """The schema of one field, in the form that is declared to targets."""
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
            # A column cannot have several types; a JSON column holds any value.
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
        # A field may have another type in another branch of the union.
        are_objects = all(kind["type"] == OBJECT["type"] for kind in kinds)
        return dict(OBJECT if are_objects else STRING)


@cache
def document(version: str) -> Document:
    """The document of an API version."""
    source = resources.files("tap_rutter.openapi").joinpath(f"{version}.json")
    return Document(json.loads(source.read_text(encoding="utf-8")))
