"""Leases: for how long a claim is held, and how it ends.

Whether a lease still lasts is asked of ``clock_timestamp()``, not of the transaction's start: it
may have waited for the claim's row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from tap_rutter.fleet.ledger.database import Transaction
from tap_rutter.fleet.ledger.errors import ClaimLost

_HELD = """
    select claim_id, lane, platform, full_read, members, started_at, shared
    from rutter_fleet.claims
    where claim_id = %s and ended_at is null and expires_at > clock_timestamp()
    for no key update
"""


def hold(transaction: Transaction, claim_id: UUID) -> dict[str, Any]:
    """The claim's row, locked until the end of the transaction, so that nobody buries it meanwhile.

    Raises:
        ClaimLost: the lease has run out, or the claim has ended.
    """
    row = transaction.execute(_HELD, [claim_id]).fetchone()
    if row is None:
        raise ClaimLost(claim_id)
    return row


def renew(transaction: Transaction, claim_ids: Iterable[UUID], lease_seconds: float) -> set[UUID]:
    """Lengthen leases that last; one that ran out is never revived, since it may be taken over."""
    rows = transaction.execute(
        """
        with held as (
            select claim_id from rutter_fleet.claims
            where claim_id = any(%s) and ended_at is null and expires_at > clock_timestamp()
            order by claim_id
            for no key update
        )
        update rutter_fleet.claims as c
        set expires_at = clock_timestamp() + make_interval(secs => %s)
        from held
        where c.claim_id = held.claim_id
        returning c.claim_id
        """,
        [list(claim_ids), lease_seconds],
    )
    return {row["claim_id"] for row in rows}


def expired(transaction: Transaction) -> list[UUID]:
    """Claims whose lease ran out, oldest first."""
    rows = transaction.execute(
        "select claim_id from rutter_fleet.claims"
        " where ended_at is null and expires_at <= clock_timestamp() order by expires_at"
    )
    return [row["claim_id"] for row in rows]


def has_ended(transaction: Transaction, claim_id: UUID, how: str) -> bool:
    """Whether the claim has ended in this way: finished, released or buried."""
    row = transaction.execute(
        "select from rutter_fleet.claims where claim_id = %s and ended = %s", [claim_id, how]
    ).fetchone()
    return row is not None


def end(transaction: Transaction, claim_id: UUID, how: str) -> None:
    """Mark the claim as ended. Its connections are the caller's to free."""
    transaction.execute(
        "update rutter_fleet.claims set ended_at = clock_timestamp(), ended = %s"
        " where claim_id = %s",
        [how, claim_id],
    )


def members_of(transaction: Transaction, claim_id: UUID) -> list[dict[str, Any]]:
    """The rows of the claim's connections, locked, in the order of their ids."""
    return transaction.execute(
        "select connection_id, read_once, fresh_failures, sweep_failures, partial_runs, lost, crowd"
        " from rutter_fleet.connections where claim_id = %s"
        " order by connection_id for no key update",
        [claim_id],
    ).fetchall()


def is_open(transaction: Transaction, claim_id: UUID) -> bool:
    """Whether there is such a claim, and it has not ended."""
    row = transaction.execute(
        "select from rutter_fleet.claims where claim_id = %s and ended_at is null", [claim_id]
    ).fetchone()
    return row is not None
