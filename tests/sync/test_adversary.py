"""Hostile answers and odd inputs: the smallest forms of earlier bugs."""

from __future__ import annotations

import copy
import gzip
import itertools
import json
from typing import Any

import pytest
from support.in_process import sync
from support.ledgers import BILLS, VENDORS, error, read
from support.ledgers import BILLS_PATH as PATH
from support.singer import Json, catalog_of, run_tap, settings

from tap_rutter.api.pages import Page
from tap_rutter.api.paging import LoopGuard
from tap_rutter.api.transport import _unpacked
from tap_rutter.connections.history import History
from tap_rutter.simulator import Connection, Simulator

pytestmark = pytest.mark.any_workers

STATUSES = "connection_statuses"
ROW = {"id": "1", "last_synced_at": "2026-01-01T00:00:00.000Z"}


def answer(simulator: Simulator, body: str, path: str = PATH, **more: Any) -> None:
    simulator.faults.add("respond", path=path, body=body, **{"status": 200, "times": None, **more})


# ---- answers


def test_an_endpoint_that_is_not_allowed_costs_that_stream_only(
    simulator: Simulator, ledger: Connection
) -> None:
    answer(simulator, error("PRODUCT_NOT_ALLOWED"), status=401)
    run = read(simulator)
    assert run.code == 0
    assert run.report(BILLS, ledger.id)["error_code"] == "PRODUCT_NOT_ALLOWED"
    assert len(run.ids(VENDORS, ledger.id)) == 3


@pytest.mark.parametrize("value", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_retry_after_without_a_wait_is_followed_only_once(
    simulator: Simulator, value: str
) -> None:
    answer(simulator, "", status=503, headers={"Retry-After": value})
    run = read(simulator, max_retry_seconds=60)
    assert run.code == 1
    assert run.waits[0] == 0
    assert all(wait >= 0.5 for wait in run.waits[1:])


def test_a_retry_after_of_other_digits_is_not_a_number(simulator: Simulator) -> None:
    answer(simulator, "", status=429, headers={"Retry-After": "\xb2"}, times=1)
    assert read(simulator).code == 0


def test_a_byte_order_mark_is_not_part_of_the_answer(
    simulator: Simulator, ledger: Connection
) -> None:
    answer(simulator, "\ufeff" + json.dumps({"bills": [ROW]}))
    assert read(simulator).ids(BILLS, ledger.id) == {"1"}


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"{") + gzip.compress(b"}"),
        gzip.compress(b"{}") + bytes(16),
    ],
    ids=["two members", "padded"],
)
def test_a_compressed_body_is_decompressed_to_its_end(packed: bytes) -> None:
    assert _unpacked("gzip", packed) == b"{}"


def test_an_encoding_without_a_name_means_no_compression(
    simulator: Simulator, ledger: Connection
) -> None:
    answer(simulator, json.dumps({"bills": [ROW]}), headers={"Content-Encoding": ""})
    assert read(simulator).ids(BILLS, ledger.id) == {"1"}


@pytest.mark.parametrize("cursor", [{"a": 1}, True, ["x"]])
def test_connections_with_a_cursor_that_is_not_text_are_a_fault_of_the_server(
    simulator: Simulator, cursor: object
) -> None:
    answer(simulator, json.dumps({"connections": [], "next_cursor": cursor}), "/connections")
    ended = run_tap(config=settings(simulator))
    assert (ended.code, ended.stdout) == (1, "")
    assert "next_cursor that is not text" in ended.errors[-1]


def test_connections_without_end_are_a_loop(simulator: Simulator, ledger: Connection) -> None:
    row = {"id": ledger.id, "access_token": ledger.access_token, "platform": "QUICKBOOKS"}
    for number in range(6):
        body = json.dumps({"connections": [row], "next_cursor": str(number)})
        answer(simulator, body, "/connections", times=1)
    run = read(simulator)
    assert run.code == 1
    assert "cursor loop" in run.log


def test_pages_of_rows_without_ids_that_repeat_are_a_loop() -> None:
    guard = LoopGuard("/customers")
    with pytest.raises(Exception, match="cursor loop"):
        for number in itertools.count():
            page = Page([b'{"id":null,"email":"a@b"}'], str(number), 0, 10, ids=(None,))
            guard.check(page)
            assert number < 2_000


def test_pages_of_rows_without_ids_that_differ_are_not_a_loop() -> None:
    guard = LoopGuard("/customers")
    for number in range(2_000):
        row = b'{"id":null,"email":"%d"}' % number
        guard.check(Page([row], str(number), 0, 10, ids=(None,)))


# ---- rows


def test_the_newest_row_of_a_numeric_id_is_last(simulator: Simulator) -> None:
    rows = [
        {"id": 7, "last_synced_at": "2026-02-01T00:00:00.000Z", "memo": "new"},
        {"id": "7", "last_synced_at": "2026-01-01T00:00:00.000Z", "memo": "old"},
    ]
    answer(simulator, json.dumps({"bills": rows}))
    records = read(simulator).records[BILLS]
    assert [(row["id"], row["memo"]) for row in records] == [("7", "old"), ("7", "new")]


def test_the_status_of_a_connection_that_turns_out_not_to_be_ready_is_delivered(
    simulator: Simulator, ledger: Connection
) -> None:
    answer(simulator, error("PRODUCT_NOT_READY"), status=400)
    run = sync(simulator, BILLS, STATUSES, concurrency=1)
    assert run.code == 0
    assert [row["connection_id"] for row in run.records[STATUSES]] == [ledger.id]


def test_an_oldest_date_in_the_year_one_is_unknown() -> None:
    nothing = {"ready": True, "oldest_entity_date": "0001-01-01T00:00:00Z"}
    status = {"historical_sync_status": {"total": {"orders": nothing}}}
    assert History.of(status).oldest_ms is None


# ---- state, catalog and settings


def test_a_bookmark_of_another_field_is_not_used(simulator: Simulator) -> None:
    state = sync(simulator, BILLS).state
    (partition,) = state["bookmarks"][BILLS]["partitions"]
    assert len(sync(simulator, BILLS, state=state).records[BILLS]) < 6
    partition["replication_key"] = "updated_at"
    assert len(sync(simulator, BILLS, state=state).records[BILLS]) == 6


def changed(change: Json) -> Json:
    catalog = copy.deepcopy(catalog_of(BILLS))
    (entry,) = (entry for entry in catalog["streams"] if entry["tap_stream_id"] == BILLS)
    entry.update(change)
    return catalog


def test_a_catalog_of_an_earlier_version_hides_no_column_and_changes_no_type(
    simulator: Simulator,
) -> None:
    old = {"type": "object", "properties": {"id": {"type": ["integer"]}}}
    found = sync(simulator, BILLS, catalog=changed({"schema": old, "key_properties": ["memo"]}))
    assert found.schemas[BILLS] == sync(simulator, BILLS).schemas[BILLS]


def test_a_key_cannot_be_deselected(simulator: Simulator) -> None:
    catalog = changed({})
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if part["breadcrumb"] == ["properties", "id"]:
                part["metadata"] = {"inclusion": "available", "selected": False}
    assert all(row["id"] for row in sync(simulator, BILLS, catalog=catalog).records[BILLS])


def test_the_replication_method_in_the_metadata_counts(simulator: Simulator) -> None:
    state = sync(simulator, BILLS).state
    catalog = changed({})
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if not part["breadcrumb"]:
                part["metadata"]["replication-method"] = "FULL_TABLE"
    assert len(sync(simulator, BILLS, state=state, catalog=catalog).records[BILLS]) == 6


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("stream_maps", {"stream_maps": {BILLS: {"x": "nosuch("}}}),
        ("flattening_max_depth", {"flattening_enabled": True}),
    ],
)
def test_maps_and_flattening_that_cannot_be_used_are_bad_configuration(
    simulator: Simulator, name: str, more: Json
) -> None:
    ended = run_tap(config=settings(simulator, **more))
    assert (ended.code, ended.stdout) == (2, "")
    assert name in ended.errors[-1]
    assert "nosuch" not in ended.stderr
    assert "Traceback" not in ended.stderr
