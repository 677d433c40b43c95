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
        made: Whether the tap makes the records itself, so that there are no unknown fields.
        stream: The stream's name, for the descriptions of fields.
    """
    fields: dict[str, JSONSchema] = {}
    if "connection_id" in key:
        # It comes first: targets take the sequence of a key's columns from that of the properties.
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
    """The schema with open nested objects, as it is in SCHEMA messages.

    Otherwise a target checks every nested property of every record. That gains nothing, since the
    column is JSON anyway.
    """
    fields = {
        name: {part: value for part, value in field.items() if part != "properties"}
        for name, field in schema.get("properties", {}).items()
    }
    return {**schema, "properties": fields}
