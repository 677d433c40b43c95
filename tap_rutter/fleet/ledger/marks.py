"""What webhooks told: marks and deletions go in; claims take them, runs clear them.

A mark is of one of three kinds, and each kind of a stream is a row of its own, since they are
cleared by different runs: ``since`` (changes from a time on), ``plain`` (no time is known) and
``grown`` (older rows have come).

Marks of a stream that has failed are left to the next run of all streams: ``left_to_sweep``.

Whoever changes marks of a known connection holds the lock of its row in ``connections`` first, in
the order of their ids, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from tap_rutter.fleet.ledger.database import Transaction, storable
from tap_rutter.fleet.ledger.errors import LedgerError
from tap_rutter.fleet.model import ALL_STREAMS, Deletion, Mark

SINCE, PLAIN, GROWN = "since", "plain", "grown"

_LOCK = """
    select connection_id from rutter_fleet.connections
    where connection_id = any(%(ids)s)
    order by connection_id
    for no key update
"""
# A removed connection is never read again, so nothing is kept for it.
_PUT = """
    insert into rutter_fleet.marks as m
        (connection_id, stream, kind, seq, since, first_at, moved_at)
    select
        u.connection_id, u.stream, u.kind, nextval('rutter_fleet.mark_seq'), u.since,
        clock_timestamp(), clock_timestamp()
    from unnest(%(ids)s::text[], %(streams)s::text[], %(kinds)s::text[], %(since)s::timestamptz[])
        with ordinality as u (connection_id, stream, kind, since, place)
    where not exists (
        select from rutter_fleet.connections as c
        where c.connection_id = u.connection_id and c.status = 'removed'
    )
    order by u.place
    on conflict (connection_id, stream, kind) do update set
        seq = excluded.seq,
        since = least(m.since, excluded.since),
        first_at = coalesce(m.first_at, excluded.first_at),
        moved_at = excluded.moved_at
"""
REFRESH = """
    update rutter_fleet.connections as c
    set marked_at = m.marked_at, whole_at = m.whole_at, grown_at = m.grown_at,
        sweep_at = coalesce(c.sweep_at, m.left_at)
    from unnest(%(ids)s::text[]) as u (connection_id)
    cross join lateral (
        select
            min(o.first_at) filter (
                where not o.left_to_sweep
                    and (o.kind = 'since' or (o.kind = 'plain' and o.stream <> '*'))
            ) as marked_at,
            min(o.first_at) filter (where o.kind = 'plain' and o.stream = '*') as whole_at,
            min(o.first_at) filter (where o.kind = 'grown') as grown_at,
            min(o.first_at) filter (where o.left_to_sweep) as left_at
        from rutter_fleet.marks as o
        where o.connection_id = u.connection_id
    ) as m
    where c.connection_id = any(%(ids)s) and c.connection_id = u.connection_id
        and (c.marked_at, c.whole_at, c.grown_at, c.sweep_at)
            is distinct from
            (m.marked_at, m.whole_at, m.grown_at, coalesce(c.sweep_at, m.left_at))
"""
"""Brings the needs of connections up to date with their marks; needs their rows' locks."""
# least() passes over null: what no webhook has touched since is as it was before the claim.
_GIVE_BACK = """
    update rutter_fleet.marks
    set since = least(since, claimed_since), first_at = least(first_at, claimed_first_at),
        claimed_seq = null, claimed_since = null, claimed_first_at = null
    where connection_id = any(%(ids)s) and claimed_seq is not null
"""
_LEAVE_TO_SWEEP = """
    update rutter_fleet.marks as m
    set since = least(m.since, m.claimed_since), first_at = least(m.first_at, m.claimed_first_at),
        claimed_seq = null, claimed_since = null, claimed_first_at = null, left_to_sweep = true
    from unnest(%(ids)s::text[], %(streams)s::text[]) as f (connection_id, stream)
    where (m.connection_id, m.stream) = (f.connection_id, f.stream) and m.claimed_seq is not null
"""
_CLEAR = """
    delete from rutter_fleet.marks
    where connection_id = any(%(ids)s) and claimed_seq = seq
"""
_KEEP_MOVED = """
    update rutter_fleet.marks
    set claimed_seq = null, claimed_since = null, claimed_first_at = null, left_to_sweep = false
    where connection_id = any(%(ids)s) and claimed_seq is not null
"""
# The first time stays, so that a webhook that is sent again deletes nothing that has come since.
_DELETIONS = """
    insert into rutter_fleet.deletions
        (body_sha256, stream, connection_id, object_id, deleted_at, state_at, received_at)
    select u.*, clock_timestamp()
    from unnest(
        %(bodies)s::text[], %(streams)s::text[], %(ids)s::text[], %(objects)s::text[],
        %(times)s::timestamptz[], %(states)s::timestamptz[]
    ) as u (body_sha256, stream, connection_id, object_id, deleted_at, state_at)
    where not exists (
        select from rutter_fleet.connections as c
        where c.connection_id = u.connection_id and c.status = 'removed'
    )
    order by 1, 2
    on conflict do nothing
"""


def kind_of(mark: Mark) -> str:
    """Which of the three kinds of row keeps a mark.

    Raises:
        LedgerError: the mark contradicts itself.
    """
    if mark.grown:
        if mark.stream != ALL_STREAMS or mark.since is not None:
            raise LedgerError(
                "A mark of grown history must be for all streams, and without a time."
            )
        return GROWN
    if mark.since is None:
        return PLAIN
    if mark.since.tzinfo is None:
        raise LedgerError("The time of a mark must have its offset from UTC.")
    return SINCE


def put(transaction: Transaction, marks: Sequence[Mark], deletions: Sequence[Deletion]) -> None:
    """Keep marks and deletions of one group of webhooks."""
    least: dict[tuple[str, str, str], datetime | None] = {}
    for mark in marks:
        key = (storable(mark.connection_id), storable(mark.stream), kind_of(mark))
        known = least.get(key)
        least[key] = mark.since if known is None or mark.since is None else min(known, mark.since)
    if least:
        ids = sorted({connection_id for connection_id, _, _ in least})
        known_ids = [row["connection_id"] for row in transaction.execute(_LOCK, {"ids": ids})]
        rows = sorted(least.items(), key=lambda item: item[0])
        transaction.execute(
            _PUT,
            {
                "ids": [key[0] for key, _ in rows],
                "streams": [key[1] for key, _ in rows],
                "kinds": [key[2] for key, _ in rows],
                "since": [since for _, since in rows],
            },
        )
        transaction.execute(REFRESH, {"ids": known_ids})
    if deletions:
        transaction.execute(
            _DELETIONS,
            {
                "bodies": [storable(deletion.body_sha256) for deletion in deletions],
                "streams": [storable(deletion.stream) for deletion in deletions],
                "ids": [storable(deletion.connection_id) for deletion in deletions],
                "objects": [storable(deletion.object_id) for deletion in deletions],
                "times": [deletion.deleted_at for deletion in deletions],
                "states": [deletion.state_at for deletion in deletions],
            },
        )


def give_back(transaction: Transaction, connection_ids: Iterable[str]) -> None:
    """What a claim took is as if it had not been taken; what moved meanwhile stays moved."""
    ids = {"ids": sorted(connection_ids)}
    transaction.execute(_GIVE_BACK, ids)
    transaction.execute(REFRESH, ids)


def clear(
    transaction: Transaction,
    served: Iterable[str],
    not_served: Iterable[str] = (),
    failed: Iterable[tuple[str, str]] = (),
) -> None:
    """After a run: the marks of those served go, unless they have moved; the others' come back.

    Args:
        transaction: of the run's end.
        served: connections of which what was asked is done, but for their ``failed`` streams.
        not_served: the other connections of the run.
        failed: streams of served connections that were not read, with their connections.
    """
    if pairs := sorted(failed):
        transaction.execute(
            _LEAVE_TO_SWEEP,
            {"ids": [pair[0] for pair in pairs], "streams": [pair[1] for pair in pairs]},
        )
    ids = {"ids": sorted(served)}
    if ids["ids"]:
        transaction.execute(_CLEAR, ids)
        transaction.execute(_KEEP_MOVED, ids)
        transaction.execute(REFRESH, ids)
    if others := sorted(not_served):
        give_back(transaction, others)
