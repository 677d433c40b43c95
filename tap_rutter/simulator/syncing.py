"""How Rutter learns of changes: it polls each connection's platform, and stamps the rows it finds.

A sync is seen from its end: it started `sync_duration` earlier and brings every change that was
made at the platform before it started. The changes become visible one after another while it runs,
the last of them when it ends. A row's stamp precedes the moment at which the row can be read, since
it is taken before the row is written.
"""

from __future__ import annotations

from collections.abc import Callable

from tap_rutter.simulator.connection import Connection

Land = Callable[[Connection, int, int, float], None]
"""Shows the pending changes of a connection made up to a moment, with this stamp: such a share of
them, always the same ones first."""


def due(connection: Connection, now: int) -> bool:
    return connection.syncs and connection.next_sync_at <= now


def is_running(connection: Connection, now: int) -> bool:
    """Whether a sync is under way."""
    running_since = connection.next_sync_at - connection.sync_duration
    return connection.syncs and running_since <= now < connection.next_sync_at


def show_some(connection: Connection, now: int, lag: int, land: Land) -> None:
    """What a sync that is under way has brought by now."""
    started = connection.next_sync_at - connection.sync_duration
    land(connection, started, now - lag, (now - started) / connection.sync_duration)


def run_due(connection: Connection, now: int, lag: int, land: Land) -> None:
    """Do all syncs of a connection that end up to `now`."""
    while due(connection, now):
        completed = connection.next_sync_at
        if not any(table.pending for table in connection.tables.values()):
            # Nothing waits any more: of the remaining syncs, only the last one matters.
            missed = (now - completed) // connection.sync_period
            completed += missed * connection.sync_period
        sync(connection, completed, lag, land, everything=False)
        connection.next_sync_at = completed + connection.sync_period


def sync(connection: Connection, completed: int, lag: int, land: Land, *, everything: bool) -> None:
    """A sync that ends now; `everything`: whether it brings changes made during it too."""
    started = completed - connection.sync_duration
    land(connection, completed if everything else started, completed - lag, 1.0)
    connection.last_sync_started_at = started
    connection.last_sync_completed_at = completed
    connection.initial_sync_done = True


def sync_times(connection: Connection, now: int) -> tuple[int | None, int | None]:
    """When the latest sync started, and when the latest complete sync ended, as seen at `now`."""
    started, completed = connection.last_sync_started_at, connection.last_sync_completed_at
    if is_running(connection, now):
        started = connection.next_sync_at - connection.sync_duration
    return started, completed
