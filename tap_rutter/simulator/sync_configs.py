"""Sync configurations: which objects Rutter is set to sync, for a connection or a platform."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tap_rutter.simulator.documents import Document
from tap_rutter.simulator.errors import bad_request, gone
from tap_rutter.simulator.places import Place
from tap_rutter.simulator.platforms import entity_of, serves

CONNECTIONS = "/configs/sync/connections"
PLATFORMS = "/configs/sync/platforms/{platform}"

# The paths of other platforms are refused.
CONFIGURABLE = frozenset(
    {
        "DYNAMICS365",
        "FRESHBOOKS",
        "MONEYBIRD",
        "NETSUITE",
        "ODOO",
        "QUICKBOOKS",
        "QUICKBOOKS_DESKTOP",
        "SAGE_BUSINESS_CLOUD",
        "SAGE_INTACCT_V2",
        "STRIPE",
        "XERO",
        "ZOHOBOOKS",
    }
)


@dataclass(frozen=True)
class SyncConfig:
    """The configuration of one connection or one platform."""

    entities: tuple[str, ...]
    months: int = 24
    period_minutes: int = 60

    def body(self, spelling: str) -> dict[str, Any]:
        """The answer. The spelling of its two parts is not published."""
        entities = list(self.entities)
        parts = {
            "initialSync": {"batches": [{"entities": entities, "timeFrameInMonths": self.months}]},
            "incrementalSync": {"entities": entities, "syncPeriodInMinutes": self.period_minutes},
        }
        if spelling == "snake":
            return {
                "initial_sync": parts["initialSync"],
                "incremental_sync": parts["incrementalSync"],
            }
        return {"syncConfiguration": parts} if spelling == "wrapped" else parts


def entities_of(document: Document, platform: str, without: Iterable[str] = ()) -> tuple[str, ...]:
    """The objects of a platform's lists, as a configuration names them."""
    left_out = set(without)
    found = []
    for endpoint in document.lists():
        path = endpoint.path
        if path != "/events" and path not in left_out and serves(platform, path):
            name = entity_of(path)
            prefix = "accounting_" if path.startswith("/accounting/") else ""
            found.append((prefix + name.removeprefix("accounting_")).upper())
    return tuple(sorted(set(found)))


def config_at(
    place: Place,
    path: str,
    of_connections: dict[str, SyncConfig],
    of_platforms: dict[str, SyncConfig],
) -> SyncConfig:
    """The configuration that a path stands for.

    Raises:
        ApiError: if it does not exist, or the platform cannot be configured.
    """
    key = path.rsplit("/", 1)[-1]
    if place.storage == CONNECTIONS:
        found = of_connections.get(key)
    else:
        key = key.upper()
        if key not in CONFIGURABLE:
            raise bad_request("INVALID_PARAMETER", f"no sync configuration for platform {key}")
        found = of_platforms.get(key)
    if found is None:
        raise gone(404, key)
    return found


def is_config(place: Place) -> bool:
    return place.storage in {CONNECTIONS, PLATFORMS}
