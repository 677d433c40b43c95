"""Deletions from the ledger to the warehouse, and listings that webhooks want."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from support.ledger import LedgerWorld

from tap_rutter.fleet.ledger.deletions import KEPT_DAYS, KeptDeletion
from tap_rutter.fleet.model import LISTING, Deletion, Mark
from tap_rutter.fleet.webhooks.deletions import WarehouseError, copy_deletions
from tap_rutter.warehouse.database import run
from tap_rutter.warehouse.scripts import render

SCHEMA = """tap's "rutter" """
STATE = datetime(2026, 3, 1, 9, 0, 0, 123_000, tzinfo=UTC)


def deletion(number: int = 1, stream: str = "commerce_orders") -> Deletion:
    return Deletion(f"{number:064}", "c-1", stream, f"o-{number}", None, STATE)


class Target:
    """The warehouse, here a schema beside the ledger's."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row, autocommit=True) as connection:
            schema = SCHEMA.replace('"', '""')
            connection.execute(f'set search_path to "{schema}"'.encode())
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def make(self) -> None:
        schema = SCHEMA.replace('"', '""')
        self.ask(f'create schema "{schema}"')


@pytest.fixture
def hook_target(ledger_url: str) -> Target:
    made = Target(ledger_url)
    made.make()
    return made


def test_what_webhooks_deleted_arrives_once(ledger_world: LedgerWorld, hook_target: Target) -> None:
    ledger_world.ledger.put_webhooks([], [deletion(1), deletion(2)])
    assert copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA) == 2
    assert copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA) == 0
    ledger_world.ledger.put_webhooks([], [deletion(1), deletion(3)])
    assert copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA) == 1
    rows = hook_target.ask("select * from webhook_deletions order by object_id")
    assert [row["object_id"] for row in rows] == ["o-1", "o-2", "o-3"]
    kept = ledger_world.sql("select received_at from rutter_fleet.deletions order by object_id")
    assert [row["deleted_at"] for row in rows] == [
        row["received_at"].astimezone(UTC).replace(tzinfo=None) for row in kept
    ]
    assert {row["state_at"] for row in rows} == {STATE.replace(tzinfo=None)}


def test_one_webhook_of_two_streams_is_two(ledger_world: LedgerWorld, hook_target: Target) -> None:
    both = [deletion(1, "commerce_customers"), deletion(1, "accounting_customers")]
    ledger_world.ledger.put_webhooks([], both)
    assert copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA) == 2


def test_a_crash_between_the_two_commits_costs_nothing(
    ledger_world: LedgerWorld, hook_target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_: Sequence[KeptDeletion]) -> None:
        raise KeyboardInterrupt

    ledger_world.ledger.put_webhooks([], [deletion(1)])
    with monkeypatch.context() as context:
        context.setattr(ledger_world.ledger, "deletions_copied", dies)
        with pytest.raises(KeyboardInterrupt):
            copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA)
    before = hook_target.ask("select * from webhook_deletions")
    assert copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA) == 1
    assert hook_target.ask("select * from webhook_deletions") == before


def test_before_the_first_load_they_wait(ledger_world: LedgerWorld, ledger_url: str) -> None:
    ledger_world.ledger.put_webhooks([], [deletion(1)])
    assert copy_deletions(ledger_world.ledger, ledger_url, SCHEMA) == 0
    target = Target(ledger_url)
    target.make()
    assert copy_deletions(ledger_world.ledger, ledger_url, SCHEMA) == 1


def test_many_go_in_groups(
    ledger_world: LedgerWorld, hook_target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tap_rutter.fleet.webhooks.deletions._GROUP", 10)
    ledger_world.ledger.put_webhooks([], [deletion(number) for number in range(25)])
    assert copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA) == 25
    [found] = hook_target.ask("select count(distinct object_id) as n from webhook_deletions")
    assert found["n"] == 25


def test_a_warehouse_that_refuses_is_named_without_its_password(
    ledger_world: LedgerWorld, hook_target: Target
) -> None:
    ledger_world.ledger.put_webhooks([], [deletion(1)])
    for url in ("postgresql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hunter2@[half"):
        with pytest.raises(WarehouseError) as caught:
            copy_deletions(ledger_world.ledger, url, SCHEMA)
        assert "hunter2" not in f"{caught.value!r} {caught.value.__context__!r}"
    hook_target.ask("create view webhook_deletions as select 1 as one")
    with pytest.raises(WarehouseError, match=r"webhook_deletions: .*stay in the ledger"):
        copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA)
    assert len(ledger_world.ledger.deletions_to_copy()) == 1


def test_what_arrived_long_ago_is_forgotten(ledger_world: LedgerWorld, hook_target: Target) -> None:
    ledger_world.ledger.put_webhooks([], [deletion(1)])
    copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA)
    ledger_world.later(timedelta(days=KEPT_DAYS + 1).total_seconds())
    ledger_world.ledger.put_webhooks([], [deletion(2)])
    copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA)
    assert len(ledger_world.sql("select * from rutter_fleet.deletions")) == 1
    assert len(hook_target.ask("select * from webhook_deletions")) == 2


def test_the_script_applies_what_was_copied(ledger_world: LedgerWorld, hook_target: Target) -> None:
    hook_target.ask(
        "create table commerce_orders (connection_id text, id text, updated_at timestamp,"
        " _sdc_extracted_at timestamp, primary key (connection_id, id))"
    )
    for id_, updated in (("o-1", STATE), ("o-2", STATE + timedelta(milliseconds=1))):
        hook_target.ask(
            f"insert into commerce_orders values ('c-1', '{id_}', '{updated:%Y-%m-%d %H:%M:%S.%f}')"
        )
    ledger_world.ledger.put_webhooks([], [deletion(1), deletion(2)])
    copy_deletions(ledger_world.ledger, hook_target.url, SCHEMA)
    run(render("apply-deletions", SCHEMA), hook_target.url)
    marked = hook_target.ask("select id from commerce_orders where deleted_by = 'webhook'")
    assert marked == [{"id": "o-1"}]


# ---- listings


def test_a_listing_that_is_wanted_comes_soon_and_once(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    assert ledger.take_sweep(3_600)
    ledger.put_webhooks([LISTING])
    assert not ledger.take_sweep(3_600), "a burst of webhooks must not list all the time"
    ledger_world.later(31)
    assert ledger.take_sweep(3_600)
    ledger_world.later(31)
    assert not ledger.take_sweep(3_600)


def test_a_wanted_listing_is_no_mark(ledger_world: LedgerWorld) -> None:
    ledger_world.ledger.put_webhooks([LISTING, Mark("c-1", "commerce_orders", STATE)])
    marks = ledger_world.sql("select connection_id from rutter_fleet.marks")
    assert marks == [{"connection_id": "c-1"}]
