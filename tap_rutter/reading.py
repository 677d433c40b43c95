"""What the readings of all kinds share: the pair that is read, its start, and its requests."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tap_rutter import times
from tap_rutter.activation import Activation
from tap_rutter.ahead import Chain, Inline
from tap_rutter.asking import ask, declares_expand
from tap_rutter.client import Call, Client, Counts
from tap_rutter.connections import Connection
from tap_rutter.errors import ConnectionUnusable, RequestFailed
from tap_rutter.facts import Facts, History, read_facts
from tap_rutter.jobs import get_list
from tap_rutter.pages import ListDecoder, Page
from tap_rutter.paging import follow
from tap_rutter.schemas import Document
from tap_rutter.settings import Settings
from tap_rutter.short import ShortWay
from tap_rutter.state import KEY, VALUE, Bookmarks, Partition

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
    def kind(self) -> Kind:
        """How the rows are read."""

    @property
    def time_field(self) -> str | None:
        """The field that bookmarks are about."""

    @property
    def time_may_be_null(self) -> bool:
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
    def short_way(self) -> ShortWay | None:
        """The check of rows that may be passed on as they are; None where none may."""


@dataclass(frozen=True)
class End:
    """A list of the pair has been read to its end."""

    chain: str = ""


@dataclass(frozen=True)
class Unordered:
    """The list is not one ascending chain; what was read of it so far counts for no bookmark."""

    chain: str = ""


@dataclass
class Environment:
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
    _facts: dict[str, _Once] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def facts(self, connection: Connection) -> Facts:
        """A connection's facts, read once a run, by whichever thread comes first."""
        with self._lock:
            once = self._facts.setdefault(connection.id, _Once())
        return once.get(lambda: self._read_facts(connection))

    def known_facts(self, connection: Connection) -> Facts | None:
        """The facts if they have been read already; no request is made."""
        once = self._facts.get(connection.id)
        return once.value if once else None

    def _read_facts(self, connection: Connection) -> Facts:
        try:
            return read_facts(self.client, connection.id)
        except ConnectionUnusable as error:
            if error.reason == "not_ready" and self.settings.force_fetch:
                now = self.client.clock.now()
                return Facts(is_ready=False, received_ms=now, trouble=error)
            raise

    def is_forced(self, connection: Connection) -> bool:
        """Whether a connection is read though its first sync is not over."""
        return self.settings.force_fetch and not self.is_ready(connection)

    def is_ready(self, connection: Connection) -> bool:
        """Whether a connection's first sync is over; by its facts where the list does not say."""
        if connection.status:
            return connection.status != "not_ready"
        facts = self.known_facts(connection)
        return facts is None or facts.is_ready is not False


class _Once:
    """A value made by the first thread that asks; the others wait. An error is kept as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self.value: Facts | None = None

    def get(self, make: Callable[[], Facts]) -> Facts:
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
class Pair:
    """One stream of one connection: the unit that is read, fails or is skipped as a whole."""

    endpoint: Endpoint
    connection: Connection
    env: Environment
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
    def before(self) -> Partition | None:
        """The partition that the run was given."""
        return self.env.bookmarks.before(self.endpoint.name, self.connection.id)

    @property
    def facts(self) -> Facts:
        """How the connection stands at Rutter."""
        return self.env.facts(self.connection)

    @property
    def history(self) -> History:
        """How far back the connection's data go; what is not told today as it was told before."""
        older = self.env.bookmarks.history(self.connection.id)
        history = self.facts.history
        return history if older is None else history.merged(older)

    @property
    def has_grown(self) -> bool:
        """Whether older rows may have come since the bookmarks of this connection were set.

        Where it is not known what they were set under, they may have.
        """
        older = self.env.bookmarks.history(self.connection.id)
        if older is None:
            return bool(self.facts.history.to_state())
        return self.history.has_grown(older)

    @property
    def moves_bookmark(self) -> bool:
        """Whether what is read counts: the data of a connection that is not ready do not."""
        return self.env.is_ready(self.connection) and not (
            self.env.settings.force_fetch and self.facts.is_ready is False
        )

    def resumes(self, value: str | None) -> int | None:
        """A bookmark of the pair as Unix milliseconds, or None for a read from its start.

        Not used: one that lies beyond the cutoff by more than an hour (it was not set by rows that
        exist), one of another field than the stream's own, one of a stream that the catalog asks to
        read whole, and one that was read from a later start than is asked for now.
        """
        partition = self.before
        if partition is None or value is None or self.endpoint.name in self.env.full_table:
            return None
        moment = times.parse(value)
        if moment is None or moment > self.env.cutoff + _TRUSTED_AHEAD:
            return None
        if partition.get(KEY, self.endpoint.time_field) != self.endpoint.time_field:
            return None
        read_from = times.parse(partition.get("start_date"))
        wanted = self.env.settings.start_ms
        if read_from is not None and (wanted is None or wanted < read_from):
            return None
        return moment

    @property
    def distrusts_bookmark(self) -> bool:
        """Whether the given bookmark, or that of one of several passes, lies in the future."""
        before = self.before or {}
        given = map(times.parse, (before.get(VALUE), *(before.get("passes") or {}).values()))
        return any(
            moment is not None and moment > self.env.cutoff + _TRUSTED_AHEAD for moment in given
        )

    # ---- its requests

    def params(self, path: str | None = None) -> dict[str, str]:
        """Parameters that every list request of the pair bears."""
        path = path or self.endpoint.path
        known = self.env.document.parameters(path)
        params: dict[str, str] = {}
        if "limit" in known:
            params["limit"] = str(self.env.settings.page_size)
        expand = []
        if self.env.settings.expand_platform_data and (
            declares_expand(self.env.document, path) or self.endpoint.is_commerce
        ):
            expand.append("platform_data")
        declared = self.env.document.choices(path, "expand")
        if (
            self.env.settings.expand_order_transactions
            and "transactions" in declared
            and not self.plain
        ):
            expand.append("transactions")
        if expand:
            params["expand"] = ",".join(expand)
        if self.env.is_forced(self.connection) and "force_fetch" in known:
            params["force_fetch"] = "true"
        return params

    def pages(
        self,
        params: Mapping[str, str],
        *,
        path: str | None = None,
        key: str | None = None,
        time_field: str | None = None,
        context: Mapping[str, Any] | None = None,
        chain: str = "",
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
        is_own = path == self.endpoint.path and not context
        decoder = ListDecoder(
            key,
            time_field or self.endpoint.time_field,
            where=path,
            short_way=self.endpoint.short_way if is_own else None,
        )

        def send(query: Mapping[str, str]) -> Page:
            call = Call(path, query, self.connection.id, sorted_list="sort" in params)
            if may_come_later:
                return get_list(self.env.client, call, decoder, key, self.counts)
            return self.env.client.get(call, decoder, self.counts)

        def fetch(cursor: str | None) -> Page:
            query = params if cursor is None else {**params, "cursor": cursor}
            return ask(self, query, send, own=key == self.endpoint.records_key)

        for page in follow(fetch, path):
            yield dataclasses.replace(page, context=dict(context or {}), chain=chain)


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

    def partition(self) -> Mapping[str, Any] | None:
        """The partition's content now; None for no entry."""


class Kind(Protocol):
    """How the streams of a replication kind are read."""

    label: str
    """The kind's name, for people."""

    def read(self, pair: Pair) -> Iterator[Item]:
        """The pair's items; each step makes at most a few requests."""

    def progress(self, pair: Pair) -> Progress:
        """The bookkeeping of the pair's bookmark."""


def chain_of(pair: Pair, steps: Iterator[Item]) -> Chain[Pair]:
    """A chain that belongs to a pair."""
    return Chain(pair, steps)


def inline(pair: Pair, readings: Sequence[Iterator[Item]]) -> Any:
    """Further lists of a pair, read at this place."""
    return Inline(tuple(chain_of(pair, steps) for steps in readings))
