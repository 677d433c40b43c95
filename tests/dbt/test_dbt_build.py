"""``dbt build``, as docs/dbt.md shows it, is green, and its marts hold the world's own figures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.dbt import MODELS, SCHEMA, Built, run_dbt

from tap_rutter.demo.world import readable, rows_shown

pytestmark = pytest.mark.longer

AS_OF = date(2026, 2, 20)
Figures = dict[tuple[Any, ...], tuple[Any, ...]]


def rows_of(built: Built, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(connection id, row) of all rows that a list shows; what is not there is null."""
    for connection in readable(built.world):
        for row in built.world.rows(connection.id, path):
            shown = json.loads(json.dumps(row, default=str))
            yield connection.id, defaultdict(lambda: None, shown)


def number(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def day(value: str | None) -> date | None:
    if value is None:
        return None
    return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC).date()


def test_every_model_is_built_and_every_test_passes_or_only_warns(built: Built) -> None:
    status: dict[str, list[str]] = defaultdict(list)
    for result in built.results:
        status[result["status"]].append(result["unique_id"])
    assert set(status) <= {"success", "pass", "warn"}
    models = [name for name in status["success"] if name.startswith("model.")]
    tests = [name for name in status["pass"] if name.startswith("test.")]
    assert len(models) > 70
    assert len(tests) > 250
    # Values and references of a simulated world are those of the API description.
    assert all("rutter_reference" in name or "accepted" in name for name in status["warn"])


def test_staging_models_hold_the_rows_that_rutter_still_shows(built: Built) -> None:
    gone = built.rows(f"select count(*) from {SCHEMA}.deleted_objects where stream is not null")
    assert gone[0]["count"] > 0
    for stream, path in {
        "accounting_invoices": "/accounting/invoices",
        "accounting_bills": "/accounting/bills",
        "accounting_vendors": "/accounting/vendors",
        "commerce_orders": "/orders",
    }.items():
        (found,) = built.rows(f"select count(*) from {MODELS}.stg_rutter__{stream}")
        assert found["count"] == rows_shown(built.world, path), stream


def test_lines_are_the_lines_of_the_rows(built: Built) -> None:
    expected = {
        (connection_id, row["id"], index): (
            number(line["total_amount"]),
            number((line.get("item") or {}).get("quantity")),
        )
        for connection_id, row in rows_of(built, "/accounting/invoices")
        for index, line in enumerate(row["line_items"] or (), 1)
    }
    found = {
        (row["connection_id"], row["parent_id"], row["line_number"]): (
            row["total_amount"],
            row["item_quantity"],
        )
        for row in built.rows(f"select * from {MODELS}.stg_rutter__accounting_invoices_lines")
    }
    assert expected
    assert found == expected


def test_open_items_are_the_ledgers(built: Built) -> None:
    paid: dict[tuple[str, str, str], list[Decimal | None]] = defaultdict(list)
    for connection_id, row in rows_of(built, "/accounting/invoice_payments"):
        for link in row["linked_invoices"] or ():
            paid["invoice", connection_id, link["id"]].append(number(link["amount"]))
    for connection_id, row in rows_of(built, "/accounting/bill_payments"):
        if row["status"] != "void":
            for link in row["linked_bills"] or ():
                amount = link.get("allocated_amount", link.get("amount"))
                paid["bill", connection_id, link["id"]].append(number(amount))
    expected: Figures = {}
    for kind, path in (("invoice", "/accounting/invoices"), ("bill", "/accounting/bills")):
        for connection_id, row in rows_of(built, path):
            if kind == "invoice":
                links = [
                    e for e in row["linked_payments"] or () if e["type"] == "INVOICE_CREDIT_MEMO"
                ]
            else:
                links = row["linked_credit_memos"] or []
            credited = sum((number(e["allocated_amount"]) or Decimal(0) for e in links), Decimal(0))
            amounts = paid[kind, connection_id, row["id"]]
            settled = sum((amount or Decimal(0) for amount in amounts), Decimal(0))
            still = number(row["amount_due"])
            if still is None and row["total_amount"] is not None:
                still = Decimal(str(row["total_amount"])) - settled - credited
            if row["status"] in {"void", "draft", "rejected"}:
                still = Decimal(0)
            due = day(row["due_date"])
            expected[kind, connection_id, row["id"]] = (
                still,
                settled,
                len(amounts),
                credited,
                None if due is None else (AS_OF - due).days,
            )
    found = {
        (row["kind"], row["connection_id"], row["id"]): (
            row["open_amount"],
            row["paid_amount"],
            row["payments"],
            row["credited_amount"],
            row["days_overdue"],
        )
        for row in built.rows(f"select * from {MODELS}.rutter_open_items")
    }
    assert any(figures[1] for figures in expected.values()), "no payment names a document"
    assert found == expected
    (ages,) = built.rows(f"select sum(open_amount) as total from {MODELS}.rutter_open_items_by_age")
    assert ages["total"] == sum(figures[0] or 0 for figures in expected.values())
    groups = {row["age"] for row in built.rows(f"select age from {MODELS}.rutter_open_items")}
    assert {"settled", "not due", "1-30"} <= groups


def test_revenue_is_the_shops_net_of_refunds(built: Built) -> None:
    gross: dict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
    refunds: dict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
    lists = {connection_id for connection_id, _ in rows_of(built, "/transactions")}

    def month(row: dict[str, Any]) -> date:
        made = day(row["created_at"])
        assert made is not None
        return made.replace(day=1)

    for connection_id, row in rows_of(built, "/orders"):
        place = connection_id, month(row), row["iso_currency_code"] or "unknown"
        if row["cancelled_at"] is not None or row["status"] == "cancelled":
            continue
        gross[place] += number(row["total_price"]) or 0
        if connection_id not in lists:
            for refund in row["refunds"] or ():
                for line in refund["line_items"] or ():
                    if (line.get("status") or "completed") == "completed":
                        refunds[place] += abs(number(line.get("amount")) or Decimal(0))
    for connection_id, row in rows_of(built, "/transactions"):
        if row["type"] == "refund" and row["status"] in {"success", "refunded"}:
            place = connection_id, month(row), row["iso_currency_code"] or "unknown"
            refunds[place] += abs(number(row["amount"]) or Decimal(0))
    rows = built.rows(f"select * from {MODELS}.rutter_monthly_revenue")
    found = {(r["connection_id"], r["month"], r["currency_code"]): r for r in rows}
    assert sum(refunds.values()), "no refund is in the world"
    for place in {*gross, *refunds}:
        if gross[place] or refunds[place]:
            assert found[place]["gross_revenue"] == gross[place], place
            assert found[place]["refunds"] == refunds[place], place
            assert found[place]["net_revenue"] == gross[place] - refunds[place], place
    assert {place for place, row in found.items() if row["gross_revenue"]} <= set(gross)


def test_cash_is_counted_back_from_the_balance_of_today(built: Built) -> None:
    flows: dict[tuple[str, str, date], Decimal] = defaultdict(Decimal)
    for connection_id, row in rows_of(built, "/banking/bank_transactions"):
        when = day(row["date"])
        if row["status"] != "pending" and row["amount"] is not None and when and row["account_id"]:
            flows[connection_id, row["account_id"], when] -= Decimal(str(row["amount"]))
    expected: dict[tuple[str, str, date], Decimal | None] = {}
    for connection_id, row in rows_of(built, "/banking/bank_accounts"):
        known_on = day(row["last_synced_at"])
        assert known_on is not None
        balance = number((row["balance"] or {}).get("current"))
        own = [when for c, a, when in flows if (c, a) == (connection_id, row["id"])]
        current, when = balance, known_on
        while when >= min([*own, known_on]):
            expected[connection_id, row["id"], when] = current
            if current is not None:
                current -= flows[connection_id, row["id"], when]
            when -= timedelta(days=1)
    found = {
        (row["connection_id"], row["bank_account_id"], row["day"]): row["closing_balance"]
        for row in built.rows(f"select * from {MODELS}.rutter_daily_cash")
    }
    assert len(expected) > 10
    assert found == expected


def test_freshness_comes_from_the_report(built: Built) -> None:
    # The simulated clock stands in the past, so every stream is stale: what counts is that each
    # was measured, by the report's own times.
    run_dbt(built.folder, "source", "freshness")
    told = json.loads((built.folder / "target" / "sources.json").read_text(encoding="utf-8"))
    measured = [entry for entry in told["results"] if entry.get("max_loaded_at")]
    assert len(measured) > 50
    newest = built.rows(
        f"select min(t) as t from (select max(finished_at) as t from {SCHEMA}.sync_report"
        " where status = 'complete' and stream = 'commerce_orders' group by connection_id) as r"
    )[0]["t"]
    (orders,) = [e for e in measured if e["unique_id"].endswith(".commerce_orders")]
    assert orders["max_loaded_at"].startswith(newest.isoformat()[:19])
