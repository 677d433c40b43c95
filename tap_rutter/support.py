"""What a platform cannot serve, learnt once and not asked again.

Judged by the emitter, in plan order: so the output does not depend on which worker was faster.
"""

from __future__ import annotations

from collections import Counter

from tap_rutter.reading import Pair

ENOUGH = 2
"""So many connections that agree speak for all others."""


class Support:
    """Which streams the platforms of a run serve, by what their connections answered."""

    def __init__(self) -> None:
        self._served: Counter[tuple[str, str]] = Counter()
        self._missing: Counter[tuple[str, str]] = Counter()
        self._anywhere: set[str] = set()
        self._closed: Counter[str] = Counter()

    def served(self, pair: Pair) -> None:
        """The pair's list was read."""
        self._served[_key(pair)] += 1
        self._anywhere.add(pair.endpoint.name)

    def missing(self, pair: Pair) -> None:
        """Rutter answered the pair's list with a 404 of its own."""
        self._missing[_key(pair)] += 1

    def not_activated(self, pair: Pair) -> None:
        """Rutter answered that the organisation has no access to the pair's endpoint."""
        self._closed[pair.endpoint.name] += 1

    def is_not_activated(self, pair: Pair) -> bool:
        """Whether the organisation has no access to the stream: two were told so, none was served.

        It is so whatever the platform, and whatever was read before.
        """
        name = pair.endpoint.name
        return self._closed[name] >= ENOUGH and name not in self._anywhere

    def rules_out(self, pair: Pair) -> bool:
        """Whether asking for the pair is of no use: two of its platform had none, and none did.

        A pair with a bookmark is always asked: it once had rows.
        """
        key = _key(pair)
        return (
            bool(pair.connection.platform)
            and not pair.before
            and self._missing[key] >= ENOUGH
            and not self._served[key]
        )


def _key(pair: Pair) -> tuple[str, str]:
    return pair.connection.platform, pair.endpoint.name
