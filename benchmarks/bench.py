"""What all cases share: the simulator's process, alternating runs, and sizes."""

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
"""The group of rows that measure only how long a contestant takes to start."""


@dataclass(frozen=True)
class Entry:
    """A row to be measured."""

    row: Row
    once: Callable[[Path], Cost]
    """One run, in an empty folder.

    Raises:
        RunFailed: if it does not deliver what it should.
        NotInstalled: if the contestant cannot be installed.
    """


class Served(dict[str, Any]):
    """A simulator in its own process, with its greeting and a way to control it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        super().__init__(self._line())

    def tell(self, **wanted: float) -> dict[str, int]:
        """Change how it serves (see ``serve.obey``); returns the requests since the last call."""
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
    """One run of the benchmarks."""

    runs: int
    quick: bool
    timeout: float
    contestants: frozenset[str] | None = None
    """The names of the measured contestants; None: all."""
    environments: Environments = field(default_factory=Environments)

    def size(self, full: _T, quick: _T) -> _T:
        """A size: full, or quick."""
        return quick if self.quick else full

    def wants(self, contestant: Contestant) -> bool:
        """Whether a contestant is measured."""
        return self.contestants is None or contestant.name in self.contestants

    @contextmanager
    def serving(self, world: World) -> Iterator[Served]:
        """A simulator of this world in its own process."""
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
        """Measure how long contestants take to start. The first start does not count.

        At the first start after an installation, Python compiles modules.
        """
        for entry in () if self.quick else entries:
            self._run(entry)
            entry.row.forget()
        return self.measure(entries)

    def measure(self, entries: Sequence[Entry], *, runs: int | None = None) -> list[Row]:
        """Run the entries in turn, several times. An entry that failed is not run again."""
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
            # The error is shown in its row; the others are measured.
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
            expected: The number of records that it must deliver at least.
            connections: How many connections it reads; None: all.
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
    """The start of a contestant, from its row."""
    return None if row.error else Start(row.wall, row.cpu, row.units, row.requests or 0)


def failed(starts: Sequence[Row]) -> list[Row]:
    """Rows of contestants that could not start, to show them instead of leaving them out."""
    found = [row for row in starts if row.error is not None]
    for row in found:
        row.group = "not measured"
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
