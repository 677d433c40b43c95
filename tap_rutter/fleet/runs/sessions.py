"""The target's sessions in its database: found by the claim that they work for, and ended.

A target keeps working when its worker has been cut off from the ledger, and would write what the
next run of its connections has overtaken. So whoever takes an expired claim over ends its sessions
first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from uuid import UUID

import psycopg

from tap_rutter.errors import TapError
from tap_rutter.names import counted

_NAME = "rutter-fleet"
_CONNECT_SECONDS = 5
_BETWEEN_LOOKS = 0.05

_MINE = "application_name = any(%s) and pid <> pg_backend_pid()"


class SessionsRemain(TapError):
    """Sessions of a lost run could not be ended; the message says why and what to do."""


def session_name(claim_id: UUID) -> str:
    """What the sessions of a claim's target are called (``application_name``)."""
    return f"{_NAME} {claim_id}"


def terminate_sessions(
    database_url: str, claim_ids: Iterable[UUID], *, timeout: float = 10.0
) -> int:
    """End the sessions of these claims' targets, and wait until they are gone.

    Args:
        database_url: The target's database, as a role that may end the target's sessions: the
            same role, a member of it, or one that has ``pg_signal_backend``.
        claim_ids: Of the claims that are taken over.
        timeout: Seconds to wait for them to be gone.

    Returns:
        How many there were.

    Raises:
        SessionsRemain: when some are still there, or may not be ended.
        psycopg.OperationalError: when the database does not answer.
    """
    names = [session_name(claim_id) for claim_id in claim_ids]
    if not names:
        return 0
    end = time.monotonic() + timeout
    ended: set[int] = set()
    with psycopg.connect(
        database_url, autocommit=True, connect_timeout=_CONNECT_SECONDS
    ) as connection:
        while True:
            try:
                rows = connection.execute(
                    f"select pid, pg_terminate_backend(pid) from pg_stat_activity where {_MINE}",
                    [names],
                ).fetchall()
            except psycopg.errors.InsufficientPrivilege:
                raise SessionsRemain(
                    "The role of the target's database_url may not end the target's sessions:"
                    " use the target's role, or grant it pg_signal_backend."
                ) from None
            ended |= {pid for pid, _ in rows}
            if not rows:
                return len(ended)
            if time.monotonic() >= end:
                raise SessionsRemain(
                    f"{counted(len(rows), 'session')} of runs that were lost did not end within"
                    f" {timeout:.0f} seconds; see pg_stat_activity, application_name '{_NAME} …'."
                )
            time.sleep(_BETWEEN_LOOKS)


def is_reachable(database_url: str) -> bool:
    """Whether the target's database lets anybody in just now."""
    try:
        psycopg.connect(database_url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg.Error:
        return False
    return True
