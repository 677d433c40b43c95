"""The plan: what is read are the same objects for workers and emitter; the rest is not kept."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any, cast

from tap_rutter.connections.selection import Connection
from tap_rutter.replication.base import Partition
from tap_rutter.replication.scouting import Scouting
from tap_rutter.sync.plan import Plan
from tap_rutter.sync.state import Bookmarks

CONNECTIONS = tuple(Connection(f"c{number}", "NETSUITE", "active") for number in range(20))


def streams(count: int) -> list[Any]:
    return [
        SimpleNamespace(
            name=f"s{number}",
            is_about_connections=False,
            replication=SimpleNamespace(reads_since=False),
        )
        for number in range(count)
    ]


def plan_of(listed: list[Any], *read: str) -> Plan:
    run = SimpleNamespace(
        after_sync=None,
        settings=SimpleNamespace(force_fetch=False),
        scouting=Scouting(),
        input_state=Bookmarks({}),
    )
    return Plan(
        listed,
        CONNECTIONS,
        cast("Any", run),
        is_left_out=lambda partition: partition.connection.id not in read,
    )


def alive(plan: Plan) -> int:
    """How many partitions of a plan there are in memory."""
    gc.collect()
    return sum(isinstance(each, Partition) and each.run is plan._run for each in gc.get_objects())


def test_what_is_read_is_the_same_for_all_who_ask() -> None:
    listed = streams(3)
    plan = plan_of(listed, "c4", "c7")
    chains = list(plan.chains())
    for stream in listed:
        partitions = plan.partitions(stream)
        assert [each.connection for each in partitions] == list(CONNECTIONS)
        assert [each.index for each in partitions] == list(range(len(CONNECTIONS)))
        read = [each for each in partitions if not each.is_dropped]
        owners = [chain.owner for chain in chains if chain.owner.endpoint is stream]
        assert [each.connection.id for each in read] == ["c4", "c7"]
        assert all(one is other for one, other in zip(read, owners, strict=True))


def test_what_is_not_read_is_not_kept() -> None:
    listed = streams(30)
    plan = plan_of(listed, "c4")
    chains = list(plan.chains())
    assert alive(plan) == len(chains) == len(listed)


def test_a_stream_that_is_forgotten_has_no_chains_and_keeps_nobody_waiting() -> None:
    listed = streams(2)
    plan = plan_of(listed, "c4", "c5", "c6")
    third = plan.partitions(listed[0])[6].place
    assert list(plan._run.scouting.gates(third))
    plan.forget(listed[0])
    assert not list(plan._run.scouting.gates(third))
    assert {chain.owner.endpoint.name for chain in plan.chains()} == {"s1"}
    assert alive(plan) == 3
