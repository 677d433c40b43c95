"""Connections from a file: no list is asked for; what has changed is read since a given time."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.hidden import secrets
from support.in_process import sync
from support.singer import Ended, Json, Messages, run_tap, settings

from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.simulator.text import iso

pytestmark = pytest.mark.any_workers

MINUTE, HOUR, DAY = 60, 3600, 86_400
INVOICES, ORDERS, PAYOUTS = "accounting_invoices", "commerce_orders", "commerce_payouts"


@pytest.fixture
def rutter() -> Iterator[Simulator]:
    with Simulator(World()) as simulator:
        simulator.world.add_connection(
            "QUICKBOOKS", counts={"/accounting/invoices": 30, "/accounting/bills": 3}
        )
        simulator.world.add_connection("SHOPIFY", counts={"/orders": 30, "/payouts": 4})
        simulator.world.add_connection("SHOPIFY", counts={"/orders": 8})
        yield simulator


def row(connection: Connection, **more: Any) -> Json:
    """A connection as Rutter lists it, with what the caller wants of it."""
    return {
        "id": connection.id,
        "platform": connection.platform,
        "status": connection.status,
        "name": connection.name,
        "access_token": connection.access_token,
        "link_url": connection.link_url,
        **more,
    }


def file_of(tmp_path: Path, *rows: Json) -> str:
    """The file of these connections, for its owner alone."""
    path = tmp_path / "connections.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"connections": rows}), encoding="utf-8")
    return str(path)


def ids(messages: Messages, stream: str) -> set[tuple[str, str]]:
    return {(record["connection_id"], record["id"]) for record in messages.records[stream]}


def asked(rutter: Simulator, path: str) -> list[dict[str, str]]:
    """The parameters of each request for a list."""
    return [dict(entry.params) for entry in rutter.requests if entry.path.endswith(path)]


def bookmark(state: Json, stream: str, connection: Connection) -> Json | None:
    for partition in state["bookmarks"].get(stream, {}).get("partitions", []):
        if partition["context"]["connection_id"] == connection.id:
            return dict(partition)
    return None


# ---- which connections


def test_the_connections_of_the_file_are_read_and_no_list_is_asked_for(
    rutter: Simulator, tmp_path: Path
) -> None:
    ledger, shop, other = rutter.world.connections.values()
    path = file_of(tmp_path, row(ledger), row(shop))
    given = sync(rutter, ORDERS, INVOICES, "connections", connections_file=path)
    assert {entry["id"] for entry in given.records["connections"]} == {ledger.id, shop.id}
    assert {key for key, _ in ids(given, ORDERS)} == {shop.id}
    assert len(given.records[INVOICES]) == 30
    assert asked(rutter, "/versioned/connections") == []
    listed = sync(rutter, ORDERS, INVOICES, connection_ids=[ledger.id, shop.id])
    assert ids(given, ORDERS) == ids(listed, ORDERS)
    assert other.id not in str(given.lines)


def test_filters_narrow_the_file_as_they_narrow_the_list(rutter: Simulator, tmp_path: Path) -> None:
    ledger, shop, _ = rutter.world.connections.values()
    path = file_of(tmp_path, row(ledger), row(shop))
    given = sync(rutter, ORDERS, INVOICES, connections_file=path, platforms=["QUICKBOOKS"])
    assert not given.records[ORDERS]
    assert len(given.records[INVOICES]) == 30


def test_only_the_streams_that_are_wanted_are_read(rutter: Simulator, tmp_path: Path) -> None:
    ledger, shop, other = rutter.world.connections.values()
    path = file_of(
        tmp_path,
        row(ledger, streams=[INVOICES]),
        row(shop, streams=[PAYOUTS]),
        row(other),
    )
    given = sync(
        rutter, ORDERS, PAYOUTS, INVOICES, "accounting_bills", "sync_report", connections_file=path
    )
    read = {(entry["connection_id"], entry["stream"]) for entry in given.records["sync_report"]}
    partitions = {key for key in read if key[1] != "*"}
    assert {stream for key, stream in partitions if key == ledger.id} == {INVOICES}
    assert {stream for key, stream in partitions if key == shop.id} == {PAYOUTS}
    assert (other.id, ORDERS) in partitions
    assert not given.records["accounting_bills"]


def test_a_connection_that_cannot_be_read_is_told_of_as_ever(
    rutter: Simulator, tmp_path: Path
) -> None:
    ledger, shop, _ = rutter.world.connections.values()
    path = file_of(tmp_path, row(ledger, status="needs_reauth"), row(shop))
    given = sync(rutter, ORDERS, INVOICES, "sync_report", connections_file=path)
    (whole,) = [e for e in given.records["sync_report"] if e["connection_id"] == ledger.id]
    assert (whole["stream"], whole["status"], whole["reason"]) == ("*", "skipped", "needs_reauth")
    assert len(given.records[ORDERS]) == 30


def test_a_file_without_connections_reads_nothing(rutter: Simulator, tmp_path: Path) -> None:
    given = sync(rutter, ORDERS, connections_file=file_of(tmp_path))
    assert not given.records[ORDERS]
    assert len(rutter.requests) == 0


# ---- the clock, and an API that does not answer


def test_a_wrong_local_clock_is_corrected_before_the_cutoff_is_taken(
    rutter: Simulator, tmp_path: Path
) -> None:
    # The simulator's clock is months away from this machine's.
    _, shop, _ = rutter.world.connections.values()
    path = file_of(tmp_path, row(shop))
    before = rutter.world.now
    given = sync(rutter, ORDERS, "sync_report", connections_file=path)
    (report,) = [e for e in given.records["sync_report"] if e["stream"] == ORDERS]
    assert abs(_seconds(report["window_end"]) - before.timestamp()) < 60
    assert len(asked(rutter, "/connections/status")) == 1, "the first request was made in vain"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_nothing_that_answers_ends_the_run_at_once(rutter: Simulator, tmp_path: Path) -> None:
    connections = [*rutter.world.connections.values()]
    path = file_of(tmp_path, *map(row, connections))
    config = settings(rutter, connections_file=path, max_retry_seconds=1)
    rutter.stop()
    ended = run_tap(config=config)
    assert ended.code == 1
    (said,) = ended.errors
    assert "nothing answers at 127.0.0.1" in said
    assert "cannot be listed" not in said
    assert not ended.stdout


def test_refused_credentials_are_found_out(rutter: Simulator, tmp_path: Path) -> None:
    path = file_of(tmp_path, *map(row, rutter.world.connections.values()))
    config = settings(rutter, client_secret="another-secret", connections_file=path)
    ended = run_tap(config=config)
    assert ended.code == 3, ended.stderr


# ---- since when


@pytest.mark.parametrize(
    ("stream", "path", "parameter", "number"),
    [
        (INVOICES, "/accounting/invoices", "last_synced_at_min", 0),
        (ORDERS, "/orders", "updated_at_min", 1),
    ],
)
def test_what_has_changed_since_is_read_and_no_bookmark_moves(
    rutter: Simulator, tmp_path: Path, stream: str, path: str, parameter: str, number: int
) -> None:
    world = rutter.world
    connection = [*world.connections.values()][number]
    state = sync(rutter, stream).state
    world.advance(2 * DAY)
    world.sync(connection.id)
    since = iso(world.clock.now)
    world.advance(10 * MINUTE)
    (key, *_) = world.keys(connection.id, path)
    world.update(connection.id, path, key, memo="changed")
    rutter.requests.clear()
    wanted = row(connection, since={stream: since}, streams=[stream])
    given = sync(
        rutter, stream, state=state, connections_file=file_of(tmp_path, wanted), lookback_hours=48
    )
    assert ids(given, stream) == {(connection.id, key)}
    (query,) = asked(rutter, path)
    assert query[parameter] == str(_milliseconds(since) - 5 * MINUTE * 1000)
    assert given.state == state


def _milliseconds(text: str) -> int:
    return round(_seconds(text) * 1000)


def test_a_row_that_becomes_visible_late_is_not_lost_between_webhook_and_sweep(
    rutter: Simulator, tmp_path: Path
) -> None:
    world = rutter.world
    _, shop, _ = world.connections.values()
    state = sync(rutter, ORDERS).state
    for _ in range(5):  # webhooks, day by day
        world.advance(DAY)
        world.sync(shop.id)
        key = world.create(shop.id, "/orders")
        wanted = row(shop, since={ORDERS: iso(world.clock.now)}, streams=[ORDERS])
        given = sync(rutter, ORDERS, state=state, connections_file=file_of(tmp_path, wanted))
        assert (shop.id, key) in ids(given, ORDERS)
        state = given.state
    # Days old for its platform, and visible now only; its webhook was lost.
    late = world.create(shop.id, "/orders", late=3 * DAY)
    assert (shop.id, late) in ids(sync(rutter, ORDERS, state=state), ORDERS)


def test_a_partition_without_a_bookmark_is_read_as_usual(rutter: Simulator, tmp_path: Path) -> None:
    _, shop, _ = rutter.world.connections.values()
    wanted = row(shop, since={ORDERS: iso(rutter.world.clock.now)}, streams=[ORDERS])
    given = sync(rutter, ORDERS, connections_file=file_of(tmp_path, wanted))
    assert len(given.records[ORDERS]) == 30
    assert bookmark(given.state, ORDERS, shop) is not None


def test_payouts_are_read_as_usual_since_they_change_without_their_time_moving(
    rutter: Simulator, tmp_path: Path
) -> None:
    world = rutter.world
    _, shop, _ = world.connections.values()
    key = world.create(shop.id, "/payouts", late=HOUR, arrival_at=None)
    state = sync(rutter, PAYOUTS).state
    world.advance(3 * DAY)
    world.sync(shop.id)
    world.update(shop.id, "/payouts", key, status="paid")
    wanted = row(shop, since={PAYOUTS: iso(world.clock.now)})
    given = sync(rutter, PAYOUTS, state=state, connections_file=file_of(tmp_path, wanted))
    assert (shop.id, key) in ids(given, PAYOUTS)


def test_history_that_has_grown_is_left_to_the_next_usual_read(
    rutter: Simulator, tmp_path: Path
) -> None:
    world = rutter.world
    _, shop, _ = world.connections.values()
    state = sync(rutter, ORDERS).state
    older = world.add_history_batch(shop.id, {"/orders": 7})["/orders"]
    wanted = row(shop, since={ORDERS: iso(world.clock.now)}, streams=[ORDERS])
    given = sync(rutter, ORDERS, state=state, connections_file=file_of(tmp_path, wanted))
    assert not {key for _, key in ids(given, ORDERS)} & set(older)
    assert given.state == state
    after = sync(rutter, ORDERS, state=given.state)
    assert {key for _, key in ids(after, ORDERS)} >= set(older)


def test_a_usual_read_can_be_made_to_start_earlier(rutter: Simulator, tmp_path: Path) -> None:
    """What a webhook told of may be older than the lookback: a sweep that clears it reads it."""
    world = rutter.world
    _, shop, _ = world.connections.values()
    world.advance(20 * DAY)
    world.sync(shop.id)
    world.create(shop.id, "/orders")
    state = sync(rutter, ORDERS).state
    before = bookmark(state, ORDERS, shop)
    late = world.create(shop.id, "/orders", late=10 * DAY)
    world.advance(HOUR)
    world.sync(shop.id)
    world.create(shop.id, "/orders")
    plain = sync(rutter, ORDERS, state=state, connections_file=file_of(tmp_path, row(shop)))
    assert (shop.id, late) not in ids(plain, ORDERS)
    told = row(shop, start_by={ORDERS: iso(world.clock.now - (10 * DAY + HOUR) * 1000)})
    given = sync(rutter, ORDERS, state=state, connections_file=file_of(tmp_path, told))
    assert (shop.id, late) in ids(given, ORDERS)
    after = bookmark(given.state, ORDERS, shop)
    assert after == bookmark(plain.state, ORDERS, shop)
    assert after != before, "the bookmark moves as usual"
    later = row(shop, start_by={ORDERS: iso(world.clock.now)})
    same = sync(rutter, ORDERS, state=state, connections_file=file_of(tmp_path, later))
    assert ids(same, ORDERS) == ids(plain, ORDERS), "it never makes a read start later"


def test_one_connection_can_be_read_anew(rutter: Simulator, tmp_path: Path) -> None:
    _, shop, other = rutter.world.connections.values()
    rutter.world.advance(HOUR)
    state = sync(rutter, ORDERS, INVOICES).state
    path = file_of(tmp_path, row(shop, full_read=True), row(other))
    given = sync(rutter, ORDERS, INVOICES, "sync_report", state=state, connections_file=path)
    assert {key for key, _ in ids(given, ORDERS)} >= {shop.id}
    assert len([key for key, _ in ids(given, ORDERS) if key == shop.id]) == 30
    full = {
        entry["connection_id"]: entry["full_read"]
        for entry in given.records["sync_report"]
        if entry["stream"] == ORDERS
    }
    assert full == {shop.id: True, other.id: False}
    assert bookmark(given.state, ORDERS, shop) == bookmark(state, ORDERS, shop)


# ---- files that cannot be used

TOKEN = "a-token-that-nobody-may-see"
BAD = {
    "not JSON": f'{{"connections": [{TOKEN}',
    "an object with an array": json.dumps([TOKEN]),
    "an array 'connections'": json.dumps({"connections": TOKEN}),
    r"connections\[0\] must be an object": json.dumps({"connections": [TOKEN]}),
    r"connections\[1\]\.access_token": json.dumps(
        {"connections": [{"id": "a", "access_token": TOKEN}, {"id": "b"}]}
    ),
    r"connections\[0\]\.id": json.dumps({"connections": [{"id": 7, "access_token": TOKEN}]}),
    r"connections\[0\]\.streams": json.dumps(
        {"connections": [{"id": "a", "access_token": TOKEN, "streams": "orders"}]}
    ),
    r"connections\[0\]\.full_read": json.dumps(
        {"connections": [{"id": "a", "access_token": TOKEN, "full_read": TOKEN}]}
    ),
    r"connections\[0\]\.since must": json.dumps(
        {"connections": [{"id": "a", "access_token": TOKEN, "since": TOKEN}]}
    ),
    r"connections\[0\]\.start_by\.orders must be a time": json.dumps(
        {"connections": [{"id": "a", "access_token": TOKEN, "start_by": {"orders": TOKEN}}]}
    ),
}


def refused(rutter: Simulator, path: Path) -> Ended:
    ended = run_tap(config=settings(rutter, connections_file=str(path)))
    assert ended.code == 2, ended.stderr
    assert ended.stdout == ""
    assert len(rutter.requests) == 0
    assert TOKEN not in ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


@pytest.mark.parametrize("said", BAD)
def test_a_bad_file_is_refused_in_words(rutter: Simulator, tmp_path: Path, said: str) -> None:
    path = tmp_path / "connections.json"
    path.touch(mode=0o600)
    path.write_text(BAD[said], encoding="utf-8")
    ended = refused(rutter, path)
    assert re.search(f"'connections_file' names cannot be used: .*{said}", ended.stderr)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_use_is_refused(
    rutter: Simulator, tmp_path: Path, mode: int
) -> None:
    path = Path(file_of(tmp_path, *map(row, rutter.world.connections.values())))
    path.chmod(mode)
    ended = refused(rutter, path)
    assert "chmod 600" in ended.stderr


def test_a_missing_file_is_refused(rutter: Simulator, tmp_path: Path) -> None:
    ended = refused(rutter, tmp_path / "nowhere.json")
    assert "No such file" in ended.stderr


def test_the_tokens_of_the_file_are_as_secret_as_listed_ones(
    rutter: Simulator, tmp_path: Path
) -> None:
    world = rutter.world
    path = file_of(tmp_path, *map(row, world.connections.values()))
    told = "; ".join(secrets(world).values())
    body = {"error_type": "E", "error_code": "C", "error_message": told}
    rutter.faults.add("respond", path="/orders", status=450, body=json.dumps(body), times=None)
    ended = run_tap(
        config=settings(rutter, connections_file=path, max_retry_seconds=1),
        TAP_RUTTER_LOGLEVEL="DEBUG",
    )
    assert ended.code == 1
    assert "[hidden]" in ended.stderr
    for what, secret in secrets(world).items():
        assert secret not in ended.stdout + ended.stderr, what


def test_the_file_may_be_a_descriptor(rutter: Simulator, tmp_path: Path) -> None:
    _, shop, _ = rutter.world.connections.values()
    with open(file_of(tmp_path, row(shop)), encoding="utf-8") as file:  # noqa: PTH123
        given = sync(rutter, ORDERS, connections_file=f"/dev/fd/{file.fileno()}")
        assert os.fstat(file.fileno()).st_size
    assert len(given.records[ORDERS]) == 30
