"""A ledger, for the tests that do not need another world."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.ledgers import BILLS_PATH, VENDORS_PATH

from tap_rutter.simulator import Connection, Simulator, World


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A ledger with a few bills and vendors."""
    world = World(4, history_days=30)
    world.add_connection("QUICKBOOKS", counts={BILLS_PATH: 6, VENDORS_PATH: 3})
    with Simulator(world) as running:
        yield running


@pytest.fixture
def ledger(simulator: Simulator) -> Connection:
    """The one connection of the world."""
    (connection,) = simulator.world.connections.values()
    return connection


@pytest.fixture
def ill(simulator: Simulator) -> Connection:
    """The connection that something is the matter with: the first in the order of reading."""
    return min(simulator.world.connections.values(), key=lambda connection: connection.id)
