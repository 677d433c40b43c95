"""Which partitions are asked before others, so that few requests find out what nobody serves.

Of each list and platform the first two partitions in plan order are asked, and the others wait. If
the platform has such a list, the first answer lets all of them go. If it answers both with a 404,
the others wait until the emitter comes to them, and leaves them out. The same holds for the
organisation as a whole, whose access to an endpoint may not be activated.

This only decides what is read ahead. What is skipped is the emitter's judgement alone
(``sync/outcomes.py``), made in plan order; and the partition that the emitter has come to never
waits.
"""

from __future__ import annotations

import enum
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tap_rutter.replication.gates import Gate

ENOUGH = 2
"""So many partitions that agree speak for all others."""


class Answer(enum.Enum):
    """What a partition has found out about its list."""

    SERVED = "Rutter gave a page of it"
    MISSING = "Rutter answered 404: the platform has no such list"
    CLOSED = "the organisation has no access to the endpoint"
    NOTHING = "it failed, or was not asked, or had nothing to ask for"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a partition stands: its stream, its platform, and its index in the stream's order."""

    stream: str
    platform: str
    index: int


class _Group:
    """Partitions that speak for each other."""

    __slots__ = ("answered", "open", "waiting")

    def __init__(self) -> None:
        self.open: list[int] = []
        """In order: those that may wait, and have not answered, or with a refusal."""
        self.answered: int | None = None
        """The first that was not refused."""
        self.waiting: dict[int, Gate] = {}

    def may_go(self, index: int) -> bool:
        """Whether a partition need not wait for what those before it find out."""
        if self.answered is not None and self.answered < index:
            return True
        return bisect_left(self.open, index) < ENOUGH

    def take(self, index: int, *, answered: bool) -> list[Gate]:
        """Take in that a partition was not refused. Returns the gates that open by that."""
        if answered:
            if self.answered is not None and self.answered <= index:
                return []
            self.answered = index
        else:
            at = bisect_left(self.open, index)
            if at == len(self.open) or self.open[at] != index:
                return []
            del self.open[at]
            if at >= ENOUGH:  # nobody has waited for it
                return []
        freed = [waiting for waiting in self.waiting if self.may_go(waiting)]
        return [self.waiting.pop(waiting) for waiting in freed]


class Scouting:
    """What the partitions of each stream have found out so far. Used by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[str, dict[str | None, _Group]] = {}

    def begin(self, stream: str, scouts: Iterable[Place]) -> None:
        """Make known the partitions of a stream that may speak for others, in plan order.

        Not those with a bookmark: they are asked whatever others find.
        """
        groups: dict[str | None, _Group] = {None: _Group()}
        for place in scouts:
            for name in _groups_of(place):
                groups.setdefault(name, _Group()).open.append(place.index)
        with self._lock:
            self._groups[stream] = groups

    def forget(self, stream: str) -> None:
        """A stream has been read: nobody waits any more."""
        with self._lock:
            self._groups.pop(stream, None)

    def gates(self, place: Place) -> Iterator[Gate]:
        """What a partition is to wait for, one after the other, before its list is asked for."""
        for name in _groups_of(place):
            gate = self._gate(place, name)
            if gate is not None:
                yield gate

    def _gate(self, place: Place, name: str | None) -> Gate | None:
        with self._lock:
            group = self._groups.get(place.stream, {}).get(name)
            if group is None or group.may_go(place.index):
                return None
            return group.waiting.setdefault(place.index, Gate())

    def note(self, place: Place, answer: Answer) -> None:
        """Take in what a partition has found out; what is noted last holds."""
        opened: list[Gate] = []
        with self._lock:
            groups = self._groups.get(place.stream, {})
            for name in _groups_of(place):
                group = groups.get(name)
                if group is not None and not _refuses(answer, name):
                    answered = answer is not Answer.NOTHING
                    opened += group.take(place.index, answered=answered)
        for gate in opened:
            gate.open()


def _groups_of(place: Place) -> tuple[str | None, ...]:
    """Of the organisation, and of the platform where it is known: what is not, speaks for none."""
    return (None, place.platform) if place.platform else (None,)


def _refuses(answer: Answer, group: str | None) -> bool:
    """Whether an answer speaks against asking others. A 404 does not show a lack of access."""
    return answer is Answer.CLOSED or (answer is Answer.MISSING and group is not None)
