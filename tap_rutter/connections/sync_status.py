"""How a connection stands at Rutter: read once a run, before its first stream.

``/connections/status`` and ``/connections/access_token`` tell when Rutter last synced it, how much
of its history is there, and which objects its platform cannot serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tap_rutter import times
from tap_rutter.api.body import missing, open_body
from tap_rutter.api.client import Client
from tap_rutter.api.json_text import decode_value
from tap_rutter.api.request import Counts, Request, Response
from tap_rutter.connections.history import EARLIEST_MS, History
from tap_rutter.connections.packed import packed, unpacked
from tap_rutter.connections.row_counts import NO_COUNTS, RowCounts
from tap_rutter.connections.selection import TOKEN_PATH
from tap_rutter.errors import ConnectionUnusable, RequestFailed, Unreachable, Unsupported
from tap_rutter.redact import SECRETS

STATUS_PATH = "/connections/status"

LONGEST_LAG = 15 * times.DAY
"""How long after its own time a row may become visible: a platform is synced every
fourteen days at the latest, if so configured at Rutter, and a sync takes its time."""


_REFUSALS = (("needs_update_status", "needs_update"), ("disabled_status", "is_disabled"))
"""Parts of a status object, each with the field that says it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What ``/connections/status`` alone tells of a connection, in one request."""

    status: Mapping[str, Any] = field(default_factory=dict)
    """The status object as it came, without link addresses; empty where it could not be read.

    It is packed, since thousands are kept for a whole run.
    """
    completed_ms: int | None = None
    """When the newest sync had ended."""
    is_ready: bool | None = None
    """Whether its first sync is over; None where that is not told."""
    is_in_order: bool = True
    """Whether it says nothing of a connection whose data would be refused."""
    received_ms: int = 0
    trouble: RequestFailed | None = None
    """Why it could not be read."""
    counts: Counts = field(default_factory=Counts)

    @classmethod
    def of(
        cls,
        status: Mapping[str, Any],
        received_ms: int,
        trouble: RequestFailed | None,
        counts: Counts,
    ) -> Standing:
        """What a status object tells; of an empty one, nothing."""
        ready = status.get("is_ready")
        is_ready = ready if isinstance(ready, bool) else None
        return cls(
            status=packed(status),
            completed_ms=times.parse(status.get("last_sync_completed_at")),
            is_ready=is_ready,
            is_in_order=is_ready is not False and not _refuses(status),
            received_ms=received_ms,
            trouble=trouble,
            counts=counts,
        )

    def history(self) -> History:
        """How far back the connection's data go."""
        return History.of(unpacked(self.status))


def _refuses(status: Mapping[str, Any]) -> bool:
    """Whether a status says that the connection's data would be refused."""
    parts = [(status.get(part), name) for part, name in _REFUSALS]
    return any(isinstance(told, dict) and told.get(name) is True for told, name in parts)


@dataclass(frozen=True)
class SyncStatus:
    """What this run knows about how a connection stands at Rutter."""

    status: Mapping[str, Any] = field(default_factory=dict)
    """The status object as it came, without link addresses; empty if it could not be read."""
    sync_started_ms: int | None = None
    sync_completed_ms: int | None = None
    history: History = field(default_factory=History)
    row_counts: RowCounts = NO_COUNTS
    unavailable: frozenset[str] = frozenset()
    is_ready: bool | None = None
    received_ms: int = 0
    trouble: RequestFailed | None = None
    """Why some of it could not be read; None if nothing failed."""
    counts: Counts = field(default_factory=Counts)

    def horizon(self, cutoff: int) -> int:
        """Up to when rows can be taken for complete: Unix ms, by the platform's clock.

        Rutter shows a change only after a sync that began later than the change. So rows that
        changed after the start of the last sync may be missing. A time that is unreadable, in the
        future or before 2000 is unknown. If both times of the sync are unknown, the last sync is
        assumed to lie ``LONGEST_LAG`` back.
        """
        known = [
            moment
            for moment in (self.sync_started_ms, self.sync_completed_ms)
            # A long run reads these times long after its cutoff, and Rutter syncs on meanwhile.
            if moment is not None and EARLIEST_MS <= moment <= max(cutoff, self.received_ms)
        ]
        return min([cutoff, *known]) if known else cutoff - LONGEST_LAG

    def count_of(self, rutter_object: str | None) -> int | None:
        """How many rows of an object Rutter says it has synced; None if it does not say.

        Above a million Rutter's counts are estimates.
        """
        return None if rutter_object is None else self.row_counts.of(rutter_object)

    @property
    def synced_at(self) -> int | None:
        """When Rutter last completed a sync of the connection, Unix ms."""
        return self.sync_completed_ms


def read_standing(client: Client, connection_id: str) -> Standing:
    """Read the first half of how a connection stands: one request.

    Raises:
        ConnectionUnusable: when Rutter refuses the connection as a whole.
        Unreachable: when it is a run's first request, and nothing answers.
        Stopped: when the run is being ended.
    """
    counts = Counts()
    status, received, trouble = _object(client, STATUS_PATH, "status", connection_id, counts)
    return Standing.of(status, received, trouble, counts)


def read_sync_status(
    client: Client, connection_id: str, standing: Standing | None = None
) -> SyncStatus:
    """Read how a connection stands: two requests, or one where its ``standing`` has been read.

    What cannot be read stays unknown, so that the lists are read even if these endpoints fail.

    Raises:
        ConnectionUnusable: when Rutter refuses the connection as a whole.
        Stopped: when the run is being ended.
    """
    standing = standing or read_standing(client, connection_id)
    counts, status, trouble = standing.counts, unpacked(standing.status), standing.trouble
    details, _, unread = _object(client, TOKEN_PATH, "connection", connection_id, counts)
    # A platform that has no such endpoint never had it, so no earlier row held these values.
    trouble = trouble or (None if isinstance(unread, Unsupported) else unread)
    completed = [
        moment
        for moment in (
            standing.completed_ms,
            times.parse(details.get("last_sync_completed_at")),
        )
        if moment is not None
    ]
    unavailable = details.get("unavailable_objects")
    return SyncStatus(
        status=packed({**details, **status}),
        row_counts=RowCounts.of_status(status),
        sync_started_ms=times.parse(details.get("last_sync_started_at")),
        # The two answers are a moment apart: the older time is the safer one.
        sync_completed_ms=min(completed, default=None),
        history=History.of(status),
        unavailable=frozenset(name for name in unavailable if isinstance(name, str))
        if isinstance(unavailable, list)
        else frozenset(),
        is_ready=standing.is_ready,
        received_ms=standing.received_ms,
        trouble=trouble,
        counts=counts,
    )


def _object(
    client: Client, path: str, key: str, connection_id: str, counts: Counts
) -> tuple[dict[str, Any], int, RequestFailed | None]:
    def decode(response: Response) -> tuple[dict[str, Any], int]:
        outer = open_body(response.content)
        value = decode_value(outer[key]) if key in outer else None
        if not isinstance(value, dict) or not value:
            raise missing(response.content, key, path)
        if isinstance(value.get("link_url"), str):
            SECRETS.add(value.pop("link_url"))
        return value, response.received_ms

    try:
        return *client.get(Request(path, {}, connection_id), decode, counts), None
    except (ConnectionUnusable, Unreachable):
        raise
    except RequestFailed as error:
        return {}, client.clock.now(), error
