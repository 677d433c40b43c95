"""A parent, or a name, that has nothing: Rutter's own 404 is about it alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.documents import BILL_ATTACHMENTS, BILLS, ledger
from support.in_process import Run, sync
from support.partitions import GONE, asked, bookmark
from support.singer import Json

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

PAGE = "<html><body><h1>404 Not Found</h1><hr>nginx</body></html>"
"""A gateway's answer, for a moment or for longer."""

ACCOUNTS, BALANCES = "/banking/bank_accounts", "banking_bank_account_balances"
DETAILS = "banking_bank_account_details"
CAMPAIGNS, DAILIES_PATH = "/ads/campaigns", "/ads/campaigns/dailies"
DAILIES = "ads_campaign_dailies"
METRICS, FIELDS = "accounting_metrics", "accounting_custom_fields"
OPTIONAL = {BILL_ATTACHMENTS, DETAILS, METRICS}

Make = Callable[[World], Connection]


def read(simulator: Simulator, *streams: str, **more: Any) -> Run:
    optional = [name for name in streams if name in OPTIONAL]
    return sync(simulator, *streams, **{"optional_streams": optional, **more})


def bank(world: World) -> Connection:
    counts = dict.fromkeys((ACCOUNTS, f"{ACCOUNTS}/balance", f"{ACCOUNTS}/details"), 4)
    return world.add_connection("PLAID", counts=counts)


def books(world: World) -> Connection:
    return world.add_connection("NETSUITE", counts={BILLS: 4, f"{BILLS}/attachments": 12})


def advertiser(world: World) -> Connection:
    return world.add_connection("FACEBOOK", counts={CAMPAIGNS: 4, DAILIES_PATH: 40})


def told(run: Run, stream: str, connection: Connection) -> tuple[str, str | None]:
    """How a pair ended, and why."""
    for row in run.reports:
        if row["connection_id"] != connection.id:
            continue
        if row["stream"] == stream or stream in (row["skipped"] or ()):
            return row["status"], row["reason"]
    raise AssertionError(f"no word of {stream}")


def oldest_first(world: World, connection: Connection, path: str) -> list[str]:
    """The ids of parents, in the order in which Rutter lists them for a child."""
    rows = world.rows(connection.id, path)
    return [row["id"] for row in sorted(rows, key=lambda row: (row["last_synced_at"], row["id"]))]


# Stream, its world, where its parents are, and how a request for one of them is known.
PARENTED: list[tuple[str, Make, str, Callable[[str], Json]]] = [
    (BALANCES, bank, ACCOUNTS, lambda key: {"path": f"{ACCOUNTS}/{key}/balance"}),
    (DETAILS, bank, ACCOUNTS, lambda key: {"path": f"{ACCOUNTS}/{key}/details"}),
    (BILL_ATTACHMENTS, books, BILLS, lambda key: {"path": f"{BILLS}/{key}/attachments"}),
    (DAILIES, advertiser, CAMPAIGNS, lambda key: {"path": DAILIES_PATH, "params": {"id": key}}),
]
PARENT_OF = {
    BALANCES: "bank_account_id",
    DETAILS: "bank_account_id",
    BILL_ATTACHMENTS: "parent_id",
    DAILIES: "campaign_id",
}
kinds = pytest.mark.parametrize(
    ("stream", "make", "path", "request_for"), PARENTED, ids=[row[0] for row in PARENTED]
)


@kinds
@pytest.mark.parametrize("code", [404, 410])
@pytest.mark.parametrize("absent", [1, 3])
def test_a_parent_that_has_nothing_speaks_for_itself_alone(
    stream: str,
    make: Make,
    path: str,
    request_for: Callable[[str], Json],
    code: int,
    absent: int,
) -> None:
    world = World(5)
    # Of three such connections, two would rule the platform out for the third.
    connections = [make(world) for _ in range(3)]
    having: dict[str, set[str]] = {}
    with Simulator(world) as simulator:
        for connection in connections:
            keys = oldest_first(world, connection, path)
            having[connection.id] = set(keys[absent:])
            for key in keys[:absent]:
                simulator.faults.add(
                    "respond", status=code, body=GONE, times=None, **request_for(key)
                )
        run = read(simulator, stream)
    assert run.code == 0
    for connection in connections:
        assert told(run, stream, connection) == ("complete", None)
        rows = [row for row in run.records[stream] if row["connection_id"] == connection.id]
        assert {row[PARENT_OF[stream]] for row in rows} == having[connection.id]


@pytest.mark.own_workers
@kinds
def test_a_list_that_no_parent_has_is_unsupported_and_rules_the_platform_out(
    stream: str, make: Make, path: str, request_for: Callable[[str], Json]
) -> None:
    world = World(5)
    connections = sorted((make(world) for _ in range(6)), key=lambda entry: entry.id)
    parents = len(world.keys(connections[0].id, path))
    with Simulator(world) as simulator:
        any_parent = request_for("*")
        simulator.faults.add("respond", status=404, body=GONE, times=None, **any_parent)
        run = read(simulator, stream, concurrency=1)
        per_connection = [
            sum(entry.connection_id == connection.id for entry in simulator.requests) - 2
            for connection in connections
        ]
    assert run.code == 0
    assert {told(run, stream, connection) for connection in connections} == {
        ("skipped", "unsupported")
    }
    # The parents' list, and each parent, of two connections.
    assert per_connection[:2] == [1 + parents] * 2


@kinds
@pytest.mark.parametrize("parents", [0, 1])
def test_none_or_one_parent_proves_nothing_of_the_platform(
    stream: str, make: Make, path: str, request_for: Callable[[str], Json], parents: int
) -> None:
    world = World(5)
    poor = [make(world) for _ in range(4)]
    for connection in poor:
        for key in oldest_first(world, connection, path)[parents:]:
            world.delete(connection.id, path, key)
    rich = make(world)
    with Simulator(world) as simulator:
        for connection in poor:
            for key in oldest_first(world, connection, path):
                simulator.faults.add(
                    "respond", status=404, body=GONE, times=None, **request_for(key)
                )
        run = read(simulator, stream)
    assert run.code == 0
    assert {told(run, stream, connection) for connection in [*poor, rich]} == {("complete", None)}
    assert {row["connection_id"] for row in run.records[stream]} == {rich.id}


def test_connections_without_parents_do_not_keep_an_unserved_list_alive() -> None:
    world = World(5)
    connections = sorted((bank(world) for _ in range(8)), key=lambda entry: entry.id)
    for key in oldest_first(world, connections[0], ACCOUNTS):
        world.delete(connections[0].id, ACCOUNTS, key)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=f"{ACCOUNTS}/*/balance", status=404, body=GONE, times=None
        )
        run = read(simulator, BALANCES)
    assert told(run, BALANCES, connections[0]) == ("complete", None)
    assert {told(run, BALANCES, entry) for entry in connections[1:]} == {("skipped", "unsupported")}


@pytest.mark.parametrize("place", [0, 3])
def test_what_a_parent_lacks_does_not_depend_on_the_number_of_workers(place: int) -> None:
    found = []
    for workers in (1, 8, 32):
        world = World(5)
        for make in (bank, books, advertiser):
            for _ in range(4):
                make(world)
        with Simulator(world) as simulator:
            for _, _, path, request_for in PARENTED:
                for connection in world.connections.values():
                    for key in oldest_first(world, connection, path)[: place or None]:
                        simulator.faults.add(
                            "respond", status=404, body=GONE, times=None, **request_for(key)
                        )
            streams = [row[0] for row in PARENTED]
            run = read(simulator, *streams, concurrency=workers)
        lines = [line for line in run.lines if line.get("stream") != "sync_report"]
        for line in lines:
            line.pop("time_extracted", None)
        reports = {
            (row["connection_id"], row["stream"]): (row["status"], row["reason"], row["skipped"])
            for row in run.reports
        }
        found.append(([line for line in lines if line["type"] != "STATE"], reports, run.code))
    assert found[0] == found[1] == found[2]
    assert found[0][2] == 0


# ---- with a bookmark


@pytest.mark.parametrize("changed", [1, 3])
def test_a_bookmark_does_not_pass_parents_that_all_lost_their_list(changed: int) -> None:
    world, connection = ledger(count=4, attachments=8)
    with Simulator(world) as simulator:
        before = read(simulator, BILL_ATTACHMENTS)
        world.advance(48 * 3600)
        keys = world.keys(connection.id, BILLS)
        for key in keys[:changed]:
            world.update(connection.id, BILLS, key, memo="changed")
        for key in keys[changed:]:
            world.delete(connection.id, BILLS, key)
        simulator.faults.add(
            "respond", path=f"{BILLS}/*/attachments", status=404, body=GONE, times=None
        )
        after = read(simulator, BILL_ATTACHMENTS, state=before.state)
    moved = bookmark(after, BILL_ATTACHMENTS) != bookmark(before, BILL_ATTACHMENTS)
    if changed == 1:
        # One bill that was deleted meanwhile has nothing; the bookmark may pass it.
        assert (after.code, moved) == (0, True)
    else:
        # Several that had the list: Rutter contradicts itself, and they are asked for again.
        assert (after.code, moved) == (1, False)
        assert told(after, BILL_ATTACHMENTS, connection) == ("failed", "unsupported")


def test_one_parent_without_the_list_sets_no_first_bookmark() -> None:
    world, connection = ledger(count=1, attachments=2)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=f"{BILLS}/*/attachments", status=404, body=GONE, times=None
        )
        first = read(simulator, BILL_ATTACHMENTS)
        assert first.code == 0
        assert BILL_ATTACHMENTS not in first.state.get("bookmarks", {})
        for _ in range(2):
            world.create(connection.id, BILLS)
        second = read(simulator, BILL_ATTACHMENTS, state=first.state)
    # Now several agree: the platform has no such list, which is not a failure.
    assert second.code == 0
    assert "failed" not in {row["status"] for row in second.reports}


def test_a_list_of_parents_that_breaks_off_with_a_404_is_a_failure() -> None:
    world, connection = ledger(count=5, attachments=4)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=BILLS, params={"cursor": "*"}, status=404, body=GONE, times=None
        )
        run = read(simulator, BILL_ATTACHMENTS, page_size=2)
    assert run.code == 1
    assert told(run, BILL_ATTACHMENTS, connection)[0] == "failed"
    assert BILL_ATTACHMENTS not in run.state.get("bookmarks", {})


# ---- a gateway's words


@kinds
@pytest.mark.parametrize("code", [404, 410])
def test_a_gateways_404_for_one_parent_is_tried_again_and_then_fails_the_partition(
    stream: str, make: Make, path: str, request_for: Callable[[str], Json], code: int
) -> None:
    world = World(5)
    connection = make(world)
    with Simulator(world) as simulator:
        key = oldest_first(world, connection, path)[1]
        fault = simulator.faults.add("respond", status=code, body=PAGE, **request_for(key))
        passing = read(simulator, stream)
        assert passing.code == 0
        assert key in {row[PARENT_OF[stream]] for row in passing.records[stream]}
        fault.times, fault.applied = None, 0
        lasting = read(simulator, stream)
    assert lasting.code == 1
    assert told(lasting, stream, connection) == ("failed", "retries_exhausted")
    assert lasting.waits
    assert f"{code} that is not Rutter's own" in lasting.log
    assert stream not in lasting.state.get("bookmarks", {})


def test_the_bookmark_waits_for_a_parent_that_a_gateway_hid() -> None:
    world, connection = ledger(count=4, attachments=4)
    with Simulator(world) as simulator:
        before = read(simulator, BILL_ATTACHMENTS)
        world.advance(48 * 3600)
        key = world.keys(connection.id, BILLS)[0]
        world.update(connection.id, BILLS, key, memo="changed")
        new = world.create(connection.id, f"{BILLS}/{key}/attachments")
        fault = simulator.faults.add(
            "respond", path=f"{BILLS}/{key}/attachments", status=404, body=PAGE, times=None
        )
        failed = read(simulator, BILL_ATTACHMENTS, state=before.state)
        assert failed.code == 1
        fault.times = 0
        world.advance(7 * 24 * 3600)
        after = read(simulator, BILL_ATTACHMENTS, state=failed.state)
    assert after.code == 0
    assert new in {row["id"] for row in after.records[BILL_ATTACHMENTS]}


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("accounting_bills", BILLS),
        (METRICS, "/accounting/metrics/quick_ratio"),
        (FIELDS, "/accounting/expenses/custom_fields"),
        ("accounting_company_info", "/accounting/company_info"),
        ("accounting_balance_sheets", "/accounting/balance_sheets"),
        (BILL_ATTACHMENTS, BILLS),
    ],
)
def test_a_gateways_404_for_a_list_or_a_name_fails_the_partition(stream: str, path: str) -> None:
    world = World(5)
    connection = books(world)
    with Simulator(world) as simulator:
        fault = simulator.faults.add("respond", path=path, status=404, body=PAGE)
        passing = read(simulator, stream)
        assert (passing.code, told(passing, stream, connection)) == (0, ("complete", None))
        fault.times, fault.applied = None, 0
        lasting = read(simulator, stream)
    assert lasting.code == 1
    assert told(lasting, stream, connection) == ("failed", "retries_exhausted")


@pytest.mark.parametrize("body", [PAGE, '{"error_type": "INVALID_REQUEST"}'])
def test_a_404_for_the_listing_is_a_wrong_address_and_said_at_once(body: str) -> None:
    world = World(5)
    books(world)
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path="/connections", status=404, body=body, times=None)
        run = read(simulator, "accounting_bills")
        assert len(simulator.requests.to("/connections")) == 1
    assert (run.code, run.output) == (1, "")
    assert "check api_url" in run.log


# ---- names


@pytest.mark.parametrize(
    ("stream", "path", "parameter"),
    [
        (METRICS, "/accounting/metrics/*", "metric"),
        (FIELDS, "/accounting/*/custom_fields", "entity_type"),
    ],
)
def test_a_first_name_that_is_not_known_costs_the_others_nothing(
    stream: str, path: str, parameter: str
) -> None:
    world = World(5)
    connections = [books(world) for _ in range(3)]
    with Simulator(world) as simulator:
        all_of_them = read(simulator, stream)
        names = list(dict.fromkeys(row[parameter] for row in all_of_them.records[stream]))
        one = path.replace("*", names[0])
        simulator.faults.add("respond", path=one, status=404, body=GONE, times=None)
        run = read(simulator, stream)
    assert run.code == 0
    for connection in connections:
        assert told(run, stream, connection) == ("complete", None)
        before, after = (
            {
                row[parameter]
                for row in each.records[stream]
                if row["connection_id"] == connection.id
            }
            for each in (all_of_them, run)
        )
        assert after == before - {names[0]} != set()


@pytest.mark.own_workers
def test_names_that_no_connection_of_a_platform_has_are_asked_of_two() -> None:
    world = World(5)
    for _ in range(5):
        world.add_connection("XERO")
    with Simulator(world) as simulator:
        run = read(simulator, FIELDS, concurrency=1)
        asked_of = {entry.connection_id for entry in simulator.requests if "custom" in entry.path}
    assert run.code == 0
    assert {row["reason"] for row in run.reports} == {"unsupported"}
    assert 2 <= len(asked_of) <= 3


# ---- parents in other forms


def test_campaigns_whose_ids_are_numbers_are_asked_for() -> None:
    world = World(5)
    connection = advertiser(world)
    day = {"id": "d", "date": "2026-01-01", "last_synced_at": "2026-01-02T00:00:00.000Z"}
    stamp = "2026-01-02T00:00:00.000Z"
    campaigns = [{"id": number, "last_synced_at": stamp} for number in (7, 8, "8", 10**20)]
    with Simulator(world) as simulator:
        body = json.dumps({"campaigns": campaigns, "next_cursor": None})
        simulator.faults.add("respond", path=CAMPAIGNS, status=200, body=body, times=None)
        for campaign in campaigns:
            spelt = str(campaign["id"])
            row = {**day, "id": f"d{spelt}", "campaign_id": campaign["id"]}
            text = json.dumps({"campaign_dailies": [row], "next_cursor": None})
            simulator.faults.add(
                "respond",
                path=DAILIES_PATH,
                params={"id": spelt},
                status=200,
                body=text,
                times=None,
            )
        run = read(simulator, DAILIES)
    assert told(run, DAILIES, connection) == ("complete", None)
    assert [(row["id"], row["campaign_id"]) for row in run.records[DAILIES]] == [
        ("d7", "7"),
        ("d8", "8"),
        (f"d{10**20}", str(10**20)),
    ]
    assert all("_rutter_issues" not in row for row in run.records[DAILIES])
    assert len(bookmark(run, DAILIES)["parents"]) == 3 * 8


def test_documents_whose_ids_are_numbers_are_asked_for() -> None:
    world, _ = ledger(count=0, attachments=0)
    bills = [{"id": 7, "last_synced_at": "2026-01-02T00:00:00.000Z"}]
    with Simulator(world) as simulator:
        body = json.dumps({"bills": bills, "next_cursor": None})
        simulator.faults.add("respond", path=BILLS, status=200, body=body, times=None)
        rows = json.dumps({"attachments": [{"id": 1}, {"id": "2"}]})
        simulator.faults.add("respond", path=f"{BILLS}/7/attachments", status=200, body=rows)
        run = read(simulator, BILL_ATTACHMENTS)
    assert run.code == 0
    keys = [(row["parent_id"], row["id"]) for row in run.records[BILL_ATTACHMENTS]]
    assert keys == [("7", "1"), ("7", "2")]
    assert asked(simulator)[f"{BILLS}/7/attachments"] == 1


@pytest.mark.parametrize("identity", [None, "", {"a": 1}, True])
@pytest.mark.parametrize("stream", [DAILIES, BALANCES])
def test_a_parent_without_an_id_fails_the_partition_after_all_others(
    stream: str, identity: object
) -> None:
    world = World(5)
    make, path, key = {
        DAILIES: (advertiser, CAMPAIGNS, "campaigns"),
        BALANCES: (bank, ACCOUNTS, "bank_accounts"),
    }[stream]
    connection = make(world)
    known = [{"id": row["id"]} for row in world.rows(connection.id, path)]
    rows = [{"id": identity}, *known]
    with Simulator(world) as simulator:
        body = json.dumps({key: rows, "next_cursor": None})
        simulator.faults.add("respond", path=path, status=200, body=body, times=None)
        run = read(simulator, stream)
    assert run.code == 1
    assert told(run, stream, connection) == ("failed", "bad_response")
    assert {row[PARENT_OF[stream]] for row in run.records[stream]} == set(
        world.keys(connection.id, path)
    )
    assert stream not in run.state.get("bookmarks", {})
    assert "1 row of" in run.report(stream, connection.id)["error_message"]
