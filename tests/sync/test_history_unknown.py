"""Old rows that come while nothing is known of a connection's history are not missed."""

from __future__ import annotations

from typing import Any

import pytest
from support.in_process import sync

from tap_rutter.simulator import Simulator, standard_world

pytestmark = pytest.mark.any_workers


def test_history_that_becomes_known_late_is_read_again() -> None:
    world = standard_world(seed=1)
    shop = next(entry for entry in world.connections.values() if entry.platform == "SHOPIFY")
    only: dict[str, Any] = {"connection_ids": [shop.id], "max_retry_seconds": 0}
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path="/connections/status", status=500, times=None)
        first = sync(simulator, "commerce_orders", **only)
        partitions = first.state["bookmarks"]
        assert partitions["commerce_orders"]["partitions"]
        assert "connections" not in partitions

        # Two years back: far below the bookmark, and told by nothing that was known before.
        world.add_history_batch(shop.id, {"/orders": 7}, months_back=24)
        simulator.faults.clear()
        second = sync(simulator, "commerce_orders", state=first.state, **only)
        third = sync(simulator, "commerce_orders", state=second.state, **only)

    shown = {row["id"] for row in world.rows(shop.id, "/orders")}
    before = {record["id"] for record in first.records["commerce_orders"]}
    assert len(shown - before) == 7
    assert {record["id"] for record in second.records["commerce_orders"]} == shown
    assert len(third.records["commerce_orders"]) < len(shown) / 2  # once is enough
