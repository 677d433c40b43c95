"""How a run tells how far it has come; the terminal's own bars are in ``cli/progress_bar.py``."""

from __future__ import annotations

from typing import Protocol


class ProgressBar(Protocol):
    """Shows how far a run has come."""

    def show(
        self, stream: str, step: int, steps: int, partition: int, partitions: int, rows: int
    ) -> None:
        """Show where the run is.

        Args:
            stream: The stream that is being read.
            step: Its place among the selected streams, from 0.
            steps: How many are selected.
            partition: The place of the partition among the stream's, from 0.
            partitions: How many the stream has.
            rows: Rows read so far, of all streams.
        """

    def end(self, rows: int) -> None:
        """Everything has been read, or has failed."""

    def stop(self) -> None:
        """The run is over."""


class NoProgressBar:
    """Nobody watches."""

    def show(self, *_figures: object) -> None:
        """Nothing."""

    def end(self, rows: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
