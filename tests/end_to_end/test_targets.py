"""A full run, one that finds nothing new, and one after changes, through each target.

What has landed is compared with what the simulated Rutter showed: all rows, all their values. Some
targets load by way of COPY from CSV, where an empty text in a key is NULL and ends the load of the
whole run: then no STATE is ever committed, and every run begins from the start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.compare import Index, Numbers, changed, differences, expected_index, landed_index
from support.meltano import load
from support.shown import OF_THE_RUN, PATHS, readable, shown
from support.singer import Json, Messages, catalog_of, run_tap, settings
from support.targets import (
    TARGETS,
    Target,
    TargetCsv,
    as_table,
    through_doubles,
    with_escapes,
    without_empties,
    without_nested,
)
from support.warehouse import Row, Table

from tap_rutter.simulator import Simulator, World, standard_world
from tap_rutter.streams import OPTIONAL

ALL = PATHS.keys() - {OF_THE_RUN}
BILLS = "accounting_bills"
LARGE = Decimal(f"{10**20}.01")
"""An amount that no double can hold."""
BUSY = {BILLS: "memo", "accounting_invoices": "memo", "commerce_orders": "name"}
"""Streams in which rows are created and changed before the last run, and what is changed."""
LATER = [
    *BUSY,
    "accounting_balance_sheets",
    "accounting_company_info",
    "accounting_vendors",
    "ads_campaign_dailies",
    "commerce_balance",
    "commerce_payouts",
    "connection_statuses",
    "connections",
    "deleted_objects",
]
"""What the second and the third run read: streams of every kind. The first reads all."""


@dataclass(frozen=True)
class Run:
    """What the tap wrote to standard output, and what Rutter showed then, by stream."""

    text: str
    messages: Messages
    shown: Mapping[str, list[Row]]


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """A full run with all streams, optional ones included, and two more of some streams."""
    world = small_world()
    found: list[Run] = []
    with Simulator(world) as simulator:
        config = settings(simulator, optional_streams=list(OPTIONAL))

        def read() -> None:
            state = found[-1].messages.state if found else None
            catalog = catalog_of(*LATER, OF_THE_RUN) if found else None
            ended = run_tap(config=config, state=state, catalog=catalog)
            assert ended.code == 0, ended.stderr
            messages = ended.messages
            # Only the run itself can say what it reports.
            report = {OF_THE_RUN: messages.records[OF_THE_RUN]}
            rows = shown(world, LATER if found else ALL)
            found.append(Run(ended.stdout, messages, {**rows, **report}))

        read()
        read()
        let_things_happen(world)
        read()
    assert all(found[0].shown.values()), "a stream without rows proves nothing"
    return found


def small_world() -> World:
    """A few rows of everything."""
    world = standard_world(scale=0.1)
    ledger = next(iter(world.connections))
    world.create(ledger, PATHS[BILLS], total_amount=LARGE)
    return world


def let_things_happen(world: World) -> None:
    """In some streams a row is created, another changed, and a third one deleted."""
    world.advance(3600)
    for stream, column in BUSY.items():
        path = PATHS[stream]
        connection = next(c.id for c in readable(world) if world.keys(c.id, path))
        changed_one, deleted_one, *_ = world.keys(connection, path)
        world.create(connection, path)
        fields: dict[str, Any] = {column: 'A "new" text;\n, two lines, 漢字'}
        world.update(connection, path, changed_one, **fields)
        world.delete(connection, path, deleted_one)
    world.advance(3600)


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.__name__)
@pytest.mark.longer
def test_three_runs_land_what_rutter_shows(
    kind: type[Target], runs: list[Run], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    target = kind(tmp_path, lambda: request.getfixturevalue("postgres"))
    command = target.command()
    should: dict[str, Index] = {}
    landed: list[dict[str, Index]] = []
    delivered = dict.fromkeys(runs[0].shown, 0)
    for run in runs:
        load(command, run.text, target.options(), tmp_path)
        rows = target.rows()
        landed.append({})
        for stream, rows_shown in run.shown.items():
            delivered[stream] += len(run.messages.records[stream])
            # A row that is gone at Rutter stays: what to do with it is the warehouse's choice.
            should[stream] = should.get(stream, {}) | expected_in(target, stream, rows_shown)
            table = table_in(target, stream, rows[stream])
            if target.is_keyed:
                assert len(table.rows) == len(rows[stream]), f"{stream}: a key stands there twice"
            else:
                assert len(rows[stream]) == delivered[stream], stream
            landed[-1][stream] = landed_index(table)
            assert differences(should[stream], landed[-1][stream]) == [], stream
    bills = readable_in(target, BILLS, rows[BILLS])
    amounts = {row["total_amount"] for row in as_table(BILLS, bills).rows}
    assert (LARGE in amounts) is not target.makes_doubles
    first, again, after = landed
    for stream in BUSY:
        assert changed(first[stream], again[stream]) == set()
        assert after[stream].keys() - again[stream].keys(), f"{stream}: no new row"
        assert changed(again[stream], after[stream]) & again[stream].keys(), f"{stream}: no change"


def expected_in(target: Target, stream: str, rows: list[Row]) -> Index:
    """What should land of these rows, less what the target is known to lose."""
    if target.escapes_breaks:
        rows = [with_escapes(row) for row in rows]
    if target.makes_doubles:
        rows = [through_doubles(row) for row in rows]
    return expected_index(readable_in(target, stream, rows), as_table(stream, []), Numbers.EXACT)


def table_in(target: Target, stream: str, rows: list[Row]) -> Table:
    """What has landed: of each key the last row."""
    table = as_table(stream, readable_in(target, stream, rows))
    if target.makes_doubles:
        table = replace(table, rows=tuple(through_doubles(row) for row in table.rows))
    return table


def readable_in(target: Target, stream: str, rows: list[Row]) -> list[Row]:
    """Rows without that of which a file of this target cannot tell what it was."""
    if not target.keeps_nested:
        rows = [without_nested(stream, row) for row in rows]
    return [without_empties(row) for row in rows] if target.empties_are_null else rows


@pytest.mark.longer
def test_target_csv_replaces_its_files_unless_their_names_have_the_time(tmp_path: Path) -> None:
    target = TargetCsv(tmp_path, lambda: pytest.fail("it needs no database"))
    options = {"output_path": str(tmp_path), "overwrite_behavior": "append_records"}
    for name in ("one", "two"):
        lines: list[Json] = [
            {"type": "SCHEMA", "stream": "s", "key_properties": ["id"], "schema": SMALL},
            {"type": "RECORD", "stream": "s", "record": {"id": name, "list": ["x"]}},
            {"type": "STATE", "value": {"bookmarks": {"s": name}}},
        ]
        load(target.command(), "\n".join(map(json.dumps, lines)) + "\n", options, tmp_path)
    assert target.rows() == {"s": [{"id": "two", "list": "['x']"}]}


SMALL = {"type": "object", "properties": {"id": {"type": "string"}, "list": {"type": "array"}}}
