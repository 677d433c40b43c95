"""A simulated Rutter in its own process, so that its work is not counted.

``python -m benchmarks.serve '<world as JSON>'`` prints its address and connections as one line of
JSON. It serves until its standard input ends, so it ends with the benchmarks. Each line on its
standard input is a JSON object that may change how it serves (``latency``, ``advance``: seconds).
It answers with a line that counts the requests since the previous line.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tap_rutter.simulator import Simulator, bulk_world

BOUNDED = ""
"""A key beside the paths: the number of requests with a lower bound of time."""


@dataclass(frozen=True)
class World:
    """The served world: equal connections, each with the same number of rows."""

    orders: int = 0
    """How many orders each connection has."""
    connections: int = 1
    latency: float = 0.0
    """Seconds that each answer waits."""
    platform: str = "SHOPIFY"
    tables: dict[str, int] = field(default_factory=dict)
    """How many rows each connection has in other lists."""
    empty: dict[str, str] = field(default_factory=dict)
    """Lists that answer with an empty page, as if they were not enabled, each with the key of its
    rows."""
    body_size: int = 3_000
    days: int = 365
    """Over which the rows lie."""
    burst: int = 0
    """How many come within an hour, again and again over the days; 0: all at even distances."""

    def to_json(self) -> str:
        """The world in the form of this module's argument."""
        return json.dumps(asdict(self))


def simulator_of(world: World) -> Simulator:
    """A simulator of this world. It does not compress bodies, since that costs much time."""
    made = bulk_world(
        world.orders,
        world.connections,
        platform=world.platform,
        tables=world.tables,
        body_size=world.body_size,
        days=world.days,
        burst=world.burst,
    )
    simulator = Simulator(made, latency=world.latency, gzip=False)
    for path, key in world.empty.items():
        body = json.dumps({key: [], "next_cursor": None})
        simulator.faults.add("respond", path=path, times=None, status=200, body=body)
    return simulator


def greeting(simulator: Simulator) -> dict[str, Any]:
    """What a client needs to know: address, keys and connections."""
    return {
        "api_url": simulator.api_url,
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "api_version": simulator.world.version,
        "end_ms": simulator.world.clock.now,
        "connections": [
            {"id": connection.id, "access_token": connection.access_token}
            for connection in simulator.world.connections.values()
        ],
    }


def obey(simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, int]:
    """Change how it serves; returns the earlier requests by path, and under ``""`` how many of them
    had a lower bound of time."""
    asked: Counter[str] = Counter()
    for entry in simulator.requests:
        asked[entry.path] += 1
        asked[BOUNDED] += any(name.endswith("_min") for name in entry.params)
    simulator.requests.clear()
    simulator.latency = wanted.get("latency", simulator.latency)
    if "advance" in wanted:
        simulator.world.advance(wanted["advance"])
    return dict(asked)


def main() -> None:
    """Serve until standard input ends."""
    with simulator_of(World(**json.loads(sys.argv[1]))) as simulator:
        print(json.dumps(greeting(simulator)), flush=True)
        for line in sys.stdin:
            print(json.dumps(obey(simulator, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
