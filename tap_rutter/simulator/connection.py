"""A merchant's connection as the world holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tap_rutter.simulator.tables import RowSource, Table

STATUSES = ("active", "unhealthy", "not_ready", "needs_reauth", "disabled")
# Rutter polls only connections in these statuses.
SYNCING = frozenset({"active", "unhealthy"})


@dataclass
class Batch:
    """A part of the history that was fetched after the first sync."""

    number: int
    months: int
    entities: dict[str, tuple[int, int]]
    """Object name -> oldest and newest time in the batch, Unix ms."""


@dataclass
class Connection:
    """One connection. All of its attributes may be changed while the simulator serves it.

    Times are Unix milliseconds.
    """

    id: str
    access_token: str
    platform: str
    org_id: str
    created_at: int
    history_start: int
    """The rows that the connection begins with are not older than this."""
    status: str = "active"
    name: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """List -> how many rows it begins with."""
    disabled_reason: str | None = None
    unavailable_objects: list[str] | None = None
    not_enabled: set[str] = field(default_factory=set)
    """Lists that the organisation has not enabled. They answer with an empty page."""
    unready_entities: set[str] = field(default_factory=set)
    """Names of objects that /connections/status reports as not ready."""
    expected_counts: bool = False
    """Whether /connections/status reports expected counts."""
    paused: bool = False
    sync_period: int = 3_600_000
    sync_duration: int = 60_000
    last_sync_started_at: int | None = None
    last_sync_completed_at: int | None = None
    next_sync_at: int = 0
    initial_sync_done: bool = True
    historical_sync_completed: bool = True
    batches: list[Batch] = field(default_factory=list)
    synthetic: dict[str, RowSource] = field(default_factory=dict, repr=False)
    """Lists whose rows are computed, not stored."""
    tables: dict[str, Table] = field(default_factory=dict, repr=False)

    @property
    def link_url(self) -> str:
        return f"https://link.rutter.example/update/{self.access_token}"

    @property
    def store_unique_id(self) -> str:
        return f"{self.platform.lower()}-{self.id[:8]}"

    @property
    def syncs(self) -> bool:
        return self.status in SYNCING and not self.paused
