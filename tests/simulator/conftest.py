"""What the simulator's tests share: a client of the test's own world."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.http_client import Client

from tap_rutter.simulator import Simulator, World


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    """A client of a simulator of the test's ``world``."""
    with Simulator(world) as simulator:
        client = Client(simulator)
        yield client
        client.close()
