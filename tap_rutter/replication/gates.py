"""A gate: where a list's reading waits for what other readings find out.

A reader that must know more before it goes on yields ``WaitFor(gate)``; whoever finds it out opens
the gate. Workers leave a chain that waits alone, and walk others. What a gate waits for must be
decided by chains that come *earlier in the plan*: the consumer takes chains in plan order, and the
one that it has come to is read on whether its gate is open or not. So nothing can lock up, even
where nobody ever opens the gate, and with one worker or none there is no waiting at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Gate:
    """Opens once, by any thread, for all who wait at it."""

    __slots__ = ("_calls", "_is_open", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._calls: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether it has been opened."""
        return self._is_open

    def open(self) -> None:
        """Let all go on who wait here, and who will; a second time does nothing."""
        with self._lock:
            self._is_open = True
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def when_open(self, call: Callable[[], None]) -> None:
        """Have something called once it is open: by the thread that opens it, or here if it is."""
        with self._lock:
            if not self._is_open:
                self._calls.append(call)
                return
        call()
