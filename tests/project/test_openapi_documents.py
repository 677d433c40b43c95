"""The API documents in the package."""

from __future__ import annotations

import json
from collections import Counter
from types import ModuleType

import pytest
from support.openapi import NULL, REF, Json, all_schemas, answer, committed, ref, schemas_within

from tap_rutter.schema.json_schema import ANY

# How many there were when this was written; none of them goes.
ENDPOINTS = {"2024-08-31": 136, "2024-04-30": 140, "2023-03-14": 103, "2023-02-07": 103}
DERIVED = ("2024-04-30", "2023-02-07")


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
