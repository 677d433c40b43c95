"""A time window: a range of time that an updated list is asked for on its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A range of time, Unix milliseconds, both ends included. None is an open end."""

    low: int | None
    high: int | None

    def holds(self, oldest: int | None, newest: int | None, tolerance: int) -> bool:
        """Whether the times lie inside, or at most ``tolerance`` ms outside."""
        if self.low is not None and oldest is not None and oldest < self.low - tolerance:
            return False
        return not (self.high is not None and newest is not None and newest > self.high + tolerance)
