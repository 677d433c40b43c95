"""The tap in this very process, from its settings to its exit code; it never really waits."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache, cached_property, partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

from support.singer import Ended, Json, Messages, catalog_of, settings
from tap_rutter.api.throttle import Throttle
from tap_rutter.cli.running import invoke
from tap_rutter.cli.tap_command import run_command
from tap_rutter.simulator import Simulator
from tap_rutter.streams import OPTIONAL
from tap_rutter.sync.writer import BlockWriter
from tap_rutter.tap import TapRutter

REPORT = "sync_report"


@dataclass(frozen=True)
class Run(Messages):
    """How a run ended, and all that it gave out."""

    code: int | None
    """The exit code; None where the run was killed."""
    output: str
    """What was written; empty where somebody looked at the lines instead."""
    log: str
    waits: tuple[float, ...]
    """The seconds for which the run asked to wait, in the order of asking."""

    def ids(self, stream: str, connection_id: str) -> set[str]:
        """Which rows of a connection left."""
        return {row["id"] for row in self.records[stream] if row["connection_id"] == connection_id}

    @property
    def placed_states(self) -> list[tuple[int, Json]]:
        """The values of the STATE messages, with their places among the lines."""
        found = enumerate(self.lines)
        return [(place, line["value"]) for place, line in found if line["type"] == "STATE"]

    @property
    def reports(self) -> list[Json]:
        """The rows of sync_report."""
        return self.records[REPORT]

    def report(self, stream: str, connection_id: str) -> Json:
        """The one row of sync_report about this partition."""
        (row,) = (
            row
            for row in self.reports
            if (row["stream"], row["connection_id"]) == (stream, connection_id)
        )
        return row

    @cached_property
    def failures(self) -> list[str]:
        """What could not be read, and why."""
        return [
            f"{row['stream']} of {row['connection_id']}: {row['error_message']}"
            for row in self.reports
            if row["status"] == "failed"
        ]


def sync(
    simulator: Simulator,
    *streams: str,
    state: Json | None = None,
    catalog: Json | None = None,
    full_table: Collection[str] = (),
    now: Callable[[], int] | None = None,
    state_seconds: float | None = None,
    kill_after: int | None = None,
    look: Callable[[bytes], None] | None = None,
    **more: Any,
) -> Run:
    """Read these streams (all, if none is named), and report on them in sync_report.

    Args:
        simulator: Whom to read.
        streams: Names of streams.
        state: What an earlier run ended with; it is left as it is.
        catalog: In place of one that selects the streams and sync_report.
        full_table: Streams that the catalog asks to read whole.
        now: This machine's clock, Unix milliseconds; None for the real one.
        state_seconds: How long at least from one STATE to the next; None for the tap's own.
        kill_after: After how many lines the process is gone.
        look: Takes each line, of which none is kept then.
        more: Further settings.

    Raises:
        ConfigError: for settings, a catalog or a state that cannot be used.
        AssertionError: for a fault of the tap itself, which a run logs and survives.
    """
    more.setdefault("optional_streams", [name for name in OPTIONAL if name in streams])
    chosen = _catalog(streams, tuple(full_table)) if catalog is None else json.dumps(catalog)
    output, kept = io.StringIO(), bytearray()
    code: int | None = None
    with ExitStack() as stack:
        waiting = stack.enter_context(_without_waiting(now))
        log = stack.enter_context(_logged())
        stack.enter_context(redirect_stdout(output))
        if state_seconds is not None:
            patch = mock.patch("tap_rutter.sync.delivery._STATE_SECONDS", state_seconds)
            stack.enter_context(patch)
        if kill_after is not None or look is not None:
            lines = partial(Lines, kept.extend if look is None else look, kill_after)
            stack.enter_context(mock.patch.object(TapRutter, "message_writer_class", lines))
        with suppress(Killed):
            code = invoke(
                TapRutter,
                config=SimpleNamespace(config=settings(simulator, **more), parse_env=False),
                state=None if state is None else io.StringIO(json.dumps(state)),
                catalog=io.StringIO(chosen) if streams or catalog else None,
            )
    assert "A fault of the tap itself" not in log.getvalue(), log.getvalue()
    written = output.getvalue() or kept.decode()
    # As bytes: a str has more line ends than JSON.
    messages = Messages.parse(written.encode())
    return Run(messages.lines, code, written, log.getvalue(), tuple(waiting.asked))


@cache
def _catalog(streams: tuple[str, ...], full_table: tuple[str, ...]) -> str:
    return json.dumps(catalog_of(*streams, REPORT, full_table=full_table))


def run_here(*args: str) -> Ended:
    """The console script in this very process: as in one of its own, without the start-up."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out, err = io.StringIO(), io.StringIO()
    try:
        with _own_hooks(), redirect_stdout(out), redirect_stderr(err):
            code = run_command(list(args))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
    return Ended(code, out.getvalue(), err.getvalue())


class Killed(BaseException):
    """The process is gone, at once, as far as anybody downstream can tell."""


class Lines(BlockWriter):
    """Gives each line away as soon as it is written, and ends the process after so many."""

    def __init__(self, take: Callable[[bytes], None], most: int | None) -> None:
        super().__init__()
        self._take = take
        self._most = most
        self._count = 0

    def write_line(self, line: bytes) -> None:
        """Give a line away, or end."""
        if self._count == self._most:
            raise Killed
        self._count += 1
        self._take(line + b"\n")

    def write_block(self, lines: memoryview) -> None:
        """Give them away one by one: the process may end between any two."""
        for line in bytes(lines).splitlines():
            self.write_line(line)


class _Waiting:
    """Stands in for waiting: what is asked for is noted, and passes at once for who asked."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._slept = threading.local()

    def sleep(self, throttle: Throttle, seconds: float) -> None:
        """In place of ``Throttle.sleep``."""
        self.asked.append(seconds)
        self._slept.seconds = self._so_far + seconds
        _REAL_SLEEP(throttle, 0)

    def monotonic(self) -> float:
        """In place of the clock by which a request's life is measured."""
        return time.monotonic() + self._so_far

    @property
    def _so_far(self) -> float:
        return float(getattr(self._slept, "seconds", 0.0))


_REAL_SLEEP = Throttle.sleep


@contextmanager
def _without_waiting(now: Callable[[], int] | None) -> Iterator[_Waiting]:
    """Nothing in the tap waits between two tries; each thread's clock goes on as if it had."""
    waiting = _Waiting()
    clock = SimpleNamespace(
        time_ns=time.time_ns if now is None else lambda: now() * 1_000_000,
        monotonic=waiting.monotonic,
    )
    with (
        mock.patch.object(
            Throttle, "sleep", lambda throttle, seconds: waiting.sleep(throttle, seconds)
        ),
        mock.patch("tap_rutter.api.client.time", clock),
        mock.patch("tap_rutter.api.clock.time", clock),
        mock.patch("tap_rutter.api.jobs.time", clock),
    ):
        yield waiting


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """What the tap logs meanwhile, as people would see it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("tap-rutter")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with _own_hooks():
            yield text
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _own_hooks() -> Iterator[None]:
    """What becomes of an exception that nobody takes is changed for this time only."""
    hooks = sys.excepthook, threading.excepthook
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook = hooks
