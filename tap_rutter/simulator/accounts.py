"""What the API tells about connections: their list, the details and sync status of each."""

from __future__ import annotations

from typing import Any

from tap_rutter.simulator.connection import SYNCING, Connection
from tap_rutter.simulator.documents import Document, Schema
from tap_rutter.simulator.places import place_of
from tap_rutter.simulator.platforms import entity_of, serves
from tap_rutter.simulator.syncing import sync_times
from tap_rutter.simulator.text import iso
from tap_rutter.simulator.world import World

# Statuses that the list shows by default.
_SHOWN = frozenset({"active", "unhealthy", "not_ready"})


def list_connections(world: World, status: str | None) -> list[dict[str, Any]]:
    return [
        {
            "id": connection.id,
            "access_token": connection.access_token,
            "link_url": connection.link_url,
            "platform": connection.platform,
            "status": connection.status,
            "name": connection.name,
            "created_at": iso(connection.created_at),
            "updated_at": iso(connection.last_sync_completed_at or connection.created_at),
        }
        for connection in world.connections.values()
        if status == "any"
        or (connection.status == status if status else connection.status in _SHOWN)
    ]


def describe_connection(world: World, connection: Connection) -> dict[str, Any]:
    """The body of /connections/access_token."""
    started, completed = sync_times(connection, world.clock.now)
    orders = _spans(world, connection, only="/orders").get("order")
    return {
        "connection": {
            "id": connection.id,
            "store_unique_id": connection.store_unique_id,
            "estimated_completed_at": None,
            "last_sync_completed_at": _shown(completed),
            "last_sync_started_at": _shown(started),
            "oldest_order_date": _shown(orders[0] if orders else None),
            "newest_order_date": _shown(orders[1] if orders else None),
            "disabled": connection.status == "disabled",
            "disabled_reason": connection.disabled_reason,
            "link_url": connection.link_url,
            "needs_update": connection.status == "needs_reauth",
            "platform": connection.platform,
            "initial_orders_synced_count": None,
            "store_domain": None,
            "store_name": connection.name or "",
            "unavailable_objects": connection.unavailable_objects,
            "created_at": iso(connection.created_at),
        }
    }


def describe_status(world: World, connection: Connection) -> dict[str, Any]:
    """The body of /connections/status, without its envelope."""
    _, completed = sync_times(connection, world.clock.now)
    spans = _spans(world, connection)
    counts = {name: count for name, (_, _, count) in spans.items()}
    return {
        "status": {
            "last_sync_completed_at": _shown(completed),
            "is_healthy": connection.status == "active",
            "is_ready": connection.status != "not_ready",
            "link_url": connection.link_url,
            "platform": connection.platform,
            "needs_update_status": {"needs_update": connection.status == "needs_reauth"},
            "disabled_status": {
                "is_disabled": connection.status == "disabled",
                "disabled_reason": connection.disabled_reason,
            },
            "historical_sync_status": {
                "historical_sync_completed": connection.historical_sync_completed,
                "num_batches_completed": len(connection.batches),
                "total": {
                    name: {
                        "oldest_entity_date": iso(oldest),
                        "newest_entity_date": iso(newest),
                        "ready": name not in connection.unready_entities
                        and connection.initial_sync_done,
                        "synced_count": count,
                    }
                    for name, (oldest, newest, count) in spans.items()
                },
                "synced_orders_count": counts.get("order", 0),
                "synced_transactions_count": counts.get("transaction", 0),
                "synced_balance_sheets_count": counts.get("balance_sheet", 0),
                "synced_cash_flows_count": counts.get("cash_flow", 0),
                "synced_income_statements_count": counts.get("income_statement", 0),
                "expected_entity_counts": _expected(connection, counts),
                "batches": _batches(connection),
            },
            "created_at": iso(connection.created_at),
        }
    }


def prune(document: Document, schema: Schema, value: Any) -> Any:
    """The value without the properties that this API version does not have."""
    schema = document.resolve(schema)
    known: dict[str, Schema] = schema.get("properties", {})
    if isinstance(value, dict) and known:
        return {k: prune(document, known[k], v) for k, v in value.items() if k in known}
    if isinstance(value, list) and "items" in schema:
        return [prune(document, schema["items"], item) for item in value]
    return value


def is_syncing(connection: Connection) -> bool:
    return connection.status in SYNCING


def _spans(
    world: World, connection: Connection, only: str | None = None
) -> dict[str, tuple[int, int, int]]:
    """Per object: oldest and newest time, and the number of rows."""
    found: dict[str, tuple[int, int, int]] = {}
    for endpoint in world.document.lists():
        path = endpoint.path
        if only not in (None, path) or path == "/events" or not endpoint.parameters:
            continue
        if path in connection.not_enabled or not serves(connection.platform, path):
            continue
        place = place_of(world.document, path)
        if place is None or "id" in endpoint.parameters:
            continue
        source = world.source(connection, place)
        span = source.span()
        if span is not None:
            found[entity_of(path)] = (*span, len(source))
    return found


def _expected(connection: Connection, counts: dict[str, int]) -> list[dict[str, Any]] | None:
    if not connection.expected_counts:
        return None
    return [
        {"batch_num": 0, "entity": name, "is_estimate": count > 1_000_000, "count": count}
        for name, count in counts.items()
    ]


def _batches(connection: Connection) -> list[dict[str, Any]]:
    return [
        {
            "batch_num": batch.number,
            "progress_info": {
                name: {
                    "oldest_batch_entity_date": iso(oldest),
                    "newest_batch_entity_date": iso(newest),
                    "status": "COMPLETED",
                }
                for name, (oldest, newest) in batch.entities.items()
            },
            "config": {"timeFrameInMonths": batch.months, "entities": {}},
        }
        for batch in connection.batches
    ]


def _shown(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(milliseconds)
