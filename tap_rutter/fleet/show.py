"""What ``rutterctl fleet status`` shows: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tap_rutter.fleet.ledger import ConnectionStatus
from tap_rutter.fleet.model import Lane, Status
from tap_rutter.names import counted

_NOTHING = "-"


def as_json(
    rows: Sequence[ConnectionStatus],
    due: Mapping[Lane, int],
    lag: Mapping[Lane, float],
    paused: str | None,
    speed: float,
    api_version: str | None,
) -> str:
    """Everything that is known, as one JSON object; times in RFC 3339."""
    content = {
        "paused": paused,
        "speed": speed,
        "api_version": api_version,
        "lanes": {
            str(lane): {"due": due.get(lane, 0), "lag_seconds": round(lag.get(lane, 0.0), 3)}
            for lane in Lane
        },
        "connections": [asdict(row) for row in rows],
    }
    return json.dumps(content, default=_plain, indent=2)


def _plain(value: object) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def show(
    console: Console,
    rows: Sequence[ConnectionStatus],
    due: Mapping[Lane, int],
    lag: Mapping[Lane, float],
    paused: str | None,
    speed: float,
    api_version: str | None,
) -> None:
    """Print the connections, then the lanes; in a pipe each connection has one line."""
    columns = ("connection", "platform", "status", "due", "running at", "data are", "remarks")
    cells = [_cells(row) for row in rows]
    if console.is_terminal:
        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
        for entry in cells:
            table.add_row(*entry)
        console.print(table)
    else:
        for line in (columns, *cells):
            # As it is: the console would turn tabs into spaces.
            print(*line, sep="\t", file=console.file)
    for lane in Lane:
        behind = f", the oldest for {duration(lag.get(lane, 0.0))}" if due.get(lane) else ""
        console.print(f"{lane}: {due.get(lane, 0)} due{behind}", soft_wrap=True)
    if api_version:
        console.print(f"API version: {api_version}", soft_wrap=True)
    if paused:
        console.print(f"Claiming is paused: {paused}", soft_wrap=True)
    if speed < 1:
        console.print(
            f"Rutter refused requests for their number: working at {speed:.0%}.", soft_wrap=True
        )


def _cells(row: ConnectionStatus) -> tuple[str, ...]:
    status = row.status.value if row.status is not Status.ACTIVE else row.rutter_status or "active"
    due = _NOTHING
    if row.lane is not None:
        since = "" if row.due_since is None else f" for {_since(row.due_since)}"
        due = f"{row.lane}{since}"
    running = _NOTHING
    if row.worker:
        began = "" if row.running_since is None else f" for {_since(row.running_since)}"
        running = f"{row.worker}{began}"
    age = "never read" if row.lag_seconds is None else f"{duration(row.lag_seconds)} old"
    return row.connection_id, row.platform, status, due, running, age, "; ".join(_remarks(row))


def _remarks(row: ConnectionStatus) -> list[str]:
    said = []
    if row.status is Status.PARKED:
        said.append(f"parked: {row.parked_reason or row.parked_by}")
    if row.lease_ended:
        said.append("its worker is gone")
    if row.failures:
        said.append(f"failed {counted(row.failures, 'time')} in a row")
    if row.last_fault or row.failures:
        what = "some streams fail" if row.last_fault == "stream" else None
        said.append(": ".join(part for part in (what, row.last_reason, row.last_message) if part))
    if row.marks:
        said.append(f"{counted(row.marks, 'stream')} marked by webhooks")
    return [entry for entry in said if entry]


def _since(then: datetime) -> str:
    return duration((datetime.now(UTC) - then).total_seconds())


def duration(seconds: float) -> str:
    """A length of time in its largest unit that fits."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"
