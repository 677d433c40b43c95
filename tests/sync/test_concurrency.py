"""The same output at any number of workers, whatever comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.in_process import REPORT, sync
from support.partitions import GONE
from support.singer import Messages

from tap_rutter.simulator import Simulator, standard_world

pytestmark = pytest.mark.any_workers

STREAMS = (
    "accounting_bills",
    "accounting_expenses",
    "accounting_balance_sheets",
    "accounting_bill_attachments",
    "ads_campaign_dailies",
    "banking_bank_account_balances",
    "commerce_customers",
    "commerce_orders",
    "commerce_payouts",
    "connection_statuses",
    "deleted_objects",
    "hris_employees",
)


def spoken(messages: Messages) -> list[str]:
    """RECORD and SCHEMA lines in their order, without what bears times of the run."""
    lines: list[str] = []
    for line in messages.lines:
        if line["type"] in {"RECORD", "SCHEMA"} and line["stream"] != REPORT:
            line.pop("time_extracted", None)
            lines.append(json.dumps(line, default=str))
    return lines


def read(
    simulator: Simulator, workers: int, state: dict[str, Any] | None = None
) -> tuple[list[str], Any]:
    messages = sync(simulator, *STREAMS, state=state, concurrency=workers, page_size=50)
    return spoken(messages), messages.state


@pytest.mark.parametrize("trouble", [False, True])
def test_any_number_of_workers_speaks_the_same(trouble: bool) -> None:
    world = standard_world(seed=3, scale=0.5)
    world.switches.set("empty_pages", True)
    world.switches.set("sort", "ignore", path="/accounting/bills")
    world.switches.set("created_at_bounds", "ignore", path="/payouts")
    with Simulator(world) as simulator:
        if trouble:
            simulator.faults.add("respond", path="/orders", status=400, times=None)
            simulator.faults.add("no_list", path="/accounting/bills", times=None)
            simulator.faults.add("respond", path="/hris/*", status=410, body=GONE, times=None)
        alone, state = read(simulator, 1)
        assert len(alone) > 300
        for workers in (8, 32):
            lines, ended = read(simulator, workers)
            assert lines == alone
            assert ended["bookmarks"].keys() == state["bookmarks"].keys()
        assert read(simulator, 8, state)[0] == read(simulator, 1, state)[0]
