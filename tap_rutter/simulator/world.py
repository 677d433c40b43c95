"""The world that the API shows: an organisation, its connections, their rows, and a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tap_rutter.simulator import syncing
from tap_rutter.simulator.clock import Clock
from tap_rutter.simulator.connection import STATUSES, Batch, Connection
from tap_rutter.simulator.documents import load_document
from tap_rutter.simulator.generate import row_id
from tap_rutter.simulator.places import Place
from tap_rutter.simulator.platforms import entity_of
from tap_rutter.simulator.store import RowStore
from tap_rutter.simulator.switches import Switches
from tap_rutter.simulator.sync_configs import SyncConfig
from tap_rutter.simulator.tables import Draft, RowSource, Table
from tap_rutter.simulator.text import (
    DAY,
    HOUR,
    decode,
    from_milliseconds,
    iso,
    to_milliseconds,
)

DEFAULT_START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DEFAULT_VERSION = "2024-08-31"


class World:
    """Everything that the simulator serves. Thread-safe: methods take `lock`.

    A change is made at the platform. With `immediate` (the default) it is visible at once, as if
    the connection had just been polled. Otherwise it waits for the connection's next sync. While
    the connection is paused, disabled or not ready, it always waits.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        start: datetime = DEFAULT_START,
        version: str = DEFAULT_VERSION,
        lag: float = 2.0,
        immediate: bool = True,
        history_days: int = 800,
    ) -> None:
        """`lag`: seconds from a row's `last_synced_at` to its visibility."""
        self.lock = threading.RLock()
        self.seed = seed
        self.version = version
        self.document = load_document(version)
        self.clock = Clock(to_milliseconds(start))
        self.lag = int(lag * 1000)
        self.immediate = immediate
        self.switches = Switches()
        self.connections: dict[str, Connection] = {}
        self.sync_configs: dict[str, SyncConfig] = {}
        """By connection id. Other connections have their platform's configuration, or the
        defaults."""
        self.platform_sync_configs: dict[str, SyncConfig] = {}
        self.org_id = row_id(seed, "organisation", "", 0)
        self.client_id = row_id(seed, "client", "id", 0)
        self.client_secret = "secret_" + row_id(seed, "client", "secret", 0)
        self._history_days = history_days
        self._store = RowStore(self.document, seed, self.clock, self.switches, self.lag)
        self.tidings = self._store.tidings
        self._by_token: dict[str, Connection] = {}
        self.recipe: Callable[[], World] | None = None
        """Makes this world again, if it was made by `standard_world` or `bulk_world`."""

    # Connections and time

    @property
    def now(self) -> datetime:
        return from_milliseconds(self.clock.now)

    def advance(self, seconds: float) -> datetime:
        """Let time pass, and do the syncs that become due. Returns the new time."""
        with self.lock:
            self.clock.advance(int(seconds * 1000))
            self.tick()
            return self.now

    def tick(self) -> None:
        """Do what has become due. The caller holds the lock."""
        now = self.clock.now
        for connection in self.connections.values():
            if connection.next_sync_at <= now:
                syncing.run_due(connection, now, self.lag, self._store.land_pending)
            if syncing.is_running(connection, now):
                syncing.show_some(connection, now, self.lag, self._store.land_pending)

    def add_connection(
        self,
        platform: str,
        *,
        status: str = "active",
        counts: Mapping[str, int] | None = None,
        name: str | None = None,
    ) -> Connection:
        """Add a connection; `counts` says how many rows each of its lists begins with."""
        if status not in STATUSES:
            raise ValueError(f"a connection's status is one of {STATUSES}, not {status!r}")
        with self.lock:
            number = len(self.connections)
            now = self.clock.now
            key = row_id(self.seed, "connection", platform, number)
            # Different connections are not all synced at the same moment.
            offset = (number * 7 + 11) % 60 * 60_000
            ready = status != "not_ready"
            connection = Connection(
                id=key,
                access_token=row_id(self.seed, "token", platform, number),
                platform=platform,
                org_id=self.org_id,
                created_at=now - (90 * DAY if ready else HOUR),
                history_start=now - self._history_days * DAY,
                status=status,
                name=name,
                counts=dict(counts or {}),
                disabled_reason="MANUALLY_DISABLED" if status == "disabled" else None,
                next_sync_at=now - now % HOUR + HOUR + offset,
                initial_sync_done=ready,
                historical_sync_completed=ready,
            )
            if ready:
                stopped = 5 * DAY if status in {"disabled", "needs_reauth"} else 0
                connection.last_sync_completed_at = connection.next_sync_at - HOUR - stopped
                if connection.last_sync_completed_at > now:
                    connection.last_sync_completed_at -= HOUR
                    connection.next_sync_at -= HOUR
                connection.last_sync_started_at = (
                    connection.last_sync_completed_at - connection.sync_duration
                )
            self.connections[key] = connection
            self._by_token[connection.access_token] = connection
            self.tidings.added(connection)
            return connection

    def set_status(self, connection_id: str, status: str) -> None:
        """Let a connection's status be another from now on."""
        with self.lock:
            connection = self._connection(connection_id)
            changed, connection.status = connection.status != status, status
            if changed:
                self.tidings.status(connection)

    def sync(self, connection_id: str) -> None:
        """Poll the platform now: all changes so far become visible."""
        with self.lock:
            connection = self._connection(connection_id)
            syncing.sync(
                connection, self.clock.now, self.lag, self._store.land_pending, everything=True
            )
            connection.next_sync_at = self.clock.now + connection.sync_period

    def pause(self, connection_id: str) -> None:
        """Stop polling this connection's platform, so that changes wait there."""
        with self.lock:
            self._connection(connection_id).paused = True

    def resume(self, connection_id: str) -> None:
        """Poll again, the first time after about a minute; `sync` polls at once."""
        with self.lock:
            connection = self._connection(connection_id)
            connection.paused = False
            connection.next_sync_at = self.clock.now + connection.sync_duration

    def make_ready(self, connection_id: str) -> None:
        """End the first sync of a connection that is not ready."""
        with self.lock:
            connection = self._connection(connection_id)
            connection.status = "active"
            connection.unready_entities.clear()
            connection.historical_sync_completed = True
            self.sync(connection_id)

    def add_history_batch(
        self,
        connection_id: str,
        rows: Mapping[str, int],
        *,
        complete: bool = True,
        months_back: int = 12,
    ) -> dict[str, list[str]]:
        """A further part of the history arrives: rows that are older than all rows so far.

        Their `created_at` and `updated_at` are earlier than the oldest known times, and the
        connection's status has one more batch. Returns the keys of the new rows by list.
        """
        with self.lock:
            connection = self._connection(connection_id)
            made: dict[str, list[str]] = {}
            entities: dict[str, tuple[int, int]] = {}
            for path, count in rows.items():
                place = self._store.place(path)
                table = self._store.table(connection, place)
                span = table.span() or (self.clock.now, self.clock.now)
                drafts = self._store.older(connection, place, count, span[0])
                for draft in drafts:
                    self._store.land(connection, place, table, draft.key, draft, self._store.stamp)
                made[path] = [draft.key for draft in drafts]
                entities[entity_of(place.storage)] = ((table.span() or span)[0], span[0])
            connection.batches.append(Batch(len(connection.batches) + 1, months_back, entities))
            connection.historical_sync_completed = complete
            self.tidings.history(connection, connection.batches[-1])
            return made

    # Rows

    def rows(self, connection_id: str, path: str) -> list[dict[str, Any]]:
        """The rows that a list shows now, newest first, numbers with a fraction as Decimal.

        `path` may name a parent (``/accounting/bills/<id>/attachments``). Fields that need `expand`
        are left out.
        """
        with self.lock:
            connection, place = self._at(connection_id, path)
            source = self.source(connection, place)
            if isinstance(source, Table):
                return [
                    decode(row.body)
                    for row in source.in_order()
                    if place.parent in (None, row.parent) and place.key in (None, row.key)
                ]
            return [decode(body) for body in source.bodies()]

    def keys(self, connection_id: str, path: str) -> list[str]:
        """The keys of `rows`, in their order. `update` and `delete` take such a key.

        It is the id that the row shows, unless that is null.
        """
        with self.lock:
            connection, place = self._at(connection_id, path)
            return [
                row.key
                for row in self._store.table(connection, place).in_order()
                if place.parent in (None, row.parent)
            ]

    def create(
        self,
        connection_id: str,
        path: str,
        /,
        *,
        late: float = 0,
        immediate: bool | None = None,
        **fields: Any,
    ) -> str:
        """Create a row at the platform, made from the schema, with these fields; returns its key.

        `late`: by how many seconds the row's own times (`created_at`, `updated_at`) lie back.
        Unknown fields and values of any type are accepted.
        """
        with self.lock:
            connection, place = self._at(connection_id, path)
            draft = self._store.fresh(connection, place, self.clock.now - int(late * 1000))
            if place.parent is not None and "attached_to_id" in place.rows.columns:
                draft.data["attached_to_id"] = place.parent
            if "id" in fields and isinstance(fields["id"], str):
                draft.key = fields["id"]
            self._store.apply(draft, fields)
            draft.parent = place.parent or _parent_in(draft.data)
            self._change(connection, place, draft.key, draft, immediate)
            if place.storage == "/banking/bank_accounts":
                for child in ("balance", "details"):
                    under = f"{place.storage}/{draft.key}/{child}"
                    self.create(connection_id, under, late=late, immediate=immediate)
            return draft.key

    def update(
        self,
        connection_id: str,
        path: str,
        key: str,
        /,
        *,
        late: float = 0,
        immediate: bool | None = None,
        **fields: Any,
    ) -> None:
        """Change fields of a row at the platform; `updated_at` becomes the platform's time."""
        with self.lock:
            connection, place = self._at(connection_id, path)
            draft = self._store.latest(connection, place, key)
            moment = self.clock.now - int(late * 1000)
            if "updated_at" in draft.data:
                draft.data["updated_at"] = iso(moment)
            else:
                draft.times["updated_at"] = moment
            self._store.apply(draft, fields)
            self._change(connection, place, key, draft, immediate)

    def touch(self, connection_id: str, path: str, key: str) -> None:
        """Sync a row again though it has not changed: only `last_synced_at` moves."""
        with self.lock:
            connection, place = self._at(connection_id, path)
            draft = self._store.latest(connection, place, key)
            self._change(connection, place, key, draft, None)

    def delete(
        self, connection_id: str, path: str, key: str, *, immediate: bool | None = None
    ) -> None:
        """Delete a row at the platform. If the platform reports deletions, there is an event."""
        with self.lock:
            connection, place = self._at(connection_id, path)
            self._store.latest(connection, place, key)
            self._change(connection, place, key, None, immediate)

    def put_raw(
        self,
        connection_id: str,
        path: str,
        key: str,
        text: str,
        *,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        last_synced_at: datetime | None = None,
    ) -> None:
        """Serve any text as a row, at once.

        The row is sorted and filtered by the given times, else by times in the text, else by now.
        """
        with self.lock:
            connection, place = self._at(connection_id, path)
            try:
                data = decode(text)
            except ValueError:
                data = None
            data = data if isinstance(data, dict) else {}
            times: dict[str, int | None] = {}
            for column, given in (
                ("created_at", created_at),
                ("updated_at", updated_at),
                ("last_synced_at", last_synced_at),
            ):
                if given is not None:
                    times[column] = to_milliseconds(given)
                elif column not in data:
                    times[column] = self.clock.now - self.lag
            parent = place.parent or _parent_in(data)
            draft = Draft(key, data, times, parent=parent, raw=text, stamped=True)
            table = self._store.table(connection, place)
            table.pending.pop(key, None)
            self._store.show(connection, place, table, key, draft, self._store.stamp)

    # For the server

    def by_token(self, access_token: str) -> Connection | None:
        found = self._by_token.get(access_token)
        if found is not None and self.connections.get(found.id) is found:
            return found
        for connection in self.connections.values():
            if connection.access_token == access_token:
                return connection
        return None

    def source(self, connection: Connection, place: Place) -> RowSource:
        """The rows of a place. The caller holds the lock."""
        return self._store.source(connection, place)

    def new_id(self) -> str:
        """An id that this world has not used yet."""
        return self._store.new_id("", "job")

    # Internal

    def _at(self, connection_id: str, path: str) -> tuple[Connection, Place]:
        return self._connection(connection_id), self._store.place(path)

    def _change(
        self,
        connection: Connection,
        place: Place,
        key: str,
        draft: Draft | None,
        immediate: bool | None,
    ) -> None:
        wanted = self.immediate if immediate is None else immediate
        self._store.change(connection, place, key, draft, immediate=wanted)

    def _connection(self, connection_id: str) -> Connection:
        try:
            return self.connections[connection_id]
        except KeyError:
            raise KeyError(f"no connection {connection_id!r} in this world") from None


def _parent_in(data: Mapping[str, Any]) -> str | None:
    found = data.get("campaign_id") or data.get("attached_to_id")
    return found if isinstance(found, str) else None
