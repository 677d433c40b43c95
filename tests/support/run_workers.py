"""Workers that run ``run_worker.py``, and what is left of their processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from support.runs import Fleet, descendants, is_alive, listing_of
from support.singer import environment

WORKER = Path(__file__).with_name("run_worker.py")


class Worker:
    """A worker in a process of its own (``support/run_worker.py``)."""

    def __init__(self, fleet: Fleet, *, lease_seconds: float = 60.0, **variables: str) -> None:
        order = {
            "config": {**asdict(fleet.config), "webhook_secrets": []},
            "listing": listing_of(fleet.simulator),
            "states": str(fleet.directory / "states.json"),
            "lease_seconds": lease_seconds,
        }
        file = fleet.directory / "order.json"
        file.write_text(json.dumps(order), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**variables),
        )
        self.seen: set[int] = set()

    def look(self) -> dict[int, str]:
        """Its processes; all that were ever seen are remembered."""
        found = descendants(self.process.pid)
        self.seen |= set(found)
        return found

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> str:
        """What it said, once it and whatever has its output are gone."""
        try:
            text, _ = self.process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            left = self.look()
            self.process.kill()
            self.process.communicate()
            raise AssertionError(f"the worker did not end; below it there is {left}") from None
        return str(text)

    def all_gone(self) -> bool:
        return all_gone(self.seen)


def all_gone(pids: Iterable[int]) -> bool:
    """Whether all of these processes have ended."""
    return not any(map(is_alive, pids))
