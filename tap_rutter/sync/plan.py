"""The plan of a run: which partitions are read, in which order.

They are read stream by stream, in the catalog's order, and within a stream connection by
connection. Everything leaves in this order, whatever the number of workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from tap_rutter.connections.connections_file import ALL
from tap_rutter.connections.selection import REFUSING, Connection
from tap_rutter.errors import ConnectionUnusable, NotActivated, Unsupported
from tap_rutter.replication.base import Endpoint, Partition
from tap_rutter.replication.items import (
    Begin,
    Done,
    PartitionItem,
    Unavailable,
    Unchanged,
    WaitFor,
)
from tap_rutter.replication.run_context import RunContext
from tap_rutter.replication.scouting import Answer
from tap_rutter.replication.told import told
from tap_rutter.sync.read_ahead import Chain


class Plan:
    """All partitions of the streams that a run reads."""

    def __init__(
        self,
        streams: Sequence[Endpoint],
        connections: Sequence[Connection],
        run: RunContext,
        *,
        is_left_out: Callable[[Partition], bool] = lambda _: False,
    ) -> None:
        """``is_left_out``: whether it is known before the run that a partition is not read."""
        self._streams = streams
        self._run = run
        self._is_left_out = is_left_out
        self._all = connections
        self._asked = [connection for connection in connections if is_asked(connection, run)]
        self._read: dict[str, dict[int, Partition]] = {}
        """By stream: the partitions that are read, by their index."""
        self._lock = threading.Lock()

    def partitions(self, stream: Endpoint) -> list[Partition]:
        """The partitions of a stream. Those that are read are the same objects at every call.

        The others are made anew, and not kept: where hardly anything is read, the plan is made far
        ahead of the emitter.
        """
        with self._lock:
            chosen = self._all if stream.is_about_connections else self._asked
            wanted = [entry for entry in chosen if entry.wanted.has(stream.name)]
            if stream.name in self._read:
                read = self._read[stream.name]
                return [
                    read.get(index) or self._made(stream, connection, index)
                    for index, connection in enumerate(wanted)
                ]
            made = [
                self._made(stream, connection, index) for index, connection in enumerate(wanted)
            ]
            read = {each.index: each for each in made if _is_read(each)}
            self._read[stream.name] = read
            if not stream.is_about_connections:
                # Those with a bookmark are asked whatever others find out: they speak for none.
                scouts = [each.place for each in read.values() if each.input_state is None]
                self._run.scouting.begin(stream.name, scouts)
            return made

    def _made(self, stream: Endpoint, connection: Connection, index: int) -> Partition:
        partition = told(Partition(stream, connection, self._run, index=index))
        partition.is_dropped = not stream.is_about_connections and self._is_left_out(partition)
        return partition

    def chains(self) -> Iterator[Chain[Partition]]:
        """A chain for each partition that was not dropped, in plan order."""
        for stream in self._streams:
            for partition in self._to_read(stream):
                if _is_read(partition):
                    yield Chain(partition, items_of(partition))

    def _to_read(self, stream: Endpoint) -> list[Partition]:
        if stream.name not in self._read:
            self.partitions(stream)
        with self._lock:
            return list(self._read[stream.name].values())

    def forget(self, stream: Endpoint) -> None:
        """A stream has been read: its partitions are not needed any more."""
        with self._lock:
            self._read[stream.name] = {}
        self._run.scouting.forget(stream.name)


def _is_read(partition: Partition) -> bool:
    """Whether it is read, as far as is known now."""
    return not (partition.is_dropped or is_unchanged(partition))


def is_unchanged(partition: Partition, *, ask: bool = False) -> bool:
    """Whether nothing was synced since it was last read; known once its connection was asked."""
    run, connection = partition.run, partition.connection
    if run.after_sync is None or connection.wanted != ALL:
        return False  # without the setting all is read; or the caller knows of changes
    return is_asked(connection, run) and run.is_unchanged(partition.endpoint, connection, ask=ask)


def is_asked(connection: Connection, run: RunContext) -> bool:
    """Whether a connection's status allows data requests."""
    if connection.status in REFUSING:
        return False
    return connection.status != "not_ready" or run.settings.force_fetch


def items_of(partition: Partition) -> Iterator[PartitionItem]:
    """A partition from its beginning to its end; each step makes at most a few requests."""
    try:
        yield from _read_items(partition)
    except Exception as error:
        partition.run.scouting.note(partition.place, _answer_of(error))
        raise


def _answer_of(error: Exception) -> Answer:
    match error:
        case Unsupported():
            return Answer.MISSING
        case NotActivated():
            return Answer.CLOSED
        case _:
            return Answer.NOTHING


def _read_items(partition: Partition) -> Iterator[PartitionItem]:
    # The partition must not seem to have started after its rows were read.
    partition.started_ms = partition.run.client.clock.now()
    if is_unchanged(partition, ask=True):
        partition.run.scouting.note(partition.place, Answer.NOTHING)
        yield Unchanged()
        return
    sync_status = partition.sync_status
    if not (
        partition.endpoint.is_about_connections
        or partition.run.settings.force_fetch
        or partition.run.is_ready(partition.connection)
    ):
        # The list of connections did not say so, or was not read.
        raise ConnectionUnusable("Its first sync is not over.", reason="not_ready")
    yield Begin()
    if (
        partition.endpoint.rutter_object in sync_status.unavailable
        and partition.input_state is None
    ):
        partition.run.scouting.note(partition.place, Answer.NOTHING)
        yield Unavailable()
        return
    if partition.input_state is None:
        for gate in partition.run.scouting.gates(partition.place):
            yield WaitFor(gate)
    yield from partition.endpoint.replication.read(partition)
    yield Done()
