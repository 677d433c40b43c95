"""The API description documents, and the script that makes them from published descriptions."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_rutter.schema.json_schema import ANY

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "tap_rutter" / "openapi"
SMALL = Path(__file__).resolve().parents[1] / "data" / "openapi_small.yaml"
REDUCED = SMALL.with_suffix(".json")
# How many there were when this was written; none of them goes.
ENDPOINTS = {"2024-08-31": 136, "2024-04-30": 140, "2023-03-14": 103, "2023-02-07": 103}
DERIVED = ("2024-04-30", "2023-02-07")
REF = "#/components/schemas/"

Json = dict[str, Any]


@pytest.fixture(scope="module", name="tool")
def _tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("update_openapi")


class Ran(NamedTuple):
    """How a run of the script ended."""

    code: int
    out: str
    err: str


class Workshop:
    """The script with a directory and a fixes file of its own."""

    def __init__(
        self, tool: ModuleType, directory: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.tool = tool
        self.directory = directory
        self.capsys = capsys
        self.fixes: Json = {
            "title": "A small API",
            "servers": [{"url": "https://api.example.com"}],
            "names": {
                "*.connection": "ConnectionEnvelope",
                "/accounting/customers.customers[]": "AccountingCustomer",
                "/balances.async_response": "AsyncResponse",
                "/categories.categories[]": "ProductCategory",
                "/customers.customers[]": "CommerceCustomer",
                "AccountingCustomer.address": "Address",
                "BillLineItem.account": "LedgerAccount",
            },
            "versions": {"2024-08-31": {"source": {"made_from": "a test", "date": "2024-09"}}},
        }

    def run(self, *arguments: str | Path, version: str = "2024-08-31") -> Ran:
        fixes = self.directory / "fixes.json"
        fixes.write_text(json.dumps(self.fixes))
        places = ["--fixes", str(fixes), "--directory", str(self.directory)]
        code = self.tool.main(["--version", version, *map(str, arguments), *places])
        captured = self.capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def source(self, content: object) -> Path:
        path = self.directory / "source.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def document(self, version: str = "2024-08-31") -> Json:
        document: Json = json.loads((self.directory / f"{version}.json").read_text())
        return document


@pytest.fixture(name="workshop")
def _workshop(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Workshop:
    return Workshop(tool, tmp_path, capsys)


@cache
def _small_as_json(tool: ModuleType) -> str:
    return json.dumps(tool.load(str(SMALL)))


def small(tool: ModuleType) -> Json:
    """The small description, to be changed at will."""
    source: Json = json.loads(_small_as_json(tool))
    return source


def ref(name: str) -> Json:
    return {"$ref": REF + name}


def objects(required: str = "", **properties: Json) -> Json:
    schema: Json = {"type": "object", "properties": properties}
    return schema | {"required": required.split()} if required else schema


def query(name: str, required: bool = False, deprecated: bool = False, **schema: object) -> Json:
    param = {"name": name, "in": "query", "required": required, "schema": schema}
    return param | {"deprecated": True} if deprecated else param


def get(operation: str, schema: Json, *parameters: Json) -> Json:
    return {
        "get": {
            "operationId": operation,
            "parameters": list(parameters),
            "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
        }
    }


STRING = {"type": "string"}
NULLABLE = {"type": ["string", "null"]}
NULL = {"type": "null"}
TOKEN = query("access_token", True, type="string")


def test_a_published_description_becomes_bare_facts(workshop: Workshop) -> None:
    ran = workshop.run(SMALL)

    assert (ran.code, ran.err) == (0, "")
    # As text, so that the order of paths, components and fields counts too.
    assert (workshop.directory / "2024-08-31.json").read_text() == REDUCED.read_text()


def test_the_facts_form_gives_the_same_document(workshop: Workshop) -> None:
    category = objects(
        "id children",
        id={"type": "string", "format": "uuid"},
        children={"type": "array", "items": {"type": "object", "x-recursive": "Whatever"}},
        parent={"type": ["object", "null"], "x-recursive": "Whatever"},
    )
    balance = objects(amount={"type": "number"})
    answers = [
        objects(
            "balance",
            balance={
                "x-any-of": [balance, {"type": "array", "items": balance}, {"type": ["null"]}]
            },
        ),
        objects(async_response=objects("id", id=STRING)),
    ]
    categories = {"type": "array", "items": category}
    facts = {
        "endpoints": {
            "/categories": {
                "operation": "ListCategories",
                "query_params": {},
                "path_params": {},
                "response": objects("categories", categories=categories),
            },
            "/balances": {"response": {"x-any-of": answers}},
            "/accounting/bills/{id}": {
                "query_params": {"access_token": {"required": True, "type": "string"}},
                "response": objects(code={"type": "string", "x-enum-size": 182}),
            },
        }
    }

    ran = workshop.run(workshop.source(facts))

    assert ran.code == 0
    document = workshop.document()
    expected = json.loads(REDUCED.read_text())
    for path in ("/balances", "/categories"):
        assert document["paths"][path] == expected["paths"][path]
    # A path parameter that the source forgets is still one.
    assert document["paths"]["/accounting/bills/{id}"] == get(
        "GetAccountingBillsId",
        objects(code=STRING),
        {"name": "id", "in": "path", "required": True, "schema": STRING},
        TOKEN,
    )
    components = document["components"]["schemas"]
    assert list(components) == ["AsyncResponse", "Balance", "ProductCategory"]
    assert components.items() <= expected["components"]["schemas"].items()


def test_the_report_says_what_changed_in_the_catalogue(
    workshop: Workshop, tool: ModuleType
) -> None:
    workshop.run(SMALL)
    source = small(tool)
    schemas, paths = source["components"]["schemas"], source["paths"]
    del paths["/customers"]
    paths["/stores"] = paths["/categories"]
    paths["/accounting/bills"]["get"]["parameters"][2]["schema"]["default"] = 100
    paths["/accounting/bills"]["get"]["parameters"][3]["name"] = "sort"
    bill = schemas["BillFacts"]
    bill["properties"] |= {"memo": STRING, "issue_date": STRING, "id": {"type": "number"}}
    bill["properties"]["status"]["enum"] = ["open", "void"]
    bill["required"].remove("created_at")
    del bill["properties"]["title"]
    schemas["BillLineItem"]["properties"]["amount"]["nullable"] = True

    ran = workshop.run(workshop.source(source))

    assert ran.out.splitlines() == [
        "2024-08-31: 7 endpoints, 10 components; 13 changes",
        "  ~ /accounting/bills parameter limit: default 50 -> 100",
        "  - /accounting/bills parameter sort_order",
        "  + /accounting/bills parameter sort: string",
        "  - endpoint /customers",
        "  + endpoint /stores",
        "  ~ Bill.id: string -> number",
        "  ~ Bill.status: values +void, -paid",
        "  - Bill.title",
        "  ~ Bill.issue_date: date-time or null -> string",
        "  ~ Bill.created_at: no longer required",
        "  + Bill.memo: string",
        "  ~ BillLineItem.amount: number -> number or null (may be null now)",
        "  - component CommerceCustomer",
    ]


def test_check_writes_nothing_and_says_by_its_exit_code(
    workshop: Workshop, tool: ModuleType
) -> None:
    assert workshop.run("--check", SMALL).code == 1
    assert not (workshop.directory / "2024-08-31.json").exists()

    workshop.run(SMALL)
    ran = workshop.run("--check", SMALL)
    assert (ran.code, ran.out) == (0, "2024-08-31: 7 endpoints, 11 components; no changes\n")

    before = workshop.document()
    source = small(tool)
    del source["paths"]["/categories"]
    ran = workshop.run("--check", workshop.source(source))
    assert ran.code == 1
    assert "- endpoint /categories" in ran.out
    assert workshop.document() == before


def test_a_fix_adds_an_endpoint_that_the_source_leaves_out(workshop: Workshop) -> None:
    answer = {"schema": {"$ref": f"{REF}Added"}}
    operation = {
        "operationId": "FetchAdded",
        "parameters": [],
        "responses": {"200": {"content": {"application/json": answer}}},
    }
    workshop.fixes["versions"]["2024-08-31"]["fixes"] = [
        {
            "reason": "the source forgets it",
            "schemas": {"Added": {"type": "object", "properties": {"a": STRING}}},
            "add": {"/a/{id}": {"get": operation}},
        },
    ]
    workshop.run(SMALL)
    document = workshop.document()
    assert document["paths"]["/a/{id}"] == {"get": operation}
    assert list(document["paths"]) == sorted(document["paths"])
    assert document["components"]["schemas"]["Added"]["properties"] == {"a": STRING}


def test_fixes_change_the_document_and_idle_ones_are_named(workshop: Workshop) -> None:
    workshop.fixes["versions"]["2024-08-31"]["fixes"] = [
        {
            "reason": "the balance is a text",
            "components": ["Balance"],
            "rename": {"amount": "total"},
            "merge": {"properties": {"total": STRING}, "required": {"total": True}},
        },
        {
            "reason": "bills can be filtered",
            "endpoints": ["/accounting/bills"],
            "merge": {"parameters": {"sort_order": None, "filter": query("filter", type="string")}},
        },
        {"reason": "there are no categories", "endpoints": ["/categories"], "merge": None},
        {
            "reason": "known already",
            "components": ["Bill"],
            "merge": {"properties": {"title": STRING}, "required": {"id": True}},
        },
    ]

    ran = workshop.run(SMALL)

    assert "fix that changed nothing: known already" in ran.out
    assert ran.out.count("changed nothing") == 1
    document = workshop.document()
    schemas = document["components"]["schemas"]
    assert schemas["Balance"] == objects("total", total=STRING)
    parameters = document["paths"]["/accounting/bills"]["get"]["parameters"]
    assert [param["name"] for param in parameters] == ["access_token", "limit", "filter"]
    # What nothing refers to any more is gone too.
    assert "/categories" not in document["paths"]
    assert "ProductCategory" not in schemas


def test_a_version_is_derived_from_its_neighbours(workshop: Workshop, tool: ModuleType) -> None:
    workshop.run(SMALL)
    workshop.fixes["versions"] |= {
        "2023-03-14": {"source": {"made_from": "an older one", "date": "2023-12"}},
        "2024-04-30": {
            "base": "2023-03-14",
            "source": {"made_from": "its neighbours", "date": "2024-09"},
            "fixes": [
                {
                    "reason": "came to every version",
                    "take": "2024-08-31",
                    "endpoints": ["/categories"],
                    "fields": {"Bill": ["title", "line_items"]},
                },
                {
                    "reason": "so did these",
                    "take": "2024-08-31",
                    "of": ["/accounting/bills"],
                    "parameters": ["limit"],
                    "answer": ["connection"],
                },
            ],
        },
    }
    older = small(tool)
    older["paths"] = {"/accounting/bills": older["paths"]["/accounting/bills"]}
    operation = older["paths"]["/accounting/bills"]["get"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    del operation["parameters"][2], answer["properties"]["connection"]
    bill = older["components"]["schemas"]["BillFacts"]
    del bill["properties"]["title"]
    older["components"]["schemas"]["Bill20240831"] = bill
    source = workshop.source(older)

    # The derived version comes with the one that it is made of, also where nothing is written.
    assert workshop.run("--check", source, version="2023-03-14").code == 1
    assert not (workshop.directory / "2024-04-30.json").exists()
    ran = workshop.run(source, version="2023-03-14")
    assert "\n2024-04-30: 2 endpoints, 5 components; " in ran.out
    assert workshop.run("--check", version="2024-04-30").code == 0

    document, newer = workshop.document("2024-04-30"), workshop.document()
    assert document["x-source"] == {
        "made_from": "its neighbours",
        "date": "2024-09",
        "derived": True,
        "derived_from": ["2023-03-14", "2024-08-31"],
    }
    assert document["paths"] == {
        path: newer["paths"][path] for path in ("/accounting/bills", "/categories")
    }
    # Fields are put where the neighbour has them, and what they refer to comes with them.
    bill = document["components"]["schemas"]["Bill"]
    assert bill == newer["components"]["schemas"]["Bill"]
    assert list(bill["properties"]) == list(newer["components"]["schemas"]["Bill"]["properties"])
    assert "LedgerAccount" in document["components"]["schemas"]


def test_derived_documents_follow_the_one_that_they_are_made_of(
    workshop: Workshop, tool: ModuleType
) -> None:
    derived: Json = {"base": "2024-08-31", "source": {}}
    taken = {"reason": "its own", "take": "2024-08-31", "endpoints": ["/balances"]}
    # The one that is derived from a derived one stands before it in the file.
    workshop.fixes["versions"] |= {
        "2023-02-07": {**derived, "base": "2024-04-30"},
        "2024-04-30": derived,
        "2023-03-14": {"source": {}, "fixes": [taken]},
    }
    workshop.run(SMALL)
    source = small(tool)
    del source["paths"]["/categories"]

    ran = workshop.run(workshop.source(source))

    assert ran.code == 0
    for version in ("2024-08-31", "2024-04-30", "2023-02-07"):
        assert f"{version}: 6 endpoints, " in ran.out
        assert "/categories" not in workshop.document(version)["paths"]
    # What has a source of its own needs it.
    assert "2023-03-14 takes parts of 2024-08-31: make it again" in ran.out
    assert "make openapi VERSION=2023-03-14 SOURCE=" in ran.out
    assert not (workshop.directory / "2023-03-14.json").exists()


@pytest.mark.parametrize("path", ["/categories", "/balances"])
def test_a_version_with_its_own_source_is_named_only_if_what_it_takes_has_changed(
    workshop: Workshop, tool: ModuleType, path: str
) -> None:
    taken = {"reason": "its own", "take": "2024-08-31", "endpoints": ["/balances"]}
    workshop.fixes["versions"]["2023-03-14"] = {"source": {}, "fixes": [taken]}
    workshop.run(SMALL)
    older = small(tool)
    del older["paths"]["/balances"]
    workshop.run(workshop.source(older), version="2023-03-14")
    source = small(tool)
    source["paths"][path]["get"]["parameters"] = [query("page", type="integer")]

    ran = workshop.run(workshop.source(source))

    assert f"+ {path} parameter page" in ran.out
    assert ("make openapi VERSION=2023-03-14" in ran.out) == (path == "/balances")


def test_nothing_is_written_when_a_derived_document_cannot_be_made(
    workshop: Workshop, tool: ModuleType
) -> None:
    fix = {"reason": "trees are renamed", "components": ["ProductCategory"], "merge": {}}
    workshop.fixes["versions"]["2024-04-30"] = {
        "base": "2024-08-31",
        "source": {},
        "fixes": [fix],
    }
    workshop.run(SMALL)
    before = workshop.document(), workshop.document("2024-04-30")
    source = small(tool)
    del source["paths"]["/categories"]

    ran = workshop.run(workshop.source(source))

    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "2024-04-30, which is derived from 2024-08-31: component ProductCategory" in ran.err
    assert (workshop.document(), workshop.document("2024-04-30")) == before


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


# --- the documents in the package ---------------------------------------------------------------


def committed(version: str) -> Json:
    document: Json = json.loads((DOCUMENTS / f"{version}.json").read_text("utf-8"))
    return document


def schemas_within(schema: Json) -> Iterator[Json]:
    """A schema and all those in it, so that a field named `description` is not taken for prose."""
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    for each in inner:
        yield from schemas_within(each)


def answer(operation: Json) -> Json:
    schema: Json = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return schema


def all_schemas(document: Json) -> Iterator[Json]:
    for item in document["paths"].values():
        yield from schemas_within(answer(item["get"]))
        for param in item["get"]["parameters"]:
            yield from schemas_within(param["schema"])
    for component in document["components"]["schemas"].values():
        yield from schemas_within(component)


@pytest.mark.parametrize("version", ENDPOINTS)
def test_a_committed_document_is_whole(version: str) -> None:
    document = committed(version)
    components = document["components"]["schemas"]
    found = list(all_schemas(document))

    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", version)
    assert len(document["servers"]) == 2
    assert document["x-source"]["derived"] == (version in DERIVED)
    assert len(document["paths"]) >= ENDPOINTS[version]
    assert list(document["paths"]) == sorted(document["paths"])
    assert list(components) == sorted(components)
    referred = {schema["$ref"].removeprefix(REF) for schema in found if "$ref" in schema}
    assert referred == set(components)
    for schema in found:
        assert set(schema) <= {
            *("type", "format", "enum", "properties", "required"),
            *("items", "additionalProperties", "anyOf", "$ref", "default"),
        }
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
        assert schema.get("format") in (None, "date-time")
        assert "null" not in schema.get("enum", [])
        # A nullable enum has to have null among its members, or it would not be nullable.
        if "enum" in schema:
            assert (None in schema["enum"]) == ("null" in schema["type"])


@pytest.mark.parametrize("version", ENDPOINTS)
def test_no_object_is_described_twice(version: str) -> None:
    components = committed(version)["components"]["schemas"]
    assert all(component["properties"] for component in components.values())
    shapes = Counter(json.dumps(component) for component in components.values())
    assert [shape for shape, times in shapes.items() if times > 1] == []
    # Objects stand in components only: what is left in place is an answer, or free-form.
    for component in components.values():
        nested = [schema for schema in schemas_within(component) if schema is not component]
        assert not any("properties" in schema for schema in nested)


@pytest.mark.parametrize("version", ENDPOINTS)
def test_every_list_has_records_of_a_named_object(version: str) -> None:
    document = committed(version)
    components = document["components"]["schemas"]
    lists = 0
    for path, item in document["paths"].items():
        names = [param["name"] for param in item["get"]["parameters"]]
        if "cursor" not in names or "aging_report" in path:
            continue
        lists += 1
        schema = answer(item["get"])
        envelope = schema.get("anyOf", [schema])[0]["properties"]
        records = [key for key, value in envelope.items() if value.get("type") == "array"]
        assert len(records) == 1, path
        record = components[envelope[records[0]]["items"]["$ref"].removeprefix(REF)]
        assert record["type"] == "object"
        assert {"id", "last_synced_at", "start_date"} & set(record["properties"]), path
        assert "next_cursor" in envelope, path
    assert lists > 35


@pytest.mark.parametrize("version", ENDPOINTS)
def test_path_parameters_are_those_of_the_path(version: str) -> None:
    for path, item in committed(version)["paths"].items():
        parameters = item["get"]["parameters"]
        in_path = {param["name"] for param in parameters if param["in"] == "path"}
        assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert len({(param["in"], param["name"]) for param in parameters}) == len(parameters)
        assert {param["in"] for param in parameters} <= {"path", "query"}


NULLABLE_ANSWERS = {
    "/customer_groups/{id}": "customer_group",
    "/customers/{id}": "customer",
    "/orders/{id}": "order",
    "/store": "store",
}


def fields(version: str, component: str) -> Json:
    properties: Json = committed(version)["components"]["schemas"][component]["properties"]
    return properties


@pytest.mark.parametrize("version", ENDPOINTS)
def test_known_facts_hold_in_every_version(version: str) -> None:
    document = committed(version)
    components = document["components"]["schemas"]
    assert fields(version, "CommerceTransaction")["gateway_data"] == ANY
    assert fields(version, "Event")["data"] == {}
    line = fields(version, "GeneralLedgerLineItem")
    assert line["items"]["items"] == ref("GeneralLedgerLineItem")
    assert fields(version, "ProductCategory")["children"]["items"] == ref("ProductCategory")
    assert {"AccountingCustomer", "CommerceCustomer", "AdsAccount", "AccountingAccount"} <= {
        *components
    }
    assert list(fields(version, "ConnectionEnvelope")) == ["id", "orgId", "platform"]
    for path, item in document["paths"].items():
        names = [param["name"] for param in item["get"]["parameters"]]
        if path.startswith("/accounting/") and {"cursor", "updated_at_min"} <= set(names):
            flat_attachments = path.endswith("/attachments")
            assert flat_attachments or {"filter", "sort", "last_synced_at_min"} <= set(names), path


@pytest.mark.parametrize(
    ("component", "field", "versions"),
    [
        ("Bill", "currency", "2023-02-07"),
        ("BillPayment", "txn_date", "2023-02-07"),
        ("Expense", "expense_date", "2023-02-07"),
        ("PurchaseOrder", "vendor_name", "2023-02-07"),
        ("CompanyInfo", "base_currency_code", "2023-02-07"),
        ("AccountingAccount", "current_balance", "2023-02-07"),
        ("Vendor", "currency_code", "2023-03-14"),
        ("Vendor", "currency_codes", "2024-04-30 2024-08-31"),
        ("Invoice", "total_discount", "2023-02-07 2023-03-14"),
        ("Invoice", "discount_amount", "2024-04-30 2024-08-31"),
        ("BankFeedAccount", "country", "2023-02-07 2023-03-14"),
        ("CompanyInfo", "platform_id", "2023-02-07 2024-04-30 2024-08-31"),
        ("Bill", "platform_url", "2023-02-07 2023-03-14 2024-04-30 2024-08-31"),
    ],
)
def test_fields_are_in_the_versions_that_have_them(
    component: str, field: str, versions: str
) -> None:
    having = [version for version in sorted(ENDPOINTS) if field in fields(version, component)]
    assert having == versions.split()


@pytest.mark.parametrize("version", ENDPOINTS)
def test_what_may_be_null_is_so_in_every_version(version: str) -> None:
    document = committed(version)
    for path, name in NULLABLE_ANSWERS.items():
        field = answer(document["paths"][path]["get"])["properties"][name]
        assert NULL in field["anyOf"], path
    assert NULL in fields(version, "IncomeStatement")["cost_of_sales"]["anyOf"]


@pytest.mark.parametrize("version", DERIVED)
def test_a_derived_document_is_what_the_fixes_make_of_its_neighbours(
    version: str, tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    code = tool.main(["--version", version, "--check"])
    assert (code, capsys.readouterr().out.count("\n")) == (0, 1)


# --- a published description of full size -------------------------------------------------------


def published(document: Json, *, version: str) -> Json:
    """A document as a generator would publish it: long-winded, and under names of its own.

    Every second time an object is written out instead of referred to, unless it contains itself.
    In OpenAPI 3.0 null is a flag. In 3.1 it is a type, beside a reference too; paths have colons,
    and parameters refer to fields of schemas.
    """
    or_null: Json = {"nullable": True} if version == "3.0" else {"type": ["null"]}
    turns = Counter[str]()
    components = document["components"]["schemas"]
    recursive = {
        name
        for name, component in components.items()
        if any(schema == ref(name) for schema in schemas_within(component))
    }

    def wordy(schema: Json, within: tuple[str, ...]) -> Json:
        prose = {"description": "Some words.", "title": "T", "example": "e"}
        null = NULL in schema.get("anyOf", [])
        variants = [variant for variant in schema.get("anyOf", []) if variant != NULL]
        if variants:
            inner = [wordy(variant, within) for variant in variants]
            if len(inner) == 1 and version == "3.1" and "$ref" in inner[0]:
                return inner[0] | or_null
            if len(inner) == 1:
                return prose | {"allOf": inner} | or_null
            return prose | {"oneOf": inner} | (or_null if null else {})
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REF)
            turns[name] += 1
            if turns[name] % 2 == 0 and name not in recursive:
                return wordy(components[name], (*within, name))
            return prose | ref(f"{name}Dto_2024_08")
        return prose | plain(schema, within)

    def plain(schema: Json, within: tuple[str, ...]) -> Json:
        result = dict(schema)
        if version == "3.0" and isinstance(schema.get("type"), list) and len(schema["type"]) == 2:
            result |= {"type": schema["type"][0], "nullable": True}
        if None in schema.get("enum", []):
            result["enum"] = [*schema["enum"][:-1], "null"]
        if result.pop("format", None):
            result["description"] = "A time in ISO 8601."
        for key in ("items", "additionalProperties"):
            if key in schema:
                result[key] = wordy(schema[key], within)
        if "properties" in schema:
            halves = {name: wordy(value, within) for name, value in schema["properties"].items()}
            first = dict(list(halves.items())[:1])
            rest = {name: value for name, value in halves.items() if name not in first}
            result["properties"] = rest
            if within and len(rest) > 1:
                part = {"type": "object", "properties": first}
                null = result.pop("nullable", False) or isinstance(result["type"], list)
                result["type"] = "object"
                return {"allOf": [part, result]} | (or_null if null else {})
            result["properties"] = halves
        return result

    paths: Json = {}
    of_parameters: Json = {}
    for path, item in reversed(document["paths"].items()):
        operation = dict(item["get"])
        operation["description"] = "What it does."
        content = {"application/json": {"schema": wordy(answer(operation), ())}}
        operation["responses"] = {"200": {"description": "Fine.", "content": content}}
        if version == "3.1":
            path = re.sub(r"{(\w+)}", r":\1", path)
            name = f"{operation['operationId']}Params"
            of_parameters[name] = objects(
                **{param["name"]: param["schema"] for param in operation["parameters"]}
            )
            operation["parameters"] = [
                param | {"schema": ref(f"{name}/properties/{param['name']}")}
                for param in operation["parameters"]
            ]
        paths[path] = {"get": operation, "post": {"responses": {}}}
    generated = {
        f"{name}Dto_2024_08": wordy(component, (name,)) for name, component in components.items()
    }
    schemas = generated | of_parameters
    return {"openapi": f"{version}.0", "paths": paths, "components": {"schemas": schemas}}


@pytest.mark.parametrize("openapi", ["3.0", "3.1"])
@pytest.mark.parametrize("version", ["2024-08-31", "2023-03-14"])
def test_a_published_description_of_full_size_gives_the_document_again(
    version: str,
    openapi: str,
    tool: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "published.json"
    source.write_text(json.dumps(published(committed(version), version=openapi)))
    assert source.stat().st_size > 2 * (DOCUMENTS / f"{version}.json").stat().st_size

    code = tool.main(["--version", version, str(source), "--check"])

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines[1:] if "changed nothing" not in line] == []
    assert code == 0
