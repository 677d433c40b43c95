"""Which partitions need not be read, since Rutter has synced nothing since they were last read.

Only with the setting ``only_after_sync``. One request, a connection's status, decides: no sync has
ended since its lists were last read to their ends, and its history is the same. Rows that a sync
under way has shown already are read when that sync has ended, since it is the newest then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tap_rutter import __version__, times
from tap_rutter.connections.history import EARLIEST_MS, History
from tap_rutter.connections.platforms import REAL_TIME
from tap_rutter.connections.selection import Connection
from tap_rutter.connections.sync_status import Standing
from tap_rutter.replication.endpoint import Changes, Facts
from tap_rutter.settings import Settings

CLOCKS_APART = times.MINUTE
"""How much later than a run's cutoff a time may lie that an earlier run has set."""


@dataclass(frozen=True)
class LastRead:
    """What the state holds of a connection's last read.

    It is about one choice of streams and settings: another choice asks for what this one did not.
    """

    synced_ms: int
    """When the newest sync at Rutter had ended, as the status said before the first list."""
    at_ms: int
    """The cutoff of the run, Unix ms."""
    missed: frozenset[str] = frozenset()
    """Streams that were not read to their ends."""
    bookmarks: int = 0
    """How many of the streams had an entry afterwards."""

    @classmethod
    def from_state(cls, value: Mapping[str, Any]) -> LastRead:
        """The form of a state, whose shape has been checked."""
        return cls(
            synced_ms=times.parse(value["synced"]) or 0,
            at_ms=times.parse(value["at"]) or 0,
            missed=frozenset(value.get("missed") or ()),
            bookmarks=value["bookmarks"],
        )

    def to_state(self) -> dict[str, Any]:
        """The form in which a state holds it."""
        return {
            "synced": times.to_text(self.synced_ms),
            "at": times.to_text(self.at_ms),
            **({"missed": sorted(self.missed)} if self.missed else {}),
            "bookmarks": self.bookmarks,
        }


@dataclass(frozen=True)
class Given:
    """What the run was given of a connection."""

    last_read: LastRead | None
    history: History | None
    bookmarks: int
    """How many of the streams have an entry."""


class AfterSync:
    """Judges by what the run was given and by one answer, so any thread may ask, at any time."""

    def __init__(
        self, settings: Settings, cutoff: int, streams: Collection[str], full_table: frozenset[str]
    ) -> None:
        self._cutoff = cutoff
        self._full_table = full_table
        self.choice = _choice(settings, streams)
        """What a last read is about, as a short text."""

    def may_skip(self, endpoint: Facts, connection: Connection, given: Given) -> bool:
        """Whether the status can tell that a partition need not be read; asked before it is."""
        last = given.last_read
        if last is None or not is_told_of(connection):
            return False
        if last.at_ms > self._cutoff + CLOCKS_APART or given.bookmarks < last.bookmarks:
            return False  # set under a wrong clock, or bookmarks were taken out since
        if endpoint.name in last.missed or endpoint.name in self._full_table:
            return False
        match endpoint.changes:
            case Changes.WITH_SYNCS:
                return True
            case Changes.WITH_MONTHS:
                return is_same_month(last.at_ms, self._cutoff)
            case Changes.AT_ANY_TIME:
                return False

    def is_idle(self, standing: Standing, given: Given) -> bool:
        """Whether nothing has been synced since the last read of the connection."""
        last = given.last_read
        if last is None or standing.trouble is not None or not standing.is_in_order:
            return False
        if newest_sync(standing, self._cutoff) != last.synced_ms:
            return False
        history = standing.history()
        return history.merged(given.history or history) == (given.history or History())


def is_told_of(connection: Connection) -> bool:
    """Whether all that changes of a connection comes with syncs, whose times Rutter tells."""
    return bool(connection.platform) and connection.platform.upper() not in REAL_TIME


def newest_sync(standing: Standing, cutoff: int) -> int | None:
    """When the newest sync ended, Unix ms; None where that is not known or cannot be so."""
    moment = standing.completed_ms
    if moment is None or not EARLIEST_MS <= moment <= max(cutoff, standing.received_ms):
        return None
    return moment


def is_same_month(moment: int, other: int) -> bool:
    """Whether two times lie in one calendar month, UTC: with a new one, statements have a row."""
    return times.to_text(moment)[:7] == times.to_text(other)[:7]


def _choice(settings: Settings, streams: Collection[str]) -> str:
    """A short text for all that decides which rows a run reads of a connection."""
    parts = [
        __version__,
        settings.api_version,
        settings.start_ms,
        settings.lookback_ms,
        settings.payout_ms,
        settings.statement_months,
        settings.expand_platform_data,
        settings.expand_order_transactions,
        settings.attachment_urls,
        settings.force_fetch,
        sorted(streams),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
