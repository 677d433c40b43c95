"""Published descriptions in whatever form, and with whatever mistakes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.openapi import (
    DOCUMENTS,
    NULL,
    NULLABLE,
    REDUCED,
    REF,
    SMALL,
    STRING,
    Json,
    Workshop,
    get,
    objects,
    ref,
    small,
)

STORE = {"type": "object", "properties": {"id": STRING}}
STORE_REF = {"anyOf": [ref("X"), NULL]}


@pytest.mark.parametrize(
    ("raw", "target", "expected"),
    [
        ({"type": ["null"]}, STORE, STORE_REF),
        ({"type": "null"}, STORE, STORE_REF),
        ({"type": ["object", "null"]}, STORE, STORE_REF),
        ({"type": ["null"]}, ref("Other"), STORE_REF),
        ({}, ref("Other") | {"type": ["null"]}, STORE_REF),
        ({"type": ["null"]}, STRING, NULLABLE),
        ({"type": ["null"]}, {"enum": ["a"]}, NULLABLE | {"enum": ["a", None]}),
        (
            {"type": ["null"]},
            {"type": "array", "items": STRING},
            {"type": ["array", "null"], "items": STRING},
        ),
        (
            {"type": ["null"]},
            {"oneOf": [STRING, {"type": "number"}]},
            {"anyOf": [STRING, {"type": "number"}, NULL]},
        ),
        ({"type": ["null"]}, NULL, NULL),
        ({"type": ["null"]}, {}, {}),
        ({}, {}, {}),
        ({"nullable": True}, {}, {}),
        ({"description": "A time in ISO 8601."}, {}, {}),
    ],
)
def test_null_beside_a_reference_means_or_null(
    workshop: Workshop, raw: Json, target: Json, expected: Json
) -> None:
    for schema in (ref("Thing") | raw, {"allOf": [ref("Thing")]} | raw):
        source = _schema(schema)
        source["components"] = {"schemas": {"Thing": target, "Other": STORE}}

        assert workshop.run(workshop.source(source)).code == 0

        document = workshop.document()
        answer = document["paths"]["/a"]["get"]["responses"]["200"]["content"]
        assert answer["application/json"]["schema"]["properties"]["x"] == expected


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"nullable": True},
        {"description": "Whatever it is."},
        {"anyOf": [{}, NULL]},
        {"anyOf": [{}, STRING]},
        {"oneOf": [STRING, {"description": "Or else."}, {"type": "number"}]},
        {"allOf": [{}, {}]},
    ],
)
def test_an_empty_schema_means_anything(workshop: Workshop, schema: object) -> None:
    workshop.run(workshop.source(_schema(schema)))

    answer = workshop.document()["paths"]["/a"]["get"]["responses"]["200"]["content"]
    assert answer["application/json"]["schema"] == objects(x={})


def test_messages_name_the_component_and_its_field(workshop: Workshop, tool: ModuleType) -> None:
    source = small(tool)
    source["components"]["schemas"]["BillLineItem"]["properties"]["amount"]["type"] = "money"

    ran = workshop.run(workshop.source(source))

    assert ran.err == (
        "update_openapi: GET /accounting/bills, field bills[].line_items[].amount (component"
        " BillLineItem, field amount): its type is 'money', which JSON Schema does not know\n"
    )


def _schema(schema: object) -> Json:
    return {"openapi": "3.0.0", "paths": {"/a": get("A", objects(x=schema))}}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ([], "the description is not an object of names and values"),
        ({"swagger": "2.0", "paths": {}}, "neither an OpenAPI 3 description ('openapi' is '2.0')"),
        ({"openapi": "3.0.0"}, "'paths' is not an object that holds endpoints"),
        ({"openapi": "3.0.0", "paths": {"/a": {"post": {}}}}, "'paths' holds no GET endpoint"),
        (
            {"openapi": "3.0.0", "paths": {"/a": {"get": []}}},
            "GET /a: the operation is not an object",
        ),
        ({"openapi": "3.0.0", "paths": {"/a": {"get": {}}}}, "GET /a: it has no responses"),
        ({"endpoints": {"/a": {}}}, "GET /a: it has no 'response'"),
        ({"endpoints": []}, "'endpoints' is not an object that holds endpoints"),
        (_schema("text"), "GET /a, field x: the schema is not an object"),
        (
            _schema({"type": "tuple"}),
            "GET /a, field x: its type is 'tuple', which JSON Schema does not know",
        ),
        (
            _schema({"type": "object", "properties": [1]}),
            "GET /a, field x: 'properties' is not an object",
        ),
        (_schema({"allOf": 3}), "GET /a, field x: it is not written as OpenAPI 3 asks"),
        (_schema({"$ref": "#/components/schemas/Gone"}), "Gone, which is not in the description"),
        (
            _schema({"$ref": "other.yaml#/Bill"}),
            "other.yaml#/Bill, which is not in the description",
        ),
        ("{ not JSON", "is not valid JSON"),
        ("openapi: [3.0", "is not valid YAML"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_clear_line(
    workshop: Workshop, source: object, complaint: str
) -> None:
    ran = workshop.run(workshop.source(source))

    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.startswith("update_openapi: ")
    assert ran.err.count("\n") == 1
    assert not (workshop.directory / "2024-08-31.json").exists()


def test_a_component_that_is_only_itself_is_refused(workshop: Workshop) -> None:
    source = _schema({"$ref": "#/components/schemas/Loop"})
    source["components"] = {"schemas": {"Loop": {"allOf": [{"$ref": REF + "Loop"}]}}}

    error = workshop.run(workshop.source(source)).err
    assert "GET /a, field x (component Loop): the component refers to itself" in error


def test_what_can_be_kept_only_in_part_is_said(workshop: Workshop) -> None:
    source = _schema({"$ref": REF + "Anything"})
    source["components"] = {
        "schemas": {
            "Anything": {"oneOf": [STRING, {"type": "array", "items": ref("Anything")}]},
        }
    }
    source["paths"]["/file"] = {"get": {"responses": {"302": {"description": "Elsewhere."}}}}

    ran = workshop.run(workshop.source(source))

    answer = workshop.document()["paths"]["/a"]["get"]["responses"]["200"]["content"]
    assert answer["application/json"]["schema"] == objects(
        x={"anyOf": [STRING, {"type": "array", "items": {}}]}
    )
    assert (
        "GET /a, field x[] (component Anything, field []): it leads back to component Any"
        in ran.out
    )
    assert "GET /file: it has no response 200, so its answer may be anything" in ran.out


@pytest.mark.parametrize(
    ("version", "arguments", "complaint"),
    [
        ("2025-02-28", [SMALL], "version 2025-02-28 is not in the fixes file (it has 2024-08-31"),
        ("2024-08-31", [], "2024-08-31 is not a derived version: give a SOURCE"),
        ("2024-04-30", [SMALL], "2024-04-30 is derived from 2024-08-31: it takes no SOURCE"),
        ("2024-04-30", [], "make it first: make openapi VERSION=2024-08-31 SOURCE="),
        ("2024-08-31", ["no/such.yaml"], "no/such.yaml could not be read"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    workshop: Workshop, version: str, arguments: list[str | Path], complaint: str
) -> None:
    workshop.fixes["versions"]["2024-04-30"] = {"base": "2024-08-31", "source": {}}

    ran = workshop.run(*arguments, version=version)

    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert complaint in ran.err


@pytest.mark.parametrize(
    ("fix", "complaint"),
    [
        ({"components": ["Bill"], "merge": {}}, "a fix has no reason"),
        ({"reason": "r", "components": ["Gone"], "merge": {}}, "Gone is not in the document"),
        ({"reason": "r", "endpoints": ["/gone"], "merge": {}}, "/gone is not in the document"),
        ({"reason": "r", "components": ["Bill"], "rename": {"no": "new"}}, "no is not in the"),
        ({"reason": "r", "components": ["Address"], "merge": None}, "Address is referred to"),
    ],
)
def test_a_fix_that_does_not_fit_is_one_clear_line(
    workshop: Workshop, fix: Json, complaint: str
) -> None:
    workshop.fixes["versions"]["2024-08-31"]["fixes"] = [fix]

    ran = workshop.run(SMALL)

    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert complaint in ran.err


def test_yaml_without_its_package_names_what_to_install(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    ran = workshop.run(SMALL)

    assert ran.code == 2
    assert "pip install PyYAML" in ran.err


def test_two_shapes_under_one_name_are_numbered_and_named(workshop: Workshop) -> None:
    del workshop.fixes["names"]["/customers.customers[]"]
    del workshop.fixes["names"]["/accounting/customers.customers[]"]

    ran = workshop.run(SMALL)

    assert "/customers.customers[]: called Customer2, since Customer is another object" in ran.out


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths to everything in a JSON value, itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


JUNK: list[object] = [None, True, 0, "x", [], {}, [1], [None], [{}], {"a": 1}, {"$ref": 3}]


@settings(deadline=None)
@given(data=st.data())
def test_no_mistake_in_a_source_shows_a_traceback(tool: ModuleType, data: st.DataObject) -> None:
    source = small(tool)
    path = data.draw(st.sampled_from(list(places(source))))
    spot: Any = source
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = data.draw(st.sampled_from(JUNK))
    fixes = {"title": "", "servers": [], "names": {}, "versions": {"v": {"source": {}}}}
    try:
        document = tool.Maker(fixes, DOCUMENTS).make("v", source)
    except (tool.UnreadableError, tool.UsageError) as error:
        message = str(error)
        assert "\n" not in message
        # It says where, and not in the words of Python.
        assert message.startswith(("GET /", "'paths' ", "this is neither "))
        assert not re.search(
            r"object has no attribute|is not iterable|unhashable|KeyError", message
        )
    else:
        assert tool.written(document)


def test_a_source_may_be_a_url(workshop: Workshop) -> None:
    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/spec"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(SMALL.read_bytes() if found else b"")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        read = workshop.run(f"{url}/spec")
        missing = workshop.run(f"{url}/gone")
        server.shutdown()

    assert (read.code, read.err) == (0, "")
    assert (workshop.directory / "2024-08-31.json").read_text() == REDUCED.read_text()
    assert missing.code == 2
    assert "/gone could not be read: HTTP Error 404" in missing.err


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    )
)
def test_a_written_document_reads_back_as_it_was(tool: ModuleType, value: object) -> None:
    assert json.loads(tool.written(value)) == value
