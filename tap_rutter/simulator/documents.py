"""The API of one version, read from its API document.

It says which endpoints exist, which parameters each takes and what its answers look like. This
module uses no code of the tap, so that server and client do not share a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

DOCUMENTS = Path(__file__).resolve().parent.parent / "openapi"

# Properties beside the data in most answers.
ENVELOPE = frozenset({"next_cursor", "connection"})


@dataclass(frozen=True)
class Parameter:
    """A query parameter that an endpoint takes."""

    name: str
    required: bool
    type: str
    enum: tuple[str, ...]
    default: Any = None


@dataclass(frozen=True)
class Endpoint:
    """A GET endpoint of one API version."""

    path: str
    parameters: dict[str, Parameter]
    response: Schema
    key: str
    """The property of the answer that holds the data; empty if there is none."""
    row: Schema = field(repr=False)
    """The schema of one row, or of the object if the answer holds only one."""
    paged: bool
    is_list: bool
    cursor_required: bool
    """Whether the last page must have ``next_cursor`` (then null), or may lack it."""
    has_connection: bool
    path_values: dict[str, tuple[str, ...]]
    """The allowed values of parameters in the path, if they are listed."""

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))

    @property
    def columns(self) -> dict[str, Schema]:
        properties: dict[str, Schema] = self.row.get("properties", {})
        return properties

    @property
    def family(self) -> str:
        """``accounting``, ``ads``, ``banking``, ``hris``, ``commerce``, or ``account``."""
        first = self.segments[0]
        if first in {"accounting", "ads", "banking", "hris"}:
            return first
        if first in {"connections", "events", "jobs", "supplier_enablement", "configs"}:
            return "account"
        return "commerce"


class UnknownVersion(ValueError):
    """No document of this API version exists."""


@dataclass(frozen=True)
class Document:
    """All GET endpoints of one API version."""

    version: str
    endpoints: dict[str, Endpoint]
    shared: dict[str, Schema] = field(repr=False)
    """The components, by the reference that points at each."""

    def match(self, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        """The endpoint that serves this path, with the values in the path; None if unknown."""
        found = self.endpoints.get(path)
        if found is not None and "{" not in path:
            return found, {}
        asked = path.strip("/").split("/")
        fitting = [
            (endpoint, values)
            for endpoint in self.endpoints.values()
            if (values := _values(endpoint.segments, asked)) is not None
        ]
        # The endpoint with the fewest variable parts wins. If two are alike, a fixed last part
        # wins: /accounting/{type}/custom_fields before /accounting/bills/{id}.
        return min(
            fitting, key=lambda pair: (len(pair[1]), pair[0].path.endswith("}")), default=None
        )

    def lists(self) -> Iterator[Endpoint]:
        """The endpoints with pages of rows and without an id in their path."""
        return (
            endpoint
            for endpoint in self.endpoints.values()
            if endpoint.paged and "{" not in endpoint.path
        )

    def resolve(self, schema: Schema) -> Schema:
        """The schema, or the component that it refers to."""
        return _resolve(schema, self.shared)


def available_versions() -> list[str]:
    return sorted(path.stem for path in DOCUMENTS.glob("????-??-??.json"))


@cache
def load_document(version: str) -> Document:
    """Read the document of one API version; raises UnknownVersion if it does not exist."""
    file = DOCUMENTS / f"{version}.json"
    if version not in available_versions():
        known = ", ".join(available_versions()) or "none"
        raise UnknownVersion(f"no API document for version {version!r}; known: {known}")
    raw = json.loads(file.read_text(encoding="utf-8"))
    shared: dict[str, Schema] = {
        f"#/components/{section}/{name}": component
        for section, members in raw.get("components", {}).items()
        for name, component in members.items()
    }
    endpoints = {
        path: _endpoint(path, operations["get"], shared)
        for path, operations in raw["paths"].items()
        if "get" in operations
    }
    return Document(version=version, endpoints=endpoints, shared=shared)


def _values(template: tuple[str, ...], asked: list[str]) -> dict[str, str] | None:
    if len(template) != len(asked):
        return None
    values: dict[str, str] = {}
    for expected, given in zip(template, asked, strict=True):
        if expected.startswith("{"):
            values[expected.strip("{}")] = given
        elif expected != given:
            return None
    return values


def _resolve(schema: Schema, shared: dict[str, Schema]) -> Schema:
    while "$ref" in schema:
        schema = shared[schema["$ref"]]
    if "allOf" in schema:
        merged: Schema = {"type": "object", "properties": {}, "required": []}
        for part in schema["allOf"]:
            resolved = _resolve(part, shared)
            merged["properties"] |= resolved.get("properties", {})
            merged["required"] += resolved.get("required", [])
        return merged
    return schema


def _branches(schema: Schema) -> list[Schema]:
    branches: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    return branches


def _endpoint(path: str, operation: Schema, shared: dict[str, Schema]) -> Endpoint:
    declared = [_resolve(raw, shared) for raw in operation.get("parameters", [])]
    parameters = {raw["name"]: _parameter(raw) for raw in declared if raw["in"] == "query"}
    in_path = [_parameter(raw) for raw in declared if raw["in"] == "path"]
    content = operation.get("responses", {}).get("200", {}).get("content", {})
    response = _resolve(content.get("application/json", {}).get("schema", {}), shared)
    # A statement may answer with a job instead of data: this takes the branch with the data.
    for branch in _branches(response):
        resolved = _resolve(branch, shared)
        if "async_response" not in resolved.get("properties", {}):
            response = resolved
    properties: dict[str, Schema] = response.get("properties", {})
    data = [name for name in properties if name not in ENVELOPE]
    arrays = [n for n in data if _resolve(properties[n], shared).get("type") == "array"]
    key = (arrays or data or [""])[0]
    value = _resolve(properties[key], shared) if key else {}
    # The balance is an object, or an array of objects.
    value = next((_resolve(branch, shared) for branch in _branches(value)), value)
    is_list = bool(key) and value.get("type") == "array"
    return Endpoint(
        path=path,
        parameters=parameters,
        response=response,
        key=key,
        row=_resolve(value["items"], shared) if is_list else value,
        paged=is_list and ("next_cursor" in properties or "cursor" in parameters),
        is_list=is_list,
        cursor_required="next_cursor" in response.get("required", []),
        has_connection="connection" in properties,
        path_values={parameter.name: parameter.enum for parameter in in_path if parameter.enum},
    )


def _parameter(raw: Schema) -> Parameter:
    schema: Schema = raw.get("schema", {})
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "string")
    return Parameter(
        name=raw["name"],
        required=bool(raw.get("required")),
        type=kind,
        enum=tuple(str(value) for value in schema.get("enum", ()) if value is not None),
        default=schema.get("default"),
    )
