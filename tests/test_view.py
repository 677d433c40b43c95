"""The live view: on a terminal, above it the log lines, and nothing of it anywhere else."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.singer import COMMAND, Ended, Messages, arguments, environment, run_tap, settings

from tap_rutter.simulator import Simulator, standard_world


def watched(simulator: Simulator, *, without_rich: bool = False) -> Ended:
    """A run whose standard error is a terminal that somebody watches."""
    master, slave = pty.openpty()
    command: list[str | Path] = [COMMAND]
    if without_rich:
        script = (
            "import sys; sys.modules['rich'] = sys.modules['rich.console'] = None;"
            "from tap_rutter.main import main; main()"
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
            env={**environment(), "TERM": "xterm-256color", "COLUMNS": "120"},
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
    assert "streams complete" in ended.stderr  # the summary comes after it
    assert Messages.parse(ended.stdout.encode()).records["commerce_orders"]
    for line in ended.stdout.splitlines():
        assert json.loads(line)["type"] in {"SCHEMA", "RECORD", "STATE"}


def test_without_rich_the_log_tells_it() -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        ended = watched(simulator, without_rich=True)
    assert ended.code == 0
    assert "━" not in ended.stderr
    assert "streams complete" in ended.stderr


@pytest.mark.parametrize("connections", [1, 40])
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
