"""How a connection stands at Rutter: read once a run, before its first stream.

From ``/connections/status`` and ``/connections/access_token``: when Rutter last synced it, how
much of its history is there, and which objects its platform cannot serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tap_rutter import times
from tap_rutter.api.client import Client, Counts, Request, Response
from tap_rutter.api.pages import decode_value, missing, open_body
from tap_rutter.errors import ConnectionUnusable, RequestFailed, Unsupported
from tap_rutter.redact import SECRETS

STATUS_PATH = "/connections/status"
TOKEN_PATH = "/connections/access_token"

_EARLIEST = 946_684_800_000  # 2000-01-01: an earlier sync time is no time
LONGEST_LAG = 15 * times.DAY
"""How long after the time that it bears a row may become visible: a platform is synced every
fourteen days at the latest, if so configured at Rutter, and a sync takes its time."""
_LARGEST_COUNT = 2**63 - 1


@dataclass(frozen=True)
class History:
    """How far back a connection's data go, as Rutter tells it. It only ever grows.

    ``ready`` and ``waiting`` hold, per entity, the Unix second of its oldest date, or None.
    """

    completed: bool | None = None
    batches: int | None = None
    ready: Mapping[str, int | None] = field(default_factory=dict)
    waiting: Mapping[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> History:
        """The history in a ``/connections/status`` answer; what it does not say stays unknown."""
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
            batches=_whole(batches),
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
        """The form in which a state holds it: nothing for what is unknown."""
        parts = {
            "completed": self.completed,
            "batches": self.batches,
            "ready": dict(self.ready) or None,
            "waiting": dict(self.waiting) or None,
        }
        return {name: value for name, value in parts.items() if value is not None}

    def has_grown(self, older: History) -> bool:
        """Whether there may be old rows now that were not there under ``older``.

        What was unknown before and is known now may have come meanwhile.
        """
        if self.completed and not older.completed:
            return True
        if (self.batches or 0) > (older.batches or 0):
            return True
        for name, oldest in self.ready.items():
            if name not in older.ready:
                return True
            if _is_older(oldest, older.ready[name]):
                return True
        return any(
            _is_older(oldest, {**older.ready, **older.waiting}.get(name))
            for name, oldest in self.waiting.items()
        )

    def merged(self, older: History) -> History:
        """This history, with what it leaves unknown taken from an older one."""
        entities = bool(self.ready or self.waiting)
        return History(
            completed=older.completed if self.completed is None else self.completed,
            batches=older.batches if self.batches is None else self.batches,
            ready=self.ready if entities else older.ready,
            waiting=self.waiting if entities else older.waiting,
        )

    @property
    def oldest_ms(self) -> int | None:
        """The oldest date of any entity, Unix milliseconds."""
        known = [
            second
            for second in (*self.ready.values(), *self.waiting.values())
            # Some platforms write "no date" as one of the year 1.
            if second is not None and second * times.SECOND >= _EARLIEST
        ]
        return min(known) * times.SECOND if known else None


def _whole(count: object) -> int | None:
    """A count as it came, or None where it is none that a database could hold.

    Written out, a count like 1e30000000 would take longer than the whole run.
    """
    if isinstance(count, bool) or not isinstance(count, int | float | Decimal):
        return None
    if isinstance(count, Decimal) and not count.is_finite():
        return None
    return int(count) if 0 <= count <= _LARGEST_COUNT else None


def _is_older(date: int | None, than: int | None) -> bool:
    return date is not None and than is not None and date < than


@dataclass(frozen=True)
class SyncStatus:
    """What is known of a connection in this run."""

    status: Mapping[str, Any] = field(default_factory=dict)
    """The status object as it came, without link addresses; empty where it could not be read."""
    sync_started_ms: int | None = None
    sync_completed_ms: int | None = None
    history: History = field(default_factory=History)
    unavailable: frozenset[str] = frozenset()
    is_ready: bool | None = None
    received_ms: int = 0
    trouble: RequestFailed | None = None
    """Why they are not complete; None if they are, as far as the platform has them."""
    counts: Counts = field(default_factory=Counts)

    def horizon(self, cutoff: int) -> int:
        """The time up to which rows of the platform's clock can be taken for complete.

        Rutter shows a row only after a sync that began after it changed: nothing later than the
        last sync's start can be relied on. A time that is unreadable, in the future or before
        2000 is unknown; with neither known the last sync may lie ``LONGEST_LAG`` back.
        """
        known = [
            moment
            for moment in (self.sync_started_ms, self.sync_completed_ms)
            # A long run reads these facts well after its cutoff: syncs go on meanwhile.
            if moment is not None and _EARLIEST <= moment <= max(cutoff, self.received_ms)
        ]
        return min([cutoff, *known]) if known else cutoff - LONGEST_LAG

    def count_of(self, rutter_object: str | None) -> int | None:
        """How many rows of an object Rutter says it has synced; None where it does not say.

        Above a million Rutter's counts are estimates.
        """
        history = self.status.get("historical_sync_status")
        total = history.get("total") if isinstance(history, dict) else None
        if rutter_object is None or not isinstance(total, dict):
            return None
        for name, entity in total.items():
            # How these entities are spelt is not documented; they are the same words.
            if name.lower().removesuffix("s") == rutter_object.removesuffix("s"):
                count = entity.get("synced_count") if isinstance(entity, dict) else None
                return _whole(count)
        return None

    @property
    def synced_at(self) -> int | None:
        """When Rutter last completed a sync of the connection."""
        return self.sync_completed_ms


def read_sync_status(client: Client, connection_id: str, *, probing: bool = True) -> SyncStatus:
    """Read a connection's facts: two requests.

    What cannot be read stays unknown, so that a fault of these endpoints costs no data.

    Raises:
        ConnectionUnusable: when Rutter refuses the connection as a whole.
        Stopped: when the run is being ended.
    """
    counts = Counts()
    status, received, trouble = _object(client, STATUS_PATH, "status", connection_id, counts)
    details: dict[str, Any] = {}
    if probing:
        details, _, unread = _object(client, TOKEN_PATH, "connection", connection_id, counts)
        # A platform that does not give these facts never gave them: no row has lost any.
        trouble = trouble or (None if isinstance(unread, Unsupported) else unread)
    started = times.parse(details.get("last_sync_started_at"))
    completed = [
        moment
        for moment in (
            times.parse(status.get("last_sync_completed_at")),
            times.parse(details.get("last_sync_completed_at")),
        )
        if moment is not None
    ]
    unavailable = details.get("unavailable_objects")
    ready = status.get("is_ready")
    return SyncStatus(
        status={**details, **status},
        sync_started_ms=started,
        # Two answers a moment apart: the older one is the safer.
        sync_completed_ms=min(completed, default=None),
        history=History.of(status),
        unavailable=frozenset(name for name in unavailable if isinstance(name, str))
        if isinstance(unavailable, list)
        else frozenset(),
        is_ready=ready if isinstance(ready, bool) else None,
        received_ms=received,
        trouble=trouble,
        counts=counts,
    )


def _object(
    client: Client, path: str, key: str, connection_id: str, counts: Counts
) -> tuple[dict[str, Any], int, RequestFailed | None]:
    def decode(answer: Response) -> tuple[dict[str, Any], int]:
        outer = open_body(answer.content)
        value = decode_value(outer[key]) if key in outer else None
        if not isinstance(value, dict) or not value:
            raise missing(answer.content, key, path)
        if isinstance(value.get("link_url"), str):
            SECRETS.add(value.pop("link_url"))
        return value, answer.received_ms

    try:
        return *client.get(Request(path, {}, connection_id), decode, counts), None
    except ConnectionUnusable:
        raise
    except RequestFailed as error:
        return {}, client.clock.now(), error
