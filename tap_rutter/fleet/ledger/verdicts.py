"""What a run's end means for each of its connections. Pure: the database adds only the time.

Failures are told apart by whose fault they are. A connection's own outcome counts against it. A
run that died counts against nobody while it held several: they are tried again in ever smaller
runs, down to one alone, and only then it counts. What hit the whole fleet, and a stop, count
against nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger.database import storable
from tap_rutter.fleet.model import ConnectionOutcome, Fault, RunResult
from tap_rutter.redact import redact_start

SHORTEST_PAUSE = 2.0
"""Seconds between two starts of a connection, at least."""
PAUSE_FACTOR = 3.0
"""…and so many times as long as its last run took."""
STATUS_REASONS = frozenset({"not_ready", "needs_reauth", "disabled"})
"""Outcomes that speak of the connection's status at Rutter: nothing was read, so no mark is
cleared, and it is parked until a listing shows another status."""
STREAM = "stream"
"""Whose fault it is where some streams of a connection fail, and not the connection."""
_SPLIT = 8
"""A run of many that died is tried again in so many parts. One bad connection among 500 is found
by some 20 runs, and a target's restart does not turn 500 connections into 500 runs."""
_LOST_BEFORE_ALONE = 2
_LONGEST_MESSAGE = 500
_ROWS_PER_REQUEST = 200
"""So many rows cost a run about as much as one more request: what a target takes for them."""

LIGHT_WORK = 10.0
"""A run of no more work than this took as long as its start."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of one connection."""

    connection_id: str
    ran: bool = False
    """It was run to its own end, well or not; otherwise it is as before the claim."""
    served: bool = False
    """What was asked for is done: needs and marks that have not moved are cleared."""
    failed_streams: tuple[str, ...] = ()
    """Streams that failed of themselves: the others are served, and these are left to the next run
    of all streams."""
    partial_runs: int = 0
    """Runs of all streams in a row, this one included, that have left out some of them."""
    failures: int = 0
    lost: int = 0
    crowd: int | None = None
    """It runs with so many connections at most; None: with any number."""
    park_by: str | None = None
    park_reason: str | None = None
    wait_seconds: float = 0.0
    """From now on: the back-off."""
    pause_seconds: float = 0.0
    """From the start of the run on."""
    seconds: float | None = None
    """Its part of the run's length, without the start; None if nothing is learnt from it."""
    rows: int | None = None
    fault: str | None = None
    reason: str | None = None
    message: str | None = None


def judge(
    members: Sequence[Mapping[str, Any]],
    result: RunResult,
    config: FleetConfig,
    start_seconds: float,
) -> list[Verdict]:
    """The verdicts on a run's members.

    Args:
        members: the rows of the ledger's connections, with ``failures``, ``partial_runs``,
            ``lost``, ``crowd``, and ``whole``: whether all streams were read. Failures of such
            runs are counted apart from those of marks.
        result: how the run ended.
        config: back-off and parking.
        start_seconds: what a run costs before its first request.
    """
    if result.fault is Fault.RUN and not result.stopped:
        return [_of_dead_run(row, len(members), result, config) for row in members]
    if result.fault is Fault.FLEET or result.stopped:
        return [_as_before(row) for row in members]
    outcomes = {outcome.connection_id: outcome for outcome in result.outcomes}
    # What each did, in requests: the run's length is split by it.
    work = {
        row["connection_id"]: work_of([outcome])
        for row in members
        if (outcome := outcomes.get(row["connection_id"])) is not None
    }
    whole = sum(work.values())
    return [
        _of_outcome(
            row,
            outcomes[row["connection_id"]],
            work[row["connection_id"]] / whole,
            result,
            config,
            start_seconds,
        )
        if row["connection_id"] in work
        # It was not stopped, and yet nobody knows what it did: that is not a success.
        else _of_dead_run(row, len(members), result, config)
        for row in members
    ]


def work_of(outcomes: Iterable[ConnectionOutcome]) -> float:
    """What connections did in a run, in requests."""
    return sum(1 + outcome.requests + outcome.rows / _ROWS_PER_REQUEST for outcome in outcomes)


def lost(row: Mapping[str, Any], members: int, config: FleetConfig) -> Verdict:
    """The verdict where nobody answers for the run any more: its worker died or was cut off.

    It is nobody's fault, so nobody is parked. But what takes its worker with it each time must not
    take others too: it runs alone after the second time, and backs off when it is lost alone.
    """
    times = row["lost"] + 1
    return Verdict(
        row["connection_id"],
        failures=row["failures"],
        partial_runs=row["partial_runs"],
        lost=times,
        crowd=1 if times >= _LOST_BEFORE_ALONE else row["crowd"],
        wait_seconds=_back_off(times - 2, config) if members == 1 and times > 2 else 0.0,
        fault="lost",
        message="The worker that ran it is gone.",
    )


def _as_before(row: Mapping[str, Any]) -> Verdict:
    return Verdict(
        row["connection_id"],
        failures=row["failures"],
        partial_runs=row["partial_runs"],
        lost=row["lost"],
        crowd=row["crowd"],
    )


def _of_dead_run(
    row: Mapping[str, Any], members: int, result: RunResult, config: FleetConfig
) -> Verdict:
    verdict = Verdict(
        row["connection_id"],
        failures=row["failures"],
        partial_runs=row["partial_runs"],
        fault=str(Fault.RUN),
        message=_said(result.message or "The run ended without an outcome of it."),
    )
    if members > 1:
        return replace(verdict, crowd=max(1, members // _SPLIT))
    return replace(
        _failed(verdict, "run_failed", config),
        crowd=1,
        reason="run_failed",
    )


def _of_outcome(
    row: Mapping[str, Any],
    outcome: ConnectionOutcome,
    part: float,
    result: RunResult,
    config: FleetConfig,
    start_seconds: float,
) -> Verdict:
    verdict = Verdict(
        row["connection_id"],
        ran=True,
        failures=row["failures"],
        partial_runs=row["partial_runs"],
        pause_seconds=max(SHORTEST_PAUSE, PAUSE_FACTOR * part * result.seconds),
        rows=outcome.rows,
        reason=outcome.reason,
        message=_said(outcome.message) if outcome.message else None,
    )
    if outcome.reason in STATUS_REASONS:
        # The failures make a connection that a listing calls active, and a run does not, wait
        # longer each time.
        failed = _failed(verdict, outcome.reason, config)
        return replace(failed, park_by="status", park_reason=outcome.reason)
    if outcome.failed_streams and (outcome.read_others or not row["whole"]):
        return _of_failed_streams(verdict, row, outcome, config)
    if not outcome.succeeded:
        failed = _failed(verdict, outcome.reason or "failed", config)
        return replace(failed, fault=str(Fault.CONNECTION))
    return replace(
        verdict,
        served=True,
        failures=0,
        partial_runs=0 if row["whole"] else row["partial_runs"],
        seconds=max(0.01, part * (result.seconds - start_seconds)),
    )


def _of_failed_streams(
    verdict: Verdict, row: Mapping[str, Any], outcome: ConnectionOutcome, config: FleetConfig
) -> Verdict:
    """Some streams failed, and nothing says that it is the connection: it is never parked for it.

    A run of marks leaves them to a run of all streams, which tells whether others can be read. That
    one tries them again soon at first, and then as often as the sweep.
    """
    partial = row["partial_runs"] + row["whole"]
    longest = max(config.back_off_seconds, config.sweep_minutes * 60.0)
    return replace(
        verdict,
        failures=0 if row["whole"] else row["failures"],
        failed_streams=outcome.failed_streams,
        partial_runs=partial,
        wait_seconds=min(longest, _back_off(max(1, partial), config)),
        fault=STREAM,
    )


def _failed(verdict: Verdict, reason: str, config: FleetConfig) -> Verdict:
    """One failure more that counts: it backs off, and is parked if it was one too many."""
    failures = verdict.failures + 1
    parked = failures >= config.park_after
    return replace(
        verdict,
        ran=True,
        failures=failures,
        park_by="failures" if parked else None,
        park_reason=reason if parked else None,
        wait_seconds=_back_off(failures, config),
    )


def _said(message: str) -> str:
    return storable(redact_start(message, _LONGEST_MESSAGE))


def _back_off(failures: int, config: FleetConfig) -> float:
    """Doubled by each failure; the exponent is bounded, so that no float overflows."""
    return min(
        config.longest_back_off_seconds, config.back_off_seconds * 2.0 ** min(failures - 1, 40)
    )
