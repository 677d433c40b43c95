"""Rutter's list of connections with their access tokens: in memory, and nowhere else."""

from __future__ import annotations

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
        with self._guard:
            is_old = self._listed_at is None or time.monotonic() - self._listed_at >= _AGAIN_AFTER
            if is_old and not all(name in self._rows for name in wanted):
                self._list()
            return {name: self._rows[name] for name in wanted if name in self._rows}

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
