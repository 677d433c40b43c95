"""The requests to Rutter: all of a first and a second run, for each replication."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from support.in_process import sync
from support.partitions import bookmark
from support.singer import Json, Messages

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.own_workers

Asked = list[tuple[str, dict[str, str]]]

HOUR = 3_600_000
DAY = 24 * HOUR

# Before the rows: the connections, and how each of them stands.
OPENING: Asked = [
    ("/connections", {"status": "any"}),
    ("/connections/status", {}),
    ("/connections/access_token", {}),
]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rutter(world: World) -> Iterator[Simulator]:
    with Simulator(world) as simulator:
        yield simulator


def asked(rutter: Simulator) -> Asked:
    """The requests since the last time, in order; what a cursor holds is Rutter's affair."""
    found = [
        (entry.path, {k: "…" if k == "cursor" else v for k, v in entry.params.items()})
        for entry in rutter.requests
    ]
    rutter.requests.clear()
    return found


def read(rutter: Simulator, *streams: str, state: Json | None = None, **more: Any) -> Messages:
    # One request at a time, so that their order says something.
    return sync(rutter, *streams, state=state, concurrency=1, **more)


def milliseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def now(world: World) -> int:
    return int(world.now.astimezone(UTC).timestamp() * 1000)


def hours_later(world: World, hours: float = 5) -> None:
    world.advance(hours * 3600)


# ---- synced


def test_a_synced_list_is_read_in_its_own_order_from_an_hour_before_the_bookmark(
    world: World, rutter: Simulator
) -> None:
    ledger = world.add_connection("QUICKBOOKS", counts={"/accounting/vendors": 5})
    first = read(rutter, "accounting_vendors")
    params = {"limit": "500", "sort": "last_synced_at ASC"}
    assert asked(rutter) == [*OPENING, ("/accounting/vendors", params)]

    newest = bookmark(first, "accounting_vendors")["replication_key_value"]
    assert newest == max(r["last_synced_at"] for r in world.rows(ledger.id, "/accounting/vendors"))
    hours_later(world)
    read(rutter, "accounting_vendors", state=first.state)
    since = {"last_synced_at_min": str(milliseconds(newest) - HOUR)}
    assert asked(rutter) == [*OPENING, ("/accounting/vendors", {**params, **since})]


def test_sort_order_and_bounds_are_sent_with_the_cursor(world: World, rutter: Simulator) -> None:
    world.add_connection("QUICKBOOKS", counts={"/accounting/vendors": 5})
    read(rutter, "accounting_vendors", page_size=2, start_date="2020-01-01")
    params = {
        "limit": "2",
        "sort": "last_synced_at ASC",
        "last_synced_at_min": "1577836800000",
    }
    first, *rest = asked(rutter)[len(OPENING) :]
    assert first == ("/accounting/vendors", params)
    assert len(rest) >= 2
    assert all(entry == ("/accounting/vendors", {**params, "cursor": "…"}) for entry in rest)


def test_a_list_that_refuses_the_sort_order_is_asked_again_without_it(
    world: World, rutter: Simulator
) -> None:
    world.add_connection("SAGE_INTACCT", counts={"/accounting/bank_feeds/accounts": 3})
    world.switches.set("sort", "refuse", path="/accounting/bank_feeds/accounts")
    messages = read(rutter, "accounting_bank_feed_accounts")
    path = "/accounting/bank_feeds/accounts"
    assert asked(rutter)[len(OPENING) :] == [
        (path, {"limit": "500", "sort": "last_synced_at ASC"}),
        (path, {"limit": "500"}),
    ]
    assert len(messages.records["accounting_bank_feed_accounts"]) == 3


def test_expenses_are_read_in_two_passes_each_from_its_bookmark(
    world: World, rutter: Simulator
) -> None:
    world.add_connection("QUICKBOOKS", counts={"/accounting/expenses": 12})
    first = read(rutter, "accounting_expenses")
    params = {"limit": "500", "sort": "last_synced_at ASC"}
    passes = [{**params, "expense_type": name} for name in ("expense", "refund")]
    assert asked(rutter) == [*OPENING, *(("/accounting/expenses", entry) for entry in passes)]

    marks = bookmark(first, "accounting_expenses")["passes"]
    assert set(marks) == {"expense", "refund"}
    hours_later(world)
    read(rutter, "accounting_expenses", state=first.state)
    assert asked(rutter)[len(OPENING) :] == [
        (
            "/accounting/expenses",
            {
                **entry,
                "last_synced_at_min": str(milliseconds(marks[entry["expense_type"]]) - HOUR),
            },
        )
        for entry in passes
    ]


def test_deletions_are_events_of_one_type_without_a_sort_order(
    world: World, rutter: Simulator
) -> None:
    world.add_connection("QUICKBOOKS", counts={"/accounting/bills": 3})
    first = read(rutter, "deleted_objects")
    params = {"limit": "500", "type": "object_deleted"}
    assert asked(rutter) == [*OPENING, ("/events", params)]
    newest = bookmark(first, "deleted_objects")["replication_key_value"]
    hours_later(world)
    read(rutter, "deleted_objects", state=first.state)
    since = {"last_synced_at_min": str(milliseconds(newest) - HOUR)}
    assert asked(rutter)[len(OPENING) :] == [("/events", {**params, **since})]


def test_days_of_campaigns_are_read_per_campaign(world: World, rutter: Simulator) -> None:
    counts = {"/ads/campaigns": 2, "/ads/campaigns/dailies": 40}
    ads = world.add_connection("FACEBOOK", counts=counts)
    first = read(rutter, "ads_campaign_dailies")
    parents = ("/ads/campaigns", {"limit": "500", "sort": "last_synced_at ASC"})
    params = {"limit": "500", "sort": "last_synced_at ASC"}
    one, two = (row["id"] for row in _oldest_first(world, ads, "/ads/campaigns"))
    listed = asked(rutter)
    assert listed[: len(OPENING) + 1] == [*OPENING, parents]
    children = listed[len(OPENING) + 1 :]
    assert [entry[1]["id"] for entry in children] == [one, two]
    assert {entry[0] for entry in children} == {"/ads/campaigns/dailies"}
    assert all(entry[1].keys() <= {*params, "id"} for entry in children)

    newest = bookmark(first, "ads_campaign_dailies")["replication_key_value"]
    hours_later(world)
    new = world.create(ads.id, "/ads/campaigns")
    read(rutter, "ads_campaign_dailies", state=first.state)
    bounds = {
        entry[1]["id"]: entry[1].get("last_synced_at_min")
        for entry in asked(rutter)
        if entry[0] == "/ads/campaigns/dailies"
    }
    # A campaign that was not read before is read from its start.
    since = str(milliseconds(newest) - HOUR)
    assert bounds == {one: since, two: since, new: None}


def _oldest_first(world: World, connection: Connection, path: str) -> list[Json]:
    return sorted(
        world.rows(connection.id, path), key=lambda row: (row["last_synced_at"], row["id"])
    )


# ---- updated


def test_a_small_updated_list_costs_one_request(world: World, rutter: Simulator) -> None:
    world.add_connection("SHOPIFY", counts={"/orders": 20})
    first = read(rutter, "commerce_orders")
    assert asked(rutter) == [*OPENING, ("/orders", {"limit": "500"})]

    newest = bookmark(first, "commerce_orders")["replication_key_value"]
    hours_later(world)
    read(rutter, "commerce_orders", state=first.state)
    since = str(milliseconds(newest) - DAY)
    assert asked(rutter) == [*OPENING, ("/orders", {"limit": "500", "updated_at_min": since})]


def test_a_large_updated_list_is_read_in_windows_without_a_gap(
    world: World, rutter: Simulator
) -> None:
    shop = world.add_connection("SHOPIFY", counts={"/orders": 60})
    messages = read(rutter, "commerce_orders", page_size=5, window_days=300)
    probe, *rest = asked(rutter)[len(OPENING) :]
    assert probe == ("/orders", {"limit": "5"})
    # Whether lower bounds are heeded is found out first, by a request for one row.
    check, *rest = rest
    assert check[1].keys() == {"limit", "updated_at_min"}
    assert check[1]["limit"] == "1"
    begun = [params for _, params in rest if "cursor" not in params]
    assert len(begun) > 2
    # Oldest first, each from where the one before it ends; open at both ends.
    assert begun[0].keys() == {"limit", "updated_at_max"}
    assert begun[-1].keys() == {"limit", "updated_at_min"}
    for before, after in pairwise(begun):
        assert before["updated_at_max"] == after["updated_at_min"]
    # Pages of a window have its bounds.
    windows = [tuple(sorted(params.items())) for params in begun]
    for _, params in rest:
        bounds = {name: value for name, value in params.items() if name != "cursor"}
        assert tuple(sorted(bounds.items())) in windows
    ids = {record["id"] for record in messages.records["commerce_orders"]}
    assert ids == {row["id"] for row in world.rows(shop.id, "/orders")}


def test_payouts_are_read_again_by_creation_and_by_arrival(world: World, rutter: Simulator) -> None:
    world.add_connection("STRIPE", counts={"/payouts": 20})
    first = read(rutter, "commerce_payouts")
    assert asked(rutter) == [*OPENING, ("/payouts", {"limit": "500"})]
    hours_later(world)
    read(rutter, "commerce_payouts", state=first.state, payout_days=200)
    listed = asked(rutter)[len(OPENING) :]
    assert [path for path, _ in listed] == ["/payouts", "/payouts"]
    # By arrival first: what the list itself shows of a payout later is newer.
    by_arrival, by_creation = (params for _, params in listed)
    assert by_creation.keys() == {"limit", "created_at_min"}
    assert by_arrival.keys() == {"limit", "arrival_at_min"}
    # Counted from what the first run can have known, and not from now: Rutter had last looked then.
    known_to = milliseconds(bookmark(first, "commerce_payouts")["known_to"])
    assert 0 <= now(world) - 5 * HOUR - known_to < HOUR
    for bound in (by_creation["created_at_min"], by_arrival["arrival_at_min"]):
        assert int(bound) == known_to - 200 * DAY


def test_customers_whose_time_may_be_null_are_not_bounded_at_first(
    world: World, rutter: Simulator
) -> None:
    shop = world.add_connection("SHOPIFY", counts={"/customers": 30})
    world.create(shop.id, "/customers", updated_at=None)
    messages = read(rutter, "commerce_customers", page_size=10)
    listed = asked(rutter)[len(OPENING) :]
    assert {frozenset(params) - {"cursor"} for _, params in listed} == {frozenset({"limit"})}
    assert len({r["id"] for r in messages.records["commerce_customers"]}) == 31


# ---- statements


def test_statements_are_asked_for_by_whole_months_a_year_a_call(
    world: World, rutter: Simulator
) -> None:
    world.add_connection("QUICKBOOKS")
    first = read(rutter, "accounting_balance_sheets", start_date="2024-11-20")
    calls = [params for _, params in asked(rutter)[len(OPENING) :]]
    assert [(call["start_date"][:10], call["end_date"][:10]) for call in calls] == [
        ("2024-11-01", "2025-10-31"),
        ("2025-11-01", "2026-03-31"),
    ]
    assert bookmark(first, "accounting_balance_sheets")["replication_key_value"] == (
        "2026-03-01T00:00:00.000Z"
    )
    hours_later(world)
    more: Json = {"start_date": "2024-11-20", "statement_months": 3}
    read(rutter, "accounting_balance_sheets", state=first.state, **more)
    (again,) = (params for _, params in asked(rutter)[len(OPENING) :])
    assert (again["start_date"][:10], again["end_date"][:10]) == ("2026-01-01", "2026-03-31")


# ---- snapshot


@pytest.mark.parametrize(
    ("stream", "platform", "path"),
    [
        ("accounting_company_info", "QUICKBOOKS", "/accounting/company_info"),
        ("commerce_store", "SHOPIFY", "/store"),
        ("commerce_balance", "STRIPE", "/balance"),
        ("commerce_product_categories", "SHOPIFY", "/products/categories"),
    ],
)
def test_a_snapshot_is_read_whole_at_each_run(
    world: World, rutter: Simulator, stream: str, platform: str, path: str
) -> None:
    world.add_connection(platform)
    first = read(rutter, stream)
    assert asked(rutter)[-1] == (path, {})
    assert stream not in first.state["bookmarks"]
    hours_later(world)
    read(rutter, stream, state=first.state)
    assert asked(rutter) == [*OPENING, (path, {})]


def test_custom_fields_are_asked_for_by_type_of_entity(world: World, rutter: Simulator) -> None:
    world.add_connection("NETSUITE")
    read(rutter, "accounting_custom_fields")
    types = ("bills", "expenses", "invoices", "invoice_payments", "journal_entries")
    listed = asked(rutter)
    assert listed[: len(OPENING)] == OPENING
    assert {path for path, _ in listed[len(OPENING) :]} == {
        f"/accounting/{name}/custom_fields" for name in types
    }
    assert all(params == {"platform_fields": "true"} for _, params in listed[len(OPENING) :])


def test_balances_of_bank_accounts_are_asked_for_one_by_one(
    world: World, rutter: Simulator
) -> None:
    counts = {"/banking/bank_accounts": 2, "/banking/bank_accounts/balance": 2}
    bank = world.add_connection("PLAID", counts=counts)
    messages = read(rutter, "banking_bank_account_balances")
    listed = asked(rutter)[len(OPENING) :]
    assert listed[0] == ("/banking/bank_accounts", {"limit": "500", "sort": "last_synced_at ASC"})
    accounts = [row["id"] for row in _oldest_first(world, bank, "/banking/bank_accounts")]
    assert listed[1:] == [(f"/banking/bank_accounts/{name}/balance", {}) for name in accounts]
    assert len(messages.records["banking_bank_account_balances"]) == 2


def test_attachments_are_asked_for_under_parents_that_changed(
    world: World, rutter: Simulator
) -> None:
    counts = {"/accounting/bills": 3, "/accounting/bills/attachments": 3}
    ledger = world.add_connection("QUICKBOOKS", counts=counts)
    first = read(rutter, "accounting_bill_attachments")
    listed = asked(rutter)[len(OPENING) :]
    assert listed[0] == ("/accounting/bills", {"limit": "500", "sort": "last_synced_at ASC"})
    bills = [row["id"] for row in _oldest_first(world, ledger, "/accounting/bills")]
    assert listed[1:] == [(f"/accounting/bills/{name}/attachments", {}) for name in bills]

    newest = bookmark(first, "accounting_bill_attachments")["replication_key_value"]
    hours_later(world)
    changed = world.create(ledger.id, "/accounting/bills")
    read(rutter, "accounting_bill_attachments", state=first.state)
    listed = asked(rutter)[len(OPENING) :]
    assert int(listed[0][1]["last_synced_at_min"]) == milliseconds(newest) - HOUR
    assert listed[-1] == (f"/accounting/bills/{changed}/attachments", {})


def test_the_connections_and_their_statuses_cost_no_request_of_their_own(
    world: World, rutter: Simulator
) -> None:
    world.add_connection("QUICKBOOKS")
    messages = read(rutter, "connections", "connection_statuses")
    assert sorted(asked(rutter)) == sorted(OPENING)
    assert len(messages.records["connections"]) == 1
    assert len(messages.records["connection_statuses"]) == 1
