"""Runs a script on PostgreSQL. Only this needs psycopg, so only this imports it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


class DatabaseError(Exception):
    """The script could not be run. The message holds no password."""


@dataclass(frozen=True)
class Outcome:
    """What a script counted: names of columns, and a row for each table, stream or view."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def run(script: str, dsn: str) -> Outcome:
    """Run a rendered script in the database, as one transaction.

    Args:
        script: the result of ``render``.
        dsn: a libpq URI or connection string. The driver part of an SQLAlchemy URL is removed, so
            the target's ``sqlalchemy_url`` can be used.

    Raises:
        DatabaseError: if psycopg is missing, the database cannot be reached, or the script fails.
    """
    try:
        import psycopg
        from psycopg.conninfo import make_conninfo
    except ImportError as error:
        message = "running SQL needs psycopg: pip install 'tap-rutter[warehouse]'"
        raise DatabaseError(message) from error

    target = None
    with suppress(psycopg.ProgrammingError):
        target = make_conninfo(
            re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", dsn),
            client_encoding="utf8",
            fallback_application_name="rutterctl",
        )
    if target is None:
        # libpq's own message quotes the string with the password, so it is not kept as a cause
        # either.
        message = "the dsn is not a PostgreSQL URI or connection string"
        raise DatabaseError(message)
    try:
        # The script begins and ends its own transaction.
        with psycopg.connect(target, autocommit=True) as connection:
            cursor = connection.execute(script.encode())
            outcome = Outcome((), ())
            while True:
                if cursor.description:
                    columns = tuple(column.name for column in cursor.description)
                    outcome = Outcome(columns, tuple(cursor.fetchall()))
                if not cursor.nextset():
                    return outcome
    except psycopg.Error as error:
        raise DatabaseError(_plainly(error)) from error


def _plainly(error: Any) -> str:
    """The server's message and hint, without the statement, which would be the whole script."""
    lines = [error.diag.message_primary or str(error).strip(), error.diag.message_hint]
    return "\n".join(line for line in lines if line)
