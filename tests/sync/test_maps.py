"""Stream maps and flattening: what they remove is not read, and what fails says where, once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.in_process import Run, run_here, sync
from support.singer import Ended, Json, arguments, catalog_of, discovered, settings

from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.tap import TapRutter

pytestmark = pytest.mark.any_workers

BILLS, VENDORS = "accounting_bills", "accounting_vendors"
PATHS = {BILLS: "/accounting/bills", VENDORS: "/accounting/vendors"}
STREAMS = [entry["tap_stream_id"] for entry in discovered()["streams"]]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = World()
    for _ in range(3):
        world.add_connection("QUICKBOOKS", counts=dict.fromkeys(PATHS.values(), 6))
    with Simulator(world) as running:
        yield running


@pytest.fixture
def ledgers(simulator: Simulator) -> list[Connection]:
    return list(simulator.world.connections.values())


def asked(simulator: Simulator) -> set[str]:
    return {entry.path for entry in simulator.requests}


# ---- what nothing leaves of is not read

REMOVING: list[Json] = [
    {BILLS: None},
    {BILLS: "__NULL__"},
    {"accounting_b*": None},
    {"__else__": None, VENDORS: {}, "sync_report": {}},
    {BILLS: {"__filter__": "False"}},
    {BILLS: None, "none_of_them": {"__source__": BILLS, "__filter__": "0"}},
]


@pytest.mark.parametrize("maps", REMOVING, ids=json.dumps)
def test_a_stream_that_maps_remove_is_not_read(simulator: Simulator, maps: Json) -> None:
    run = sync(simulator, BILLS, VENDORS, stream_maps=maps)
    assert run.code == 0, run.log
    assert PATHS[BILLS] not in asked(simulator)
    assert len(run.records[VENDORS]) == 18
    assert {row["stream"] for row in run.reports} & {BILLS} == set()
    assert BILLS not in run.state["bookmarks"]
    # The map goes: every row comes.
    again = sync(simulator, BILLS, VENDORS, state=run.state)
    assert len(again.records[BILLS]) == 18


def test_an_earlier_bookmark_of_a_removed_stream_stays(simulator: Simulator) -> None:
    first = sync(simulator, BILLS)
    second = sync(simulator, BILLS, state=first.state, stream_maps={BILLS: None})
    assert second.state["bookmarks"][BILLS] == first.state["bookmarks"][BILLS]


def test_a_removed_stream_with_a_copy_is_read(simulator: Simulator) -> None:
    maps = {BILLS: None, "bills": {"__source__": BILLS}}
    run = sync(simulator, BILLS, stream_maps=maps)
    assert run.code == 0, run.log
    assert (len(run.records["bills"]), run.records[BILLS]) == (18, [])


def test_nothing_left_to_read_is_a_whole_run(simulator: Simulator) -> None:
    run = sync(simulator, BILLS, stream_maps={"__else__": None})
    assert run.code == 0, run.log
    assert [line["type"] for line in run.lines] == ["STATE"]


# ---- what cannot be used is refused before any request


def refused(simulator: Simulator, maps: Any) -> str:
    with arguments(settings(simulator, stream_maps=maps)) as files:
        ended: Ended = run_here(*files)
    assert (ended.code, ended.stdout) == (2, ""), ended.stderr
    assert list(simulator.requests) == []
    (said,) = ended.errors
    return said


UNUSABLE: list[tuple[Json, str]] = [
    ({"accounting_bilsl": {"memo": "md5(memo)"}}, "'accounting_bilsl', which is not a stream."),
    ({"accounting_bilsl": None}, "Did you mean 'accounting_bills'?"),
    ({"bils*": None}, "'bils*', which is not a stream."),
    ({"mine": {"__source__": "acounting_bills"}}, "'__source__' of 'mine' for 'acounting_bills'"),
    ({"mine": {"__source__": 5}}, "'__source__' of 'mine' must be the name of a stream"),
    ({BILLS: "md5"}, f"the map for '{BILLS}' must be an object or null"),
    ({BILLS: {"id": None}}, "removes 'id', which is part of the key"),
    ({"*": {"connection_id": None}}, "removes 'connection_id', which is part of the key"),
    ({BILLS: {"memo": 5}}, f"'memo' of '{BILLS}' must be an expression (text) or null"),
    ({BILLS: {"__filter__": False}}, f"'__filter__' of '{BILLS}' must be an expression"),
    ({BILLS: {"memo": "nosuch("}}, f"the expression for 'memo' of '{BILLS}' cannot be read"),
    ({BILLS: {"memo": "a = 1"}}, f"the expression for 'memo' of '{BILLS}' cannot be read"),
    ({BILLS: {"memo": ""}}, f"the expression for 'memo' of '{BILLS}' cannot be read"),
    ({BILLS: {"__else__": None, "memo": "memo"}}, "Add 'connection_id': 'connection_id'"),
    ({BILLS: {"__else__": "all"}}, f"'__else__' of '{BILLS}' must be null"),
    ({BILLS: {"__key_properties__": "id"}}, "must be an array of columns, or null"),
    ({BILLS: {"__alias__": 5}}, f"'__alias__' of '{BILLS}' must be a name"),
    ({BILLS: {"__key_properties__": ["no_such"]}}, "'stream_maps'"),
    ({"__else__": "all"}, "'__else__' must be null"),
    ({"__filter__": "memo"}, "'__filter__' is beside the streams"),
]


@pytest.mark.parametrize(("maps", "names"), UNUSABLE, ids=lambda value: json.dumps(value))
def test_a_map_that_cannot_be_used_is_named(simulator: Simulator, maps: Json, names: str) -> None:
    said = refused(simulator, maps)
    assert names in said
    assert "nosuch" not in said
    assert len(said) < 400


USABLE: list[Json] = [
    {"*": {}},
    {"accounting_[bv]*": {"memo": None}},
    {"commerce_metrics": {}},  # optional, and not asked for
    {"bills": {"__source__": "accounting_b*"}},
    {BILLS: {"__alias__": "bills"}, "__else__": "__NULL__"},
    {BILLS: {"id": None, "__key_properties__": ["connection_id"]}},
    {BILLS: {"__key_properties__": None, "id": None, "connection_id": None}},
    {
        BILLS: {
            "__else__": None,
            "connection_id": "connection_id",
            "id": "id",
            "memo": "memo",
            "__filter__": None,
        }
    },
    {},
]


@pytest.mark.parametrize("maps", USABLE, ids=json.dumps)
def test_valid_forms_of_maps_are_taken(simulator: Simulator, maps: Json) -> None:
    run = sync(simulator, BILLS, VENDORS, stream_maps=maps)
    assert run.code == 0, run.log
    assert "WARNING" not in run.log


@pytest.mark.parametrize("maps", [{VENDORS: {"memo": None}}, {VENDORS: None}, {"*": {}}], ids=str)
def test_a_map_of_a_stream_that_is_not_selected_changes_nothing(
    simulator: Simulator, maps: Json
) -> None:
    catalog = catalog_of(BILLS, VENDORS)
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            part["metadata"]["selected"] = entry["tap_stream_id"] == BILLS
    with arguments(settings(simulator, stream_maps=maps), catalog=catalog) as files:
        ended = run_here(*files)
    assert ended.code == 0, ended.stderr
    assert len(ended.messages.records[BILLS]) == 18
    assert PATHS[VENDORS] not in asked(simulator)


def test_maps_of_every_stream_of_every_version_are_taken() -> None:
    maps: Json = {name: {} for name in STREAMS}
    TapRutter(config={"api_version": "2023-02-07", "stream_maps": maps}, validate_config=False)


def test_a_column_that_is_removed_and_not_there_is_told_of(simulator: Simulator) -> None:
    run = sync(simulator, BILLS, VENDORS, stream_maps={VENDORS: {"vendor_nmae": None}})
    assert run.code == 0, run.log
    lines = [line for line in run.log.splitlines() if "'vendor_nmae'" in line]
    assert [line.partition(" ")[0] for line in lines] == ["WARNING", "INFO"]  # first, and last
    assert all("Did you mean 'vendor_name'?" in line for line in lines)


def test_a_map_that_another_one_replaces_is_told_of(simulator: Simulator) -> None:
    maps = {VENDORS: {"vendor_name": "md5(vendor_name)"}, "accounting_v*": {}}
    run = sync(simulator, VENDORS, stream_maps=maps)
    assert f"several maps for {VENDORS} ({VENDORS}, accounting_v*): only the last" in run.log


# ---- declared fields are there


def test_the_usual_map_takes_rows_that_lack_the_field(
    simulator: Simulator, ledgers: list[Connection]
) -> None:
    rows = [
        {"id": "1", "vendor_name": "one", "last_synced_at": "2026-01-01T00:00:00.000Z"},
        {"id": "2", "last_synced_at": "2026-01-01T00:00:00.000Z"},
        {"id": "3", "vendor_name": None, "last_synced_at": "2026-01-01T00:00:00.000Z"},
    ]
    simulator.faults.add(
        "respond",
        path=PATHS[VENDORS],
        status=200,
        body=json.dumps({"vendors": rows}),
        times=None,
    )
    maps = {VENDORS: {"vendor_name": "md5(vendor_name) if vendor_name else None"}}
    run = sync(simulator, VENDORS, stream_maps=maps)
    assert run.code == 0, run.log
    made = {row["id"]: row["vendor_name"] for row in run.records[VENDORS]}
    assert made == {"1": hashlib.md5(b"one").hexdigest(), "2": None, "3": None}
    declared = run.schemas[VENDORS]["schema"]["properties"]
    assert all(row.keys() == declared.keys() for row in run.records[VENDORS])
    assert len(run.records[VENDORS]) == 3 * len(ledgers)


ORDERS = "commerce_orders"


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("address", ["absent", None, {}, {"city": "Ulm"}], ids=str)
def test_flattened_rows_have_every_column_whatever_they_lack(depth: int, address: Any) -> None:
    world = World()
    shop = world.add_connection("SHOPIFY", counts={"/orders": 1})
    (key,) = world.keys(shop.id, "/orders")
    row = {"id": key, "updated_at": "2026-01-01T00:00:00.000Z"}
    row |= {} if address == "absent" else {"billing_address": address}
    world.put_raw(shop.id, "/orders", key, json.dumps(row))
    with Simulator(world) as simulator:
        messages = sync(simulator, ORDERS, flattening_enabled=True, flattening_max_depth=depth)
    declared = messages.schemas[ORDERS]["schema"]["properties"]
    (record,) = messages.records[ORDERS]
    assert "billing_address__city" in declared
    assert record.keys() == declared.keys()
    assert record["billing_address__city"] == (
        address.get("city") if isinstance(address, dict) else None
    )


def test_a_column_that_a_map_removes_is_there_for_its_other_expressions() -> None:
    world = World()
    ledger = world.add_connection("QUICKBOOKS", counts={PATHS[VENDORS]: 1})
    (key,) = world.keys(ledger.id, PATHS[VENDORS])
    row = json.dumps({"id": key, "last_synced_at": "2026-01-01T00:00:00.000Z"})
    world.put_raw(ledger.id, PATHS[VENDORS], key, row)
    maps = {VENDORS: {"vendor_name": None, "told": "md5(vendor_name) if vendor_name else None"}}
    with Simulator(world) as simulator:
        (record,) = sync(simulator, VENDORS, stream_maps=maps).records[VENDORS]
    assert record["told"] is None
    assert "vendor_name" not in record


def test_nested_fields_are_there_for_an_expression() -> None:
    world = World()
    shop = world.add_connection("SHOPIFY", counts={"/orders": 1})
    (key,) = world.keys(shop.id, "/orders")
    row = {"id": key, "updated_at": "2026-01-01T00:00:00.000Z", "billing_address": {}}
    world.put_raw(shop.id, "/orders", key, json.dumps(row))
    maps = {ORDERS: {"town": "billing_address['city']"}}
    with Simulator(world) as simulator:
        (record,) = sync(simulator, ORDERS, stream_maps=maps).records[ORDERS]
    assert record["town"] is None


# ---- an expression that fails

FAILING: list[tuple[str, str, str]] = [
    ("memo", "md5(5)", "AttributeError: 'int' object has no attribute 'encode'"),
    ("memo", "md5(meno)", "there is no field 'meno' (nearest: 'memo')"),
    ("memo", "sha1(memo)", "there is no function 'sha1'"),
    ("memo", "int('s3cret ' + str(id))", "ValueError"),
    ("memo", "_['s3cret']", "KeyError"),
    ("__filter__", "meno == 5", "there is no field 'meno' (nearest: 'memo')"),
]


def told(run: Run) -> list[str]:
    return [line for line in run.log.splitlines() if "stream map" in line]


@pytest.mark.parametrize(("column", "expression", "said"), FAILING)
def test_an_expression_that_fails_says_where_once(
    simulator: Simulator, ledgers: list[Connection], column: str, expression: str, said: str
) -> None:
    run = sync(simulator, BILLS, VENDORS, stream_maps={BILLS: {column: expression}})
    assert run.code == 1
    first, last = told(run)
    assert first.startswith(f"ERROR The stream map '{BILLS}' fails at '{column}': {said}.")
    rows = f"18 rows of {len(ledgers)} connections"
    assert last == f"INFO Failed: the stream map '{BILLS}' at '{column}', for {rows}: {said}."
    assert "Traceback" not in run.log
    assert "s3cret" not in run.log + run.output
    assert len(run.records[VENDORS]) == 18
    assert run.records[BILLS] == []
    for ledger in ledgers:
        report = run.report(BILLS, ledger.id)
        assert (report["status"], report["reason"], report["rows"]) == ("failed", "map_failed", 0)
        assert said in report["error_message"]
        assert f"'{column}' for 6 rows" in report["error_message"]
    # Repaired, everything comes.
    again = sync(simulator, BILLS, state=run.state)
    assert len(again.records[BILLS]) == 18


def test_rows_that_an_expression_takes_leave_and_those_it_fails_for_come_again(
    simulator: Simulator, ledgers: list[Connection]
) -> None:
    ledger, *others = ledgers
    path = PATHS[VENDORS]
    for each in ledgers:
        for key in simulator.world.keys(each.id, path):
            simulator.world.update(each.id, path, key, vendor_name="a name")
    odd = simulator.world.keys(ledger.id, path)[2]
    simulator.world.update(ledger.id, path, odd, vendor_name=None)
    simulator.world.switches.set("cursor_seek", "exact")  # no row comes twice
    maps = {VENDORS: {"vendor_name": "vendor_name.upper()"}}
    run = sync(simulator, VENDORS, stream_maps=maps, page_size=2)
    assert run.code == 1
    every = set(simulator.world.keys(ledger.id, path))
    assert run.ids(VENDORS, ledger.id) == every - {odd}
    assert run.report(VENDORS, ledger.id)["rows"] == 5
    for other in others:
        assert run.report(VENDORS, other.id)["status"] == "complete"
        assert len(run.ids(VENDORS, other.id)) == 6
    assert told(run)[-1].startswith(
        f"INFO Failed: the stream map '{VENDORS}' at 'vendor_name', for 1 row of 1 connection:"
    )
    again = sync(simulator, VENDORS, state=run.state, page_size=2)
    assert odd in again.ids(VENDORS, ledger.id)


@pytest.mark.own_workers
def test_an_expression_that_fails_for_every_row_ends_its_partitions_at_their_first_page(
    simulator: Simulator, ledgers: list[Connection]
) -> None:
    maps = {VENDORS: {"vendor_name": "nothing(vendor_name)"}}
    sync(simulator, VENDORS, stream_maps=maps, page_size=2, concurrency=1)
    pages = len(simulator.requests.to(PATHS[VENDORS]))
    assert len(ledgers) <= pages < 3 * len(ledgers)


@pytest.mark.parametrize("stream", ["connections", "sync_report"])
def test_a_map_that_fails_for_rows_of_the_taps_own_costs_no_more(
    simulator: Simulator, stream: str
) -> None:
    run = sync(simulator, "connections", BILLS, stream_maps={stream: {"status": "nosuch(id)"}})
    assert run.code == 1
    assert len(run.records[BILLS]) == 18
    assert run.records[stream] == []
    assert len(told(run)) == 2
    assert run.lines[-1]["type"] == "STATE"
    assert "Traceback" not in run.log
