"""The way to the ledger's database: a small pool, short transactions, tries again.

It works through a pooler that gives a server connection to each transaction (PgBouncer): there are
no prepared statements, no settings and no locks that outlive a transaction.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias, TypeVar

import psycopg
from psycopg import errors, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from tap_rutter.fleet.ledger.errors import LedgerError, LedgerUnavailable
from tap_rutter.redact import SECRETS, redact

Transaction: TypeAlias = psycopg.Connection[DictRow]
"""A connection inside a transaction, with rows as dicts."""

_Result = TypeVar("_Result")

# A server that vanished without a word is noticed within half a minute, not by TCP's two hours.
_LINK: dict[str, str | int] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "client_encoding": "utf8",
}
# A process that is stopped inside a transaction would hold its row locks, and with them webhooks.
_LIMITS = """
    select
        set_config('idle_in_transaction_session_timeout', '10s', true),
        set_config('lock_timeout', %(lock_timeout)s, true),
        set_config('statement_timeout', %(statement_timeout)s, true),
        set_config('timezone', 'UTC', true)
"""
# What passes by itself: the link broke, the server restarts, two transactions were in each other's
# way, or a lock was held for too long.
_TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,
)
_LASTING = (
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidCatalogName,
    errors.DiskFull,
)
_TURN_SECONDS = 10.0
"""How long a thread waits for others of its process that use the ledger."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_logger = logging.getLogger(__name__)


class Database:
    """The ledger's database. Any thread may use it; nothing is opened before the first use."""

    def __init__(self, url: str, *, name: str, pool_size: int, retry_seconds: float) -> None:
        """Take the address: a libpq URI or connection string.

        Args:
            url: the driver part of an SQLAlchemy URL is dropped.
            name: what the server shows as ``application_name``.
            pool_size: connections at once.
            retry_seconds: for how long a call is tried again while the server does not answer.

        Raises:
            LedgerError: the address cannot be read. It is not quoted, since it holds a password.
        """
        self._conninfo = connection_string(url, name, "ledger_url")
        self._turns = threading.BoundedSemaphore(pool_size)
        self._free: list[Transaction] = []
        self._closed = False
        self.retry_seconds = retry_seconds

    def close(self) -> None:
        """Close all connections. A closed database is not opened again."""
        self._closed = True
        self._drop_free()

    def run(
        self, work: Callable[[Transaction], _Result], *, retry_seconds: float | None = None
    ) -> _Result:
        """Do the work in a transaction, again if need be: it must be safe to be done twice.

        Raises:
            LedgerUnavailable: the database did not answer for ``retry_seconds``.
            LedgerError: the database refuses the work, whenever it is asked.
        """
        end = time.monotonic() + (self.retry_seconds if retry_seconds is None else retry_seconds)
        pause = 0.05
        while True:
            try:
                with self.transaction() as transaction:
                    return work(transaction)
            except psycopg.Error as error:
                if isinstance(error, _LASTING) or not isinstance(error, _TRANSIENT):
                    raise LedgerError(plainly("The ledger's database refused", error)) from None
                if time.monotonic() + pause > end:
                    raise LedgerUnavailable(
                        plainly("The ledger's database cannot be used now", error)
                    ) from None
                _logger.debug("The ledger is tried again: %s", type(error).__name__)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 1.0)

    @contextmanager
    def transaction(
        self, *, lock_timeout: float = 5.0, statement_timeout: float = 30.0
    ) -> Iterator[Transaction]:
        """A transaction of the block: committed at its end, undone if it raises."""
        with self._connection() as connection, connection.transaction():
            connection.execute(
                _LIMITS,
                {
                    "lock_timeout": f"{lock_timeout * 1000:.0f}ms",
                    "statement_timeout": f"{statement_timeout * 1000:.0f}ms",
                },
            )
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[Transaction]:
        """One of the pool's connections, opened by whoever needs it: no thread does so unasked."""
        if not self._turns.acquire(timeout=_TURN_SECONDS):
            raise errors.TooManyConnections("all connections of this process are in use")
        try:
            connection = self._taken()
            try:
                yield connection
            finally:
                idle = connection.info.transaction_status is pq.TransactionStatus.IDLE
                if idle and not connection.closed and not self._closed:
                    self._free.append(connection)
                else:
                    connection.close()
                    # What broke this one has broken the others too, as a rule.
                    self._drop_free()
        finally:
            self._turns.release()

    def _taken(self) -> Transaction:
        if self._closed:
            raise LedgerError("The ledger was closed: it cannot be used any more.")
        with suppress(IndexError):
            return self._free.pop()
        return psycopg.connect(
            self._conninfo, autocommit=True, prepare_threshold=None, row_factory=dict_row
        )

    def _drop_free(self) -> None:
        with suppress(IndexError):
            while True:
                self._free.pop().close()


def connection_string(url: str, name: str, setting: str) -> str:
    """An address made ready: with limits for a server that vanishes, and the name that it shows.

    Raises:
        LedgerError: it cannot be read; the setting is named, the address not quoted.
    """
    with suppress(psycopg.ProgrammingError):
        plain = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", url)
        given = conninfo_to_dict(plain)
        SECRETS.add(str(given.get("password") or ""))
        return make_conninfo(
            plain,
            **{key: value for key, value in _LINK.items() if key not in given},
            **({} if "application_name" in given else {"application_name": name}),
        )
    raise LedgerError(
        f"The setting '{setting}' of the fleet is not a PostgreSQL URI or connection string."
    )


def plainly(what: str, error: psycopg.Error) -> str:
    """The server's own message and code; nothing of the statement, nor of the address."""
    if error.diag.message_primary:
        code = f" ({error.sqlstate})" if error.sqlstate else ""
        return redact(f"{what}: {error.diag.message_primary}{code}.")
    # What libpq says of a connection that it could not make, or that broke; it names the host and
    # the user, never the password.
    lines = str(error).strip().splitlines()
    said = (
        f" {lines[0].rstrip('.')}." if isinstance(error, psycopg.OperationalError) and lines else ""
    )
    return redact(f"{what} ({type(error).__name__}).{said}")


def storable(text: str) -> str:
    """The text as PostgreSQL can keep it: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)
