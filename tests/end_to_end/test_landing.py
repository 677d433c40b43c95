"""What lands in PostgreSQL: exactly the rows of the world, every value of every column.

Every part is real but Rutter itself: the tap, Meltano, target-postgres, PostgreSQL, target-jsonl.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.compare import (
    DERIVED,
    Index,
    Numbers,
    changed,
    differences,
    expected_index,
    landed_index,
)
from support.hidden import secrets
from support.meltano import Project, from_to, loader_command
from support.shown import BY_DEFAULT, OF_THE_RUN, PATHS, readable, shown
from support.singer import pipe, settings
from support.targets import as_table, json_lines
from support.warehouse import Row, Table, read_tables

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Connection, Simulator, World, standard_world
from tap_rutter.streams import OPTIONAL, STREAMS, name_of

pytestmark = pytest.mark.any_workers


@dataclass
class Moment:
    """What Rutter showed when a run read it, and what the tables held after the run."""

    shown: dict[str, list[Row]]
    tables: dict[str, Table]

    def expected(self, stream: str) -> Index:
        return expected_index(self.shown[stream], self.tables[stream], Numbers.EXACT)

    def landed(self, stream: str) -> Index:
        return landed_index(self.tables[stream])


@dataclass
class Changes:
    """What happened in the world, by stream."""

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    deleted: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass
class Story:
    """Three runs of the pipeline, and what happened in the world between the last two."""

    first: Moment
    again: Moment
    after: Moment
    changes: Changes
    said: str
    """The whole output of Meltano, tap and target."""
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def story(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The standard world, read by ``meltano run tap-rutter target-postgres`` three times."""
    # The module's tests may come in several parts, others between them: each starts anew.
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS rutter CASCADE")
    project = Project.make(tmp_path_factory.mktemp("project"))
    world = standard_world()
    said: list[str] = []
    with Simulator(world) as simulator:

        def read() -> Moment:
            ended = project.run(
                "run",
                "tap-rutter",
                "target-postgres",
                **from_to(simulator, postgres),
            )
            said.append(ended.stdout + ended.stderr)
            assert ended.code == 0, said[-1]
            return Moment(shown(world), read_tables(postgres, "rutter"))

        first, again = read(), read()
        changes = let_things_happen(world)
        return Story(first, again, read(), changes, "".join(said), secrets(world))


def let_things_happen(world: World) -> Changes:
    """A few hours in which rows of all kinds of streams are created, changed and deleted."""
    changes = Changes()
    world.advance(3 * 3600)
    ledger, other_ledger = (_connection(world, name) for name in ("QUICKBOOKS", "NETSUITE"))
    shop, provider = (_connection(world, name) for name in ("SHOPIFY", "STRIPE"))
    ads, bank = (_connection(world, name) for name in ("FACEBOOK", "PLAID"))
    people = _connection(world, "GUSTO")

    def create(connection: Connection, stream: str, **fields: Any) -> str:
        changes.created[stream] += 1
        return world.create(connection.id, PATHS[stream], **fields)

    def update(connection: Connection, stream: str, nth: int, **fields: Any) -> None:
        changes.updated[stream] += 1
        keys = world.keys(connection.id, PATHS[stream])
        world.update(connection.id, PATHS[stream], keys[nth], **fields)

    def delete(connection: Connection, stream: str, nth: int) -> None:
        key = world.keys(connection.id, PATHS[stream])[nth]
        changes.deleted.setdefault(stream, []).append((connection.id, key))
        world.delete(connection.id, PATHS[stream], key)

    # synced, and deletions that are told of
    delete(ledger, "accounting_invoices", 5)
    delete(other_ledger, "accounting_invoices", 0)
    delete(ledger, "accounting_items", 1)
    create(ledger, "accounting_invoices", total_amount=Decimal("1234567.890"))
    create(other_ledger, "accounting_invoices")
    update(ledger, "accounting_invoices", -1, memo="a “quoted” memo, \n two lines, 漢字, 🧾")
    update(other_ledger, "accounting_vendors", 3, status="archived")
    # both passes of the expenses
    create(ledger, "accounting_expenses", expense_type="expense")
    create(ledger, "accounting_expenses", expense_type="refund")
    # updated: in windows, and payouts, whose time does not move with their status
    create(shop, "commerce_orders")
    update(shop, "commerce_orders", 300, status="fulfilled")
    create(provider, "commerce_customers", id=None, email="new@customers.example")
    update(provider, "commerce_payouts", 0, status="failed")
    # children, of an old parent and of a new one
    campaign = create(ads, "ads_campaigns")
    create(ads, "ads_campaign_dailies", campaign_id=campaign)
    oldest = world.keys(ads.id, PATHS["ads_campaigns"])[-1]
    create(ads, "ads_campaign_dailies", campaign_id=oldest)
    create(bank, "banking_bank_transactions", amount=Decimal("-0.01"))
    update(people, "hris_employees", 2)
    # snapshot
    update(ledger, "accounting_company_info", 0, legal_name="Under new management")
    # not told of by this platform: nobody can know
    delete(shop, "commerce_products", 2)
    world.advance(3600)
    return changes


def _connection(world: World, platform: str) -> Connection:
    return next(entry for entry in readable(world) if entry.platform == platform)


def test_the_first_run_makes_a_table_for_each_stream(story: Story) -> None:
    assert set(story.first.tables) == {*BY_DEFAULT, OF_THE_RUN}


@pytest.mark.parametrize("stream", BY_DEFAULT)
def test_the_first_run_lands_the_world(story: Story, stream: str) -> None:
    expected = story.first.expected(stream)
    assert expected, "a stream without rows proves nothing"
    assert differences(expected, story.first.landed(stream)) == []


@pytest.mark.parametrize("stream", [*BY_DEFAULT, OF_THE_RUN])
def test_the_key_is_composite_and_its_first_column_is_the_connection(
    story: Story, stream: str
) -> None:
    table = story.first.tables[stream]
    facts = next(entry for entry in STREAMS if name_of(entry) == stream)
    assert sorted(table.key) == sorted(facts.primary_keys)
    if stream != "connections":
        assert table.key[0] == next(iter(table.types)) == "connection_id"


@pytest.mark.parametrize("stream", BY_DEFAULT)
def test_a_run_at_once_after_it_changes_nothing(story: Story, stream: str) -> None:
    before, after = story.first.landed(stream), story.again.landed(stream)
    assert len(before) == len(after)
    assert differences(before, after) == []


@pytest.mark.parametrize("stream", BY_DEFAULT)
def test_a_run_after_changes_lands_exactly_them(story: Story, stream: str) -> None:
    before, after = story.again.expected(stream), story.after.expected(stream)
    # A row that is gone at Rutter stays as it was: what to do with it is the warehouse's choice.
    kept = {key: before[key] for key in before.keys() - after.keys()}
    landed = story.after.landed(stream)
    assert differences(after | kept, landed) == []
    assert changed(story.again.landed(stream), landed) == changed(before, after) - kept.keys()


def test_the_changes_were_those_that_happened(story: Story) -> None:
    """The test above compares something: every change is in one of the tables."""
    for stream, count in story.changes.created.items():
        before, after = story.again.landed(stream), story.after.landed(stream)
        assert len(after.keys() - before.keys()) == count, stream
    for stream, count in story.changes.updated.items():
        before, after = story.again.landed(stream), story.after.landed(stream)
        assert len(changed(before, after) & before.keys()) == count, stream
    for stream, keys in story.changes.deleted.items():
        assert set(keys) <= story.after.landed(stream).keys(), stream


def test_deleted_objects_tell_of_the_deletions_that_rutter_tells_of(story: Story) -> None:
    new = changed(story.again.landed("deleted_objects"), story.after.landed("deleted_objects"))
    rows = [story.after.landed("deleted_objects")[key] for key in new]
    told = {(row["stream"], row["connection_id"], row["object_id"]) for row in rows}
    assert told == {
        (stream, *key)
        for stream, keys in story.changes.deleted.items()
        if stream.startswith("accounting_")
        for key in keys
    }


def test_rows_without_an_id_have_one_that_stays(story: Story) -> None:
    def derived(moment: Moment) -> set[str]:
        ids = [row["id"] for row in moment.tables["commerce_customers"].rows]
        return {entry for entry in ids if DERIVED.fullmatch(entry)}

    assert derived(story.first)
    assert derived(story.again) == derived(story.first)
    assert derived(story.after) > derived(story.first)


def test_the_report_counts_what_was_delivered(story: Story) -> None:
    reports = [row for row in story.first.tables[OF_THE_RUN].rows if row["stream"] != "*"]
    assert {row["status"] for row in reports} == {"complete"}
    for stream in BY_DEFAULT:
        landed = Counter(row.get("connection_id", "*") for row in story.first.tables[stream].rows)
        told = {row["connection_id"]: row["rows"] for row in reports if row["stream"] == stream}
        assert {owner for owner, rows in told.items() if rows} == set(landed), stream
        # A row can come on two pages: then it is delivered twice, and lands once.
        assert all(told[owner] >= rows for owner, rows in landed.items()), stream


def test_the_report_names_the_connections_that_were_not_read(story: Story) -> None:
    skipped = {
        row["connection_id"]: (row["status"], row["reason"])
        for row in story.first.tables[OF_THE_RUN].rows
        if row["stream"] == "*" and row["reason"] not in {"unsupported", "unavailable"}
    }
    listed = {row["id"]: row["status"] for row in story.first.tables["connections"].rows}
    assert skipped == {
        identity: ("skipped", status)
        for identity, status in listed.items()
        if status not in {"active", "unhealthy"}
    }
    assert len(skipped) == 3


def test_no_one_on_the_way_says_a_secret(story: Story) -> None:
    assert "tap-rutter" in story.said
    assert [what for what, secret in story.secrets.items() if secret in story.said] == []


# ---- without Meltano


def small_world() -> World:
    """A few rows of everything, and an amount that no double can hold."""
    world = standard_world(scale=0.05)
    ledger = _connection(world, "QUICKBOOKS")
    world.create(ledger.id, PATHS["accounting_bills"], total_amount=Decimal(f"{10**20}.01"))
    return world


@pytest.mark.longer
def test_a_pipe_into_a_target_that_copies_lands_every_row(postgres: Database) -> None:
    """With all optional streams, and with every record checked by the target too."""
    world = small_world()
    options = {
        "sqlalchemy_url": postgres.sqlalchemy_url,
        "default_target_schema": "piped",
        "use_copy": True,
        "validate_records": True,
    }
    with Simulator(world) as simulator:
        wanted = settings(simulator, optional_streams=list(OPTIONAL))
        pipe(wanted, "target-postgres", options)
    tables = read_tables(postgres, "piped")
    for stream, rows in shown(world, PATHS.keys() - {OF_THE_RUN}).items():
        assert rows, f"{stream}: a stream without rows proves nothing"
        expected = expected_index(rows, tables[stream], Numbers.COPIED)
        assert differences(expected, landed_index(tables[stream])) == [], stream


def test_a_pipe_into_target_jsonl_writes_every_row(tmp_path: Path) -> None:
    target = loader_command("target-jsonl")
    world = small_world()
    with Simulator(world) as simulator:
        options = {"destination_path": str(tmp_path), "do_timestamp_file": False}
        pipe(settings(simulator), target, options)
    for stream, rows in shown(world).items():
        table = as_table(stream, json_lines(tmp_path / f"{stream}.jsonl"))
        expected = expected_index(rows, table, Numbers.EXACT)
        assert differences(expected, landed_index(table)) == [], stream
