"""The simulated organisation of the demo: what its API shows, and what changes between the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tap_rutter.simulator.connection import Connection
from tap_rutter.simulator.platforms import entity_of, reports_deletions
from tap_rutter.simulator.world import World

HOUR = 3600
# Midnight (UTC) must not pass in this time, since commerce_balance has a row for each day.
_HALF_A_DAY = 12 * HOUR

# The lists that change between the runs, each with a field that changes and its new value.
_BUSY = {
    "/accounting/invoices": ("memo", "Customer asked for a copy"),
    "/accounting/bills": ("memo", "Checked and approved"),
    "/accounting/vendors": ("website", "https://vendor.example.com"),
    "/orders": ("fulfillment_status", "fulfilled"),
    "/products": ("description", "New season"),
    "/banking/bank_transactions": ("description", "Card payment"),
}
_CREATED, _UPDATED, _DELETED = 3, 2, 1


class Changes(NamedTuple):
    """How many rows of a list were created, changed and deleted."""

    created: int
    updated: int
    deleted: int


def readable(world: World) -> list[Connection]:
    """The connections whose data can be read."""
    return [c for c in world.connections.values() if c.status in {"active", "unhealthy"}]


def rows_shown(world: World, path: str) -> int:
    """How many rows the API shows in a list, over all connections.

    A list that Rutter names as unavailable for a connection does not count.
    """
    if path in {"/connections", "/connections/status"}:
        return len(world.connections)
    return sum(
        _count(world, connection.id, path)
        for connection in readable(world)
        if entity_of(path) not in (connection.unavailable_objects or ())
    )


def _count(world: World, connection_id: str, path: str) -> int:
    if path == "/products/categories":
        return _count_tree(world.rows(connection_id, path))
    if "{entityType}" in path:
        types = world.document.endpoints[path].path_values["entityType"]
        return sum(
            len(fields)
            for name in types
            for sections in world.rows(connection_id, path.replace("{entityType}", name))
            for fields in sections.values()
        )
    if "{id}" in path:
        parents = world.keys(connection_id, path.partition("/{id}")[0])
        return sum(len(world.rows(connection_id, path.replace("{id}", key))) for key in parents)
    return len(world.rows(connection_id, path))


def _count_tree(nodes: Sequence[Mapping[str, Any]]) -> int:
    return sum(1 + _count_tree(node.get("children") or ()) for node in nodes)


def let_things_happen(world: World) -> dict[str, Changes]:
    """Half a day of business: in several lists rows are created, changed and deleted.

    Rows are deleted only on platforms that tell Rutter of deletions. Elsewhere no client could know
    of them.
    """
    changes = {}
    world.advance(_HALF_A_DAY)
    for path, (column, value) in _BUSY.items():
        connection = _first_with_rows(world, path)
        if connection is None:
            continue
        keys = world.keys(connection.id, path)
        updated = keys[:_UPDATED]
        deleted = keys[_UPDATED : _UPDATED + _DELETED] if _tells(connection) else []
        fields: dict[str, Any] = {column: value}
        for key in updated:
            world.update(connection.id, path, key, **fields)
        for key in deleted:
            world.delete(connection.id, path, key)
        for _ in range(_CREATED):
            world.create(connection.id, path)
        changes[path] = Changes(_CREATED, len(updated), len(deleted))
    world.advance(HOUR)
    return changes


def _tells(connection: Connection) -> bool:
    return reports_deletions(connection.platform)


def _first_with_rows(world: World, path: str) -> Connection | None:
    """A connection with enough rows in a list, preferably one that reports deletions."""
    found: Iterable[Connection] = (
        connection
        for connection in readable(world)
        if len(world.keys(connection.id, path)) > _UPDATED + _DELETED
    )
    return min(found, key=lambda connection: not _tells(connection), default=None)
