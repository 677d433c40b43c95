"""How long reading takes, in rounds of requests: workers in a model of time, without waiting.

Each request takes one round, and nothing else takes time. Which chain a worker takes next is the
product's own choice (``ReadAhead``). So the figures are the same on every machine and at every run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from tap_rutter.replication.gates import Gate
from tap_rutter.sync.read_ahead import Chain, Failed, ReadAhead

_open = Gate.open


class Rounds(ReadAhead[Any]):
    """Workers that make requests in rounds; the consumer takes what has come at once."""

    def __init__(
        self, plan: Iterable[Chain[Any]], *, workers: int, requests: Callable[[], int]
    ) -> None:
        """``requests``: how many have been made so far."""
        super().__init__(plan, workers=workers)
        self.now = 0
        """Rounds that have passed."""
        self._requests = requests
        self._free = workers
        self._begun = 0
        self._ends: list[tuple[int, int, Chain[Any], Any, list[Gate]]] = []
        self._brought = _Clock(self)  # type: ignore[assignment]

    def _start(self) -> None:
        """No threads: time passes while the consumer waits."""

    def pass_on(self) -> None:
        """Let all free workers begin a step, and the next step end."""
        while self._free and (chain := self._pick()) is not None:
            chain.running = True
            chain.held_at = None
            before = self._requests()
            with _noted() as opened:
                steps = chain.steps()
            self._free -= 1
            self._begun += 1
            end = self.now + self._requests() - before
            heapq.heappush(self._ends, (end, self._begun, chain, steps, opened))
        assert self._ends, "nobody works, and the consumer waits"
        self.now, _, chain, steps, opened = heapq.heappop(self._ends)
        for gate in opened:  # what a request tells is known at its end
            _open(gate)
        self._settle(chain, steps)
        self._free += 1


class _Clock:
    """Stands where the consumer waits for the workers."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def wait(self, _timeout: float) -> bool:
        """Let time pass until the next step ends. The caller holds the lock."""
        self._rounds._lock.release()
        try:
            self._rounds.pass_on()
        finally:
            self._rounds._lock.acquire()
        return True

    def notify_all(self) -> None:
        """Nobody sleeps here."""


@contextmanager
def _noted() -> Iterator[list[Gate]]:
    """Keep gates shut that are opened meanwhile."""
    opened: list[Gate] = []
    with patch.object(Gate, "open", lambda gate: opened.append(gate)):
        yield opened


def rounds_of(
    readings: Iterable[Iterator[Any]], *, workers: int, requests: Callable[[], int]
) -> int:
    """How many rounds it takes to read these chains to their end."""
    model = Rounds(
        (Chain(None, reading) for reading in readings), workers=workers, requests=requests
    )
    for _, item in model:
        if isinstance(item, Failed):
            raise item.error
    return model.now
