"""What the tests of the fleet share. Names begin with the part that they belong to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from support.ledger import LedgerWorld, own_database

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, World


@pytest.fixture
def ledger_url(postgres: Database) -> Iterator[str]:
    """The address of an empty database of the test's own."""
    with own_database(postgres) as url:
        yield url


@pytest.fixture
def ledger_world(ledger_url: str) -> Iterator[LedgerWorld]:
    """A migrated ledger of the test's own."""
    world = LedgerWorld(ledger_url)
    yield world
    world.close()


@pytest.fixture
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """Queues of the test's own."""
    from tap_rutter.fleet.work import doorbells

    name = f"test-{uuid.uuid4().hex[:10]}-"
    monkeypatch.setattr(doorbells, "QUEUE_PREFIX", name)
    return name


@pytest.fixture
def run_rutter() -> Iterator[Simulator]:
    """Two small shops, for runs; a test file may have others."""
    world = World()
    for _ in range(2):
        world.add_connection("SHOPIFY", counts={"/orders": 12, "/products": 3})
    with Simulator(world) as simulator:
        yield simulator
