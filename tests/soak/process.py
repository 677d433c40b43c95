"""The tap in a process of its own, which can be killed as an operating system kills.

The process is forked from a server that has imported the tap already, since starting Python takes
longer than the runs of these tests.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tap_rutter.cli.tap_command", "tap_rutter.tap"])


def run(
    folder: Path,
    config: Json,
    catalog: Json,
    state: Json | None,
    *,
    kill_after: int | None = None,
    often: bool = False,
) -> tuple[list[Json], int]:
    """One run of the command; the lines that were read of it, and its exit code.

    Args:
        folder: For its files.
        config: Its settings.
        catalog: Its catalog.
        state: The state that it is given.
        kill_after: How many lines are read before it is killed (SIGKILL); what is still in the
            pipe then is lost.
        often: Whether a STATE follows whatever moves a bookmark, not only every ten seconds.
    """
    arguments: list[str] = []
    for name, value in (("config", config), ("catalog", catalog), ("state", state)):
        if value is not None:
            file = folder / f"{name}.json"
            file.write_text(json.dumps(value), encoding="utf-8")
            arguments += [f"--{name}", str(file)]
    reader, writer = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(
        target=_tap, args=(arguments, writer, str(folder / "stderr"), often), daemon=True
    )
    process.start()
    writer.close()  # so that the end of the process is the end of its output
    with reader, os.fdopen(reader.fileno(), "rb", closefd=False) as output:
        lines = list(_lines(output, kill_after))
        if kill_after is not None and len(lines) == kill_after:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert process.exitcode is not None
    return lines, process.exitcode


def _lines(output: Any, most: int | None) -> Iterator[Json]:
    if most == 0:
        return
    for number, line in enumerate(output, start=1):
        yield json.loads(line, parse_float=Decimal)
        if number == most:
            return


def _tap(arguments: list[str], stdout: Connection, stderr: str, often: bool) -> None:
    """The process: what the console script does, with the pipe for its standard output."""
    os.dup2(stdout.fileno(), 1)
    stdout.close()
    errors = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(errors, 2)
    os.close(errors)
    from tap_rutter.cli import tap_command
    from tap_rutter.sync import delivery

    if often:
        delivery._STATE_SECONDS = 0.0
    tap_command.main(arguments)
