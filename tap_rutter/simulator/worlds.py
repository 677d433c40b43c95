"""Ready-made worlds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tap_rutter.simulator.connection import Connection
from tap_rutter.simulator.factory import children_count
from tap_rutter.simulator.platforms import serves
from tap_rutter.simulator.sync_configs import SyncConfig, entities_of
from tap_rutter.simulator.world import DEFAULT_START, DEFAULT_VERSION, World

# Rows per list; a list that is not here has a few rows.
_FEW = 14
_COUNTS = {
    "/orders": 620,
    "/transactions": 260,
    "/products": 60,
    "/customers": 90,
    "/customer_groups": 5,
    "/payouts": 30,
    "/subscriptions": 40,
    "/accounting/invoices": 540,
    "/accounting/bills": 130,
    "/accounting/expenses": 90,
    "/accounting/customers": 60,
    "/accounting/vendors": 50,
    "/accounting/accounts": 40,
    "/accounting/transactions": 120,
    "/accounting/journal_entries": 60,
    "/accounting/currencies": 4,
    "/accounting/subsidiaries": 3,
    "/accounting/payment_terms": 4,
    "/accounting/payment_methods": 4,
    "/banking/bank_accounts": 5,
    "/banking/bank_transactions": 320,
    "/ads/accounts": 2,
    "/ads/campaigns": 6,
    "/hris/organizations": 2,
    "/hris/employees": 45,
}
_ATTACHED_TO = ("bills", "expenses", "invoices", "journal_entries", "bank_deposits")
_UNPAGED = ("/supplier_enablement/card_activations", "/supplier_enablement/enrichments")

# Platform, status, share of the numbers above.
_STANDARD = (
    ("QUICKBOOKS", "active", 1.0),
    ("NETSUITE", "active", 0.5),
    ("SAGE_INTACCT", "active", 0.5),
    ("SHOPIFY", "active", 1.0),
    ("SHOPIFY", "active", 0.3),
    ("STRIPE", "unhealthy", 0.5),
    ("PLAID", "active", 1.0),
    ("GUSTO", "active", 1.0),
    ("FACEBOOK", "active", 1.0),
    ("XERO", "not_ready", 0.5),
    ("AMAZON", "disabled", 0.5),
    ("QUICKBOOKS", "needs_reauth", 0.5),
)


def standard_world(
    seed: int = 1,
    *,
    version: str = DEFAULT_VERSION,
    start: datetime = DEFAULT_START,
    immediate: bool = True,
    scale: float = 1.0,
    **options: Any,
) -> World:
    """A dozen connections on ten platforms, in every status, with thousands of rows.

    Every list of the API version has rows in some connection that can be read. Two connections of
    one platform can be read. `options` are those of `World`.
    """
    world = World(seed, version=version, start=start, immediate=immediate, **options)
    for number, (platform, status, share) in enumerate(_STANDARD):
        connection = world.add_connection(
            platform, status=status, name=f"{platform.title()} {number + 1}"
        )
        connection.counts = counts_for(world, connection, share * scale)
        connection.unavailable_objects = (None, [], ["location"])[number % 3]
        connection.expected_counts = platform == "QUICKBOOKS"
        config = SyncConfig(entities_of(world.document, platform))
        if number == 0:
            world.sync_configs[connection.id] = config
        elif platform == "NETSUITE":
            world.platform_sync_configs[platform] = config
    world.recipe = lambda: standard_world(
        seed, version=version, start=start, immediate=immediate, scale=scale, **options
    )
    return world


def counts_for(world: World, connection: Connection, share: float) -> dict[str, int]:
    """How many rows each list of a connection begins with, for lists that it serves."""
    paths = [endpoint.path for endpoint in world.document.lists()]
    paths += [f"/accounting/{name}/attachments" for name in (*_ATTACHED_TO, "bank_transfers")]
    paths += [path for path in _UNPAGED if path in world.document.endpoints]
    counts = {
        path: max(3, round(_COUNTS.get(path, _FEW) * share))
        for path in paths
        if path != "/events" and serves(connection.platform, path)
    }
    children = ["/ads/campaigns/dailies"]
    children += [f"/banking/bank_accounts/{name}" for name in ("balance", "details")]
    for path in children:
        if serves(connection.platform, path):
            counts[path] = children_count(path, counts)
    return counts
