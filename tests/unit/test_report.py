"""sync_report and the summary: they say how every connection and stream ended."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from support.in_process import Run, sync
from support.singer import Json, arguments, environment, run_tap, settings

import tap_rutter
from tap_rutter import __version__, times
from tap_rutter.demo.database import Database
from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.warehouse.database import run as run_script
from tap_rutter.warehouse.scripts import render

SCHEMA = "report"
BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
VENDORS, VENDORS_PATH = "accounting_vendors", "/accounting/vendors"
ORDERS, ORDERS_PATH = "commerce_orders", "/orders"
STREAMS = (BILLS, VENDORS, ORDERS, "connections", "connection_statuses", "deleted_objects")

NEEDS_UPDATE = (
    '{"error_type":"CONNECTION_ERROR","error_code":"NEEDS_UPDATE","error_message":"Sign in"}'
)


@dataclass
class Scene:
    """An organisation in which something of everything happens, and the run that read it."""

    world: World
    well: Connection
    failing: Connection
    lost: Connection
    """Refused in the middle of its first list."""
    bare: Connection
    """Its platform lacks an object."""
    shop: Connection
    never: dict[str, Connection]
    """Not asked at all, by reason."""
    run: Run
    requests: Counter[tuple[str, str | None]]
    """By path and connection id."""


def make_world() -> tuple[World, dict[str, Connection]]:
    world = World(31, history_days=30)
    world.switches.set("cursor_seek", "exact")
    counts = {BILLS_PATH: 12, VENDORS_PATH: 4}
    named = {
        name: world.add_connection("QUICKBOOKS", counts=counts)
        for name in ("well", "failing", "lost", "bare")
    }
    named["shop"] = world.add_connection("SHOPIFY", counts={ORDERS_PATH: 6})
    for status in ("not_ready", "disabled", "needs_reauth"):
        named[status] = world.add_connection("QUICKBOOKS", status=status, counts=counts)
    named["bare"].unavailable_objects = ["vendor"]
    named["failing"].expected_counts = True
    return world, named


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    world, named = make_world()
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=BILLS_PATH, connection_id=named["failing"].id, status=410, nth=2,
            body='{"error_type":"E","error_code":"GONE","error_message":"no more"}',
        )  # fmt: skip
        simulator.faults.add(
            "respond", path=BILLS_PATH, connection_id=named["lost"].id, status=400, nth=2,
            body=NEEDS_UPDATE,
        )  # fmt: skip
        simulator.faults.add(
            "respond", path=VENDORS_PATH, connection_id=named["well"].id, status=503, times=2
        )
        run = sync(simulator, *STREAMS, page_size=5, concurrency=1)
        requests = Counter((entry.path, entry.connection_id) for entry in simulator.requests)
    never = {status: named.pop(status) for status in ("not_ready", "disabled", "needs_reauth")}
    yield Scene(world=world, never=never, run=run, requests=requests, **named)


# ---- the rows


def test_every_partition_is_reported_exactly_once(scene: Scene) -> None:
    told: Counter[tuple[str, str]] = Counter()
    for row in scene.run.reports:
        if row["stream"] != "*":
            told[row["connection_id"], row["stream"]] += 1
        for stream in row["skipped"] or ():
            told[row["connection_id"], stream] += 1
    never = {connection.id for connection in scene.never.values()}
    expected = {("*", "connections")} | {
        (connection.id, stream)
        for connection in scene.world.connections.values()
        for stream in STREAMS
        if stream != "connections"
        # The status of a connection can be read whatever it is.
        and (connection.id not in never or stream == "connection_statuses")
    }
    assert told == Counter(dict.fromkeys(expected, 1))


def test_the_key_is_unique_and_one_run_has_one_id(scene: Scene) -> None:
    keys = [(row["run_id"], row["connection_id"], row["stream"]) for row in scene.run.reports]
    assert len(set(keys)) == len(keys)
    assert len({run for run, _, _ in keys}) == 1
    assert re.fullmatch(r"[0-9a-f-]{36}", keys[0][0])


def test_a_complete_stream_is_told_with_its_counts_and_times(scene: Scene) -> None:
    row = scene.run.report(BILLS, scene.well.id)
    assert (row["status"], row["reason"], row["error_code"], row["error_message"]) == (
        "complete",
        None,
        None,
        None,
    )
    assert (row["rows"], row["pages"], row["requests"], row["retries"]) == (12, 3, 3, 0)
    assert row["requests"] == scene.requests[BILLS_PATH, scene.well.id]
    assert (row["full_read"], row["window_start"], row["source_count"]) == (True, None, 12)
    started, finished, end = (
        times.parse(row[name]) for name in ("started_at", "finished_at", "window_end")
    )
    assert end is not None and started is not None and finished is not None
    assert end <= started <= finished
    completed = scene.well.last_sync_completed_at
    assert times.parse(row["source_synced_at"]) == completed
    assert (row["skipped"], row["api_version"], row["tap_version"]) == (
        None,
        "2024-08-31",
        __version__,
    )


def test_retries_are_counted(scene: Scene) -> None:
    row = scene.run.report(VENDORS, scene.well.id)
    assert (row["status"], row["requests"], row["retries"]) == ("complete", 3, 2)


def test_a_failed_stream_is_told_with_its_error_and_what_was_delivered(scene: Scene) -> None:
    row = scene.run.report(BILLS, scene.failing.id)
    assert (row["status"], row["reason"], row["error_code"]) == ("failed", "refused", "GONE")
    assert row["error_message"] == "/accounting/bills answered 410 GONE: no more"
    assert (row["rows"], row["pages"], row["requests"]) == (5, 1, 2)
    assert row["source_count"] == 12
    assert scene.run.report(VENDORS, scene.failing.id)["status"] == "complete"


def test_a_connection_that_is_lost_on_the_way_is_told_with_what_it_lacks(scene: Scene) -> None:
    row = scene.run.report("*", scene.lost.id)
    assert (row["status"], row["reason"]) == ("skipped", "needs_reauth")
    assert (row["error_code"], row["rows"]) == ("NEEDS_UPDATE", 0)
    # How it stands can be told all the same.
    assert set(row["skipped"]) == set(STREAMS) - {BILLS, "connections", "connection_statuses"}
    assert scene.run.report("connection_statuses", scene.lost.id)["status"] == "complete"
    begun = scene.run.report(BILLS, scene.lost.id)
    assert (begun["status"], begun["reason"], begun["rows"]) == ("skipped", "needs_reauth", 5)


def test_connections_that_were_not_asked(scene: Scene) -> None:
    for reason, connection in scene.never.items():
        row = scene.run.report("*", connection.id)
        assert (row["status"], row["reason"]) == ("skipped", reason)
        assert (row["rows"], row["requests"], row["skipped"]) == (0, 0, None)
        assert scene.run.report("connection_statuses", connection.id)["status"] == "complete"
        asked = {path for path, identity in scene.requests if identity == connection.id}
        assert asked <= {"/connections/status", "/connections/access_token"}


def test_what_a_platform_does_not_serve_is_one_row_a_connection(scene: Scene) -> None:
    shop = scene.run.report("*", scene.shop.id)
    assert (shop["status"], shop["reason"]) == ("skipped", "unsupported")
    # The list of deletions is empty for shops, whatever was deleted: the same as none.
    assert shop["skipped"] == [BILLS, VENDORS, "deleted_objects"]
    bare = scene.run.report("*", scene.bare.id)
    assert (bare["reason"], bare["skipped"]) == ("unavailable", [VENDORS, ORDERS])
    well = scene.run.report("*", scene.well.id)
    assert (well["reason"], well["skipped"]) == ("unsupported", [ORDERS])


def test_a_whole_catalog_makes_few_rows_for_a_shop() -> None:
    world = World(32, history_days=30)
    world.add_connection("SHOPIFY", counts={ORDERS_PATH: 3})
    with Simulator(world) as simulator:
        ended = run_tap(config=settings(simulator))
    reports = ended.messages.records["sync_report"]
    (row,) = (row for row in reports if row["stream"] == "*")
    assert ended.code == 0
    assert len(row["skipped"]) > 35
    assert len(reports) < 20


def test_the_listing_is_told_of_for_the_organisation(scene: Scene) -> None:
    row = scene.run.report("connections", "*")
    assert (row["status"], row["rows"]) == ("complete", len(scene.world.connections))


def test_rows_told_of_are_rows_delivered(scene: Scene) -> None:
    delivered = Counter(
        (record.get("connection_id", "*"), stream)
        for stream in STREAMS
        for record in scene.run.records[stream]
    )
    told = Counter({(r["connection_id"], r["stream"]): r["rows"] for r in scene.run.reports})
    assert +told == delivered


def test_a_read_from_a_start_date_or_a_bookmark_is_not_a_full_read() -> None:
    world, named = make_world()
    with Simulator(world) as simulator:
        first = sync(simulator, BILLS, start_date="2026-02-20")
        again = sync(simulator, BILLS, start_date="2026-02-20", state=first.state)
    row = first.report(BILLS, named["well"].id)
    assert (row["full_read"], row["window_start"]) == (False, "2026-02-20T00:00:00.000Z")
    row = again.report(BILLS, named["well"].id)
    assert row["full_read"] is False
    assert row["window_start"] > "2026-02-20T00:00:00.000Z"


# ---- the summary


def test_the_summary_says_what_happened(scene: Scene) -> None:
    said = [line.removeprefix("INFO ") for line in scene.run.log.splitlines()]
    complete = len({row["stream"] for row in scene.run.reports if row["status"] == "complete"})
    rows = sum(row["rows"] for row in scene.run.reports)
    (first,) = (line for line in said if line.startswith("Read "))
    pattern = (
        rf"Read {rows} rows with {sum(scene.requests.values())} requests \(2 tried again\)"
        rf" in [\d.]+ s: {complete} streams; 8 connections; 1 list failed;"
        r" (\d+) lists that their platforms do not have\."
    )
    match = re.fullmatch(pattern, first)
    assert match is not None, first
    folded = ("unsupported", "unavailable")
    assert int(match[1]) == sum(
        len(row["skipped"]) for row in scene.run.reports if row["reason"] in folded
    )
    needs = sorted([scene.lost.id, scene.never["needs_reauth"].id])
    (line,) = (line for line in said if line.startswith("Connections skipped, needs_reauth"))
    assert sorted(re.findall(r"[0-9a-f-]{36}", line)) == needs
    assert f"Connections skipped, disabled: 1 ({scene.never['disabled'].id})." in said
    assert f"Connections skipped, not_ready: 1 ({scene.never['not_ready'].id})." in said
    assert (
        f"Failed: {BILLS} of connection {scene.failing.id}:"
        " /accounting/bills answered 410 GONE: no more"
    ) in said
    assert (
        "Hint: connections need to sign in again: only the merchant can do that, in Rutter Link."
        in said
    )


def read_counts(counts: list[dict[str, int]], **more: Any) -> Run:
    """A run over ledgers with so many rows each."""
    world = World(33, history_days=30)
    for entry in counts:
        world.add_connection("QUICKBOOKS", counts=entry)
    with Simulator(world) as simulator:
        return sync(simulator, BILLS, VENDORS, **more)


def test_a_stream_that_is_empty_everywhere_gives_a_hint() -> None:
    run = read_counts([{BILLS_PATH: 2}, {BILLS_PATH: 1}])
    (hint,) = re.findall(r"Hint: (.*)", run.log)
    assert hint.startswith(f"empty for every connection that serves them: {VENDORS}.")
    assert "Data Sync Configuration" in hint


@pytest.mark.parametrize(
    "counts",
    [
        [{BILLS_PATH: 2}, {BILLS_PATH: 1, VENDORS_PATH: 1}],  # not everywhere
        [{BILLS_PATH: 2}],  # one connection tells little
        [{}, {}],  # nothing anywhere: nothing to compare with
    ],
)
def test_no_hint_where_there_is_no_reason_for_one(counts: list[dict[str, int]]) -> None:
    assert "Hint:" not in read_counts(counts).log


def test_many_failures_are_said_in_few_lines() -> None:
    world = World(34, history_days=30)
    for _ in range(20):
        world.add_connection("QUICKBOOKS", counts={BILLS_PATH: 1})
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=BILLS_PATH, status=400, times=None)
        run = sync(simulator, BILLS)
    assert run.code == 1
    assert run.log.count("Failed: ") == 12
    assert "… and 8 more: see sync_report." in run.log
    assert len(run.reports) == 20


def test_values_that_were_set_aside_are_counted() -> None:
    world = World(35, history_days=30)
    connection = world.add_connection("QUICKBOOKS")
    world.put_raw(connection.id, BILLS_PATH, "a", '{"id":"a","issue_date":"soon","new":1}')
    world.put_raw(connection.id, BILLS_PATH, "b", '{"memo":"no id"}')
    with Simulator(world) as simulator:
        run = sync(simulator, BILLS)
    row = run.report(BILLS, connection.id)
    assert (row["repaired_values"], row["unknown_fields"], row["derived_keys"]) == (1, 1, 1)
    assert "1 values did not fit their type: see _rutter_issues." in run.log


# ---- in the warehouse


@pytest.fixture(scope="module")
def views(scene: Scene, postgres: Database) -> dict[str, dict[tuple[str, str], Json]]:
    """The report's views, by connection and stream, after the run has landed."""
    options = {"sqlalchemy_url": postgres.sqlalchemy_url, "default_target_schema": SCHEMA}
    with arguments(options) as files:
        loaded = subprocess.run(
            ["target-postgres", *files],
            input=scene.run.output.encode(),
            capture_output=True,
            env=environment(),
            check=False,
        )
    assert loaded.returncode == 0, loaded.stderr.decode()
    run_script(render("report-views", SCHEMA), postgres.uri)
    found: dict[str, dict[tuple[str, str], Json]] = {}
    with psycopg.connect(postgres.uri, row_factory=dict_row) as connection:
        for name in ("sync_freshness", "sync_completeness"):
            rows = connection.execute(f"SELECT * FROM {SCHEMA}.{name}").fetchall()
            found[name] = {(row["connection_id"], row["stream"]): row for row in rows}
    return found


def test_the_freshness_view_tells_how_each_stream_stands(
    scene: Scene, views: dict[str, dict[tuple[str, str], Json]]
) -> None:
    fresh = views["sync_freshness"]
    row = fresh[scene.well.id, BILLS]
    assert (row["status"], row["error_message"]) == ("complete", None)
    assert row["last_complete_at"] is not None
    assert row["last_full_read_at"] is not None
    failed = fresh[scene.failing.id, BILLS]
    assert (failed["status"], failed["error_code"]) == ("failed", "GONE")
    assert failed["last_complete_at"] is None
    for reason, connection in scene.never.items():
        assert fresh[connection.id, "*"]["reason"] == reason


def test_the_completeness_view_sets_rows_against_rutters_counts(
    scene: Scene, views: dict[str, dict[tuple[str, str], Json]]
) -> None:
    complete = views["sync_completeness"]
    counted = ("rows_landed", "source_count", "missing")
    assert tuple(complete[scene.well.id, BILLS][c] for c in counted) == (12, 12, 0)
    # What failed on the way is missing, and Rutter's count says how much.
    assert tuple(complete[scene.failing.id, BILLS][c] for c in counted) == (5, 12, 7)
    assert complete[scene.failing.id, BILLS]["expected_count"] == 12
    assert tuple(complete[scene.shop.id, ORDERS][c] for c in counted) == (6, 6, 0)


# ---- in the documentation


def test_every_reason_and_status_is_explained() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    source = Path(tap_rutter.__file__).parent
    # The fleet has two reasons of its own, which no sync_report holds; its page tells of them.
    files = [file for file in source.glob("**/*.py") if "fleet" not in file.parts]
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    reasons = set(re.findall(r'reason="([a-z_]+)"', code))
    assert {"refused", "cursor_loop", "record_too_large"} < reasons
    assert reasons <= explained
    assert explained == {
        *("complete", "skipped", "failed", "interrupted"),
        *("unsupported", "unavailable", "not_ready", "needs_reauth", "disabled", "unauthorized"),
        *("retries_exhausted", "rate_limited", "refused", "bad_response", "cursor_loop"),
        *("record_too_large", "map_failed", "not_activated", "not_synced_since"),
    }


@pytest.mark.parametrize(
    "count", ["1e5000", "1e30000000", "-1", str(2**63), "1e400", "true", '"12"']
)
def test_a_count_that_no_database_could_hold_is_unknown(count: str) -> None:
    world = World(9, history_days=30)
    connection = world.add_connection("QUICKBOOKS", counts={BILLS_PATH: 3})
    with Simulator(world) as simulator:
        entity = f'{{"ready":true,"synced_count":{count}}}'
        history = f'{{"num_batches_completed":{count},"total":{{"bill":{entity}}}}}'
        body = f'{{"status":{{"is_ready":true,"historical_sync_status":{history}}}}}'
        simulator.faults.add(
            "respond", path="/connections/status", times=None, status=200, body=body
        )
        run = sync(simulator, BILLS)
    assert run.code == 0, run.log
    row = run.report(BILLS, connection.id)
    assert (row["status"], row["rows"], row["source_count"]) == ("complete", 3, None)
    assert "batches" not in str(run.state)
