"""How many requests may be in flight at once, and waits that a signal can end."""

from __future__ import annotations

import threading

from tap_rutter.errors import Stopped

_CALM_REQUESTS = 20  # answers without a 429 before the limit is raised by one


class Throttle:
    """The limit of requests in flight, shared by all workers.

    A 429 halves the limit at once, for all workers. A series of answers without a 429 raises it by
    one, up to the configured concurrency.
    """

    def __init__(self, limit: int) -> None:
        self.most = limit
        self.limit = limit
        self.turns = 0
        """How many requests have been made."""
        self.refused = 0
        """How many of them Rutter answered with a 429."""
        self._flying = 0
        self._waiting = 0
        self._calm = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._turn = _Turn(self)

    def turn(self) -> _Turn:
        """A place in flight, which ``with`` waits for and holds; see ``begin``."""
        return self._turn

    def begin(self) -> None:
        """Wait for a place in flight.

        Raises:
            Stopped: when the run is being ended.
        """
        with self._lock:
            while self._flying >= self.limit and not self._ended.is_set():
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1
            self._check()
            self._flying += 1
            self.turns += 1

    def end(self) -> None:
        """Give the place in flight to the next."""
        with self._lock:
            self._flying -= 1
            if self._waiting:
                self._changed.notify()

    def too_fast(self) -> None:
        """Rutter answered 429."""
        with self._lock:
            self.refused += 1
            self.limit = max(1, self.limit // 2)
            self._calm = 0

    def answered(self) -> None:
        """Rutter answered, and not with a 429."""
        if self.limit >= self.most:
            return  # there is nothing to raise; a 429 that comes now begins to count anew
        with self._lock:
            self._calm += 1
            if self.limit < self.most and self._calm >= _CALM_REQUESTS:
                self.limit += 1
                self._calm = 0
                self._changed.notify()

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds; a signal ends the wait.

        Raises:
            Stopped: when the run is being ended.
        """
        if self._ended.wait(seconds):
            self._check()

    def stop(self) -> None:
        """End every wait, now and from now on."""
        with self._lock:
            self._ended.set()
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether the run is being ended."""
        return self._ended.is_set()

    def _check(self) -> None:
        if self._ended.is_set():
            raise Stopped("The run is being ended.")


class _Turn:
    """What holds for all turns alike, so that a request needs none of its own."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    def __enter__(self) -> None:
        self._throttle.begin()

    def __exit__(self, *_: object) -> None:
        self._throttle.end()
