"""The progress bar: on a terminal, with log lines above it, and nowhere else."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.singer import COMMAND, Ended, Messages, arguments, environment, run_tap, settings

from tap_rutter.simulator import Simulator, standard_world


def watched(simulator: Simulator, *, without_rich: bool = False, level: str = "INFO") -> Ended:
    """A run whose standard error is a terminal that somebody watches."""
    master, slave = pty.openpty()
    command: list[str | Path] = [COMMAND]
    if without_rich:
        script = (
            "import sys; sys.modules['rich'] = sys.modules['rich.console'] = None;"
            "from tap_rutter.cli.tap_command import main; main()"
        )
        command = [sys.executable, "-c", script]
    said = bytearray()

    def listen() -> None:
        while True:
            try:
                said.extend(os.read(master, 1 << 16))
            except OSError:  # the last who held the other end is gone
                return

    with arguments(settings(simulator)) as files:
        process = subprocess.Popen(
            [*command, *files],
            stdout=subprocess.PIPE,
            stderr=slave,
            env={**environment(), "TERM": "xterm-256color", "COLUMNS": "120", "LOGLEVEL": level},
        )
        os.close(slave)
        listener = threading.Thread(target=listen)
        listener.start()
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read().decode()
        code = process.wait()
        listener.join(10)
    os.close(master)
    return Ended(code, output, said.decode("utf-8", "replace"))


def test_a_person_at_a_terminal_sees_how_far_the_run_is() -> None:
    with Simulator(standard_world(seed=1), latency=0.01) as simulator:
        ended = watched(simulator)
    assert ended.code == 0
    for shown in ("streams", "connections", "rows,", "requests", "━"):
        assert shown in ended.stderr, shown
    assert " streams; " in ended.stderr  # the summary comes after it
    assert Messages.parse(ended.stdout.encode()).records["commerce_orders"]
    for line in ended.stdout.splitlines():
        assert json.loads(line)["type"] in {"SCHEMA", "RECORD", "STATE"}


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def frames(said: str, line: str) -> list[str]:
    """What a line of the progress bar showed, from its first state to its last."""
    text = _ESCAPES.sub("", said).replace("\r", "\n")
    return [entry.strip() for entry in text.split("\n") if entry.strip().startswith(line)]


@pytest.mark.longer
def test_the_last_that_is_seen_is_the_end() -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        ended = watched(simulator)
        requests = len(simulator.requests)
    records = Messages.parse(ended.stdout.encode()).records
    rows = sum(len(found) for stream, found in records.items() if stream != "sync_report")
    for line in ("streams", "connections"):
        last = frames(ended.stderr, line)[-1]
        figures = re.search(r"([\d,]+)/([\d,]+)", last)
        assert figures is not None, last
        assert figures[1] == figures[2] != "0", last
    assert f"{rows:,} rows, {requests:,} requests" in last
    assert f"Read {rows:,} rows" in ended.stderr


@pytest.mark.longer
def test_what_is_waited_for_is_seen_while_it_is() -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        simulator.faults.add("respond", path="/accounting/bills", status=503, body="busy")
        ended = watched(simulator)
    assert ended.code == 0
    # Once as a line of the log, and as long as it lasts below the bars.
    seen = frames(ended.stderr, "/accounting/bills of connection")
    assert seen
    assert "failed with status 503" in seen[0]
    last = _ESCAPES.sub("", ended.stderr).rindex("failed with status 503")
    assert last < _ESCAPES.sub("", ended.stderr).rindex("Read ")


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.longer
def test_figures_for_machines_are_not_shown_to_people(level: str) -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        ended = watched(simulator, without_rich=True, level=level)
        elsewhere = run_tap(config=settings(simulator))
    assert ("METRIC" in ended.stderr) == (level == "DEBUG")
    assert "METRIC" in elsewhere.stderr


@pytest.mark.longer
def test_without_rich_the_log_tells_it() -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        ended = watched(simulator, without_rich=True)
    assert ended.code == 0
    assert "━" not in ended.stderr
    assert " streams; 12 connections; " in ended.stderr


@pytest.mark.parametrize("connections", [1, 40])
@pytest.mark.longer
def test_elsewhere_log_lines_are_few_whatever_the_connections(connections: int) -> None:
    world = standard_world(seed=1)
    for number in range(connections):
        world.add_connection("SHOPIFY", counts={"/orders": 3}, name=f"Shop {number}")
    with Simulator(world) as simulator:
        ended = run_tap(config=settings(simulator))
        requests = len(simulator.requests)
    lines = ended.stderr.splitlines()
    assert "━" not in ended.stderr
    assert requests > 300
    assert len(lines) < 250  # a few per stream, none per request or connection
