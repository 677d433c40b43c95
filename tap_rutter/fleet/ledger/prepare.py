"""Tables are prepared before loads: once per form of the tables, by one worker at a time.

Targets that start at once would each create the same schema, table or column, and all but one die.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from tap_rutter.fleet.ledger.database import Database, Transaction
from tap_rutter.fleet.ledger.errors import LedgerError

_NAME = "prepare"
# A lease, not a lock: a holder that is gone does not keep the others waiting for ever, and no
# connection has to stay open meanwhile.
LEASE_SECONDS = 300.0


def prepared(transaction: Transaction, schema_hash: str) -> bool:
    """Whether the tables have this form already."""
    row = transaction.execute(
        "select from rutter_fleet.prepared where schema_hash = %s", [schema_hash]
    ).fetchone()
    return row is not None


@contextmanager
def preparing(database: Database, schema_hash: str, lock_timeout: float) -> Iterator[bool]:
    """The turn to prepare the tables.

    Gives True if the block must prepare them: they count as prepared when it ends, and not if it
    raises. Gives False if somebody has prepared them already. Another form waits, too: two that
    change the same table at once would fail each other.

    Raises:
        LedgerError: others were preparing for longer than ``lock_timeout`` seconds.
    """
    holder = uuid4()
    end = time.monotonic() + lock_timeout
    while True:
        if database.run(lambda transaction: prepared(transaction, schema_hash)):
            yield False
            return
        if database.run(lambda transaction: _take(transaction, holder)):
            break
        if time.monotonic() >= end:
            raise LedgerError(
                f"The tables are being prepared by another worker, for more than {lock_timeout:.0f}"
                " seconds. See what holds its target up, such as a lock on one of the tables."
            )
        time.sleep(random.uniform(0.1, 0.3))
    done = False
    try:
        # Whoever held it before may have prepared the same.
        needed = not database.run(lambda transaction: prepared(transaction, schema_hash))
        yield needed
        done = needed
    finally:
        database.run(lambda transaction: _give_up(transaction, holder, schema_hash, done))


def _take(transaction: Transaction, holder: UUID) -> bool:
    row = transaction.execute(
        """
        insert into rutter_fleet.leases as l (name, holder, expires_at)
        values (%(name)s, %(holder)s, clock_timestamp() + make_interval(secs => %(seconds)s))
        on conflict (name) do update
            set holder = excluded.holder, expires_at = excluded.expires_at
            where l.expires_at <= clock_timestamp() or l.holder = excluded.holder
        returning true as taken
        """,
        {"name": _NAME, "holder": holder, "seconds": LEASE_SECONDS},
    ).fetchone()
    return row is not None


def _give_up(transaction: Transaction, holder: UUID, schema_hash: str, done: bool) -> None:
    if done:
        transaction.execute(
            "insert into rutter_fleet.prepared (schema_hash, prepared_at)"
            " values (%s, clock_timestamp()) on conflict do nothing",
            [schema_hash],
        )
    transaction.execute(
        "delete from rutter_fleet.leases where name = %s and holder = %s", [_NAME, holder]
    )


def forget_prepared(transaction: Transaction) -> None:
    """Have the tables prepared again, as after they were dropped."""
    transaction.execute("delete from rutter_fleet.prepared")
