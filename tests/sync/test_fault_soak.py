"""Many connections, and every twentieth answer some kind of trouble: all rows arrive all the same.

``FAULT_SOAK_CONNECTIONS=200 FAULT_SOAK_SECONDS=180`` makes minutes of it (``make soak`` does).
"""

from __future__ import annotations

import os
import time
from typing import Any

from support.in_process import sync

from tap_rutter.simulator import Simulator, bulk_world

CONNECTIONS = int(os.environ.get("FAULT_SOAK_CONNECTIONS", "12"))
SECONDS = float(os.environ.get("FAULT_SOAK_SECONDS", "0"))
SHARE = 0.05

TABLES = {"/orders": 260, "/products": 40, "/transactions": 120, "/customers": 30}
STREAMS = ("commerce_orders", "commerce_products", "commerce_transactions", "commerce_customers")
PATHS = dict(zip(STREAMS, TABLES, strict=True))

TROUBLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("respond", {"status": 500}),
    ("respond", {"status": 502, "body": "<html>Bad gateway</html>"}),
    ("respond", {"status": 429, "headers": {"Retry-After": "2"}}),
    ("respond", {"status": 429}),
    ("respond", {"status": 550}),
    ("html", {}),
    ("broken_json", {}),
    ("reset", {}),
    ("close", {}),
    ("cut", {}),
    ("bad_gzip", {}),
)


def test_everything_lands_though_every_twentieth_answer_is_trouble() -> None:
    began, rounds = time.monotonic(), 0
    while rounds == 0 or time.monotonic() - began < SECONDS:
        world = bulk_world(
            connections=CONNECTIONS, orders=TABLES["/orders"], tables=TABLES, seed=rounds
        )
        with Simulator(world) as simulator:
            for action, how in TROUBLE:
                simulator.faults.add(
                    action, path="*", probability=SHARE / len(TROUBLE), times=None, **how
                )
            ended = sync(simulator, *STREAMS, page_size=50, concurrency=8)
            faulty = sum(1 for request in simulator.requests if request.fault)
        assert ended.code == 0, ended.log
        assert faulty > 0
        for connection in world.connections.values():
            for stream, path in PATHS.items():
                shown = {row["id"] for row in world.rows(connection.id, path)}
                assert len(shown) == TABLES[path]
                assert ended.ids(stream, connection.id) == shown, (rounds, stream, connection.id)
        rounds += 1
