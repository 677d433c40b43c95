"""What a whole run asks of Rutter, over all streams and connections."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.asked import idle_run, most_of_a_list, to_rule_out
from support.in_process import sync
from support.shown import BY_DEFAULT, PATHS
from support.singer import Json

from tap_rutter.simulator import Simulator, bulk_world, standard_world


@pytest.fixture(scope="module")
def whole() -> Iterator[Simulator]:
    """A simulator that has been read whole, by eight workers."""
    with Simulator(standard_world(scale=0.05)) as simulator:
        sync(simulator)
        yield simulator


def test_every_request_is_a_get_that_names_the_version(whole: Simulator) -> None:
    assert {entry.method for entry in whole.requests} == {"GET"}
    assert {entry.headers.get("x-rutter-version") for entry in whole.requests} == {"2024-08-31"}
    assert {entry.headers["user-agent"].partition("/")[0] for entry in whole.requests} == {
        "tap-rutter"
    }


def test_nothing_that_rutter_would_refuse_is_asked(whole: Simulator) -> None:
    """An object that a platform does not have is a 404; anything else would be a mistake."""
    assert {entry.status for entry in whole.requests} == {200, 404}


def test_the_connections_are_listed_once_and_each_is_looked_up_once(whole: Simulator) -> None:
    counted = Counter(
        (entry.path, entry.connection_id)
        for entry in whole.requests
        if entry.path.startswith("/connections")
    )
    facts = ("/connections/status", "/connections/access_token")
    expected = {(path, identity) for path in facts for identity in whole.world.connections}
    assert set(counted) == {("/connections", None)} | expected
    assert set(counted.values()) == {1}


def test_connections_that_rutter_refuses_are_not_asked_for_data(whole: Simulator) -> None:
    refused = {
        connection.id
        for connection in whole.world.connections.values()
        if connection.status in {"disabled", "needs_reauth", "not_ready"}
    }
    assert len(refused) == 3
    asked = {entry.path for entry in whole.requests if entry.connection_id in refused}
    assert asked == {"/connections/status", "/connections/access_token"}


def test_what_rutter_names_as_unavailable_is_not_asked_for(whole: Simulator) -> None:
    without = {
        connection.id
        for connection in whole.world.connections.values()
        if "location" in (connection.unavailable_objects or ())
    }
    asked_for = {entry.connection_id for entry in whole.requests.to("/accounting/locations")}
    assert without
    assert asked_for.isdisjoint(without)


def test_every_stream_asks_its_endpoint(whole: Simulator) -> None:
    paths = {entry.path for entry in whole.requests}
    for stream in BY_DEFAULT:
        pattern = re.sub(r"{\w+}", "[^/]+", PATHS[stream])
        assert any(re.fullmatch(pattern, path) for path in paths), stream


# ---- as docs/requests.md counts them

PAGE = Path(__file__).resolve().parents[2] / "docs" / "requests.md"


def counted_on_the_page() -> dict[str, int]:
    """The table of an idle run: what is asked for, and how often in the standard world."""
    rows = re.findall(r"^\| ([a-z ]+) \| .+ \| (\d+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {what: int(number) for what, number in rows}


@pytest.mark.longer
def test_an_idle_run_asks_what_the_documentation_counts() -> None:
    with Simulator(standard_world()) as simulator:
        state = sync(simulator).state
        refused = sum(entry.status == 404 for entry in simulator.requests)
        assert refused == to_rule_out(simulator.world)
        simulator.requests.clear()
        sync(simulator, state=state)
        expected = idle_run(simulator.world)
        assert expected == counted_on_the_page()
        assert len(simulator.requests) == sum(expected.values())
        assert {entry.status for entry in simulator.requests} == {200}


def test_the_runs_of_the_standard_world_ask_what_the_documentation_says() -> None:
    rows = re.findall(r"^\| ([a-z_`: 0-9]+) \| (\d+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    told = {what: int(number) for what, number in rows}
    with Simulator(standard_world()) as simulator:

        def requests(state: Json | None = None, **more: Any) -> tuple[int, Json]:
            simulator.requests.clear()
            ended = sync(simulator, state=state, **more).state
            return len(simulator.requests), ended

        first, state = requests()
        idle, state = requests(state)
        asked_all, _ = requests(state, recheck_unserved_hours=0)
        # The first run with the setting remembers what was read, and the next goes by it.
        _, state = requests(state, only_after_sync=True)
        after_sync, _ = requests(state, only_after_sync=True)
    assert told == {
        "first run": first,
        "idle run": idle,
        "the same with `recheck_unserved_hours: 0`": asked_all,
        "idle run with `only_after_sync`": after_sync,
    }


@pytest.mark.parametrize("connections", [1, 3])
def test_lists_below_a_page_cost_one_request_in_any_run(connections: int) -> None:
    lists = {
        "accounting_accounts": 0,
        "accounting_bills": 1,
        "accounting_invoices": 5,
        "accounting_vendors": 400,
    }
    tables = {PATHS[name]: rows for name, rows in lists.items()}
    world = bulk_world(0, connections, platform="NETSUITE", tables=tables)
    expected = 1 + connections * (2 + len(lists))
    with Simulator(world) as simulator:
        state = sync(simulator, *lists).state
        assert len(simulator.requests) == expected
        simulator.requests.clear()
        sync(simulator, *lists, state=state)
        assert len(simulator.requests) == expected


@pytest.mark.parametrize("burst", [0, 1_000])
@pytest.mark.longer
def test_a_long_updated_list_costs_what_the_documentation_says(burst: int) -> None:
    assert "1.5 \u00d7 pages + 24" in PAGE.read_text("utf-8")
    pages = 40
    world = bulk_world(pages * 500, platform="SHOPIFY", body_size=300, burst=burst)
    with Simulator(world) as simulator:
        sync(simulator, "commerce_orders", concurrency=8)
        asked = len(simulator.requests.to("/orders"))
    assert pages < asked <= most_of_a_list(pages)
    assert burst or asked <= pages * 1.25, "usually a tenth more"


def test_the_documentation_multiplies_rightly() -> None:
    """The example of a schedule follows from its own first line, and that from the formula."""
    rows = {
        cells[0]: cells[1:]
        for cells in (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in PAGE.read_text("utf-8").splitlines()
            if line.startswith("| requests a ")
        )
    }
    runs = (24, 4, 1)
    asked = [1 + 1_000 * (2 + 40)] * 3
    days = [each * times for each, times in zip(asked, runs, strict=True)]
    assert rows["requests a run"] == [f"{each:,}" for each in asked]
    assert rows["requests a day"] == [f"{each:,}" for each in days]
    assert rows["requests a second, on average"] == [f"{each / 86_400:.1f}" for each in days]
