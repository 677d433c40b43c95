"""How a claim ends: finished with a result, released as it was, or buried when nobody answers.

And what a run hands over while it works: the states that its target has committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import claims, leases, marks, states, verdicts
from tap_rutter.fleet.ledger.database import Transaction
from tap_rutter.fleet.ledger.errors import LedgerError
from tap_rutter.fleet.model import ALL_STREAMS, Fault, Lane, RunResult, State

_SAVE = """
    insert into rutter_fleet.states as s (connection_id, state, saved_at, claim_id)
    select u.connection_id, u.state::jsonb, clock_timestamp(), %(claim_id)s
    from unnest(%(ids)s::text[], %(states)s::jsonb[]) as u (connection_id, state)
    order by u.connection_id
    on conflict (connection_id) do update set
        state = excluded.state, saved_at = excluded.saved_at, claim_id = excluded.claim_id
    where s.state is distinct from excluded.state
"""
# `whole`: the run read all streams; `everything`: anew, from their start; `grown`: as far as their
# history had grown. `partly`: some streams failed of themselves. Nothing is learnt from that, and a
# full read is not made again before the next night. Lengths are averaged with those before, so that
# one odd run says little and does not change a lane.
_SETTLE = """
    update rutter_fleet.connections as c
    set
        claim_id = null,
        finished_at = case when v.ran then clock_timestamp() else c.finished_at end,
        lost = v.lost,
        crowd = v.crowd,
        partial_runs = v.partial_runs,
        sweep_failures = case when v.whole then v.failures else c.sweep_failures end,
        fresh_failures = case
            when not v.whole then v.failures
            when v.served or v.partly then 0
            else c.fresh_failures
        end,
        sweep_not_before = greatest(
            case when v.whole and v.ran then '-infinity' else c.sweep_not_before end,
            case when v.pause > 0 then c.started_at + make_interval(secs => v.pause) end,
            case when (v.whole or v.partly) and v.wait > 0
                then clock_timestamp() + make_interval(secs => v.wait) end
        ),
        fresh_not_before = greatest(
            case when v.ran and (v.served or v.partly or not v.whole) then '-infinity'
                else c.fresh_not_before end,
            case when v.pause > 0 then c.started_at + make_interval(secs => v.pause) end,
            case when not (v.whole or v.partly) and v.wait > 0
                then clock_timestamp() + make_interval(secs => v.wait) end
        ),
        last_seconds = coalesce(v.seconds, c.last_seconds),
        last_fault = case when v.ran or v.fault is not null then v.fault else c.last_fault end,
        last_reason = case when v.ran or v.fault is not null then v.reason else c.last_reason end,
        last_message =
            case when v.ran or v.fault is not null then v.message else c.last_message end,
        -- A need that arose while the run was working is not met by it.
        sweep_at = case
            when v.served and v.whole and c.sweep_at <= c.started_at then null
            when v.partly and v.whole then coalesce(c.sweep_at, clock_timestamp())
            else c.sweep_at
        end,
        full_at = case
            when (v.served or v.partly) and v.everything and c.full_at <= c.started_at then null
            else c.full_at
        end,
        swept_at = case when v.served and v.whole then c.started_at else c.swept_at end,
        full_read_at =
            case when (v.served or v.partly) and v.everything then c.started_at
            else c.full_read_at end,
        -- A first read that failed, but was not large, is not a backfill that delays others.
        read_once = c.read_once or ((v.served or v.partly) and v.whole)
            or coalesce(v.ran and v.whole and v.rows > 0 and v.rows < %(bulk_rows)s, false),
        heavy = case
            when v.served and v.whole and not (v.everything or v.grown)
            then v.rows >= %(bulk_rows)s
            -- What is left of a large first read is large, too.
            when v.partly and v.whole and not c.read_once then v.rows >= %(bulk_rows)s
            else c.heavy
        end,
        large = case
            when v.served and v.everything then v.rows >= %(bulk_rows)s else c.large
        end,
        fresh_seconds = case
            when v.served and not v.whole
            then (coalesce(c.fresh_seconds, v.seconds) + v.seconds) / 2 else c.fresh_seconds
        end,
        fresh_rows = case when v.served and not v.whole then v.rows else c.fresh_rows end,
        sweep_seconds = case
            when v.served and v.whole and not (v.everything or v.grown)
            then (coalesce(c.sweep_seconds, v.seconds) + v.seconds) / 2 else c.sweep_seconds
        end,
        sweep_rows = case
            when v.served and v.whole and not (v.everything or v.grown) then v.rows
            else c.sweep_rows
        end,
        full_seconds = case
            when v.served and v.everything
            then (coalesce(c.full_seconds, v.seconds) + v.seconds) / 2 else c.full_seconds
        end,
        full_rows = case when v.served and v.everything then v.rows else c.full_rows end,
        status = case when c.status = 'active' and v.park_by is not null then 'parked'
            else c.status end,
        parked_by = case when c.status = 'active' then v.park_by else c.parked_by end,
        parked_reason = case when c.status = 'active' then v.park_reason else c.parked_reason end,
        status_since = case when c.status = 'active' and v.park_by is not null
            then clock_timestamp() else c.status_since end
    from unnest(
        %(ids)s::text[], %(ran)s::boolean[], %(served)s::boolean[], %(partly)s::boolean[],
        %(whole)s::boolean[], %(everything)s::boolean[], %(grown)s::boolean[],
        %(failures)s::integer[], %(partial_runs)s::integer[], %(lost)s::integer[],
        %(crowd)s::integer[], %(park_by)s::text[], %(park_reason)s::text[], %(wait)s::float8[],
        %(pause)s::float8[], %(seconds)s::float8[], %(rows)s::bigint[], %(fault)s::text[],
        %(reason)s::text[], %(message)s::text[]
    ) as v (
        connection_id, ran, served, partly, whole, everything, grown, failures, partial_runs, lost,
        crowd, park_by, park_reason, wait, pause, seconds, rows, fault, reason, message
    )
    where c.connection_id = v.connection_id and c.claim_id = %(claim_id)s
"""
# No run takes less than starting does. That starting takes longer than was thought is believed only
# of a light run of one connection: else runs that are long for their work would count as slow
# starts, be given still more work, and grow without end.
_LEARN_START = """
    update rutter_fleet.fleet
    set start_seconds = least(30, greatest(0.05, case
        when %(seconds)s::float8 < start_seconds then %(seconds)s::float8
        when %(light)s then start_seconds + (%(seconds)s::float8 - start_seconds) * 0.2
        else start_seconds
    end))
    where %(light)s or %(seconds)s::float8 < start_seconds
"""


def save_states(
    transaction: Transaction,
    claim_id: UUID,
    given: Mapping[str, State],
    shared: Mapping[str, State] | None,
) -> None:
    """Keep what the target has committed.

    Raises:
        ClaimLost: the claim is not held; nothing was written.
        LedgerError: a state is of a connection, or a platform, that is not the claim's.
    """
    held = leases.hold(transaction, claim_id)
    ids = sorted(given)
    rows = transaction.execute(
        "select connection_id from rutter_fleet.connections"
        " where claim_id = %s and connection_id = any(%s)",
        [claim_id, ids],
    ).fetchall()
    if strange := set(ids) - {row["connection_id"] for row in rows}:
        raise LedgerError(
            f"A run of the claim {claim_id} handed over the state of the connection"
            f" {min(strange)}, which is not one of the claim's. It was not kept."
        )
    if ids:
        transaction.execute(
            _SAVE,
            {
                "claim_id": claim_id,
                "ids": ids,
                "states": [Jsonb(given[connection_id]) for connection_id in ids],
            },
        )
    for platform, state in (shared or {}).items():
        if platform != held["platform"]:
            raise LedgerError(
                f"A run of {held['platform']} handed over what is shared by {platform}."
                " It was not kept."
            )
        _save_shared(transaction, held, state)


def _save_shared(transaction: Transaction, held: Mapping[str, Any], after: State) -> None:
    platform, before = held["platform"], held["shared"]
    after = states.of_platform(after, platform)
    if after == before:
        return
    # Made first, so that there is a row to lock.
    transaction.execute(
        "insert into rutter_fleet.platforms (platform, shared) values (%s, %s)"
        " on conflict (platform) do nothing",
        [platform, Jsonb(claims.shared_of(transaction, platform))],
    )
    row = transaction.execute(
        "select shared from rutter_fleet.platforms where platform = %s for no key update",
        [platform],
    ).fetchone()
    now = row["shared"] if row else {}
    transaction.execute(
        "update rutter_fleet.platforms set shared = %s where platform = %s",
        [Jsonb(states.merged(before, after, now)), platform],
    )
    transaction.execute(
        "update rutter_fleet.claims set shared = %s where claim_id = %s",
        [Jsonb(after), held["claim_id"]],
    )


def finish(
    transaction: Transaction, claim_id: UUID, result: RunResult, config: FleetConfig
) -> None:
    """Write down how a run ended, and free its connections.

    Raises:
        ClaimLost: the claim is not held; nothing was written.
    """
    held = leases.hold(transaction, claim_id)
    members = leases.members_of(transaction, claim_id)
    fleet = transaction.execute("select start_seconds from rutter_fleet.fleet").fetchone()
    start = fleet["start_seconds"] if fleet else 1.0
    _settle(
        transaction, held, members, lambda rows: verdicts.judge(rows, result, config, start), config
    )
    leases.end(transaction, claim_id, "finished")
    if result.fault in (None, Fault.CONNECTION) and not result.stopped and members:
        light = len(members) == 1 and verdicts.work_of(result.outcomes) <= verdicts.LIGHT_WORK
        transaction.execute(_LEARN_START, {"seconds": result.seconds, "light": light})


def release(transaction: Transaction, claim_id: UUID) -> None:
    """Free the connections as they were before the claim.

    Raises:
        ClaimLost: the claim is not held; nothing was written.
    """
    held = leases.hold(transaction, claim_id)
    members = leases.members_of(transaction, claim_id)
    config, untouched = FleetConfig(), RunResult((), 0.0, stopped=True)
    _settle(
        transaction, held, members, lambda rows: verdicts.judge(rows, untouched, config, 0), config
    )
    leases.end(transaction, claim_id, "released")


def bury(transaction: Transaction, claim_id: UUID, config: FleetConfig) -> None:
    """Free the connections of a claim whose lease has run out; nothing if it has ended.

    Raises:
        LedgerError: the lease has not run out: somebody is running them.
    """
    held = transaction.execute(
        "select *, expires_at <= clock_timestamp() as expired from rutter_fleet.claims"
        " where claim_id = %s and ended_at is null for no key update",
        [claim_id],
    ).fetchone()
    if held is None:
        return
    if not held["expired"]:
        raise LedgerError(f"The claim {claim_id} is held by {held['worker']}: it cannot be buried.")
    members = leases.members_of(transaction, claim_id)
    _settle(
        transaction,
        held,
        members,
        lambda rows: [verdicts.lost(row, held["members"], config) for row in rows],
        config,
    )
    leases.end(transaction, claim_id, "buried")


def _settle(
    transaction: Transaction,
    held: Mapping[str, Any],
    members: Sequence[Mapping[str, Any]],
    judge: Callable[[Sequence[Mapping[str, Any]]], list[verdicts.Verdict]],
    config: FleetConfig,
) -> None:
    """Judge the members, write that down, and clear their marks or give them back."""
    if not members:
        return
    whole, grown = _read_by(transaction, held, members)
    first_reads = {row["connection_id"] for row in members if not row["read_once"]}
    anew = whole if held["full_read"] else whole & first_reads
    judged = judge(
        [
            {**row, "whole": is_whole, "failures": row[f"{_class(is_whole)}_failures"]}
            for row in members
            for is_whole in [row["connection_id"] in whole]
        ]
    )
    ids = [verdict.connection_id for verdict in judged]
    transaction.execute(
        _SETTLE,
        {
            "claim_id": held["claim_id"],
            "bulk_rows": config.bulk_rows,
            "ids": ids,
            "whole": [connection_id in whole for connection_id in ids],
            "everything": [connection_id in anew for connection_id in ids],
            "grown": [connection_id in grown for connection_id in ids],
            "ran": [verdict.ran for verdict in judged],
            "served": [verdict.served for verdict in judged],
            "partly": [bool(verdict.failed_streams) for verdict in judged],
            "failures": [verdict.failures for verdict in judged],
            "partial_runs": [verdict.partial_runs for verdict in judged],
            "lost": [verdict.lost for verdict in judged],
            "crowd": [verdict.crowd for verdict in judged],
            "park_by": [verdict.park_by for verdict in judged],
            "park_reason": [verdict.park_reason for verdict in judged],
            "wait": [verdict.wait_seconds for verdict in judged],
            "pause": [verdict.pause_seconds for verdict in judged],
            "seconds": [verdict.seconds for verdict in judged],
            "rows": [verdict.rows for verdict in judged],
            "fault": [verdict.fault for verdict in judged],
            "reason": [verdict.reason for verdict in judged],
            "message": [verdict.message for verdict in judged],
        },
    )
    marks.clear(
        transaction,
        [verdict.connection_id for verdict in judged if _is_served(verdict)],
        [verdict.connection_id for verdict in judged if not _is_served(verdict)],
        [
            (verdict.connection_id, stream)
            for verdict in judged
            for stream in _left(verdict, verdict.connection_id in whole)
        ],
    )


def _is_served(verdict: verdicts.Verdict) -> bool:
    return verdict.served or bool(verdict.failed_streams)


def _left(verdict: verdicts.Verdict, whole: bool) -> Sequence[str]:
    """The streams whose marks stay: after a run of marks, a mark of all of them as well.

    A run of all streams is made again for those that it has left out.
    """
    if not verdict.failed_streams or whole:
        return verdict.failed_streams
    return (*verdict.failed_streams, ALL_STREAMS)


def _class(whole: bool) -> str:
    return "sweep" if whole else "fresh"


def _read_by(
    transaction: Transaction, held: Mapping[str, Any], members: Sequence[Mapping[str, Any]]
) -> tuple[set[str], set[str]]:
    """Whose streams were all read in the usual way, and whose history had grown.

    In the lane fresh, all streams are read of those whose mark says so; else of all.
    """
    ids = [row["connection_id"] for row in members]
    rows = transaction.execute(
        "select connection_id, kind from rutter_fleet.marks where connection_id = any(%s)"
        " and claimed_seq is not null and (kind = 'grown' or (kind = 'plain' and stream = '*'))",
        [ids],
    ).fetchall()
    grown = {row["connection_id"] for row in rows if row["kind"] == marks.GROWN}
    if held["lane"] != Lane.FRESH:
        return set(ids), grown
    return {row["connection_id"] for row in rows if row["kind"] == marks.PLAIN}, grown
