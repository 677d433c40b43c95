"""JSON Schemas of whole records, as the catalog and SCHEMA messages have them.

Everything but the key may be null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tap_rutter.schema.field_docs import describe
from tap_rutter.schema.json_schema import OBJECT, STRING, JSONSchema

EXTRA = "_rutter_extra"
ISSUES = "_rutter_issues"


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
