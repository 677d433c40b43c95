"""Rows that are requested parent by parent and come whole: attachments, bank account balances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from tap_rutter import times
from tap_rutter.api.json_text import decode_value
from tap_rutter.api.pages import Page, key_of
from tap_rutter.errors import PartitionFailed, SortRefused, Unsupported
from tap_rutter.names import counted
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import End, Inline, Item, ListItem, ParentsRead
from tap_rutter.replication.run_context import REPLICATION_KEY, REPLICATION_KEY_VALUE
from tap_rutter.replication.snapshot import NoBookmark, single_object
from tap_rutter.replication.synced import (
    MIN,
    SortCheck,
    bookmark_of,
    first_time,
    read_from,
    without_context,
)

_TIME = "last_synced_at"
_PARENT = "attached_to_id"
"""The parameter of the older list that names a parent."""
_NO_SUCH_LIST = frozenset({400, 404, 410})


class Parents:
    """Reads the list of parents, sorted by ``last_synced_at`` if the endpoint can sort.

    Args:
        path: The list's path.
        key: The key that its rows are under.
        passes: Parameters of each list, if the parents come in several lists.
    """

    def __init__(self, path: str, key: str, passes: Sequence[Mapping[str, str]] = ({},)) -> None:
        self.path = path
        self.key = key
        self._passes = passes

    def pages(self, partition: Partition, start: int | None) -> Iterator[Page]:
        """All parents, or those synced since a time (Unix ms, inclusive).

        With the oldest first, a parent that changes while the list is read moves to the end of the
        list, so it is not missed.
        """
        params = {
            name: value
            for name, value in partition.params(self.path).items()
            if name != "expand"  # only the parent's id is needed
        }
        if start is not None:
            params[MIN] = str(start)
        for extra in self._passes:
            yield from self._pass(partition, {**params, **extra})

    def _pass(self, partition: Partition, params: Mapping[str, str]) -> Iterator[Page]:
        request: dict[str, Any] = {"path": self.path, "key": self.key, "replication_key": _TIME}
        try:
            yield from partition.pages({**params, "sort": f"{_TIME} ASC"}, **request)
        except SortRefused:
            yield from partition.pages(params, **request)


class PerParent:
    """Rows under each parent, which come whole.

    Args:
        parents: Their list.
        path: The child's endpoint, with ``{id}`` for the parent's id.
        older_path: The list of the rows of all parents, which older API versions have. It is asked
            for those of one parent where the path under the parent is answered with a 404.
        request_values: Makes the values that a row gets from its parent's row.
        single: Whether the answer is one object, not a list.
        incremental: Whether only parents that changed since the bookmark are read.
    """

    def __init__(
        self,
        *,
        parents: Parents,
        path: str,
        request_values: Callable[[Mapping[str, Any]], dict[str, Any]],
        older_path: str = "",
        single: bool = False,
        incremental: bool = False,
    ) -> None:
        self.label = "child" if incremental else "child snapshot"
        self.reads_since = incremental
        self._parents = parents
        self._path = path
        self._older_path = older_path
        self._values_of = request_values
        self._single = single
        self._incremental = incremental

    def read(self, partition: Partition) -> Iterator[Item]:
        """The rows of all parents, in the order of the parents' list."""
        start = first_time(partition) if self._incremental else None
        seen: set[tuple[str, Any]] = set()
        nameless = 0
        for page in self._parents.pages(partition, start):
            parents: list[dict[str, Any]] = []
            for raw in page.raws:
                parent = decode_value(raw)
                identity = identity_of(parent)
                mark = (identity, parent.get(_TIME))
                nameless += not identity
                if identity and mark not in seen:
                    seen.add(mark)
                    parents.append({**parent, "id": identity})
            # All parents are asked, since the first ones may have nothing though others have:
            # accounts that were closed, for example.
            if parents:
                yield Inline(tuple([self._children(partition, parent) for parent in parents]))
            yield ParentsRead(page)
        check_named(nameless, self._parents.path)
        yield End()

    def _children(self, partition: Partition, parent: Mapping[str, Any]) -> Iterator[Item]:
        page = partition.unless_absent(parent["id"], lambda: self._fetch(partition, parent))
        if page is not None:
            yield page

    def _fetch(self, partition: Partition, parent: Mapping[str, Any]) -> Page:
        path = self._path.replace("{id}", _segment(parent["id"]))
        request_values = self._values_of(parent)
        declared = partition.endpoint.path
        if self._single:
            return single_object(
                partition, path=path, declared=declared, request_values=request_values
            )
        pages = self._pages(partition, str(parent["id"]), path, request_values)
        raws = [raw for page in pages for raw in page.raws]
        return Page(
            raws=raws,
            next_cursor=None,
            received_ms=pages[0].received_ms,
            size=sum(page.size for page in pages),
            request_values=request_values,
        )

    def _pages(
        self, partition: Partition, parent: str, path: str, request_values: Mapping[str, Any]
    ) -> list[Page]:
        """What one parent has: under the parent, or in the list that older versions have instead.

        The published description of 2023-03-14 has the older list alone, later pages of the same
        version both.
        """
        if partition.reads_older_path:
            return list(self._at_older_path(partition, parent, request_values))
        params = partition.params(partition.endpoint.path)
        params.pop("limit", None)
        try:
            pages = list(partition.pages(params, path=path, request_values=request_values))
        except Unsupported:
            older = self._older_pages(partition, parent, request_values)
            if older is None:
                raise
            return older
        partition.reads_older_path = False
        return pages

    def _older_pages(
        self, partition: Partition, parent: str, request_values: Mapping[str, Any]
    ) -> list[Page] | None:
        """The parent's rows in the older list, which is tried once; None where it is of no use."""
        is_known = partition.run.document.has(self._older_path)
        if partition.reads_older_path is False or not is_known:
            return None
        try:
            pages = list(self._at_older_path(partition, parent, request_values))
        except (Unsupported, PartitionFailed) as error:
            if error.status not in _NO_SUCH_LIST or error.reason == "retries_exhausted":
                raise
            partition.reads_older_path = False
            return None
        partition.reads_older_path = True
        return pages

    def _at_older_path(
        self, partition: Partition, parent: str, request_values: Mapping[str, Any]
    ) -> Iterator[Page]:
        params = {**partition.params(self._older_path), _PARENT: parent}
        return partition.pages(params, path=self._older_path, request_values=request_values)

    def progress(self, partition: Partition) -> NoBookmark | PerParentProgress:
        """A new object that keeps track of the partition's bookmark, if it has one."""
        return PerParentProgress(partition) if self._incremental else NoBookmark()


class PerParentProgress:
    """A bookmark of the parents' times. It moves once, when everything has arrived."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._sort_check = SortCheck(partition.run.cutoff, is_sorted=False)
        self._resumed = partition.resumes(bookmark_of(partition))
        self.full_read = self._resumed is None and partition.run.settings.start_ms is None
        self.start_ms = first_time(partition)

    def see(self, item: ListItem) -> None:
        """Take an item into account, after its rows were delivered."""
        if isinstance(item, ParentsRead):
            self._sort_check.see(item.parents)

    def finish(self) -> None:
        """All lists are complete."""
        self._sort_check.ended = True

    def partition_state(self) -> Mapping[str, Any] | None:
        """The partition's content."""
        value = self._sort_check.value if self._sort_check.ended else None
        if value is None:
            return without_context(self._partition.input_state)
        return {
            REPLICATION_KEY: self._partition.endpoint.replication_key,
            REPLICATION_KEY_VALUE: times.to_text(max(value, self._resumed or 0)),
            **read_from(self._partition, resumed=self._resumed is not None),
        }


def identity_of(parent: Mapping[str, Any]) -> str:
    """A parent's id as text, for requests and keys; "" if it has none."""
    return key_of(parent.get("id")) or ""


def check_named(nameless: int, path: str) -> None:
    """Check that every parent had a usable id.

    Raises:
        PartitionFailed: if any had none. The rows of all other parents have been read by then.
    """
    if nameless:
        raise PartitionFailed(
            f"{counted(nameless, 'row')} of {path} came without a usable id: what belongs to them"
            " cannot be asked for",
            reason="bad_response",
        )


def _segment(identity: str) -> str:
    """An id as one segment of a path. It must not lead to another path.

    Raises:
        PartitionFailed: for an id that would lead to another path even if it is quoted.
    """
    if not identity.strip("."):
        raise PartitionFailed(
            f"a row has the id '{identity}', which cannot be part of an address",
            reason="bad_response",
        )
    return quote(identity, safe="")
