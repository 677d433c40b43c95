"""What Rutter's list of connections, and the clock, make due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import marks
from tap_rutter.fleet.ledger.database import Transaction, storable
from tap_rutter.fleet.model import Listed, Listing

_LOCK = 0x7275_7474_6573
PARKED_STATUSES = frozenset({"disabled", "needs_reauth", "not_ready"})
"""Connections with such a status at Rutter are parked until it changes."""
_CHUNK = 1_000

_ADD = """
    insert into rutter_fleet.connections
        (connection_id, platform, name, rutter_status, status, parked_by, parked_reason, sweep_at,
         read_once)
    select
        u.connection_id, u.platform, u.name, u.rutter_status,
        case when u.read then 'active' else 'parked' end,
        case when not u.read then 'status' end,
        case when not u.read then u.rutter_status end,
        clock_timestamp(),
        -- A state that was imported says that it was read before.
        exists (select from rutter_fleet.states as s where s.connection_id = u.connection_id)
    from unnest(%(ids)s::text[], %(platforms)s::text[], %(names)s::text[], %(statuses)s::text[],
        %(read)s::boolean[]) as u (connection_id, platform, name, rutter_status, read)
    order by u.connection_id
    on conflict (connection_id) do nothing
    returning connection_id
"""
_UPDATE = """
    update rutter_fleet.connections as c
    set platform = u.platform, name = u.name, rutter_status = u.rutter_status,
        unlisted_since = null
    from unnest(%(ids)s::text[], %(platforms)s::text[], %(names)s::text[], %(statuses)s::text[])
        as u (connection_id, platform, name, rutter_status)
    where c.connection_id = u.connection_id and c.status <> 'removed'
"""
# The conditions hold what this listing was judged by: what an operator did meanwhile stays.
_PARK = """
    update rutter_fleet.connections as c
    set status = 'parked', parked_by = %(by)s, parked_reason = coalesce(%(reason)s, rutter_status),
        status_since = clock_timestamp()
    where c.connection_id = any(%(ids)s) and c.status = 'active'
    returning c.connection_id
"""
# What changed while it was parked is read by a run of all streams, from its old bookmarks.
_REVIVE = """
    update rutter_fleet.connections as c
    set status = 'active', parked_by = null, parked_reason = null,
        status_since = clock_timestamp(), sweep_at = clock_timestamp(),
        sweep_failures = case when c.parked_by = 'failures' then 0 else c.sweep_failures end,
        fresh_failures = case when c.parked_by = 'failures' then 0 else c.fresh_failures end
    where c.connection_id = any(%(ids)s) and c.status = 'parked' and c.parked_by <> 'operator'
    returning c.connection_id
"""


def record(
    transaction: Transaction, rows: Sequence[Listed], parking: frozenset[str] = PARKED_STATUSES
) -> Listing:
    """Add what is new, revive or park by status, park what is missing from two listings in a row.

    Two, since a listing that is cut short must not stop the fleet. A removed connection stays
    removed. What an operator parked stays parked. One that was parked for its failures comes back
    when its status at Rutter changes for the better.
    """
    # One listing at a time: an older one must not undo a newer one row by row.
    transaction.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    known: dict[str, Mapping[str, Any]] = {
        row["connection_id"]: row
        for row in transaction.execute(
            "select connection_id, platform, name, rutter_status, status, parked_by,"
            " unlisted_since from rutter_fleet.connections"
        )
    }
    listed = {row.id: row for row in map(_storable, rows)}
    new = [row for id_, row in sorted(listed.items()) if id_ not in known]
    changed, park, revive = [], [], []
    for id_, row in sorted(listed.items()):
        old = known.get(id_)
        if old is None or old["status"] == "removed":
            continue
        if old["unlisted_since"] is not None or (
            (old["platform"], old["name"], old["rutter_status"])
            != (row.platform, row.name, row.status)
        ):
            changed.append(row)
        if row.status in parking:
            if old["status"] == "active":
                park.append(id_)
        elif old["status"] == "parked" and (
            old["parked_by"] in ("status", "unlisted")
            or (old["parked_by"] == "failures" and old["rutter_status"] in parking)
        ):
            revive.append(id_)
    missing = {
        id_: old
        for id_, old in known.items()
        if id_ not in listed and old["status"] != "removed" and old["parked_by"] != "unlisted"
    }
    _lock(transaction, [*(row.id for row in changed), *park, *revive, *missing])
    added = _add(transaction, new, parking)
    if changed:
        transaction.execute(
            _UPDATE,
            {
                "ids": [row.id for row in changed],
                "platforms": [row.platform for row in changed],
                "names": [row.name for row in changed],
                "statuses": [row.status for row in changed],
            },
        )
    gone = [id_ for id_, old in missing.items() if old["unlisted_since"] is not None]
    first_time = [id_ for id_, old in missing.items() if old["unlisted_since"] is None]
    if first_time:
        transaction.execute(
            "update rutter_fleet.connections set unlisted_since = clock_timestamp()"
            " where connection_id = any(%s)",
            [first_time],
        )
    unlisted = _ids(transaction, _PARK, {"ids": gone, "by": "unlisted", "reason": "unlisted"})
    parked = _ids(transaction, _PARK, {"ids": park, "by": "status", "reason": None})
    revived = _ids(transaction, _REVIVE, {"ids": revive})
    transaction.execute("update rutter_fleet.fleet set listed_at = clock_timestamp()")
    return Listing(added=tuple(added), revived=revived, parked=parked, unlisted=unlisted)


def _storable(row: Listed) -> Listed:
    name = None if row.name is None else storable(row.name)
    return Listed(storable(row.id), storable(row.platform), storable(row.status), name)


def _lock(transaction: Transaction, ids: Sequence[str]) -> None:
    if ids:
        transaction.execute(
            "select from rutter_fleet.connections where connection_id = any(%s)"
            " order by connection_id for no key update",
            [sorted(set(ids))],
        )


def _add(transaction: Transaction, new: Sequence[Listed], parking: frozenset[str]) -> list[str]:
    if not new:
        return []
    rows = transaction.execute(
        _ADD,
        {
            "ids": [row.id for row in new],
            "platforms": [row.platform for row in new],
            "names": [row.name for row in new],
            "statuses": [row.status for row in new],
            "read": [row.status not in parking for row in new],
        },
    )
    added = sorted(row["connection_id"] for row in rows)
    # Webhooks may have come before the listing knew of it.
    transaction.execute(marks.REFRESH, {"ids": added})
    return added


def _ids(transaction: Transaction, query: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    if not values["ids"]:
        return ()
    return tuple(sorted(row["connection_id"] for row in transaction.execute(query, values)))


# Most stale first: the need is as old as the moment at which the interval ended.
_SWEEP = """
    with stale as (
        select connection_id from rutter_fleet.connections
        where connection_id > %(after)s and status = 'active' and claim_id is null
            and sweep_at is null
            and coalesce(swept_at, added_at) <= now() - make_interval(mins => %(minutes)s)
        order by connection_id
        limit %(chunk)s
        for no key update skip locked
    )
    update rutter_fleet.connections as c
    set sweep_at = coalesce(c.swept_at, c.added_at) + make_interval(mins => %(minutes)s)
    from stale where c.connection_id = stale.connection_id
    returning c.connection_id
"""
# Each connection has a moment of its own in the first quarter of the period, by its id: with 24
# hours, between midnight and six (UTC). What was read whole since that moment is not read again.
_FULL = """
    with slots as (
        select connection_id, full_read_at, added_at,
            to_timestamp(floor(extract(epoch from now()) / %(period)s) * %(period)s)
            + make_interval(secs => %(period)s / 4
                * (hashtextextended(connection_id, 0) & 2147483647) / 2147483648.0) as slot
        from rutter_fleet.connections
        where connection_id > %(after)s and status = 'active' and claim_id is null
            and full_at is null and read_once
    ),
    wanted as (
        select connection_id,
            case when slot <= now() then slot
                else slot - make_interval(secs => %(period)s) end as slot
        from slots
        where coalesce(full_read_at, added_at) < case when slot <= now() then slot
            else slot - make_interval(secs => %(period)s) end
        order by connection_id
        limit %(chunk)s
    ),
    locked as (
        select c.connection_id, w.slot
        from rutter_fleet.connections as c
        join wanted as w using (connection_id)
        where c.claim_id is null and c.full_at is null
        order by c.connection_id
        for no key update of c skip locked
    )
    update rutter_fleet.connections as c set full_at = l.slot
    from locked as l where c.connection_id = l.connection_id
    returning c.connection_id
"""
_LANES = """
    update rutter_fleet.connections
    set heavy = coalesce(sweep_rows >= %(bulk_rows)s, false),
        large = coalesce(full_rows >= %(bulk_rows)s, true)
    where claim_id is null and (
        heavy <> coalesce(sweep_rows >= %(bulk_rows)s, false)
        or large <> coalesce(full_rows >= %(bulk_rows)s, true)
    )
"""
# Should a need and its marks ever differ, the marks are right: none is forgotten.
_FORGOTTEN = """
    select distinct m.connection_id
    from rutter_fleet.marks as m
    join rutter_fleet.connections as c using (connection_id)
    where c.claim_id is null and c.status <> 'removed' and (
        m.claimed_seq is not null
        or case
            when m.kind = 'grown' then c.grown_at
            when m.kind = 'plain' and m.stream = '*' then c.whole_at
            when m.left_to_sweep then c.sweep_at
            else c.marked_at
        end is null
    )
    order by 1
"""


def make_due_step(
    transaction: Transaction, config: FleetConfig, full: bool, after: str
) -> tuple[int, str | None]:
    """Make some of what is stale due: for a run of all streams, or for a full read.

    Returns:
        How many, and after which id to go on; None if that was all.
    """
    query = _FULL if full else _SWEEP
    rows = transaction.execute(
        query,
        {
            "minutes": config.sweep_minutes,
            "period": config.full_read_hours * 3600.0,
            "chunk": _CHUNK,
            "after": after,
        },
    ).fetchall()
    last = max((row["connection_id"] for row in rows), default=None)
    return len(rows), last if len(rows) >= _CHUNK else None


def tidy(transaction: Transaction, config: FleetConfig) -> None:
    """Settings that were changed take hold; what was forgotten is found; what is old goes."""
    transaction.execute(_LANES, {"bulk_rows": config.bulk_rows})
    forgotten = [row["connection_id"] for row in transaction.execute(_FORGOTTEN)]
    if forgotten:
        # Locked first, and looked at again: a claim or a webhook may be at work on them.
        rows = transaction.execute(
            "select connection_id from rutter_fleet.connections where connection_id = any(%s)"
            " and claim_id is null order by connection_id for no key update skip locked",
            [forgotten],
        )
        marks.give_back(transaction, [row["connection_id"] for row in rows])
    transaction.execute(
        "delete from rutter_fleet.claims where ended_at < clock_timestamp() - interval '1 hour'"
    )
    # Of connections that no listing has shown: a first read would bring everything anyway.
    transaction.execute(
        "delete from rutter_fleet.marks as m where m.moved_at < clock_timestamp() -"
        " interval '30 days' and not exists (select from rutter_fleet.connections as c"
        " where c.connection_id = m.connection_id)"
    )
