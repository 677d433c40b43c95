"""Values that kill a load elsewhere: as sent, as they leave, as landed in PostgreSQL.

The tables of ``docs/nasty-data.md`` are the cases: what they say is what happens.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import yaml
from psycopg import sql
from support.compare import DERIVED
from support.in_process import Run, sync
from support.singer import Json, arguments, discovered, environment

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "nasty"

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
ORDERS, ORDERS_PATH = "commerce_orders", "/orders"
STATUSES, STATUS_PATH = "connection_statuses", "/connections/status"
EXTRA, ISSUES = "_rutter_extra", "_rutter_issues"

MIB = 2**20


@dataclass(frozen=True)
class Case:
    """One line of a table of the page."""

    name: str
    column: str
    sent: str
    """JSON; "(missing)" for a field that is not there."""
    leaves: str
    """JSON; "-" for a field that is not a column."""
    beside: str
    """What is set aside, JSON; "-" for nothing."""
    landed: str
    """The column as PostgreSQL prints it, NULL for none."""

    @property
    def is_status(self) -> bool:
        """Whether it is about the one stream that has integers."""
        return self.column.startswith("synced_")

    @property
    def is_json(self) -> bool:
        """Whether a strict reader takes the row."""
        try:
            msgspec.json.decode(self.raw, type=msgspec.Raw)
        except msgspec.DecodeError:
            return False
        return True

    @property
    def raw(self) -> str:
        """The row as Rutter sends it."""
        fields = {name: json.dumps(self.name) for name in ("id", "document_number")}
        fields[self.column] = self.sent
        if self.sent == "(missing)":
            del fields[self.column]
        inside = ",".join(f'"{name}":{value}' for name, value in fields.items())
        return "{" + inside + "}"


def cases() -> Iterator[Case]:
    """The lines of all tables of the page."""
    page = (ROOT / "docs" / "nasty-data.md").read_text(encoding="utf-8")
    for number, line in enumerate(page.splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 5 and cells[0].startswith("`"):
            yield Case(f"line-{number}", *(cell.strip("`") for cell in cells))


CASES = list(cases())


def exact(text: str) -> Any:
    """JSON with exact numbers."""
    return json.loads(text, parse_float=Decimal)


@dataclass
class Landed:
    """What left, and what a table then held, every column as text."""

    run: Run
    bills: dict[str, dict[str, str | None]]
    """By document number."""
    statuses: dict[str, dict[str, str | None]]
    """By connection id."""
    orders: dict[str, dict[str, str | None]]
    """By id."""
    connections: dict[str, str]
    """Connection ids of the cases that are about a status."""

    def left(self, case: Case) -> Json:
        """The record of a case."""
        if case.is_status:
            found = self.run.records[STATUSES]
            key, value = "connection_id", self.connections[case.name]
        else:
            found, key, value = self.run.records[BILLS], "document_number", case.name
        (record,) = (record for record in found if record[key] == value)
        return record

    def row(self, case: Case) -> dict[str, str | None]:
        """The row of a case."""
        if case.is_status:
            return self.statuses[self.connections[case.name]]
        return self.bills[case.name]


@pytest.fixture(scope="module")
def landed(postgres: Database) -> Landed:
    """All cases through the tap and target-postgres, set up as meltano.yml does."""
    world = World(21, history_days=30)
    ledger, odd_ledger = (world.add_connection("QUICKBOOKS") for _ in range(2))
    connections = {
        case.name: world.add_connection("QUICKBOOKS").id for case in CASES if case.is_status
    }
    for case in CASES:
        if not case.is_status:
            # A page with one value that is not JSON is read in another way.
            owner = ledger if case.is_json else odd_ledger
            world.put_raw(owner.id, BILLS_PATH, case.name, case.raw)
    shop = world.add_connection("SHOPIFY")
    put_orders(world, shop)
    with Simulator(world) as simulator:
        for case in CASES:
            if case.is_status:
                told = '{"status":{"historical_sync_status":{"%s":%s}}}'
                simulator.faults.add(
                    "respond",
                    path=STATUS_PATH,
                    connection_id=connections[case.name],
                    status=200,
                    body=told % (case.column, case.sent),
                )
        run = sync(simulator, BILLS, STATUSES, ORDERS)
    assert run.code == 0, run.log
    load(postgres, run)
    return Landed(
        run,
        table(postgres, BILLS, "document_number"),
        table(postgres, STATUSES, "connection_id"),
        table(postgres, ORDERS, "id"),
        connections,
    )


def load(postgres: Database, run: Run) -> None:
    """Into PostgreSQL, through target-postgres with the settings of meltano.yml."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    loader = next(e for e in project["plugins"]["loaders"] if e["name"] == "target-postgres")
    options = {s["name"]: s["value"] for s in loader["settings"] if "value" in s}
    options |= {"sqlalchemy_url": postgres.sqlalchemy_url, "default_target_schema": SCHEMA}
    with arguments(options) as files:
        loaded = subprocess.run(
            ["target-postgres", *files],
            input=run.output.encode(),
            capture_output=True,
            env=environment(),
            check=False,
        )
    assert loaded.returncode == 0, loaded.stderr.decode()


def table(postgres: Database, name: str, key: str) -> dict[str, dict[str, str | None]]:
    """A table's rows by one of its columns, all columns as text."""
    schema = next(e for e in discovered()["streams"] if e["tap_stream_id"] == name)["schema"]
    columns = list(schema["properties"])
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in columns),
        sql.Identifier(SCHEMA, name),
    )
    with psycopg.connect(postgres.uri) as connection:
        rows = [dict(zip(columns, row, strict=True)) for row in connection.execute(query)]
    found = {str(row[key]): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_statement_whose_date_cannot_be_read_lands_beside_the_others(postgres: Database) -> None:
    """Published examples have a 31st of September, in a column that holds points in time."""
    stream, path = "accounting_balance_sheets", "/accounting/balance_sheets"
    world = World(23)
    ledger = world.add_connection("QUICKBOOKS")
    usual = world.rows(ledger.id, path)
    world.switches.set("start_date_bounds", "ignore")
    odd: Json = {"start_date": "2021-09-31T00:00:00Z", "end_date": "2022-09-30T00:00:00Z"}
    world.create(ledger.id, path, immediate=True, total_assets="12.50", **odd)
    with Simulator(world) as simulator:
        run = sync(simulator, stream)
    assert run.code == 0, run.log
    load(postgres, run)
    rows = table(postgres, stream, "start_date")
    assert len(rows) == len(usual) + 1
    (row,) = (row for row in rows.values() if row[ISSUES] not in {None, "null"})
    assert exact(row[ISSUES] or "") == {"start_date": odd["start_date"]}
    assert (row["total_assets"], row["end_date"]) == ("12.50", "2022-09-30 00:00:00")
    assert (row["start_date"] or "") < "2000", "before any real month"


# ---- the tables of the page


def test_the_page_has_its_tables() -> None:
    assert len(CASES) > 60
    assert len({case.raw for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.column[:20]}={case.sent[:40]}")
def test_it_happens_as_the_page_says(landed: Landed, case: Case) -> None:
    record, row = landed.left(case), landed.row(case)
    is_column = case.column in row
    if is_column:
        told = record[case.column]
        if isinstance(told, str) and case.column == "id":
            told = DERIVED.sub("tap:…", told)
        assert told == exact(case.leaves)
        text = row[case.column]
        if text is not None and case.column == "id":
            text = DERIVED.sub("tap:…", text)
        assert_shown(case.landed, text)
    else:
        assert (case.leaves, case.landed) == ("-", "-")
    aside = {
        name: record[name]
        for name in (ISSUES, EXTRA)
        if name != case.column and record.get(name) is not None
    }
    if case.beside == "-":
        assert aside == {}
    else:
        name = ISSUES if is_column else EXTRA
        assert aside == {name: exact(case.beside)}
        assert exact(row[name] or "") == exact(case.beside)


def assert_shown(shown: str, text: str | None) -> None:
    """PostgreSQL prints what the page shows; long runs of zeros are shown as exponents."""
    if shown == "NULL":
        assert text is None
    elif text is not None and len(text) > 300:
        assert exact(text) == exact(shown)
    else:
        assert text == ("" if shown == "(empty)" else shown)


# ---- what no line of a table can show


def put_orders(world: World, shop: Connection) -> None:
    """Orders with nested times, a name of 4 MiB, a foreign connection, and one id three times."""
    orders: list[tuple[int, Json]] = [
        (5, {"id": "nested", "customer": {"created_at": "0000-00-00", "updated_at": "2026-01-31"}}),
        (4, {"id": "large", "name": "ö" * (2 * MIB)}),
        (3, {"id": "foreign", "connection_id": "another"}),
        (0, {"id": "thrice", "name": "oldest"}),
        (2, {"id": "thrice", "name": "newest"}),
        (1, {"id": "thrice", "name": "neither"}),
    ]
    for minute, order in orders:
        moment = datetime(2026, 3, 1, 12, minute, tzinfo=UTC)
        order |= {"updated_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
        text = json.dumps(order, ensure_ascii=False)
        world.put_raw(shop.id, ORDERS_PATH, f"order-{minute}", text, updated_at=moment)


def test_of_an_id_that_comes_again_the_newest_row_stays(landed: Landed) -> None:
    names = [row["name"] for row in landed.run.records[ORDERS] if row["id"] == "thrice"]
    assert sorted(names) == ["neither", "newest", "oldest"]
    assert names[-1] == "newest"
    assert landed.orders["thrice"]["name"] == "newest"


def test_times_of_nested_objects_are_checked_too(landed: Landed) -> None:
    row = landed.orders["nested"]
    told = {"created_at": None, "updated_at": "2026-01-31T00:00:00Z"}
    assert exact(row["customer"] or "") == told
    assert exact(row[ISSUES] or "") == {"customer.created_at": "0000-00-00"}


def test_a_record_of_4_mib_lands_whole(landed: Landed) -> None:
    assert landed.orders["large"]["name"] == "ö" * (2 * MIB)


def test_a_connection_id_of_the_rows_own_is_not_taken_for_the_connections(landed: Landed) -> None:
    row = landed.orders["foreign"]
    assert row["connection_id"] == landed.orders["large"]["connection_id"]
    assert exact(row[EXTRA] or "") == {"connection_id": "another"}


def test_the_report_counts_what_was_set_aside_and_derived(landed: Landed) -> None:
    row = max(
        (row for row in landed.run.reports if row["stream"] == BILLS), key=lambda row: row["rows"]
    )
    records = [
        record
        for record in landed.run.records[BILLS]
        if record["connection_id"] == row["connection_id"]
    ]
    assert row["repaired_values"] == sum(len(r.get(ISSUES) or ()) for r in records) > 20
    assert row["unknown_fields"] == sum(len(r.get(EXTRA) or ()) for r in records) > 5
    assert row["derived_keys"] == sum(bool(DERIVED.fullmatch(r["id"])) for r in records) > 3


def test_a_record_too_large_for_a_line_fails_its_partition_alone() -> None:
    world = World(22, history_days=30)
    shop = world.add_connection("SHOPIFY", counts={"/products": 3})
    other = world.add_connection("SHOPIFY", counts={ORDERS_PATH: 3})
    for minute, name in ((0, "small"), (1, "x" * (51 * MIB)), (2, "after")):
        moment = datetime(2026, 3, 1, 12, minute, tzinfo=UTC)
        order = {"id": str(minute), "name": name, "updated_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
        world.put_raw(shop.id, ORDERS_PATH, str(minute), json.dumps(order), updated_at=moment)
    with Simulator(world, gzip=False) as simulator:
        run = sync(simulator, ORDERS, "commerce_products")
    assert run.code == 1
    row = run.report(ORDERS, shop.id)
    assert (row["status"], row["reason"]) == ("failed", "record_too_large")
    assert row["error_message"] == (
        "a record of commerce_orders has 51 MiB; Singer runners take lines of up to 50 MiB."
        " Deselect its largest column in the catalog"
    )
    assert max(map(len, run.output.splitlines())) < MIB
    assert len(run.ids(ORDERS, other.id)) == 3
    assert len(run.ids("commerce_products", shop.id)) == 3
    assert "commerce_orders" not in {
        stream
        for stream, entry in run.state["bookmarks"].items()
        for partition in entry["partitions"]
        if partition["context"]["connection_id"] == shop.id
    }
