"""``rutterctl check``: the status of the connections, before or between runs. It reads no data."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tap_rutter.api.client import Client
from tap_rutter.api.clock import Clock
from tap_rutter.api.throttle import Throttle
from tap_rutter.config import read_environment, read_files
from tap_rutter.connections.platforms import PLATFORMS
from tap_rutter.connections.selection import REFUSING, Connection, select_connections
from tap_rutter.connections.sync_status import SyncStatus, read_sync_status
from tap_rutter.errors import RequestFailed
from tap_rutter.redact import SECRETS
from tap_rutter.settings import Settings
from tap_rutter.settings_schema import VARIABLE_PREFIX
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.tap import TapRutter

HEADINGS = ("connection", "platform", "name", "status", "ready", "objects", "last sync", "remarks")
_UNKNOWN = "-"
_NAMED = 4  # how many objects a line names

_REMARKS = {
    "needs_reauth": "the merchant has to sign in again, in Rutter Link",
    "disabled": "disabled at Rutter: enable it there, or leave it out",
    "not_ready": "its first sync is not over: runs skip it, unless force_fetch is set",
    "unhealthy": "Rutter has trouble with its platform: rows may be late",
}


@dataclass(frozen=True)
class Standing:
    """A connection's line in the table."""

    connection: Connection
    sync_status: SyncStatus | None
    trouble: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether a run cannot read the connection, or its status is not known."""
        return self.sync_status is None or not self.sync_status.status

    def row(self, now: int, objects: Mapping[str, str]) -> tuple[str, ...]:
        """The cells of the line, all with a text.

        Args:
            now: Rutter's time.
            objects: The names that ``unavailable_objects`` may have, each with its stream.
        """
        connection, sync_status = self.connection, self.sync_status
        cells = (
            connection.id,
            connection.platform or _UNKNOWN,
            str(connection.row.get("name") or _UNKNOWN),
            connection.status or _UNKNOWN,
        )
        remarks = "; ".join(self._remarks(objects)) or _UNKNOWN
        if sync_status is None or not sync_status.status:
            return (*cells, _UNKNOWN, _UNKNOWN, _UNKNOWN, remarks)
        can = objects_of(connection.platform, objects)
        given = can - sync_status.unavailable
        return (
            *cells,
            {True: "yes", False: "no", None: _UNKNOWN}[sync_status.is_ready],
            f"{len(given)} of {len(can)}" if can else _UNKNOWN,
            lag(now, sync_status.sync_completed_ms),
            remarks,
        )

    def _remarks(self, objects: Mapping[str, str]) -> Iterator[str]:
        """Why the connection is not read, or which objects its platform cannot serve."""
        if self.trouble:
            yield self.trouble
        status = self.connection.status
        if self.sync_status is not None and not self.sync_status.status:
            yield "Rutter did not report its status: try again"
        if self.sync_status is not None and self.sync_status.is_ready is False:
            status = "not_ready"
        if status in _REMARKS:
            yield _REMARKS[status]
        can = objects_of(self.connection.platform, objects) or objects.keys()
        missing = sorted(can & self.sync_status.unavailable) if self.sync_status else []
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            yield f"cannot serve {', '.join(missing[:_NAMED])}{more}"


def objects_of(platform: str, objects: Mapping[str, str]) -> frozenset[str]:
    """The objects that such a platform may have; a ledger, for example, has no orders.

    Empty for an unknown platform, and for banks, since Rutter does not name their objects.
    """
    families = {
        stream.partition("_")[0]
        for stream, platforms in PLATFORMS.items()
        if platform.upper() in platforms
    }
    return frozenset(
        name for name, stream in objects.items() if stream.partition("_")[0] in families
    )


def lag(now: int, then: int | None) -> str:
    """How long ago a time was, as text in its largest unit: 3 d, 5 h, 20 min or 40 s."""
    if then is None:
        return "never"
    seconds = max(0, now - then) // 1000
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def read_standings(settings: Settings) -> tuple[list[Standing], int]:
    """All chosen connections with their sync status, and the time by Rutter's clock (Unix ms).

    Raises:
        TapError: when the connections cannot be listed.
    """
    SECRETS.add_basic(settings.client_id, settings.client_secret)
    clock, throttle = Clock(), Throttle(settings.concurrency)
    client = Client(settings, clock, throttle)

    def standing(connection: Connection) -> Standing:
        if connection.status in REFUSING:
            return Standing(connection, None)
        try:
            return Standing(connection, read_sync_status(client, connection.id))
        except RequestFailed as error:
            return Standing(connection, None, error.message)

    try:
        chosen = select_connections(client, settings)
        with ThreadPoolExecutor(settings.concurrency) as pool:
            standings = list(pool.map(standing, chosen.connections))
        not_found = [
            Standing(Connection(entry.name), None, entry.message) for entry in chosen.not_found
        ]
        return [*standings, *not_found], clock.now()
    finally:
        client.close()


def check(config: Mapping[str, Any], console: Console) -> int:
    """Print how the connections stand; returns 1 if any cannot be read, else 0.

    Raises:
        TapError: for bad settings, or when the connections cannot be listed.
    """
    settings = Settings.from_config(config, with_credentials=True, known_optional=OPTIONAL)
    standings, now = read_standings(settings)
    objects = {
        stream.rutter_object: name_of(stream)
        for stream in STREAMS
        if stream.rutter_object and not stream.is_optional
    }
    where = settings.api_url if config.get("api_url") else settings.environment
    count = "1 connection" if len(standings) == 1 else f"{len(standings):,} connections"
    rows = [entry.row(now, objects) for entry in standings]
    show(f"{count}, {where}", rows, console)
    return 1 if any(entry.is_lost for entry in standings) else 0


def show(title: str, rows: Sequence[tuple[str, ...]], console: Console) -> None:
    """Print the rows as a table if the terminal is wide enough, otherwise each on a few lines.

    In a pipe, as in CI, each row is one line, however long.
    """
    print_line = partial(console.print, markup=False, soft_wrap=True)
    print_line(title)
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
        for row in (HEADINGS, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print_line("  ".join(cells).rstrip())
        return
    table = Table()
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*map(_shown, row))
    unbounded = console.options.update(max_width=100_000)
    if console.measure(table, options=unbounded).maximum <= console.width:
        console.print(table)
        return
    for row in rows:
        for line in _block(row, console.width):
            print_line(line)


def _shown(cell: str) -> str:
    return f"[yellow]{escape(cell)}[/]" if cell in {"no", *_REMARKS} else escape(cell)


def _block(row: tuple[str, ...], width: int) -> Iterator[str]:
    """A row as several lines that fit the width."""
    identity, platform, name, status, ready, objects, synced, remarks = row
    yield ""
    yield f"{identity}  {platform}  {status}"
    sync_status = f"name: {name}; ready: {ready}; objects: {objects}; last sync: {synced}"
    for text in (sync_status, remarks):
        if text != _UNKNOWN:
            yield from textwrap.wrap(
                text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
            )


def read_settings(sources: Sequence[str], folder: Path) -> dict[str, Any]:
    """The settings in the given files, a later file winning; in variables for ``ENV`` or no file.

    Raises:
        ConfigError: for a file that cannot be read, or a variable that is not of its type.
    """
    config: dict[str, Any] = {}
    for source in sources or ("ENV",):
        if source != "ENV":
            config |= read_files([source])
            continue
        with _variables(folder):
            config |= read_environment(TapRutter.config_jsonschema)
    return config


@contextmanager
def _variables(folder: Path) -> Iterator[None]:
    """The environment and the folder's ``.env``, under all names that Meltano accepts.

    As in Meltano, a variable that is set wins over the file, and ``TAP_RUTTER_CLIENT_ID`` wins over
    ``RUTTER_CLIENT_ID``.
    """
    file = {name: text for name, text in dotenv_values(folder / ".env").items() if text}
    known = {**file, **os.environ}
    added = {name: text for name, text in known.items() if name.startswith(VARIABLE_PREFIX)}
    for name in ("CLIENT_ID", "CLIENT_SECRET"):
        if known.get(f"RUTTER_{name}") and not added.get(f"{VARIABLE_PREFIX}{name}"):
            added[f"{VARIABLE_PREFIX}{name}"] = known[f"RUTTER_{name}"]
    before = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
