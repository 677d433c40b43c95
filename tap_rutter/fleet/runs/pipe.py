"""What comes out of a run while it goes on: STATE lines, the end of what was said, exit codes."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from tap_rutter.fleet.model import State
from tap_rutter.fleet.runs.runner import Runner
from tap_rutter.redact import redact

_CHUNK = 1 << 16
_LONGEST_STATE = 64 << 20
_KEPT = 16 << 10
_LOOK_SECONDS = 0.2  # how often stop and kill are looked at
_SIGNS = 6  # signs of life that this process gives within the time that one of them is good for
_AFTERWARDS = 2.0  # seconds for what is left in the pipes of a supervisor that is gone
LONGEST_SILENCE = 3600.0
"""Seconds without any sign of life from tap and target, after which a run is killed: one of them is
stuck, and its slot would be lost for good."""

STATE_NUMBER = "state_number"
"""Where the tap's STATE has its number (see ``tap_rutter/sync/report_file.py``)."""


class Tail:
    """The last lines that a process has said."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._is_cut = False

    def add(self, chunk: bytes) -> None:
        """Keep the last of it."""
        self._kept += chunk
        if len(self._kept) > 2 * _KEPT:
            del self._kept[:-_KEPT]
            self._is_cut = True

    def drop_lines(self, text: str) -> None:
        """Forget the lines that hold a text."""
        lines = self._kept.splitlines(keepends=True)
        self._kept = bytearray(b"".join(line for line in lines if text.encode() not in line))

    def __bool__(self) -> bool:
        return bool(self._kept)

    @property
    def text(self) -> str:
        """The last whole lines, without secrets: half a secret would not be found."""
        kept = bytes(self._kept)
        if self._is_cut:
            kept = kept.partition(b"\n")[2]
        return redact(kept.decode(errors="replace")).strip()


class States:
    """The STATE lines in a target's output: those of this run, each newer than the one before."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._size = 0
        self.last_number = 0
        """The number of the newest STATE that the target has committed; 0 for none."""

    def read(self, chunk: bytes) -> list[State]:
        """The states that have become whole with this chunk, without their numbers."""
        *ends, rest = chunk.split(b"\n")
        found = []
        for end in ends:
            line = b"".join([*self._begun, end])
            self._begun, self._size = [], 0
            state = self._state(line)
            if state is not None:
                found.append(state)
        self._begun.append(rest)
        self._size += len(rest)
        if self._size > _LONGEST_STATE:  # no STATE: the rest of such a line is not one either
            self._begun, self._size = [b"x"], 0
        return found

    def _state(self, line: bytes) -> State | None:
        if not line.lstrip().startswith(b"{"):
            return None
        try:
            state = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        number = state.pop(STATE_NUMBER, None)
        if not isinstance(number, int) or number <= self.last_number:
            return None
        self.last_number = number
        return dict(state)


@dataclass
class Watched:
    """How a run ended, as seen from outside."""

    tap_exit: int | None = None
    """Below 0: the signal that ended it. None: it did not end by itself, or was never started."""
    target_exit: int | None = None
    states: States = field(default_factory=States)
    tap_said: Tail = field(default_factory=Tail)
    target_said: Tail = field(default_factory=Tail)
    was_stopped: bool = False
    """It was asked to end in order."""
    was_killed: bool = False
    """It was killed: for its caller, for its silence, or for that of its worker."""
    was_silent: bool = False


def watch(
    runner: Runner,
    *,
    on_state: Callable[[State], None],
    on_tap_end: Callable[[], None],
    stop: threading.Event,
    kill: threading.Event,
    stop_seconds: float,
    orphan_seconds: float | None = None,
) -> Watched:
    """Follow a run to its end, and close its supervisor.

    Args:
        runner: With a tap that has been started.
        on_state: Called with each STATE that the target has committed. If it raises, the run is
            killed, and the error goes on from here.
        on_tap_end: Called when the tap has ended, while the target still works.
        stop: Ends the run in order; ``kill``: at once.
        stop_seconds: How long the order may take.
        orphan_seconds: The run is killed when this process gives no sign of life for so long, as
            when it is stopped.
    """
    return _Watch(runner, on_state, on_tap_end, orphan_seconds).run(stop, kill, stop_seconds)


class _Watch:
    def __init__(
        self,
        runner: Runner,
        on_state: Callable[[State], None],
        on_tap_end: Callable[[], None],
        orphan_seconds: float | None,
    ) -> None:
        self._runner = runner
        self._on_state = on_state
        self._on_tap_end = on_tap_end
        self._orphan_seconds = orphan_seconds
        self._sign_at = float("-inf")
        self._seen = Watched()
        self._error: BaseException | None = None

    def run(self, stop: threading.Event, kill: threading.Event, stop_seconds: float) -> Watched:
        runner, seen = self._runner, self._seen
        takers: dict[int, Callable[[bytes], None]] = {
            runner.target_out: self._take_output,
            runner.target_err: seen.target_said.add,
            runner.tap_err: seen.tap_said.add,
        }
        last_sign = time.monotonic()
        over_since: float | None = None
        with selectors.DefaultSelector() as selector:
            for descriptor in takers:
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            selector.register(runner.control, selectors.EVENT_READ)
            try:
                while selector.get_map():
                    self._give_sign()
                    for key, _ in selector.select(_LOOK_SECONDS):
                        last_sign = time.monotonic()
                        if key.fileobj is runner.control:
                            self._take_events()
                            if runner.is_over:
                                selector.unregister(runner.control)
                                over_since = last_sign
                        elif not _read(key.fd, takers[key.fd]):
                            selector.unregister(key.fd)
                    now = time.monotonic()
                    if over_since is not None and now - over_since > _AFTERWARDS:
                        runner.kill_group()
                        break
                    if now - last_sign > LONGEST_SILENCE and not seen.was_killed:
                        seen.was_silent = True
                        self._kill()
                    if kill.is_set() and not seen.was_killed:
                        self._kill()
                    if stop.is_set() and not seen.was_stopped:
                        seen.was_stopped = True
                        runner.stop(stop_seconds)
            finally:
                runner.close()
        if self._error is not None:
            raise self._error
        return seen

    def _give_sign(self) -> None:
        seconds, now = self._orphan_seconds, time.monotonic()
        if seconds is not None and now - self._sign_at >= seconds / _SIGNS:
            self._sign_at = now
            self._runner.stay_alive(seconds)

    def _kill(self) -> None:
        self._seen.was_killed = True
        self._runner.kill()

    def _take_output(self, chunk: bytes) -> None:
        for state in self._seen.states.read(chunk):
            if self._error is not None:
                return
            try:
                self._on_state(state)
            except BaseException as error:
                # To be told when nothing of the run is left that could write any more.
                self._error = error
                self._kill()

    def _take_events(self) -> None:
        for event in self._runner.events():
            if event["event"] == "tap":
                self._seen.tap_exit = event["code"]
                with suppress(Exception):
                    self._on_tap_end()
            elif event["event"] == "target":
                self._seen.target_exit = event["code"]
            elif event["event"] == "orphaned":
                self._seen.was_killed = True


def _read(descriptor: int, take: Callable[[bytes], None]) -> bool:
    """Take what is there; False at the end."""
    try:
        chunk = os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return True
    if chunk:
        take(chunk)
    return bool(chunk)
