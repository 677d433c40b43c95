"""Bookmarks: one partition per connection under each stream, with an index to find them.

The form is the SDK's, so that any Singer runner can keep it. Additional keys are in the partition::

    {"bookmarks": {
        "accounting_invoices": {"partitions": [
            {"context": {"connection_id": "…"}, "replication_key": "last_synced_at",
             "replication_key_value": "2026-01-31T10:00:00.000Z"}]},
        "connections": {"partitions": [
            {"context": {"connection_id": "…"}, "history": {"completed": true, …}}]}}}

What Rutter answered a connection with a 404 stands beside its history (``sync/unserved.py``)::

    "unserved": [{"platform": "NETSUITE", "api_version": "2024-08-31",
                  "at": "2026-01-31T10:00:00.000Z", "streams": ["commerce_orders", …]}]

So does what was last read of a connection, with ``only_after_sync`` (``sync/last_reads.py``), by a
short text for the streams and settings of that run::

    "last_reads": {"5f0c…": {"synced": "2026-01-31T09:40:00.000Z",
                             "at": "2026-01-31T10:00:00.000Z", "bookmarks": 12}}

A partition that never delivered a row has no entry. Entries of connections and streams that a run
does not read stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain
from sys import intern
from typing import Any

from singer_sdk.streams._state import StreamStateManager

from tap_rutter import times
from tap_rutter.connections.history import History
from tap_rutter.errors import ConfigError
from tap_rutter.replication.after_sync import Given, LastRead
from tap_rutter.replication.run_context import (
    REPLICATION_KEY,
    REPLICATION_KEY_VALUE,
    PartitionState,
)

CONNECTIONS = "connections"
HISTORY = "history"
UNSERVED = "unserved"
LAST_READS = "last_reads"
_CHOICES = 3
"""Choices of streams and settings of which a connection's last read is kept."""
_TIMES = (REPLICATION_KEY_VALUE, "start_date", "whole_read_at", "read_from", "known_to")

_HINT = (
    "Pass the state as this tap wrote it (with Meltano: what `meltano state get` shows under"
    " singer_state), or none for a read from the start."
)


class Bookmarks:
    """The partitions of a state, by stream and connection."""

    def __init__(self, tap_state: dict[str, Any]) -> None:
        """Index a tap's state. The dict itself is kept up to date, and is what STATE shows."""
        self._state = tap_state
        self._index: dict[str, dict[str, PartitionState]] = {}
        self._input: dict[str, dict[str, PartitionState]] = {}
        # One for all partitions of a connection: there are as many as there are streams.
        self._contexts: dict[str, dict[str, str]] = {}
        self._places: dict[str, int] = {}
        self.changed = False
        for stream, entry in tap_state.get("bookmarks", {}).items():
            partitions = self._index.setdefault(stream, {})
            given = self._input.setdefault(stream, {})
            for partition in entry.get("partitions", ()):
                connection_id = partition["context"].get("connection_id")
                if connection_id is not None:
                    self._share(partition)
                    connection_id = self._context(connection_id)["connection_id"]
                    partitions[connection_id] = partition
                    # What the run was given is replaced, never changed, and nor is what is in it.
                    given[connection_id] = partition
        self._counts = Counter(
            connection_id
            for stream, partitions in self._input.items()
            if stream != CONNECTIONS
            for connection_id in partitions
        )

    def input_state(self, stream: str, connection_id: str) -> PartitionState | None:
        """The partition that the run was given. It never changes, so any thread may read it."""
        partitions = self._input.get(stream)
        return None if partitions is None else partitions.get(connection_id)

    def get(self, stream: str, connection_id: str) -> PartitionState | None:
        """The partition as it is now. It is not created if it does not exist."""
        return self._index.get(stream, {}).get(connection_id)

    def put(self, stream: str, connection_id: str, content: Mapping[str, Any] | None) -> None:
        """Set a partition's content, to which its context is added; None removes the partition."""
        partitions = self._index.setdefault(stream, {})
        current = partitions.get(connection_id)
        if content is None:
            if current is not None:
                del self._list(stream)[self._place(stream, current)]
                del partitions[connection_id]
                self.changed = True
            return
        wanted = {"context": self._context(connection_id), **content}
        if current == wanted:
            return
        if current is None:
            partitions[connection_id] = wanted
            self._list(stream).append(wanted)
        elif current is self.input_state(stream, connection_id):
            self._list(stream)[self._place(stream, current)] = wanted
            partitions[connection_id] = wanted
        else:
            current.clear()
            current.update(wanted)
        self.changed = True

    def history(self, connection_id: str) -> History | None:
        """A connection's history in the state that the run was given."""
        partition = self.input_state(CONNECTIONS, connection_id)
        value = partition.get(HISTORY) if partition else None
        return History.from_state(value) if value else None

    def put_history(self, connection_id: str, history: History) -> None:
        """Remember what a connection's data are read under from now on."""
        self._put_fact(connection_id, HISTORY, history.to_state())

    @property
    def unserved(self) -> dict[str, list[Mapping[str, Any]]]:
        """By connection: what it was answered with a 404, as the run was given it."""
        return {
            connection_id: partition[UNSERVED]
            for connection_id, partition in self._input.get(CONNECTIONS, {}).items()
            if partition.get(UNSERVED)
        }

    def put_unserved(self, connection_id: str, entries: list[Mapping[str, Any]]) -> None:
        """Remember what a connection was answered with a 404; nothing is kept of no entries."""
        self._put_fact(connection_id, UNSERVED, entries or None)

    def given(self, connection_id: str, choice: str) -> Given:
        """What the run was given of a connection, and of its last read of a choice of streams."""
        held = (self.input_state(CONNECTIONS, connection_id) or {}).get(LAST_READS) or {}
        last_read = LastRead.from_state(held[choice]) if choice in held else None
        return Given(last_read, self.history(connection_id), self._counts[connection_id])

    def count(self, connection_id: str) -> int:
        """How many entries a connection has now, beside the facts about itself."""
        return sum(
            connection_id in partitions
            for stream, partitions in self._index.items()
            if stream != CONNECTIONS
        )

    def last_reads(self, connection_id: str) -> dict[str, LastRead]:
        """What was last read of a connection, by choice of streams and settings."""
        held = (self.get(CONNECTIONS, connection_id) or {}).get(LAST_READS) or {}
        return {choice: LastRead.from_state(value) for choice, value in held.items()}

    def put_last_reads(self, connection_id: str, reads: Mapping[str, LastRead]) -> None:
        """Remember what was last read of a connection, of the latest choices."""
        latest = sorted(reads, key=lambda choice: reads[choice].at_ms)[-_CHOICES:]
        value = {choice: reads[choice].to_state() for choice in latest}
        if value or self.last_reads(connection_id):
            self._put_fact(connection_id, LAST_READS, value or None)

    def _put_fact(self, connection_id: str, name: str, value: Any) -> None:
        """Set one of the facts of a connection, and leave its others; None removes it."""
        content = {**(self.get(CONNECTIONS, connection_id) or {}), name: value}
        kept = {key: each for key, each in content.items() if key != "context" and each is not None}
        self.put(CONNECTIONS, connection_id, kept or None)

    def _context(self, connection_id: str) -> dict[str, str]:
        context = self._contexts.get(connection_id)
        if context is None:
            context = self._contexts[connection_id] = {"connection_id": connection_id}
        return context

    def _share(self, partition: PartitionState) -> None:
        """Let a partition that was read from a file hold once what it has in common with others."""
        context = self._context(partition["context"]["connection_id"])
        if partition["context"] == context:
            partition["context"] = context
        for name in (REPLICATION_KEY, "start_date"):
            if isinstance(value := partition.get(name), str):
                partition[name] = intern(value)

    def _place(self, stream: str, partition: PartitionState) -> int:
        """Where a partition is listed; mostly right behind the one that was looked for before."""
        listed = self._list(stream)
        begin = self._places.get(stream, 0)
        for place in chain(range(begin, len(listed)), range(min(begin, len(listed)))):
            if listed[place] is partition:
                self._places[stream] = place + 1
                return place
        raise LookupError("a partition that is not listed")

    def _list(self, stream: str) -> list[PartitionState]:
        bookmarks = self._state.setdefault("bookmarks", {})
        entries: list[PartitionState] = bookmarks.setdefault(stream, {}).setdefault(
            "partitions", []
        )
        return entries


def check_shape(state: Any) -> None:
    """Refuse a state that cannot be read.

    Raises:
        ConfigError: with the path of what is wrong.
    """
    if not isinstance(state, dict):
        raise _unreadable("the state", "must be an object")
    if "bookmarks" not in state:
        if "singer_state" in state or "completed" in state:
            raise _unreadable("the state", "is Meltano's wrapping, not the state inside it")
        if state:
            raise _unreadable("the state", "has no 'bookmarks'")
        return
    bookmarks = state["bookmarks"]
    if not isinstance(bookmarks, dict):
        raise _unreadable("bookmarks", "must be an object")
    for stream, entry in bookmarks.items():
        where = f"bookmarks.{stream}"
        if not isinstance(entry, dict):
            raise _unreadable(where, "must be an object")
        if entry.get(REPLICATION_KEY_VALUE) is not None and "partitions" not in entry:
            raise _unreadable(
                where, "holds one bookmark for all connections, not one per connection"
            )
        partitions = entry.get("partitions", [])
        if not isinstance(partitions, list):
            raise _unreadable(f"{where}.partitions", "must be an array")
        for index, partition in enumerate(partitions):
            _check_partition(f"{where}.partitions[{index}]", partition)


def _check_partition(where: str, partition: Any) -> None:
    if not isinstance(partition, dict):
        raise _unreadable(where, "must be an object")
    context = partition.get("context")
    if not isinstance(context, dict):
        raise _unreadable(f"{where}.context", "must be an object")
    if "connection_id" in context and not isinstance(context["connection_id"], str):
        raise _unreadable(f"{where}.context.connection_id", "must be a string")
    for name in _TIMES:
        if partition.get(name) is not None and times.parse(partition[name]) is None:
            raise _unreadable(f"{where}.{name}", "must be a time")
    passes = partition.get("passes")
    if passes is not None and not (
        isinstance(passes, dict)
        and all(times.parse(value) is not None for value in passes.values())
    ):
        raise _unreadable(f"{where}.passes", "must hold times")
    if partition.get("parents") is not None and not isinstance(partition["parents"], str):
        raise _unreadable(f"{where}.parents", "must be a string")
    if partition.get(LAST_READS) is not None:
        _check_last_reads(f"{where}.{LAST_READS}", partition[LAST_READS])
    if partition.get(UNSERVED) is not None:
        _check_unserved(where, partition[UNSERVED])
    if partition.get(HISTORY) is not None:
        _check_history(f"{where}.{HISTORY}", partition[HISTORY])


def _check_unserved(where: str, entries: Any) -> None:
    if not isinstance(entries, list):
        raise _unreadable(f"{where}.{UNSERVED}", "must be an array")
    for index, entry in enumerate(entries):
        place = f"{where}.{UNSERVED}[{index}]"
        if not isinstance(entry, dict):
            raise _unreadable(place, "must be an object")
        for name in ("platform", "api_version"):
            if not isinstance(entry.get(name), str):
                raise _unreadable(f"{place}.{name}", "must be a string")
        if times.parse(entry.get("at")) is None:
            raise _unreadable(f"{place}.at", "must be a time")
        streams = entry.get("streams")
        if not (isinstance(streams, list) and all(isinstance(name, str) for name in streams)):
            raise _unreadable(f"{place}.streams", "must be an array of strings")


def _check_last_reads(where: str, reads: Any) -> None:
    if not isinstance(reads, dict):
        raise _unreadable(where, "must be an object")
    for choice, value in reads.items():
        place = f"{where}.{choice}"
        if not isinstance(value, dict):
            raise _unreadable(place, "must be an object")
        for name in ("synced", "at"):
            if times.parse(value.get(name)) is None:
                raise _unreadable(f"{place}.{name}", "must be a time")
        if not isinstance(value.get("bookmarks"), int):
            raise _unreadable(f"{place}.bookmarks", "must be an integer")
        missed = value.get("missed", [])
        if not (isinstance(missed, list) and all(isinstance(name, str) for name in missed)):
            raise _unreadable(f"{place}.missed", "must be an array of strings")


def _check_history(where: str, value: Any) -> None:
    good = isinstance(value, dict) and isinstance(value.get("completed"), bool | None)
    good = good and isinstance(value.get("batches"), int | None)
    for name in ("ready", "waiting"):
        entities = value.get(name) if good else None
        good = good and (
            entities is None
            or (
                isinstance(entities, dict)
                and all(isinstance(second, int | None) for second in entities.values())
            )
        )
    if not good:
        raise _unreadable(where, "cannot be read")


def _unreadable(where: str, what: str) -> ConfigError:
    return ConfigError(f"The given state cannot be read: {where} {what}. {_HINT}")


class PartitionStateManager(StreamStateManager):
    """A stream's state as the SDK sees it: found by id, never moved by the SDK itself.

    Only the emitter moves bookmarks, since only it knows what was delivered. The SDK's increments
    and finalisation would move them per record, and create an entry for each partition asked for.
    """

    def __init__(self, bookmarks: Callable[[], Bookmarks], stream_name: str, **kwargs: Any) -> None:
        super().__init__(stream_name=stream_name, **kwargs)
        self._bookmarks = bookmarks

    @property
    def stream_state(self) -> dict[str, Any]:
        """The stream's state. It is not created if it does not exist."""
        entry: dict[str, Any] = self.tap_state.get("bookmarks", {}).get(self.stream_name, {})
        return entry

    def get_context_state(self, context: Mapping[str, Any] | None) -> dict[str, Any]:
        """A connection's partition; a new empty dict if it has none."""
        if not context or "connection_id" not in context:
            return self.stream_state
        return self._bookmarks().get(self.stream_name, context["connection_id"]) or {}

    def write_starting_replication_value(self, *_args: Any, **_kwargs: Any) -> None:
        """Does nothing: where a partition starts is not kept in the state."""

    def write_replication_key_signpost(self, *_args: Any, **_kwargs: Any) -> None:
        """Does nothing: the run's one cutoff bounds all bookmarks."""

    def increment_state(self, *_args: Any, **_kwargs: Any) -> None:
        """Does nothing: the emitter moves bookmarks."""

    def finalize_state(self, state: dict[str, Any] | None = None) -> None:
        """Does nothing: there are no progress markers."""

    def finalize_progress_markers(self, *_args: Any, **_kwargs: Any) -> None:
        """Does nothing: there are no progress markers."""
