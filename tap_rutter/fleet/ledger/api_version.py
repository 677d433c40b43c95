"""The API version that a fleet reads: one, since its tables and its state are of that one.

A worker that is set to another waits. Its tap would bring rows in another form into the same
tables, and where the type of a column differs, its target could not make the tables at all.
"""

from __future__ import annotations

from tap_rutter.fleet.ledger.database import Transaction
from tap_rutter.fleet.ledger.errors import OtherApiVersion

_CLAIM_SECONDS = 10
# A run that has been claimed by then may be the other version's: it does not count as the full read
# that is wanted here. A claim that is being made does not see the change, and takes moments.
_CHANGE = f"""
    with them as (
        select connection_id from rutter_fleet.connections
        where status <> 'removed'
        order by connection_id
        for no key update
    )
    update rutter_fleet.connections as c
    set full_at = clock_timestamp() + make_interval(secs => {_CLAIM_SECONDS})
    from them where c.connection_id = them.connection_id
"""


def known(transaction: Transaction) -> str | None:
    """The version that the fleet reads; None before its first claim."""
    row = transaction.execute("select api_version from rutter_fleet.fleet").fetchone()
    return row["api_version"] if row else None


def check(transaction: Transaction, version: str) -> None:
    """Let pass who is set to the fleet's version, whatever it is before the first claim.

    Raises:
        OtherApiVersion: the fleet reads another.
    """
    reads = known(transaction)
    if reads not in (None, version):
        raise OtherApiVersion(reads, version)


def begin(transaction: Transaction, version: str) -> None:
    """Let the fleet read this version, if none is said yet; the first who says it decides."""
    transaction.execute(
        "update rutter_fleet.fleet set api_version = %s where api_version is null", [version]
    )


def change(transaction: Transaction, version: str) -> int:
    """Let the fleet read this version from now on, and all connections be read anew in it.

    Returns:
        How many connections are to be read anew; 0 where nothing changes.
    """
    reads = known(transaction)
    count = 0
    if reads not in (None, version):
        count = transaction.execute(_CHANGE).rowcount
    transaction.execute("update rutter_fleet.fleet set api_version = %s", [version])
    return count
