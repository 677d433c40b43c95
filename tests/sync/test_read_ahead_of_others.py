"""What is read while an earlier list of the plan is still waited for."""

from __future__ import annotations

import threading

import pytest
from support.in_process import sync
from support.threads import HANG

from tap_rutter.simulator import Simulator, World
from tap_rutter.simulator.request import Request

pytestmark = pytest.mark.own_workers

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
VENDORS, VENDORS_PATH = "accounting_vendors", "/accounting/vendors"
HOUR = 3_600_000


def ledgers(number: int) -> World:
    """Connections of one platform, with two bills and a vendor each."""
    world = World(31, history_days=30)
    for _ in range(number):
        world.add_connection("QUICKBOOKS", counts={BILLS_PATH: 2, VENDORS_PATH: 1})
    return world


def test_a_list_that_is_read_ahead_started_when_it_was_asked_for() -> None:
    """Not when those before it were done: it does not know of what has changed since."""
    world, later = ledgers(2), 0
    first, second = sorted(world.connections)
    asked = threading.Event()

    def hold(request: Request) -> None:
        nonlocal later
        if request.path == BILLS_PATH and request.connection_id == second:
            asked.set()
        elif request.path == BILLS_PATH:
            assert asked.wait(HANG)
            later = HOUR

    with Simulator(world) as simulator:
        simulator.before_request = hold
        run = sync(simulator, BILLS, concurrency=2, now=lambda: world.clock.now + later)
    before, ahead = (run.report(BILLS, connection) for connection in (first, second))
    assert (before["status"], ahead["status"]) == ("complete", "complete")
    assert ahead["started_at"] < before["finished_at"]


@pytest.mark.parametrize("reason", ["failed", "unavailable"])
def test_connections_without_an_answer_keep_no_other_waiting(reason: str) -> None:
    """The others wait for two that tell whether the platform has the list."""
    world = ledgers(6)
    first, second, *others = sorted(world.connections)
    asked: set[str | None] = set()
    condition = threading.Condition()

    def hold(request: Request) -> None:
        """The bills of the first connection come when the others' vendors have been asked for."""
        with condition:
            if request.path == VENDORS_PATH:
                asked.add(request.connection_id)
                condition.notify_all()
            elif request.path == BILLS_PATH and request.connection_id == first:
                assert condition.wait_for(lambda: asked.issuperset(others), HANG)

    with Simulator(world) as simulator:
        for connection in (first, second):
            if reason == "unavailable":
                world.connections[connection].unavailable_objects = ["vendor"]
            else:
                simulator.faults.add(
                    "respond", path=VENDORS_PATH, connection_id=connection, status=403, times=None
                )
        simulator.before_request = hold
        run = sync(simulator, BILLS, VENDORS, concurrency=8)
    assert run.code == (reason == "failed")
    assert len(run.records[BILLS]) == 12
    assert len(run.records[VENDORS]) == 4
