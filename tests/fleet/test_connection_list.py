"""A worker's list of connections: asked for when it must be, and never waited for without need."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from support.ledger import LedgerWorld

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.work import connection_list
from tap_rutter.fleet.work.connection_list import ConnectionList
from tap_rutter.simulator import Connection, Simulator, World


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = World(5)
    for platform in ("SHOPIFY", "XERO"):
        world.add_connection(platform, counts={})
    with Simulator(world) as running:
        yield running


@pytest.fixture
def both(simulator: Simulator) -> list[Connection]:
    return [*simulator.world.connections.values()]


@pytest.fixture
def known(simulator: Simulator, ledger_world: LedgerWorld) -> ConnectionList:
    settings = {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "api_url": simulator.api_url,
    }
    return ConnectionList(FleetConfig(tap_config=settings), ledger_world.ledger)


def asked(simulator: Simulator) -> int:
    return len(simulator.requests.to("/connections"))


def test_it_is_asked_for_once(
    known: ConnectionList, both: list[Connection], simulator: Simulator
) -> None:
    first = known.rows([both[0].id])
    assert first[both[0].id]["access_token"] == both[0].access_token
    assert known.rows([both[1].id]).keys() == {both[1].id}
    assert known.rows([both[0].id, "nobody"]).keys() == {both[0].id}, "asked a moment ago"
    known.renew()
    assert asked(simulator) == 1


def test_what_is_not_in_it_is_looked_for_again(
    known: ConnectionList,
    both: list[Connection],
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known.rows([both[0].id])
    monkeypatch.setattr(connection_list, "_AGAIN_AFTER", 0.0)
    added = simulator.world.add_connection("XERO", counts={})
    assert known.rows([added.id]).keys() == {added.id}
    known.forget([both[0].id])
    assert known.rows([both[1].id]).keys() == {both[1].id}
    assert asked(simulator) == 2
    assert known.rows([both[0].id]).keys() == {both[0].id}, "its token was refused"
    assert asked(simulator) == 3


def test_an_old_one_is_renewed(
    known: ConnectionList,
    both: list[Connection],
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_list, "_OLD_AFTER", 0.0)
    known.renew()
    assert asked(simulator) == 0, "nobody has needed it yet"
    known.rows([both[0].id])
    known.renew()
    assert asked(simulator) == 2


def test_who_is_known_does_not_wait_for_a_list_on_its_way(
    known: ConnectionList, both: list[Connection], simulator: Simulator
) -> None:
    known.rows([both[0].id])
    arrived, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        arrived.set()
        go_on.wait(60)

    simulator.before_request = hold
    lister = threading.Thread(target=known.refresh)
    lister.start()
    try:
        assert arrived.wait(60)
        assert known.rows([both[0].id]).keys() == {both[0].id}
        assert lister.is_alive()
    finally:
        go_on.set()
        lister.join()
