"""The progress bar of a run, on a terminal.

It needs rich (the extra ``cli``). Without rich, or if standard error is not a terminal, only the
log shows how far the run is.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tap_rutter.api.client import Client
from tap_rutter.redact import redact
from tap_rutter.sync.progress import NoProgressBar, ProgressBar

_EVERY = 0.2  # seconds between two updates of the figures


def open_progress_bar(client: Client) -> ProgressBar:
    """A progress bar if standard error is a terminal, otherwise one that shows nothing."""
    if not sys.stderr.isatty():
        return NoProgressBar()
    try:
        return TerminalProgressBar(client)
    except ImportError:
        return NoProgressBar()


class TerminalProgressBar:
    """Two lines at the bottom of the terminal, and a third while a request waits to be tried again.

    Log lines appear above them.
    """

    def __init__(self, client: Client) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._client = client
        self._shown = 0.0
        self._is_over = False
        self._last: tuple[str, int, int, int, int, int] | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
        )
        self._streams = self._progress.add_task("streams", total=0, figures="")
        self._partitions = self._progress.add_task("connections", total=0, figures="")
        stream = sys.stderr
        self._live = Live(
            get_renderable=self._frame, console=Console(stderr=True), refresh_per_second=5
        )
        self._live.start()
        # Log handlers keep the stream that they were made with. Now they must write above the bar.
        self._handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream
        ]
        for handler in self._handlers:
            handler.setStream(sys.stderr)

    def show(
        self, stream: str, step: int, steps: int, partition: int, partitions: int, rows: int
    ) -> None:
        """Update the lines, at most a few times a second."""
        self._last = (stream, step, steps, partition, partitions, rows)
        now = time.monotonic()
        if now - self._shown < _EVERY:
            return
        self._shown = now
        self._draw(*self._last)

    def end(self, rows: int) -> None:
        """Show both lines as complete."""
        if self._last is not None:
            _, _, steps, _, partitions, _ = self._last
            self._last = ("all done", steps, steps, partitions, partitions, rows)

    def stop(self) -> None:
        """Restore the terminal; the last figures stay on it."""
        self._is_over = True
        if self._last is not None:
            self._draw(*self._last)
        self._live.stop()
        for handler in self._handlers:
            handler.setStream(sys.stderr)

    def _draw(
        self, stream: str, step: int, steps: int, partition: int, partitions: int, rows: int
    ) -> None:
        self._progress.update(self._streams, completed=step, total=steps, figures=stream)
        figures = f"{rows:,} rows, {self._client.requests:,} requests"
        self._progress.update(
            self._partitions, completed=partition, total=partitions, figures=figures
        )

    def _frame(self) -> Any:
        """The lines as they are now; rich calls this a few times a second."""
        from rich.console import Group
        from rich.text import Text

        waiting = "" if self._is_over else self._client.retries.waiting
        if not waiting:
            return self._progress
        return Group(self._progress, Text(redact(waiting), no_wrap=True, overflow="ellipsis"))
