"""The script that makes the API documents, with places of its own; parts of descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "tap_rutter" / "openapi"
SMALL = Path(__file__).resolve().parents[1] / "data" / "openapi_small.yaml"
REDUCED = SMALL.with_suffix(".json")
REF = "#/components/schemas/"

Json = dict[str, Any]


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
