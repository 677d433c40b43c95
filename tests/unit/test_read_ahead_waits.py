"""Reading ahead with chains that wait for what others find out: never for who is faster."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.reading import (
    WATCHDOG,
    WORKERS,
    Counted,
    Item,
    label_of,
    quiet,
    rows,
    taken,
    threads,
)
from support.threads import until

from tap_rutter.replication.gates import Gate
from tap_rutter.replication.items import Inline, WaitFor
from tap_rutter.sync import read_ahead
from tap_rutter.sync.read_ahead import Chain, Idle, ReadAhead

THREADED = [workers for workers in WORKERS if workers]


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_TICK", 0.01)


def after(gate: Gate, *labels: str) -> Iterator[Any]:
    """Rows that come once a gate is open."""
    yield WaitFor(gate)
    yield from rows(*labels)


# ---- lists that are planned from what earlier ones found


class Spread:
    """A list that is cut up as it is read: how much comes next follows from what came before.

    Part ``n`` is planned from the findings of all parts up to ``n - under_way``.
    """

    def __init__(self, seed: int, under_way: int) -> None:
        self._seed = seed
        self._under_way = under_way
        self._gates: list[Gate] = []
        self._found: dict[int, int] = {}
        self.planned: list[int] = []

    def reading(self) -> Iterator[Any]:
        begin = 0
        while begin < 400:
            part = len(self._gates)
            if part >= self._under_way:
                yield WaitFor(self._gates[part - self._under_way])
            # A part that is planned too early finds nothing here, and fails.
            known = [self._found[each] for each in range(part - self._under_way + 1)]
            length = 1 + sum(known) % 17
            self.planned.append(length)
            self._gates.append(Gate())
            yield Inline((self._part(part, begin, length),))
            begin += length

    def _part(self, part: int, begin: int, length: int) -> Iterator[Any]:
        pause = random.Random(f"{self._seed}|{part}")
        for row in range(begin, begin + length, 5):
            time.sleep(pause.random() * 0.003)
            yield Item(str(row))
        self._found[part] = length * 7 % 13
        for number, gate in enumerate(self._gates):
            if number not in self._found:
                break
            gate.open()  # each stands for its part and all before it


@pytest.mark.parametrize("under_way", [1, 3, 12])
@pytest.mark.longer
def test_what_is_planned_from_answers_does_not_depend_on_which_came_first(under_way: int) -> None:
    found = []
    for workers in WORKERS:
        lists = [Spread(seed, under_way) for seed in range(3)]
        chains = [Chain(number, one.reading()) for number, one in enumerate(lists)]
        reading = ReadAhead(chains, workers=workers)
        labels = [(chain.owner, label_of(item)) for chain, item in taken(iter(reading))]
        reading.stop(WATCHDOG)
        found.append((labels, [one.planned for one in lists]))
    assert all(one == found[0] for one in found)
    assert len(found[0][0]) > 3 * 400 / 5


# ---- waiting


@pytest.mark.parametrize("workers", [2, 8, 32])
def test_a_chain_that_waits_is_left_alone_and_others_are_read(workers: int) -> None:
    first, others, gate = Counted(is_open=False), Counted(), Gate()
    waiting = Counted()

    def held(name: str) -> Iterator[Any]:
        yield WaitFor(gate)
        yield from waiting.chain(name, 1, is_heavy=False).iterator

    chains = [
        first.chain("first", 1),
        *(Chain(name, held(name)) for name in ("w", "x")),
        *(others.chain(name, 1, is_heavy=False) for name in "abc"),
    ]
    reading = ReadAhead(chains, workers=workers)
    items = iter(reading)
    assert isinstance(next(items)[1], Idle)
    until(lambda: others.fetched == 3, "the others are read")
    assert quiet(lambda: waiting.fetched) == 0
    gate.open()
    until(lambda: waiting.fetched == 2, "those that waited are read on")
    first.gate.set()
    labels = [label_of(item) for _, item in taken(items)]
    reading.stop(WATCHDOG)
    assert labels == ["first0", "w0", "x0", "a0", "b0", "c0"]


@pytest.mark.parametrize("workers", WORKERS)
def test_a_gate_that_nobody_opens_holds_nobody_up(workers: int) -> None:
    """Whoever would have opened it has failed, or was given up."""
    never = Gate()
    chains = [Chain(name, after(never, f"{name}0", f"{name}1")) for name in "abcdef"]
    reading = ReadAhead(chains, workers=workers, most_chains=3)
    labels = [label_of(item) for _, item in taken(iter(reading))]
    reading.stop(WATCHDOG)
    assert labels == [f"{name}{number}" for name in "abcdef" for number in range(2)]


@pytest.mark.parametrize("workers", WORKERS)
def test_an_open_gate_holds_nobody(workers: int) -> None:
    gate = Gate()
    gate.open()
    gate.open()
    reading = ReadAhead([Chain("a", after(gate, "a0"))], workers=workers)
    assert [label_of(item) for _, item in taken(iter(reading))] == ["a0"]
    reading.stop(WATCHDOG)


def test_a_gate_that_opens_late_does_not_end_the_wait_at_another() -> None:
    early, late, first = Gate(), Gate(), Counted(is_open=False)
    steps: list[str] = []

    def twice() -> Iterator[Any]:
        yield WaitFor(early)
        steps.append("between")
        yield WaitFor(late)
        steps.append("behind")
        yield Item("end")

    reading = ReadAhead([first.chain("first", 1), Chain("b", twice())], workers=4)
    items = iter(reading)
    assert isinstance(next(items)[1], Idle)
    early.open()
    until(lambda: steps == ["between"], "it is read on to its second wait")
    early.open()
    assert quiet(lambda: len(steps)) == 1
    late.open()
    until(lambda: steps == ["between", "behind"], "it is read to its end")
    first.gate.set()
    assert [label_of(item) for _, item in taken(items)] == ["first0", "end"]
    reading.stop(WATCHDOG)


# ---- the end


@pytest.mark.parametrize("workers", THREADED)
def test_what_is_given_up_while_it_waits_is_not_read(workers: int) -> None:
    gate, waiting = Gate(), Counted()

    def held() -> Iterator[Any]:
        yield Item("lost0", 0, False)
        yield WaitFor(gate)
        yield from waiting.chain("lost", 5).iterator

    reading = ReadAhead([Chain("lost", held()), Chain("b", rows("b0"))], workers=workers)
    items = taken(iter(reading))
    chain, _ = next(items)
    reading.cancel(chain.owner)
    gate.open()
    assert [label_of(item) for _, item in items] == ["b0"]
    reading.stop(WATCHDOG)
    assert waiting.fetched == 0


@pytest.mark.parametrize("workers", THREADED)
def test_stop_ends_the_threads_while_chains_wait(workers: int) -> None:
    before, first, gate = threads(), Counted(is_open=False), Gate()
    chains = [first.chain("first", 1), *(Chain(name, after(gate, name)) for name in "abcdefgh")]
    reading = ReadAhead(chains, workers=workers)
    got: list[Any] = []
    consumer = threading.Thread(target=lambda: got.extend(taken(iter(reading))))
    consumer.start()
    until(lambda: len(threads() - before) == workers, "the threads are at work")
    reading.stop(timeout=0.0)
    first.gate.set()
    consumer.join(WATCHDOG)
    gate.open()  # too late for anything
    for thread in threads() - before:
        thread.join(WATCHDOG)
    assert threads() <= before
    assert not consumer.is_alive()
    assert got == []
