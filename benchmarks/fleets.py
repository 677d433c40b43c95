"""Worlds of many small connections."""

from __future__ import annotations

from benchmarks.lists import RutterList, ledger
from benchmarks.serve import World

ROWS_PER_LIST = 5


def fleet_world(connections: int, latency: float) -> tuple[World, list[RutterList], int]:
    """A fleet of ledgers, their lists, and how many rows each connection has."""
    full, empty = ledger()
    world = World(
        connections=connections,
        latency=latency,
        platform="NETSUITE",
        tables={entry.path: ROWS_PER_LIST for entry in full},
        empty={entry.path: entry.key for entry in empty},
    )
    return world, [*full, *empty], len(full) * ROWS_PER_LIST
