"""Signals and readers that go away: a whole last line and a STATE, or a quick, honest end."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from support.in_process import sync
from support.singer import COMMAND, Messages, arguments, catalog_of, environment, settings
from support.threads import HANG, until

from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.any_workers

ORDERS, PATH = "commerce_orders", "/orders"
ROWS = 300  # far more than a pipe takes


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = World(11, history_days=30)
    world.add_connection("SHOPIFY", counts={PATH: ROWS})
    with Simulator(world) as running:
        yield running


@dataclass
class Running:
    """The tap in a process of its own."""

    process: subprocess.Popen[bytes]

    @property
    def output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def lines_until(self, kind: bytes) -> list[bytes]:
        """Lines of the output, up to the first of a type."""
        lines = []
        for line in self.output:
            lines.append(line)
            if b'"type":"%b"' % kind in line:
                return lines
        raise AssertionError(f"no {kind!r} in {lines}")

    def rest(self) -> list[bytes]:
        """All lines that are still to come."""
        return self.output.readlines()

    def end(self, signum: int | None = None) -> tuple[int, str]:
        """Exit code and log of the process, after a signal if one is given."""
        if signum is not None:
            self.process.send_signal(signum)
        assert self.process.stderr is not None
        log = self.process.stderr.read().decode()
        return self.process.wait(HANG), log

    def assert_no_one_is_left(self) -> None:
        """No process of the tap's own is left behind."""
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)


@contextmanager
def running(
    simulator: Simulator, *streams: str, stdout: int | IO[bytes] = subprocess.PIPE, **more: object
) -> Iterator[Running]:
    """Start the tap; whatever happens, it does not survive the test."""
    catalog = catalog_of(*(streams or (ORDERS, "sync_report")))
    config = settings(simulator, **{"page_size": 20, "start_date": "2026-02-01", **more})
    with arguments(config, None, catalog) as files:
        process = subprocess.Popen(
            [COMMAND, *files],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        watchdog = threading.Timer(2 * HANG, process.kill)
        watchdog.start()
        try:
            yield Running(process)
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def waiting(output: IO[bytes]) -> int:
    """How many bytes are in the pipe."""
    size = fcntl.ioctl(output, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", size)[0])


def is_full(output: IO[bytes]) -> bool:
    """Whether the tap cannot get rid of more: nothing comes though much is to come."""
    before = waiting(output)
    time.sleep(0.2)
    return before > 32_000 and waiting(output) == before


def assert_resumes(simulator: Simulator, messages: Messages) -> None:
    """The last line is a STATE from which the next run brings all the rest."""
    assert messages.lines[-1]["type"] == "STATE"
    (connection,) = simulator.world.connections
    again = sync(simulator, ORDERS, state=messages.state, start_date="2026-02-01")
    assert again.code == 0
    delivered = {row["id"] for row in messages.records[ORDERS]} | again.ids(ORDERS, connection)
    assert delivered == {row["id"] for row in simulator.world.rows(connection, PATH)}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_reading_ends_with_whole_lines_and_a_state(
    simulator: Simulator, signum: int
) -> None:
    simulator.latency = 0.05
    with running(simulator, concurrency=2) as tap:
        before = tap.lines_until(b"RECORD")
        tap.process.send_signal(signum)
        messages = Messages.parse(b"".join([*before, *tap.rest()]))
        code, log = tap.end()
        tap.assert_no_one_is_left()
    assert code == 128 + signum
    assert f"Ended by signal {int(signum)}" in log
    assert "Traceback" not in log
    assert 0 < len(messages.records[ORDERS]) < ROWS
    (row,) = messages.records["sync_report"]
    assert (row["status"], row["reason"]) == ("interrupted", "interrupted")
    assert row["rows"] == len(messages.records[ORDERS])
    simulator.latency = 0.0
    assert_resumes(simulator, messages)


def test_a_signal_while_the_pipe_is_full_waits_for_a_reader_that_reads(
    simulator: Simulator,
) -> None:
    with running(simulator) as tap:
        until(lambda: is_full(tap.output), "a full pipe")
        tap.process.send_signal(signal.SIGTERM)
        messages = Messages.parse(b"".join(tap.rest()))
        code, log = tap.end()
        tap.assert_no_one_is_left()
    assert code == 143
    assert "Traceback" not in log
    assert len(messages.records[ORDERS]) < ROWS
    assert_resumes(simulator, messages)


@pytest.mark.longer
def test_a_reader_or_server_that_is_stuck_does_not_hold_the_end_up(simulator: Simulator) -> None:
    with (
        running(simulator) as full,
        Simulator(World(12)) as silent,
        running(silent, request_timeout=300) as asking,
    ):
        silent.faults.add("delay", seconds=2 * HANG)
        until(lambda: is_full(full.output), "a full pipe")
        until(lambda: silent.faults.as_json()[0]["applied"], "a request")
        full.process.send_signal(signal.SIGTERM)
        asking.process.send_signal(signal.SIGINT)
        for tap, expected in ((full, 143), (asking, 130)):
            code, log = tap.end()
            assert code == expected
            assert "Traceback" not in log
            tap.assert_no_one_is_left()
        assert asking.rest() == []


@pytest.mark.own_workers  # one alone does not come to the next list while nobody reads
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_within_the_sleep_of_a_retry(simulator: Simulator, signum: int) -> None:
    simulator.faults.add(
        "respond", path="/products", status=429, headers={"Retry-After": "300"}, times=None
    )
    with running(simulator, ORDERS, "commerce_products") as tap:
        before = tap.lines_until(b"RECORD")
        until(
            lambda: any(entry.status == 429 for entry in simulator.requests), "a request too many"
        )
        tap.process.send_signal(signum)
        messages = Messages.parse(b"".join([*before, *tap.rest()]))
        code, log = tap.end()
        tap.assert_no_one_is_left()
    assert code == 128 + signum
    assert "Traceback" not in log
    simulator.faults.clear()
    assert_resumes(simulator, messages)


def test_a_reader_that_has_enough_ends_the_tap_quietly(simulator: Simulator) -> None:
    with running(simulator) as tap:
        head = subprocess.run(
            ["head", "-n", "1"], stdin=tap.output, capture_output=True, check=True, timeout=HANG
        )
        tap.output.close()
        code, log = tap.end()
        tap.assert_no_one_is_left()
    assert len(head.stdout.splitlines()) == 1
    assert code == 1
    assert "The reader of the tap's output has ended before the tap." in log
    assert "Traceback" not in log
    assert "BrokenPipe" not in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_output_that_is_full_is_said_in_one_line(simulator: Simulator) -> None:
    with Path("/dev/full").open("wb") as full, running(simulator, stdout=full) as tap:
        code, log = tap.end()
    assert code == 1
    assert "The output cannot be written: No space left on device." in log
    assert "Traceback" not in log


@pytest.mark.parametrize("fault", ["none", "respond", "reset"])
def test_no_thread_outlives_a_run(simulator: Simulator, fault: str) -> None:
    simulator.faults.add(fault, path=PATH, after=2, times=None)
    before = {thread.name for thread in threading.enumerate()}
    sync(simulator, ORDERS, page_size=20)
    left = {thread.name for thread in threading.enumerate()} - before
    assert not [name for name in left if name.startswith("reader")]
