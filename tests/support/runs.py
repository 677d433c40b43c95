"""Runs of the fleet: a simulated Rutter, claims on its connections, and targets of all kinds."""

from __future__ import annotations

import itertools
import json
import os
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from support.singer import settings
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Claim, ClaimedMark, Lane, Member, RunResult, State
from tap_rutter.fleet.runs import Slot, run_claim
from tap_rutter.simulator import Connection, Simulator

SCHEMA = "rutter"
TARGET = Path(sys.executable).with_name("target-postgres")
_seq = itertools.count(1)


def listing_of(simulator: Simulator) -> dict[str, dict[str, Any]]:
    """Rutter's list of connections, by id."""
    return {
        entry.id: {
            "id": entry.id,
            "platform": entry.platform,
            "status": entry.status,
            "name": entry.name,
            "access_token": entry.access_token,
            "link_url": entry.link_url,
        }
        for entry in simulator.world.connections.values()
    }


def mark(stream: str, since: Any = None) -> ClaimedMark:
    return ClaimedMark(stream, next(_seq), since)


@dataclass
class Fleet:
    """What runs need, and what they have handed over."""

    simulator: Simulator
    directory: Path
    database_url: str = ""
    target: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    tap: dict[str, Any] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    shared: State = field(default_factory=dict)
    handed: list[tuple[dict[str, State], State]] = field(default_factory=list)
    slot: Slot | None = None
    _config: FleetConfig | None = None

    @property
    def work_directory(self) -> Path:
        path = self.directory / "runs"
        path.mkdir(exist_ok=True)
        return path

    @property
    def config(self) -> FleetConfig:
        if self._config is None:
            tap = settings(self.simulator, max_retry_seconds=2, **self.tap)
            self._config = FleetConfig(
                ledger_url="postgresql:",
                work_directory=str(self.work_directory),
                tap_config=tap,
                target_command=self.target or self.postgres_target(),
                target_database_url=self.database_url,
                **{"stop_seconds": 10.0, **self.more},
            )
        return self._config

    def postgres_target(self) -> tuple[str, ...]:
        """target-postgres into the test's own database."""
        path = self.directory / "target.json"
        path.touch(mode=0o600)
        options = {
            "sqlalchemy_url": self.database_url.replace("postgresql:", "postgresql+psycopg:", 1),
            "default_target_schema": SCHEMA,
            "validate_records": False,
        }
        path.write_text(json.dumps(options), encoding="utf-8")
        return (str(TARGET), "--config", str(path))

    def member(self, connection: Connection, *marks: ClaimedMark) -> Member:
        return Member(
            connection.id,
            connection.platform,
            connection.status,
            self.states.get(connection.id),
            marks,
            None,
            None,
        )

    def claim(
        self,
        *members: Member | Connection,
        lane: Lane = Lane.SWEEP,
        full_read: bool = False,
        claim_id: uuid.UUID | None = None,
    ) -> Claim:
        found = tuple(
            self.member(entry) if isinstance(entry, Connection) else entry for entry in members
        )
        return Claim(
            claim_id or uuid.uuid4(),
            lane,
            found[0].platform,
            found,
            60.0,
            full_read,
            self.shared,
        )

    def hand_over(self, states: dict[str, State], shared: State) -> None:
        """As the ledger does it."""
        self.handed.append((states, shared))
        self.states |= states
        self.shared = shared

    def run(self, claim: Claim, **options: Any) -> RunResult:
        given: dict[str, Any] = {
            "listing": listing_of(self.simulator),
            "on_states": self.hand_over,
            "stop": threading.Event(),
            "slot": self.slot,
            **options,
        }
        return run_claim(claim, self.config, **given)

    def use(self, **more: Any) -> None:
        """Change the configuration."""
        self._config = replace(self.config, **more)

    # ---- what landed

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query.encode()).fetchall()

    def landed(self, stream: str) -> set[tuple[str, str]]:
        """Connection and id of each row of a table; empty where there is none."""
        with psycopg.connect(self.database_url) as connection:
            try:
                found = connection.execute(
                    sql.SQL("select connection_id, id from {}").format(
                        sql.Identifier(SCHEMA, stream)
                    )
                )
            except psycopg.errors.UndefinedTable:
                return set()
            return {(key, identity) for key, identity in found}

    def expected(
        self, path: str, connections: Iterable[Connection] | None = None
    ) -> set[tuple[str, str]]:
        """What a list of the world holds."""
        world = self.simulator.world
        chosen = world.connections.values() if connections is None else connections
        return {(entry.id, key) for entry in chosen for key in world.keys(entry.id, path)}


def scripted(directory: Path, body: str) -> tuple[str, ...]:
    """A target that does what it is written to do; ``lines`` are those of its input."""
    path = directory / f"target_{uuid.uuid4().hex[:8]}.py"
    prelude = """
        import json, os, signal, sys, time
        lines = (json.loads(line) for line in sys.stdin)
        def say(state):
            sys.stdout.write(json.dumps(state) + chr(10))
            sys.stdout.flush()
        """
    path.write_text(textwrap.dedent(prelude) + textwrap.dedent(body), encoding="utf-8")
    return (sys.executable, str(path))


WELL = """
    last = None
    for line in lines:
        if line["type"] == "STATE":
            last = line["value"]
    say(last)
    """
"""A target that keeps nothing and says that all has landed."""

LANDS = """
    kept = []
    with open({path!r}, "a") as file:
        for line in lines:
            if line["type"] == "RECORD":
                kept.append(json.dumps([line["stream"], line["record"]["connection_id"],
                                        line["record"].get("id")]))
            if line["type"] == "STATE":
                for text in kept:
                    file.write(text + chr(10))
                    time.sleep(0.002)
                file.flush()
                kept.clear()
                say(line["value"])
    """
"""A target that keeps keys in a file, slowly, and what it has not said may be half of it."""


# ---- processes


def descendants(pid: int | None = None) -> dict[int, str]:
    """All processes below one (this one), with their command lines; the dead are left out."""
    table: dict[int, tuple[int, int, str]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if stat[0] != "Z":
            table[int(entry.name)] = (int(stat[1]), int(stat[3]), line)
    found: dict[int, str] = {}
    waiting = [pid or os.getpid()]
    while waiting:
        parent = waiting.pop()
        for child, (above, _, line) in table.items():
            if above == parent and child not in found:
                found[child] = line
                waiting.append(child)
    return found


def processes_of(directory: Path) -> dict[int, str]:
    """Those below this process whose command line names a directory, with their command lines."""
    return {pid: line for pid, line in descendants().items() if str(directory) in line}


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def all_texts(*parts: Any) -> str:
    """Everything that was said, in one text to be searched."""
    return "\n".join(part if isinstance(part, str) else repr(part) for part in parts)


Listing = Mapping[str, Mapping[str, Any]]
