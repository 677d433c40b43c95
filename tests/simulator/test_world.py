"""The simulated world: what changes, when it shows, and what goes wrong on purpose."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.http_client import Client, milliseconds, of

from tap_rutter.simulator import Request, Simulator, World, bulk_world, standard_world

VERSIONS = ("2023-02-07", "2023-03-14", "2024-04-30", "2024-08-31")
ORDERS, BILLS = "/orders", "/accounting/bills"


@pytest.fixture
def world() -> World:
    return standard_world(seed=3, scale=0.2)


def everything(world: World) -> dict[str, Any]:
    return {
        f"{connection.platform} {connection.id} {endpoint.path}": rows
        for connection in world.connections.values()
        for endpoint in world.document.lists()
        if (rows := world.rows(connection.id, endpoint.path))
    }


# What a world holds


@pytest.mark.parametrize("version", VERSIONS)
def test_every_list_of_every_version_holds_rows_somewhere(version: str) -> None:
    world = standard_world(seed=1, version=version, scale=0.02)
    readable = [c for c in world.connections.values() if c.status in ("active", "unhealthy")]
    filled = {
        endpoint.path
        for endpoint in world.document.lists()
        for connection in readable
        if world.rows(connection.id, endpoint.path)
    }
    assert filled == {endpoint.path for endpoint in world.document.lists()}
    assert len({c.platform for c in readable}) < len(readable)
    with Simulator(world) as simulator:
        client = Client(simulator)
        shop = of(world, "SHOPIFY")
        assert client.get(ORDERS, shop).json["orders"] == world.rows(shop.id, ORDERS)[:50]
        client.close()


def test_the_same_seed_makes_the_same_world() -> None:
    one, same, other = (everything(standard_world(seed, scale=0.05)) for seed in (1, 1, 2))
    assert one == same
    assert not set(one) & set(other)


def test_references_resolve_inside_their_connection(world: World) -> None:
    qbo, shop = of(world, "QUICKBOOKS"), of(world, "SHOPIFY")

    def ids(connection_id: str, path: str) -> set[Any]:
        return {row["id"] for row in world.rows(connection_id, path)} | {None}

    vendors, accounts = (ids(qbo.id, f"/accounting/{n}") for n in ("vendors", "accounts"))
    bills = world.rows(qbo.id, BILLS)
    assert {bill["vendor_id"] for bill in bills} <= vendors
    assert {line["account_id"] for bill in bills for line in bill["line_items"]} <= accounts
    paid = {link["id"] for bill in bills for link in bill["linked_payments"]}
    assert paid and paid <= ids(qbo.id, "/accounting/bill_payments")
    orders = world.rows(shop.id, ORDERS)
    bought = {line["product_id"] for order in orders for line in order["line_items"]}
    assert len(bought) > 2 and bought <= ids(shop.id, "/products")
    dailies = world.rows(of(world, "FACEBOOK").id, "/ads/campaigns/dailies")
    assert {row["campaign_id"] for row in dailies} <= ids(
        of(world, "FACEBOOK").id, "/ads/campaigns"
    )


def test_numbers_keep_their_digits(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    odd = [Decimal("0.1"), Decimal("1234567890.123456789"), Decimal("12.50"), 10]
    keys = [world.create(shop.id, ORDERS, total_price=value) for value in odd]
    body = client.get(ORDERS, shop, limit=500).body.decode()
    for value in odd:
        assert f'"total_price":{value}' in body
    shown = {row["id"]: row["total_price"] for row in world.rows(shop.id, ORDERS)}
    assert [shown[key] for key in keys] == odd


def test_a_bulk_world_is_computed_alike_every_time() -> None:
    world, same = (bulk_world(2_000, 2, seed=4, tables={"/products": 30}) for _ in range(2))
    first, second = world.connections.values()
    rows = world.rows(first.id, ORDERS)
    assert rows == same.rows(first.id, ORDERS)
    assert len({row["id"] for row in rows}) == len(rows) == 2_000
    assert rows[0]["id"] not in {row["id"] for row in world.rows(second.id, ORDERS)}
    assert 2_000 < sum(len(json.dumps(row, default=str)) for row in rows[:50]) / 50 < 4_500
    with Simulator(world) as simulator:
        client = Client(simulator)
        assert client.rows(ORDERS, first, limit=499) == rows
        low, high = milliseconds(rows[900]["updated_at"]), milliseconds(rows[100]["updated_at"])
        window = client.rows(ORDERS, first, limit=77, updated_at_min=low, updated_at_max=high)
        assert window == rows[100:901]
        client.close()
    with pytest.raises(ValueError, match="cannot be changed"):
        world.create(first.id, ORDERS)


# Changes


def test_every_change_shows_in_the_row_its_times_and_the_events(
    client: Client, world: World
) -> None:
    qbo = of(world, "QUICKBOOKS")
    world.advance(60)
    now = milliseconds(world.now.isoformat())
    key = world.create(qbo.id, BILLS, memo="new", colour={"not": ["in", "the", "schema"]})
    row = client.get(f"{BILLS}/{key}", qbo).json["bill"]
    assert (row["memo"], row["colour"]) == ("new", {"not": ["in", "the", "schema"]})
    assert milliseconds(row["updated_at"]) == now
    # The stamp is taken before the row can be read.
    assert milliseconds(row["last_synced_at"]) == now - 2_000
    world.advance(10)
    world.update(qbo.id, BILLS, key, memo="changed")
    world.advance(10)
    world.touch(qbo.id, BILLS, key)
    row = world.rows(qbo.id, BILLS)[0]
    assert (row["id"], row["memo"]) == (key, "changed")
    assert milliseconds(row["updated_at"]) == now + 10_000
    assert milliseconds(row["last_synced_at"]) == now + 18_000
    before = client.rows("/events", qbo, type="object_deleted")
    world.delete(qbo.id, BILLS, key)
    assert key not in world.keys(qbo.id, BILLS)
    events = client.rows("/events", qbo, type="object_deleted")
    assert events[1:] == before
    assert (events[0]["resource"], events[0]["data"]["id"]) == ("BILL", key)
    bills = client.rows("/events", qbo, type="object_deleted", resources="BILL,ACCOUNT")
    assert {event["resource"] for event in bills} == {"BILL", "ACCOUNT"}
    with pytest.raises(KeyError):
        world.update(qbo.id, BILLS, key)


def test_not_every_platform_reports_deletions(client: Client, world: World) -> None:
    sage, shop = of(world, "SAGE_INTACCT"), of(world, "SHOPIFY")
    world.delete(sage.id, BILLS, world.keys(sage.id, BILLS)[0])
    world.delete(shop.id, ORDERS, world.keys(shop.id, ORDERS)[0])
    for connection in (sage, shop):
        assert client.rows("/events", connection, type="object_deleted") == []


def test_raw_rows_are_served_as_they_are(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    text = '{"id":"odd","total_price":1.10,"nan":"\\u0000","updated_at":"0000-00-00"}'
    world.put_raw(shop.id, ORDERS, "odd", text)
    # What is not a time sorts as null, so it comes last.
    assert client.get(ORDERS, shop, limit=500).body.count(text.encode()) == 1
    assert world.rows(shop.id, ORDERS)[-1]["id"] == "odd"
    world.put_raw(shop.id, ORDERS, "odd", text, updated_at=world.now)
    assert world.rows(shop.id, ORDERS)[0]["id"] == "odd"


def test_changes_wait_for_the_next_sync(world: World) -> None:
    world.immediate = False
    qbo = of(world, "QUICKBOOKS")
    key = world.create(qbo.id, BILLS, memo="first")
    world.update(qbo.id, BILLS, key, memo="second")
    gone = world.keys(qbo.id, BILLS)[0]
    world.delete(qbo.id, BILLS, gone)
    assert key not in world.keys(qbo.id, BILLS)
    changed = milliseconds(world.now.isoformat())
    world.advance(7_200)
    keys = world.keys(qbo.id, BILLS)
    assert key in keys and gone not in keys
    row = next(r for r in world.rows(qbo.id, BILLS) if r["id"] == key)
    assert row["memo"] == "second"
    assert milliseconds(row["updated_at"]) == changed < milliseconds(row["last_synced_at"])
    assert qbo.last_sync_completed_at is not None
    # The first sync after the change brought it, not the latest.
    assert milliseconds(row["last_synced_at"]) < qbo.last_sync_completed_at - 2_000


def test_a_sync_shows_its_changes_one_after_another(world: World) -> None:
    world.immediate = False
    shop = of(world, "SHOPIFY")
    keys = {world.create(shop.id, ORDERS) for _ in range(60)}
    begins = shop.next_sync_at - shop.sync_duration
    world.advance((begins - milliseconds(world.now.isoformat())) / 1000)
    before = shop.last_sync_completed_at
    late, shown = "", []
    for _ in range(6):
        shown.append(len(keys & set(world.keys(shop.id, ORDERS))))
        assert shop.last_sync_completed_at == before
        world.advance(shop.sync_duration / 6 / 1000)
        late = late or world.create(shop.id, ORDERS)
    assert shown == sorted(shown)
    assert shown[0] == 0 < shown[1] < shown[-1] < 60
    assert keys <= set(world.keys(shop.id, ORDERS))
    assert shop.last_sync_completed_at != before
    assert late not in world.keys(shop.id, ORDERS)  # it came after the sync had begun


def test_a_paused_connection_catches_up_late(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    world.pause(shop.id)
    stood = shop.last_sync_completed_at
    key = world.create(shop.id, ORDERS)
    world.advance(5 * 86_400)
    told = client.get("/connections/status", shop).json["status"]
    assert shop.last_sync_completed_at == stood
    assert milliseconds(told["last_sync_completed_at"]) == stood
    assert key not in world.keys(shop.id, ORDERS)
    world.resume(shop.id)
    world.advance(120)
    row = next(r for r in world.rows(shop.id, ORDERS) if r["id"] == key)
    late = world.now - timedelta(days=5)
    assert milliseconds(row["updated_at"]) <= milliseconds(late.isoformat())
    assert shop.last_sync_completed_at is not None and stood is not None
    assert shop.last_sync_completed_at > stood
    back = world.create(shop.id, ORDERS, late=20 * 3_600)
    newest = next(r for r in world.rows(shop.id, ORDERS) if r["id"] == back)
    assert milliseconds(newest["updated_at"]) == milliseconds(
        (world.now - timedelta(hours=20)).isoformat()
    )


def test_time_may_follow_the_clock_on_the_wall(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.immediate = False
    shop = of(world, "SHOPIFY")
    key = world.create(shop.id, ORDERS)
    start, wall = world.now, 50.0
    monkeypatch.setattr("tap_rutter.simulator.clock.monotonic", lambda: wall)
    world.clock.follow_real_time()
    wall += 7_200.25
    assert world.now - start == timedelta(seconds=7_200.25)
    # The syncs that have fallen due meanwhile are done when somebody asks.
    assert key in {row["id"] for row in client.rows(ORDERS, shop)}


def test_a_connection_becomes_ready(client: Client, world: World) -> None:
    xero = of(world, "XERO")
    partly = len(client.rows(BILLS, xero, force_fetch="true"))
    assert not client.get("/connections/status", xero).json["status"]["is_ready"]
    world.make_ready(xero.id)
    assert len(client.rows(BILLS, xero)) > partly > 0
    assert client.get("/connections/status", xero).json["status"]["is_ready"]


def test_history_grows_backwards(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")

    def history() -> Any:
        return client.get("/connections/status", shop).json["status"]["historical_sync_status"]

    before, oldest = history(), world.rows(shop.id, ORDERS)[-1]["updated_at"]
    made = world.add_history_batch(shop.id, {ORDERS: 9}, complete=False)
    after = history()
    assert after["num_batches_completed"] == before["num_batches_completed"] + 1
    assert not after["historical_sync_completed"]
    assert after["total"]["order"]["synced_count"] == before["total"]["order"]["synced_count"] + 9
    ends = [told["total"]["order"]["oldest_entity_date"] for told in (after, before)]
    assert ends[0] < ends[1]
    rows = {row["id"]: row for row in world.rows(shop.id, ORDERS)}
    assert all(rows[key]["updated_at"] < oldest for key in made[ORDERS])


def test_rows_move_while_a_list_is_read(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    keys = world.keys(qbo.id, BILLS)
    moved = keys[10]

    def change(request: Request) -> None:
        # The row at which the cursor of page 2 points goes to the top of the list.
        if "cursor" in request.params and world.keys(qbo.id, BILLS)[0] != moved:
            world.advance(1)
            world.update(qbo.id, BILLS, moved, memo="moved")

    client.simulator.before_request = change
    seen = {row["id"] for row in client.rows(BILLS, qbo, limit=10)}
    assert seen == set(keys) - {moved}
    assert world.rows(qbo.id, BILLS)[0]["memo"] == "moved"
