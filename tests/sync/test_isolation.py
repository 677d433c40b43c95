"""One failure ends nothing else: refusals of a partition, a connection and a platform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.in_process import Run, sync
from support.ledgers import error
from support.singer import Json

from tap_rutter.api.request import Request
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import Done, PartitionItem
from tap_rutter.replication.synced import SyncedProgress
from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.sync import plan

pytestmark = pytest.mark.any_workers

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
ITEMS, ITEMS_PATH = "accounting_items", "/accounting/items"
VENDORS, VENDORS_PATH = "accounting_vendors", "/accounting/vendors"
COUNTS = {BILLS_PATH: 7, ITEMS_PATH: 2, VENDORS_PATH: 2}
STREAMS = {BILLS: BILLS_PATH, ITEMS: ITEMS_PATH, VENDORS: VENDORS_PATH}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Two ledgers."""
    world = World(6, history_days=30)
    world.switches.set("cursor_seek", "exact")
    for _ in range(2):
        world.add_connection("QUICKBOOKS", counts=COUNTS)
    with Simulator(world) as running:
        yield running


def read(simulator: Simulator, *streams: str, **more: Any) -> Run:
    return sync(simulator, *(streams or STREAMS), **{"concurrency": 1, "page_size": 5, **more})


def assert_whole(run: Run, simulator: Simulator, connection: Connection) -> None:
    """All lists of a connection were delivered, and the report says so."""
    for stream, path in STREAMS.items():
        shown = {row["id"] for row in simulator.world.rows(connection.id, path)}
        assert run.ids(stream, connection.id) == shown
        row = run.report(stream, connection.id)
        assert (row["status"], row["rows"]) == ("complete", len(shown))


# ---- the connection as a whole, whatever the status

CODES = {
    "PRODUCT_NOT_READY": "not_ready",
    "CONNECTION_DISABLED": "disabled",
    "NEEDS_UPDATE": "needs_reauth",
}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *(
            ("PRODUCT_NOT_READY", status)
            for status in (200, 400, 403, 404, 409, 425, 429, 451, 500)
        ),
        *((code, status) for code in list(CODES)[1:] for status in (200, 401, 404, 503)),
    ],
)
def test_the_code_decides_before_the_status(
    simulator: Simulator, ill: Connection, code: str, status: int
) -> None:
    simulator.faults.add(
        "respond",
        path="/accounting/*",
        connection_id=ill.id,
        status=status,
        body=error(code),
        times=None,
    )
    run = read(simulator, BILLS, VENDORS)
    assert run.code == 0
    assert run.waits == ()
    row = run.report("*", ill.id)
    assert (row["status"], row["reason"], row["error_code"]) == ("skipped", CODES[code], code)
    assert row["error_message"].endswith("as Rutter puts it")
    assert row["skipped"] == [BILLS, VENDORS]
    assert not run.ids(BILLS, ill.id)
    assert f"Connections skipped, {CODES[code]}: 1 ({ill.id})." in run.log


@pytest.mark.parametrize("message", [None, 7, {"text": "an object"}, ["a list"], "x" * 5_000])
def test_the_code_decides_whatever_else_the_error_holds(
    simulator: Simulator, ill: Connection, message: object
) -> None:
    simulator.faults.add(
        "respond",
        connection_id=ill.id,
        path=BILLS_PATH,
        status=503,
        body=error("NEEDS_UPDATE", message),
    )
    run = read(simulator, BILLS)
    assert run.waits == ()
    row = run.report("*", ill.id)
    assert row["reason"] == "needs_reauth"
    assert len(row["error_message"]) < 500


@pytest.mark.parametrize("body", ["", "<html>Unavailable For Legal Reasons</html>", error("ANY")])
def test_a_451_is_the_connections_whatever_comes_with_it(
    simulator: Simulator, ill: Connection, body: str
) -> None:
    simulator.faults.add("respond", connection_id=ill.id, path=BILLS_PATH, status=451, body=body)
    run = read(simulator)
    assert run.code == 0
    assert run.report("*", ill.id)["reason"] == "needs_reauth"


def test_a_refused_access_token_costs_its_connection_and_the_exit_code(
    simulator: Simulator, ill: Connection
) -> None:
    well = max(simulator.world.connections.values(), key=lambda connection: connection.id)
    simulator.faults.add(
        "respond",
        path="/connections/*",
        connection_id=ill.id,
        status=401,
        body=error("INVALID_CREDENTIALS"),
        times=None,
    )
    run = read(simulator)
    assert run.code == 1
    row = run.report("*", ill.id)
    assert (row["reason"], row["error_code"]) == ("unauthorized", "INVALID_CREDENTIALS")
    assert_whole(run, simulator, well)
    assert "Hint: an access token that is refused (401) belongs to another environment" in run.log


@pytest.mark.own_workers
def test_credentials_that_are_refused_while_reading_stop_the_run(
    simulator: Simulator, ill: Connection
) -> None:
    refused = error("UNAUTHORIZED")

    def revoke(request: Request) -> None:
        del request
        simulator.faults.add("respond", status=401, body=refused, times=None)

    simulator.faults.add("none", path=BILLS_PATH, nth=2, call=revoke)
    run = read(simulator)
    assert run.code == 3
    assert "Rutter refuses 'client_id' and 'client_secret' in the production environment" in run.log
    # What had been delivered is told of, and covered by a last STATE.
    assert run.lines[-1]["type"] == "STATE"
    assert len(run.ids(BILLS, ill.id)) == 7
    assert run.report(BILLS, ill.id)["status"] == "complete"
    assert len(simulator.requests.to("/connections")) == 2
    assert not run.ids(VENDORS, ill.id)


@pytest.mark.parametrize(
    ("status", "code"), [("disabled", 1), ("needs_reauth", 1), ("not_ready", 0)]
)
def test_connections_in_trouble_fail_the_run_where_that_is_asked_for(
    simulator: Simulator, ill: Connection, status: str, code: int
) -> None:
    ill.status = status
    lenient, strict = read(simulator), read(simulator, on_connection_error="fail")
    assert (lenient.code, strict.code) == (0, code)
    for run in (lenient, strict):
        row = run.report("*", ill.id)
        assert (row["status"], row["reason"], row["requests"]) == ("skipped", status, 0)
        # Nothing of it is begun.
        assert "from here on" not in run.log
    assert not [entry for entry in simulator.requests if entry.connection_id == ill.id]


@pytest.mark.parametrize(("code", "reason"), CODES.items())
def test_a_refusal_while_reading_fails_the_run_where_that_is_asked_for(
    simulator: Simulator, ill: Connection, code: str, reason: str
) -> None:
    simulator.faults.add(
        "respond", connection_id=ill.id, path=BILLS_PATH, status=400, body=error(code)
    )
    run = read(simulator, on_connection_error="fail")
    assert run.code == (0 if reason == "not_ready" else 1)


def test_the_bookmarks_of_a_connection_that_is_not_ready_stay(
    simulator: Simulator, ill: Connection
) -> None:
    before = read(simulator)
    simulator.world.create(ill.id, BILLS_PATH)
    simulator.faults.add(
        "respond", connection_id=ill.id, status=425, body=error("PRODUCT_NOT_READY"), times=None
    )
    run = read(simulator, state=before.state)
    assert run.code == 0
    assert run.state == before.state


def test_a_connection_that_no_listing_calls_not_ready_is_not_asked_for_data(
    simulator: Simulator, ill: Connection
) -> None:
    """With access tokens given, only its own facts say that its first sync is not over."""
    tokens = [connection.access_token for connection in simulator.world.connections.values()]
    before = read(simulator, access_tokens=tokens)
    ill.status = "not_ready"
    simulator.requests.clear()
    run = read(simulator, access_tokens=tokens, state=before.state)
    assert run.code == 0
    row = run.report("*", ill.id)
    assert (row["status"], row["reason"]) == ("skipped", "not_ready")
    assert f"{ill.id} is skipped from here on (not_ready): Its first sync is not over." in run.log
    asked = [entry for entry in simulator.requests if entry.connection_id == ill.id]
    assert {entry.path.split("/")[1] for entry in asked} == {"connections"}
    assert run.state == before.state


# ---- ten connections

WAYS: dict[str, Json] = {
    "reset": {"action": "reset"},
    "html": {"action": "html"},
    "cut short": {"action": "cut"},
    "rate limited": {"action": "respond", "status": 429, "headers": {"Retry-After": "86400"}},
    "down": {"action": "respond", "status": 503},
    "refused": {"action": "respond", "status": 400, "body": error("SOME_CODE")},
    "no list": {"action": "no_list"},
    "redirect": {"action": "redirect"},
    "cursor loop": {"action": "endless"},
    "refused token": {"action": "respond", "status": 401, "body": error("INVALID_CREDENTIALS")},
    "disabled": {"action": "respond", "status": 400, "body": error("CONNECTION_DISABLED")},
    "needs update": {"action": "respond", "status": 400, "body": error("NEEDS_UPDATE")},
    "not ready": {"action": "respond", "status": 400, "body": error("PRODUCT_NOT_READY")},
    "not served": {"action": "respond", "status": 404, "body": error("ENDPOINT_NOT_SUPPORTED")},
}
BENIGN = {"disabled", "needs update", "not ready", "not served"}


def ten() -> World:
    world = World(9, history_days=30)
    world.switches.set("cursor_seek", "exact")
    for _ in range(10):
        world.add_connection("QUICKBOOKS", counts=COUNTS)
    return world


@pytest.mark.parametrize("way", WAYS)
def test_nine_of_ten_land_whole(way: str) -> None:
    world = ten()
    ill = sorted(world.connections)[4]
    with Simulator(world) as simulator:
        simulator.faults.add(path="/accounting/*", connection_id=ill, times=None, **WAYS[way])
        run = read(simulator, concurrency=8)
        assert run.code == (0 if way in BENIGN else 1)
        for connection in world.connections.values():
            if connection.id != ill:
                assert_whole(run, simulator, connection)
        told = {row["status"] for row in run.reports if row["connection_id"] == ill}
        assert told == {"skipped"} if way in BENIGN | {"refused token"} else told == {"failed"}


def test_each_of_ten_can_fail_in_a_way_of_its_own() -> None:
    world = ten()
    struck = dict(zip(sorted(world.connections), WAYS, strict=False))
    with Simulator(world) as simulator:
        for identity, way in struck.items():
            simulator.faults.add(path=BILLS_PATH, connection_id=identity, times=None, **WAYS[way])
        run = read(simulator, concurrency=8)
        assert run.code == 1
        for identity, way in struck.items():
            told = {row["stream"]: row for row in run.reports if row["connection_id"] == identity}
            if way == "refused token":
                assert told.keys() == {"*"}
                continue
            assert told[BILLS]["status"] == "failed"
            shown = {row["id"] for row in world.rows(identity, VENDORS_PATH)}
            assert run.ids(VENDORS, identity) == shown
        simulator.faults.clear()
        again = read(simulator, state=run.state)
        assert again.code == 0
        for connection in world.connections.values():
            for stream, path in STREAMS.items():
                delivered = run.ids(stream, connection.id) | again.ids(stream, connection.id)
                assert delivered == {row["id"] for row in world.rows(connection.id, path)}


# ---- whatever raises in the tap itself

STEPS = ["begun", "seen", "finished", "bookmarked"]


@pytest.mark.parametrize("step", STEPS)
def test_an_exception_in_one_partition_fails_it_alone(
    simulator: Simulator, ill: Connection, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(simulator)
    name = {
        "begun": "__init__",
        "seen": "see",
        "finished": "finish",
        "bookmarked": "partition_state",
    }
    usual = getattr(SyncedProgress, name[step])

    def odd(progress: SyncedProgress, *args: Any, **more: Any) -> Any:
        pair: Partition = args[0] if step == "begun" else progress._partition
        if (pair.connection.id, pair.endpoint.name) == (ill.id, ITEMS):
            raise OverflowError("date value out of range")
        return usual(progress, *args, **more)

    monkeypatch.setattr(SyncedProgress, name[step], odd)
    run = read(simulator, state=before.state)
    assert run.code == 1
    row = run.report(ITEMS, ill.id)
    assert (row["status"], row["reason"]) == ("failed", "bad_response")
    assert "out of range" in row["error_message"]
    assert {entry["status"] for entry in run.records["sync_report"]} == {"complete", "failed"}
    assert len(run.records["sync_report"]) == len(STREAMS) * 2
    assert partition(run, ITEMS, ill) == partition(before, ITEMS, ill)
    monkeypatch.undo()
    for connection in simulator.world.connections.values():
        assert_whole(read(simulator), simulator, connection)


def partition(run: Run, stream: str, connection: Connection) -> Json:
    """A connection's partition in the last STATE."""
    (found,) = (
        entry
        for entry in run.state["bookmarks"][stream]["partitions"]
        if entry["context"]["connection_id"] == connection.id
    )
    assert isinstance(found, dict)
    return found


def test_a_partition_that_ends_without_done_has_failed(
    simulator: Simulator, ill: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = plan.items_of

    def cut(pair: Partition) -> Iterator[PartitionItem]:
        for item in usual(pair):
            if isinstance(item, Done) and pair.connection.id == ill.id:
                return
            yield item

    monkeypatch.setattr(plan, "items_of", cut)
    run = read(simulator, BILLS, VENDORS)
    assert run.code == 1
    for stream in (BILLS, VENDORS):
        row = run.report(stream, ill.id)
        assert (row["status"], row["reason"]) == ("failed", "interrupted")
        assert "before the end" in row["error_message"]
    assert f"Failed: {BILLS} of connection {ill.id}" in run.log
    statuses = [row["status"] for row in run.records["sync_report"]]
    assert sorted(statuses) == ["complete", "complete", "failed", "failed"]
