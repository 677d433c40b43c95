"""Changes at a simulated Rutter, and how long each takes until PostgreSQL shows its row."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from tap_rutter.demo.database import SCHEMA
from tap_rutter.simulator import Connection, World

_LOOK_SECONDS = 0.1


@dataclass(eq=False)
class Change:
    """One row that was made or changed at Rutter."""

    connection_id: str
    stream: str
    key: str
    moment: datetime | None
    """The row's new ``updated_at``, UTC without a zone; None where it shows none."""
    at: float
    """When it happened, and its webhook was sent; by the monotonic clock."""
    seen_at: float | None = None
    """When the row could be seen in its table, at most a tenth of a second too late."""

    @property
    def seconds(self) -> float | None:
        """From the webhook to the row; None: not seen yet."""
        return None if self.seen_at is None else self.seen_at - self.at


def change_something(
    world: World,
    connections: Sequence[Connection],
    paths: Mapping[str, str],
    dice: random.Random,
) -> Change:
    """Make or change a row of one connection.

    Args:
        world: where.
        connections: one of these.
        paths: the endpoint of each stream that may change.
        dice: what decides.
    """
    with world.lock:
        connection = dice.choice(list(connections))
        served = {stream: path for stream, path in paths.items() if connection.counts.get(path)}
        stream = dice.choice(sorted(served))
        path = served[stream]
        world.advance(1)
        at = time.monotonic()
        if dice.random() < 0.5:
            key = world.create(connection.id, path)
        else:
            key = dice.choice(world.keys(connection.id, path))
            world.update(connection.id, path, key)
        row = next(row for row in world.rows(connection.id, path) if row["id"] == key)
    return Change(connection.id, stream, key, moment_of(row["updated_at"]), at)


def moment_of(text: str | None) -> datetime | None:
    """A time of the API as the target keeps it: UTC, without a zone."""
    if text is None:
        return None
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).replace(tzinfo=None)


class Watch:
    """Looks for changed rows in their tables, ten times a second, in a thread."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._guard = threading.Lock()
        self._waiting: list[Change] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_all, name="watch", daemon=True)
        self._thread.start()

    def add(self, change: Change) -> None:
        """Look for this one from now on."""
        with self._guard:
            self._waiting.append(change)

    def waiting(self) -> list[Change]:
        """What has not been seen yet."""
        with self._guard:
            return list(self._waiting)

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join(timeout=30)

    def _look_all(self) -> None:
        while not self._ended.is_set():
            # A session may be cut by whoever tries out what happens then.
            with (
                suppress(psycopg.Error),
                psycopg.connect(self._uri, autocommit=True) as connection,
            ):
                while not self._ended.wait(_LOOK_SECONDS):
                    self._look(connection)

    def _look(self, connection: psycopg.Connection) -> None:
        by_stream: dict[str, list[Change]] = defaultdict(list)
        for change in self.waiting():
            by_stream[change.stream].append(change)
        seen: list[Change] = []
        for stream, changes in by_stream.items():
            found = connection.execute(
                sql.SQL(
                    "select t.connection_id, t.id, t.updated_at from {} as t"
                    " join unnest(%s::text[], %s::text[]) as w (connection_id, id)"
                    " using (connection_id, id)"
                ).format(sql.Identifier(SCHEMA, stream)),
                [[c.connection_id for c in changes], [c.key for c in changes]],
            ).fetchall()
            now = time.monotonic()
            landed = {(name, key): moment for name, key, moment in found}
            for change in changes:
                place = change.connection_id, change.key
                if place in landed and _is_there(landed[place], change.moment):
                    change.seen_at = now
                    seen.append(change)
        with self._guard:
            self._waiting = [change for change in self._waiting if change not in seen]


def _is_there(landed: datetime | None, wanted: datetime | None) -> bool:
    return wanted is None or (landed is not None and landed >= wanted)


def percentile(seconds: Iterable[float], share: float) -> float:
    """The value that so large a share of them does not exceed; 0 where there are none."""
    ordered = sorted(seconds)
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
