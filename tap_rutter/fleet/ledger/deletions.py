"""Deletions that webhooks told of, on their way to the warehouse.

The ledger may be in another database than the warehouse. So each is handed out until somebody says
that it has arrived: maybe twice, never not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tap_rutter.fleet.ledger.database import Transaction

KEPT_DAYS = 90
"""For so long after it was copied a deletion stays, so that a webhook that is sent again keeps its
first time."""


@dataclass(frozen=True, slots=True)
class KeptDeletion:
    """A deletion with the time at which its webhook came first."""

    body_sha256: str
    stream: str
    connection_id: str
    object_id: str
    deleted_at: datetime
    """As the payload says; else when the webhook came."""
    state_at: datetime | None


def to_copy(transaction: Transaction, most: int) -> list[KeptDeletion]:
    """Those that have not arrived, oldest first."""
    rows = transaction.execute(
        "select body_sha256, stream, connection_id, object_id,"
        " coalesce(deleted_at, received_at) as deleted_at, state_at"
        " from rutter_fleet.deletions where copied_at is null order by received_at limit %s",
        [most],
    )
    return [KeptDeletion(**row) for row in rows]


def copied(transaction: Transaction, deletions: Sequence[KeptDeletion]) -> None:
    """They have arrived; those that did so long ago are forgotten."""
    transaction.execute(
        "update rutter_fleet.deletions as d set copied_at = clock_timestamp()"
        " from unnest(%s::text[], %s::text[]) as u (body_sha256, stream)"
        " where d.body_sha256 = u.body_sha256 and d.stream = u.stream and d.copied_at is null",
        [[entry.body_sha256 for entry in deletions], [entry.stream for entry in deletions]],
    )
    transaction.execute(
        "delete from rutter_fleet.deletions"
        " where copied_at < clock_timestamp() - make_interval(days => %s)",
        [KEPT_DAYS],
    )
