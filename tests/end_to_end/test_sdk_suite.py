"""The SDK's own suite over the whole catalog, against the simulator; and what it does not test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.templates import AttributeTestTemplate
from support.in_process import sync
from support.singer import Messages, discovered

from tap_rutter.schema.json_schema import is_any
from tap_rutter.simulator import Simulator, World, standard_world
from tap_rutter.streams import OPTIONAL
from tap_rutter.tap import TapRutter

WORLD = standard_world(scale=0.02)
# The suite takes its configuration when it is collected, before the simulator has an address.
CONFIG: dict[str, Any] = {
    "client_id": WORLD.client_id,
    "client_secret": WORLD.client_secret,
    "optional_streams": list(OPTIONAL),
}

# Columns that are usually null, and what no row of a small world happens to have.
_EMPTY_COLUMNS = (
    "ignore:Fields in transformed catalog but not in records:UserWarning",
    "ignore:No records were available to test:UserWarning",
)

TestTapRutter = pytest.mark.filterwarnings(*_EMPTY_COLUMNS)(
    get_tap_test_class(TapRutter, config=CONFIG, suite_config=SuiteConfig(max_records_limit=None))
)


@pytest.fixture(autouse=True)
def _each_attribute_for_itself(request: pytest.FixtureRequest) -> None:
    """The suite keeps the first attribute's values for all that follow."""
    template = getattr(request.function, "__self__", None)
    if isinstance(template, AttributeTestTemplate):
        vars(template).pop("non_null_attribute_values", None)


@pytest.fixture(autouse=True)
def _one_type_or_any(request: pytest.FixtureRequest) -> None:
    """The suite asks of a column that may hold anything that it holds each of the types."""
    params = getattr(request.node, "callspec", None) and request.node.callspec.params
    if params and "attribute_name" in params:
        schema = params["stream"].schema["properties"].get(params["attribute_name"], {})
        if is_any(schema):
            pytest.skip("the column may hold anything")


@pytest.fixture(scope="module", autouse=True)
def rutter() -> Iterator[Simulator]:
    with Simulator(WORLD) as simulator:
        CONFIG["api_url"] = simulator.api_url
        yield simulator


@pytest.fixture(scope="module")
def messages(rutter: Simulator) -> Messages:
    return sync(rutter, optional_streams=list(OPTIONAL))


CATALOG = {entry["tap_stream_id"]: entry for entry in discovered(*OPTIONAL)["streams"]}


@pytest.mark.parametrize("stream", CATALOG)
def test_keys_are_whole_and_no_two_records_share_one(messages: Messages, stream: str) -> None:
    """The suite's own test compares generators, which are never equal."""
    key = CATALOG[stream]["key_properties"]
    keys = [tuple(record[column] for column in key) for record in messages.records[stream]]
    assert keys
    assert all(part not in (None, "") for parts in keys for part in parts)
    assert [parts for parts, count in Counter(keys).items() if count > 1] == []


@pytest.mark.parametrize("stream", CATALOG)
def test_the_connection_comes_first_in_every_record(messages: Messages, stream: str) -> None:
    known = {connection.id for connection in WORLD.connections.values()}
    for record in messages.records[stream]:
        if stream == "connections":
            assert record["id"] in known
            assert "connection_id" not in record
        elif stream == "sync_report":
            assert record["connection_id"] in known | {"*"}
        else:
            assert next(iter(record)) == "connection_id"
            assert record["connection_id"] in known


def test_a_row_of_two_connections_is_two_records() -> None:
    """The id alone is not a key: two connections may have the same id."""
    world = World()
    ledgers = [world.add_connection("QUICKBOOKS") for _ in range(2)]
    for ledger in ledgers:
        world.create(ledger.id, "/accounting/vendors", id="same")
    with Simulator(world) as simulator:
        records = sync(simulator, "accounting_vendors").records["accounting_vendors"]
    assert {(record["connection_id"], record["id"]) for record in records} == {
        (ledger.id, "same") for ledger in ledgers
    }


def test_schemas_come_before_records_and_states_after_them(messages: Messages) -> None:
    declared: set[str] = set()
    for line in messages.lines:
        if line["type"] == "SCHEMA":
            declared.add(line["stream"])
        elif line["type"] == "RECORD":
            assert line["stream"] in declared
    assert {line["type"] for line in messages.lines} == {"SCHEMA", "RECORD", "STATE"}
    assert messages.lines[-1]["type"] == "STATE"
