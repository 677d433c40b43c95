"""What all partitions of a run share, and what the run was given for each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from tap_rutter.api.client import Client
from tap_rutter.connections.history import History
from tap_rutter.connections.selection import Connection
from tap_rutter.connections.sync_status import (
    Standing,
    SyncStatus,
    read_standing,
    read_sync_status,
)
from tap_rutter.errors import ConnectionUnusable
from tap_rutter.replication.after_sync import AfterSync, Given
from tap_rutter.replication.endpoint import Facts
from tap_rutter.replication.scouting import Scouting
from tap_rutter.schema.document import Document
from tap_rutter.settings import Settings

PartitionState = dict[str, Any]
"""A partition's entry in the state; ``sync/state.py`` describes its form."""

REPLICATION_KEY = "replication_key"
REPLICATION_KEY_VALUE = "replication_key_value"

_T = TypeVar("_T")


class InputState(Protocol):
    """The state that the run was given. It never changes, so any thread may read it."""

    def input_state(self, stream: str, connection_id: str) -> PartitionState | None:
        """A partition's entry; None if it has none."""

    def history(self, connection_id: str) -> History | None:
        """The history that a connection had when its bookmarks were set."""

    def given(self, connection_id: str, choice: str) -> Given:
        """What there is of a connection, and of its last read of a choice of streams."""


@dataclass
class RunContext:
    """What all partitions of a run share. Worker threads use it; only its caches change."""

    settings: Settings
    client: Client
    document: Document
    input_state: InputState
    cutoff: int
    full_table: frozenset[str] = frozenset()
    """Streams that the catalog asks to read whole."""
    after_sync: AfterSync | None = None
    """With it, what Rutter has not synced since its last read is not read."""
    scouting: Scouting = field(default_factory=Scouting)
    told_plain: set[str] = field(default_factory=set)
    """Streams, and what of their rows is refused, of which it has been said."""
    _standings: dict[str, _Once[Standing]] = field(default_factory=dict)
    _sync_statuses: dict[str, _Once[SyncStatus]] = field(default_factory=dict)
    _has_grown: dict[str, bool] = field(default_factory=dict)
    _given: dict[str, Given] = field(default_factory=dict)
    _idle: dict[str, bool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def standing(self, connection: Connection) -> Standing:
        """The first half of how a connection stands, read once a run by whoever comes first."""
        once = self._standings.get(connection.id)
        if once is None:
            with self._lock:
                once = self._standings.setdefault(connection.id, _Once())
        return once.get(lambda: read_standing(self.client, connection.id))

    def sync_status(self, connection: Connection) -> SyncStatus:
        """How a connection stands at Rutter. The first thread that asks reads it, once a run."""
        once = self._sync_statuses.get(connection.id)
        if once is None:
            with self._lock:
                once = self._sync_statuses.setdefault(connection.id, _Once())
        return once.get(lambda: self._read_sync_status(connection))

    def known_standing(self, connection: Connection) -> Standing | None:
        """The first half if it has been read already; no request is made."""
        once = self._standings.get(connection.id)
        return once.value if once else None

    def known_sync_status(self, connection: Connection) -> SyncStatus | None:
        """How a connection stands if it has been read already; no request is made."""
        once = self._sync_statuses.get(connection.id)
        return once.value if once else None

    def _read_sync_status(self, connection: Connection) -> SyncStatus:
        try:
            return read_sync_status(self.client, connection.id, self.standing(connection))
        except ConnectionUnusable as error:
            if error.reason == "not_ready" and self.settings.force_fetch:
                now = self.client.clock.now()
                return SyncStatus(is_ready=False, received_ms=now, trouble=error)
            raise

    def history(self, connection: Connection) -> History:
        """How far back a connection's data go; what Rutter does not tell today is as before."""
        older = self.input_state.history(connection.id)
        history = self.sync_status(connection).history
        return history if older is None else history.merged(older)

    def has_grown(self, connection: Connection) -> bool:
        """Whether older rows may have come since a connection's bookmarks were set.

        If the history at that time is not known, older rows may have come.
        """
        if connection.id not in self._has_grown:
            older = self.input_state.history(connection.id)
            history = self.history(connection)
            self._has_grown[connection.id] = (
                bool(history.to_state()) if older is None else history.has_grown(older)
            )
        return self._has_grown[connection.id]

    def is_unchanged(self, endpoint: Facts, connection: Connection, *, ask: bool) -> bool:
        """Whether a partition need not be read, as nothing was synced since it last was.

        ``ask``: whether the connection's status may be asked for that; else only what is known
        already counts.
        """
        if self.after_sync is None or not self.is_ready(connection):
            return False
        given = self._given.get(connection.id)
        if given is None:
            given = self.input_state.given(connection.id, self.after_sync.choice)
            self._given[connection.id] = given
        if not self.after_sync.may_skip(endpoint, connection, given):
            return False
        if connection.id not in self._idle:
            try:
                standing = self.standing(connection) if ask else self.known_standing(connection)
            except ConnectionUnusable:
                return False  # whoever reads it comes upon the same
            if standing is None:
                return False
            self._idle[connection.id] = self.after_sync.is_idle(standing, given)
        return self._idle[connection.id]

    def is_forced(self, connection: Connection) -> bool:
        """Whether a connection is read although its first sync is not over."""
        return self.settings.force_fetch and not self.is_ready(connection)

    def is_ready(self, connection: Connection) -> bool:
        """Whether a connection's first sync is over."""
        if connection.status:
            return connection.status != "not_ready"
        sync_status = self.known_sync_status(connection)
        return sync_status is None or sync_status.is_ready is not False

    def counts(self, connection: Connection) -> bool:
        """Whether what is read of a connection says how it is, and not only how it is so far.

        With ``force_fetch`` a connection is read while its first sync goes on. What it gives then
        may be incomplete, and a list that it lacks may still come: none of it is remembered.
        """
        if not self.is_ready(connection):
            return False
        sync_status = self.known_sync_status(connection)
        is_underway = sync_status is not None and sync_status.is_ready is False
        return not (self.settings.force_fetch and is_underway)


class _Once(Generic[_T]):
    """A value made by the first thread that asks; the others wait. An error is kept as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self.value: _T | None = None

    def get(self, make: Callable[[], _T]) -> _T:
        if self.value is not None:  # it never changes again
            return self.value
        with self._lock:
            if self._error is not None:
                raise self._error
            if self.value is None:
                try:
                    self.value = make()
                except Exception as error:
                    self._error = error
                    raise
            return self.value
