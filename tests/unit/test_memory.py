"""What a run remembers of each connection and partition, in bytes: there may be 200,000 of them."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any, cast

import pytest

from tap_rutter import times
from tap_rutter.api.client import Client
from tap_rutter.api.request import Counts, Request, Response
from tap_rutter.connections.history import History
from tap_rutter.connections.packed import Packed, json_of, packed
from tap_rutter.connections.row_counts import RowCounts
from tap_rutter.connections.sync_status import (
    STATUS_PATH,
    Standing,
    SyncStatus,
    read_standing,
    read_sync_status,
)
from tap_rutter.sync.report import Report
from tap_rutter.sync.state import Bookmarks

pytestmark = pytest.mark.longer

START = 1_706_702_400_000
CONNECTIONS, STREAMS = 100, 30
PARTITIONS = CONNECTIONS * STREAMS


def held(make: Callable[[], object]) -> int:
    """Bytes that what is made holds on to."""
    make()  # what is made only once does not count
    gc.collect()
    tracemalloc.start()
    try:
        kept = make()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept is not None
    return size


def ids() -> list[str]:
    return [f"6f20c8b8-8d27-4a83-9f68-0a9b2c{number:06d}" for number in range(CONNECTIONS)]


def moved() -> dict[str, Any]:
    """A state in which every bookmark has been set."""
    state: dict[str, Any] = {}
    bookmarks = Bookmarks(state)
    for stream in range(STREAMS):
        for number, connection in enumerate(ids()):
            at = times.to_text(START + number + 1_000 * stream)
            content = {"replication_key": "last_synced_at", "replication_key_value": at}
            bookmarks.put(f"stream_{stream}", connection, content)
    return state


def test_a_bookmark_takes_little_more_than_its_text() -> None:
    text = json.dumps(moved(), separators=(",", ":"))
    assert len(text) / PARTITIONS < 160
    assert held(moved) / PARTITIONS < 330


def test_a_state_that_was_given_takes_no_second_copy() -> None:
    text = json.dumps(moved())

    def given() -> tuple[Any, Bookmarks]:
        state = json.loads(text)
        return state, Bookmarks(state)

    assert held(given) / PARTITIONS < 390


def test_what_was_given_stays_what_it_was_while_all_bookmarks_move() -> None:
    state = moved()
    before = json.loads(json.dumps(state))
    bookmarks = Bookmarks(state)
    order = [(stream, connection) for stream in state["bookmarks"] for connection in ids()]
    for at, (stream, connection) in enumerate(sorted(order, key=lambda pair: pair[1][::-1])):
        content = {"replication_key": "last_synced_at", "replication_key_value": str(at)}
        bookmarks.put(stream, connection, None if at % 7 == 0 else content)
        bookmarks.put(stream, connection, None if at % 11 == 0 else content)
    for stream, entry in before["bookmarks"].items():
        for partition in entry["partitions"]:
            connection = partition["context"]["connection_id"]
            assert bookmarks.input_state(stream, connection) == partition
    for stream, entry in state["bookmarks"].items():
        listed = {part["context"]["connection_id"]: part for part in entry["partitions"]}
        assert len(listed) == len(entry["partitions"])
        for connection in ids():
            assert bookmarks.get(stream, connection) is listed.get(connection)


def test_a_partition_that_was_read_takes_little_in_the_report() -> None:
    def read() -> Report:
        report = Report("2024-08-31", START)
        connections = ids()
        for stream in map(str, range(STREAMS)):
            for number, connection in enumerate(connections):
                entry = report.partition(connection, stream, START + number)
                entry.rows, entry.pages = 5, 1
                entry.window_end, entry.source_synced_ms = START, START - number
                entry.complete(START + number + 1_000)
                report.close(entry)
        return report

    assert held(read) / PARTITIONS < 150
    assert all(row["repaired_values"] == 0 and row["skipped"] is None for row in read().rows())


# ---- how a connection stands

OBJECTS = ("ACCOUNTING_BILLS", "ACCOUNTING_INVOICES", "ACCOUNTING_VENDORS", "ORDERS", "PRODUCTS")


def status(number: int) -> dict[str, Any]:
    total = {
        f"{name}_{part}": {"ready": True, "synced_count": number + part, "oldest_entity_date": None}
        for name in OBJECTS
        for part in range(7)
    }
    return {"is_ready": True, "amount": 1.25, "historical_sync_status": {"total": total}}


def test_how_a_connection_stands_is_kept_in_a_fraction_of_its_memory() -> None:
    plain = held(lambda: [json.loads(json.dumps(status(number))) for number in range(50)])
    small = held(lambda: [packed(status(number)) for number in range(50)])
    counts = held(lambda: [RowCounts.of_status(status(number)) for number in range(50)])
    assert small + counts < plain / 8


class FakeClient:
    """Answers with how a connection stands."""

    def __init__(self) -> None:
        self._number = 0

    def get(self, call: Request, decode: Callable[[Response], Any], counts: Counts) -> Any:
        self._number += 1
        counts.requests += 1
        key = "status" if call.path == STATUS_PATH else "connection"
        return decode(Response(json.dumps({key: status(self._number)}).encode(), START))


def test_what_a_run_keeps_of_how_a_connection_stands_takes_little() -> None:
    """With ``only_after_sync`` the first half of most connections, else all of it."""

    def first_half() -> list[Standing]:
        client = cast("Client", FakeClient())
        return [read_standing(client, identity) for identity in ids()]

    def whole() -> list[tuple[Standing, SyncStatus]]:
        client = cast("Client", FakeClient())
        return [
            (standing, read_sync_status(client, identity, standing))
            for identity, standing in zip(ids(), first_half(), strict=True)
        ]

    plain = held(lambda: [json.loads(json.dumps(status(number))) for number in range(CONNECTIONS)])
    assert held(first_half) < plain / 8
    assert held(whole) < plain / 3


def test_a_packed_object_is_the_object() -> None:
    value = status(3)
    found = packed(value)
    assert isinstance(found, Packed)
    assert found == value
    assert len(found) == len(value)
    assert found.get("is_ready") is True
    assert found.get("unknown") is None
    assert json.loads(json_of(found)) == json.loads(json_of(value)) == value
    assert not packed({})


@pytest.mark.parametrize("odd", ["\ud800", 10**400])
def test_what_has_no_json_of_its_own_is_kept_as_it_is(odd: object) -> None:
    value = {"odd": odd}
    assert packed(value) == value


def test_a_history_is_shared_with_the_state_and_not_changed_by_it() -> None:
    history = History.of(status(1))
    state: dict[str, Any] = {}
    bookmarks = Bookmarks(state)
    bookmarks.put_history("a", history)
    assert History.from_state(json.loads(json.dumps(history.to_state()))) == history
    bookmarks.put_history("a", History())
    assert history == History.of(status(1))
