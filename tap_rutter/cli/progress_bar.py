"""The live view of a run, for whoever watches it on a terminal.

Needs rich (the extra ``cli``). Without it, or where standard error is no terminal, log lines tell
the same, a few per stream.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from singer_sdk.metrics import METRICS_LOGGER_NAME

from tap_rutter.redact import redact
from tap_rutter.sync.progress import NoProgressBar, ProgressBar

if TYPE_CHECKING:
    from tap_rutter.api.client import Client

_EVERY = 0.2  # seconds between two looks at the figures


def open_progress_bar(client: Client) -> ProgressBar:
    """A live view where a person watches, and nothing where none does."""
    if not sys.stderr.isatty():
        return NoProgressBar()
    try:
        return TerminalProgressBar(client)
    except ImportError:
        return NoProgressBar()


def hide_metrics() -> None:
    """Keep the SDK's METRIC lines from a terminal: they are for machines, who read no terminal.

    They are there at DEBUG, and where the user has configured the logging.
    """
    metrics = logging.getLogger(METRICS_LOGGER_NAME)
    watched = sys.stderr.isatty() and "SINGER_SDK_LOG_CONFIG" not in os.environ
    if watched and metrics.getEffectiveLevel() > logging.DEBUG:
        metrics.setLevel(logging.WARNING)


class TerminalProgressBar:
    """Two lines at the bottom of the terminal, and one for what is waited for, if anything is.

    Log lines go by above them.
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
        # Log handlers hold the stream that they began with: they must write above the live lines.
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
        """Bring the lines up to date, a few times a second at most."""
        self._last = (stream, step, steps, partition, partitions, rows)
        now = time.monotonic()
        if now - self._shown < _EVERY:
            return
        self._shown = now
        self._draw(*self._last)

    def end(self, rows: int) -> None:
        """Both lines at their ends."""
        if self._last is not None:
            _, _, steps, _, partitions, _ = self._last
            self._last = ("all done", steps, steps, partitions, partitions, rows)

    def stop(self) -> None:
        """Leave the terminal as it was, with the last figures in sight."""
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
        """What the terminal shows now; rich asks for it a few times a second."""
        from rich.console import Group
        from rich.text import Text

        waiting = "" if self._is_over else self._client.retries.waiting
        if not waiting:
            return self._progress
        return Group(self._progress, Text(redact(waiting), no_wrap=True, overflow="ellipsis"))
