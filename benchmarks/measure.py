"""One measurement: runs processes to their end, and gives their cost."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WATCH = Path(__file__).with_name("watch.py")
_MOST_SAMPLES = 240
OUTPUT = "stdout.txt"
"""The file with the output of a command whose output is kept."""
# A contestant gets only these variables of the user's environment: no settings, no proxies.
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Command:
    """A process to run."""

    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


Pipeline = Sequence[Command]


class RunFailed(Exception):
    """A contestant failed. The message has its last words."""


@dataclass(frozen=True)
class Cost:
    """What one run has cost."""

    wall: float
    """Seconds from the start of the first process to the end of the last one."""
    cpu: float
    """Seconds of processor time, of user and system, of all processes and their children."""
    peak: float
    """Bytes: the most memory that all processes together held, as far as was seen."""
    stages: tuple[float, ...] = ()
    """Processor time of each process."""
    lines: int = 0
    bytes: int = 0
    tail: str = ""
    memory: tuple[tuple[float, int], ...] = ()
    """Memory over the run: pairs of seconds and bytes."""
    requests: int | None = None
    """The number of requests that the server counted; None if it was not asked."""


def run(pipelines: Sequence[Pipeline], folder: Path, *, timeout: float) -> Cost:
    """Run pipelines at the same time, without keeping their output.

    Args:
        pipelines: Each is a sequence of commands that pipes connect.
        folder: The working folder and home of the processes.
        timeout: Seconds after which they are killed.

    Raises:
        RunFailed: if a process ends with a code other than 0, or not in time.
    """
    environment = _environment(folder)
    errors: list[Path] = []
    described = []
    for pipeline in pipelines:
        stages = []
        for command in pipeline:
            errors.append(folder / f"stderr-{len(errors)}.txt")
            stages.append(
                {
                    "argv": [str(part) for part in command.argv],
                    "env": environment | dict(command.env),
                    "cwd": str(folder),
                    "stderr": str(errors[-1]),
                }
            )
        described.append(stages)
    task = {"pipelines": described, "timeout": timeout, "interval": 0.1}
    outcome = _watched(task)
    if outcome["killed"]:
        raise RunFailed(f"not at its end after {timeout:.0f} s")
    for stage, file in zip(outcome["stages"], errors, strict=True):
        if stage["exit"] != 0:
            said = last_words(file.read_text(encoding="utf-8", errors="replace"))
            said = said or last_words(outcome["tail"])
            raise RunFailed(f"exit code {stage['exit']}: {said}")
    samples = [(at, held) for at, held in outcome["samples"]]
    return Cost(
        wall=outcome["wall"],
        cpu=sum(stage["cpu"] for stage in outcome["stages"]),
        peak=max(
            [held for _, held in samples] + [stage["peak"] for stage in outcome["stages"]],
        ),
        stages=tuple(stage["cpu"] for stage in outcome["stages"]),
        lines=sum(outcome["lines"]),
        bytes=outcome["bytes"],
        tail=outcome["tail"],
        memory=tuple(samples[:: max(1, len(samples) // _MOST_SAMPLES)]),
    )


def run_kept(command: Command, folder: Path, *, timeout: float) -> None:
    """Run a command without measuring it, and keep its output in the folder's ``OUTPUT``.

    Raises:
        RunFailed: as ``run`` does.
    """
    output, errors = folder / OUTPUT, folder / "stderr.txt"
    try:
        with output.open("wb") as out, errors.open("wb") as error:
            done = subprocess.run(
                [str(part) for part in command.argv],
                env=_environment(folder) | dict(command.env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=error,
                timeout=timeout,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"not at its end after {timeout:.0f} s") from None
    if done.returncode:
        said = last_words(errors.read_text(encoding="utf-8", errors="replace"))
        raise RunFailed(f"exit code {done.returncode}: {said}")


def _environment(folder: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return environment | {"HOME": str(home)}


def _watched(task: Mapping[str, Any]) -> dict[str, Any]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(_WATCH)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watcher:
        try:
            output, errors = watcher.communicate(json.dumps(task))
        except BaseException:
            # Not killed, since it has to end its own processes.
            watcher.terminate()
            raise
    if watcher.returncode:
        raise RunFailed(f"cannot be started: {last_words(errors)}")
    outcome: dict[str, Any] = json.loads(output)
    return outcome


def last_words(text: str) -> str:
    """The last line that is not empty, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-300:] if lines else ""


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder for one run, which is removed afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True)
