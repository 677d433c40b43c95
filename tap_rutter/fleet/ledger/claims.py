"""Claims: who may run what is due, and how much of it at once.

Whether something is due is asked of ``now()``, the start of the short transaction, which an index
can be searched by.

Locks are taken in one order everywhere: the claim's row, rows of connections by their ids, their
marks, the fleet's row. A claim being made skips what is locked instead of waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import api_version
from tap_rutter.fleet.ledger import marks as marks_of
from tap_rutter.fleet.ledger import states as states_of
from tap_rutter.fleet.ledger.database import Transaction
from tap_rutter.fleet.ledger.errors import OtherApiVersion
from tap_rutter.fleet.model import Claim, ClaimedMark, Lane, Member

# Before anything is known of it: a connection without changes takes a few tenths of a second.
_UNKNOWN_SECONDS = 0.5
_ALONE = 1e9
"""A predicted length that leaves room for no other connection."""


@dataclass(frozen=True)
class Queue:
    """One of the four orders in which connections wait; two of them are the lane bulk."""

    lane: Lane
    due: str
    """The column with the time from which it is due."""
    waiting: str
    """The condition of its index."""
    seconds: str
    """SQL: the predicted length of a run, without its start."""
    rows: str
    """SQL: the rows that are expected; null before anything is known."""
    full_read: bool = False
    handicap: timedelta = timedelta()
    """Within its lane it counts as due so much later."""


FRESH = Queue(
    Lane.FRESH,
    "fresh_due",
    "fresh_due is not null",
    f"coalesce(case when whole_at is null or heavy then fresh_seconds else sweep_seconds end,"
    f" {_UNKNOWN_SECONDS})",
    "case when whole_at is null or heavy then fresh_rows else sweep_rows end",
)
SWEEP = Queue(
    Lane.SWEEP,
    "sweep_due",
    "sweep_due is not null and not bulk",
    f"coalesce(sweep_seconds, {_UNKNOWN_SECONDS})",
    "sweep_rows",
)
BULK = Queue(
    Lane.BULK,
    "sweep_due",
    "sweep_due is not null and bulk",
    f"case when not read_once then {_ALONE} when grown_at is not null then"
    f" coalesce(full_seconds, {_ALONE}) else coalesce(sweep_seconds, {_ALONE}) end",
    "case when read_once and grown_at is null then sweep_rows else full_rows end",
)
FULL = Queue(
    Lane.BULK,
    "full_due",
    "full_due is not null",
    f"coalesce(full_seconds, {_ALONE})",
    "full_rows",
    full_read=True,
    # Else the night's full reads would keep a new connection waiting until the morning.
    handicap=timedelta(hours=6),
)
QUEUES = (FRESH, SWEEP, BULK, FULL)
_OF_LANE = {lane: [queue for queue in QUEUES if queue.lane is lane] for lane in Lane}

# The oldest of each platform, found by jumping along the index from platform to platform.
_HEADS = """
    with recursive waiting as (
        (
            select platform from rutter_fleet.connections
            where claim_id is null and {waiting}
            order by platform limit 1
        )
        union all
        select (
            select c.platform from rutter_fleet.connections as c
            where c.claim_id is null and {waiting} and c.platform > w.platform
            order by c.platform limit 1
        )
        from waiting as w where w.platform is not null
    )
    select w.platform, head.due
    from waiting as w
    cross join lateral (
        select {due} as due from rutter_fleet.connections as c
        where c.claim_id is null and {waiting} and c.platform = w.platform
        order by {due} limit 1
    ) as head
    where head.due <= now()
"""
# How many fit is judged without locks, and so many of those that nobody else is taking are locked:
# two workers that look at once take the first and the second so many.
_TAKE = """
    select connection_id, {seconds} as seconds, {rows} as expected, crowd
    from rutter_fleet.connections
    where platform = %(platform)s and claim_id is null and {waiting} and {due} <= now()
    order by {due}, connection_id
    limit (
        select count(*) from (
            select
                row_number() over oldest as place,
                sum(seconds) over oldest as total,
                min(crowd) over oldest as crowd
            from (
                select {due} as due, connection_id, {seconds} as seconds, crowd
                from rutter_fleet.connections
                where platform = %(platform)s and claim_id is null and {waiting} and {due} <= now()
                order by {due}, connection_id
                limit %(most)s
            ) as q
            window oldest as (order by due, connection_id)
        ) as sized
        where place = 1 or (total <= %(budget)s and (crowd is null or place <= crowd))
    )
    for no key update skip locked
"""
# A run of changes since a time moves no bookmark, and a usual read may begin later than that time:
# neither does the other's work, so a stream's two marks are never given to one run. Those with a
# time go first. A run of all streams reads from its own bookmarks and takes the others; a first or
# full read takes all there is. What failed of itself is left to a run of all streams.
_TAKE_MARKS = """
    with found as (
        select
            m.connection_id, m.stream, m.kind, m.left_to_sweep, c.read_once, c.heavy,
            bool_or(m.kind = 'since') over (partition by m.connection_id) as any_since,
            bool_or(m.kind = 'since' and m.stream = '*')
                over (partition by m.connection_id) as all_since,
            bool_or(m.kind = 'since')
                over (partition by m.connection_id, m.stream) as own_since
        from rutter_fleet.connections as c
        cross join lateral (
            select * from rutter_fleet.marks as o
            where o.connection_id = c.connection_id and o.connection_id = any(%(ids)s)
                and not (o.left_to_sweep and c.read_once and %(lane)s = 'fresh')
        ) as m
        where c.connection_id = any(%(ids)s)
    )
    update rutter_fleet.marks as m
    set claimed_seq = m.seq, claimed_since = m.since, claimed_first_at = m.first_at,
        since = null, first_at = null
    from found as f
    where m.connection_id = any(%(ids)s)
        and (m.connection_id, m.stream, m.kind) = (f.connection_id, f.stream, f.kind)
        and case
            when %(everything)s or not f.read_once then true
            when %(lane)s <> 'fresh' then f.kind <> 'since' or f.left_to_sweep
            when f.kind = 'since' then true
            when f.kind = 'grown' then false
            when f.stream = '*' then not (f.heavy or f.any_since)
            else not (f.own_since or f.all_since)
        end
    returning
        m.connection_id, m.stream, m.claimed_seq as seq, m.claimed_since as since
"""
_MEMBERS = """
    update rutter_fleet.connections as c
    set claim_id = %(claim_id)s, started_at = clock_timestamp()
    where c.connection_id = any(%(ids)s)
    returning c.connection_id, c.platform, c.rutter_status
"""


def heads(queue: Queue) -> str:
    """SQL: platform and time of the oldest that is due of each platform."""
    return _HEADS.format(due=queue.due, waiting=queue.waiting)


def claim(
    transaction: Transaction,
    claim_id: UUID,
    lane: Lane,
    worker: str,
    config: FleetConfig,
) -> Claim | bool:
    """Take what is due longest, and what of its platform fits into the same run.

    Returns:
        The claim; False if nothing is due; True if all that is due was locked just now, or if this
        is the fleet's first claim: then its version has been noted, and it is worth another look.

    Raises:
        OtherApiVersion: the fleet reads another version than the tap is set to.
    """
    fleet = transaction.execute(
        "select paused_until > now() as paused, start_seconds, api_version from rutter_fleet.fleet"
    ).fetchone()
    if fleet is None:
        return False
    if fleet["api_version"] is None:
        # Alone in its transaction: the fleet's row is locked last, not first.
        api_version.begin(transaction, config.api_version)
        return True
    if fleet["api_version"] != config.api_version:
        raise OtherApiVersion(fleet["api_version"], config.api_version)
    if fleet["paused"]:
        return False
    waiting = [
        (row["due"] + queue.handicap, queue, row["platform"])
        for queue in _OF_LANE[lane]
        for row in transaction.execute(heads(queue))
    ]
    waiting.sort(key=lambda head: head[0])
    most = config.fresh_seconds if lane is Lane.FRESH else config.batch_seconds
    # However slow a start is here, half of the length is for connections.
    budget = most - min(fleet["start_seconds"], most / 2)
    for _, queue, platform in waiting:
        taken = _take(transaction, queue, platform, budget, config.largest_run)
        if taken:
            return _made(transaction, claim_id, worker, queue, platform, taken, config)
    return bool(waiting)


def _take(
    transaction: Transaction, queue: Queue, platform: str, budget: float, most: int
) -> list[dict[str, Any]]:
    """Lock the oldest that fit into one run. What was locked beyond that is free at the commit."""
    found = transaction.execute(
        _TAKE.format(due=queue.due, waiting=queue.waiting, seconds=queue.seconds, rows=queue.rows),
        {"platform": platform, "budget": budget, "most": most},
    ).fetchall()
    taken: list[dict[str, Any]] = []
    total, crowd = 0.0, most
    for row in found:
        total += row["seconds"]
        crowd = min(crowd, row["crowd"] or most)
        if taken and (total > budget or len(taken) >= crowd):
            break
        taken.append(row)
    return taken


def _made(
    transaction: Transaction,
    claim_id: UUID,
    worker: str,
    queue: Queue,
    platform: str,
    taken: Sequence[dict[str, Any]],
    config: FleetConfig,
) -> Claim:
    ids = [row["connection_id"] for row in taken]
    marks: dict[str, list[ClaimedMark]] = {}
    for row in transaction.execute(
        _TAKE_MARKS, {"ids": ids, "everything": queue.full_read, "lane": queue.lane}
    ):
        marks.setdefault(row["connection_id"], []).append(
            ClaimedMark(row["stream"], row["seq"], row["since"])
        )
    facts = {
        row["connection_id"]: row
        for row in transaction.execute(_MEMBERS, {"claim_id": claim_id, "ids": ids})
    }
    transaction.execute(marks_of.REFRESH, {"ids": ids})
    states = {
        row["connection_id"]: row["state"]
        for row in transaction.execute(
            "select connection_id, state from rutter_fleet.states where connection_id = any(%s)",
            [ids],
        )
    }
    shared = shared_of(transaction, platform)
    transaction.execute(
        "insert into rutter_fleet.claims"
        " (claim_id, worker, lane, platform, full_read, members, started_at, expires_at, shared)"
        " values (%s, %s, %s, %s, %s, %s, clock_timestamp(),"
        " clock_timestamp() + make_interval(secs => %s), %s)",
        [
            claim_id,
            worker,
            queue.lane,
            platform,
            queue.full_read,
            len(ids),
            config.lease_seconds,
            Jsonb(shared),
        ],
    )
    return Claim(
        id=claim_id,
        lane=queue.lane,
        platform=platform,
        members=tuple(
            Member(
                connection_id=row["connection_id"],
                platform=platform,
                rutter_status=facts[row["connection_id"]]["rutter_status"],
                state=states.get(row["connection_id"]),
                marks=tuple(
                    sorted(marks.get(row["connection_id"], ()), key=lambda mark: mark.stream)
                ),
                expected_rows=row["expected"],
                last_seconds=None if row["seconds"] >= _ALONE else row["seconds"],
            )
            for row in taken
        ),
        lease_seconds=config.lease_seconds,
        full_read=queue.full_read,
        shared_state=shared,
    )


def shared_of(transaction: Transaction, platform: str) -> dict[str, Any]:
    """What the state remembers of a platform; what was imported for all, before its first run."""
    row = transaction.execute(
        "select shared from rutter_fleet.platforms where platform in (%s, '*')"
        " order by platform = '*' limit 1",
        [platform],
    ).fetchone()
    return states_of.of_platform(row["shared"], platform) if row else {}
