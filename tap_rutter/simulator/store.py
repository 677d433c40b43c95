"""The rows of all connections: visible rows, and changes that wait for a sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

from tap_rutter.simulator.clock import Clock
from tap_rutter.simulator.connection import Connection
from tap_rutter.simulator.documents import Document
from tap_rutter.simulator.factory import Factory, deletion_event, months
from tap_rutter.simulator.generate import row_id
from tap_rutter.simulator.places import STATEMENTS, Place, place_of
from tap_rutter.simulator.platforms import reports_deletions, resource_of, serves
from tap_rutter.simulator.switches import Switches
from tap_rutter.simulator.tables import Draft, Pending, Row, RowSource, Table
from tap_rutter.simulator.text import DAY, decode, encode, iso, parse_iso, to_bytes
from tap_rutter.simulator.tidings import Tidings


class RowStore:
    """Keeps the lists of a world's connections. The caller holds the world's lock."""

    def __init__(
        self, document: Document, seed: int, clock: Clock, switches: Switches, lag: int
    ) -> None:
        """`lag`: milliseconds from a row's stamp to its visibility."""
        self._document = document
        self._seed = seed
        self._clock = clock
        self._switches = switches
        self._lag = lag
        self.tidings = Tidings()
        self._start = clock.now
        self._factory = Factory(document, seed, clock.now, lag)
        self._made = 0

    @property
    def stamp(self) -> int:
        """The stamp of a row that becomes visible now."""
        return self._clock.now - self._lag

    def place(self, path: str) -> Place:
        place = place_of(self._document, path)
        if place is None:
            raise KeyError(f"API version {self._document.version} has no path {path!r}")
        return place

    def new_id(self, connection_id: str, purpose: str) -> str:
        """An id that this world has not used yet."""
        self._made += 1
        return row_id(self._seed, connection_id, purpose, self._made)

    def source(self, connection: Connection, place: Place) -> RowSource:
        """The rows of a place. They are made at the first call."""
        synthetic = connection.synthetic.get(place.storage)
        return synthetic if synthetic is not None else self.table(connection, place)

    def table(self, connection: Connection, place: Place) -> Table:
        """The rows of a place, to change them; raises ValueError if they are computed."""
        if place.storage in connection.synthetic:
            raise ValueError(f"the rows of {place.storage} are computed, so they cannot be changed")
        table = connection.tables.get(place.storage)
        if table is None:
            table = connection.tables[place.storage] = Table(_default_column(place.storage))
            for number, draft in enumerate(self._factory.fill(connection, place)):
                if number % 2 and not connection.initial_sync_done:
                    draft.stamped = False
                    table.pending[draft.key] = Pending(draft, self._start)
                else:
                    self.land(connection, place, table, draft.key, draft, self._start - self._lag)
        if place.storage in STATEMENTS and serves(connection.platform, place.storage):
            self._extend_statements(connection, place, table)
        return table

    def _extend_statements(self, connection: Connection, place: Place, table: Table) -> None:
        known = [row.times.get("start_date") or 0 for row in table.rows.values()]
        newest = max(known, default=connection.history_start)
        for month in months(newest, self._clock.now)[1:]:
            draft = self._factory.statement(connection, place, month)
            self.land(connection, place, table, draft.key, draft, self.stamp)

    def fresh(self, connection: Connection, place: Place, moment: int) -> Draft:
        """A new row as the platform might make it at this moment."""
        key = self.new_id(connection.id, f"{place.storage}|new")
        return self._factory.fresh(connection, place, key, moment)

    def older(self, connection: Connection, place: Place, count: int, before: int) -> list[Draft]:
        """Rows older than a moment; for statements, the months before it."""
        if place.storage in STATEMENTS:
            rows = self.table(connection, place).rows.values()
            before = min([before, *(row.times.get("start_date") or before for row in rows)])
            earlier = months(before - (count + 1) * 31 * DAY, before - 1)
            return [self._factory.statement(connection, place, m) for m in earlier[-count:]]
        drafts = []
        for _ in range(count):
            key = self.new_id(connection.id, f"{place.storage}|older")
            drafts.append(self._factory.older(connection, place, key, before))
        return drafts

    def latest(self, connection: Connection, place: Place, key: str) -> Draft:
        """A copy of the row as the platform has it, to be changed."""
        table = self.table(connection, place)
        pending = table.pending.get(key)
        if pending is not None and pending.draft is not None:
            return replace(
                pending.draft,
                data=dict(pending.draft.data),
                times=dict(pending.draft.times),
                stamped=False,
            )
        row = table.rows.get(key)
        if row is None or (pending is not None and pending.draft is None):
            raise KeyError(f"{place.storage} of connection {connection.id} has no row {key!r}")
        data = decode(row.body)
        hidden = {k: v for k, v in row.times.items() if k not in data and k != "last_synced_at"}
        unseen = {k: v for k, v in row.scalars.items() if k not in data}
        return Draft(key, data, hidden, parts=dict(row.parts), parent=row.parent, unseen=unseen)

    @staticmethod
    def apply(draft: Draft, fields: Mapping[str, Any]) -> None:
        """Set fields of a row. A time that is set is kept as it is."""
        for name, value in fields.items():
            if name == "platform_data":
                draft.parts = {**draft.parts, name: to_bytes(encode(value))}
                continue
            if name in draft.unseen:
                draft.unseen = {**draft.unseen, name: value}
                continue
            draft.data[name] = value
            draft.times.pop(name, None)
            if name == "last_synced_at":
                draft.stamped = True
                draft.times[name] = parse_iso(value)

    def change(
        self,
        connection: Connection,
        place: Place,
        key: str,
        draft: Draft | None,
        *,
        immediate: bool,
    ) -> None:
        """A change at the platform: shown at once, or kept until the connection's next sync."""
        table = self.table(connection, place)
        if immediate and connection.syncs:
            table.pending.pop(key, None)
            self.show(connection, place, table, key, draft, self.stamp)
        elif draft is None and key not in table.rows:
            del table.pending[key]
        else:
            table.pending[key] = Pending(draft, self._clock.now)

    def land_pending(
        self, connection: Connection, changed_by: int, stamp: int, share: float
    ) -> None:
        """Show the changes made up to a moment; of a share below 1 always the same ones first.

        It is what a sync brings. Of the first one nothing is told row by row.
        """
        land = self.show if connection.initial_sync_done else self.land
        for storage, table in list(connection.tables.items()):
            if not table.pending:
                continue
            place = self.place(storage)
            for key, pending in list(table.pending.items()):
                if pending.changed_at <= changed_by and crc32(key.encode()) / 2**32 < share:
                    del table.pending[key]
                    land(connection, place, table, key, pending.draft, stamp)
        if share >= 1:  # the sync has ended
            self.tidings.synced(connection)

    def show(
        self,
        connection: Connection,
        place: Place,
        table: Table,
        key: str,
        draft: Draft | None,
        stamp: int,
    ) -> None:
        """Land a change, and tell of it."""
        old = table.rows.get(key)
        self.land(connection, place, table, key, draft, stamp)
        self.tidings.row(connection, place.storage, old, table.rows.get(key))

    def land(
        self,
        connection: Connection,
        place: Place,
        table: Table,
        key: str,
        draft: Draft | None,
        stamp: int,
    ) -> None:
        """Make a row visible, or remove it, with the stamp of a sync."""
        if draft is not None:
            shown = iso if "last_synced_at" in place.rows.columns else None
            table.put(draft.land(stamp, shown))
            return
        gone = table.remove(key)
        resource = resource_of(place.storage)
        reported = reports_deletions(connection.platform) and "/events" in self._document.endpoints
        if gone is None or resource is None or not reported:
            return
        event_id = self.new_id(connection.id, "/events|new")
        data = self._event_data(connection, gone)
        events = self.place("/events")
        event = deletion_event(event_id, resource, data, stamp)
        self.table(connection, events).put(event.land(stamp, iso))

    def _event_data(self, connection: Connection, gone: Row) -> Any:
        match self._switches.get("event_data", connection_id=connection.id):
            case "id":
                return {"id": gone.key}
            case "null":
                return None
            case "text":
                return gone.key
            case _:
                return decode(gone.body)


def _default_column(storage: str) -> str:
    if storage == "/events":
        return "last_synced_at"
    return "start_date" if storage in STATEMENTS else "updated_at"
