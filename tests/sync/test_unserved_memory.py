"""What platforms do not serve: two connections are asked, and the next runs remember it."""

from __future__ import annotations

import copy
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support.in_process import Run, sync
from support.singer import Json

from tap_rutter.errors import ConfigError
from tap_rutter.simulator import Simulator, World
from tap_rutter.sync.state import check_shape

pytestmark = pytest.mark.any_workers

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
VENDORS, VENDORS_PATH = "accounting_vendors", "/accounting/vendors"
SALES, SALES_PATH = "accounting_sales_orders", "/accounting/sales_orders"
EXPENSES, EXPENSES_PATH = "accounting_expenses", "/accounting/expenses"
FIELDS = "accounting_custom_fields"
GONE = json.dumps({"error_type": "INVALID_REQUEST", "error_code": "ENDPOINT_NOT_SUPPORTED"})
HOUR, DAY = 3600, 24 * 3600


def read(simulator: Simulator, *streams: str, **more: Any) -> Run:
    return sync(simulator, *(streams or (BILLS, VENDORS)), **more)


def ledgers(number: int, platform: str = "QUICKBOOKS", world: World | None = None) -> World:
    """Connections of one platform, with a vendor each and without bills."""
    world = world or World(8, history_days=30)
    for _ in range(number):
        world.add_connection(platform, counts={VENDORS_PATH: 1})
    return world


def ids(world: World, platform: str | None = None) -> list[str]:
    """The connections in the order of reading."""
    return sorted(
        connection.id
        for connection in world.connections.values()
        if platform in {None, connection.platform}
    )


def refuse(simulator: Simulator, path: str, *identities: str) -> list[Any]:
    return [
        simulator.faults.add(
            "respond", path=path, connection_id=identity, status=404, body=GONE, times=None
        )
        for identity in identities
    ]


def asked(simulator: Simulator, path: str) -> list[str | None]:
    """Who was asked since the last look, in the order of reading."""
    found = sorted(entry.connection_id or "" for entry in simulator.requests.to(path))
    simulator.requests.clear()
    return list(found)


def told(run: Run, stream: str, identity: str) -> tuple[str, str | None]:
    """How a partition ended, and why."""
    for row in run.reports:
        if row["connection_id"] == identity and (
            row["stream"] == stream or stream in (row["skipped"] or ())
        ):
            return row["status"], row["reason"]
    raise AssertionError(f"no word of {stream} of {identity}")


def remembered(state: Json) -> list[Json]:
    """What a state says of platforms, with who said it."""
    partitions = state["bookmarks"].get("connections", {}).get("partitions", [])
    return [entry for entry in partitions if "unserved" in entry]


# ---- within a run


@pytest.mark.own_workers
@pytest.mark.parametrize("workers", [1, 8, 32])
def test_two_connections_of_a_platform_are_asked_for_what_it_does_not_serve(workers: int) -> None:
    world = ledgers(60)
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))
        run = read(simulator, BILLS, VENDORS, SALES, concurrency=workers)
        by_path = Counter(entry.path for entry in simulator.requests)
        assert asked(simulator, BILLS_PATH) == ids(world)[:2]
    assert run.code == 0
    assert by_path[BILLS_PATH] == by_path[SALES_PATH] == 2
    assert by_path[VENDORS_PATH] == 60
    for identity in ids(world):
        assert run.report("*", identity)["skipped"] == [BILLS, SALES]
        assert run.report("*", identity)["reason"] == "unsupported"
        assert run.report(VENDORS, identity)["status"] == "complete"


@pytest.mark.own_workers
@pytest.mark.parametrize("workers", [1, 8, 32])
def test_each_platform_is_asked_for_itself(workers: int) -> None:
    world = World(8, history_days=30)
    for platform in ("QUICKBOOKS", "XERO", "NETSUITE", "ZOHOBOOKS", "SHOPIFY"):
        ledgers(5, platform, world)
    with Simulator(world) as simulator:
        run = read(simulator, SALES, FIELDS, concurrency=workers)
        counts = Counter(
            (world.connections[entry.connection_id or ""].platform, entry.path)
            for entry in simulator.requests.to(SALES_PATH)
        )
        fields = {
            entry.connection_id
            for entry in simulator.requests
            if entry.path.endswith("custom_fields")
        }
    assert run.code == 0
    assert counts.pop(("NETSUITE", SALES_PATH)) == 5
    assert set(counts.values()) == {2}
    # A list by names is unsupported when several of them are missing; it is held just the same.
    assert len(fields) == 5 + 4 * 2


@pytest.mark.own_workers
@pytest.mark.parametrize("workers", [1, 8, 32])
def test_whoever_fails_does_not_count_and_the_next_is_asked(workers: int) -> None:
    world = ledgers(10)
    first, second, third, fourth, fifth, *_ = ids(world)
    world.connections[second].unavailable_objects = ["bill"]
    with Simulator(world) as simulator:
        for identity, status in ((first, 400), (third, 404), (fourth, 403), (fifth, 404)):
            simulator.faults.add(
                "respond",
                path=BILLS_PATH,
                connection_id=identity,
                status=status,
                body=GONE,
                times=None,
            )
        refuse(simulator, BILLS_PATH, *ids(world)[5:])
        run = read(simulator, concurrency=workers)
        # A 400 is asked again without a sort order.
        assert asked(simulator, BILLS_PATH) == [first, first, third, fourth, fifth]
    assert run.code == 1
    assert {told(run, BILLS, identity) for identity in ids(world)[4:]} == {
        ("skipped", "unsupported")
    }


def test_connections_whose_first_sync_goes_on_speak_for_nobody() -> None:
    world = ledgers(6)
    ready = ids(world)[2:]
    for identity in ids(world)[:2]:
        world.connections[identity].status = "not_ready"
        world.connections[identity].initial_sync_done = False
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world)[:2])
        run = read(simulator, force_fetch=True)
        assert asked(simulator, BILLS_PATH) == ids(world)
    assert run.code == 0
    for identity in ids(world)[:2]:
        assert told(run, BILLS, identity) == ("skipped", "unsupported")
        assert identity not in str(run.state)
    assert {told(run, BILLS, identity) for identity in ready} == {("complete", None)}
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))
        run = read(simulator, force_fetch=True)
    # Two that are ready speak for all.
    assert {entry["context"]["connection_id"] for entry in remembered(run.state)} == set(ready[:2])


@pytest.mark.own_workers
@pytest.mark.parametrize("workers", [8, 32])
def test_who_waits_for_a_slow_answer_is_read_in_its_other_lists(workers: int) -> None:
    world = ledgers(30)
    others: set[str] = set()
    condition = threading.Condition()
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))

        def hold(request: Any) -> None:
            # The first two are answered when all have been asked for their vendors.
            if request.path == BILLS_PATH:
                with condition:
                    assert condition.wait_for(lambda: len(others) == 30, 60)
            elif request.path == VENDORS_PATH:
                with condition:
                    others.add(request.connection_id)
                    condition.notify_all()

        simulator.before_request = hold
        run = read(simulator, concurrency=workers)
        assert asked(simulator, BILLS_PATH) == ids(world)[:2]
    assert run.code == 0
    assert len(run.records[VENDORS]) == 30


@pytest.mark.own_workers
@pytest.mark.parametrize("served", [0, 1])
def test_one_answer_lets_all_go(served: int) -> None:
    world = ledgers(12)
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *(each for each in ids(world) if each != ids(world)[served]))
        run = read(simulator, concurrency=8)
        assert asked(simulator, BILLS_PATH) == ids(world)
    assert run.code == 0
    assert remembered(run.state) == []


# ---- between runs


def test_what_was_learnt_is_not_asked_for_again_before_its_time() -> None:
    world = ledgers(8)
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))
        first = read(simulator)
        assert asked(simulator, BILLS_PATH) == ids(world)[:2]
        world.advance(23 * HOUR)
        second = read(simulator, state=first.state)
        assert asked(simulator, BILLS_PATH) == []
        world.advance(2 * HOUR)
        third = read(simulator, state=second.state)
        assert asked(simulator, BILLS_PATH) == ids(world)[:2]
        world.advance(HOUR)
        read(simulator, state=third.state)
        assert asked(simulator, BILLS_PATH) == []
    assert remembered(first.state) == remembered(second.state) != remembered(third.state)
    for run in (first, second, third):
        assert run.code == 0
        assert {told(run, BILLS, each) for each in ids(world)} == {("skipped", "unsupported")}
    assert "8 lists that their platforms do not have" in second.log


@pytest.mark.parametrize("hours", [0, 1, 48])
def test_how_long_it_is_remembered_is_a_setting(hours: int) -> None:
    world = ledgers(3)
    more: Json = {"recheck_unserved_hours": hours}
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))
        state = read(simulator, **more).state
        simulator.requests.clear()
        for after in (0.5, 25.0, 0.1):
            world.advance(after * HOUR)
            state = read(simulator, state=state, **more).state
            due = hours == 0 or (hours == 1 and after == 25.0)
            assert asked(simulator, BILLS_PATH) == (ids(world)[:2] if due else [])


def test_what_a_platform_begins_to_serve_is_read_from_its_start_when_its_time_comes() -> None:
    world = ledgers(5)
    with Simulator(world) as simulator:
        faults = refuse(simulator, BILLS_PATH, *ids(world))
        first = read(simulator)
        for fault in faults:
            fault.times = 0
        old = {each: world.create(each, BILLS_PATH, late=40 * DAY) for each in ids(world)}
        world.advance(2 * HOUR)
        second = read(simulator, state=first.state)
        assert second.records[BILLS] == []
        world.advance(DAY)
        third = read(simulator, state=second.state)
    for identity in ids(world):
        assert old[identity] in third.ids(BILLS, identity)
    assert remembered(third.state) == []


def test_a_partition_with_a_bookmark_is_always_asked() -> None:
    world = ledgers(4)
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world)[:3])
        last = ids(world)[-1]
        world.create(last, BILLS_PATH)
        world.advance(2 * HOUR)
        # It alone is read first, and then the others, who find nothing, without it.
        before = read(simulator, connection_ids=[last])
        assert len(before.records[BILLS]) == 1
        after = read(simulator, state=before.state, connection_ids=ids(world)[:3])
        assert remembered(after.state)
        simulator.requests.clear()
        new = world.create(last, BILLS_PATH)
        world.advance(2 * HOUR)
        run = read(simulator, state=after.state)
        assert asked(simulator, BILLS_PATH) == [last]
        assert new in run.ids(BILLS, last)
        # It is served after all: what the others were told is forgotten.
        assert remembered(run.state) == []
        refuse(simulator, BILLS_PATH, last)
        failed = read(simulator, state=run.state)
    assert failed.code == 1
    assert told(failed, BILLS, last) == ("failed", "unsupported")


def test_a_lone_connection_speaks_for_itself_until_another_comes() -> None:
    world = ledgers(1)
    (alone,) = ids(world)
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, alone)
        first = read(simulator)
        assert asked(simulator, BILLS_PATH) == [alone]
        again = read(simulator, state=first.state)
        assert asked(simulator, BILLS_PATH) == []
        assert told(again, BILLS, alone) == ("skipped", "unsupported")
        ledgers(1, world=world)
        (newcomer,) = set(ids(world)) - {alone}
        key = world.create(newcomer, BILLS_PATH)
        world.advance(2 * HOUR)
        second = read(simulator, state=again.state)
        assert asked(simulator, BILLS_PATH) == [newcomer]
        assert key in second.ids(BILLS, newcomer)
    assert remembered(second.state) == []


def test_two_that_were_asked_in_different_runs_speak_for_the_platform() -> None:
    world = ledgers(5)
    state: Json | None = None
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))
        for identity in ids(world)[:3]:
            state = read(simulator, state=state, connection_ids=[identity]).state
        assert asked(simulator, BILLS_PATH) == ids(world)[:2]
        read(simulator, state=state)
        assert asked(simulator, BILLS_PATH) == []


@pytest.mark.own_workers
def test_what_is_written_does_not_depend_on_the_number_of_workers() -> None:
    found = []
    for workers in (1, 8, 32):
        world = World(8, history_days=30)
        for platform in ("QUICKBOOKS", "XERO", "SHOPIFY"):
            ledgers(6, platform, world)
        with Simulator(world) as simulator:
            refuse(simulator, BILLS_PATH, *ids(world, "QUICKBOOKS"))
            streams = (BILLS, VENDORS, SALES, EXPENSES, FIELDS)
            first = read(simulator, *streams, concurrency=workers)
            requests = Counter((entry.path, entry.connection_id) for entry in simulator.requests)
            world.advance(25 * HOUR)
            second = read(simulator, *streams, concurrency=workers, state=first.state)
        memory = copy.deepcopy([remembered(run.state) for run in (first, second)])
        for partition in (entry for entries in memory for entry in entries):
            for entry in partition["unserved"]:
                entry.pop("at")  # by each run's own clock
        rows = [
            (row["connection_id"], row["stream"], row["status"], row["skipped"], row["requests"])
            for run in (first, second)
            for row in run.reports
        ]
        found.append((memory, rows, requests))
    assert found[0] == found[1] == found[2]
    assert len(found[0][0][0]) == 3 * 2


def test_the_memory_is_small() -> None:
    platforms = ("QUICKBOOKS", "XERO", "SHOPIFY", "PLAID", "GUSTO")
    world = World(8, history_days=3)
    for platform in platforms:
        for _ in range(3):
            world.add_connection(platform)
    with Simulator(world) as simulator:
        state = sync(simulator).state
    said = [one for entry in remembered(state) for one in entry["unserved"]]
    assert {one["platform"] for one in said} == set(platforms)
    assert len(said) == 2 * len(platforms)
    lists = sum(len(one["streams"]) for one in said)
    assert lists > 2 * 25 * len(platforms)
    assert len(json.dumps(said)) < 40 * lists


# ---- what does not count


def put(**changed: Any) -> Callable[[Json], None]:
    def change(entry: Json) -> None:
        for said in entry["unserved"]:
            said.update(changed)

    return change


@pytest.mark.parametrize(
    "change",
    [
        put(at="2099-01-01T00:00:00.000Z"),
        put(at="2001-01-01T00:00:00.000Z"),
        put(api_version="2023-03-14"),
        put(streams=[]),
        put(platform="XERO"),
    ],
)
def test_what_does_not_hold_any_more_is_asked_for_again(change: Callable[[Json], None]) -> None:
    world = ledgers(4)
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))
        state = read(simulator).state
        for entry in remembered(state):
            change(entry)
        simulator.requests.clear()
        run = read(simulator, state=state)
        assert asked(simulator, BILLS_PATH) == ids(world)[:2]
        read(simulator, state=run.state)
        assert asked(simulator, BILLS_PATH) == []


@pytest.mark.parametrize(
    ("unserved", "where"),
    [
        (5, "unserved must be an array"),
        (["x"], r"unserved\[0\] must be an object"),
        ([{}], r"unserved\[0\].platform must be a string"),
        ([{"platform": "a"}], r"unserved\[0\].api_version must be a string"),
        ([{"platform": "a", "api_version": "b", "at": 5}], r"unserved\[0\].at must be a time"),
        (
            [{"platform": "a", "api_version": "b", "at": "2026-01-01", "streams": [5]}],
            r"unserved\[0\].streams must be an array of strings",
        ),
    ],
)
def test_a_memory_that_cannot_be_read_is_refused_with_its_path(unserved: Any, where: str) -> None:
    partition = {"context": {"connection_id": "a"}, "unserved": unserved}
    with pytest.raises(ConfigError, match=where):
        check_shape({"bookmarks": {"connections": {"partitions": [partition]}}})


def test_the_rest_of_a_state_is_kept_beside_the_memory() -> None:
    world = ledgers(3)
    with Simulator(world) as simulator:
        refuse(simulator, BILLS_PATH, *ids(world))
        state = read(simulator).state
        histories = [
            entry for entry in state["bookmarks"]["connections"]["partitions"] if "history" in entry
        ]
        assert {entry["context"]["connection_id"] for entry in histories} == set(ids(world))
        after = read(simulator, state=state)
    assert after.state == state
