"""What the tests of the fleet share. Names begin with the part that they belong to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.ledger import LedgerWorld, own_database

from tap_rutter.demo.database import Database


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
