"""``rutterctl check``: how the connections stand, before or between runs. No data are read."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tap_rutter.client import Client, Clock
from tap_rutter.connections import REFUSING, Connection, choose
from tap_rutter.errors import RequestFailed
from tap_rutter.facts import Facts, read_facts
from tap_rutter.pace import Pace
from tap_rutter.redact import SECRETS
from tap_rutter.settings import Settings
from tap_rutter.streams import OPTIONAL, STREAMS, name_of

_GOOD = {"active", ""}


@dataclass(frozen=True)
class Standing:
    """One connection as the table shows it."""

    connection: Connection
    facts: Facts | None
    trouble: str = ""

    def row(self, now: int, streams: Mapping[str, str]) -> tuple[str, ...]:
        """The cells of its line."""
        facts, status = self.facts, self.connection.status
        name = self.connection.row.get("name")
        cells = (self.connection.id, self.connection.platform, str(name or ""))
        shown = status if status in _GOOD else f"[yellow]{status}[/]"
        if facts is None:
            return (*cells, shown or "?", "", "", "", self.trouble)
        unavailable = sorted(facts.unavailable & set(streams))
        can = f"{len(streams) - len(unavailable)} of {len(streams)}"
        synced = facts.sync_completed_ms
        return (
            *cells,
            shown or "?",
            {True: "yes", False: "[yellow]no[/]", None: "?"}[facts.is_ready],
            can,
            lag(now, synced),
            ", ".join(unavailable[:4]) + (", …" if len(unavailable) > 4 else ""),
        )


def lag(now: int, then: int | None) -> str:
    """How long ago a time was, in its largest unit."""
    if then is None:
        return "never"
    seconds = max(0, now - then) // 1000
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def read_standings(settings: Settings) -> tuple[list[Standing], int]:
    """All chosen connections with their facts, and the time on Rutter's clock (Unix ms).

    Raises:
        TapError: when the connections cannot be listed.
    """
    SECRETS.add_basic(settings.client_id, settings.client_secret)
    clock, pace = Clock(), Pace(settings.concurrency)
    client = Client(settings, clock, pace)

    def standing(connection: Connection) -> Standing:
        if connection.status in REFUSING:
            return Standing(connection, None, "Rutter refuses it until the merchant acts")
        try:
            return Standing(connection, read_facts(client, connection.id))
        except RequestFailed as error:
            return Standing(connection, None, error.message)

    try:
        chosen = choose(client, settings)
        with ThreadPoolExecutor(settings.concurrency) as pool:
            standings = list(pool.map(standing, chosen.connections))
        lost = [Standing(Connection(entry.name), None, entry.message) for entry in chosen.lost]
        return [*standings, *lost], clock.now()
    finally:
        client.close()


def check(config: Mapping[str, Any], console: Console) -> int:
    """Print the table; returns 1 where a connection cannot be read, else 0.

    Raises:
        TapError: for bad settings, or when the connections cannot be listed.
    """
    settings = Settings.from_config(config, with_credentials=True, known_optional=OPTIONAL)
    standings, now = read_standings(settings)
    streams = {
        stream.rutter_object: name_of(stream)
        for stream in STREAMS
        if stream.rutter_object and not stream.is_optional
    }
    table = Table(title=f"{len(standings):,} connections, {settings.environment}")
    for heading in ("connection", "platform", "name", "status", "ready", "objects", "last sync"):
        table.add_column(heading, no_wrap=heading in {"connection", "platform", "objects"})
    table.add_column("cannot serve, or why not read")
    for entry in standings:
        table.add_row(*entry.row(now, streams))
    console.print(table)
    return 1 if any(entry.facts is None for entry in standings) else 0
