"""What a platform cannot serve, learnt once and not asked again.

Judged by the emitter, in plan order: so the output does not depend on which worker was faster.
"""

from __future__ import annotations

from collections import Counter

from tap_rutter.reading import Pair

_ENOUGH = 2


class Support:
    """Which streams the platforms of a run serve, by what their connections answered."""

    def __init__(self) -> None:
        self._served: Counter[tuple[str, str]] = Counter()
        self._missing: Counter[tuple[str, str]] = Counter()

    def served(self, pair: Pair) -> None:
        """The pair's list was read."""
        self._served[_key(pair)] += 1

    def missing(self, pair: Pair) -> None:
        """Rutter answered the pair's list with a 404 of its own."""
        self._missing[_key(pair)] += 1

    def rules_out(self, pair: Pair) -> bool:
        """Whether asking for the pair is of no use: two of its platform had none, and none did.

        A pair with a bookmark is always asked: it once had rows.
        """
        key = _key(pair)
        return (
            bool(pair.connection.platform)
            and not pair.before
            and self._missing[key] >= _ENOUGH
            and not self._served[key]
        )


def _key(pair: Pair) -> tuple[str, str]:
    return pair.connection.platform, pair.endpoint.name
