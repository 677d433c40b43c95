"""The simulator as a client sees it: checks, pages, sort orders, filters, forms of answers."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import pytest
from support.http_client import Client, RawResponse, milliseconds, of

from tap_rutter.simulator import World, standard_world


@pytest.fixture
def world() -> World:
    return standard_world(seed=7, scale=0.4)


def code(reply: RawResponse) -> tuple[int, str]:
    body = reply.json
    assert set(body) == {"error_type", "error_code", "error_message", "error_metadata"}
    return reply.status, body["error_code"]


# Strictness


def test_credentials_version_and_token_are_required(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    wrong = {**client.headers, "Authorization": "Basic bm86bm8="}
    assert code(client.get("/connections", headers=wrong))[0] == 401
    assert code(client.get("/connections", headers={}))[0] == 401
    bare = {"Authorization": client.headers["Authorization"]}
    assert code(client.get("/connections", headers=bare)) == (400, "MISSING_VERSION")
    for other in ("1999-01-01", "2023-03-14"):
        headers = {**client.headers, "X-Rutter-Version": other}
        reply = client.get("/connections", headers=headers)
        assert code(reply) == (400, "INVALID_VERSION")
        assert other in reply.json["error_message"]
    assert code(client.get("/accounting/bills")) == (400, "MISSING_PARAMETER")
    reply = client.get("/accounting/bills", access_token="nobody's")
    assert code(reply) == (401, "INVALID_CREDENTIALS")
    assert client.get("/accounting/bills", qbo).status == 200


@pytest.mark.parametrize(
    "params",
    [
        {"colour": "red"},
        {"limit": "many"},
        {"limit": "0"},
        {"limit": "1.5"},
        {"limit": "501"},
        {"updated_at_min": "2024-01-01"},
        {"cursor": "not base64!"},
        {"cursor": base64.b64encode(b"nothing").decode()},
        {"expand": "everything"},
        {"force_fetch": "yes"},
        {"sort": "updated_at SIDEWAYS"},
        {"sort": "memo ASC"},
        {"filter": 'memo = "x"'},
        {"filter": "status >"},
        {"filter": 'status > "open"'},
    ],
)
def test_what_the_api_does_not_know_is_refused(
    client: Client, world: World, params: dict[str, Any]
) -> None:
    assert code(client.get("/accounting/bills", of(world, "QUICKBOOKS"), **params))[0] == 400


def test_unknown_paths_methods_and_ids(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    assert code(client.get("/accounting/bananas", qbo))[0] == 404
    assert code(client.get("/accounting/bills", qbo, method="POST"))[0] == 405
    assert code(client.get("/accounting/bills/none-such", qbo))[0] == 410
    # In this version that is a bill's id, not the attachments of all bills.
    assert code(client.get("/accounting/bills/attachments", qbo))[0] == 410
    assert code(client.get("/orders", qbo)) == (404, "ENDPOINT_NOT_SUPPORTED")
    assert code(client.get("/ads/campaigns/dailies", of(world, "FACEBOOK")))[0] == 400


# Pages and order


def test_every_row_comes_at_every_limit(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    ids = sorted(row["id"] for row in world.rows(qbo.id, "/accounting/invoices"))
    world.switches.set("cursor_seek", "exact")
    for limit in (1, 7, 50, 499, 500):
        for sort in ("last_synced_at ASC", "updated_at DESC"):
            rows = client.rows("/accounting/invoices", qbo, limit=limit, sort=sort)
            assert sorted(row["id"] for row in rows) == ids
    assert len(client.pages("/accounting/invoices", qbo)[0]) == 50


def test_rows_of_one_second_come_again_but_none_is_lost(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    ids = {row["id"] for row in world.rows(qbo.id, "/accounting/invoices")}
    rows = client.rows("/accounting/invoices", qbo, limit=10, sort="last_synced_at ASC")
    assert len(rows) > len(ids)
    assert {row["id"] for row in rows} == ids
    times = [row["last_synced_at"] for row in rows]
    # What comes again stays within its second.
    assert all(a[:19] <= b[:19] for a, b in pairwise(times))


def test_rows_come_newest_first_or_in_the_sort_order_that_is_asked_for(
    client: Client, world: World
) -> None:
    netsuite = of(world, "NETSUITE")
    world.switches.set("cursor_seek", "exact")

    def times(name: str, **params: str) -> list[str]:
        rows = client.rows("/accounting/bills", netsuite, limit=9, **params)
        return [row[name] for row in rows if row[name] is not None]

    newest_first = times("updated_at")
    assert newest_first == sorted(newest_first, reverse=True)
    assert times("updated_at", sort="updated_at") == sorted(newest_first)
    assert (found := times("created_at", sort="created_at DESC")) == sorted(found, reverse=True)
    numbers = times("document_number", sort="document_number ASC")
    assert numbers == sorted(numbers)
    sage = of(world, "SAGE_INTACCT")
    assert client.get("/accounting/bills", sage, sort="created_at ASC").status == 400
    assert client.get("/accounting/bills", sage, filter='status = "open"').status == 400
    shop = of(world, "SHOPIFY")
    assert client.get("/orders", shop, sort="updated_at ASC").status == 400
    moves = [row["updated_at"] for row in client.rows("/transactions", shop, sort="asc")]
    assert moves == sorted(moves)


def test_nulls_stand_at_one_end_and_bounds_hide_them(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    rows = client.rows("/customers", shop, limit=5)
    nulls = [row["updated_at"] is None for row in rows]
    assert any(nulls) and nulls == sorted(nulls)
    assert any(row["id"] is None for row in rows)
    world.switches.set("nulls", "first")
    first = [row["updated_at"] is None for row in client.rows("/customers", shop, limit=5)]
    assert first == sorted(first, reverse=True)
    assert not any(
        row["updated_at"] is None for row in client.rows("/customers", shop, updated_at_min=0)
    )


def test_bounds_are_inclusive(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    rows = world.rows(shop.id, "/orders")
    moment = sorted(row["updated_at"] for row in rows)[len(rows) // 2]
    exact = milliseconds(moment)
    assert {row["id"] for row in client.rows("/orders", shop, updated_at_min=exact)} == {
        row["id"] for row in rows if row["updated_at"] >= moment
    }
    assert {row["id"] for row in client.rows("/orders", shop, updated_at_max=exact)} == {
        row["id"] for row in rows if row["updated_at"] <= moment
    }
    both = client.rows("/orders", shop, updated_at_min=exact, updated_at_max=exact)
    assert {row["updated_at"] for row in both} == {moment}
    payouts = world.rows(shop.id, "/payouts")
    arrival = payouts[0]["arrival_at"]
    found = client.rows("/payouts", shop, arrival_at_min=milliseconds(arrival))
    assert {row["id"] for row in found} == {
        row["id"] for row in payouts if row["arrival_at"] >= arrival
    }


def test_a_filter_gives_the_rows_that_it_describes(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    bills = world.rows(qbo.id, "/accounting/bills")
    bill = next(b for b in bills if b["vendor_id"] and b["document_number"])
    text = f'vendor_id = "{bill["vendor_id"]}" AND (status = "{bill["status"]}" OR status = "paid")'
    found = client.rows("/accounting/bills", qbo, filter=text)
    assert {row["id"] for row in found} == {
        row["id"]
        for row in bills
        if row["vendor_id"] == bill["vendor_id"] and row["status"] in (bill["status"], "paid")
    }
    stamp = bill["last_synced_at"]
    later = client.rows("/accounting/bills", qbo, filter=f'last_synced_at > "{stamp}"')
    assert {row["id"] for row in later} == {b["id"] for b in bills if b["last_synced_at"] > stamp}
    number = bill["document_number"]
    exact = client.rows("/accounting/bills", qbo, document_number=number)
    assert {row["document_number"] for row in exact} == {number}


def test_refunds_are_left_out_unless_asked_for(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    shown = {row["expense_type"] for row in client.rows("/accounting/expenses", qbo)}
    refunds = client.rows("/accounting/expenses", qbo, expense_type="refund")
    assert shown == {"expense"}
    assert {row["expense_type"] for row in refunds} == {"refund"}
    assert len(world.rows(qbo.id, "/accounting/expenses")) == len(refunds) + len(
        client.rows("/accounting/expenses", qbo)
    )


def test_the_last_page_may_end_in_any_form_and_pages_may_be_empty(
    client: Client, world: World
) -> None:
    qbo, shop = of(world, "QUICKBOOKS"), of(world, "SHOPIFY")
    assert client.get("/products", shop, limit=500).json["next_cursor"] is None
    for form, expected in (("absent", {}), ("null", {"next_cursor": None})):
        world.switches.set("cursor_end", form)
        body = client.get("/accounting/classes", qbo).json
        assert {k: v for k, v in body.items() if k == "next_cursor"} == expected
    world.switches.set("cursor_end", "empty", path="/accounting/classes")
    assert client.get("/accounting/classes", qbo).json["next_cursor"] == ""
    world.switches.set("empty_pages", True)
    pages = client.pages("/accounting/invoices", qbo, limit=100)
    assert [bool(page) for page in pages] == [False, True] * (len(pages) // 2)
    ids = {row["id"] for page in pages for row in page}
    assert ids == {row["id"] for row in world.rows(qbo.id, "/accounting/invoices")}


# Shapes


def test_platform_data_only_when_asked(client: Client, world: World) -> None:
    qbo, shop = of(world, "QUICKBOOKS"), of(world, "SHOPIFY")
    assert all("platform_data" not in row for row in client.rows("/accounting/bills", qbo))
    asked = client.rows("/accounting/bills", qbo, expand="platform_data")
    assert all(isinstance(row["platform_data"], dict) for row in asked)
    assert "platform_data" in client.get("/orders", shop, expand="platform_data").json["orders"][0]
    world.switches.set("undeclared_expand", "refuse")
    assert client.get("/transactions", shop, expand="platform_data").status == 400


def test_a_connections_status_decides_what_it_answers(client: Client, world: World) -> None:
    def listed(**params: Any) -> set[str]:
        return {row["status"] for row in client.get("/connections", **params).json["connections"]}

    assert listed() == {"active", "unhealthy", "not_ready"}
    everything = {"active", "unhealthy", "not_ready", "disabled", "needs_reauth"}
    assert listed(status="any") == everything
    assert listed(status="disabled") == {"disabled"}
    world.switches.set("status_parameter", "refuse")
    assert client.get("/connections", status="any").status == 400
    waiting = of(world, "XERO")
    assert code(client.get("/accounting/bills", waiting)) == (400, "PRODUCT_NOT_READY")
    world.switches.set("not_ready_status", 409)
    assert code(client.get("/accounting/bills", waiting)) == (409, "PRODUCT_NOT_READY")
    assert client.get("/accounting/bills", waiting, force_fetch="true").json["bills"]
    disabled = of(world, "AMAZON")
    assert code(client.get("/orders", disabled)) == (400, "CONNECTION_DISABLED")
    stale = of(world, "QUICKBOOKS", "needs_reauth")
    assert code(client.get("/accounting/bills", stale)) == (400, "NEEDS_UPDATE")
    told = client.get("/connections/access_token", disabled).json["connection"]
    assert (told["id"], told["disabled"]) == (disabled.id, True)


def test_statements_hold_whole_months_and_may_come_as_a_job(client: Client, world: World) -> None:
    qbo = of(world, "QUICKBOOKS")
    dates: dict[str, Any] = {"start_date": "2025-01-15", "end_date": "2026-01-01"}
    body = client.get("/accounting/balance_sheets", qbo, **dates).json
    months = sorted(row["start_date"][:7] for row in body["balance_sheets"])
    assert months == [f"2025-{m:02d}" for m in range(1, 13)] + ["2026-01"]
    for shape in ("flat", "wrapped"):
        world.switches.set("async_response", True, path="/accounting/balance_sheets")
        world.switches.set("job_shape", shape)
        told = client.get("/accounting/balance_sheets", qbo, **dates).json["async_response"]
        seen = []
        for _ in range(3):
            job = client.get(f"/jobs/{told['id']}").json
            job = job["job"] if shape == "wrapped" else job
            seen.append(job["status"])
        assert seen == ["prequeued", "pending", "success"]
        assert job["response"] == {"http_status": 200, "body": body}


def test_children_and_single_objects_have_the_shapes_of_the_api(
    client: Client, world: World
) -> None:
    qbo, netsuite, bank = (of(world, p) for p in ("QUICKBOOKS", "NETSUITE", "PLAID"))
    attached = world.rows(qbo.id, "/accounting/bills/attachments")
    parent = attached[0]["attached_to_id"]
    body = client.get(f"/accounting/bills/{parent}/attachments", qbo).json
    assert [row["attached_to_id"] for row in body["attachments"]] == [parent] * len(
        body["attachments"]
    )
    assert body["attachments"] == world.rows(qbo.id, f"/accounting/bills/{parent}/attachments")
    account = world.rows(bank.id, "/banking/bank_accounts")[0]["id"]
    balance = client.get(f"/banking/bank_accounts/{account}/balance", bank).json
    assert balance["bank_account_balance"]["account_id"] == account
    fields = client.get("/accounting/bills/custom_fields", netsuite, platform_fields="true").json
    assert set(fields["custom_fields"]) == {"entity", "entity.line_items"}
    metric = client.get("/accounting/metrics/ebitda", qbo).json
    assert metric["ebitda"] and set(metric) == {"checkpoint", "ebitda", "connection"}
    stripe = of(world, "STRIPE")
    assert isinstance(client.get("/balance", stripe).json["balance"], dict)
    world.switches.set("balance", "array")
    assert isinstance(client.get("/balance", stripe).json["balance"], list)
    shop = of(world, "SHOPIFY")
    tree = client.get("/products/categories", shop).json["categories"]
    assert any(root["children"] for root in tree)
    assert client.get("/store", shop).json["store"] == world.rows(shop.id, "/store")[0]
    world.delete(shop.id, "/store", world.keys(shop.id, "/store")[0])
    assert client.get("/store", shop).json["store"] is None
    bill = world.rows(qbo.id, "/accounting/bills")[0]
    single = client.get(f"/accounting/bills/{bill['id']}", qbo).json
    assert single["bill"] == bill
    by_platform = f"/accounting/bills/{bill['platform_id']}"
    assert client.get(by_platform, qbo, id_type="platform").json["bill"] == bill
