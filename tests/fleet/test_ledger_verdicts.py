"""What a run's end means for each of its connections, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.ledger import CONFIG

from tap_rutter.fleet.ledger.verdicts import STATUS_REASONS, Verdict, judge, lost
from tap_rutter.fleet.model import ConnectionOutcome, Fault, RunResult

START = 1.0
"""Seconds that starting a run takes."""


def row(**more: Any) -> dict[str, Any]:
    """A connection that has failed before, by whose webhooks it was run."""
    return {
        "connection_id": "a",
        "failures": 2,
        "partial_runs": 3,
        "lost": 1,
        "crowd": 7,
        "whole": False,
        **more,
    }


KEPT = Verdict("a", failures=2, partial_runs=3)


def outcome(connection_id: str = "a", **more: Any) -> ConnectionOutcome:
    return ConnectionOutcome(connection_id, **{"succeeded": False, "rows": 200, **more})


def alone(member: dict[str, Any], ended: ConnectionOutcome, **more: Any) -> Verdict:
    """The verdict on the only connection of a run of ten seconds."""
    (verdict,) = judge([member], RunResult((ended,), 10.0, **more), CONFIG, START)
    return verdict


RAN = replace(KEPT, ran=True, pause_seconds=30.0, rows=200)
"""After ten seconds in a run of its own."""


# ---- who ran to an end


@pytest.mark.parametrize("whole", [False, True])
def test_a_success_ends_failures_and_gives_a_length(whole: bool) -> None:
    assert alone(row(whole=whole), outcome(succeeded=True)) == replace(
        RAN, served=True, failures=0, partial_runs=0 if whole else 3, seconds=9.0
    )


def test_a_runs_length_is_split_by_requests_and_rows() -> None:
    """Two hundred rows count as a request; each connection counts as one more."""
    outcomes = (
        outcome("a", succeeded=True, requests=3, rows=400),
        outcome("b", succeeded=True, requests=0, rows=400),
    )
    rows = [row(), row(connection_id="b")]
    judged = judge(rows, RunResult(outcomes, 10.0), CONFIG, START)
    assert [verdict.seconds for verdict in judged] == pytest.approx([6.0, 3.0])
    assert [verdict.pause_seconds for verdict in judged] == pytest.approx([20.0, 10.0])


def test_a_run_shorter_than_its_start_has_a_length_all_the_same() -> None:
    (verdict,) = judge([row()], RunResult((outcome(succeeded=True),), 0.5), CONFIG, START)
    assert (verdict.seconds, verdict.pause_seconds) == (0.01, 2.0)


def test_what_is_said_of_a_success_is_kept() -> None:
    verdict = alone(row(), outcome(succeeded=True, reason="unsupported", message="no bills"))
    assert (verdict.served, verdict.reason, verdict.message) == (True, "unsupported", "no bills")


def test_a_failure_of_its_own_backs_off() -> None:
    assert alone(row(), outcome(reason="refused", message="no"), fault=Fault.CONNECTION) == replace(
        RAN, failures=3, wait_seconds=240.0, fault="connection", reason="refused", message="no"
    )


@pytest.mark.parametrize("reason", ["refused", None])
def test_one_failure_too_many_parks(reason: str | None) -> None:
    assert alone(row(failures=4), outcome(reason=reason)) == replace(
        RAN,
        failures=5,
        wait_seconds=960.0,
        fault="connection",
        reason=reason,
        park_by="failures",
        park_reason=reason or "failed",
    )


@pytest.mark.parametrize("reason", sorted(STATUS_REASONS))
@pytest.mark.parametrize("failures", [2, 4])
def test_a_status_parks_at_once_and_waits_longer_each_time(reason: str, failures: int) -> None:
    assert alone(row(failures=failures), outcome(succeeded=True, reason=reason)) == replace(
        RAN,
        failures=failures + 1,
        wait_seconds=60.0 * 2**failures,
        reason=reason,
        park_by="status",
        park_reason=reason,
    )


def test_no_number_of_failures_is_too_large_to_reckon_with() -> None:
    verdict = alone(row(failures=5_000), outcome())
    assert verdict.wait_seconds == CONFIG.longest_back_off_seconds


# ---- where some streams failed


@pytest.mark.parametrize("read_others", [False, True])
@pytest.mark.parametrize(("before", "wait"), [(3, 240.0), (0, 60.0), (1, 60.0), (20, 3600.0)])
def test_a_run_of_webhooks_leaves_streams_that_fail_to_the_sweep(
    read_others: bool, before: int, wait: float
) -> None:
    ended = outcome(failed_streams=("x", "y"), read_others=read_others, reason="refused")
    assert alone(row(partial_runs=before), ended) == replace(
        RAN,
        failed_streams=("x", "y"),
        partial_runs=before,
        wait_seconds=wait,
        fault="stream",
        reason="refused",
    )


def test_a_sweep_counts_how_often_it_left_streams_out_and_not_a_failure() -> None:
    assert alone(row(whole=True), outcome(failed_streams=("x",), read_others=True)) == replace(
        RAN, failures=0, failed_streams=("x",), partial_runs=4, wait_seconds=480.0, fault="stream"
    )


def test_a_sweep_that_read_nothing_else_is_a_failure_of_the_connection() -> None:
    assert alone(row(whole=True), outcome(failed_streams=("x",))) == replace(
        RAN, failures=3, wait_seconds=240.0, fault="connection"
    )


def test_streams_are_tried_again_as_often_as_the_sweep_but_no_sooner_than_a_back_off() -> None:
    slow = replace(CONFIG, back_off_seconds=7_200.0)
    ended = RunResult((outcome(failed_streams=("x",), read_others=True),), 10.0)
    (verdict,) = judge([row(whole=True)], ended, slow, START)
    assert verdict.wait_seconds == 7_200.0


# ---- where nobody knows what became of a connection


@pytest.mark.parametrize("fault", [Fault.RUN, None])
def test_a_run_that_died_counts_against_a_connection_that_was_alone(fault: Fault | None) -> None:
    result = RunResult((), 10.0, fault=fault, message="the target died")
    assert judge([row()], result, CONFIG, START) == [
        replace(
            KEPT,
            ran=True,
            failures=3,
            crowd=1,
            wait_seconds=240.0,
            fault="run",
            reason="run_failed",
            message="the target died",
        )
    ]
    (parked,) = judge([row(failures=4)], result, CONFIG, START)
    assert (parked.park_by, parked.park_reason) == ("failures", "run_failed")


@pytest.mark.parametrize(("members", "crowd"), [(2, 1), (20, 2), (500, 62)])
def test_a_run_of_many_that_died_is_tried_again_in_eighths(members: int, crowd: int) -> None:
    rows = [row(connection_id=f"c{number}") for number in range(members)]
    found = judge(rows, RunResult((), 10.0, fault=Fault.RUN), CONFIG, START)
    said = "The run ended without an outcome of it."
    tried = replace(KEPT, crowd=crowd, fault="run", message=said)
    assert found == [replace(tried, connection_id=each["connection_id"]) for each in rows]


def test_a_connection_without_an_outcome_is_judged_as_if_the_run_had_died() -> None:
    rows = [row(), row(connection_id="b")]
    served, forgotten = judge(rows, RunResult((outcome(succeeded=True),), 10.0), CONFIG, START)
    assert served == replace(RAN, served=True, failures=0, seconds=9.0)
    said = "The run ended without an outcome of it."
    assert forgotten == replace(KEPT, connection_id="b", crowd=1, fault="run", message=said)


@pytest.mark.parametrize(
    "result",
    [
        RunResult((), 1.0, stopped=True),
        RunResult((), 1.0, fault=Fault.RUN, stopped=True),
        RunResult((), 1.0, fault=Fault.FLEET),
        RunResult((outcome(succeeded=True),), 1.0, stopped=True),
    ],
)
def test_what_is_nobodys_fault_leaves_all_as_it_was(result: RunResult) -> None:
    assert judge([row()], result, CONFIG, START) == [replace(KEPT, lost=1, crowd=7)]


@pytest.mark.parametrize(
    ("before", "members", "crowd", "wait"),
    [
        (0, 1, 7, 0.0),
        (0, 3, 7, 0.0),
        (1, 1, 1, 0.0),
        (1, 3, 1, 0.0),
        (2, 1, 1, 60.0),
        (2, 3, 1, 0.0),
        (3, 1, 1, 120.0),
    ],
)
def test_what_loses_its_worker_again_and_again_runs_alone_and_backs_off(
    before: int, members: int, crowd: int, wait: float
) -> None:
    assert lost(row(lost=before), members, CONFIG) == replace(
        KEPT,
        lost=before + 1,
        crowd=crowd,
        wait_seconds=wait,
        fault="lost",
        message="The worker that ran it is gone.",
    )


def test_a_long_message_is_cut() -> None:
    verdict = alone(row(), outcome(message="no more of this, " * 1_000))
    assert verdict.message is not None
    assert 400 < len(verdict.message) <= 500
