"""Sweeps ask of each connection whether Rutter has synced it, and read what somebody told of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.runs import LANDS, Fleet, mark, scripted

from tap_rutter.fleet.model import Lane, RunResult
from tap_rutter.simulator import Simulator, World

ORDERS, PRODUCTS = "commerce_orders", "commerce_products"
STATUS = "/connections/status"


@pytest.fixture
def run_rutter() -> Iterator[Simulator]:
    world = World()
    made = [world.add_connection("AMAZON", counts={"/orders": 8, "/products": 3}) for _ in range(4)]
    # The first sync of each comes within the hour, so that no run below meets it by chance.
    world.advance(7200)
    for connection in made:
        world.sync(connection.id)
    world.advance(60)
    with Simulator(world) as simulator:
        yield simulator


@pytest.fixture
def fleet(run_rutter: Simulator, tmp_path: Path) -> Fleet:
    kept = tmp_path / "landed.jsonl"
    made = Fleet(run_rutter, tmp_path, target=scripted(tmp_path, LANDS.format(path=str(kept))))
    catalog = tmp_path / "catalog.json"
    streams = [{"tap_stream_id": name, "schema": {}} for name in (ORDERS, PRODUCTS)]
    catalog.write_text(json.dumps({"streams": streams}), encoding="utf-8")
    made.more = {"catalog": str(catalog)}
    # Whatever the operator's settings say.
    made.tap = {"only_after_sync": False}
    return made


def shops(fleet: Fleet) -> list[Any]:
    return [*fleet.simulator.world.connections.values()]


def sweep(fleet: Fleet, *members: Any, lane: Lane = Lane.SWEEP) -> RunResult:
    fleet.simulator.requests.clear()
    done = fleet.run(fleet.claim(*(members or shops(fleet)), lane=lane))
    assert done.fault is None, done.message
    return done


def asked(fleet: Fleet) -> Counter[str]:
    return Counter(entry.path for entry in fleet.simulator.requests)


def keys(fleet: Fleet) -> set[str]:
    """The ids of all rows that have landed."""
    lines = (fleet.directory / "landed.jsonl").read_text(encoding="utf-8").splitlines()
    return {json.loads(line)[2] for line in lines}


def test_a_sweep_of_idle_connections_asks_one_request_of_each(fleet: Fleet) -> None:
    sweep(fleet)
    assert asked(fleet)["/orders"] >= 4
    sweep(fleet)
    assert asked(fleet) == {STATUS: 4}
    # One that was synced since is read, and no other.
    world, (first, *_) = fleet.simulator.world, shops(fleet)
    key = world.create(first.id, "/orders")
    world.advance(60)
    world.sync(first.id)
    sweep(fleet)
    assert asked(fleet)["/orders"] == 1
    assert key in keys(fleet)
    sweep(fleet)
    assert asked(fleet) == {STATUS: 4}


def test_a_sweep_reads_what_a_mark_without_a_date_tells_of(fleet: Fleet) -> None:
    sweep(fleet)
    world, (first, *others) = fleet.simulator.world, shops(fleet)
    key = world.create(first.id, "/orders")  # and no sync at Rutter has ended since
    sweep(fleet)
    assert key not in keys(fleet)
    sweep(fleet, fleet.member(first, mark(ORDERS)), *others)
    assert key in keys(fleet)


@pytest.mark.parametrize("lane", [Lane.FRESH, Lane.BULK])
def test_no_other_run_leaves_anything_out(fleet: Fleet, lane: Lane) -> None:
    sweep(fleet)
    sweep(fleet)
    sweep(fleet, *(fleet.member(shop, mark("*")) for shop in shops(fleet)), lane=lane)
    assert asked(fleet)["/orders"] == asked(fleet)["/products"] == 4


def test_who_does_not_want_it_switches_it_off(fleet: Fleet) -> None:
    fleet.more = {**fleet.more, "sweep_only_after_sync": False}
    sweep(fleet)
    sweep(fleet)
    assert asked(fleet)["/orders"] == 4


def test_a_list_that_fails_is_told_from_its_connection(fleet: Fleet) -> None:
    first, second, *_ = shops(fleet)
    faults = fleet.simulator.faults
    faults.add("respond", path="/orders", connection_id=first.id, status=450, times=None)
    faults.add("respond", path="/orders", connection_id=second.id, status=450, times=None)
    faults.add("respond", path="/products", connection_id=second.id, status=450, times=None)
    done = fleet.run(fleet.claim(*shops(fleet), lane=Lane.SWEEP))
    one, whole, *others = done.outcomes
    assert (one.failed_streams, one.read_others) == ((ORDERS,), True)
    assert (whole.failed_streams, whole.read_others) == ((ORDERS, PRODUCTS), False)
    assert all(other.succeeded and not other.failed_streams for other in others)
