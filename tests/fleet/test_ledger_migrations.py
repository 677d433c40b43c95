"""The ledger's tables come by themselves, once, and old code beside a newer ledger is told so."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.ledger import PASSWORD, LedgerWorld

from tap_rutter.fleet.ledger import Ledger, LedgerError
from tap_rutter.fleet.ledger.database import Database
from tap_rutter.fleet.ledger.migrate import Migration, migrate, migrations

_START = """
import sys
from tap_rutter.fleet.ledger import Ledger
ledger = Ledger(sys.argv[1])
sys.stdin.readline()
print(ledger.migrate())
"""


def test_eight_processes_that_start_at_once_make_one_ledger(ledger_url: str) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", _START, ledger_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("go\n")
        start.stdin.flush()
    said = [start.communicate() for start in starts]
    assert [start.returncode for start in starts] == [0] * 8, said
    everything = str([step.name for step in migrations()])
    assert sorted(out.strip() for out, _ in said) == sorted([everything, *["[]"] * 7])


def test_a_start_after_the_first_applies_nothing(ledger_world: LedgerWorld) -> None:
    assert ledger_world.ledger.migrate() == []


def test_numbers_of_migrations_have_no_gap() -> None:
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(step.works_with <= step.number for step in migrations())


def _newer(works_with: int, sql: str = "select 1") -> tuple[Migration, ...]:
    number = len(migrations()) + 1
    return (*migrations(), Migration(number, f"{number:04}_newer", works_with, sql))


def test_a_version_beside_a_newer_one_goes_on_where_it_does_no_harm(
    ledger_world: LedgerWorld,
) -> None:
    database = Database(ledger_world.url, name="newer", pool_size=1, retry_seconds=5)
    (newer,) = migrate(database, _newer(works_with=len(migrations())))
    database.close()
    assert newer.endswith("_newer")
    assert ledger_world.ledger.migrate() == []
    ledger_world.list("a")


def test_a_ledger_that_this_version_would_harm_is_refused(ledger_world: LedgerWorld) -> None:
    database = Database(ledger_world.url, name="newer", pool_size=1, retry_seconds=5)
    migrate(database, _newer(works_with=len(migrations()) + 1))
    database.close()
    with pytest.raises(LedgerError, match=r"newer version of this package.*Upgrade tap-rutter"):
        ledger_world.ledger.migrate()


def test_a_migration_that_fails_leaves_nothing_behind(ledger_world: LedgerWorld) -> None:
    database = Database(ledger_world.url, name="broken", pool_size=1, retry_seconds=5)
    broken = _newer(1, "create table rutter_fleet.half (id int); select * from nowhere")
    with pytest.raises(LedgerError, match="nowhere"):
        migrate(database, broken)
    database.close()
    assert ledger_world.sql("select to_regclass('rutter_fleet.half') as it") == [{"it": None}]
    assert ledger_world.ledger.migrate() == []


@pytest.mark.parametrize(
    "url",
    [f"postgresql://u:{PASSWORD}@h/db?colour=blue", f"password={PASSWORD} nonsense", "amqp://x"],
)
def test_an_address_that_cannot_be_read_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(LedgerError, match="ledger_url") as caught:
        Ledger(url).migrate()
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
