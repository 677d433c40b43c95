"""What is passed from a contestant's run to its next run, as its own runner does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import OUTPUT, RunFailed

DLT = "pipelines"
"""The folder within the run's folder in which dlt keeps its state."""
_GUIDE = "state.json"


def singer(folder: Path) -> Path:
    """A Singer tap's last STATE."""
    last: bytes | None = None
    with (folder / OUTPUT).open("rb") as lines:
        for line in lines:
            if line.startswith((b'{"type":"STATE"', b'{"type": "STATE"')):
                last = line
    if last is None:
        raise RunFailed("the first run wrote no STATE")
    return _saved(folder, json.loads(last)["value"])


def airbyte(folder: Path) -> Path:
    """The last STATE message of each stream of an Airbyte source."""
    found: dict[str, Any] = {}
    with (folder / OUTPUT).open("rb") as lines:
        for line in lines:
            if b'"STATE"' not in line[:200]:
                continue
            message = json.loads(line)
            if message["type"] == "STATE":
                state = message["state"]
                found[state["stream"]["stream_descriptor"]["name"]] = {
                    name: value for name, value in state.items() if name in ("type", "stream")
                }
    if not found:
        raise RunFailed("the first run wrote no STATE")
    return _saved(folder, list(found.values()))


def dlt(folder: Path) -> Path:
    """The working folder of a dlt pipeline."""
    return folder / DLT


def guide(folder: Path) -> Path:
    """The file that the script itself has written."""
    return folder / _GUIDE


def _saved(folder: Path, state: object) -> Path:
    file = folder / "kept.json"
    file.write_text(json.dumps(state), encoding="utf-8")
    return file
