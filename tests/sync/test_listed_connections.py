"""Connections with a bad listing or status: they are reported, and never count as complete."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.in_process import Run, sync
from support.singer import Json

from tap_rutter.connections.selection import shard_of
from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
LISTING, STATUSES = "connections", "connection_statuses"
STATUS_PATH, TOKEN_PATH = "/connections/status", "/connections/access_token"


def ledgers(number: int = 2) -> World:
    world = World(7, history_days=30)
    for _ in range(number):
        world.add_connection("QUICKBOOKS", counts={BILLS_PATH: 2})
    return world


def listed(connection: Connection, **other: Any) -> Json:
    row = {
        "id": connection.id,
        "access_token": connection.access_token,
        "link_url": "https://link.example/x",
        "platform": connection.platform,
        "status": "active",
        "name": "A shop",
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
        **other,
    }
    return {name: value for name, value in row.items() if value is not ...}


def read(simulator: Simulator, rows: list[Json] | None, *streams: str, **more: Any) -> Run:
    if rows is not None:
        body = json.dumps({"connections": rows})
        simulator.faults.add("respond", path="/connections", status=200, body=body, times=None)
    return sync(simulator, *(streams or (LISTING, STATUSES, BILLS)), **more)


@pytest.mark.parametrize("token", [None, "", " ", 17, ...])
def test_a_connection_without_a_token_is_listed_reported_and_a_failure(token: object) -> None:
    world = ledgers()
    ill, well = world.connections.values()
    with Simulator(world) as simulator:
        run = read(simulator, [listed(ill, access_token=token), listed(well)])
    assert run.code == 1
    assert {row["id"] for row in run.records[LISTING]} == {ill.id, well.id}
    row = run.report("*", ill.id)
    assert (row["status"], row["reason"]) == ("skipped", "bad_response")
    assert "without an access token" in row["error_message"]
    assert len(run.ids(BILLS, well.id)) == 2
    assert {row["connection_id"] for row in run.records[STATUSES]} == {well.id}
    assert f"without an access token. Not read: 1, {ill.id}." in run.log
    assert f"Connections skipped, bad_response: 1 ({ill.id})." in run.log


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        (17, "17"),
        (None, None),
        ("", None),
        (..., None),
        ({"a": 1}, None),
        (" ", None),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_a_connection_with_an_odd_id_is_listed_reported_and_a_failure(
    identity: object, name: str | None
) -> None:
    world = ledgers()
    ill, well = world.connections.values()
    with Simulator(world) as simulator:
        run = read(simulator, [listed(ill, id=identity), listed(well)])
    assert run.code == 1
    (known,) = {row["id"] for row in run.records[LISTING]} - {well.id}
    assert known == name if name else known.startswith("tap:")
    row = run.report("*", known)
    assert (row["status"], row["reason"]) == ("skipped", "bad_response")
    assert "id is not usable text" in row["error_message"]
    assert len(run.ids(BILLS, well.id)) == 2
    for secret in (ill.access_token, "link.example"):
        assert secret not in run.output + run.log


def test_many_such_connections_are_one_line_of_the_log() -> None:
    world = ledgers(40)
    rows = [listed(connection, access_token=None) for connection in world.connections.values()]
    with Simulator(world) as simulator:
        run = read(simulator, rows)
    assert run.code == 1
    assert len([line for line in run.log.splitlines() if line.startswith("ERROR")]) == 1
    assert "Not read: 40, " in run.log
    assert len(run.records[LISTING]) == 40
    assert len([row for row in run.reports if row["stream"] == "*"]) == 40


def test_a_connection_that_is_listed_twice_is_read_if_once_it_has_a_token() -> None:
    world = ledgers(1)
    (connection,) = world.connections.values()
    with Simulator(world) as simulator:
        run = read(simulator, [listed(connection), listed(connection, access_token=None)])
    assert run.code == 0
    assert len(run.ids(BILLS, connection.id)) == 2


@pytest.mark.parametrize("status", ["disabled", "needs_reauth"])
def test_one_that_would_not_be_asked_needs_no_token(status: str) -> None:
    world = ledgers()
    ill, well = world.connections.values()
    with Simulator(world) as simulator:
        run = read(simulator, [listed(ill, access_token=None, status=status), listed(well)])
    assert run.code == 0
    assert run.report("*", ill.id)["reason"] == status
    assert {row["id"] for row in run.records[LISTING]} == {ill.id, well.id}


@pytest.mark.parametrize("chosen", ["ids", "platforms", "shard"])
def test_bad_listings_of_connections_that_are_not_chosen_are_ignored(chosen: str) -> None:
    world = ledgers()
    ill, well = world.connections.values()
    rows = [listed(ill, access_token=None, platform="XERO"), listed(well)]
    parts = next(n for n in range(2, 99) if shard_of(ill.id, n) != shard_of(well.id, n))

    def only(connection: Connection, platform: str) -> Json:
        settings: dict[str, Json] = {
            "ids": {"connection_ids": [connection.id]},
            "platforms": {"platforms": [platform]},
            "shard": {"shard": f"{shard_of(connection.id, parts)}/{parts}"},
        }
        return settings[chosen]

    with Simulator(world) as simulator:
        without = read(simulator, rows, **only(well, "QUICKBOOKS"))
        with_it = read(simulator, rows, **only(ill, "XERO"))
    assert (without.code, with_it.code) == (0, 1)
    assert {row["id"] for row in without.records[LISTING]} == {well.id}
    assert {row["id"] for row in with_it.records[LISTING]} == {ill.id}


def test_ids_of_no_connection_are_refused_whatever_else_is_listed() -> None:
    world = ledgers()
    ill, _ = world.connections.values()
    with Simulator(world) as simulator:
        run = read(simulator, [listed(ill, access_token=None)], connection_ids=["nobody"])
    assert (run.code, run.output) == (2, "")


# ---- connection_statuses


@pytest.mark.parametrize("broken", [(STATUS_PATH,), (STATUS_PATH, TOKEN_PATH), (TOKEN_PATH,)])
@pytest.mark.parametrize("answer", [(500, ""), (200, "{}"), (200, '{"status":{},"connection":{}}')])
def test_a_status_that_cannot_be_read_is_a_failure_and_no_row(
    broken: tuple[str, ...], answer: tuple[int, str]
) -> None:
    world = ledgers()
    ill, well = world.connections.values()
    with Simulator(world) as simulator:
        for path in broken:
            simulator.faults.add(
                "respond",
                path=path,
                connection_id=ill.id,
                status=answer[0],
                body=answer[1],
                times=None,
            )
        run = read(simulator, None)
    assert run.code == 1
    row = run.report(STATUSES, ill.id)
    assert row["status"] == "failed"
    assert row["reason"] in {"retries_exhausted", "bad_response"}
    assert not (row["status"] == "complete" and row["full_read"])
    assert {row["connection_id"] for row in run.records[STATUSES]} == {well.id}
    # Facts that are unknown cost no data.
    assert len(run.ids(BILLS, ill.id)) == 2
    assert run.report(BILLS, ill.id)["status"] == "complete"


def test_a_platform_that_does_not_give_its_facts_has_a_status_all_the_same() -> None:
    world = ledgers(1)
    (connection,) = world.connections.values()
    body = json.dumps({"error_type": "INVALID_REQUEST", "error_code": "ENDPOINT_NOT_SUPPORTED"})
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=TOKEN_PATH, status=404, body=body, times=None)
        run = read(simulator, None)
    assert run.code == 0
    (row,) = run.records[STATUSES]
    assert (row["connection_id"], row["is_ready"]) == (connection.id, True)
