"""What the readings of all kinds share: the pair that is read, its start, and its requests."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tap_rutter import times
from tap_rutter.api.client import Client, Counts, Request
from tap_rutter.api.jobs import get_list
from tap_rutter.api.pages import ListDecoder, Page
from tap_rutter.api.paging import follow
from tap_rutter.connections.selection import Connection
from tap_rutter.connections.sync_status import History, SyncStatus, read_sync_status
from tap_rutter.errors import ConnectionUnusable, RequestFailed
from tap_rutter.records.fast_path import FastPath
from tap_rutter.replication.activation import Activation
from tap_rutter.replication.asking import ask, declares_expand
from tap_rutter.schema.document import Document
from tap_rutter.settings import Settings
from tap_rutter.sync.read_ahead import Chain, Inline
from tap_rutter.sync.state import REPLICATION_KEY, REPLICATION_KEY_VALUE, Bookmarks, PartitionState

OVERLAP = times.HOUR
"""How much earlier a stream on Rutter's own clock starts: a stamp is taken before its row shows."""
_TRUSTED_AHEAD = times.HOUR


class Endpoint(Protocol):
    """The facts of a stream that reading it needs (see ``streams/base.py``)."""

    @property
    def name(self) -> str:
        """The stream's name."""

    @property
    def path(self) -> str:
        """The endpoint's path."""

    @property
    def records_key(self) -> str:
        """What the rows stand under in an answer."""

    @property
    def replication(self) -> Replication:
        """How the rows are read."""

    @property
    def replication_key(self) -> str | None:
        """The field that bookmarks are about."""

    @property
    def replication_key_may_be_null(self) -> bool:
        """Whether rows may lack it."""

    @property
    def is_commerce(self) -> bool:
        """Whether platform data may be asked for though it is not declared."""

    @property
    def is_about_connections(self) -> bool:
        """Whether the rows are about connections in any status, and no merchant's data."""

    @property
    def rutter_object(self) -> str | None:
        """What ``unavailable_objects`` calls the rows."""

    @property
    def fast_path(self) -> FastPath | None:
        """The check of rows that may be passed on as they are; None where none may."""


@dataclass(frozen=True)
class End:
    """A list of the pair has been read to its end."""

    list_name: str = ""


@dataclass(frozen=True)
class Unsorted:
    """The list is not one ascending chain; what was read of it so far counts for no bookmark."""

    list_name: str = ""


@dataclass
class RunContext:
    """What all pairs of a run share. Used by worker threads: nothing here changes but caches."""

    settings: Settings
    client: Client
    document: Document
    bookmarks: Bookmarks
    cutoff: int
    full_table: frozenset[str] = frozenset()
    """Streams that the catalog asks to read whole."""
    activation: Activation = field(default_factory=Activation)
    told_plain: set[str] = field(default_factory=set)
    """Streams of which it has been said that platform data are refused."""
    _sync_statuses: dict[str, _Once] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sync_status(self, connection: Connection) -> SyncStatus:
        """A connection's facts, read once a run, by whichever thread comes first."""
        with self._lock:
            once = self._sync_statuses.setdefault(connection.id, _Once())
        return once.get(lambda: self._read_sync_status(connection))

    def known_sync_status(self, connection: Connection) -> SyncStatus | None:
        """The facts if they have been read already; no request is made."""
        once = self._sync_statuses.get(connection.id)
        return once.value if once else None

    def _read_sync_status(self, connection: Connection) -> SyncStatus:
        try:
            return read_sync_status(self.client, connection.id)
        except ConnectionUnusable as error:
            if error.reason == "not_ready" and self.settings.force_fetch:
                now = self.client.clock.now()
                return SyncStatus(is_ready=False, received_ms=now, trouble=error)
            raise

    def is_forced(self, connection: Connection) -> bool:
        """Whether a connection is read though its first sync is not over."""
        return self.settings.force_fetch and not self.is_ready(connection)

    def is_ready(self, connection: Connection) -> bool:
        """Whether a connection's first sync is over; by its facts where the list does not say."""
        if connection.status:
            return connection.status != "not_ready"
        sync_status = self.known_sync_status(connection)
        return sync_status is None or sync_status.is_ready is not False


class _Once:
    """A value made by the first thread that asks; the others wait. An error is kept as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self.value: SyncStatus | None = None

    def get(self, make: Callable[[], SyncStatus]) -> SyncStatus:
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


@dataclass
class Partition:
    """One stream of one connection: the unit that is read, fails or is skipped as a whole."""

    endpoint: Endpoint
    connection: Connection
    run: RunContext
    index: int = 0
    """Its place among the pairs of its stream."""
    counts: Counts = field(default_factory=Counts)
    plain: bool = False
    """Whether the platform has refused to give its own form of the rows."""
    expanded: bool = False
    """Whether the platform has given it."""
    absent: dict[str, RequestFailed] = field(default_factory=dict)
    """Parents, or names, of which Rutter has said that they have nothing."""
    is_served: bool = False
    """Whether the list has shown rows that do not leave by themselves: a probe's."""
    started_ms: int | None = None
    """When its first request was made, on the run's clock."""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    # ---- where it starts

    @property
    def input_state(self) -> PartitionState | None:
        """The partition that the run was given."""
        return self.run.bookmarks.input_state(self.endpoint.name, self.connection.id)

    @property
    def sync_status(self) -> SyncStatus:
        """How the connection stands at Rutter."""
        return self.run.sync_status(self.connection)

    @property
    def history(self) -> History:
        """How far back the connection's data go; what is not told today as it was told before."""
        older = self.run.bookmarks.history(self.connection.id)
        history = self.sync_status.history
        return history if older is None else history.merged(older)

    @property
    def has_grown(self) -> bool:
        """Whether older rows may have come since the bookmarks of this connection were set.

        Where it is not known what they were set under, they may have.
        """
        older = self.run.bookmarks.history(self.connection.id)
        if older is None:
            return bool(self.sync_status.history.to_state())
        return self.history.has_grown(older)

    @property
    def moves_bookmark(self) -> bool:
        """Whether what is read counts: the data of a connection that is not ready do not."""
        return self.run.is_ready(self.connection) and not (
            self.run.settings.force_fetch and self.sync_status.is_ready is False
        )

    def resumes(self, value: str | None) -> int | None:
        """A bookmark of the pair as Unix milliseconds, or None for a read from its start.

        Not used: one that lies beyond the cutoff by more than an hour (it was not set by rows that
        exist), one of another field than the stream's own, one of a stream that the catalog asks to
        read whole, and one that was read from a later start than is asked for now.
        """
        state = self.input_state
        if state is None or value is None or self.endpoint.name in self.run.full_table:
            return None
        moment = times.parse(value)
        if moment is None or moment > self.run.cutoff + _TRUSTED_AHEAD:
            return None
        if (
            state.get(REPLICATION_KEY, self.endpoint.replication_key)
            != self.endpoint.replication_key
        ):
            return None
        read_from = times.parse(state.get("start_date"))
        wanted = self.run.settings.start_ms
        if read_from is not None and (wanted is None or wanted < read_from):
            return None
        return moment

    @property
    def distrusts_bookmark(self) -> bool:
        """Whether the given bookmark, or that of one of several passes, lies in the future."""
        before = self.input_state or {}
        given = map(
            times.parse, (before.get(REPLICATION_KEY_VALUE), *(before.get("passes") or {}).values())
        )
        return any(
            moment is not None and moment > self.run.cutoff + _TRUSTED_AHEAD for moment in given
        )

    # ---- its requests

    def params(self, path: str | None = None) -> dict[str, str]:
        """Parameters that every list request of the pair bears."""
        path = path or self.endpoint.path
        known = self.run.document.parameters(path)
        params: dict[str, str] = {}
        if "limit" in known:
            params["limit"] = str(self.run.settings.page_size)
        expand = []
        if self.run.settings.expand_platform_data and (
            declares_expand(self.run.document, path) or self.endpoint.is_commerce
        ):
            expand.append("platform_data")
        declared = self.run.document.choices(path, "expand")
        if (
            self.run.settings.expand_order_transactions
            and "transactions" in declared
            and not self.plain
        ):
            expand.append("transactions")
        if expand:
            params["expand"] = ",".join(expand)
        if self.run.is_forced(self.connection) and "force_fetch" in known:
            params["force_fetch"] = "true"
        return params

    def pages(
        self,
        params: Mapping[str, str],
        *,
        path: str | None = None,
        key: str | None = None,
        replication_key: str | None = None,
        request_values: Mapping[str, Any] | None = None,
        list_name: str = "",
        may_come_later: bool = False,
    ) -> Iterator[Page]:
        """All pages of one list, each request bearing the same filters and order.

        Args:
            params: Of every request; the cursor is added.
            path: The list; the pair's own by default.
            key: What its rows stand under.
            time_field: The field that its rows are judged by.
            context: What the request tells of its rows.
            chain: Which of the pair's lists it is.
            may_come_later: Whether Rutter may answer with a job that is to be followed.
        """
        path = path or self.endpoint.path
        key = key or self.endpoint.records_key
        # Rows that get something from their request leave the full way.
        is_own = path == self.endpoint.path and not request_values
        decoder = ListDecoder(
            key,
            replication_key or self.endpoint.replication_key,
            where=path,
            fast_path=self.endpoint.fast_path if is_own else None,
        )

        def send(query: Mapping[str, str]) -> Page:
            call = Request(path, query, self.connection.id, sorted_list="sort" in params)
            if may_come_later:
                return get_list(self.run.client, call, decoder, key, self.counts)
            return self.run.client.get(call, decoder, self.counts)

        def fetch(cursor: str | None) -> Page:
            query = params if cursor is None else {**params, "cursor": cursor}
            return ask(self, query, send, own=key == self.endpoint.records_key)

        for page in follow(fetch, path):
            yield dataclasses.replace(
                page, request_values=dict(request_values or {}), list_name=list_name
            )


Item = Any
"""A ``Page``, ``End``, ``Unordered``, or one of ``ahead``'s ``Inline`` and ``Instead``."""


class Progress(Protocol):
    """What a pair's bookmark may say, page by page. Lives with the emitter, in one thread."""

    full_read: bool
    """Whether nothing of the pair is left out by a bookmark or a start date."""
    start_ms: int | None
    """The lower bound that was asked for, Unix ms; None for none."""

    def see(self, item: Item) -> None:
        """Take an item in, after its rows were delivered."""

    def finish(self) -> None:
        """The pair is complete."""

    def partition_state(self) -> Mapping[str, Any] | None:
        """The partition's content now; None for no entry."""


class Replication(Protocol):
    """How the streams of a replication kind are read."""

    label: str
    """The kind's name, for people."""

    def read(self, partition: Partition) -> Iterator[Item]:
        """The pair's items; each step makes at most a few requests."""

    def progress(self, partition: Partition) -> Progress:
        """The bookkeeping of the pair's bookmark."""


def chain_of(partition: Partition, steps: Iterator[Item]) -> Chain[Partition]:
    """A chain that belongs to a pair."""
    return Chain(partition, steps)


def inline(partition: Partition, readings: Sequence[Iterator[Item]]) -> Any:
    """Further lists of a pair, read at this place."""
    return Inline(tuple(chain_of(partition, steps) for steps in readings))
