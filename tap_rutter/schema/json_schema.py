"""The types that fields are declared as, in JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSONSchema = dict[str, Any]

STRING: JSONSchema = {"type": ["string", "null"]}
BOOLEAN: JSONSchema = {"type": ["boolean", "null"]}
DATE_TIME: JSONSchema = {"type": ["string", "null"], "format": "date-time"}
OBJECT: JSONSchema = {"type": ["object", "null"], "additionalProperties": True}
ARRAY: JSONSchema = {"type": ["array", "null"]}
# All types by name, object first: targets then create a JSON column, as for an object. With {} they
# would create a text column.
ANY: JSONSchema = {"type": ["object", "array", "string", "number", "boolean", "null"]}


def is_any(schema: Mapping[str, Any]) -> bool:
    """Whether a field may hold any JSON value."""
    return bool(schema.get("type") == ANY["type"])


def type_of(schema: Mapping[str, Any]) -> str:
    """The type of a field, without null; ``object`` for a field that may hold anything."""
    return str(next(name for name in schema["type"] if name != "null"))
