"""Lists that must be requested parent by parent.

Such a stream reads its parents' list itself, with its own bookmark, so the parents' stream need not
be selected. The bookmark moves once, when every list of the partition is complete.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from tap_rutter import times
from tap_rutter.api.json_text import decode_value
from tap_rutter.api.pages import Page
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import End, Inline, Item, ListItem, ParentRead
from tap_rutter.replication.per_parent import Parents, check_named, identity_of
from tap_rutter.replication.run_context import REPLICATION_KEY, REPLICATION_KEY_VALUE
from tap_rutter.replication.synced import (
    MIN,
    SortCheck,
    bookmark_of,
    first_time,
    read_from,
    without_context,
)

_MARK = 8  # characters: 48 bits, so that no two parents of a connection have the same mark


class SyncedPerParent:
    """Rows by Rutter's clock under each parent, such as the days of every ad campaign.

    The state keeps short marks of the parents that were read. A parent that was not read before is
    read from its start, whatever the bookmark is.
    """

    label = "synced, per parent"
    reads_since = True

    def __init__(self, *, parents: Parents, parameter: str, column: str) -> None:
        """
        Args:
            parents: The list of the parents.
            parameter: Query parameter that takes a parent's id.
            column: The field of a row that holds the parent's id; filled in if the row has null.
        """
        self._parents = parents
        self._parameter = parameter
        self._column = column

    def read(self, partition: Partition) -> Iterator[Item]:
        """The rows of all parents, in the order of the parents' list."""
        start, known = first_time(partition), known_parents(partition)
        seen: set[str] = set()
        nameless = 0
        for page in self._parents.pages(partition, None):
            given = [identity_of(decode_value(raw)) for raw in page.raws]
            nameless += given.count("")
            parents = [parent for parent in dict.fromkeys(given) if parent and parent not in seen]
            seen.update(parents)
            if parents:
                yield Inline(
                    tuple(
                        [
                            self._children(
                                partition, parent, start if mark_of(parent) in known else None
                            )
                            for parent in parents
                        ]
                    )
                )
        check_named(nameless, self._parents.path)
        yield End()

    def _children(self, partition: Partition, parent: str, start: int | None) -> Iterator[Item]:
        params = {**partition.params(), self._parameter: parent}
        if start is None:
            start = partition.run.settings.start_ms
        if start is not None:
            params[MIN] = str(start)
        pages = partition.pages(params, request_values={self._column: parent})
        while (page := partition.unless_absent(parent, lambda: next(pages, None))) is not None:
            yield page
        if parent not in partition.absent:
            yield ParentRead(parent)

    def progress(self, partition: Partition) -> SyncedPerParentProgress:
        """A new object that keeps track of the partition's bookmark."""
        return SyncedPerParentProgress(partition)


class SyncedPerParentProgress:
    """A bookmark that moves once, when the rows of all parents have arrived."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._sort_check = SortCheck(partition.run.cutoff, is_sorted=False)
        self._parents: set[str] = set()
        self._resumed = partition.resumes(bookmark_of(partition))
        self._complete = False
        self.full_read = self._resumed is None and partition.run.settings.start_ms is None
        self.start_ms = first_time(partition)

    def see(self, item: ListItem) -> None:
        """Take an item into account, after its rows were delivered."""
        if isinstance(item, Page):
            self._sort_check.see(item)
        elif isinstance(item, ParentRead):
            self._parents.add(mark_of(item.parent_id))

    def finish(self) -> None:
        """All lists are complete: now the bookmark may move."""
        self._complete = self._sort_check.ended = True

    def partition_state(self) -> Mapping[str, Any] | None:
        """The partition's content."""
        value = self._sort_check.value if self._complete else None
        if not self._complete or (value is None and self._resumed is None):
            return without_context(self._partition.input_state)
        moment = max(value or 0, self._resumed or 0)
        return {
            REPLICATION_KEY: self._partition.endpoint.replication_key,
            REPLICATION_KEY_VALUE: times.to_text(moment),
            "parents": "".join(sorted(self._parents)),
            **read_from(self._partition, resumed=self._resumed is not None),
        }


def mark_of(parent: str) -> str:
    """A parent's mark in the state. It is short, so that a state with many parents stays small."""
    digest = hashlib.sha256(parent.encode()).digest()
    return urlsafe_b64encode(digest)[:_MARK].decode()


def known_parents(partition: Partition) -> frozenset[str]:
    """Marks of the parents that the last complete run read."""
    marks = (partition.input_state or {}).get("parents") or ""
    return frozenset(marks[at : at + _MARK] for at in range(0, len(marks), _MARK))
