"""Schemas: what targets are told of a component of the API's description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.records.conform import FieldTypes
from tap_rutter.schema.document import Document, document
from tap_rutter.schema.json_schema import ARRAY, BOOLEAN, DATE_TIME, OBJECT, STRING, is_any
from tap_rutter.schema.record_schema import EXTRA, ISSUES, opened, record_schema
from tap_rutter.versions import SUPPORTED

Json = dict[str, Any]
INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
REPLICATION_KEY = ("connection_id", "id")


def described(**components: Json) -> Document:
    return Document({"info": {"version": "x"}, "paths": {}, "components": {"schemas": components}})


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def one(field: Json, **components: Json) -> Json:
    """How one field is declared."""
    return described(Row={"properties": {"field": field}}, **components).properties("Row")["field"]


ADDRESS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPEN_ADDRESS = {
    "type": ["object", "null"],
    "properties": {"city": STRING},
    "additionalProperties": True,
}
PERSON = {"type": "object", "properties": {"city": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("field", "declared"),
    [
        ({"type": "string"}, STRING),
        ({"type": ["string", "null"]}, STRING),
        ({"type": "string", "enum": ["A", "B"]}, STRING),
        ({"type": "string", "format": "uuid"}, STRING),
        ({"type": "string", "format": "date"}, STRING),
        ({"type": "string", "format": "date-time"}, DATE_TIME),
        ({"type": ["null", "string"], "format": "date-time"}, DATE_TIME),
        ({"type": "integer", "minimum": 0}, INTEGER),
        ({"type": "number"}, NUMBER),
        ({"type": "boolean"}, BOOLEAN),
        ({"type": "array", "items": {"type": "string"}}, ARRAY),
        ({"type": ["array", "null"], "items": ADDRESS}, ARRAY),
        ({"type": "object"}, OBJECT),
        ({"type": "object", "properties": {}}, OBJECT),
        ({"type": "object", "additionalProperties": {"type": "string"}}, OBJECT),
        ({"type": ["object", "null"], "additionalProperties": False}, OBJECT),
        ({}, OBJECT),
        ({"type": "null"}, OBJECT),
        (ADDRESS, OPEN_ADDRESS),
        (ref("Address"), OPEN_ADDRESS),
        ({"anyOf": [ref("Address"), {"type": "null"}]}, OPEN_ADDRESS),
        ({"anyOf": [{"type": "null"}, {"type": "number"}]}, NUMBER),
        # Several types: no column holds them.
        ({"type": ["string", "boolean", "number", "null"]}, STRING),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, STRING),
        ({"anyOf": [ref("Address"), {"type": "string"}]}, STRING),
        ({"anyOf": [{"type": "string"}, {"type": "string", "enum": ["A"]}]}, STRING),
        # Of one type, and yet not the same.
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string"}]}, STRING),
        ({"anyOf": [ref("Address"), ref("Person")]}, OBJECT),
        ({"anyOf": [ref("Address"), ref("Address")]}, OPEN_ADDRESS),
    ],
)
def test_how_a_field_is_declared(field: Json, declared: Json) -> None:
    assert one(field, Address=ADDRESS, Person=PERSON) == declared


def test_what_contains_itself_is_open_where_it_does() -> None:
    category = {"properties": {"name": {"type": "string"}, "parent": ref("Category")}}
    assert described(Category=category).properties("Category") == {
        "name": STRING,
        "parent": OBJECT,
    }
    row = one(ref("A"), A={"properties": {"b": ref("B")}}, B={"properties": {"a": ref("A")}})
    assert row["properties"]["b"]["properties"]["a"] == OBJECT


def test_what_comes_twice_side_by_side_is_declared_twice() -> None:
    row = {"properties": {"billing": ref("Address"), "shipping": ref("Address")}}
    properties = described(Row=row, Address=ADDRESS).properties("Row")
    assert properties == {"billing": OPEN_ADDRESS, "shipping": OPEN_ADDRESS}


def test_fields_whose_name_says_secret_are_not_declared() -> None:
    secret = {name: {"type": "string"} for name in ("access_token", "x_link_url", "update_url")}
    inner = {"type": "object", "properties": {**secret, "kept": {"type": "string"}}}
    properties = described(Row={"properties": {**secret, "inner": inner}}).properties("Row")
    assert list(properties) == ["inner"]
    assert list(properties["inner"]["properties"]) == ["kept"]


def test_what_a_description_tells_of_endpoints() -> None:
    pinned = Document(
        {
            "info": {"version": "x"},
            "components": {"schemas": {}},
            "paths": {
                "/a": {
                    "get": {
                        "parameters": [
                            {"name": "id", "in": "path", "schema": {}},
                            {"name": "X-Version", "in": "header", "schema": {}},
                            {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                            {"name": "expand", "in": "query", "schema": {"enum": ["x", "y"]}},
                        ]
                    }
                },
                "/b": {"get": {}},
            },
        }
    )
    assert pinned.has("/a")
    assert not pinned.has("/c")
    assert pinned.parameters("/a") == {"limit", "expand"}
    assert pinned.parameters("/b") == pinned.parameters("/c") == frozenset()
    assert pinned.choices("/a", "expand") == ("x", "y")
    assert pinned.choices("/a", "limit") == pinned.choices("/c", "expand") == ()


# ---- records


def test_the_schema_of_a_record() -> None:
    schema = record_schema({"name": STRING, "id": STRING, "at": DATE_TIME}, REPLICATION_KEY)
    assert list(schema["properties"]) == ["connection_id", "id", "name", "at", EXTRA, ISSUES]
    assert schema["additionalProperties"] is True
    fields = schema["properties"]
    assert fields["connection_id"]["type"] == ["string"]
    assert fields["id"]["type"] == ["string"]
    assert fields["name"] == STRING
    assert fields["at"] == DATE_TIME
    assert fields[EXTRA].items() >= OBJECT.items()
    assert fields[ISSUES].items() >= OBJECT.items()


def test_the_key_comes_first_in_its_own_order() -> None:
    key = ("connection_id", "date", "iso_currency_code")
    schema = record_schema(
        {"amount": NUMBER, "iso_currency_code": STRING, "date": DATE_TIME}, key, made=True
    )
    assert list(schema["properties"]) == [*key, "amount"]
    assert schema["properties"]["date"] == {"type": ["string"], "format": "date-time"}


def test_a_stream_without_connections_has_no_such_column() -> None:
    assert list(record_schema({"id": STRING}, ("id",), made=True)["properties"]) == ["id"]


def test_a_key_that_the_description_lacks_is_text() -> None:
    assert record_schema({}, REPLICATION_KEY)["properties"]["id"]["type"] == ["string"]


def test_rows_that_the_tap_makes_have_no_unknown_fields_to_keep() -> None:
    assert {EXTRA, ISSUES}.isdisjoint(record_schema({}, REPLICATION_KEY, made=True)["properties"])


def test_making_a_schema_changes_nothing_that_it_is_made_of() -> None:
    properties = {"id": dict(STRING), "updated_at": dict(DATE_TIME)}
    record_schema(properties, REPLICATION_KEY)
    assert properties == {"id": STRING, "updated_at": DATE_TIME}
    assert STRING == {"type": ["string", "null"]}


def test_schema_messages_leave_nested_objects_open() -> None:
    schema = record_schema({"billing": OPEN_ADDRESS, "name": STRING}, REPLICATION_KEY)
    left = opened(schema)["properties"]
    assert left["billing"] == OBJECT
    assert left["name"] == STRING
    assert left["id"] == schema["properties"]["id"]
    assert schema["properties"]["billing"] == OPEN_ADDRESS, "the stream's own schema keeps them"


# ---- the pinned descriptions


def fields_of(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields_of(field, f"{path}.{name}")


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_description_is_of_its_version_and_read_once(version: str) -> None:
    assert document(version).version == version
    assert document(version) is document(version)


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_component_becomes_a_schema_by_the_rules(version: str) -> None:
    pinned = document(version)
    assert len(pinned.components) > 100
    for component in pinned.components:
        schema = record_schema(pinned.properties(component), REPLICATION_KEY)
        jsonschema.Draft7Validator.check_schema(schema)
        FieldTypes.of(schema)
        for path, field in fields_of(schema, component):
            if is_any(field):
                continue
            kinds = [kind for kind in field["type"] if kind != "null"]
            assert len(kinds) == 1, path
            is_key = path in {f"{component}.connection_id", f"{component}.id"}
            assert ("null" in field["type"]) is not is_key, path
            assert {"items", "enum", "anyOf", "$ref", "required"}.isdisjoint(field), path
            assert field.get("format") in {None, "date-time"}, path
            assert (kinds == ["object"]) == (field.get("additionalProperties") is True), path
            assert not path.endswith(("access_token", "link_url", ".update_url")), path


values = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3)),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["new", "billing", "id"]), values, max_size=3))
def test_a_schema_forbids_no_new_field(row: Json) -> None:
    record = {"connection_id": "c", "id": "1", "new": row.get("new"), "billing": {"new": row}}
    schema = record_schema({"billing": OPEN_ADDRESS}, REPLICATION_KEY)
    jsonschema.Draft7Validator(schema).validate(record)
    jsonschema.Draft7Validator(opened(schema)).validate(record)
