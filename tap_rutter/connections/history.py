"""How far back a connection's data go, and whether they go further back than in an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tap_rutter import times

EARLIEST_MS = 946_684_800_000
"""2000-01-01, Unix ms. Where there is no date, platforms write some date before it."""
_LARGEST_COUNT = 2**63 - 1


@dataclass(frozen=True)
class History:
    """How far back a connection's data go, as Rutter tells it. It only grows.

    ``ready`` and ``waiting`` hold, for each entity, its oldest date as a Unix second, or None.
    """

    completed: bool | None = None
    batches: int | None = None
    ready: Mapping[str, int | None] = field(default_factory=dict)
    waiting: Mapping[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> History:
        """The history in an answer of ``/connections/status``; what it lacks stays unknown."""
        history = status.get("historical_sync_status")
        if not isinstance(history, dict):
            return cls()
        completed, batches = (
            history.get("historical_sync_completed"),
            history.get("num_batches_completed"),
        )
        total = history.get("total")
        ready: dict[str, int | None] = {}
        waiting: dict[str, int | None] = {}
        for name, entity in sorted(total.items()) if isinstance(total, dict) else ():
            if not isinstance(entity, dict):
                continue
            oldest = times.parse(entity.get("oldest_entity_date"))
            known = None if oldest is None else oldest // times.SECOND
            if entity.get("ready") is True:
                ready[name] = known
            elif known is not None:
                waiting[name] = known
        return cls(
            completed=completed if isinstance(completed, bool) else None,
            batches=whole_count(batches),
            ready=ready,
            waiting=waiting,
        )

    @classmethod
    def from_state(cls, value: Mapping[str, Any]) -> History:
        """The history that a state holds."""
        return cls(
            completed=value.get("completed"),
            batches=value.get("batches"),
            ready=value.get("ready") or {},
            waiting=value.get("waiting") or {},
        )

    def to_state(self) -> dict[str, Any]:
        """The form in which a state holds it: nothing for what is unknown.

        Not copied, since thousands are kept: what is in a state is replaced, never changed.
        """
        parts = {
            "completed": self.completed,
            "batches": self.batches,
            "ready": self.ready or None,
            "waiting": self.waiting or None,
        }
        return {name: value for name, value in parts.items() if value is not None}

    def has_grown(self, older: History) -> bool:
        """Whether there may now be old rows that were not there when ``older`` was read.

        A value that was unknown and is known now counts: its rows may have come meanwhile.
        """
        if self.completed and not older.completed:
            return True
        if (self.batches or 0) > (older.batches or 0):
            return True
        for name, oldest in self.ready.items():
            if name not in older.ready:
                return True
            if _is_earlier(oldest, older.ready[name]):
                return True
        return any(
            _is_earlier(oldest, {**older.ready, **older.waiting}.get(name))
            for name, oldest in self.waiting.items()
        )

    def merged(self, older: History) -> History:
        """This history, with unknown values taken from an older one."""
        entities = bool(self.ready or self.waiting)
        return History(
            completed=older.completed if self.completed is None else self.completed,
            batches=older.batches if self.batches is None else self.batches,
            ready=self.ready if entities else older.ready,
            waiting=self.waiting if entities else older.waiting,
        )

    def oldest_of(self, rutter_object: str | None) -> int | None:
        """The oldest date of one object's entity, Unix milliseconds; None where it is not told."""
        for entities in (self.ready, self.waiting):
            for name, second in entities.items():
                if rutter_object and is_entity_of(name, rutter_object) and second is not None:
                    moment = second * times.SECOND
                    return moment if moment >= EARLIEST_MS else None
        return None

    @property
    def oldest_ms(self) -> int | None:
        """The oldest date of any entity, Unix milliseconds."""
        known = [
            second
            for second in (*self.ready.values(), *self.waiting.values())
            if second is not None and second * times.SECOND >= EARLIEST_MS
        ]
        return min(known) * times.SECOND if known else None


def is_entity_of(name: str, rutter_object: str) -> bool:
    """Whether an entity of a status is that object: they are the same words, singular or plural.

    How the entities are spelt is not documented.
    """
    return name.lower().removesuffix("s") == rutter_object.removesuffix("s")


def whole_count(count: object) -> int | None:
    """A count as it came; None for what is not a count, or larger than a database can store.

    Written out, a count like 1e30000000 would take longer than the whole run.
    """
    if isinstance(count, bool) or not isinstance(count, int | float | Decimal):
        return None
    if isinstance(count, Decimal) and not count.is_finite():
        return None
    return int(count) if 0 <= count <= _LARGEST_COUNT else None


def _is_earlier(date: int | None, than: int | None) -> bool:
    return date is not None and than is not None and date < than
