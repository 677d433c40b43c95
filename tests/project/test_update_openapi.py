"""The API documents that a script makes from published descriptions, and from each other."""

from __future__ import annotations

import json
from types import ModuleType

import pytest
from support.openapi import (
    REDUCED,
    REF,
    SMALL,
    STRING,
    TOKEN,
    Json,
    Workshop,
    get,
    objects,
    query,
    small,
)


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
