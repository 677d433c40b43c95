"""What all cases use: the simulator's process, alternating runs, and sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.contestants import Contestant, Job
from benchmarks.environments import BENCH, ROOT, Environments, NotInstalled
from benchmarks.lists import RutterList
from benchmarks.measure import Cost, RunFailed, run, scratch
from benchmarks.rows import Row, Start
from benchmarks.serve import World

_T = TypeVar("_T")

STARTING = "start"
"""The group of rows that only tell what a contestant takes to start."""


@dataclass(frozen=True)
class Entry:
    """A row that is still to be measured."""

    row: Row
    once: Callable[[Path], Cost]
    """One run, in an empty folder.

    Raises:
        RunFailed: when it does not deliver what it should.
        NotInstalled: when the contestant cannot be had.
    """


class Served(dict[str, Any]):
    """A simulator in a process of its own: what it greeted with, and a way to speak to it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        super().__init__(self._line())

    def tell(self, **wanted: float) -> dict[str, int]:
        """Change how it serves (see ``serve.obey``); gives what was asked since the last time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@dataclass
class Bench:
    """One invocation of the harness."""

    runs: int
    quick: bool
    timeout: float
    contestants: frozenset[str] | None = None
    """Names of those that are measured; None: all."""
    environments: Environments = field(default_factory=Environments)

    def size(self, full: _T, quick: _T) -> _T:
        """How large something is in this kind of run."""
        return quick if self.quick else full

    def wants(self, contestant: Contestant) -> bool:
        """Whether it is to be measured."""
        return self.contestants is None or contestant.name in self.contestants

    @contextmanager
    def serving(self, world: World) -> Iterator[Served]:
        """A simulator of this world in a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serve", world.to_json()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdin is not None
            try:
                yield Served(process)
            finally:
                process.stdin.close()

    def starts(self, entries: Sequence[Entry]) -> list[Row]:
        """Measure what contestants take to start, after a first time that is not counted.

        The first time after an installation Python compiles what it imports.
        """
        for entry in () if self.quick else entries:
            self._run(entry)
            entry.row.forget()
        return self.measure(entries)

    def measure(self, entries: Sequence[Entry], *, runs: int | None = None) -> list[Row]:
        """Run them in turn, all of them so many times; who fails is not run again."""
        for _ in range(runs or self.runs):
            for entry in entries:
                if entry.row.error is None:
                    self._run(entry)
        return [entry.row for entry in entries]

    @staticmethod
    def _run(entry: Entry) -> None:
        row = entry.row
        about = f"  {row.group}: {row.label}, {row.setting}: "
        try:
            with scratch(BENCH / "work") as folder:
                cost = entry.once(Path(folder))
        except (RunFailed, NotInstalled, OSError, subprocess.SubprocessError) as error:
            # Shown in its place; the others are measured all the same.
            row.error = str(error)
            _say(about + row.error)
            return
        row.walls.append(cost.wall)
        row.cpus.append(cost.cpu)
        row.peaks.append(cost.peak)
        row.memory = list(cost.memory)
        row.stages = list(cost.stages)
        row.requests = cost.requests
        _say(about + f"{cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {cost.peak / 1e6:.0f} MB")

    def reading(
        self,
        contestant: Contestant,
        server: dict[str, Any],
        lists: Sequence[RutterList],
        *,
        workers: int,
        expected: int,
        connections: int | None = None,
    ) -> Callable[[Path], Cost]:
        """One run of a contestant that reads lists from a simulator.

        Args:
            expected: How many records it must deliver at least.
            connections: Only the first so many connections; None: all.
        """

        def once(folder: Path) -> Cost:
            job = Job(server, lists, workers, folder, connections=connections)
            command = contestant.command(self.environments, job)
            cost = run([[command]], folder, timeout=self.timeout)
            delivered = contestant.delivered(cost)
            if delivered < expected:
                raise RunFailed(f"delivered {delivered} of {expected} records")
            return cost

        return once


def start_of(row: Row) -> Start | None:
    """What a row tells about the start of a contestant."""
    return None if row.error else Start(row.wall, row.cpu, row.units, row.requests or 0)


def failed(starts: Sequence[Row]) -> list[Row]:
    """Rows of contestants that do not even start: shown, so that they are not just missing."""
    found = [row for row in starts if row.error is not None]
    for row in found:
        row.group = "not measured"
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
