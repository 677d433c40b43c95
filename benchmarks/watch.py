"""Runs processes and measures their cost. It is a small script that runs by itself.

It reads a JSON object from standard input: ``pipelines``, a list of lists of stages (``argv``,
``env``, ``cwd``, ``stderr``: a file). Pipes connect the stages of a pipeline; the output of the
last one is read and dropped. The pipelines run at the same time. ``timeout`` is in seconds, and so
is ``interval``, which says how often memory is measured. It prints a JSON object.

It is a process of its own, since on Linux a child's peak memory is never reported as less than what
its parent held when it started the child.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

_PROC = "/proc"
_TAIL = 4_096
# Linux counts in KiB, others in bytes.
_MAXRSS_UNIT = 1024 if sys.platform == "linux" else 1


class Drain(threading.Thread):
    """Reads a pipe to its end, counting."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(daemon=True)
        self._descriptor = descriptor
        self.lines = 0
        self.bytes = 0
        self.tail = b""

    def run(self) -> None:
        while block := os.read(self._descriptor, 1 << 20):
            self.lines += block.count(b"\n")
            self.bytes += len(block)
            self.tail = (self.tail + block)[-_TAIL:] if len(block) < _TAIL else block[-_TAIL:]
        os.close(self._descriptor)


class Memory(threading.Thread):
    """Adds up the memory of the processes at intervals; ends them when their time is over."""

    def __init__(self, sessions: set[int], interval: float, timeout: float) -> None:
        super().__init__(daemon=True)
        self._sessions = sessions
        self._interval = interval
        self._timeout = timeout
        self._over = threading.Event()
        self.samples: list[tuple[float, int]] = []
        self.killed = False

    def run(self) -> None:
        started = time.perf_counter()
        while not self._over.wait(self._interval):
            since = time.perf_counter() - started
            held = held_by(self._sessions)
            if held:
                self.samples.append((round(since, 3), held))
            if since > self._timeout:
                self.killed = True
                kill(self._sessions)
                return

    def stop(self) -> None:
        self._over.set()
        self.join()


def kill(sessions: Iterable[int]) -> None:
    """End all started processes, and those that they have started."""
    for session in sessions:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signal.SIGKILL)


def held_by(sessions: set[int]) -> int:
    """Resident bytes of all processes of these sessions; 0 if the system does not tell."""
    pages = 0
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(_PROC):  # noqa: PTH208 - many times a second
            if not entry.isdigit():
                continue
            try:
                with open(f"{_PROC}/{entry}/stat", "rb") as file:  # noqa: PTH123 - the same
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) in sessions:
                pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE")


def start(pipeline: list[dict[str, Any]]) -> tuple[list[subprocess.Popen[bytes]], Drain]:
    """Start a pipeline's processes, each in its own session, and the reader of its output."""
    processes = []
    source = subprocess.DEVNULL
    for stage in pipeline:
        read_end, write_end = os.pipe()
        with open(stage["stderr"], "wb") as errors:  # noqa: PTH123 - no pathlib: fewer imports
            process = subprocess.Popen(
                stage["argv"],
                env=stage["env"],
                cwd=stage["cwd"],
                stdin=source,
                stdout=write_end,
                stderr=errors,
                start_new_session=True,
            )
        os.close(write_end)
        if source != subprocess.DEVNULL:
            os.close(source)
        source = read_end
        processes.append(process)
    drain = Drain(source)
    drain.start()
    return processes, drain


def ended(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """Wait for a process; returns its cost."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "exit": process.returncode,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * _MAXRSS_UNIT,
    }


def watch(task: dict[str, Any]) -> dict[str, Any]:
    """Run the pipelines to their ends."""
    started = time.perf_counter()
    running = [start(pipeline) for pipeline in task["pipelines"]]
    processes = [process for pipeline, _ in running for process in pipeline]
    memory = Memory({process.pid for process in processes}, task["interval"], task["timeout"])
    memory.start()
    try:
        stages = [ended(process) for process in processes]
    except BaseException:
        kill(process.pid for process in processes if process.returncode is None)
        raise
    for _, drain in running:
        drain.join(10.0)
    wall = time.perf_counter() - started
    memory.stop()
    return {
        "wall": wall,
        "stages": stages,
        "killed": memory.killed,
        "samples": memory.samples,
        "lines": [drain.lines for _, drain in running],
        "bytes": sum(drain.bytes for _, drain in running),
        "tail": running[-1][1].tail.decode("utf-8", "replace"),
    }


if __name__ == "__main__":
    # A signal to this script also ends the processes that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(json.dumps(watch(json.load(sys.stdin))))
