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
# All named, object first: targets make the same JSON column of it as of an object, where {} would
# become text.
ANY: JSONSchema = {"type": ["object", "array", "string", "number", "boolean", "null"]}


def is_any(schema: Mapping[str, Any]) -> bool:
    """Whether a field may hold any JSON value."""
    return bool(schema.get("type") == ANY["type"])


def type_of(schema: Mapping[str, Any]) -> str:
    """The type of a field beside null; of one that may hold anything, the first."""
    return str(next(name for name in schema["type"] if name != "null"))
