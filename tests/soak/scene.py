"""Small worlds in every shape: platforms, numbers of rows, and what is not known of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tap_rutter.simulator import Connection, World
from tap_rutter.simulator.platforms import entity_of
from tap_rutter.simulator.text import DAY

Json = dict[str, Any]

STREAMS: Mapping[str, str] = {
    "/accounting/invoices": "accounting_invoices",
    "/accounting/expenses": "accounting_expenses",
    "/accounting/bills": "accounting_bills",
    "/accounting/bank_feeds/transactions": "accounting_bank_feed_transactions",
    "/accounting/balance_sheets": "accounting_balance_sheets",
    "/orders": "commerce_orders",
    "/customers": "commerce_customers",
    "/payouts": "commerce_payouts",
    "/ads/campaigns": "ads_campaigns",
    "/ads/campaigns/dailies": "ads_campaign_dailies",
    "/events": "deleted_objects",
}
"""The lists that histories are about, with the streams that read them."""

UPDATED = frozenset({"/orders", "/customers", "/payouts"})
"""The lists on the platform's clock."""

STATEMENTS = "/accounting/balance_sheets"
"""The list that has a row for each month."""

_LISTS: Mapping[str, tuple[str, ...]] = {
    "QUICKBOOKS": ("/accounting/invoices", "/accounting/expenses", "/accounting/bills"),
    "XERO": ("/accounting/expenses", "/accounting/invoices"),
    "SAGE_INTACCT": ("/accounting/bank_feeds/transactions", "/accounting/bills"),
    "SHOPIFY": ("/orders", "/customers", "/payouts"),
    "AMAZON": ("/orders", "/payouts"),
    "STRIPE": ("/customers", "/payouts"),
    "FACEBOOK": ("/ads/campaigns", "/ads/campaigns/dailies"),
    "WAVE": (STATEMENTS,),
}
_LEDGERS = ("QUICKBOOKS", "XERO", "SAGE_INTACCT")
_SHOPS = ("SHOPIFY", "AMAZON", "STRIPE")
# Mostly of one family: a list that a platform does not serve costs a request and tells nothing.
_FAMILIES = (
    *(_LEDGERS, _LEDGERS, _SHOPS, _SHOPS, _SHOPS),
    ("FACEBOOK",),
    ("WAVE", "XERO", "AMAZON"),
    tuple(_LISTS),
)
_YEARS_OF_STATEMENTS = (0.1, 1, 2.5, 5, 8.5)


@dataclass
class Scene:
    """A world at its beginning, and how the tap is set to read it."""

    world: World
    lists: dict[str, tuple[str, ...]]
    """The lists of each connection that a history is about."""
    settings: Json
    notes: list[str] = field(default_factory=list)

    @property
    def streams(self) -> list[str]:
        """The streams to read, as the catalog would order them."""
        paths = {path for paths in self.lists.values() for path in paths}
        return sorted(STREAMS[path] for path in paths)


def make(rng: Random, seed: int) -> Scene:
    """A scene; the same for the same random numbers."""
    world = World(seed, history_days=rng.choice([8, 25]), lag=rng.choice([0, 2, 45, 240]))
    lists: dict[str, tuple[str, ...]] = {}
    notes = [f"lag {world.lag} ms"]
    most = 0
    family = rng.choice(_FAMILIES)
    for _ in range(rng.choice([1, 2, 2, 2, 3])):
        platform = rng.choice(family)
        paths = _LISTS[platform]
        if platform != "FACEBOOK":
            paths = tuple(sorted(rng.sample(paths, rng.randint(1, min(2, len(paths))))))
        counts = {path: _count(rng, path) for path in paths}
        most = max(most, *counts.values())
        connection = world.add_connection(platform, counts=counts)
        notes += _write_bursts(rng, world, connection, paths)
        if STATEMENTS in paths:
            notes += _write_books(rng, world, connection)
        lists[connection.id] = (*paths, "/events") if platform in _LEDGERS else paths
        notes.append(f"{connection.id} {platform} {counts}")
        if rng.random() < 0.15:
            connection.status = "not_ready"
            connection.initial_sync_done = False
        if rng.random() < 0.3:
            connection.historical_sync_completed = False
        if rng.random() < 0.4:
            connection.unready_entities.add(entity_of(rng.choice(paths)))
        if rng.random() < 0.2:
            connection.not_enabled.add(rng.choice(paths))
        told = (connection.status, connection.unready_entities, connection.not_enabled)
        notes.append(f"  {told}, history complete: {connection.historical_sync_completed}")
    settings = _settings(rng, most)
    # Numbers of its own: the rest of a history is the same with and without.
    if Random(f"after sync|{seed}").random() < 0.4:
        settings["only_after_sync"] = True
    notes += [f"{name} = {value}" for name, value in settings.items()]
    notes += _turn_switches(rng, world, sorted({p for paths in lists.values() for p in paths}))
    return Scene(world, lists, settings, notes)


def _write_books(rng: Random, world: World, connection: Connection) -> list[str]:
    """Months of statements, of many years at most, and maybe with years of rest among them."""
    days = int(rng.choice(_YEARS_OF_STATEMENTS) * 365)
    connection.history_start = world.clock.now - days * DAY
    rested = range(0)
    if days > 1_500 and rng.random() < 0.6:
        rested = range(rng.randint(6, 18), rng.randint(32, 48))
    keys = world.keys(connection.id, STATEMENTS)  # the newest month first
    for back in rested:
        world.delete(connection.id, STATEMENTS, keys[back], immediate=True)
    return [f"{connection.id} has {len(keys)} months of statements, without {rested}"]


def _write_bursts(
    rng: Random, world: World, connection: Connection, paths: tuple[str, ...]
) -> list[str]:
    """Rows that were imported together, some of them long ago."""
    notes: list[str] = []
    for path in paths:
        if path not in UPDATED or rng.random() >= 0.35:
            continue
        width = rng.choice([1, 60, 3_600, 86_400])
        for _ in range(rng.choice([1, 1, 2, 6])):
            age = rng.choice([3_600, 5 * 86_400, 200 * 86_400, 2_000 * 86_400]) * rng.random()
            count = rng.choice([1, 5, 25])
            for _ in range(count):
                late = 60 + age + rng.uniform(0, width)
                world.create(connection.id, path, late=late, immediate=True)
            notes.append(f"  {count} of {path} within {width} s, {age / 86_400:.1f} days ago")
    return notes


def _count(rng: Random, path: str) -> int:
    if path == "/ads/campaigns":
        return rng.choice([0, 1, 3, 5])
    return rng.choice([0, 1, 4, 15, 30, 45, rng.randint(40, 90)])


def _settings(rng: Random, most: int) -> Json:
    sizes = [2, 3, 5] if most < 20 else [7, 10, 20]
    settings: Json = {"page_size": rng.choice(sizes), "max_retry_seconds": 0}
    if rng.random() < 0.15:
        settings["start_date"] = "2014-01-01"  # before all that is in the world
    if rng.random() < 0.15:
        settings["force_fetch"] = True
    if rng.random() < 0.2:
        settings["window_days"] = rng.choice([3, 7])
    return settings


def _turn_switches(rng: Random, world: World, paths: list[str]) -> list[str]:
    notes: list[str] = []

    def turn(name: str, value: Any, path: str | None = None) -> None:
        world.switches.set(name, value, path=path)
        notes.append(f"switch {name} = {value!r} for {path or 'all'}")

    if rng.random() < 0.3:
        turn("cursor_end", rng.choice(["absent", "null", "empty"]))
    if rng.random() < 0.3:
        turn("cursor_seek", "exact")
    if rng.random() < 0.3:
        turn("nulls", "first")
    if rng.random() < 0.15:
        turn("empty_pages", True)
    if rng.random() < 0.2:
        turn("most_rows", rng.choice([2, 5, 10]))
    if rng.random() < 0.2:
        turn("event_data", rng.choice(["id", "null", "text"]))
    if rng.random() < 0.2:
        turn("connections_page_size", 1)
    for path in paths:
        if path in UPDATED:
            names = ("created_at", "arrival_at") if path == "/payouts" else ("updated_at",)
            for name in names:
                if rng.random() < 0.2:
                    turn(f"{name}_bounds", "ignore", path)
            continue
        if rng.random() < 0.4:
            turn("sort", rng.choice(["refuse", "ignore"]), path)
        if rng.random() < 0.15:
            turn("last_synced_at_bounds", "ignore", path)
    return notes
