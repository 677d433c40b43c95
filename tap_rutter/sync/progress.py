"""How a run reports how far it has come."""

from __future__ import annotations

from typing import Protocol


class ProgressBar(Protocol):
    """Shows how far a run has come."""

    def show(
        self, stream: str, step: int, steps: int, partition: int, partitions: int, rows: int
    ) -> None:
        """A stream is being read.

        Args:
            stream: Its name.
            step: How many streams have been read before it.
            steps: How many streams there are in all.
            partition: How many of its partitions have been read.
            partitions: How many partitions it has.
            rows: How many rows the run has delivered so far.
        """

    def end(self, rows: int) -> None:
        """Every partition has been read or has failed."""

    def stop(self) -> None:
        """The run is over."""


class NoProgressBar:
    """Shows nothing."""

    def show(self, *_figures: object) -> None:
        """Nothing."""

    def end(self, rows: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
