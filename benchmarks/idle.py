"""The idle run: many connections, the state of an earlier run, and no changes since then.

Most runs are like this. Their only cost is that of the requests.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import contestants as who
from benchmarks.bench import STARTING, Bench, Entry, Served, failed, start_of
from benchmarks.contestants import Contestant, Job, settings_known, workers_text
from benchmarks.environments import BENCH, NotInstalled
from benchmarks.fleets import fleet_world
from benchmarks.lists import RutterList
from benchmarks.measure import Cost, RunFailed, run, run_kept, scratch
from benchmarks.rows import Row, Start
from benchmarks.serve import BOUNDED

TITLE = "An idle run"
REFERENCE = "tap"
AFTER_SYNC = "only_after_sync"
LARGEST = 1_000
"""How many connections the largest group of a full measurement has."""
_SOME = 100
_FEW = 10
"""How many connections peers read at most; fewer for slow peers and those without workers."""
_LEAST = 2
_MANY = 32
"""How many workers a contestant has with latency, if it can have several."""
# Seconds of the simulated clock from its start to the first run, and from there to the idle run.
# The connections are not synced within that minute.
_PAUSE = 20


@dataclass(frozen=True)
class _Asker:
    """A contestant with one of its settings."""

    key: str
    label: str
    contestant: Contestant
    workers_at_once: int = 1
    """How many workers it has without latency, where more of them would only cost time."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    may_skip: bool = False
    """Whether it may leave lists out."""

    @property
    def is_tap(self) -> bool:
        return self.contestant is who.TAP

    def workers(self, latency: int) -> int:
        """How many workers it has."""
        if len(self.contestant.worker_counts) == 1:
            return 1
        return _MANY if latency else self.workers_at_once

    def most(self, latency: int) -> int:
        """How many connections it reads at most; figures for more are extrapolated."""
        if self.is_tap:
            return LARGEST
        waits = latency and self.workers(latency) == 1
        return _FEW if waits or self.contestant is who.DLT else _SOME


def entrants(bench: Bench) -> list[_Asker]:
    """All contestants; the tap also with its setting for idle runs, if it has it."""
    tap = who.TAP.label
    peers = (who.PLAIN_SDK, who.DLT, who.AIRBYTE, who.GUIDE)
    askers = [_Asker(REFERENCE, tap, who.TAP, who.MANY)]
    if AFTER_SYNC in settings_known(bench.environments.own / "tap-rutter"):
        label, wanted = f"{tap}, {AFTER_SYNC}", {AFTER_SYNC: True}
        askers.append(_Asker("tap-after-sync", label, who.TAP, who.MANY, wanted, may_skip=True))
    return askers + [_Asker(one.name, one.label, one) for one in peers if bench.wants(one)]


@dataclass
class _Fleet:
    """A simulator with a number of connections, and what each contestant kept of its first run."""

    bench: Bench
    server: Served
    lists: Sequence[RutterList]
    connections: int
    kept: Path
    with_rows: int
    """How many lists of a connection have rows, so that the state has bookmarks for them."""
    _states: dict[str, Path | RunFailed | NotInstalled] = field(default_factory=dict)

    def prepare(self, askers: Sequence[_Asker]) -> None:
        """Let each contestant run a first time, as fast as it can. This is not measured.

        If that fails, the error is shown in place of the results.
        """
        self.server.tell(latency=0.0, advance=_PAUSE)
        for asker in askers:
            try:
                self._states[asker.key] = self._first_run(asker)
            except (RunFailed, NotInstalled) as error:
                self._states[asker.key] = error
        self.server.tell(advance=_PAUSE)

    def _first_run(self, asker: _Asker) -> Path:
        with scratch(BENCH / "work") as name:
            folder = Path(name)
            job = self._job(asker, asker.workers(0), folder)
            command = asker.contestant.command(self.bench.environments, job)
            run_kept(command, folder, timeout=self.bench.timeout)
            state = asker.contestant.keep(folder)
            return Path(shutil.move(state, self.kept / asker.key))

    def _job(self, asker: _Asker, workers: int, folder: Path, state: Path | None = None) -> Job:
        return Job(
            self.server,
            self.lists,
            workers,
            folder,
            incremental=True,
            state=state,
            settings=asker.settings,
        )

    def idle(self, asker: _Asker, latency: int) -> Callable[[Path], Cost]:
        """The entry of an idle run."""

        def once(folder: Path) -> Cost:
            state = self._states[asker.key]
            if isinstance(state, Exception):
                raise state
            job = self._job(asker, asker.workers(latency), folder, state)
            command = asker.contestant.command(self.bench.environments, job)
            self.server.tell(latency=latency / 1000)
            cost = run([[command]], folder, timeout=self.bench.timeout)
            return dataclasses.replace(cost, requests=self._counted(asker))

        return once

    def _counted(self, asker: _Asker) -> int:
        """The number of requests of the last run.

        Raises:
            RunFailed: if it left out lists, or requested them whole.
        """
        asked = self.server.tell()
        bounded = asked.pop(BOUNDED)
        on_lists = sum(asked.get(entry.path, 0) for entry in self.lists)
        expected = self.connections * len(self.lists)
        if not asker.may_skip and on_lists < expected:
            raise RunFailed(f"asked {on_lists} of {expected} lists")
        if not asker.may_skip and bounded < self.connections * self.with_rows:
            raise RunFailed(f"asked only {bounded} lists for what is new")
        return sum(asked.values())


def measure(bench: Bench) -> tuple[str, list[Row]]:
    """Idle runs over few and many connections, with and without latency."""
    counts = bench.size((10, 100, LARGEST), (2, 4))
    latencies = bench.size((0, 50), (0,))
    askers = entrants(bench)
    world, lists, _ = fleet_world(1, 0.0)
    with ExitStack() as stack:
        fleets = {}
        for count in (1, *counts):
            server = stack.enter_context(bench.serving(fleet_world(count, 0.0)[0]))
            kept = Path(stack.enter_context(scratch(BENCH / "work")))
            fleets[count] = _Fleet(bench, server, lists, count, kept, len(world.tables))
            print(f"  first runs, {count:,} connections", file=sys.stderr, flush=True)
            fleets[count].prepare(
                [
                    asker
                    for asker in askers
                    if any(_reads(bench, asker, latency, count) == count for latency in latencies)
                ]
            )
        rows: list[Row] = []
        for latency in latencies:
            rows += _at(bench, askers, fleets, latency)
    about = (
        f"A state from a first run, and nothing that changed since: {len(lists)} lists a"
        f" connection, all of them served, {len(world.tables)} with rows; each answers with an"
        " empty page, or with the newest row again, since bounds are inclusive. Requests are"
        " counted by the server: the tap asks for the connections and for how each stands, which"
        " the peers are told beforehand. *CPU each* is processor time per list, which is one"
        " request, what a run over one connection takes left out. Peers read up to"
        f" {bench.size(_SOME, _LEAST)} connections, dlt and those that wait for each answer"
        f" {bench.size(_FEW, _LEAST)}: a straight line through one connection and those gives"
        " their figures for more, which is kind to those whose book-keeping grows faster. At a"
        " latency it is two runs, of the largest group one."
    )
    return about, rows


def _at(
    bench: Bench, askers: Sequence[_Asker], fleets: Mapping[int, _Fleet], latency: int
) -> list[Row]:
    """The groups of one latency."""
    smallest, largest = min(fleets), max(fleets)
    starts = bench.starts([_entry(fleets[smallest], asker, latency) for asker in askers])
    begun = {row.key: start_of(row) for row in starts}
    rows = failed(starts)
    measured: dict[tuple[str, int], Row] = {}
    for count, fleet in fleets.items():
        if count == smallest:
            continue
        entries, extended = [], []
        for asker in askers:
            start = begun[asker.key]
            reads = _reads(bench, asker, latency, count)
            if start is None:
                continue
            if reads == count:
                entry = _entry(fleet, asker, latency, start)
                measured[asker.key, count] = entry.row
                entries.append(entry)
            else:
                extended.append((asker, reads))
        runs = min(bench.runs, 1 if count == largest else 2) if latency else None
        found = {row.key: row for row in bench.measure(entries, runs=runs)}
        for asker, reads in extended:
            if (asker.key, reads) in measured:
                row = measured[asker.key, reads]
                note = f"read {reads:,} connections"
                found[asker.key] = dataclasses.replace(_extended(row, fleet, latency), note=note)
        rows += [found[asker.key] for asker in askers if asker.key in found]
    return rows


def _reads(bench: Bench, asker: _Asker, latency: int, count: int) -> int:
    """How many connections it really reads for a group with more of them."""
    if bench.quick:
        return count if asker.is_tap else min(count, _LEAST)
    return min(count, asker.most(latency))


def _entry(fleet: _Fleet, asker: _Asker, latency: int, start: Start | None = None) -> Entry:
    lists = fleet.connections * len(fleet.lists)
    row = Row(
        group=group_name(fleet.connections, latency) if start else STARTING,
        key=asker.key,
        label=asker.label,
        setting=workers_text(asker.contestant, asker.workers(latency)),
        units=lists,
        records=0,
        start=start,
    )
    return Entry(row, fleet.idle(asker, latency))


def _extended(row: Row, fleet: _Fleet, latency: int) -> Row:
    """A row for a group, extrapolated from fewer connections."""
    return dataclasses.replace(
        row,
        group=group_name(fleet.connections, latency),
        units=fleet.connections * len(fleet.lists),
        measured_units=row.units,
    )


def group_name(connections: int, latency: int) -> str:
    """What a group is called."""
    return f"{connections:,} connections, {latency} ms an answer"
