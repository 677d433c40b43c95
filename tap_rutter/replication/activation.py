"""Which streams the organisation has no access to, as far as the workers know already.

What is skipped is judged by the emitter, in plan order (``sync/outcomes.py``). But the workers are
ahead of it, and would ask for a thousand connections what two have answered. So they leave out what
the emitter is certain to skip: a stream whose first partitions in plan order have all ended without
an answer, two of them because the organisation has no access.
"""

from __future__ import annotations

import threading

_ENOUGH = 2
_CLOSED, _SERVED, _NOTHING = "closed", "served", "nothing"


class Activation:
    """What the partitions of each stream have been answered. Used by all workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: dict[str, dict[int, str]] = {}

    def closed(self, stream: str, index: int) -> None:
        """The organisation has no access, says the answer to the partition with this place."""
        self._note(stream, index, _CLOSED)

    def served(self, stream: str, index: int) -> None:
        """The partition's list has been answered."""
        with self._lock:
            self._outcomes.setdefault(stream, {})[index] = _SERVED

    def nothing(self, stream: str, index: int) -> None:
        """The partition has ended, and tells nothing of the organisation."""
        self._note(stream, index, _NOTHING)

    def is_known_closed(self, stream: str, index: int) -> bool:
        """Whether the emitter is certain to skip the partition with this place."""
        with self._lock:
            outcomes = self._outcomes.get(stream, {})
            closed = 0
            for earlier in range(index):
                outcome = outcomes.get(earlier)
                if outcome in {None, _SERVED}:
                    return False
                closed += outcome == _CLOSED
                if closed >= _ENOUGH:
                    return True
            return False

    def _note(self, stream: str, index: int, outcome: str) -> None:
        with self._lock:
            self._outcomes.setdefault(stream, {}).setdefault(index, outcome)
