"""Children: complete without their parents' stream, read ahead, and with as few requests as can be.

A child is asked for parent by parent: the days of each campaign, the attachments of each document,
balance and details of each bank account.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from support.documents import ATTACHMENTS, BILL_ATTACHMENTS, BILLS, ledger
from support.in_process import REPORT, sync
from support.partitions import GONE, asked, bookmark, status
from support.singer import Json, Messages

from tap_rutter.simulator import Connection, LoggedRequest, Request, Simulator, World

pytestmark = pytest.mark.any_workers

DAILIES = "ads_campaign_dailies"
CAMPAIGNS = "/ads/campaigns"
DAILIES_PATH = "/ads/campaigns/dailies"

ACCOUNTS = "/banking/bank_accounts"
OF_ACCOUNTS = {
    "banking_bank_account_balances": "balance",
    "banking_bank_account_details": "details",
}

OF_THE_CONNECTION = 3
"""The listing of connections, and the two requests for a connection's facts."""


def advertiser(campaigns: int = 3) -> tuple[World, Connection]:
    """Campaigns with 20 days each."""
    world = World(5)
    counts = {CAMPAIGNS: campaigns, DAILIES_PATH: campaigns * 20}
    return world, world.add_connection("FACEBOOK", counts=counts)


def bank(accounts: int = 4) -> tuple[World, Connection]:
    """Bank accounts with a balance and details each."""
    world = World(5)
    counts = {ACCOUNTS: accounts, f"{ACCOUNTS}/balance": accounts, f"{ACCOUNTS}/details": accounts}
    return world, world.add_connection("PLAID", counts=counts)


class Meeting:
    """Holds requests back until two are there at once."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._lock = threading.Lock()
        self._inside = 0
        self.happened = threading.Event()

    def __call__(self, request: Request) -> None:
        if not request.path.endswith(self._pattern):
            return
        with self._lock:
            self._inside += 1
            if self._inside == 2:
                self.happened.set()
        self.happened.wait(10)
        with self._lock:
            self._inside -= 1


def most_in_flight(entries: list[LoggedRequest]) -> int:
    """How many of these requests were under way at once."""
    edges = [(entry.started, 1) for entry in entries] + [(entry.finished, -1) for entry in entries]
    flying = most = 0
    for _, step in sorted(edges):
        flying += step
        most = max(most, flying)
    return most


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


# ---- campaigns' days


def days(world: World, connection: Connection) -> list[Json]:
    """All days that Rutter has of a connection's campaigns, in a settled order."""
    rows = world.rows(connection.id, DAILIES_PATH)
    return sorted(({"connection_id": connection.id, **row} for row in rows), key=_by_id)


def _by_id(row: Json) -> str:
    return str(row["id"])


def test_days_are_complete_without_their_campaigns_being_selected() -> None:
    world, connection = advertiser()
    with Simulator(world) as simulator:
        messages = sync(simulator, DAILIES)
    assert sorted(messages.records[DAILIES], key=_by_id) == days(world, connection)
    assert messages.records.keys() == {DAILIES, REPORT}
    # One request for the campaigns, one for each; all with an order of Rutter's own clock or none.
    assert asked(simulator) == {CAMPAIGNS: 1, DAILIES_PATH: 3}
    assert len(simulator.requests) == OF_THE_CONNECTION + 4
    campaigns = set(world.keys(connection.id, CAMPAIGNS))
    assert {entry.params["id"] for entry in simulator.requests.to(DAILIES_PATH)} == campaigns


def test_pages_of_campaigns_and_of_days_are_followed() -> None:
    world, connection = advertiser()
    world.switches.set("cursor_seek", "exact")
    with Simulator(world) as simulator:
        messages = sync(simulator, DAILIES, page_size=2)
    assert sorted(messages.records[DAILIES], key=_by_id) == days(world, connection)
    assert asked(simulator) == {CAMPAIGNS: 2, DAILIES_PATH: 3 * 10}


def test_a_campaign_that_comes_on_two_pages_is_asked_for_once() -> None:
    world, connection = advertiser(campaigns=6)
    for key in world.keys(connection.id, CAMPAIGNS):
        # Rows of one second come again on the next page: the cursor knows whole seconds only.
        world.update(connection.id, CAMPAIGNS, key, last_synced_at="2026-03-01T10:00:00.000Z")
    with Simulator(world) as simulator:
        sync(simulator, DAILIES, page_size=4)
    ids = [entry.params["id"] for entry in simulator.requests.to(DAILIES_PATH)]
    assert Counter(ids).keys() == set(world.keys(connection.id, CAMPAIGNS))
    firsts = [e for e in simulator.requests.to(DAILIES_PATH) if "cursor" not in e.params]
    assert len(firsts) == 6


def test_later_runs_read_what_is_new_of_known_campaigns_and_new_ones_from_their_start() -> None:
    world, connection = advertiser()
    with Simulator(world) as simulator:
        before = sync(simulator, DAILIES)
        known = set(world.keys(connection.id, CAMPAIGNS))
        world.advance(6 * 3600)
        new = world.create(connection.id, CAMPAIGNS)
        old_day = world.create(
            connection.id,
            DAILIES_PATH,
            campaign_id=new,
            last_synced_at="2025-01-01T00:00:00.000Z",
        )
        new_day = world.create(connection.id, DAILIES_PATH, campaign_id=min(known))
        simulator.requests.clear()
        after = sync(simulator, DAILIES, state=before.state)
    asked_from = {
        entry.params["id"]: entry.params.get("last_synced_at_min")
        for entry in simulator.requests.to(DAILIES_PATH)
    }
    marked = milliseconds(bookmark(before, DAILIES)["replication_key_value"])
    an_hour_before = str(marked - 3_600_000)
    assert asked_from.pop(new) is None
    assert asked_from == dict.fromkeys(known, an_hour_before)
    assert {old_day, new_day} <= {row["id"] for row in after.records[DAILIES]}
    assert asked(simulator) == {CAMPAIGNS: 1, DAILIES_PATH: 4}
    # The list of campaigns is read whole: a new one may be older than the bookmark.
    (campaigns,) = simulator.requests.to(CAMPAIGNS)
    assert "last_synced_at_min" not in campaigns.params


def test_a_start_date_bounds_the_first_read_of_every_campaign() -> None:
    world, _ = advertiser()
    with Simulator(world) as simulator:
        sync(simulator, DAILIES, start_date="2026-01-01")
    bound = str(milliseconds("2026-01-01T00:00:00+00:00"))
    bounds = {e.params["last_synced_at_min"] for e in simulator.requests.to(DAILIES_PATH)}
    assert bounds == {bound}


@pytest.mark.parametrize("field", ["missing", "null"])
def test_a_day_says_its_campaign_even_where_rutter_does_not(field: str) -> None:
    world, connection = advertiser(campaigns=1)
    (campaign,) = world.keys(connection.id, CAMPAIGNS)
    row: Json = {"id": "d", "date": "2026-01-01", "last_synced_at": "2026-01-02T00:00:00.000Z"}
    if field == "null":
        row["campaign_id"] = None
    with Simulator(world) as simulator:
        body = json.dumps({"campaign_dailies": [row], "next_cursor": None})
        simulator.faults.add("respond", path=DAILIES_PATH, status=200, body=body)
        messages = sync(simulator, DAILIES)
    assert messages.records[DAILIES] == [
        {"connection_id": connection.id, **row, "campaign_id": campaign}
    ]


def test_a_campaign_that_is_deleted_meanwhile_costs_the_others_nothing() -> None:
    world, connection = advertiser()
    gone, *others = world.keys(connection.id, CAMPAIGNS)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=DAILIES_PATH, params={"id": gone}, status=410, body=GONE, times=None
        )
        messages = sync(simulator, DAILIES)
    assert status(messages, DAILIES) == ("complete", None)
    assert {row["campaign_id"] for row in messages.records[DAILIES]} == set(others)
    assert bookmark(messages, DAILIES)["replication_key_value"]
    # Should it come again, it is read from its start: it is not among those that were read.
    assert len(bookmark(messages, DAILIES)["parents"]) == 8 * len(others)


def test_a_campaign_that_fails_holds_the_bookmark_of_all() -> None:
    world, connection = advertiser()
    with Simulator(world) as simulator:
        before = sync(simulator, DAILIES)
        world.advance(6 * 3600)
        ill, well, *_ = world.keys(connection.id, CAMPAIGNS)
        late = world.create(connection.id, DAILIES_PATH, campaign_id=ill)
        world.create(connection.id, DAILIES_PATH, campaign_id=well)
        fault = simulator.faults.add(
            "respond", path=DAILIES_PATH, params={"id": ill}, status=500, times=None
        )
        failed = sync(simulator, DAILIES, state=before.state, max_retry_seconds=0)
        assert status(failed, DAILIES) == ("failed", "retries_exhausted")
        assert bookmark(failed, DAILIES) == bookmark(before, DAILIES)
        fault.times = 0
        after = sync(simulator, DAILIES, state=failed.state)
    assert late in {row["id"] for row in after.records[DAILIES]}


def test_a_platform_without_campaigns_costs_one_request() -> None:
    world, _ = bank()
    with Simulator(world) as simulator:
        messages = sync(simulator, DAILIES)
    assert status(messages, DAILIES) == ("skipped", "unsupported")
    assert asked(simulator) == {CAMPAIGNS: 1}


# ---- balances and details of bank accounts


@pytest.mark.parametrize("stream", OF_ACCOUNTS)
def test_each_bank_account_has_one_row_at_every_run(stream: str) -> None:
    world, connection = bank()
    what = OF_ACCOUNTS[stream]

    def shown() -> list[Json]:
        return [
            {"connection_id": connection.id, "bank_account_id": account, **row}
            for account in world.keys(connection.id, ACCOUNTS)
            for row in world.rows(connection.id, f"{ACCOUNTS}/{account}/{what}")
        ]

    under_each = {f"{ACCOUNTS}/{key}/{what}": 1 for key in world.keys(connection.id, ACCOUNTS)}
    with Simulator(world) as simulator:
        first = sync(simulator, stream)
        assert asked(simulator) == {ACCOUNTS: 1, **under_each}
        assert sorted(first.records[stream], key=_by_id) == sorted(shown(), key=_by_id)
        assert stream not in first.state["bookmarks"]
        changed = first.records[stream][0]
        world.update(
            connection.id,
            f"{ACCOUNTS}/{changed['bank_account_id']}/{what}",
            changed["id"],
            platform_id="other",
        )
        simulator.requests.clear()
        second = sync(simulator, stream, state=first.state)
    assert asked(simulator) == {ACCOUNTS: 1, **under_each}
    assert sorted(second.records[stream], key=_by_id) == sorted(shown(), key=_by_id)
    assert "other" in {row["platform_id"] for row in second.records[stream]}


def test_a_bank_account_that_is_closed_meanwhile_costs_the_others_nothing() -> None:
    world, connection = bank()
    keys = world.keys(connection.id, ACCOUNTS)
    with Simulator(world) as simulator:
        for gone in keys[:2]:
            simulator.faults.add(
                "respond", path=f"{ACCOUNTS}/{gone}/balance", status=410, body=GONE, times=None
            )
        messages = sync(simulator, "banking_bank_account_balances")
    rows = messages.records["banking_bank_account_balances"]
    assert {row["bank_account_id"] for row in rows} == set(keys[2:])
    assert status(messages, "banking_bank_account_balances") == ("complete", None)


def test_a_bank_without_balances_costs_one_request_for_each_account() -> None:
    world, _ = bank(accounts=9)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=f"{ACCOUNTS}/*/balance", status=404, body=GONE, times=None
        )
        messages = sync(simulator, "banking_bank_account_balances")
    assert status(messages, "banking_bank_account_balances") == ("skipped", "unsupported")
    assert sum(asked(simulator).values()) == 1 + 9


# ---- read ahead, in plan order


def everything() -> World:
    """Two connections of each kind, with children of every kind."""
    world = World(5)
    for _ in range(2):
        documents: dict[str, int] = {}
        for parents in ATTACHMENTS.values():
            documents |= {f"/accounting/{parents}": 9, f"/accounting/{parents}/attachments": 7}
        world.add_connection("QUICKBOOKS", counts=documents)
        counts = {CAMPAIGNS: 5, DAILIES_PATH: 100}
        world.add_connection("FACEBOOK", counts=counts)
        counts = dict.fromkeys((ACCOUNTS, f"{ACCOUNTS}/balance", f"{ACCOUNTS}/details"), 5)
        world.add_connection("PLAID", counts=counts)
    return world


def test_the_output_is_the_same_whatever_the_number_of_workers() -> None:
    world = everything()
    streams = [DAILIES, *ATTACHMENTS, *OF_ACCOUNTS]

    def told(messages: Messages) -> list[dict[str, Any]]:
        kept = ("type", "stream", "record", "schema")
        return [
            {name: line[name] for name in kept if name in line}
            for line in messages.lines
            if line["type"] != "STATE" and line["stream"] != REPORT
        ]

    with Simulator(world) as simulator:
        one = sync(simulator, *streams, concurrency=1)
        requests = asked(simulator)
        simulator.requests.clear()
        eight = sync(simulator, *streams, concurrency=8)
    assert told(one) == told(eight)
    assert {name for name, rows in one.records.items() if rows} == {*streams, REPORT}
    # Not a request more: what is read ahead is what is needed.
    assert asked(simulator) == requests


@pytest.mark.own_workers
@pytest.mark.parametrize(
    ("stream", "pattern", "make", "more"),
    [
        (DAILIES, DAILIES_PATH, advertiser, {}),
        (BILL_ATTACHMENTS, "/attachments", ledger, {}),
        ("banking_bank_account_balances", "/balance", bank, {}),
        # Without a start date each year decides whether the one before it is asked for.
        (
            "accounting_balance_sheets",
            "/accounting/balance_sheets",
            ledger,
            {"start_date": "2023-01-01"},
        ),
    ],
)
def test_children_are_read_several_at_once_and_with_one_worker_one_by_one(
    stream: str, pattern: str, make: Callable[[], tuple[World, Connection]], more: Json
) -> None:
    world, _ = make()
    with Simulator(world) as simulator:
        sync(simulator, stream, concurrency=1, **more)
        entries = [entry for entry in simulator.requests if entry.path.endswith(pattern)]
        assert most_in_flight(entries) == 1
        simulator.before_request = meeting = Meeting(pattern)
        sync(simulator, stream, concurrency=8, **more)
    assert meeting.happened.is_set()


def test_more_parents_than_may_be_read_ahead_lock_nothing_up() -> None:
    world, _ = ledger(count=200, attachments=6)
    with Simulator(world) as simulator:
        messages = sync(simulator, BILL_ATTACHMENTS, page_size=50)
    assert len(messages.records[BILL_ATTACHMENTS]) == 6
    assert len(asked(simulator)) == 1 + 200
    assert {count for path, count in asked(simulator).items() if path != BILLS} == {1}
