"""Orders with their transactions: what is asked for, and what comes."""

from __future__ import annotations

import pytest
from support.in_process import sync
from support.partitions import asked, status
from support.singer import Json

from tap_rutter.settings import Settings
from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.versions import SUPPORTED

pytestmark = pytest.mark.any_workers

ORDERS, PATH = "commerce_orders", "/orders"
TRANSACTIONS: Json = {"expand_order_transactions": True}
PARTS = {"transactions", "platform_data"}
BOTH: Json = {**TRANSACTIONS, "expand_platform_data": True}
TOGETHER = "platform_data,transactions"
REFUSED = (
    '{"error_type":"INVALID_REQUEST","error_code":"INVALID_PARAMETER",'
    '"error_message":"expand is not taken"}'
)


def shop(version: str = "2024-08-31") -> tuple[World, Connection]:
    world = World(41, version=version, history_days=30)
    return world, world.add_connection("SHOPIFY", counts={PATH: 40, "/products": 3})


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize(
    ("more", "expand", "columns"),
    [
        ({}, None, set()),
        (TRANSACTIONS, "transactions", {"transactions"}),
        (BOTH, "platform_data,transactions", {"transactions", "platform_data"}),
    ],
)
def test_orders_come_with_what_is_asked_for(
    version: str, more: Json, expand: str | None, columns: set[str]
) -> None:
    world, _ = shop(version)
    with Simulator(world) as simulator:
        messages = sync(simulator, ORDERS, api_version=version, **more)
        sent = {entry.params.get("expand") for entry in simulator.requests.to(PATH)}
    assert sent == {expand}
    rows = messages.records[ORDERS]
    assert len(rows) == 40
    # An order may lack its transactions.
    assert {name for row in rows for name in row if name in PARTS} == columns
    assert all("_rutter_extra" not in row for row in rows)
    assert columns <= set(messages.schemas[ORDERS]["schema"]["properties"])
    if columns:
        assert any(row.get("transactions") for row in rows)


def test_no_other_list_is_asked_for_transactions() -> None:
    world, _ = shop()
    with Simulator(world) as simulator:
        sync(simulator, ORDERS, "commerce_products", "commerce_payouts", **TRANSACTIONS)
        expanded = {entry.path for entry in simulator.requests if "expand" in entry.params}
    assert expanded == {PATH}


def test_transactions_that_are_refused_cost_the_parameter_and_not_the_orders() -> None:
    world, _ = shop()
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path=PATH,
            params={"expand": "*"},
            status=400,
            body=REFUSED,
            times=None,
        )
        messages = sync(simulator, ORDERS, **TRANSACTIONS)
        assert asked(simulator)[PATH] >= 2
    assert status(messages, ORDERS) == ("complete", None)
    assert len(messages.records[ORDERS]) == 40


@pytest.mark.own_workers
@pytest.mark.parametrize(
    ("refused", "tried", "kept", "lost"),
    [
        # As the description has it: the list of orders has no platform_data to give.
        ((), [TOGETHER, "transactions"], "transactions", "platform_data"),
        (
            (TOGETHER, "transactions"),
            [TOGETHER, "transactions", "platform_data"],
            "platform_data",
            "transactions",
        ),
        (
            ("*",),
            [TOGETHER, "transactions", "platform_data", None],
            None,
            "platform_data and transactions",
        ),
    ],
)
def test_what_is_refused_costs_itself_and_not_what_is_given(
    refused: tuple[str, ...], tried: list[str | None], kept: str | None, lost: str
) -> None:
    world, connection = shop()
    world.switches.set("undeclared_expand", "honour" if refused else "refuse")
    with Simulator(world) as simulator:
        for expand in refused:
            simulator.faults.add(
                "respond",
                path=PATH,
                params={"expand": expand},
                status=400,
                body=REFUSED,
                times=None,
            )
        run = sync(simulator, ORDERS, page_size=10, concurrency=1, **BOTH)
        sent = [entry.params.get("expand") for entry in simulator.requests.to(PATH)]
    assert run.code == 0
    assert run.report(ORDERS, connection.id)["status"] == "complete"
    assert len(run.ids(ORDERS, connection.id)) == 40
    # What is refused is asked for once, and what is given with every page.
    assert sent[: len(tried)] == tried
    assert len(sent) > len(tried)
    assert set(sent[len(tried) :]) == {kept}
    columns = {name for row in run.records[ORDERS] for name in row if name in PARTS}
    assert columns == ({kept} if kept else set())
    (warning,) = [line for line in run.log.splitlines() if "refuses 'expand'" in line]
    assert f"{ORDERS}: " in warning
    assert connection.id in warning
    assert warning.endswith(f" without {lost}.")


def test_the_settings_are_off_unless_asked_for() -> None:
    settings = Settings.from_config({}, with_credentials=False, known_optional=())
    assert not settings.expand_order_transactions
    assert not settings.attachment_urls
