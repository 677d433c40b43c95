"""A partition, which is one stream of one connection: where its reading starts, and its requests.

And the protocol of a replication method, ``Replication``, which reads a partition; what its
bookmark may be is said by its ``Progress`` (``progress.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

from tap_rutter import times
from tap_rutter.api.jobs import get_list
from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.pages import Page
from tap_rutter.api.paging import follow
from tap_rutter.api.request import Counts, Request
from tap_rutter.connections.history import History
from tap_rutter.connections.selection import Connection
from tap_rutter.connections.sync_status import SyncStatus
from tap_rutter.errors import Gone, PartitionFailed, RequestFailed, Unsupported
from tap_rutter.replication.endpoint import Facts
from tap_rutter.replication.expand import Params, declares_expand, expanding, parts_of
from tap_rutter.replication.items import Item
from tap_rutter.replication.progress import Progress as Progress
from tap_rutter.replication.run_context import (
    REPLICATION_KEY,
    REPLICATION_KEY_VALUE,
    PartitionState,
    RunContext,
)
from tap_rutter.replication.scouting import Answer, Place

OVERLAP = times.HOUR
"""How much before its bookmark a synced stream starts: a row is stamped before it can be seen."""
_TRUSTED_AHEAD = times.HOUR
_SEVERAL = 2  # parents that must answer 404 before a list is unsupported

logger = logging.getLogger("tap-rutter")

_T = TypeVar("_T")


class Endpoint(Facts, Protocol):
    """A stream as its partitions see it."""

    @property
    def replication(self) -> Replication:
        """How the rows are read."""


@dataclass
class Partition:
    """One stream of one connection: the unit that is read, fails or is skipped as a whole."""

    endpoint: Endpoint
    connection: Connection
    run: RunContext
    index: int = 0
    """Its place among the partitions of its stream."""
    counts: Counts = field(default_factory=Counts)
    refused: dict[str, frozenset[str]] = field(default_factory=dict)
    """By list name: the parts in ``expand`` that the platform refuses."""
    expanded: set[str] = field(default_factory=set)
    """Names of the lists for which the platform has accepted a part in ``expand``."""
    reads_older_path: bool | None = None
    """Whether its rows are read at the path that older API versions have; None until one of the two
    paths has answered (``per_parent.py``)."""
    absent: dict[str, RequestFailed] = field(default_factory=dict)
    """Parents, or names, that Rutter answered with 404 or 410."""
    is_served: bool = False
    """Whether the list has shown rows that do not leave by themselves: a probe's."""
    has_answered: bool = False
    """Whether Rutter has given anything of it in this run."""
    is_dropped: bool = False
    """Whether it has been given up: what was read of it meanwhile is of no use."""
    started_ms: int | None = None
    """When its first request was made, on the run's clock."""
    since: int | None = None
    """Unix ms: only what has changed since then is read, and no bookmark moves (``told.py``)."""
    start_by: int | None = None
    """Unix ms: where it has a bookmark, it starts no later than this."""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @cached_property
    def place(self) -> Place:
        """Where it stands among the partitions that speak for each other."""
        return Place(self.endpoint.name, self.connection.platform, self.index)

    # ---- where it starts

    @cached_property
    def input_state(self) -> PartitionState | None:
        """The partition's entry in the state that the run was given."""
        return self.run.input_state.input_state(self.endpoint.name, self.connection.id)

    @property
    def sync_status(self) -> SyncStatus:
        """How the connection stands at Rutter."""
        return self.run.sync_status(self.connection)

    @property
    def history(self) -> History:
        """How far back the connection's data go; what Rutter does not tell today is as before."""
        return self.run.history(self.connection)

    @property
    def has_grown(self) -> bool:
        """Whether older rows may have come since the bookmarks of this connection were set."""
        return self.run.has_grown(self.connection)

    @property
    def moves_bookmark(self) -> bool:
        """Whether what is read counts: the data of a connection that is not ready do not.

        Nor what has changed since a time that the caller names: rows that became visible late lie
        within the lookback of a bookmark that stays where the last usual read left it.
        """
        return self.since is None and self.run.counts(self.connection)

    def resumes(self, value: str | None) -> int | None:
        """A bookmark of the partition as Unix milliseconds, or None for a read from its start.

        A bookmark is not used if it lies more than an hour after the cutoff (no existing row set
        it), is about another field than the replication key, or was read from a later start date
        than the present one, nor if the catalog asks to read the stream whole.
        """
        state = self.input_state
        if state is None or value is None or self.endpoint.name in self.run.full_table:
            return None
        if self.connection.wanted.full_read:
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
        """Whether the given bookmark, or the bookmark of a pass, lies in the future."""
        before = self.input_state or {}
        given = map(
            times.parse, (before.get(REPLICATION_KEY_VALUE), *(before.get("passes") or {}).values())
        )
        return any(
            moment is not None and moment > self.run.cutoff + _TRUSTED_AHEAD for moment in given
        )

    # ---- its requests

    def params(self, path: str | None = None) -> dict[str, str]:
        """Parameters of every list request of the partition."""
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
        if self.run.settings.expand_order_transactions and "transactions" in declared:
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
        """All pages of one list; each request has the same filters and the same sort order.

        Args:
            params: Parameters of every request; the cursor is added.
            path: The list's path; by default the endpoint's.
            key: The key that its rows are under.
            replication_key: The field with the times of its rows.
            request_values: Values that the rows get from the request.
            list_name: The list's name, if the partition has several lists.
            may_come_later: Whether Rutter may answer with a job.
        """
        path = path or self.endpoint.path
        key = key or self.endpoint.records_key
        # Rows that get a value from their request cannot take the fast path.
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
            own = key == self.endpoint.records_key
            return self.ask(query, send, own=own, list_name=list_name)

        has_begun, marked = False, bool(list_name or request_values)
        try:
            for page in follow(fetch, path):
                has_begun = True
                yield page.belonging_to(list_name, request_values) if marked else page
        except (Unsupported, Gone) as error:
            if not has_begun:
                raise
            # The first page came, so the platform has the list: a later 404 is a failure.
            raise PartitionFailed(
                error.message, reason=error.reason, status=error.status, code=error.code
            ) from None

    def ask(
        self,
        params: Params,
        send: Callable[[Params], _T],
        *,
        own: bool = True,
        list_name: str = "",
    ) -> _T:
        """Send a request of the partition; if its ``expand`` is refused, send it with less.

        A platform may refuse platform data, which are also requested where no document declares
        them. Then the rows come without them, but with the other parts.

        Args:
            params: Parameters of the request.
            send: Sends the request with given parameters.
            own: Whether the request is for the partition's rows, and not for their parents.
            list_name: The list's name. Each list finds out by itself what is refused.
        """
        answer = self._send(params, send, list_name)
        if own and not self.has_answered:
            self.has_answered = True
            self.run.scouting.note(self.place, Answer.SERVED)
        return answer

    def _send(self, params: Params, send: Callable[[Params], _T], list_name: str) -> _T:
        refused = self.refused.get(list_name, frozenset())
        parts = [part for part in parts_of(params) if part not in refused]
        try:
            answer = send(expanding(params, parts))
        except PartitionFailed as error:
            # If an earlier request with these parts was answered, they are not the reason.
            if error.status != 400 or not parts or list_name in self.expanded:
                raise
            answer, given = self._send_with_less(params, parts, send)
            lost = [part for part in parts if part not in given]
            self.refused[list_name] = refused | set(lost)
            self._tell_of_lost_parts(lost, given)
            parts = given
        if parts:
            self.expanded.add(list_name)
        return answer

    def _send_with_less(
        self, params: Params, parts: list[str], send: Callable[[Params], _T]
    ) -> tuple[_T, list[str]]:
        """Try each part alone, declared parts first, and at last no part."""
        alone = sorted(parts, key=lambda part: not self._declares(part)) if len(parts) > 1 else []
        for part in alone:
            try:
                return send(expanding(params, [part])), [part]
            except PartitionFailed as error:
                if error.status != 400:
                    raise
        return send(expanding(params, [])), []

    def _tell_of_lost_parts(self, lost: list[str], given: list[str]) -> None:
        # Nobody expects a part that is not declared, unless another part came.
        if not given and not any(map(self._declares, lost)):
            return
        missing = f"{self.endpoint.name}: {' and '.join(lost)}"
        if missing in self.run.told_plain:
            return
        self.run.told_plain.add(missing)
        logger.warning(
            "%s: Rutter refuses 'expand' for connection %s, and perhaps for others: their rows are"
            " read without %s.",
            self.endpoint.name,
            self.connection.id,
            " and ".join(lost),
        )

    def _declares(self, part: str) -> bool:
        return declares_expand(self.run.document, self.endpoint.path, part)

    def unless_absent(self, name: str, fetch: Callable[[], _T]) -> _T | None:
        """What there is for a parent or a name; None if Rutter says that there is nothing.

        The parent may have been deleted since its list was read, or have nothing.
        """
        try:
            return fetch()
        except (Unsupported, Gone) as error:
            self.absent[name] = error
            return None

    def unserved(self) -> Unsupported | None:
        """Why a list without rows is unsupported: several parents were asked, and all answered 404.

        One parent proves nothing, and a 410 means that the endpoint exists.
        """
        errors = [error for error in self.absent.values() if isinstance(error, Unsupported)]
        if len(errors) < _SEVERAL or len(errors) < len(self.absent):
            return None
        return min(errors, key=lambda error: error.message)


class Replication(Protocol):
    """How streams of one replication are read."""

    label: str
    """The replication's name, for people."""

    @property
    def reads_since(self) -> bool:
        """Whether a lower bound of time shows everything that has changed since then."""

    def read(self, partition: Partition) -> Iterator[Item]:
        """The partition's items; each step makes at most a few requests."""

    def progress(self, partition: Partition) -> Progress:
        """A new object that keeps track of the partition's bookmark."""
