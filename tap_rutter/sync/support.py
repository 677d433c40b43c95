"""What a platform cannot serve, learnt once and not asked again.

Judged by the emitter, in plan order: so the output does not depend on which worker was faster.
"""

from __future__ import annotations

from collections import Counter

from tap_rutter.replication.base import Partition

ENOUGH = 2
"""So many connections that agree speak for all others."""


class Support:
    """Which streams the platforms of a run serve, by what their connections answered."""

    def __init__(self) -> None:
        self._served: Counter[tuple[str, str]] = Counter()
        self._missing: Counter[tuple[str, str]] = Counter()
        self._anywhere: set[str] = set()
        self._closed: Counter[str] = Counter()

    def served(self, partition: Partition) -> None:
        """The pair's list was read."""
        self._served[_key(partition)] += 1
        self._anywhere.add(partition.endpoint.name)

    def missing(self, partition: Partition) -> None:
        """Rutter answered the pair's list with a 404 of its own."""
        self._missing[_key(partition)] += 1

    def not_activated(self, partition: Partition) -> None:
        """Rutter answered that the organisation has no access to the pair's endpoint."""
        self._closed[partition.endpoint.name] += 1

    def is_not_activated(self, partition: Partition) -> bool:
        """Whether the organisation has no access to the stream: two were told so, none was served.

        It is so whatever the platform, and whatever was read before.
        """
        name = partition.endpoint.name
        return self._closed[name] >= ENOUGH and name not in self._anywhere

    def rules_out(self, partition: Partition) -> bool:
        """Whether asking for the pair is of no use: two of its platform had none, and none did.

        A pair with a bookmark is always asked: it once had rows.
        """
        key = _key(partition)
        return (
            bool(partition.connection.platform)
            and not partition.input_state
            and self._missing[key] >= ENOUGH
            and not self._served[key]
        )


def _key(partition: Partition) -> tuple[str, str]:
    return partition.connection.platform, partition.endpoint.name
