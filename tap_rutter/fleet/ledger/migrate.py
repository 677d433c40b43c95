"""Brings the ledger's tables to what this code knows, by itself, under a lock.

The files in ``migrations/`` are applied in the order of their numbers, each once. A file says in
its first line which code may go on working with what it makes, so that two versions can run side
by side while workers are replaced: a ledger that is newer than the code is refused only where the
code would do harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tap_rutter.fleet.ledger.database import Database, Transaction
from tap_rutter.fleet.ledger.errors import LedgerError

_FILE = re.compile(r"(\d{4})_\w+\.sql")
_WORKS_WITH = re.compile(r"-- works-with: (\d+)\n")
# Any number that nothing else of this product uses; PostgreSQL's advisory locks have no names.
_LOCK = 0x7275_7474_6572
_WAIT = "120s"


@dataclass(frozen=True)
class Migration:
    """One step of the tables."""

    number: int
    name: str
    works_with: int
    """The oldest number that code may know and still work with the tables after this step."""
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All that this code knows, in order."""
    found = []
    for entry in files(__package__).joinpath("migrations").iterdir():
        if match := _FILE.fullmatch(entry.name):
            text = entry.read_text(encoding="utf-8")
            first = _WORKS_WITH.match(text)
            if first is None:
                raise LedgerError(f"The migration {entry.name} does not say what works with it.")
            found.append(Migration(int(match[1]), entry.name[:-4], int(first[1]), text))
    return tuple(sorted(found, key=lambda migration: migration.number))


def migrate(database: Database, known: tuple[Migration, ...] | None = None) -> list[str]:
    """Apply what is missing; from many processes at once, one does it and the others wait.

    Returns:
        The names of what this call applied.

    Raises:
        LedgerError: the ledger is newer than this code, and says that this code would do harm; or
            a statement was refused. Then nothing was changed.
    """
    steps = migrations() if known is None else known
    return database.run(lambda transaction: _apply(transaction, steps))


def _apply(transaction: Transaction, steps: tuple[Migration, ...]) -> list[str]:
    transaction.execute("select set_config('statement_timeout', '0', true)")
    transaction.execute("select set_config('lock_timeout', %s, true)", [_WAIT])
    if _is_current(transaction, steps):
        return []
    # Before the schema is made: even "create schema if not exists" fails when two do it at once.
    transaction.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    transaction.execute("create schema if not exists rutter_fleet")
    transaction.execute(
        "create table if not exists rutter_fleet.migrations ("
        " number integer primary key, name text not null, works_with integer not null,"
        " applied_at timestamptz not null default clock_timestamp())"
    )
    if _is_current(transaction, steps):  # somebody else's work, while this one waited
        return []
    applied = _applied(transaction)
    applied_now = []
    for step in steps:
        if step.number not in applied:
            transaction.execute(step.sql.encode())
            transaction.execute(
                "insert into rutter_fleet.migrations (number, name, works_with)"
                " values (%s, %s, %s)",
                [step.number, step.name, step.works_with],
            )
            applied_now.append(step.name)
    return applied_now


def _is_current(transaction: Transaction, steps: tuple[Migration, ...]) -> bool:
    """Whether nothing is missing; without a lock, so that a start waits for nobody.

    Raises:
        LedgerError: the ledger has been changed by code that this one cannot work beside.
    """
    there = transaction.execute("select to_regclass('rutter_fleet.migrations') as it").fetchone()
    if there is None or there["it"] is None:
        return False
    applied = _applied(transaction)
    newest = max((step.number for step in steps), default=0)
    needed = max((works_with for works_with in applied.values()), default=0)
    if needed > newest:
        raise LedgerError(
            f"The ledger was brought to migration {max(applied)} by a newer version of this"
            f" package, and needs one that knows migration {needed}; this one knows {newest}."
            " Upgrade tap-rutter here."
        )
    return all(step.number in applied for step in steps)


def _applied(transaction: Transaction) -> dict[int, int]:
    rows = transaction.execute("select number, works_with from rutter_fleet.migrations")
    return {row["number"]: row["works_with"] for row in rows}
