"""A published description of full size gives the document in the package again."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from support.openapi import (
    DOCUMENTS,
    NULL,
    REF,
    Json,
    answer,
    committed,
    objects,
    ref,
    schemas_within,
)


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
