"""From a change in a simulated Rutter to a claim: simulator, receiver and a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.ledger import CONFIG, LedgerWorld
from support.webhooks import Receiver, receiving

from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.model import ALL_STREAMS, ClaimedMark, Lane
from tap_rutter.fleet.webhooks.receiver import PATH, Limits
from tap_rutter.simulator import Connection, Simulator, World


@pytest.fixture
def hook_world() -> World:
    made = World(seed=5)
    made.add_connection("SHOPIFY", counts={"/orders": 5, "/customers": 2})
    made.add_connection("QUICKBOOKS", counts={"/accounting/bills": 3})
    return made


@pytest.fixture
def shop(hook_world: World) -> Connection:
    return next(iter(hook_world.connections.values()))


@pytest.fixture
def hook(ledger_world: LedgerWorld, hook_world: World) -> Iterator[Receiver]:
    """A receiver that keeps in the real ledger, which knows both connections."""
    for connection in hook_world.connections.values():
        ledger_world.settled(connection.id, platform=connection.platform)
    with receiving(ledger_world.ledger, webhook_secrets=(hook_world.client_secret,)) as running:
        yield running


@pytest.fixture
def hook_simulator(hook: Receiver, hook_world: World) -> Iterator[Simulator]:
    with Simulator(hook_world, webhooks=[f"http://127.0.0.1:{hook.port}{PATH}"]) as running:
        yield running


def delivered(simulator: Simulator) -> dict[str, int]:
    assert simulator.webhooks.settled()
    counts: dict[str, int] = simulator.webhooks.as_json()["counts"]
    return counts


def test_a_change_is_due_as_soon_as_its_webhook_is_answered(
    hook_simulator: Simulator, hook_world: World, shop: Connection, ledger_world: LedgerWorld
) -> None:
    key = hook_world.keys(shop.id, "/orders")[0]
    hook_world.update(shop.id, "/orders", key, status="archived")
    assert delivered(hook_simulator) == {"delivered": 1}
    [row] = [row for row in hook_world.rows(shop.id, "/orders") if row["id"] == key]
    claim = ledger_world.claim()
    assert (claim.lane, claim.platform, claim.connection_ids) == (
        Lane.FRESH,
        "SHOPIFY",
        (shop.id,),
    )
    [mark] = claim.members[0].marks
    assert (mark.stream, mark.since) == (
        "commerce_orders",
        datetime.fromisoformat(row["updated_at"]),
    )


def test_every_row_that_is_told_of_is_at_or_after_since(
    hook_simulator: Simulator, hook_world: World, ledger_world: LedgerWorld
) -> None:
    moments: dict[tuple[str, str], list[datetime]] = {}
    for connection in hook_world.connections.values():
        path, stream, column = (
            ("/orders", "commerce_orders", "updated_at")
            if connection.platform == "SHOPIFY"
            else ("/accounting/bills", "accounting_bills", "last_synced_at")
        )
        for late in (0, 50_000, 100):
            hook_world.advance(10)
            key = hook_world.create(connection.id, path, late=late)
            [row] = [row for row in hook_world.rows(connection.id, path) if row["id"] == key]
            moment = datetime.fromisoformat(row[column])
            moments.setdefault((connection.id, stream), []).append(moment)
    assert delivered(hook_simulator)["delivered"] >= 6
    for (connection_id, stream), times in moments.items():
        kept = ledger_world.marks(connection_id)[stream, "since"]
        assert kept["since"] == min(times)


def test_a_deleted_order_is_kept_once_however_often_it_is_told(
    hook_world: World, hook: Receiver, shop: Connection, ledger_world: LedgerWorld
) -> None:
    with Simulator(hook_world) as simulator:
        simulator.webhooks.subscribe(f"http://127.0.0.1:{hook.port}{PATH}", doubled=1.0)
        row = hook_world.rows(shop.id, "/orders")[0]
        hook_world.delete(shop.id, "/orders", row["id"])
        assert delivered(simulator) == {"delivered": 2}
    [kept] = ledger_world.ledger.deletions_to_copy()
    assert (kept.connection_id, kept.stream, kept.object_id) == (
        shop.id,
        "commerce_orders",
        row["id"],
    )
    assert kept.state_at is not None
    age = kept.state_at - datetime.fromisoformat(row["updated_at"])
    assert timedelta() < age <= timedelta(milliseconds=1)


def test_history_that_grew_is_a_backfill_and_a_new_connection_is_listed(
    hook_simulator: Simulator, hook_world: World, shop: Connection, ledger_world: LedgerWorld
) -> None:
    assert ledger_world.ledger.take_sweep(3_600)
    hook_world.add_history_batch(shop.id, {"/orders": 2})
    newcomer = hook_world.add_connection("SHOPIFY")
    delivered(hook_simulator)
    assert list(ledger_world.marks(shop.id)) == [(ALL_STREAMS, "grown")]
    ledger_world.later(31)
    assert ledger_world.ledger.take_sweep(3_600)
    # What was told of it before anybody had listed it is not lost.
    assert (ALL_STREAMS, "plain") in ledger_world.marks(newcomer.id)


def test_while_the_ledger_is_away_webhooks_are_sent_again_until_it_is_back(
    hook_world: World, shop: Connection, ledger_world: LedgerWorld
) -> None:
    ledger_world.settled(shop.id, platform="SHOPIFY")
    away = [True]

    class Away(Ledger):
        def put_webhooks(self, *given: Any, **more: Any) -> None:
            if away:
                away.pop()
                ledger_world.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
                raise RuntimeError("the ledger is away")
            super().put_webhooks(*given, **more)

    with (
        Away(ledger_world.url) as ledger,
        receiving(
            ledger, Limits(commit_seconds=30), webhook_secrets=(hook_world.client_secret,)
        ) as hook,
        Simulator(hook_world) as simulator,
    ):
        simulator.webhooks.subscribe(f"http://127.0.0.1:{hook.port}{PATH}", hurry=100)
        hook_world.create(shop.id, "/orders")
        assert delivered(simulator) == {"delivered": 1}
        [delivery] = simulator.webhooks.as_json()["deliveries"]
        assert delivery["attempts"] == 2
    assert [mark.stream for mark in _claimed(ledger_world)] == ["commerce_orders"]


def test_no_token_reaches_the_ledger(
    hook_simulator: Simulator, hook_world: World, shop: Connection, ledger_world: LedgerWorld
) -> None:
    row = hook_world.rows(shop.id, "/customers")[0]
    hook_world.delete(shop.id, "/customers", row["id"])
    hook_world.set_status(shop.id, "needs_reauth")
    delivered(hook_simulator)
    tables = ledger_world.sql(
        "select table_name from information_schema.tables where table_schema = 'rutter_fleet'"
    )
    dump = ""
    for table in tables:
        name = table["table_name"]
        dump += str(ledger_world.sql(f"select t::text from rutter_fleet.{name} as t"))
    assert row["id"] in dump
    for secret in (shop.access_token, shop.link_url, hook_world.client_secret):
        assert secret not in dump


def _claimed(world: LedgerWorld) -> tuple[ClaimedMark, ...]:
    claim = world.ledger.claim(Lane.FRESH, "worker", config=CONFIG)
    assert claim is not None
    return claim.members[0].marks
