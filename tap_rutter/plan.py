"""The plan of a run: which pairs of stream and connection are read, in which order.

Stream by stream, in the catalog's order, and within a stream connection by connection. Everything
that leaves, leaves in this order, whatever the number of workers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tap_rutter.ahead import Chain, Inline
from tap_rutter.connections import REFUSING, Connection
from tap_rutter.errors import ConnectionUnusable, NotActivated
from tap_rutter.reading import Endpoint, Environment, Item, Pair


@dataclass(frozen=True)
class Begin:
    """The pair's connection answers: what follows are its rows."""


@dataclass(frozen=True)
class Unavailable:
    """Rutter says that the connection's platform cannot serve this object: it was not asked."""


@dataclass(frozen=True)
class Done:
    """All of the pair has been read."""


class Plan:
    """All pairs of the streams that a run reads."""

    def __init__(
        self, streams: Sequence[Endpoint], connections: Sequence[Connection], env: Environment
    ) -> None:
        self._streams = streams
        self._env = env
        self._all = connections
        self._asked = [connection for connection in connections if is_asked(connection, env)]
        self._pairs: dict[str, list[Pair]] = {}
        self._dropped: set[Pair] = set()
        self._lock = threading.Lock()

    def pairs(self, stream: Endpoint) -> list[Pair]:
        """The pairs of a stream, the same objects for whoever asks."""
        with self._lock:
            if stream.name not in self._pairs:
                chosen = self._all if stream.is_about_connections else self._asked
                self._pairs[stream.name] = [
                    Pair(stream, connection, self._env, index=index)
                    for index, connection in enumerate(chosen)
                ]
            return self._pairs[stream.name]

    def chains(self) -> Iterator[Chain[Pair]]:
        """A chain for each pair that has not been dropped, in order; made as they are needed."""
        for stream in self._streams:
            for pair in self.pairs(stream):
                if pair not in self._dropped:
                    yield Chain(pair, steps(pair))

    def drop(self, pair: Pair) -> None:
        """Do not begin a pair that has been found to be of no use."""
        self._dropped.add(pair)

    def has_dropped(self, pair: Pair) -> bool:
        """Whether a pair has been given up: what was read of it meanwhile is of no use."""
        return pair in self._dropped

    def forget(self, stream: Endpoint) -> None:
        """A stream has been read: its pairs are not needed any more."""
        with self._lock:
            self._pairs[stream.name] = []


def is_asked(connection: Connection, env: Environment) -> bool:
    """Whether Rutter answers data calls for a connection in its status."""
    if connection.status in REFUSING:
        return False
    return connection.status != "not_ready" or env.settings.force_fetch


def steps(pair: Pair) -> Iterator[Item]:
    """A pair from its beginning to its end; each step makes at most a few requests.

    Raises:
        NotActivated: without a request, where earlier pairs have shown that it is of no use.
    """
    activation, stream = pair.env.activation, pair.endpoint.name
    if activation.is_known_closed(stream, pair.index):
        raise NotActivated(f"{stream} is not activated.", reason="not_activated")
    spread = False
    try:
        for item in _steps(pair):
            spread = spread or isinstance(item, Inline)
            yield item
    except Exception:
        if not spread:  # lists that are read beside this one may be answered yet
            activation.nothing(stream, pair.index)
        raise


def _steps(pair: Pair) -> Iterator[Item]:
    # Rows that are read ahead of the emitter must not seem older than the read they belong to.
    pair.started_ms = pair.env.client.clock.now()
    facts = pair.facts
    if not (
        pair.endpoint.is_about_connections
        or pair.env.settings.force_fetch
        or pair.env.is_ready(pair.connection)
    ):
        # The list of connections did not say so, or there was none.
        raise ConnectionUnusable("Its first sync is not over.", reason="not_ready")
    yield Begin()
    if pair.endpoint.rutter_object in facts.unavailable and pair.before is None:
        pair.env.activation.nothing(pair.endpoint.name, pair.index)
        yield Unavailable()
        return
    yield from pair.endpoint.kind.read(pair)
    yield Done()
