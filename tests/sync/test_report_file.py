"""The report of a run for the program that runs it: outcomes line by line, and a last line."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.in_process import sync
from support.singer import (
    COMMAND,
    Ended,
    Json,
    arguments,
    catalog_of,
    environment,
    run_tap,
    settings,
)

from tap_rutter.simulator import Simulator, World

INVOICES, ORDERS, REPORT = "accounting_invoices", "commerce_orders", "sync_report"


@pytest.fixture
def rutter() -> Iterator[Simulator]:
    world = World()
    world.add_connection("QUICKBOOKS", counts={"/accounting/invoices": 30})
    world.add_connection("SHOPIFY", counts={"/orders": 30})
    world.add_connection("SHOPIFY", counts={"/orders": 8})
    world.add_connection("AMAZON", status="disabled")
    with Simulator(world) as simulator:
        yield simulator


def report(path: Path) -> list[Json]:
    """The lines of the file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(rutter: Simulator, tmp_path: Path, *streams: str, **more: Any) -> tuple[Ended, list[Json]]:
    """A run with a report; its last STATE is among the messages of what has ended."""
    path = tmp_path / "report.jsonl"
    config = settings(rutter, report_file=str(path), max_retry_seconds=1, **more)
    ended = run_tap(config=config, catalog=catalog_of(*streams))
    return ended, report(path)


def key(row: Json) -> tuple[str, str]:
    return row["connection_id"], row["stream"]


def test_the_report_has_the_rows_of_sync_report_and_a_last_line(
    rutter: Simulator, tmp_path: Path
) -> None:
    ended, lines = run(rutter, tmp_path, INVOICES, ORDERS, "accounting_bills", REPORT)
    assert ended.code == 0, ended.stderr
    *rows, last = lines
    records = {key(record): record for record in ended.messages.records[REPORT]}
    told = {key(row): row for row in rows}
    assert len(told) == len(rows), "a partition was told of twice"
    assert told == records
    assert {row["status"] for row in rows} == {"complete", "skipped"}
    assert last == {
        "exit_code": 0,
        "reason": None,
        "message": None,
        "last_state": ended.messages.state["state_number"],
        "requests": len(rutter.requests),
        "throttled": 0,
    }


def test_each_state_bears_its_number(rutter: Simulator, tmp_path: Path) -> None:
    given = sync(rutter, ORDERS).state
    path = tmp_path / "report.jsonl"
    again = sync(rutter, ORDERS, state={**given, "state_number": 99}, report_file=str(path))
    numbers = [state["state_number"] for state in again.states]
    assert numbers == [1, 2], "the first is the one that was given"
    assert {**again.state, "state_number": 0} == {**given, "state_number": 0}


def test_without_the_setting_no_state_bears_a_number(rutter: Simulator) -> None:
    state = sync(rutter, ORDERS).state
    again = sync(rutter, ORDERS, state={**state, "state_number": 3})
    assert [set(entry) for entry in again.states] == [{"bookmarks"}, {"bookmarks"}]


def test_what_failed_is_told(rutter: Simulator, tmp_path: Path) -> None:
    rutter.faults.add("respond", path="/orders", status=429, headers={"Retry-After": "0"})
    ledger = next(iter(rutter.world.connections))
    rutter.faults.add(
        "respond", path="/accounting/invoices", connection_id=ledger, status=450, times=None
    )
    ended, (*rows, last) = run(rutter, tmp_path, INVOICES, ORDERS, concurrency=1)
    assert ended.code == 1
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert key(failed) == (ledger, INVOICES)
    assert "450" in failed["error_message"]
    assert last["exit_code"] == 1
    assert last["throttled"] == 1


def test_an_api_that_does_not_answer_is_told(rutter: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    config = settings(rutter, report_file=str(path), max_retry_seconds=0)
    rutter.stop()
    ended = run_tap(config=config)
    (last,) = report(path)
    assert (ended.code, last["exit_code"], last["reason"]) == (1, 1, "unreachable")
    assert "nothing answers" in last["message"]
    assert last["last_state"] == 0


def test_refused_credentials_are_told(rutter: Simulator, tmp_path: Path) -> None:
    ended, (last,) = run(rutter, tmp_path, ORDERS, client_secret="another-one")
    assert (ended.code, last["exit_code"]) == (3, 3)
    assert "another-one" not in last["message"]


def test_a_run_that_is_ended_tells_what_it_did(rutter: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    rutter.faults.add("delay", path="/orders", seconds=60, times=None)
    config = settings(rutter, report_file=str(path), concurrency=1)
    with arguments(config, catalog=catalog_of(INVOICES, ORDERS)) as files:
        tap = subprocess.Popen(
            [COMMAND, *files],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        with tap:
            assert tap.stdout is not None
            for line in tap.stdout:
                if '"SCHEMA"' in line and ORDERS in line:
                    break
            tap.send_signal(signal.SIGTERM)
            rest = tap.stdout.read()
    assert tap.returncode == 143
    *rows, last = report(path)
    told = {row["stream"]: row["status"] for row in rows if row["stream"] != "*"}
    assert told == {INVOICES: "complete", ORDERS: "interrupted"}
    assert last["exit_code"] == 143
    final = json.loads(rest.splitlines()[-1])
    assert final["value"]["state_number"] == last["last_state"]


def test_the_file_is_for_its_owner_alone(rutter: Simulator, tmp_path: Path) -> None:
    run(rutter, tmp_path, ORDERS)
    assert stat.S_IMODE((tmp_path / "report.jsonl").stat().st_mode) == 0o600


def test_the_file_may_be_a_descriptor(rutter: Simulator) -> None:
    reading, writing = os.pipe()
    told = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 65536):
            told.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    config = settings(rutter, report_file=f"/dev/fd/{writing}")
    with arguments(config, catalog=catalog_of(ORDERS)) as files:
        subprocess.run(
            [COMMAND, *files],
            pass_fds=[writing],
            env=environment(),
            capture_output=True,
            check=True,
        )
    os.close(writing)
    reader.join()
    os.close(reading)
    assert json.loads(told.splitlines()[-1])["exit_code"] == 0


def test_a_reader_that_goes_away_costs_no_row(rutter: Simulator) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    config = settings(rutter, report_file=f"/dev/fd/{writing}")
    with arguments(config, catalog=catalog_of(ORDERS)) as files:
        ended = subprocess.run(
            [COMMAND, *files],
            pass_fds=[writing],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    os.close(writing)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count('"RECORD"') == 38
    assert "The report cannot be written any more" in ended.stderr


def test_a_file_that_cannot_be_written_is_refused(rutter: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "report.jsonl"
    ended = run_tap(config=settings(rutter, report_file=str(path)))
    assert ended.code == 2
    assert ended.stdout == ""
    assert len(rutter.requests) == 0
    assert "'report_file'" in ended.stderr
