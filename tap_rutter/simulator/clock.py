"""The world's clock: it stands still until it is advanced, or it follows real time."""

from __future__ import annotations

from time import monotonic

from tap_rutter.simulator.text import iso


class Clock:
    """Virtual time in Unix milliseconds."""

    def __init__(self, start: int) -> None:
        self._at = start
        self._running_since: float | None = None

    @property
    def now(self) -> int:
        if self._running_since is None:
            return self._at
        return self._at + int((monotonic() - self._running_since) * 1000)

    @property
    def runs(self) -> bool:
        return self._running_since is not None

    def follow_real_time(self) -> None:
        if self._running_since is None:
            self._running_since = monotonic()

    def stop(self) -> None:
        self._at = self.now
        self._running_since = None

    def advance(self, milliseconds: int) -> None:
        if milliseconds < 0:
            raise ValueError(f"time goes forward only, not by {milliseconds} ms from {self}")
        self._at += milliseconds

    def __str__(self) -> str:
        return iso(self.now)
