"""One random history: changes and runs in turn, kills, and what must be true after each."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from random import Random
from typing import Any

from support.in_process import Run, sync

from soak import check, scene
from soak.changes import DAY, HOUR, MINUTE, Changes, reported
from soak.store import Store
from tap_rutter.simulator import Connection, Simulator
from tap_rutter.simulator.request import Request
from tap_rutter.simulator.syncing import is_running

Json = dict[str, Any]

_READABLE = frozenset({"active", "unhealthy"})
_REAL_TIME = frozenset({"QUICKBOOKS", "XERO"})


@dataclass(frozen=True)
class Kind:
    """What a history is about."""

    about: str
    runs: tuple[int, int]
    kills: float
    during: float
    spans: tuple[float, ...]
    quiet: float = 0
    """How long at most nothing happens before the first run, seconds."""


_KINDS = (
    Kind("calm", runs=(2, 4), kills=0.4, during=0.9, spans=(1, 10 * MINUTE, 3 * HOUR)),
    Kind("calm", runs=(3, 7), kills=0.9, during=0.3, spans=(1, 2 * HOUR, 2 * DAY)),
    Kind("outages", runs=(3, 5), kills=0.3, during=0.2, spans=(HOUR, 2 * DAY, 9 * DAY, 9 * DAY)),
    Kind("outages", runs=(2, 4), kills=0.3, during=0.2, spans=(DAY, 40 * DAY, 90 * DAY)),
    Kind("lags", runs=(2, 3), kills=0.8, during=0, spans=(1, HOUR, 4 * DAY), quiet=13 * DAY),
    Kind("history", runs=(2, 5), kills=0.6, during=0.3, spans=(1, HOUR, 2 * DAY)),
)


class Lost(AssertionError):
    """A history that broke the promise; its message tells how to play it again."""


@dataclass(frozen=True)
class Manner:
    """How one run goes."""

    concurrency: int
    kill_after: int | None
    changes: bool
    faults: bool
    often: bool
    clock_off: int
    connections: tuple[str, ...] | None
    streams: tuple[str, ...]
    full_table: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in vars(self).items() if value)


def play(seed: int) -> None:
    """Play the history of a seed.

    Raises:
        Lost: where a row is missing, stale, or was never in the world.
    """
    history = History(seed)
    try:
        history.play()
    except Exception as error:
        told = "\n".join(history.trace)
        raise Lost(
            f"{type(error).__name__}: {error}\n\nHistory {seed}:\n{told}\n\n"
            f"Play it again: SOAK_SEED={seed} pytest tests/sync/test_histories.py"
        ) from error


class History:
    """A world, its changes, and a target that follows them."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"history|{seed}")
        self.trace: list[str] = []
        self._guard = threading.Lock()
        self.scene = scene.make(self._rng, seed)
        self.trace += self.scene.notes
        self.world = self.scene.world
        self._kind = self._rng.choice(_KINDS)
        self.trace.append(str(self._kind))
        if self._kind.quiet:  # windows that end within the quiet time
            self.scene.settings["window_days"] = self._rng.choice([1, 2, 3])
        self.changes = Changes(self.scene, Random(f"changes|{seed}"), self._kind.about, self._note)
        self.store = Store()

    def play(self) -> None:
        """The whole history."""
        with Simulator(self.world, gzip=False) as simulator:
            if self._kind.quiet:
                self.changes.advance(self._rng.uniform(0, self._kind.quiet))
            for _ in range(self._rng.randint(*self._kind.runs)):
                self._run(simulator, self._manner())
                for _ in range(self._rng.choice([0, 1, 3, 6])):
                    self.changes.any()
                    if self._rng.random() < 0.2:
                        self.changes.advance(self._rng.uniform(0, HOUR))
                self.changes.advance(self._rng.uniform(0, self._rng.choice(self._kind.spans)))
            self.changes.settle()
            self.changes.advance(self._rng.choice([HOUR, DAY, 9 * DAY]))
            self._run(simulator, self._calm())
            if any("/customers" in paths for paths in self.scene.lists.values()):
                self.changes.advance(7 * DAY + HOUR)
                self._run(simulator, self._calm(), whole=True)
        self._check_deletions()

    # ---- runs

    def _calm(self) -> Manner:
        concurrency = self._rng.choice([1, 8])
        streams = tuple(self.scene.streams)
        return Manner(concurrency, None, False, False, False, 0, None, streams, ())

    def _manner(self) -> Manner:
        rng = self._rng
        streams = tuple(self.scene.streams)
        connections: tuple[str, ...] | None = None
        if rng.random() < 0.1:
            streams = tuple(sorted(rng.sample(streams, rng.randint(1, len(streams)))))
        if rng.random() < 0.1:
            connections = (rng.choice(list(self.scene.lists)),)
        return Manner(
            concurrency=rng.choice([1, 1, 1, 2, 8]),
            kill_after=self._last_line() if rng.random() < self._kind.kills else None,
            changes=rng.random() < self._kind.during,
            faults=rng.random() < (0.8 if self._kind.quiet else 0.15),
            often=rng.random() < 0.8,
            clock_off=rng.choice([0, 0, 1, -1, 600, -600, 3 * DAY, -3 * DAY]) * 1000,
            connections=connections,
            streams=streams,
            full_table=(rng.choice(streams),) if rng.random() < 0.07 else (),
        )

    def _last_line(self) -> int:
        """A line to be killed at: anywhere in a first read, or early, in one that resumes."""
        rows = sum(
            len(self.world.keys(connection_id, path))
            for connection_id, paths in self.scene.lists.items()
            for path in paths
        )
        return self._rng.randint(0, self._rng.choice([6, 15, rows + 20]))

    def _run(self, simulator: Simulator, manner: Manner, *, whole: bool = False) -> None:
        self._note(f"RUN {manner}")
        before = self.store.state
        forced = self._forced_bookmarks(before)
        settings = dict(self.scene.settings)
        if manner.connections is not None:
            settings["connection_ids"] = list(manner.connections)
        simulator.before_request = self._meddle if manner.changes else None
        if manner.faults:
            for action in self._rng.choices(["respond", "reset", "no_list", "cut"], k=3):
                simulator.faults.add(action, nth=self._rng.randint(1, 40))
        output = sync(
            simulator,
            *manner.streams,
            state=before,
            kill_after=manner.kill_after,
            state_seconds=0.0 if manner.often else None,
            now=lambda: self.world.clock.now + manner.clock_off,
            full_table=manner.full_table,
            concurrency=manner.concurrency,
            **settings,
        )
        simulator.before_request = None
        simulator.faults.clear()
        self._take(output)
        ended = "killed" if output.code is None else f"code {output.code} {output.failures}"
        self._note(f"END {ended}, {len(output.lines)} lines, state {self.store.state}")
        if not manner.changes:
            partitions, missing = self._forced_bookmarks(self.store.state)
            assert partitions == forced[0], "not ready, yet bookmarked"
            assert missing <= forced[1], "not ready, yet it speaks for its platform"
        if output.code is None or manner.changes or manner.faults:
            return
        assert output.code == 0, output.failures
        self._check(manner, whole=whole)

    def _take(self, output: Run) -> None:
        """Let the target have what a run wrote, or what of it reached the target's tables."""
        if output.code is not None:
            self.store.take(output.lines)
            return
        places = [place for place, _ in output.placed_states]
        # A target commits the newest STATE, or ended itself before it came to that.
        committed = -1
        if places:
            committed = places[-1] if self._rng.random() < 0.8 else self._rng.choice(places)
        self.store.take(output.lines[: committed + 1])
        kept = self._rng.randint(committed + 1, len(output.lines))
        self.store.take(output.lines[committed + 1 : kept], commit=False)

    def _meddle(self, request: Request) -> None:
        """Changes while a run reads."""
        with self._guard:
            if self._rng.random() >= 0.12:
                return
            self._note(f"  during {request.path} of {request.connection_id}:")
            if self._rng.random() < 0.2:
                self.changes.advance(self._rng.uniform(0, 90 * MINUTE))
            elif self._rng.random() < 0.9:
                self.changes.small()
            else:
                self.changes.any()

    # ---- what must be true

    def _check(self, manner: Manner, *, whole: bool) -> None:
        wrong: list[str] = []
        for connection_id, paths in self.scene.lists.items():
            connection = self.world.connections[connection_id]
            if not self._was_read(connection, manner) or self._waits_for_sync(connection):
                continue
            for path in paths:
                if scene.STREAMS[path] in manner.streams:
                    wrong += check.differences(
                        self.store,
                        self.world,
                        path,
                        connection_id,
                        deleted=self.changes.deleted.get((path, connection_id), ()),
                        unseen=() if whole else self._timeless(path, connection_id),
                    )
        assert not wrong, "\n".join(["", *wrong])

    def _timeless(self, path: str, connection_id: str) -> list[str]:
        """Rows that once had no time: read when the list is next read whole."""
        return [
            key for at, owner, key in self.changes.nulled if (at, owner) == (path, connection_id)
        ]

    def _was_read(self, connection: Connection, manner: Manner) -> bool:
        chosen = manner.connections is None or connection.id in manner.connections
        return chosen and connection.status in _READABLE

    def _waits_for_sync(self, connection: Connection) -> bool:
        """Whether a change need not have been read yet, since no sync has ended after it."""
        if not self.scene.settings.get("only_after_sync") or connection.platform in _REAL_TIME:
            return False
        synced = connection.last_sync_completed_at or 0
        return is_running(connection, self.world.clock.now) or synced <= self.changes.changed.get(
            connection.id, 0
        )

    def _check_deletions(self) -> None:
        """What was deleted is gone, and where the platform reports it, it is reported."""
        by_id = self.world.switches.get("event_data") in {"object", "id"}
        for (path, connection_id), keys in self.changes.deleted.items():
            left = keys & set(self.world.keys(connection_id, path))
            assert not left, f"{path} {connection_id}: still there {left}"
            stream = reported(self.world.connections[connection_id], path)
            if stream is None or not by_id:
                continue
            events = self.store.rows("deleted_objects", connection_id).values()
            told = {row["object_id"] for row in events if row["stream"] == stream}
            assert keys <= told, f"{path} {connection_id}: no event for {keys - told}"

    def _forced_bookmarks(self, state: Json | None) -> tuple[list[Any], set[tuple[str, str]]]:
        """Of connections that are not ready: the partitions, which a run may not touch, and by
        connection and stream what they were answered with a 404, which it may only forget."""
        waiting = {c.id for c in self.world.connections.values() if c.status == "not_ready"}
        partitions, missing = [], set()
        for stream, entry in sorted(((state or {}).get("bookmarks") or {}).items()):
            for partition in entry.get("partitions", []):
                connection_id = partition["context"].get("connection_id")
                if connection_id not in waiting:
                    continue
                kept = {name: value for name, value in partition.items() if name != "unserved"}
                partitions += [(stream, kept)] if len(kept) > 1 else []
                for said in partition.get("unserved", []):
                    missing |= {(connection_id, name) for name in said["streams"]}
        return partitions, missing

    def _note(self, text: str) -> None:
        self.trace.append(f"{self.world.clock}  {text}")
