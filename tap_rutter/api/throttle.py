"""How many requests may be in flight, and waiting that a signal can end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tap_rutter.errors import Stopped

_CALM_REQUESTS = 20  # answers without a 429 before one more request at once is tried


class Throttle:
    """The limit of requests in flight, shared by all workers.

    A 429 halves it, for everyone and at once; each run of calm answers raises it by one, up to
    the configured concurrency.
    """

    def __init__(self, limit: int) -> None:
        self.most = limit
        self.limit = limit
        self.turns = 0
        """How many requests have been made."""
        self._flying = 0
        self._calm = 0
        self._ended = threading.Event()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place in flight and hold it.

        Raises:
            Stopped: when the run is being ended.
        """
        with self._changed:
            while self._flying >= self.limit and not self._ended.is_set():
                self._changed.wait()
            self._check()
            self._flying += 1
            self.turns += 1
        try:
            yield
        finally:
            with self._changed:
                self._flying -= 1
                self._changed.notify()

    def too_fast(self) -> None:
        """Rutter answered 429."""
        with self._changed:
            self.limit = max(1, self.limit // 2)
            self._calm = 0

    def answered(self) -> None:
        """Rutter answered, and not with a 429."""
        with self._changed:
            self._calm += 1
            if self.limit < self.most and self._calm >= _CALM_REQUESTS:
                self.limit += 1
                self._calm = 0
                self._changed.notify()

    def sleep(self, seconds: float) -> None:
        """Wait, unless the run is ended meanwhile.

        Raises:
            Stopped: when the run is being ended.
        """
        if self._ended.wait(seconds):
            self._check()

    def stop(self) -> None:
        """End every wait, now and from now on."""
        with self._changed:
            self._ended.set()
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether the run is being ended."""
        return self._ended.is_set()

    def _check(self) -> None:
        if self._ended.is_set():
            raise Stopped("The run is being ended.")
