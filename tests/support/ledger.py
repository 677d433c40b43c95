"""A ledger of a test's own, whose clock can be moved on."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tap_rutter.demo.database import Database
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.model import Claim, ConnectionOutcome, Fault, Lane, Listed, RunResult

NIGHTLY = FleetConfig(ledger_url="postgresql:")
"""All settings at their defaults. Full reads are due at night, by the database's clock."""
CONFIG = replace(NIGHTLY, full_read_hours=0)
"""The same without full reads, so that nothing depends on the time of day."""
PASSWORD = "a-word-that-nobody-may-see"
_numbers = itertools.count()


@contextmanager
def own_database(server: Database) -> Iterator[str]:
    """The address, with a password in it, of an empty database that is dropped at the end."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.uri, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        yield server.uri.replace("//postgres@/rutter?", f"//postgres:{PASSWORD}@/{name}?")
    finally:
        with psycopg.connect(server.uri, autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )


class LedgerWorld:
    """A migrated ledger, what is in its tables, and shorthands for a fleet's life."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ledger = Ledger(url)
        self.ledger.migrate()
        self._direct = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def close(self) -> None:
        self._direct.close()
        self.ledger.close()

    def sql(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query, straight from the database."""
        cursor = self._direct.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, connection_id: str, columns: str) -> dict[str, Any]:
        """Columns of one connection."""
        (row,) = self.sql(
            f"select {columns} from rutter_fleet.connections where connection_id = %s",
            connection_id,
        )
        return row

    def marks(self, connection_id: str) -> dict[tuple[str, str], dict[str, Any]]:
        """The marks of a connection, by stream and kind."""
        rows = self.sql("select * from rutter_fleet.marks where connection_id = %s", connection_id)
        return {(row["stream"], row["kind"]): row for row in rows}

    def later(self, seconds: float) -> None:
        """As if so many seconds had passed: every time in the ledger moves into the past."""
        columns = self.sql(
            "select c.table_name, c.column_name from information_schema.columns as c"
            " join information_schema.tables as t using (table_schema, table_name)"
            " where c.table_schema = 'rutter_fleet' and t.table_type = 'BASE TABLE'"
            " and c.data_type = 'timestamp with time zone' and c.is_generated = 'NEVER'"
            " and c.column_name not in ('since', 'claimed_since', 'deleted_at', 'applied_at')"
        )
        tables: dict[str, list[str]] = {}
        for row in columns:
            tables.setdefault(row["table_name"], []).append(row["column_name"])
        while not self._moved(tables, seconds):
            pass  # a worker and this held what the other wanted: nothing was moved

    def _moved(self, tables: Mapping[str, list[str]], seconds: float) -> bool:
        try:
            with self._direct.transaction():
                for table, names in tables.items():
                    moved = ", ".join(
                        f"{name} = {name} - make_interval(secs => %s)" for name in names
                    )
                    self.sql(f"update rutter_fleet.{table} set {moved}", *[seconds] * len(names))
        except psycopg.errors.DeadlockDetected:
            return False
        return True

    def list(self, *ids: str, platform: str = "QUICKBOOKS", status: str = "active") -> None:
        """One listing that shows what the ledger has, and these connections as they are here."""
        rows = {
            row["connection_id"]: Listed(
                row["connection_id"], row["platform"], row["rutter_status"]
            )
            for row in self.sql(
                "select * from (select connection_id, platform, rutter_status"
                " from rutter_fleet.connections) as c"
            )
        }
        rows |= {id_: Listed(id_, platform, status) for id_ in ids}
        self.ledger.record_listing(list(rows.values()))

    def settled(self, *ids: str, platform: str = "QUICKBOOKS") -> None:
        """Connections that have been read once and need nothing now: small ones."""
        self.list(*ids, platform=platform)
        self.sql(
            "update rutter_fleet.connections set read_once = true, large = false, sweep_at = null,"
            " swept_at = clock_timestamp(), full_read_at = clock_timestamp(), full_rows = 10"
            " where connection_id = any(%s)",
            list(ids),
        )

    def claim(
        self, lane: Lane = Lane.FRESH, worker: str = "worker", config: FleetConfig = CONFIG
    ) -> Claim:
        """A claim of a lane that has something due."""
        claim = self.ledger.claim(lane, worker, config=config)
        assert claim is not None, f"nothing is due in {lane}"
        return claim

    def idle(self, lane: Lane = Lane.FRESH) -> bool:
        """Whether nothing can be claimed in the lane."""
        return self.ledger.claim(lane, "idle", config=CONFIG) is None

    def finish(self, claim: Claim, result: RunResult | None = None) -> None:
        """End a claim: well, unless a result says otherwise."""
        self.ledger.finish(claim, result or well(claim), config=CONFIG)


def well(claim: Claim, rows: int = 1, seconds: float = 1.0) -> RunResult:
    """A run that served all members."""
    return RunResult(
        tuple(
            ConnectionOutcome(connection_id, succeeded=True, rows=rows, requests=1)
            for connection_id in claim.connection_ids
        ),
        seconds,
    )


def badly(claim: Claim, *failed: str, reason: str = "refused") -> RunResult:
    """A run in which these members failed of themselves, or all if none is named."""
    return RunResult(
        tuple(
            ConnectionOutcome(
                connection_id,
                succeeded=bool(failed) and connection_id not in failed,
                reason=None if failed and connection_id not in failed else reason,
                message="Rutter said no.",
            )
            for connection_id in claim.connection_ids
        ),
        1.0,
        fault=Fault.CONNECTION,
    )


def died(fault: Fault = Fault.RUN) -> RunResult:
    """A run whose target died, or that failed as the whole fleet does."""
    return RunResult((), 1.0, fault=fault, message="the target died", target_exit=-9)


def state_of(connection_id: str, value: str, stream: str = "commerce_orders") -> dict[str, Any]:
    """A tap's state of one connection, with one bookmark."""
    partition: Mapping[str, Any] = {
        "context": {"connection_id": connection_id},
        "replication_key": "updated_at",
        "replication_key_value": value,
    }
    return {"bookmarks": {stream: {"partitions": [partition]}}}
