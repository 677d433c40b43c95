"""Example bodies, one for each endpoint: they pass, and no field of theirs is lost.

An example holds every field that the API's description has, at every depth. Its records are its
rows with their connection, unless it says otherwise.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.in_process import sync
from support.singer import Json, Messages
from support.versions import paths, streams_of, values

from tap_rutter.schema.document import document
from tap_rutter.schema.foreign_keys import KINDS, target_of, target_of_kind
from tap_rutter.simulator import Simulator, World
from tap_rutter.streams import OPTIONAL
from tap_rutter.versions import LATEST

FOLDER = Path(__file__).resolve().parents[1] / "data" / "examples"
NAMES = sorted(file.stem for file in FOLDER.glob("*.json"))
UNKNOWN = '{"error_type":"INVALID_REQUEST","error_code":"NOT_FOUND","error_message":"not here"}'


@cache
def example(name: str) -> Json:
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    found: Json = json.loads(text, parse_float=Decimal)
    return found


def of_version(version: str) -> list[str]:
    return [name for name in NAMES if example(name)["api_version"] == version]


def component_of(name: str) -> str:
    """Name of the described rows; empty where the tap makes the rows itself."""
    return streams_of(example(name)["api_version"])[name].component


def rows_of(name: str) -> list[Json]:
    """The rows of an example's body."""
    body = example(name)["body"][streams_of(example(name)["api_version"])[name].records_key]
    return body if isinstance(body, list) else [body]


@cache
def read(version: str) -> Messages:
    """Everything that the tap says where each endpoint answers with its example."""
    examples = [example(name) for name in of_version(version)]
    if version != LATEST:
        examples += [example(name) for name in ("connections", "connection_statuses")]
    optional = [name for name in OPTIONAL if name in streams_of(version)]
    with Simulator(World(3, version=version)) as simulator:

        def answer(path: str, status: int, body: str, **conditions: Any) -> None:
            simulator.faults.add(
                "respond", path=path, status=status, body=body, times=None, **conditions
            )

        # Refunds are a list of their own.
        refunds = '{"expenses":[],"next_cursor":null}'
        answer("/accounting/expenses", 200, refunds, params={"expense_type": "refund"})
        for entry in examples:
            bodies = {entry["endpoint"]: entry["body"], **entry.get("beside", {})}
            for endpoint, body in bodies.items():
                answer(_asked(endpoint, body), 200, json.dumps(body, default=float))
        answer("*", 404, UNKNOWN)
        return sync(simulator, api_version=version, optional_streams=optional)


def _asked(endpoint: str, body: Json) -> str:
    """The path that the example answers, as a pattern."""
    if "{metricName}" in endpoint:
        metric = next(name for name in body if name not in {"checkpoint", "connection"})
        return endpoint.replace("{metricName}", metric)
    return endpoint.replace("{entityType}", "bills").replace("{id}", "*")


def records(name: str) -> list[Json]:
    """A stream's records, each once: some lists are asked for more than once."""
    found = read(example(name)["api_version"]).records[name]
    return [row for index, row in enumerate(found) if row not in found[:index]]


def test_there_is_an_example_for_every_endpoint() -> None:
    assert set(of_version(LATEST)) == set(streams_of(LATEST))
    older = set(streams_of("2023-03-14")) - set(streams_of(LATEST))
    assert set(of_version("2023-03-14")) == older
    for name in NAMES:
        assert example(name)["endpoint"] == streams_of(example(name)["api_version"])[name].path


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_the_shape_of_the_description(name: str) -> None:
    pinned = document(example(name)["api_version"])
    bodies = {example(name)["endpoint"]: example(name)["body"], **example(name).get("beside", {})}
    for endpoint, body in bodies.items():
        answer = pinned.paths[endpoint]["get"]["responses"]["200"]
        schema = answer["content"]["application/json"]["schema"]
        whole = {**schema, "components": {"schemas": pinned.components}}
        errors = list(Draft202012Validator(whole).iter_errors(body))
        assert errors == []


@pytest.mark.parametrize("name", [name for name in NAMES if component_of(name)])
def test_an_example_has_every_field_of_the_description(name: str) -> None:
    version, component = example(name)["api_version"], component_of(name)
    shown = {path for row in rows_of(name) for path, _, _ in values(row)}
    # Free-form objects have no fields that could be missing; lines of statements hold lines.
    node = document(version).components[component]
    for path in paths(version, node, seen=(component,)):
        if not path.endswith("[]") and not path.endswith(".prevLineItem"):
            assert any(f"{found}.".startswith((f"{path}.", f"{path}[")) for found in shown), path
    assert all(value is not None for row in rows_of(name) for _, value, _ in values(row))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_passes_and_no_field_is_lost(name: str) -> None:
    connection = example("connections")["body"]["connections"][0]["id"]
    expected = example(name).get("records") or rows_of(name)
    if name != "connections":
        expected = [{"connection_id": connection, **row} for row in expected]
    assert records(name) == expected
    assert next(iter(records(name)[0])) == ("id" if name == "connections" else "connection_id")


@pytest.mark.parametrize(
    "name", [name for name in NAMES if component_of(name) and "records" in example(name)]
)
def test_of_rows_with_something_added_only_links_to_files_are_left_out(name: str) -> None:
    left = {field for row in example(name)["records"] for field in row}
    lost = {field for row in rows_of(name) for field in row} - left
    assert lost == ({"file_url"} if name.endswith("_attachments") else set())


def test_examples_refer_to_each_other() -> None:
    ids = {name: {row["id"] for row in records(name) if "id" in row} for name in NAMES}
    followed = 0
    for name in NAMES:
        for row in records(name):
            for path, value, beside in values(row):
                target = target_of(name, path)
                if (name, path) in KINDS:
                    target = target_of_kind(beside[KINDS[name, path]])
                if target is not None and value is not None:
                    assert value in ids[target], f"{name} {path}"
                    followed += 1
    assert followed > 200


def test_no_secret_of_the_examples_leaves() -> None:
    told = json.dumps(read(LATEST).lines, default=str)
    (connection,) = example("connections")["body"]["connections"]
    for secret in (connection["access_token"], connection["link_url"], "signature="):
        assert secret not in told
