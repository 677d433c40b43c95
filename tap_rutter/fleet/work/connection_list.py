"""Rutter's list of connections with their access tokens: in memory, and nowhere else."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from tap_rutter.api.client import Client
from tap_rutter.api.clock import Clock
from tap_rutter.api.throttle import Throttle
from tap_rutter.connections.selection import Selection, select_connections
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.model import Listed, Listing
from tap_rutter.redact import SECRETS
from tap_rutter.settings import Settings

_AGAIN_AFTER = 10.0
"""Seconds before the list is asked for again, whoever is missing from it."""
_OLD_AFTER = 300.0
"""Seconds after which it is asked for again in any case: tokens change."""


class ConnectionList:
    """What this worker knows of the connections; any thread may ask.

    A worker lists by itself what it runs, since tokens are kept in no ledger and sent in no
    message. Runs get the rows of their own connections, and do not list anything.
    """

    def __init__(self, config: FleetConfig, ledger: Ledger) -> None:
        """Check the tap's settings.

        Raises:
            ConfigError: for settings that the tap does not take.
        """
        self._settings = Settings.from_config(
            {**config.tap_config}, with_credentials=True, known_optional=_optional()
        )
        self._ledger = ledger
        self._guard = threading.Lock()
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._listed_at: float | None = None

    def rows(self, connection_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """The rows of these connections; of one that Rutter does not list there is none.

        Raises:
            TapError: when they have to be listed, and cannot be.
        """
        wanted = list(connection_ids)
        known = self._rows
        if not all(name in known for name in wanted):
            with self._guard:
                # Another slot may have listed meanwhile.
                if self._age() >= _AGAIN_AFTER and not all(name in self._rows for name in wanted):
                    self._list()
                known = self._rows
        # Nobody who knows what he needs waits for a list that is on its way.
        return {name: known[name] for name in wanted if name in known}

    def forget(self, connection_ids: Iterable[str]) -> None:
        """Rutter has refused their tokens: list again before they are run again."""
        with self._guard:
            gone = set(connection_ids)
            self._rows = {name: row for name, row in self._rows.items() if name not in gone}

    def renew(self) -> None:
        """List again if the list is old. Sweeps do so as well, but one worker's for all.

        Raises:
            TapError: when the connections cannot be listed.
        """
        with self._guard:
            if _OLD_AFTER <= self._age() < math.inf:
                self._list()

    def _age(self) -> float:
        return math.inf if self._listed_at is None else time.monotonic() - self._listed_at

    def refresh(self) -> Listing:
        """List now, and tell the ledger.

        Raises:
            TapError: when the connections cannot be listed.
        """
        with self._guard:
            selection = self._list()
        rows = [
            Listed(entry.id, entry.platform, entry.status, _name(entry.row))
            for entry in selection.connections
        ]
        # One that is listed and cannot be read, as without a token, is still there: that it is
        # unlisted would park it, and its run says what is the matter.
        rows += [
            Listed(entry.name, entry.platform, str(entry.row.get("status") or ""), _name(entry.row))
            for entry in selection.not_found
            if entry.row is not None
        ]
        return self._ledger.record_listing(rows, force_fetch=self._settings.force_fetch)

    def _list(self) -> Selection:
        settings = self._settings
        SECRETS.add_basic(settings.client_id, settings.client_secret)
        client = Client(settings, Clock(), Throttle(1))
        try:
            selection = select_connections(client, settings)
            self._rows = {
                entry.id: {**entry.row, "access_token": client.tokens[entry.id]}
                for entry in selection.connections
            }
            self._listed_at = time.monotonic()
        finally:
            client.close()
        return selection


def _name(row: Mapping[str, Any]) -> str | None:
    name = row.get("name")
    return name if isinstance(name, str) else None


def _optional() -> tuple[str, ...]:
    from tap_rutter.streams import OPTIONAL

    return tuple(OPTIONAL)
