"""Reading ahead: threads walk chains, and one consumer gets their items in plan order.

A *chain* is an iterator whose every step is one slow operation: a partition, or one of the lists
that it is read in. Chains are handed in in plan order; a chain may bring, as one of its items, a
list of further chains whose items come at that very place (``Inline``). Whatever the number of
workers, the consumer sees the same items in the same order. While it has to wait, it gets an
``Idle`` now and then.

A chain may also bring a ``WaitFor``: it is *held* then, and no worker takes its next step, until
its gate is open. What the gate waits for is decided by chains that come earlier in plan order. So
the chain that the consumer has come to is never held, and held chains cannot lock up.

What is ahead of the consumer is bounded in bytes, in pages and in chains; the chain that the
consumer waits for may always go on, so the bounds cannot lock up. Half of the bytes and pages are
kept for the chains that it comes to next: were all of them taken up by those that come late in the
plan, the next ones would be read one page after another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tap_rutter.replication.gates import Gate
from tap_rutter.replication.items import Begin, DeliveredItem, Done, End, Inline, WaitFor

Owner = TypeVar("Owner")

_MOST_BYTES = 64 << 20
_MOST_CHAINS = 128
_MOST_PAGES = 48
_NEXT_CHAINS = 4  # that the consumer comes to next: they may use all of the bounds
_TICK = 0.5  # seconds
_MARKS = (Begin, End, Done)
"""They cost nothing to bring, and are handed over together with what comes next."""


@dataclass(frozen=True)
class Failed:
    """The chain ended with an error."""

    error: Exception


@dataclass(frozen=True)
class Idle:
    """Nothing has come for a moment: the consumer may do something else."""


IDLE = Idle()

Brought = DeliveredItem | Failed | Idle
"""What the consumer gets."""


class Chain(Generic[Owner]):
    """A sequence of slow steps that belongs to an owner."""

    __slots__ = (
        "buffered",
        "cancelled",
        "done",
        "held_at",
        "items",
        "iterator",
        "owner",
        "running",
    )

    def __init__(self, owner: Owner, iterator: Iterator[Any]) -> None:
        self.owner = owner
        self.iterator = iterator
        self.items: deque[Any] = deque()
        self.buffered = 0
        self.held_at: Gate | None = None
        self.running = False
        self.done = False
        self.cancelled = False

    def step(self) -> Any:
        """One step; ``None`` at the end, ``Failed`` for an error."""
        try:
            item = next(self.iterator)
        except StopIteration:
            return None
        except Exception as error:
            return Failed(error)
        if isinstance(item, Inline):
            return _Inlined(tuple(Chain(self.owner, reading) for reading in item.readings))
        return item

    def steps(self) -> list[Any]:
        """Marks, and the one step that comes after them."""
        items = [self.step()]
        while isinstance(items[-1], _MARKS) and not self.cancelled:
            items.append(self.step())
        return items


@dataclass(frozen=True)
class _Inlined:
    """Further chains that a chain has brought; their items come at its place."""

    chains: tuple[Chain[Any], ...]


def size_of(item: Any) -> int:
    """How many bytes of memory an item takes, about."""
    return int(getattr(item, "size", 0)) + 256


def is_heavy(item: Any) -> bool:
    """Whether an item counts as a page: pages are bounded, since a crash loses them."""
    return bool(getattr(item, "is_heavy", False))


class ReadAhead(Generic[Owner]):
    """Walks chains in ``workers`` threads; with 0 workers, in the consumer's thread."""

    def __init__(
        self,
        plan: Iterable[Chain[Owner]],
        *,
        workers: int,
        most_bytes: int = _MOST_BYTES,
        most_pages: int | None = None,
        most_chains: int = _MOST_CHAINS,
    ) -> None:
        self._plan = iter(plan)
        self._workers = workers
        self._most_bytes = most_bytes
        self._most_pages = most_pages or max(workers, min(4 * workers, _MOST_PAGES))
        self._most_chains = most_chains
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._brought = threading.Condition(self._lock)
        self._active: list[Chain[Owner]] = []  # in plan order; inlined chains before their own
        self._roots: deque[Chain[Owner]] = deque()
        self._planned = False
        self._wanted: Chain[Owner] | None = None
        self._bytes = 0
        self._pages = 0
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def __iter__(self) -> Iterator[tuple[Chain[Owner], Any]]:
        """All items with their chains, in plan order; errors as ``Failed`` items."""
        while (chain := self._next_planned()) is not None:
            yield from self._drain(chain)

    def cancel(self, owner: Owner) -> None:
        """Give up all chains of an owner: none of their items comes from now on."""
        with self._lock:
            for chain in tuple(self._active):
                if chain.owner is owner:
                    self._drop(chain)
            self._work.notify_all()

    def stop(self, timeout: float = 5.0) -> None:
        """End all threads; wait at most ``timeout`` seconds for what they are doing now."""
        with self._lock:
            self._stopped = True
            for chain in tuple(self._active):
                self._drop(chain)
            self._work.notify_all()
            self._brought.notify_all()
        end = time.monotonic() + timeout
        for thread in tuple(self._threads):
            thread.join(max(0.0, end - time.monotonic()))
        self._threads.clear()

    # ---- the consumer's side

    def _next_planned(self) -> Chain[Owner] | None:
        """The next chain of the plan itself; the consumer has taken all before it."""
        with self._lock:
            if self._stopped:
                return None
            if not self._roots:
                self._extend_plan()
            return self._roots.popleft() if self._roots else None

    def _drain(self, chain: Chain[Owner]) -> Iterator[tuple[Chain[Owner], Any]]:
        """A chain's items, with those of its inlined chains at their place."""
        while items := self._take(chain):
            for item in items:
                if isinstance(item, _Inlined):
                    for inlined in item.chains:
                        yield from self._drain(inlined)
                else:
                    yield chain, item
                if chain.cancelled:
                    break
        with self._lock:
            if chain in self._active:
                self._active.remove(chain)

    def _take(self, chain: Chain[Owner]) -> list[Any]:
        """Wait for what the chain brings next, marks with what comes after; empty at its end."""
        if not self._workers:
            return self._step_here(chain)
        self._start()
        with self._lock:
            self._wanted = chain
            if not chain.items and not chain.done and not chain.running:
                self._work.notify()
            while not (chain.items or chain.done or chain.cancelled or self._stopped):
                if not self._brought.wait(_TICK) and not (chain.items or chain.done):
                    return [IDLE]
            self._wanted = None
            items: list[Any] = []
            while chain.items and not (items and not isinstance(items[-1], _MARKS)):
                items.append(self._take_out(chain))
            if items:
                self._work.notify()
            return items

    def _take_out(self, chain: Chain[Owner]) -> Any:
        item = chain.items.popleft()
        size = size_of(item)
        chain.buffered -= size
        self._bytes -= size
        self._pages -= is_heavy(item)
        return item

    def _step_here(self, chain: Chain[Owner]) -> list[Any]:
        if chain.done or chain.cancelled:
            return []
        while isinstance(item := chain.step(), WaitFor):
            pass  # all that it could wait for has been taken
        if item is None or isinstance(item, Failed):
            chain.done = True
        if isinstance(item, _Inlined):
            at = self._active.index(chain) if chain in self._active else 0
            self._active[at:at] = item.chains
        return [] if item is None else [item]

    # ---- the workers' side; the lock is held but where it says otherwise

    def _start(self) -> None:
        if self._threads or self._stopped:
            return
        for number in range(self._workers):
            thread = threading.Thread(target=self._walk, name=f"reader-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)  # not before it has started: a signal may join it

    def _walk(self) -> None:
        while True:
            with self._lock:
                while (chain := self._pick()) is None:
                    if self._stopped:
                        return
                    self._work.wait()
                chain.running = True
                chain.held_at = None
            self._settle(chain, chain.steps())

    def _settle(self, chain: Chain[Owner], steps: Sequence[Any]) -> None:
        """Take in what some steps have brought. The lock is not held here."""
        *marks, item = steps
        with self._lock:
            chain.running = False
            for mark in marks:
                self._keep(chain, mark)
            if isinstance(item, WaitFor):
                chain.held_at = item.gate
            elif item is not None:
                self._keep(chain, item)
            if item is None or isinstance(item, Failed):
                chain.done = True
            if chain is self._wanted or chain.cancelled:
                self._brought.notify_all()
            self._work.notify()
        if isinstance(item, WaitFor):
            self._hold(chain, item.gate)

    def _hold(self, chain: Chain[Owner], gate: Gate) -> None:
        """Have a chain walked again once its gate is open. The lock is not held here."""
        gate.when_open(lambda: self._release(chain, gate))

    def _release(self, chain: Chain[Owner], gate: Gate) -> None:
        with self._lock:
            # The consumer may have come to the chain before, and it may wait at another gate now.
            if chain.held_at is gate:
                chain.held_at = None
                self._work.notify()

    def _keep(self, chain: Chain[Owner], item: Any) -> None:
        if chain.cancelled:
            return
        size = size_of(item)
        chain.items.append(item)
        chain.buffered += size
        self._bytes += size
        self._pages += is_heavy(item)
        if isinstance(item, _Inlined) and chain in self._active:
            at = self._active.index(chain)
            self._active[at:at] = item.chains
            self._work.notify_all()

    def _pick(self) -> Chain[Owner] | None:
        """The earliest chain in plan order that may take a step now."""
        if self._stopped:
            return None
        wanted = self._wanted
        if wanted is not None and not (
            wanted.items or wanted.running or wanted.done or wanted.cancelled
        ):
            return wanted
        unfinished = 0
        for chain in self._active:
            if chain.done or chain.cancelled or chain.held_at is not None:
                continue
            if self._is_full(kept=unfinished >= _NEXT_CHAINS):
                return None
            unfinished += 1
            if not chain.running:
                return chain
        if self._is_full(kept=unfinished >= _NEXT_CHAINS):
            return None
        if len(self._active) < self._most_chains and not self._planned:
            return self._extend_plan()
        return None

    def _is_full(self, *, kept: bool) -> bool:
        """Whether no more may be read ahead; ``kept``: by a chain that comes late in the plan."""
        share = 2 if kept else 1
        return self._bytes * share >= self._most_bytes or self._pages * share >= max(
            self._most_pages, share
        )

    def _extend_plan(self) -> Chain[Owner] | None:
        chain = next(self._plan, None)
        if chain is None:
            self._planned = True
        else:
            self._active.append(chain)
            self._roots.append(chain)
        return chain

    def _drop(self, chain: Chain[Owner]) -> None:
        chain.cancelled = True
        self._bytes -= chain.buffered
        self._pages -= sum(map(is_heavy, chain.items))
        chain.buffered = 0
        inlined = [item for item in chain.items if isinstance(item, _Inlined)]
        chain.items.clear()
        # The consumer never comes to the chains of its items now, so they are ended here.
        for lost in (lost for item in inlined for lost in item.chains):
            self._drop(lost)
            if lost in self._active:
                self._active.remove(lost)
