"""Chains whose steps a test can count and hold up, and what a consumer of them sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tap_rutter.sync.read_ahead import Chain, Failed, Idle

WORKERS = (0, 1, 2, 8, 32)
WATCHDOG = 30.0  # seconds; only a lock-up ever takes as long


@dataclass(frozen=True)
class Item:
    label: str
    size: int = 0
    is_heavy: bool = True


def quiet(count: Callable[[], int]) -> int:
    """A count once it has stood still for a while: a worker that may go on would raise it."""
    seen, calm = count(), 0
    while calm < 10:
        time.sleep(0.003)
        calm = calm + 1 if count() == seen else 0
        seen = count()
    return seen


def taken(items: Iterator[tuple[Chain[Any], Any]]) -> Iterator[tuple[Chain[Any], Any]]:
    """What the consumer gets, without the signs of waiting; fails where it waits for ever."""
    waited = time.monotonic()
    for chain, item in items:
        if isinstance(item, Idle):
            assert time.monotonic() - waited < WATCHDOG, "the consumer waits for ever"
            continue
        waited = time.monotonic()
        yield chain, item


def rows(*labels: str) -> Iterator[Any]:
    yield from map(Item, labels)


def label_of(item: Any) -> str:
    if isinstance(item, Failed):
        return str(item.error)
    assert isinstance(item, Item)
    return item.label


class Counted:
    """Chains whose steps are counted, and pass a gate."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.fetched = 0
        self.most_ahead = 0
        self.consumed = 0
        self.gate = threading.Event()
        self._lock = threading.Lock()
        if is_open:
            self.gate.set()

    def chain(
        self, owner: str, pages: int, *, size: int = 0, is_heavy: bool = True, gated: bool = True
    ) -> Chain[str]:
        return Chain(owner, self._steps(owner, pages, size, is_heavy, gated))

    def _steps(
        self, owner: str, pages: int, size: int, is_heavy: bool, gated: bool
    ) -> Iterator[Item]:
        for page in range(pages):
            if gated:
                assert self.gate.wait(WATCHDOG)
            with self._lock:
                self.fetched += 1
                self.most_ahead = max(self.most_ahead, self.fetched - self.consumed)
            yield Item(f"{owner}{page}", size, is_heavy)

    def consume(self, items: Iterator[tuple[Chain[str], Any]]) -> list[str]:
        labels = []
        for _, item in taken(items):
            self.consumed += 1
            labels.append(label_of(item))
        return labels


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("reader-")}
