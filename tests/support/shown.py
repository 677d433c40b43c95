"""What a simulated world should bring, stream by stream, as rows.

Written from the API's facts and the tap's promises, not from its code: what the world shows is
turned into rows here once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping

from support.singer import discovered
from support.warehouse import Row
from tap_rutter.simulator import Connection, World
from tap_rutter.simulator.accounts import (
    describe_connection,
    describe_status,
    list_connections,
)
from tap_rutter.simulator.platforms import RESOURCES, entity_of
from tap_rutter.streams import OPTIONAL, STREAMS, name_of

OF_THE_RUN = "sync_report"
"""Tells of the run itself, not of the world."""

PATHS = {
    name_of(stream): stream.path
    for stream in STREAMS
    if name_of(stream) in {entry["tap_stream_id"] for entry in discovered(*OPTIONAL)["streams"]}
}
"""Endpoint of each stream of the API version that is read by default."""

BY_DEFAULT = sorted(PATHS.keys() - {OF_THE_RUN, *OPTIONAL})
"""The streams that a user gets without asking for more."""

_STATUS_COUNTS = (
    "synced_orders_count",
    "synced_transactions_count",
    "synced_balance_sheets_count",
    "synced_cash_flows_count",
    "synced_income_statements_count",
)
_PARENT_TYPES = {
    "bills": "bill",
    "expenses": "expense",
    "invoices": "invoice",
    "journal_entries": "journal_entry",
    "bank_deposits": "bank_deposit",
    "bank_transfers": "bank_transfer",
}

Make = Callable[[World, Connection, str], Iterable[Row]]


def readable(world: World) -> list[Connection]:
    """The connections whose data Rutter gives out."""
    return [c for c in world.connections.values() if c.status in {"active", "unhealthy"}]


def rows_of(world: World, stream: str) -> list[Row]:
    """The rows that a stream should deliver now, over all connections."""
    if stream == "connections":
        return [_listed(row) for row in list_connections(world, "any")]
    path = PATHS[stream]
    # How a connection stands is told whatever its status; its data are not.
    told = world.connections.values() if stream == "connection_statuses" else readable(world)
    return [
        {"connection_id": connection.id, **row}
        for connection in told
        if entity_of(path) not in (connection.unavailable_objects or ())
        for row in _maker(stream, path)(world, connection, path)
    ]


def _maker(stream: str, path: str) -> Make:
    if stream in _MADE:
        return _MADE[stream]
    if path.endswith("/{id}/attachments"):
        return _attachments
    return _metrics if path.endswith("/metrics/{metricName}") else _as_they_are


def _as_they_are(world: World, connection: Connection, path: str) -> Iterable[Row]:
    return world.rows(connection.id, path)


def _listed(row: Row) -> Row:
    """A connection without what is secret of it."""
    return {name: value for name, value in row.items() if name not in {"access_token", "link_url"}}


def _connection_status(world: World, connection: Connection, path: str) -> Iterable[Row]:
    del path
    told = describe_status(world, connection)["status"]
    more = describe_connection(world, connection)["connection"]
    history = told["historical_sync_status"]
    return [
        {
            "platform": told["platform"],
            "is_ready": told["is_ready"],
            "is_healthy": told["is_healthy"],
            "needs_update": told["needs_update_status"]["needs_update"],
            "is_disabled": told["disabled_status"]["is_disabled"],
            "disabled_reason": told["disabled_status"]["disabled_reason"],
            "created_at": told["created_at"],
            "last_sync_started_at": more["last_sync_started_at"],
            "last_sync_completed_at": told["last_sync_completed_at"],
            "historical_sync_completed": history["historical_sync_completed"],
            "num_batches_completed": history["num_batches_completed"],
            "entities": history["total"],
            "batches": history["batches"],
            "expected_entity_counts": history["expected_entity_counts"],
            **{name: history[name] for name in _STATUS_COUNTS},
        }
    ]


def _deletions(world: World, connection: Connection, path: str) -> Iterable[Row]:
    return [
        {
            "id": event["id"],
            "resource": event["resource"],
            "stream": _stream_of(event["resource"]),
            "object_id": event["data"]["id"],
            "deleted_at": event["last_synced_at"],
            "last_synced_at": event["last_synced_at"],
            "data": event["data"],
        }
        for event in world.rows(connection.id, path)
    ]


def _stream_of(resource: str) -> str | None:
    """The stream whose rows an event means; none for statements, whose rows have no id."""
    path = RESOURCES.get(resource, "")
    if not path or path.endswith(("/balance_sheets", "_statements")):
        return None
    return path.strip("/").replace("bank_feeds/", "bank_feed_").replace("/", "_")


def _custom_fields(world: World, connection: Connection, path: str) -> Iterator[Row]:
    for entity_type in world.document.endpoints[path].path_values["entityType"]:
        for sections in world.rows(connection.id, path.replace("{entityType}", entity_type)):
            for section, fields in sections.items():
                for field in fields:
                    default = field.get("default")
                    yield {
                        **field,
                        "entity_type": entity_type,
                        "section": "line_items" if section.endswith("line_items") else "entity",
                        "default": None if default is None else json.dumps(default),
                    }


def _metrics(world: World, connection: Connection, path: str) -> Iterator[Row]:
    now = f"{world.now:%Y-%m-%dT%H:%M:%SZ}"
    for metric in world.document.endpoints[path].path_values["metricName"]:
        for row in world.rows(connection.id, path.replace("{metricName}", metric)):
            currency = row["currency"] or "*"
            yield {**row, "metric": metric, "currency": currency, "checkpoint": now}


def _attachments(world: World, connection: Connection, path: str) -> Iterator[Row]:
    parents = path.split("/")[2]
    for parent in world.rows(connection.id, f"/accounting/{parents}"):
        for row in world.rows(connection.id, path.replace("{id}", parent["id"])):
            del row["file_url"]
            yield {
                **row,
                "parent_id": parent["id"],
                "parent_type": _PARENT_TYPES[parents],
                "parent_last_synced_at": parent["last_synced_at"],
            }


def _of_bank_accounts(world: World, connection: Connection, path: str) -> Iterator[Row]:
    for account in world.rows(connection.id, "/banking/bank_accounts"):
        for row in world.rows(connection.id, path.replace("{id}", account["id"])):
            yield {**row, "bank_account_id": account["id"]}


def _balances(world: World, connection: Connection, path: str) -> Iterable[Row]:
    day = f"{world.now:%Y-%m-%d}T00:00:00Z"
    return [{**row, "date": day} for row in world.rows(connection.id, path)]


def _categories(world: World, connection: Connection, path: str) -> Iterator[Row]:
    # The tree comes oldest first.
    return _branches(world.rows(connection.id, path)[::-1], None, [])


def _branches(rows: list[Row], parent: str | None, way: list[str]) -> Iterator[Row]:
    for position, row in enumerate(rows):
        here = [*way, row["id"]]
        yield {
            "id": row["id"],
            "name": row["name"],
            "parent_id": parent,
            "path": here,
            "position": position,
        }
        yield from _branches(row.get("children") or [], row["id"], here)


def _sync_configs(world: World, connection: Connection, path: str) -> Iterator[Row]:
    """A connection's own configuration, else its platform's."""
    del path
    own = world.sync_configs.get(connection.id)
    config = own or world.platform_sync_configs.get(connection.platform)
    if config is not None:
        entities = list(config.entities)
        yield {
            "level": "connection" if own else "platform",
            "sync_period_minutes": config.period_minutes,
            "initial_entities": entities,
            "incremental_entities": entities,
            "initial_batches": [{"entities": entities, "months": config.months}],
        }


_MADE: Mapping[str, Make] = {
    "accounting_custom_fields": _custom_fields,
    "banking_bank_account_balances": _of_bank_accounts,
    "banking_bank_account_details": _of_bank_accounts,
    "commerce_balance": _balances,
    "commerce_product_categories": _categories,
    "connection_statuses": _connection_status,
    "connection_sync_configs": _sync_configs,
    "deleted_objects": _deletions,
}


def shown(world: World, streams: Iterable[str] = BY_DEFAULT) -> dict[str, list[Row]]:
    """What the world shows now, by stream."""
    return {stream: rows_of(world, stream) for stream in streams}
