"""The tap in this very process: its lines as they leave, and its end at any of them."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

from soak import scene
from tap_rutter.errors import RequestFailed
from tap_rutter.simulator import Simulator
from tap_rutter.streams import STREAMS, name_of
from tap_rutter.streams.base import RutterStream
from tap_rutter.sync.writer import BlockWriter
from tap_rutter.tap import TapRutter

Json = dict[str, Any]


class Killed(BaseException):
    """The process is gone, at once, as far as anybody downstream can tell."""


class Lines(BlockWriter):
    """Keeps the lines instead of writing them, and ends the process after so many."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []
        self.count = 0
        self.most: int | None = None
        self.look: Callable[[bytes], None] | None = None

    def write_line(self, line: bytes) -> None:
        """Keep a line, or let somebody look at it who has no need to keep it."""
        if self.most is not None and self.count >= self.most:
            raise Killed
        self.count += 1
        if self.look is None:
            self.kept.append(bytes(line))
        else:
            self.look(line)

    def write_block(self, lines: memoryview) -> None:
        """Keep them one by one: the process may end between any two."""
        for line in bytes(lines).splitlines():
            self.write_line(line)

    def flush(self) -> None:
        """Nothing waits."""

    def flush_if_due(self) -> None:
        """Nothing waits."""


class KeptTap(TapRutter):
    """The tap, with lines that stay here."""

    message_writer_class = Lines
    known: frozenset[str] = frozenset(scene.STREAMS.values())
    """Making all streams takes longer than reading a few of them."""

    def discover_streams(self) -> Sequence[RutterStream]:
        """The streams that histories are about, selected or not."""
        return [stream(self) for stream in STREAMS if name_of(stream) in self.known]


@dataclass
class Output:
    """What a run wrote, and how it ended."""

    lines: list[Json]
    code: int | None
    """None where it was killed."""
    failures: list[str] = field(default_factory=list)

    @property
    def states(self) -> list[tuple[int, Json]]:
        """All STATE values with their places among the lines."""
        return [
            (place, line["value"])
            for place, line in enumerate(self.lines)
            if line["type"] == "STATE"
        ]

    @property
    def state(self) -> Json:
        """The last STATE."""
        return self.states[-1][1]

    def records(self, stream: str) -> list[Json]:
        """The records of a stream, in their order."""
        return [
            line["record"]
            for line in self.lines
            if line["type"] == "RECORD" and line["stream"] == stream
        ]


def run(
    simulator: Simulator,
    streams: Collection[str],
    state: Json | None = None,
    *,
    kill_after: int | None = None,
    state_seconds: float | None = None,
    now: Callable[[], int] | None = None,
    full_table: Iterable[str] = (),
    look: Callable[[bytes], None] | None = None,
    **settings: Any,
) -> Output:
    """One run of these streams.

    Args:
        simulator: Whom to read.
        streams: Names of streams.
        state: What an earlier run ended with; it is left as it is.
        kill_after: How many lines leave before the process is gone.
        state_seconds: How long at least from one STATE to the next; None for the tap's own.
        now: This machine's clock, Unix milliseconds; None for the real one.
        full_table: Streams that the catalog asks to read whole.
        look: Takes the lines, of which none is kept then.
        settings: Further settings.
    """
    tap = KeptTap(
        config={
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "api_url": simulator.api_url,
            **settings,
        },
        catalog=catalog_of(streams, full_table),
        state=copy.deepcopy(state),
    )
    tap.known |= set(streams)
    lines = tap.writer
    assert isinstance(lines, Lines)
    lines.most, lines.look = kill_after, look
    code: int | None = None
    clock = SimpleNamespace(
        time_ns=time.time_ns if now is None else lambda: now() * 1_000_000,
        monotonic=time.monotonic,
    )
    with (
        mock.patch("tap_rutter.api.client.time", clock),
        mock.patch("tap_rutter.api.clock.time", clock),
        _states_every(state_seconds),
    ):
        try:
            tap.sync_all()
            tap.run.finish()
            code = tap.run.exit_code
        except Killed:
            pass
        except RequestFailed:  # the connections could not be listed
            code = 1
        finally:
            tap.run.close()
    failures = [] if code is None or not tap.run.is_started else _failures(tap)
    return Output([json.loads(line, parse_float=Decimal) for line in lines.kept], code, failures)


def _failures(tap: TapRutter) -> list[str]:
    return [
        f"{entry.stream} of {entry.connection_id}: {entry.error_message}"
        for entry in tap.run.report.failures
    ]


def _states_every(seconds: float | None) -> Any:
    if seconds is None:
        return mock.patch("tap_rutter.sync.delivery._STATE_SECONDS", 10.0)
    return mock.patch("tap_rutter.sync.delivery._STATE_SECONDS", seconds)


@cache
def _discovered() -> dict[str, Json]:
    catalog = TapRutter(validate_config=False).catalog_dict
    return {entry["tap_stream_id"]: entry for entry in catalog["streams"]}


def catalog_of(streams: Iterable[str], full_table: Iterable[str] = ()) -> Json:
    """A catalog of these streams alone."""
    entries = [copy.deepcopy(_discovered()[name]) for name in streams]
    for entry in entries:
        if entry["tap_stream_id"] in set(full_table):
            entry["replication_method"] = "FULL_TABLE"
            for part in entry["metadata"]:
                if not part["breadcrumb"]:
                    part["metadata"]["forced-replication-method"] = "FULL_TABLE"
    return {"streams": entries}
