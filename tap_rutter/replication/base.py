"""A partition, one stream of one connection: where its reading starts, and its requests.

And the protocol of a replication method, ``Replication``, which reads a partition; what its
bookmark may be is said by its ``Progress`` (``progress.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
"""How much earlier a stream on Rutter's own clock starts: a stamp is taken before its row shows."""
_TRUSTED_AHEAD = times.HOUR
_SEVERAL = 2  # parents that must agree before a list is unsupported

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
    """By list: what the platform refuses to give with its rows, of what ``expand`` asks for."""
    expanded: set[str] = field(default_factory=set)
    """Lists with whose rows the platform has given any of it."""
    absent: dict[str, RequestFailed] = field(default_factory=dict)
    """Parents, or names, of which Rutter has said that they have nothing."""
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

    @property
    def place(self) -> Place:
        """Where it stands among the partitions that speak for each other."""
        return Place(self.endpoint.name, self.connection.platform, self.index)

    # ---- where it starts

    @property
    def input_state(self) -> PartitionState | None:
        """The partition that the run was given."""
        return self.run.input_state.input_state(self.endpoint.name, self.connection.id)

    @property
    def sync_status(self) -> SyncStatus:
        """How the connection stands at Rutter."""
        return self.run.sync_status(self.connection)

    @property
    def history(self) -> History:
        """How far back the connection's data go; what is not told today as it was told before."""
        older = self.run.input_state.history(self.connection.id)
        history = self.sync_status.history
        return history if older is None else history.merged(older)

    @property
    def has_grown(self) -> bool:
        """Whether older rows may have come since the bookmarks of this connection were set.

        Where it is not known what they were set under, they may have.
        """
        older = self.run.input_state.history(self.connection.id)
        if older is None:
            return bool(self.sync_status.history.to_state())
        return self.history.has_grown(older)

    @property
    def moves_bookmark(self) -> bool:
        """Whether what is read counts: the data of a connection that is not ready do not.

        Nor what has changed since a time that the caller names: rows that became visible late lie
        within the lookback of a bookmark that stays where the last usual read left it.
        """
        if self.since is not None:
            return False
        return self.run.is_ready(self.connection) and not (
            self.run.settings.force_fetch and self.sync_status.is_ready is False
        )

    def resumes(self, value: str | None) -> int | None:
        """A bookmark of the partition as Unix milliseconds, or None for a read from its start.

        Not used: one that lies beyond the cutoff by more than an hour (it was not set by rows that
        exist), one of another field than the stream's own, one of a stream that the catalog asks to
        read whole, and one that was read from a later start than is asked for now.
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
        """Parameters that every list request of the partition bears."""
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
        """All pages of one list, each request bearing the same filters and order.

        Args:
            params: Of every request; the cursor is added.
            path: The list; the partition's own by default.
            key: What its rows stand under.
            replication_key: The field that its rows are judged by.
            request_values: What the request tells of its rows.
            list_name: Which of the partition's lists it is.
            may_come_later: Whether Rutter may answer with a job that is to be followed.
        """
        path = path or self.endpoint.path
        key = key or self.endpoint.records_key
        # Rows that get a value from their request cannot leave as they are.
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
            # Its first page was there: what is missing now is the rest, and not the list.
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
        """Any request of the partition, sent with less in its ``expand`` where that is refused.

        Platform data are asked for where no description declares them, and a platform may refuse
        them elsewhere: that costs the platform data, and neither the rows nor what else they come
        with.

        Args:
            params: The request's parameters.
            send: Sends it with the parameters that it is given.
            own: Whether it is for the partition's own rows, and not for their parents.
            list_name: Of which list. Several are read at once: each learns for itself.
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
            # Where they have been given already, they are not what is refused.
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
        """The answer to each part alone, what is described first; and at last to none of them."""
        alone = sorted(parts, key=lambda part: not self._declares(part)) if len(parts) > 1 else []
        for part in alone:
            try:
                return send(expanding(params, [part])), [part]
            except PartitionFailed as error:
                if error.status != 400:
                    raise
        return send(expanding(params, [])), []

    def _tell_of_lost_parts(self, lost: list[str], given: list[str]) -> None:
        # What no description promises is missed only beside something that came.
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
        """What there is under a parent, or by a name; None where Rutter says there is nothing.

        One parent may have been deleted since its list was read, or never have had anything.
        """
        try:
            return fetch()
        except (Unsupported, Gone) as error:
            self.absent[name] = error
            return None

    def unserved(self) -> Unsupported | None:
        """Why a list of which nothing came is unsupported: each of several parents answered 404.

        One alone proves nothing, and a 410 says that there is such an endpoint.
        """
        errors = [error for error in self.absent.values() if isinstance(error, Unsupported)]
        if len(errors) < _SEVERAL or len(errors) < len(self.absent):
            return None
        return min(errors, key=lambda error: error.message)


class Replication(Protocol):
    """How the streams of a replication method are read."""

    label: str
    """The method's name, for people."""

    @property
    def reads_since(self) -> bool:
        """Whether a lower bound of time shows everything that has changed since then."""

    def read(self, partition: Partition) -> Iterator[Item]:
        """The partition's items; each step makes at most a few requests."""

    def progress(self, partition: Partition) -> Progress:
        """The bookkeeping of the partition's bookmark."""
