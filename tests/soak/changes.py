"""What can happen to a world, within what the API is known to do.

A change is legal where the design promises to bring it: a row becomes visible up to 20 hours after
the time that it bears, or later where its connection's syncs stood still, or, up to two weeks,
where nothing has come of its list meanwhile, or together with news of more history. Statements
are restated within some months.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from soak.scene import STATEMENTS, STREAMS, UPDATED, Scene
from tap_rutter.simulator import Batch, Connection
from tap_rutter.simulator.platforms import entity_of, reports_deletions, resource_of
from tap_rutter.simulator.text import iso, parse_iso

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_LATEST = 20 * HOUR
_STAMPED_BEFORE = 5 * MINUTE
"""How long a row's ``last_synced_at`` may precede its visibility."""

# How often what happens, by what a history is about.
SMALL = {
    "insert": 30,
    "update": 30,
    "late_update": 10,
    "touch": 8,
    "delete": 12,
    "flip": 4,
    "lagging": 6,
}
LARGE = {
    "lags": {"lagging": 1},
    "calm": {"sync": 4, "campaign": 4, "enable": 2},
    "outages": {"pause": 12, "lose": 4, "sync": 1},
    "history": {"batch": 2, "more_history": 9, "oldest_row": 3, "enable": 4, "campaign": 3},
}
_TEXT_FIELDS = {
    "/accounting/invoices": "memo",
    "/accounting/expenses": "memo",
    "/accounting/bills": "memo",
    "/accounting/bank_feeds/transactions": "memo",
    "/orders": "name",
    "/customers": "first_name",
    "/payouts": "status",
    "/ads/campaigns": "name",
    "/accounting/balance_sheets": "total_assets",
}
# The tap promises changes of the payouts of 60 days before each of its reads.
_PAYOUT_AGE = 50 * DAY
_RESTATED = 10  # months; the tap reads the last twelve again
_LAGGING = 14 * DAY


class Changes:
    """Makes one legal change after another."""

    def __init__(self, scene: Scene, rng: Random, about: str, note: Callable[[str], None]) -> None:
        """``about``: one of ``LARGE``."""
        self._scene = scene
        self._world = scene.world
        self._rng = rng
        self._large = LARGE[about]
        self._small = 0.65 if about != "lags" else 0.2
        self._note = note
        self._made = 0
        self.deleted: dict[tuple[str, str], set[str]] = {}
        """Ids of deleted rows by (path, connection id)."""
        self.nulled: set[tuple[str, str, str]] = set()
        """Rows without a time: what is asked by time does not show them."""
        self.changed: dict[str, int] = {}
        """By connection: when something last changed, by the world's clock."""
        self._touched: dict[tuple[str, str], int] = {}
        """When something last happened to a list, by (path, connection id)."""

    def small(self) -> None:
        """A change of a few rows."""
        self._do(SMALL)

    def any(self) -> None:
        """A change of rows, of a connection, or of how much is known of it."""
        self._do(SMALL if self._rng.random() < self._small else self._large)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._note(f"advance {seconds / HOUR:.2f} h")
        self._world.advance(seconds)

    def settle(self) -> None:
        """All connections are active again, and have synced."""
        for connection in self._world.connections.values():
            self._bring_back(connection)
            connection.not_enabled.clear()
            connection.unready_entities.clear()
            connection.historical_sync_completed = True
            self._world.sync(connection.id)
        self._note("all connections active and synced")

    # ---- choosing

    def _do(self, weights: Mapping[str, int]) -> None:
        with self._world.lock:
            connection = self._world.connections[self._rng.choice(list(self._scene.lists))]
            name = self._rng.choices(list(weights), list(weights.values()))[0]
            deed: Callable[[Connection], None] = getattr(self, f"_{name}")
            deed(connection)
            self.changed[connection.id] = self._now()

    def _path(self, connection: Connection) -> str:
        paths = [path for path in self._scene.lists[connection.id] if path != "/events"]
        return self._rng.choice(paths)

    def _row(self, connection: Connection, path: str) -> tuple[str, dict[str, Any]] | None:
        """A visible row with no change of its own under way."""
        keys = self._world.keys(connection.id, path)
        if not keys:
            return None
        index = self._rng.randrange(len(keys))
        if keys[index] in connection.tables[path].pending:
            return None
        return keys[index], self._world.rows(connection.id, path)[index]

    def _now(self) -> int:
        return self._world.clock.now

    def _mark(self, connection: Connection, path: str, late: float = 0) -> None:
        """Something happens to a list, so late after (or before) the time that it bears."""
        moment = self._now() - min(int(late * 1000), 0)
        known = self._touched.get((path, connection.id), 0)
        self._touched[path, connection.id] = max(known, moment)

    def _fields(self, path: str) -> dict[str, Any]:
        self._made += 1
        if path == "/ads/campaigns/dailies":
            return {"clicks": 100_000 + self._made}
        return {_TEXT_FIELDS[path]: f"v{self._made}"}

    def _visibility(self, connection: Connection, path: str, last: int = 0) -> dict[str, Any]:
        """Whether a change shows at once, and then the stamp that it was given before."""
        if self._rng.random() < 0.4:
            return {"immediate": False}
        if path in UPDATED or not connection.syncs or self._rng.random() < 0.3:
            return {"immediate": True}
        stamp = self._now() - int(self._rng.uniform(0, _STAMPED_BEFORE) * 1000)
        return {"immediate": True, "last_synced_at": iso(max(stamp, last))}

    # ---- rows

    def _insert(self, connection: Connection) -> None:
        path = self._path(connection)
        if path == STATEMENTS:
            return  # they come by themselves, month by month
        for _ in range(self._rng.choice([1, 1, 2, 5])):
            late = self._rng.choice([0, 0, 0, self._rng.uniform(0, HOUR), _LATEST])
            if path in UPDATED and self._rng.random() < 0.05:
                late = -2 * HOUR  # a platform's clock may be ahead
            fields = self._fields(path)
            if path == "/accounting/expenses":
                fields["expense_type"] = self._rng.choice(["expense", "refund"])
            if path == "/customers" and self._rng.random() < 0.15:
                fields["id"] = None
            if path == "/ads/campaigns/dailies":
                campaigns = self._world.keys(connection.id, "/ads/campaigns")
                if not campaigns:
                    return
                fields["campaign_id"] = self._rng.choice(campaigns)
            no_time = path == "/customers" and self._rng.random() < 0.15
            if no_time:
                fields["updated_at"] = None
            shown = self._visibility(connection, path)
            self._mark(connection, path, late)
            key = self._world.create(connection.id, path, late=late, **shown, **fields)
            if no_time:
                self.nulled.add((path, connection.id, key))
            self._note(f"insert {path} {connection.id} {key} late {late / HOUR:.1f} h {shown}")

    def _update(self, connection: Connection) -> None:
        self._change(connection, self._path(connection), 0)

    def _late_update(self, connection: Connection) -> None:
        self._change(connection, self._path(connection), self._rng.uniform(MINUTE, _LATEST))

    def _lagging(self, connection: Connection) -> None:
        """A row that is the next of its list, though it shows days after its time."""
        path = self._path(connection)
        if path not in UPDATED or not connection.syncs:
            return
        table = connection.tables.get(path)
        if table is None or table.pending:
            return
        span = self._newest(connection, path)
        room = (self._now() - max(span, self._touched.get((path, connection.id), 0))) / 1000
        if room < 2 * HOUR:
            return
        late = self._rng.uniform(HOUR, min(room - HOUR, _LAGGING))
        fields = self._fields(path)
        self._mark(connection, path)
        key = self._world.create(connection.id, path, late=late, immediate=True, **fields)
        self._note(f"lagging {path} {connection.id} {key} late {late / DAY:.1f} d")

    def _newest(self, connection: Connection, path: str) -> int:
        """The newest time in a list; nothing that comes after it has been delivered yet."""
        name = "created_at" if path == "/payouts" else "updated_at"
        known = (parse_iso(row.get(name) or "") for row in self._world.rows(connection.id, path))
        return max((moment for moment in known if moment is not None), default=0)

    def _restate(self, connection: Connection) -> None:
        """A month's figures change; at once, since months are read again for a time only."""
        keys = self._world.keys(connection.id, STATEMENTS)
        rows = self._world.rows(connection.id, STATEMENTS)
        since = iso(self._now() - _RESTATED * 30 * DAY * 1000)
        recent = [key for key, row in zip(keys, rows, strict=True) if row["start_date"] >= since]
        if not connection.syncs or not recent:
            return
        key = self._rng.choice(recent)
        fields = self._fields(STATEMENTS)
        self._world.update(connection.id, STATEMENTS, key, immediate=True, **fields)
        self._note(f"restate {connection.id} {key} {fields}")

    def _change(self, connection: Connection, path: str, late: float) -> None:
        if path == STATEMENTS:
            self._restate(connection)
            return
        found = self._row(connection, path)
        if found is None:
            return
        key, row = found
        fields = self._fields(path)
        known = parse_iso(row.get("updated_at") or "") or 0
        if self._now() - late * 1000 <= known:
            return  # a platform's clock does not go back for a row
        if path == "/payouts":
            created = parse_iso(row["created_at"]) or 0
            if created < self._now() - _PAYOUT_AGE * 1000:
                return
        if path == "/customers" and self._rng.random() < 0.1:
            fields["updated_at"] = None
            self.nulled.add((path, connection.id, key))
        shown = self._visibility(connection, path, parse_iso(row.get("last_synced_at") or "") or 0)
        self._mark(connection, path)
        self._world.update(connection.id, path, key, late=late, **shown, **fields)
        self._note(f"update {path} {connection.id} {key} late {late / HOUR:.1f} h {shown}")

    def _touch(self, connection: Connection) -> None:
        path = self._path(connection)
        found = self._row(connection, path) if path != STATEMENTS else None
        if found is not None:
            self._mark(connection, path)
            self._world.touch(connection.id, path, found[0])
            self._note(f"touch {path} {connection.id} {found[0]}")

    def _delete(self, connection: Connection) -> None:
        path = self._path(connection)
        found = self._row(connection, path) if path != STATEMENTS else None
        if found is None:
            return
        if path == "/ads/campaigns":
            children = "/ads/campaigns/dailies"
            rows = self._world.rows(connection.id, children)
            for child, daily in zip(self._world.keys(connection.id, children), rows, strict=True):
                waits = child in connection.tables[children].pending
                if daily["campaign_id"] == found[0] and not waits:
                    self._remove(connection, children, child, immediate=True)
        self._remove(connection, path, found[0], immediate=self._rng.random() < 0.6)

    def _remove(self, connection: Connection, path: str, key: str, *, immediate: bool) -> None:
        self._mark(connection, path)
        self._world.delete(connection.id, path, key, immediate=immediate)
        self.deleted.setdefault((path, connection.id), set()).add(key)
        self._note(f"delete {path} {connection.id} {key} {immediate=}")

    def _flip(self, connection: Connection) -> None:
        path = "/accounting/expenses"
        if path not in self._scene.lists[connection.id]:
            return
        found = self._row(connection, path)
        if found is not None:
            other = "expense" if found[1]["expense_type"] == "refund" else "refund"
            self._world.update(connection.id, path, found[0], expense_type=other)
            self._note(f"flip {path} {connection.id} {found[0]} to {other}")

    def _campaign(self, connection: Connection) -> None:
        """A campaign becomes visible with days that were synced long before."""
        if "/ads/campaigns" not in self._scene.lists[connection.id] or not connection.syncs:
            return
        key = self._world.create(connection.id, "/ads/campaigns", immediate=True)
        for _ in range(self._rng.randint(0, 4)):
            stamp = iso(self._now() - int(self._rng.uniform(0, 10 * DAY)) * 1000)
            self._world.create(
                connection.id,
                "/ads/campaigns/dailies",
                immediate=True,
                campaign_id=key,
                last_synced_at=stamp,
            )
        self._note(f"campaign {connection.id} {key}")

    # ---- connections

    def _pause(self, connection: Connection) -> None:
        if connection.paused and self._rng.random() < 0.6:
            return  # mostly, an outage lasts
        if connection.paused:
            self._world.resume(connection.id)
            self._note(f"resume {connection.id}")
        else:
            self._world.pause(connection.id)
            self._note(f"pause {connection.id}")

    def _lose(self, connection: Connection) -> None:
        if connection.status in {"active", "unhealthy"}:
            statuses = ["not_ready", "needs_reauth", "disabled", "unhealthy"]
            connection.status = self._rng.choice(statuses)
            self._note(f"{connection.id} is {connection.status}")
        else:
            self._bring_back(connection)
            self._note(f"{connection.id} is active again")

    def _bring_back(self, connection: Connection) -> None:
        if connection.status == "not_ready":
            self._world.make_ready(connection.id)
        else:
            connection.status = "active"
        self._world.resume(connection.id)

    def _sync(self, connection: Connection) -> None:
        if connection.syncs:
            self._world.sync(connection.id)
            self._note(f"sync {connection.id}")

    # ---- history

    def _batch(self, connection: Connection) -> None:
        if not connection.syncs:
            return
        path = self._path(connection)
        if path == "/ads/campaigns/dailies":
            return
        made = self._world.add_history_batch(
            connection.id, {path: self._rng.randint(1, 6)}, complete=self._rng.random() < 0.5
        )
        self._note(f"batch {connection.id} {made}")

    def _more_history(self, connection: Connection) -> None:
        """Older rows, somewhere in the past, with news that there is more history."""
        paths = self._scene.lists[connection.id]
        waiting = [path for path in paths if entity_of(path) in connection.unready_entities]
        path = waiting[0] if waiting else self._path(connection)
        if not connection.syncs or path == "/ads/campaigns/dailies":
            return
        if path == STATEMENTS:
            made = self._world.add_history_batch(connection.id, {path: self._rng.randint(1, 4)})
            self._note(f"older months {connection.id} {made}")
            return
        entity = entity_of(path)
        if waiting:
            connection.unready_entities.discard(entity)
            how = "ready"
        elif not connection.historical_sync_completed:
            connection.historical_sync_completed = True
            how = "completed"
        else:
            connection.batches.append(Batch(len(connection.batches) + 1, 12, {}))
            how = "one more batch"
        for _ in range(self._rng.randint(1, 4)):
            late = self._rng.uniform(DAY, 20 * DAY)
            key = self._world.create(connection.id, path, late=late, immediate=True)
            self._note(f"{how}: {path} {connection.id} {key} {late / DAY:.1f} days old")

    def _oldest_row(self, connection: Connection) -> None:
        path = self._path(connection)
        if path not in UPDATED or not connection.syncs or path in connection.not_enabled:
            return
        span = connection.tables[path].span()
        if span is None or connection.tables[path].pending:
            return
        late = (self._now() - span[0]) / 1000 + 10 * DAY
        key = self._world.create(connection.id, path, late=late, immediate=True)
        self._note(f"oldest: {path} {connection.id} {key}")

    def _enable(self, connection: Connection) -> None:
        if connection.not_enabled:
            self._note(f"enable {connection.id} {connection.not_enabled}")
            connection.not_enabled.clear()


def reported(connection: Connection, path: str) -> str | None:
    """The stream that a deletion event of this list names; None where there is no event."""
    if resource_of(path) is None or not reports_deletions(connection.platform):
        return None
    return STREAMS[path]
