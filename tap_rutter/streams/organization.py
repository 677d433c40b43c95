"""Streams about the organisation: its connections, deletions, and the tap's own report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from tap_rutter.api.pages import Page
from tap_rutter.connections.selection import ROW_FIELDS
from tap_rutter.replication.base import Partition
from tap_rutter.replication.endpoint import Changes
from tap_rutter.replication.snapshot import Status
from tap_rutter.replication.sync_config import SyncConfig
from tap_rutter.replication.synced import Synced
from tap_rutter.schema.json_schema import ARRAY, BOOLEAN, OBJECT, JSONSchema
from tap_rutter.streams.base import (
    MadeStream,
    RutterTap,
    SyncedStream,
    integer_columns,
    text_columns,
    time_columns,
)


class Connections(MadeStream):
    """The merchant connections of the organisation, without their tokens and links."""

    name = "connections"
    is_written_by_run = True
    path = "/connections"
    primary_keys = ("id",)
    columns: ClassVar[Mapping[str, JSONSchema]] = {
        **text_columns([name for name in ROW_FIELDS if not name.endswith("_at")]),
        **time_columns(["created_at", "updated_at"]),
    }


class ConnectionStatuses(MadeStream):
    """How each connection stands at Rutter: ready, healthy, last synced, how much history."""

    name = "connection_statuses"
    path = "/connections/status"
    primary_keys = ("connection_id",)
    replication = Status()
    is_about_connections = True
    columns: ClassVar[Mapping[str, JSONSchema]] = {
        **text_columns(["platform"]),
        "is_ready": BOOLEAN,
        "is_healthy": BOOLEAN,
        "needs_update": BOOLEAN,
        "is_disabled": BOOLEAN,
        **text_columns(["disabled_reason"]),
        **time_columns(["created_at", "last_sync_started_at", "last_sync_completed_at"]),
        "historical_sync_completed": BOOLEAN,
        **integer_columns(["num_batches_completed"]),
        "entities": OBJECT,
        "batches": ARRAY,
        "expected_entity_counts": ARRAY,
        **integer_columns(
            [
                "synced_orders_count",
                "synced_transactions_count",
                "synced_balance_sheets_count",
                "synced_cash_flows_count",
                "synced_income_statements_count",
            ]
        ),
    }

    def transform_row(
        self,
        row: dict[str, Any],
        page: Page,  # noqa: ARG002 - the base's signature
        partition: Partition | None,  # noqa: ARG002
    ) -> Iterable[dict[str, Any]]:
        """The nested status as one flat row."""
        history = _object(row.get("historical_sync_status"))
        flat = {
            **{name: row.get(name) for name in self.columns},
            **{name: history.get(name) for name in self.columns if name in history},
            "needs_update": _object(row.get("needs_update_status")).get("needs_update"),
            "is_disabled": _object(row.get("disabled_status")).get("is_disabled"),
            "disabled_reason": _object(row.get("disabled_status")).get("disabled_reason"),
            "entities": history.get("total"),
        }
        return (flat,)


class ConnectionSyncConfigs(MadeStream):
    """What Rutter is set to sync for a connection: which objects, how far back, how often.

    It shows whether an object is not enabled or has no data: Rutter answers with an empty list in
    both cases.
    """

    name = "connection_sync_configs"
    path = "/configs/sync/connections/{id}"
    primary_keys = ("connection_id",)
    replication = SyncConfig()
    is_optional = True
    changes = Changes.AT_ANY_TIME
    columns: ClassVar[Mapping[str, JSONSchema]] = {
        **text_columns(["level"]),
        **integer_columns(["sync_period_minutes"]),
        "initial_entities": ARRAY,
        "incremental_entities": ARRAY,
        "initial_batches": ARRAY,
    }

    def transform_row(
        self,
        row: dict[str, Any],
        page: Page,  # noqa: ARG002 - the base's signature
        partition: Partition | None,
    ) -> Iterable[dict[str, Any]]:
        """The row itself. Its entities are kept, for hints about empty lists in the summary."""
        if partition is not None:
            named = [*row["initial_entities"], *row["incremental_entities"]]
            self.tap.run.report.configured[partition.connection.id] = frozenset(named)
        return (row,)


class DeletedObjects(SyncedStream):
    """Objects that were deleted on their platform, as far as Rutter reports it.

    The rows themselves stay as they are: a record that marks a deletion would set their other
    columns to null in an upserting target. ``rutterctl sql apply-deletions`` marks or removes them.
    """

    name = "deleted_objects"
    path = "/events"
    # The API can filter events by time, but not sort them.
    replication = Synced(sortable=False, params={"type": "object_deleted"})
    # From other platforms the list is empty, whatever was deleted.
    serving_platforms = frozenset({"QUICKBOOKS", "QUICKBOOKS_DESKTOP", "NETSUITE", "XERO"})
    is_allow_list = True

    @classmethod
    def fields(cls, tap: RutterTap) -> Mapping[str, JSONSchema]:  # noqa: ARG003 - the base's signature
        """The columns: fields of the event, and fields that the tap derives from them."""
        return {
            **text_columns(["id", "resource", "stream", "object_id"]),
            **time_columns(["deleted_at", "last_synced_at"]),
            "data": OBJECT,
        }

    def transform_row(
        self,
        row: dict[str, Any],
        page: Page,  # noqa: ARG002 - the base's signature
        partition: Partition | None,  # noqa: ARG002
    ) -> Iterable[dict[str, Any]]:
        """An event with the stream and the id of what was deleted."""
        data = row.get("data")
        if data is not None and not isinstance(data, dict):
            data = {"value": data}
        identity = (data or {}).get("id")
        resource = row.get("resource")
        return (
            {
                "id": row.get("id"),
                "resource": resource,
                "stream": self.tap.streams_by_resource.get(resource)
                if isinstance(resource, str)
                else None,
                "object_id": str(identity) if isinstance(identity, str | int) else None,
                "deleted_at": row.get("last_synced_at"),
                "last_synced_at": row.get("last_synced_at"),
                "data": data,
            },
        )


class SyncReport(MadeStream):
    """What each run of the tap did, per connection and stream."""

    name = "sync_report"
    is_written_by_run = True
    path = ""
    primary_keys = ("run_id", "connection_id", "stream")
    columns: ClassVar[Mapping[str, JSONSchema]] = {
        **text_columns(["run_id", "connection_id", "stream", "status", "reason"]),
        **text_columns(["error_code", "error_message"]),
        **integer_columns(["rows", "pages", "requests", "retries"]),
        **integer_columns(["repaired_values", "unknown_fields", "derived_keys"]),
        "full_read": BOOLEAN,
        **time_columns(["started_at", "finished_at", "window_start", "window_end"]),
        **time_columns(["source_synced_at"]),
        **integer_columns(["source_count"]),
        "skipped": ARRAY,
        **text_columns(["api_version", "tap_version"]),
    }


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
