"""Jobs that do not end in success: their rows land, and the tap does not wait in vain."""

from __future__ import annotations

import pytest
from support.in_process import sync
from support.partitions import bookmark
from support.singer import Messages
from support.statements import PATH, PROMISE, STREAM, job_of, ledger, months

from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.any_workers

DAY = 86_400


def outcome(messages: Messages) -> tuple[str, str | None]:
    """How the one partition ended, and why."""
    (row,) = (row for row in messages.records["sync_report"] if row["stream"] == STREAM)
    return row["status"], row["reason"]


def test_what_a_partly_successful_job_has_lands_and_moves_no_bookmark() -> None:
    world, _connection = ledger()
    world.switches.set("async_response", True)
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM, start_date="2026-01-01")
        world.advance(70 * DAY)
        world.switches.set("job_result", "partial_success")
        partial = sync(simulator, STREAM, state=before.state)
        world.switches.set("job_result", "success")
        whole = sync(simulator, STREAM, state=partial.state)
    row = next(row for row in partial.records["sync_report"] if row["stream"] == STREAM)
    assert (row["status"], row["error_code"]) == ("complete", "PARTIAL_SUCCESS")
    assert "partial_success, so rows may be missing" in row["error_message"]
    assert not row["full_read"]
    assert 0 < row["rows"] < len(whole.records[STREAM])
    assert len(partial.records[STREAM]) == row["rows"]
    assert bookmark(partial, STREAM) == bookmark(before, STREAM)
    assert months(whole)[-1] == "2026-05"
    assert outcome(partial) == ("complete", None)
    assert {*before.waits, *partial.waits, *whole.waits} == {1, 2}


def test_partly_successful_jobs_are_named_in_the_summary() -> None:
    world, connection = ledger()
    world.switches.set("async_response", True)
    world.switches.set("job_result", "partial_success")
    with Simulator(world) as simulator:
        run = sync(simulator, STREAM, start_date="2026-01-01")
    assert run.code == 0
    said = f"Partial: {STREAM} of connection {connection.id}: {PATH}: Rutter's job ended as"
    assert said in run.log


def test_enrichments_of_a_partly_successful_job_are_not_a_full_read() -> None:
    path, stream = "/supplier_enablement/enrichments", "supplier_enablement_enrichments"
    world = World(9)
    world.add_connection("QUICKBOOKS", counts={path: 4})
    world.switches.set("async_response", True)
    world.switches.set("job_result", "partial_success")
    with Simulator(world) as simulator:
        run = sync(simulator, stream, optional_streams=[stream])
    (row,) = run.reports
    assert (row["rows"], row["status"], row["full_read"]) == (2, "complete", False)


def test_a_job_that_ends_in_a_status_that_nobody_documented_is_not_polled_for_ever() -> None:
    world, _connection = ledger()
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=PROMISE, times=None)
        simulator.faults.add(
            "respond", path="/jobs/j", status=200, body='{"id":"j","status":"EXPIRED"}', times=None
        )
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    assert outcome(messages) == ("failed", "refused")
    failed = next(row for row in messages.records["sync_report"] if row["status"] == "failed")
    assert "ended as expired" in failed["error_message"]
    assert messages.waits == ()


def test_an_unknown_status_with_an_answer_is_an_end() -> None:
    world, _connection = ledger()
    body = job_of('{"balance_sheets":[{"start_date":"2026-01-01T00:00:00.000Z"}]}')
    body = body.replace('"success"', '"settled"')
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=PROMISE, times=None)
        simulator.faults.add("respond", path="/jobs/j", status=200, body=body, times=None)
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    assert outcome(messages) == ("complete", None)
    (row,) = messages.records["sync_report"]
    assert (row["error_code"], row["rows"]) == ("PARTIAL_SUCCESS", 1)
    assert STREAM not in messages.state["bookmarks"]
    assert messages.waits == ()


def test_an_unknown_status_without_an_answer_is_said_and_asked_on() -> None:
    world, _ = ledger()
    states = ['{"id":"j","status":"hydrating"}'] * 3 + [job_of('{"balance_sheets":[]}')]
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=PROMISE, times=None)
        for body in states:
            simulator.faults.add("respond", path="/jobs/j", status=200, body=body)
        run = sync(simulator, STREAM, start_date="2026-01-01")
    assert run.code == 0
    assert run.log.count("'hydrating', which is not known") == 1
    assert run.waits == (1.0, 2.0, 4.0)


@pytest.mark.parametrize("status", [404, 410])
def test_a_job_that_is_not_there_any_more_is_a_failure(status: int) -> None:
    world, _connection = ledger()
    gone = '{"error_type":"INVALID_REQUEST","error_code":"RESOURCE_NOT_FOUND"}'
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=PROMISE, times=None)
        simulator.faults.add("respond", path="/jobs/j", status=status, body=gone, times=None)
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    assert outcome(messages)[0] == "failed"
    (row,) = messages.records["sync_report"]
    assert row["error_code"] == "RESOURCE_NOT_FOUND"
    assert messages.waits == ()


def test_the_code_with_which_a_job_failed_is_in_the_report() -> None:
    world, _connection = ledger()
    body = '{"error_type":"PLATFORM_ERROR","error_code":"PLATFORM_BUSY","error_message":"later"}'
    failed = job_of(body).replace('"success"', '"failure"')
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=PROMISE, times=None)
        simulator.faults.add("respond", path="/jobs/j", status=200, body=failed, times=None)
        run = sync(simulator, STREAM, start_date="2026-01-01")
    (row,) = run.records["sync_report"]
    assert (row["status"], row["error_code"]) == ("failed", "PLATFORM_BUSY")
