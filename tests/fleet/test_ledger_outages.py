"""The database goes away under the ledger: calls wait a little, or say what is wrong."""

from __future__ import annotations

import random
import threading
from typing import Any

import psycopg
import pytest
from support.ledger import CONFIG, PASSWORD, LedgerWorld, well

from tap_rutter.demo.database import Database
from tap_rutter.fleet.ledger import Ledger, LedgerError, LedgerUnavailable
from tap_rutter.fleet.ledger.database import Database as LedgerDatabase
from tap_rutter.fleet.model import Lane, Mark

_CUT = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = %s and pid <> pg_backend_pid() and application_name = 'rutter-fleet'"
)


def test_calls_go_on_while_sessions_are_cut(ledger_world: LedgerWorld, postgres: Database) -> None:
    ids = [f"c{number}" for number in range(8)]
    ledger_world.settled(*ids)
    (name,) = ledger_world.sql("select current_database() as name")
    stop, failed, rounds = threading.Event(), [], [0, 0]

    def webhooks() -> None:
        try:
            while not stop.is_set():
                ledger_world.ledger.put_webhooks([Mark(id_, "x") for id_ in ids])
                rounds[0] += 1
        except BaseException as error:
            failed.append(error)

    def runs() -> None:
        try:
            while not stop.is_set():
                claim = ledger_world.ledger.claim(Lane.FRESH, "w", config=CONFIG)
                if claim:
                    ledger_world.finish(claim, well(claim))
                    rounds[1] += 1
                ledger_world.sql(
                    "update rutter_fleet.connections set fresh_not_before = '-infinity'"
                )
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=target) for target in (webhooks, runs)]
    for thread in threads:
        thread.start()
    cut = 0
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        while cut < 15 and not failed:
            before = list(rounds)
            cut += len(connection.execute(_CUT, [name["name"]]).fetchall())
            # Each comes through before the next cut, which hits them at another place.
            while not failed and any(now == then for now, then in zip(rounds, before, strict=True)):
                stop.wait(0.001)
            stop.wait(random.uniform(0, 0.02))
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    # Whatever was cut where: after a last run of each, nothing is left over, and nothing was lost.
    ledger_world.later(100)
    for id_ in ledger_world.ledger.expired_claims():
        ledger_world.ledger.bury(id_)
    while claim := ledger_world.ledger.claim(Lane.FRESH, "w", config=CONFIG):
        ledger_world.finish(claim)
        ledger_world.later(100)
    assert ledger_world.sql("select * from rutter_fleet.marks") == []
    assert {row.claim_id for row in ledger_world.ledger.status()} == {None}


@pytest.mark.parametrize(
    "where", ["127.0.0.1:1/db", "/no_such_database?host={host}", "no.such.host.invalid/db"]
)
def test_a_database_that_is_not_there_is_said_without_its_password(
    where: str, postgres: Database
) -> None:
    host = postgres.uri.partition("host=")[2]
    url = f"postgresql://postgres:{PASSWORD}@{where.format(host=host)}"
    ledger = Ledger(url, retry_seconds=0.2)
    with pytest.raises(LedgerError) as caught:
        ledger.due()
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    ledger.close()


@pytest.mark.longer
def test_a_lock_that_is_held_for_long_is_waited_for(ledger_world: LedgerWorld) -> None:
    """Nothing hangs for ever behind a session that keeps a lock."""
    ledger_world.settled("a")
    with (
        psycopg.connect(ledger_world.url) as other,
        Ledger(ledger_world.url, retry_seconds=0) as hasty,
    ):
        other.execute("select * from rutter_fleet.connections for update")
        # A claim skips what is locked.
        ledger_world.sql("select 1")
        assert ledger_world.idle()
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            hasty.put_webhooks([Mark("a", "x")])
        other.rollback()
        hasty.put_webhooks([Mark("a", "x")])


def test_a_closed_ledger_says_so(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    ledger.migrate()
    ledger.close()
    with pytest.raises(LedgerError, match="was closed"):
        ledger.due()


def test_a_pooler_may_give_each_transaction_another_connection(
    ledger_world: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PgBouncer does: nothing may be left in a session that the next transaction relies on."""
    opened = []
    taken = LedgerDatabase._taken

    def fresh(self: LedgerDatabase) -> Any:
        self._drop_free()
        connection = taken(self)
        opened.append(connection)
        return connection

    monkeypatch.setattr(LedgerDatabase, "_taken", fresh)
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "x")])
    claim = ledger_world.claim()
    ledger_world.ledger.renew([claim.id], 60)
    ledger_world.finish(claim)
    with ledger_world.ledger.preparing("x", 1) as needed:
        assert needed
    assert ledger_world.ledger.migrate() == []
    assert len(opened) > 5
    (left,) = ledger_world.sql("select count(*) from pg_locks where locktype = 'advisory'")
    assert left == {"count": 0}
    (left,) = ledger_world.sql("select count(*) from pg_prepared_statements")
    assert left == {"count": 0}
