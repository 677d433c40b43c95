"""Brings the deletions that webhooks told of to the warehouse, for ``apply-deletions`` to read.

The warehouse's table ``webhook_deletions`` stands beside ``deleted_objects``, in the target's
schema. A deletion arrives once: what is copied again, after a crash between two commits, meets its
own key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tap_rutter.errors import TapError
from tap_rutter.fleet.ledger.deletions import KeptDeletion

TABLE = "webhook_deletions"
_GROUP = 1_000
# Times as the target loads them: UTC without a zone.
_CREATE = """
    create table {table} (
        body_sha256 text not null,
        stream text not null,
        connection_id text not null,
        object_id text not null,
        deleted_at timestamp not null,
        state_at timestamp,
        primary key (body_sha256, stream)
    )
"""
_INSERT = """
    insert into {table} (body_sha256, stream, connection_id, object_id, deleted_at, state_at)
    select * from unnest(
        %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamp[], %s::timestamp[]
    )
    on conflict do nothing
"""
# The lock that the warehouse's scripts take: a table is not made while one of them works.
_LOCK = "select pg_advisory_xact_lock(hashtextextended('tap-rutter warehouse ' || %s, 0))"


class WarehouseError(TapError):
    """The warehouse did not take it; nothing is lost, the next copy brings it."""


class KeptDeletions(Protocol):
    """What is asked of the ledger."""

    def deletions_to_copy(self, most: int = _GROUP) -> list[KeptDeletion]:
        """Deletions that have not arrived."""

    def deletions_copied(self, arrived: Sequence[KeptDeletion]) -> None:
        """They have arrived."""


def copy_deletions(ledger: KeptDeletions, database_url: str, schema: str) -> int:
    """Copy what has not arrived; safe from any number of processes, and to be done again.

    Args:
        ledger: where they are kept.
        database_url: the warehouse; the target's ``sqlalchemy_url`` serves as it is.
        schema: the target's ``default_target_schema``. Before it is there, nothing is copied: no
            row has been loaded that could be deleted.

    Returns:
        How many were copied.

    Raises:
        WarehouseError: the database cannot be reached, or refuses.
        LedgerError: the ledger does.
    """
    count = 0
    while found := ledger.deletions_to_copy(_GROUP):
        if not _put(database_url, schema, found):
            break
        ledger.deletions_copied(found)
        count += len(found)
    return count


def _put(database_url: str, schema: str, found: Sequence[KeptDeletion]) -> bool:
    table = sql.Identifier(schema, TABLE)
    target = None
    with suppress(psycopg.ProgrammingError):
        plain = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", database_url)
        target = make_conninfo(plain, connect_timeout=10, client_encoding="utf8")
    if target is None:
        # libpq's own message would quote the password: not even as a context.
        raise WarehouseError("The warehouse's address is not a PostgreSQL URI.")
    try:
        with psycopg.connect(target, prepare_threshold=None) as connection:
            there = connection.execute(
                "select to_regnamespace(quote_ident(%s)) is not null,"
                " to_regclass(format('%%I.%%I', %s::text, %s::text)) is not null",
                [schema, schema, TABLE],
            ).fetchone()
            has_schema, has_table = there or (False, False)
            if not has_schema:
                return False
            if not has_table:
                _create(connection, table, schema)
            connection.execute(
                sql.SQL(_INSERT).format(table=table),
                [
                    [entry.body_sha256 for entry in found],
                    [entry.stream for entry in found],
                    [entry.connection_id for entry in found],
                    [entry.object_id for entry in found],
                    [_without_zone(entry.deleted_at) for entry in found],
                    [_without_zone(entry.state_at) for entry in found],
                ],
            )
            return True
    except psycopg.Error as error:
        said = error.diag.message_primary or type(error).__name__
        raise WarehouseError(
            f"The deletions that webhooks told of cannot be written to {schema}.{TABLE}: {said}."
            " They stay in the ledger until they can."
        ) from None


def _create(connection: psycopg.Connection, table: sql.Identifier, schema: str) -> None:
    connection.execute(_LOCK, [schema])
    there = connection.execute(
        "select to_regclass(format('%%I.%%I', %s::text, %s::text)) is not null", [schema, TABLE]
    ).fetchone()
    if there is None or not there[0]:
        connection.execute(sql.SQL(_CREATE).format(table=table))


def _without_zone(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
