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
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

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
        self._conninfo = _conninfo(url, name)
        self._size = pool_size
        self.retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._pool: ConnectionPool[psycopg.Connection[DictRow]] | None = None
        self._closed = False

    def close(self) -> None:
        """Close all connections. A closed database is not opened again."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(timeout=5)

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
            except PoolClosed:
                raise LedgerError("The ledger was closed.") from None
            except psycopg.Error as error:
                if isinstance(error, _LASTING) or not isinstance(error, _TRANSIENT):
                    raise LedgerError(_plainly("The ledger's database refused", error)) from None
                if time.monotonic() + pause > end:
                    raise LedgerUnavailable(
                        _plainly("The ledger's database cannot be used now", error)
                    ) from None
                _logger.debug("The ledger is tried again: %s", type(error).__name__)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 1.0)

    @contextmanager
    def transaction(
        self, *, lock_timeout: float = 5.0, statement_timeout: float = 30.0
    ) -> Iterator[Transaction]:
        """A transaction of the block: committed at its end, undone if it raises."""
        with self._open().connection(timeout=5.0) as connection, connection.transaction():
            connection.execute(
                _LIMITS,
                {
                    "lock_timeout": f"{lock_timeout * 1000:.0f}ms",
                    "statement_timeout": f"{statement_timeout * 1000:.0f}ms",
                },
            )
            yield connection

    def _open(self) -> ConnectionPool[psycopg.Connection[DictRow]]:
        with self._lock:
            if self._closed:
                raise PoolClosed("closed")
            if self._pool is None:
                # The pool's own log lines quote libpq, which quotes the address's parts.
                logging.getLogger("psycopg.pool").addFilter(_hide)
                self._pool = ConnectionPool(
                    self._conninfo,
                    connection_class=psycopg.Connection[DictRow],
                    min_size=0,
                    max_size=self._size,
                    max_idle=120.0,
                    reconnect_timeout=5.0,
                    kwargs={"autocommit": True, "prepare_threshold": None, "row_factory": dict_row},
                    open=True,
                )
            return self._pool


def _hide(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage()), ()
    return True


def _conninfo(url: str, name: str) -> str:
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
        "The ledger's address is not a PostgreSQL URI or connection string: see the setting"
        " 'ledger_url' of [fleet]."
    )


def _plainly(what: str, error: Exception) -> str:
    """The server's own message and code; nothing of the statement, nor of the address."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        code = f" ({error.sqlstate})" if error.sqlstate else ""
        return redact(f"{what}: {error.diag.message_primary}{code}.")
    if isinstance(error, PoolTimeout):
        return f"{what}: no connection to it within seconds. See whether it runs, and its address."
    if isinstance(error, psycopg.OperationalError):
        return f"{what}: the connection broke ({type(error).__name__})."
    return f"{what}: {type(error).__name__}."


def storable(text: str) -> str:
    """The text as PostgreSQL can keep it: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)
