"""Where the tap uses private parts of the SDK: a release that changes them fails here first.

Public hooks are the SDK's promise. These are not: names that begin with an underscore, and who
calls whom. Each is used because no public hook serves; the code says why at the place.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from singer_sdk import RESTStream, Stream, Tap
from singer_sdk.authenticators import BasicAuthenticator
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.mapper import PluginMapper
from singer_sdk.pagination import BaseAPIPaginator
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib.encoding import GenericSingerWriter
from singer_sdk.streams._state import StreamStateManager
from support.in_process import REPORT, sync
from support.singer import Json, Messages, catalog_of, discovered, environment, settings

from tap_rutter.api.paging import CursorPaginator
from tap_rutter.config import read_environment
from tap_rutter.simulator import Simulator, World
from tap_rutter.streams.base import RutterStream
from tap_rutter.sync.state import PartitionStateManager
from tap_rutter.sync.writer import BlockWriter, GivenState
from tap_rutter.tap import TapRutter

STREAM = "accounting_vendors"


@pytest.fixture
def world() -> World:
    world = World()
    world.add_connection("QUICKBOOKS", counts={"/accounting/vendors": 4})
    return world


# ---- names


@pytest.mark.parametrize(
    ("ours", "theirs", "private"),
    [
        # The SDK's loop per stream would end the run at the first error, and nothing public leads
        # between a stream's schema and its SCHEMA message, or lets that wait for a first row.
        (
            RutterStream,
            Stream,
            {"_sync_records", "_generate_schema_messages", "_write_schema_message"},
        ),
        # The SDK's check of the settings would quote them, secrets too.
        (TapRutter, Tap, {"_validate_config"}),
        (PartitionStateManager, StreamStateManager, set()),
        (CursorPaginator, BaseAPIPaginator, set()),
        (BlockWriter, GenericSingerWriter, set()),
    ],
)
def test_what_is_overridden_exists_and_takes_the_same_arguments(
    ours: type, theirs: type, private: set[str]
) -> None:
    functions = {name: f for name, f in vars(ours).items() if inspect.isfunction(f)}
    overridden = {name for name in functions if hasattr(theirs, name)} - {"__init__"}
    assert {name for name in overridden if name.startswith("_")} == private
    for name in overridden:
        # Every argument that the SDK passes has a place in ours.
        wanted = inspect.signature(getattr(theirs, name)).parameters
        given = inspect.signature(functions[name]).parameters
        takes_any = {entry.kind for entry in given.values()} >= {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }
        assert takes_any or wanted.keys() <= given.keys(), name


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        # Records that go through stream maps (sync/maps.py).
        (Stream, "_generate_record_messages"),
        # The schema of the report of a run that was cut short.
        (Stream, "_write_schema_message"),
        # How the SDK's own test of a tap asks for a few records only.
        (Stream, "ABORT_AT_RECORD_COUNT"),
        (Tap, "append_builtin_config"),
        # What Tap.setup_mapper calls, which the tap does itself with the maps that it has settled.
        (PluginMapper, "register_raw_streams_from_catalog"),
    ],
)
def test_what_is_called_exists(owner: type, name: str) -> None:
    assert hasattr(owner, name)


def test_the_state_that_was_given_is_written_once_and_not_copied(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    partition = {"context": {"connection_id": "gone"}, "replication_key_value": None}
    given = {"bookmarks": {"accounting_vendors": {"partitions": [partition]}}}
    with Simulator(world) as simulator:
        tap = TapRutter(config=settings(simulator), state=json.loads(json.dumps(given)))
        try:
            tap.sync_all()
        finally:
            tap.run.close()
    assert isinstance(tap.state_writer, GivenState)
    assert tap.state_writer._last_emitted_state is None
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert messages[0] == {"type": "STATE", "value": given}
    assert [message["type"] for message in messages].count("STATE") == 2


def test_variables_are_read_by_the_sdks_own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    # A private module: the public way also looks for a file .env, which would hide variables.
    wanted = inspect.signature(parse_environment_config).parameters
    assert list(wanted) == ["config_schema", "prefix", "dotenv_path"]
    monkeypatch.setenv("TAP_RUTTER_PAGE_SIZE", "5")
    assert read_environment(TapRutter.config_jsonschema) == {"page_size": 5}


def test_the_mapper_is_made_as_the_sdk_makes_it() -> None:
    made = [inspect.getsource(part.setup_mapper) for part in (PluginBase, Tap)]
    assert "PluginMapper(\n            plugin_config=dict(self.config)," in made[0]
    assert "self.mapper.register_raw_streams_from_catalog(self.catalog)" in made[1]


def test_a_stream_keeps_what_the_tap_sets_on_it() -> None:
    stream = TapRutter(validate_config=False).streams[STREAM]
    for name in ("_input_schema",):
        assert name in vars(stream), name


# ---- the SDK's own command


@pytest.mark.parametrize(("status", "code"), [(200, 0), (400, 1)])
def test_the_sdks_own_command_runs_the_tap(
    world: World, tmp_path: Path, status: int, code: int
) -> None:
    config = tmp_path / "config.json"
    with Simulator(world) as simulator:
        if status != 200:
            simulator.faults.add("respond", path="/accounting/vendors", status=status, times=99)
        config.write_text(json.dumps(settings(simulator)))
        script = "from tap_rutter.tap import TapRutter; TapRutter.cli()"
        ended = subprocess.run(
            [sys.executable, "-c", script, "--config", str(config)],
            capture_output=True,
            env=environment(),
        )
        secret = simulator.client_secret
    assert ended.returncode == code
    assert len(Messages.parse(ended.stdout).records[STREAM]) == (0 if code else 4)
    assert secret.encode() not in ended.stdout + ended.stderr


# ---- who calls whom


def test_the_sdks_loop_comes_to_our_emitter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def emit(self: object, stream: RutterStream, **_: Any) -> None:
        del self
        called.append(stream.name)

    monkeypatch.setattr("tap_rutter.sync.run.Run.emit", emit)
    with Simulator(world) as simulator:
        sync(simulator, STREAM, "commerce_orders")
    assert called == [STREAM, "commerce_orders", REPORT]


def test_the_sdk_moves_no_bookmark_and_makes_no_entry(world: World) -> None:
    with Simulator(world) as simulator:
        tap = TapRutter(config=settings(simulator))
        try:
            stream = tap.streams[STREAM]
            context = {"connection_id": "one"}
            stream.get_starting_timestamp(context)
            stream.get_context_state(context)
            stream._increment_stream_state({"last_synced_at": "2026-01-01"}, context=context)
            stream.finalize_state_progress_markers()
            assert tap.state == {}
            messages = sync(simulator, STREAM)
        finally:
            tap.run.close()
    assert set(messages.state) == {"bookmarks"}
    assert set(messages.state["bookmarks"]) == {STREAM, "connections"}
    (partition,) = messages.state["bookmarks"][STREAM]["partitions"]
    assert set(partition) == {"context", "replication_key", "replication_key_value"}


def test_no_activate_version_is_ever_written(world: World) -> None:
    with Simulator(world) as simulator:
        messages = sync(simulator)
    assert {line["type"] for line in messages.lines} == {"SCHEMA", "RECORD", "STATE"}


# ---- the paginator


class Vendors(RESTStream[Any]):
    """A stream as users of the SDK write one, with this tap's paginator."""

    name = "vendors"
    path = "/accounting/vendors"
    records_jsonpath = "$.vendors[*]"
    schema: ClassVar[Json] = {"properties": {"id": {"type": "string"}}}

    @property
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    def authenticator(self) -> BasicAuthenticator:
        return BasicAuthenticator(
            username=self.config["client_id"], password=self.config["client_secret"]
        )

    @property
    def http_headers(self) -> dict[str, str]:
        return {"X-Rutter-Version": "2024-08-31"}

    def get_new_paginator(self) -> CursorPaginator:
        return CursorPaginator()

    def get_url_params(self, context: Any, next_page_token: str | None) -> dict[str, Any]:
        del context
        params = {"access_token": self.config["access_token"], "limit": 1}
        return params if next_page_token is None else {**params, "cursor": next_page_token}


class VendorsTap(Tap):
    name = "tap-vendors"
    config_jsonschema: ClassVar[Json] = {"properties": {}}

    def discover_streams(self) -> list[Vendors]:
        return [Vendors(self)]


def test_the_paginator_serves_in_any_rest_stream(world: World) -> None:
    (connection,) = world.connections.values()
    with Simulator(world) as simulator:
        given = settings(simulator) | {"access_token": connection.access_token}
        records = cast("list[Json]", list(Vendors(VendorsTap(config=given)).get_records(None)))
    assert len(simulator.requests.to("/accounting/vendors")) == 4
    rows = world.rows(connection.id, "/accounting/vendors")
    assert {record["id"] for record in records} == {row["id"] for row in rows}
    assert len(records) == len(rows) == 4


# ---- schemas and records on their way through the SDK


def _schema(world: World, catalog: Json | None = None, **more: Any) -> tuple[Json, list[Json]]:
    """The SCHEMA's properties and the records of the vendors."""
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM, catalog=catalog, **more)
    return messages.schemas[STREAM]["schema"]["properties"], messages.records[STREAM]


def test_a_schema_message_declares_nested_objects_open(world: World) -> None:
    with Simulator(world) as simulator:
        messages = sync(simulator, "commerce_orders")
    address = messages.schemas["commerce_orders"]["schema"]["properties"]["billing_address"]
    assert address == {"type": ["object", "null"], "additionalProperties": True}
    entry = next(e for e in discovered()["streams"] if e["tap_stream_id"] == "commerce_orders")
    assert "city" in entry["schema"]["properties"]["billing_address"]["properties"]


def test_a_deselected_field_is_in_neither_schema_nor_record(world: World) -> None:
    catalog = catalog_of(STREAM)
    entry = next(e for e in catalog["streams"] if e["tap_stream_id"] == STREAM)
    for part in entry["metadata"]:
        if part["breadcrumb"] == ["properties", "website"]:
            part["metadata"]["selected"] = False
    properties, records = _schema(world, catalog)
    assert "website" not in properties
    assert "vendor_name" in properties
    assert len(records) == 4
    assert all("website" not in record and "vendor_name" in record for record in records)


def test_flattening_sees_the_nested_fields() -> None:
    world = World()
    shop = world.add_connection("SHOPIFY", counts={"/orders": 3})
    with Simulator(world) as simulator:
        messages = sync(
            simulator, "commerce_orders", flattening_enabled=True, flattening_max_depth=2
        )
    properties = messages.schemas["commerce_orders"]["schema"]["properties"]
    assert "billing_address__city" in properties
    assert "billing_address" not in properties
    rows = {row["id"]: row for row in world.rows(shop.id, "/orders")}
    records = messages.records["commerce_orders"]
    assert len(records) == 3
    for record in records:
        address = rows[record["id"]]["billing_address"] or {}
        assert record.get("billing_address__city") == address.get("city")


def test_a_stream_map_makes_and_removes_columns(world: World) -> None:
    maps = {STREAM: {"shouted": "vendor_name.upper()", "website": None}}
    properties, records = _schema(world, stream_maps=maps)
    assert "shouted" in properties
    assert "website" not in properties
    assert all(record["shouted"] == record["vendor_name"].upper() for record in records)
