"""A run in this very process, from its settings to its exit code, that never really waits."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any
from unittest import mock

from support.singer import Json, Messages, catalog_of, settings
from tap_rutter.api.throttle import Throttle
from tap_rutter.cli.running import invoke
from tap_rutter.simulator import Simulator
from tap_rutter.tap import TapRutter

REPORT = "sync_report"


@dataclass(frozen=True)
class Attempt:
    """How a run ended, and all that it gave out."""

    code: int
    output: str
    log: str
    waits: tuple[float, ...]
    """The seconds for which the run asked to wait, in the order of asking."""

    @cached_property
    def messages(self) -> Messages:
        return Messages.parse(self.output.encode())  # a str has more line ends than JSON

    @property
    def state(self) -> Json:
        return self.messages.state

    def records(self, stream: str) -> list[Json]:
        """The stream's records in the order in which they left."""
        return self.messages.records[stream]

    def ids(self, stream: str, connection_id: str) -> set[str]:
        """Which rows of a connection left."""
        return {row["id"] for row in self.records(stream) if row["connection_id"] == connection_id}

    @property
    def reports(self) -> list[Json]:
        """The rows of sync_report."""
        return self.messages.records[REPORT]

    def report(self, stream: str, connection_id: str) -> Json:
        """The one row of sync_report about this pair."""
        (row,) = (
            row
            for row in self.reports
            if (row["stream"], row["connection_id"]) == (stream, connection_id)
        )
        return row


class Waiting:
    """Stands in for waiting: what is asked for is noted, and passes at once for who asked."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._slept = threading.local()

    def sleep(self, throttle: Throttle, seconds: float) -> None:
        """In place of ``Pace.sleep``."""
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
def without_waiting() -> Iterator[Waiting]:
    """Nothing in the tap waits between two tries; each thread's clock goes on as if it had."""
    waiting = Waiting()
    clock = SimpleNamespace(time_ns=time.time_ns, monotonic=waiting.monotonic)
    with (
        mock.patch.object(
            Throttle, "sleep", lambda throttle, seconds: waiting.sleep(throttle, seconds)
        ),
        mock.patch("tap_rutter.api.client.time", clock),
        mock.patch("tap_rutter.api.jobs.time", clock),
    ):
        yield waiting


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What the tap logs meanwhile, as people would see it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("tap-rutter")
    level, hooks = logger.level, (sys.excepthook, threading.excepthook)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield text
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        sys.excepthook, threading.excepthook = hooks


@cache
def _catalog(*streams: str) -> str:
    """A catalog that holds these streams and no others."""
    catalog = catalog_of(*streams)
    entries = [entry for entry in catalog["streams"] if entry["tap_stream_id"] in streams]
    return json.dumps({"streams": entries})


def attempt(
    simulator: Simulator,
    *streams: str,
    state: Json | None = None,
    **more: Any,
) -> Attempt:
    """Run the tap on these streams and its report.

    Args:
        simulator: Whom to read.
        streams: Names of streams.
        state: What an earlier run ended with.
        more: Further settings.
    """
    output = io.StringIO()
    with without_waiting() as waiting, logged() as log, redirect_stdout(output):
        code = invoke(
            TapRutter,
            config=SimpleNamespace(config=settings(simulator, **more), parse_env=False),
            state=None if state is None else io.StringIO(json.dumps(state)),
            catalog=io.StringIO(_catalog(*streams, REPORT)),
        )
    return Attempt(code, output.getvalue(), log.getvalue(), tuple(waiting.asked))
