"""Rutter is down, or one connection of it: a run ends soon, and costs nobody what it need not.

No test waits: what is asserted is the seconds that the tap asks to wait for, and its requests.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support import singer
from support.in_process import Run, sync
from support.singer import in_turn

from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.simulator.request import Request

pytestmark = pytest.mark.any_workers

STREAMS = {
    f"accounting_{name}": f"/accounting/{name}"
    for name in ("bills", "customers", "departments", "invoices", "items", "vendors")
}
"""In the order in which they are read."""
PATIENCE = 600
HANG = 60.0  # seconds after which a test that waits has failed
FULL = 12  # tries at least that 600 seconds of patience make


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = World(8, history_days=30)
    world.switches.set("cursor_seek", "exact")
    for _ in range(6):
        world.add_connection("QUICKBOOKS", counts=dict.fromkeys(STREAMS.values(), 4))
    with Simulator(world) as running:
        yield running


@pytest.fixture
def connections(simulator: Simulator) -> list[Connection]:
    """In the order in which they are read."""
    return sorted(simulator.world.connections.values(), key=lambda connection: connection.id)


def read(simulator: Simulator, **more: Any) -> Run:
    return sync(simulator, *STREAMS, **{"concurrency": 1, **more})


def workers() -> int:
    """How many requests fly at once."""
    return int(singer.WORKERS or 1)


def complete(run: Run) -> set[tuple[str, str]]:
    return {
        (row["stream"], row["connection_id"])
        for row in run.reports
        if row["status"] == "complete" and row["stream"] in STREAMS
    }


def failed(run: Run) -> set[tuple[str, str]]:
    return {
        (row["stream"], row["connection_id"]) for row in run.reports if row["status"] == "failed"
    }


def assert_whole(run: Run, simulator: Simulator, pairs: set[tuple[str, str]]) -> None:
    for stream, connection in pairs:
        shown = {row["id"] for row in simulator.world.rows(connection, STREAMS[stream])}
        assert run.ids(stream, connection) == shown


# ---- all of Rutter

SILENT: dict[str, dict[str, Any]] = {
    "closed": {"action": "close"},
    "503": {"action": "respond", "status": 503, "body": "<html>busy</html>"},
    "html": {"action": "html"},
    "500 in rutter's form": {
        "action": "respond",
        "status": 500,
        "body": '{"error_type":"INTERNAL","error_message":"try again"}',
    },
    "503 that asks for 30 seconds": {
        "action": "respond",
        "status": 503,
        "headers": {"Retry-After": "30"},
    },
}


@pytest.mark.parametrize("kind", SILENT)
def test_an_outage_ends_the_run_within_half_as_much_again(simulator: Simulator, kind: str) -> None:
    before = 20
    simulator.faults.add(path="*", after=before, times=None, **SILENT[kind])
    run = read(simulator)
    assert run.code == 1
    # Each worker waits by itself.
    assert sum(run.waits) <= 1.5 * PATIENCE * workers()
    assert len(simulator.requests) < before + 2 * 25 * workers() + 6 + len(STREAMS) + 10
    # All of it is told of, and what was read before counts.
    whole, lost = complete(run), failed(run)
    assert len(whole) + len(lost) == 6 * len(STREAMS)
    assert not whole & lost
    assert whole and lost
    assert_whole(run, simulator, whole)
    assert "Rutter's API is down" in run.log
    unasked = [row for row in run.reports if row["status"] == "failed" and not row["requests"]]
    if in_turn():  # else there may be as many workers as lists, and all of them have been asked for
        assert unasked
        assert "answers again" not in run.log
    for row in unasked:
        assert row["reason"] == "retries_exhausted"
        assert "was not requested" in row["error_message"]
    # The next run brings the rest.
    simulator.faults.clear()
    again = read(simulator, state=run.state)
    assert again.code == 0
    for stream, path in STREAMS.items():
        for connection in simulator.world.connections:
            shown = {row["id"] for row in simulator.world.rows(connection, path)}
            assert run.ids(stream, connection) | again.ids(stream, connection) == shown


@pytest.mark.parametrize("most", [1, 3, 30])
def test_an_outage_is_waited_for_no_longer_than_the_patience_allows(
    simulator: Simulator, most: int
) -> None:
    simulator.faults.add("reset", path="*", after=20, times=None)
    run = read(simulator, max_retry_seconds=most)
    assert run.code == 1
    assert sum(run.waits) <= 1.5 * most * workers()
    assert "Rutter's API is down" in run.log


@pytest.mark.own_workers
def test_after_an_outage_the_rest_is_read(simulator: Simulator) -> None:
    """Long enough to be noticed, over when a fourth list is asked for."""
    outage = simulator.faults.add("reset", path="*", after=20, times=None)
    lists: set[tuple[str, str | None]] = set()

    def end(request: Request) -> None:
        lists.add((request.path, request.connection_id))
        if len(lists) == 3:
            outage.times = 0

    outage.call = end
    run = read(simulator)
    assert run.code == 1
    whole, lost = complete(run), failed(run)
    assert len(whole) + len(lost) == 6 * len(STREAMS)
    assert_whole(run, simulator, whole)
    assert "Rutter's API is down" in run.log
    assert "answers again" in run.log
    assert len(lost) == 3  # two that waited, and the first that looked
    assert len(run.states) > 0
    again = read(simulator, state=run.state)
    assert again.code == 0


@pytest.mark.own_workers
@pytest.mark.parametrize("number", [8, 32])
def test_after_an_outage_many_workers_go_on_too(simulator: Simulator, number: int) -> None:
    simulator.faults.add("reset", path="*", after=20, times=30 * number)
    run = read(simulator, concurrency=number)
    whole, lost = complete(run), failed(run)
    assert len(whole) + len(lost) == 6 * len(STREAMS)
    assert run.code == (1 if lost else 0)
    assert_whole(run, simulator, whole)
    simulator.faults.clear()
    again = read(simulator, concurrency=number, state=run.state)
    assert again.code == 0
    assert lost <= complete(again)
    assert_whole(again, simulator, lost)


def test_429s_are_answers(simulator: Simulator) -> None:
    simulator.faults.add("respond", path="/accounting/*", after=3, times=None, status=429)
    run = read(simulator, max_retry_seconds=3)
    assert run.code == 1
    assert "is down" not in run.log
    assert {row["reason"] for row in run.reports if row["status"] == "failed"} == {"rate_limited"}


# ---- one connection, or one list of several


def test_a_dead_connection_costs_two_lists_and_one_try_for_each_other(
    simulator: Simulator, connections: list[Connection]
) -> None:
    ill = connections[0]
    simulator.faults.add(
        "respond", path="/accounting/*", connection_id=ill.id, times=None, status=503
    )
    others = len(STREAMS) * (len(connections) - 1)
    met: set[tuple[str, str | None]] = set()
    condition = threading.Condition()

    def take_minutes(request: Request) -> None:
        """Ten minutes of patience are longer than the others take, whatever a test's clock says."""
        with condition:
            if request.connection_id == ill.id and request.path in STREAMS.values():
                assert in_turn() or condition.wait_for(lambda: len(met) == others, HANG)
            elif request.path in STREAMS.values():
                met.add((request.path, request.connection_id))
                condition.notify_all()

    simulator.before_request = take_minutes
    run = read(simulator)
    assert run.code == 1
    whole = complete(run)
    assert whole == {(stream, entry.id) for stream in STREAMS for entry in connections[1:]}
    assert_whole(run, simulator, whole)
    tries = [len(simulator.requests.to(path, ill.id)) for path in STREAMS.values()]
    if in_turn():
        assert sorted(tries)[:4] == [1, 1, 1, 1]
        assert all(entry > FULL for entry in sorted(tries)[4:])
        assert "is down" not in run.log
        told = [run.report(stream, ill.id)["error_message"] for stream in STREAMS]
        assert sum("is tried once only" in text for text in told) == 4


def test_a_dead_connection_that_comes_back_is_read_on(
    simulator: Simulator, connections: list[Connection]
) -> None:
    ill = connections[0]
    for path in list(STREAMS.values())[:2]:
        simulator.faults.add("respond", path=path, connection_id=ill.id, times=None, status=503)
    # One that fails once, after one that is answered: it has all its patience again.
    simulator.faults.add("respond", path="/accounting/vendors", connection_id=ill.id, status=503)
    run = read(simulator)
    assert failed(run) == {(stream, ill.id) for stream in list(STREAMS)[:2]}
    assert_whole(run, simulator, complete(run))


@pytest.mark.own_workers
def test_two_lists_that_fail_one_after_the_other_cost_no_third_one(
    simulator: Simulator, connections: list[Connection]
) -> None:
    """There is no other request that could be answered, so it looks like an outage, but is not."""
    chosen = connections[0]
    paths = list(STREAMS.values())
    for path in paths[:2]:
        simulator.faults.add("reset", path=path, times=None)
    run = read(simulator, connection_ids=[chosen.id])
    assert failed(run) == {(stream, chosen.id) for stream in list(STREAMS)[:2]}
    assert complete(run) == {(stream, chosen.id) for stream in list(STREAMS)[2:]}
    assert sum(run.waits) <= 1.25 * PATIENCE


@pytest.mark.parametrize("number", [1, 8, 32])
@pytest.mark.own_workers
def test_one_list_that_fails_changes_nothing_for_any_other(
    simulator: Simulator, connections: list[Connection], number: int
) -> None:
    ill = connections[2]
    simulator.faults.add("reset", path="/accounting/items", connection_id=ill.id, times=None)
    run = read(simulator, concurrency=number)
    assert failed(run) == {("accounting_items", ill.id)}
    assert len(complete(run)) == 6 * len(STREAMS) - 1
    assert_whole(run, simulator, complete(run))


# ---- nothing there at all


@contextlib.contextmanager
def place(kind: str) -> Iterator[str]:
    """Host and port where nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if kind == "stopped":
            listener.close()
        if kind == "no such host":
            yield "rutter.invalid:8099"
        else:
            yield f"127.0.0.1:{port}"


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("kind", ["stopped", "no such host"])
@pytest.mark.parametrize("tokens", [0, 3])
def test_where_nothing_answers_a_run_says_so_within_half_a_minute(
    simulator: Simulator, kind: str, tokens: int
) -> None:
    with place(kind) as where:
        more: dict[str, Any] = {"api_url": f"http://{where}/versioned"}
        if tokens:
            more["access_tokens"] = [f"token-{number}-of-a-merchant" for number in range(tokens)]
        run = read(simulator, **more)
    assert run.code == 1
    assert 5 < sum(run.waits) <= 30
    last = run.log.splitlines()[-1]
    assert f"nothing answers at {where}" in last
    assert "api_url" in last
    if kind == "no such host":
        assert "cannot be resolved" in last
    # It is said meanwhile too.
    assert re.search(r"failed with a .*; next try in \d+ s", run.log)
    assert "of-a-merchant" not in run.log


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.longer
def test_a_server_that_takes_requests_and_never_answers_is_not_waited_for(
    simulator: Simulator,
) -> None:
    with place("silent") as where:
        run = read(simulator, api_url=f"http://{where}/versioned", request_timeout=1)
    assert run.code == 1
    assert sum(run.waits) <= 30
    assert f"nothing answers at {where}" in run.log


def test_a_gateway_that_says_503_at_first_is_waited_for(simulator: Simulator) -> None:
    simulator.faults.add("respond", path="/connections", status=503, times=8)
    run = read(simulator)
    assert run.code == 0
    assert sum(run.waits) > 60


# ---- what is said of retries


def test_a_retry_says_what_why_and_how_long_and_no_secret(
    simulator: Simulator, connections: list[Connection]
) -> None:
    ill = connections[0]
    simulator.faults.add(
        "respond",
        path="/accounting/items",
        connection_id=ill.id,
        status=503,
        times=None,
        body=f'{{"error_type":"X","error_message":"for {ill.access_token} not now"}}',
    )
    run = read(simulator)
    lines = [line for line in run.log.splitlines() if "; next try in" in line]
    assert 8 < len(lines) <= len(run.waits)
    for line in lines:
        assert line.startswith("WARNING ")
        assert f"/accounting/items of connection {ill.id} failed with status 503" in line
        assert "for [hidden] not now" in line
    assert ill.access_token not in run.log
