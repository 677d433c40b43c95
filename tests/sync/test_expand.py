"""Platform data that Rutter refuses to give cost the platform data, and not the rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.in_process import Run, sync

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

CAMPAIGNS, DAILIES_PATH = "/ads/campaigns", "/ads/campaigns/dailies"
REFUSED = json.dumps(
    {
        "error_type": "INVALID_REQUEST",
        "error_code": "INVALID_PARAMETER",
        "error_message": "expand is not supported",
    }
)

# Stream, path, platform; and whether the description of the endpoint has the parameter.
REQUESTS: list[tuple[str, str, str, bool]] = [
    ("commerce_balance", "/balance", "STRIPE", False),
    ("commerce_store", "/store", "SHOPIFY", True),
    ("commerce_product_categories", "/products/categories", "SHOPIFY", False),
    ("commerce_customer_groups", "/customer_groups", "SHOPIFY", False),
    ("commerce_orders", "/orders", "SHOPIFY", False),
    ("commerce_metrics", "/commerce/metrics/*", "SHOPIFY", False),
    ("accounting_bills", "/accounting/bills", "QUICKBOOKS", True),
    ("accounting_company_info", "/accounting/company_info", "QUICKBOOKS", True),
    ("accounting_balance_sheets", "/accounting/balance_sheets", "QUICKBOOKS", True),
    ("accounting_custom_fields", "/accounting/*/custom_fields", "NETSUITE", False),
    ("ads_campaign_dailies", DAILIES_PATH, "FACEBOOK", True),
]


def connected(platform: str) -> tuple[World, Connection]:
    world = World(9, history_days=60)
    counts = {"/orders": 30, "/accounting/bills": 9, CAMPAIGNS: 3, DAILIES_PATH: 30}
    counts |= {"/customer_groups": 3}
    return world, world.add_connection(platform, counts=counts)


def read(simulator: Simulator, stream: str, **more: Any) -> Run:
    optional = [stream] if stream == "commerce_metrics" else []
    return sync(simulator, stream, optional_streams=optional, **more)


def without_data(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "platform_data"} for row in rows]


@pytest.mark.parametrize(("stream", "path", "platform", "declared"), REQUESTS)
def test_platform_data_that_are_refused_cost_no_row(
    stream: str, path: str, platform: str, declared: bool
) -> None:
    world, connection = connected(platform)
    world.switches.set("undeclared_expand", "refuse")
    with Simulator(world) as simulator:
        expected = read(simulator, stream)
        simulator.faults.add(
            "respond", path=path, params={"expand": "*"}, status=400, body=REFUSED, times=None
        )
        run = read(simulator, stream, expand_platform_data=True, page_size=20)
    assert run.code == 0
    assert run.report(stream, connection.id)["status"] == "complete"
    found, known = (
        sorted(map(repr, without_data(each.records[stream]))) for each in (run, expected)
    )
    assert set(found) == set(known)
    assert known
    # It was asked for in vain where it is to be had: that is worth a word, and one alone.
    warnings = [line for line in run.log.splitlines() if "refuses 'expand'" in line]
    assert len(warnings) == declared


def test_an_undeclared_parameter_is_dropped_from_a_single_object() -> None:
    # Just as the API does it: /balance takes no parameter but the token.
    world, connection = connected("STRIPE")
    with Simulator(world) as simulator:
        run = read(simulator, "commerce_balance", expand_platform_data=True)
        params = [entry.params for entry in simulator.requests.to("/balance")]
    assert run.code == 0
    assert len(run.records["commerce_balance"]) == 1
    assert run.report("commerce_balance", connection.id)["status"] == "complete"
    assert params == [{"expand": "platform_data"}, {}]


@pytest.mark.parametrize(("stream", "path", "platform", "declared"), REQUESTS)
def test_what_is_refused_for_another_reason_is_a_failure(
    stream: str, path: str, platform: str, declared: bool
) -> None:
    world, connection = connected(platform)
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=path, status=400, body=REFUSED, times=None)
        run = read(simulator, stream, expand_platform_data=True)
    assert run.code == 1
    row = run.report(stream, connection.id)
    assert (row["status"], row["reason"]) == ("failed", "refused")
    assert not declared or "refuses 'expand'" not in run.log


def test_platform_data_that_were_given_once_are_not_what_a_later_400_is_about() -> None:
    world, connection = connected("QUICKBOOKS")
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path="/accounting/bills",
            params={"cursor": "*", "expand": "*"},
            status=400,
            body=REFUSED,
            times=None,
        )
        run = read(simulator, "accounting_bills", expand_platform_data=True, page_size=2)
    assert run.report("accounting_bills", connection.id)["status"] == "failed"
    assert all("platform_data" in row for row in run.records["accounting_bills"])


def test_a_platform_that_refuses_both_sort_order_and_platform_data_is_read_without() -> None:
    world, connection = connected("QUICKBOOKS")
    world.switches.set("sort", "refuse")
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path="/accounting/bills",
            params={"expand": "*"},
            status=400,
            body=REFUSED,
            times=None,
        )
        run = read(simulator, "accounting_bills", expand_platform_data=True)
    assert run.code == 0
    assert len(run.ids("accounting_bills", connection.id)) == 9


@pytest.mark.parametrize("workers", [1, 8, 32])
def test_what_refunds_are_refused_costs_expenses_nothing(workers: int) -> None:
    """The two lists of expenses are read at the same time, and learn nothing of each other."""
    world = World(9, history_days=60)
    connection = world.add_connection("QUICKBOOKS", counts={"/accounting/expenses": 40})
    path = "/accounting/expenses"
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path=path,
            params={"expand": "*", "expense_type": "refund"},
            status=400,
            body=REFUSED,
            times=None,
        )
        simulator.faults.add("delay", path=path, params={"expense_type": "expense"}, seconds=0.3)
        run = read(
            simulator,
            "accounting_expenses",
            expand_platform_data=True,
            page_size=5,
            concurrency=workers,
        )
    assert run.code == 0
    rows = run.records["accounting_expenses"]
    assert len(run.ids("accounting_expenses", connection.id)) == 40
    with_data = {row["expense_type"] for row in rows if row.get("platform_data")}
    without = {row["expense_type"] for row in rows if not row.get("platform_data")}
    assert (with_data, without) == ({"expense"}, {"refund"})
