"""Every API version: its own catalogue, its own columns, and nothing lost in any of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.in_process import sync
from support.singer import Json
from support.versions import VERSIONS, read_whole, streams_of

from tap_rutter.simulator import Simulator, World
from tap_rutter.streams import OPTIONAL
from tap_rutter.streams.base import RutterStream
from tap_rutter.tap import TapRutter

pytestmark = pytest.mark.any_workers

NEWER = {
    "accounting_bank_deposit_attachments",
    "accounting_bank_transfer_attachments",
    "accounting_projects",
    "accounting_tax_agencies",
    "accounting_tax_areas",
    "accounting_transactions",
    "ads_campaign_dailies",
    "banking_bank_transactions",
    "hris_departments",
    "hris_employees",
    "hris_organizations",
    "supplier_enablement_card_activations",
    "supplier_enablement_enrichments",
}
"""Streams of endpoints that the versions of 2023 do not have."""
OLDER = {"accounting_ap_aging_report_summaries", "accounting_ar_aging_report_summaries"}
"""Streams of endpoints that only the versions of 2023 have."""
WRITTEN_BY_RUN = {"sync_report"}

# Stream, column -> its type in each version, oldest first; None where the version lacks it.
COLUMNS: dict[tuple[str, str], tuple[str | None, str | None, str | None, str | None]] = {
    ("accounting_company_info", "base_currency_code"): ("string", None, None, None),
    ("accounting_company_info", "createdAt"): ("date-time", None, None, None),
    ("accounting_company_info", "currency_code"): (None, "string", "string", "string"),
    ("accounting_company_info", "created_at"): (None, "date-time", "date-time", "date-time"),
    ("accounting_company_info", "platform_id"): ("string", None, "string", "string"),
    ("accounting_accounts", "current_balance"): ("number", None, None, None),
    ("accounting_accounts", "balance"): (None, "number", "number", "number"),
    ("accounting_bills", "currency"): ("string", None, None, None),
    ("accounting_bills", "currency_code"): (None, "string", "string", "string"),
    ("accounting_bills", "total_amount"): ("string", "number", "number", "number"),
    ("accounting_bills", "amount_due"): ("string", "number", "number", "number"),
    ("accounting_bills", "linked_payments"): (None, "array", "array", "array"),
    ("accounting_bill_payments", "txn_date"): ("date-time", None, None, None),
    ("accounting_bill_payments", "transaction_date"): (
        None,
        "date-time",
        "date-time",
        "date-time",
    ),
    ("accounting_bill_payments", "total_amount"): ("string", "number", "number", "number"),
    ("accounting_expenses", "expense_date"): ("date-time", None, None, None),
    ("accounting_expenses", "transaction_date"): (None, "date-time", "date-time", "date-time"),
    ("accounting_expenses", "expense_type"): (None, "string", "string", "string"),
    ("accounting_purchase_orders", "posted_date"): ("date-time", None, None, None),
    ("accounting_purchase_orders", "issue_date"): (None, "date-time", "date-time", "date-time"),
    ("accounting_purchase_orders", "vendor_name"): ("string", None, None, None),
    ("accounting_purchase_orders", "total_amount"): ("string", "number", "number", "number"),
    ("accounting_vendors", "currency"): ("string", None, None, None),
    ("accounting_vendors", "currency_code"): (None, "string", None, None),
    ("accounting_vendors", "currency_codes"): (None, None, "array", "array"),
    ("accounting_invoices", "total_amount"): ("string", "string", "number", "number"),
    ("accounting_invoices", "amount_due"): ("string", "string", "number", "number"),
    ("accounting_invoices", "currency_code"): ("string", "string", "string", "string"),
    ("accounting_invoices", "total_discount"): ("string", "string", None, None),
    ("accounting_invoices", "discount_amount"): (None, None, "number", "number"),
    # These never changed: text in every version.
    ("accounting_invoice_payments", "txn_date"): (
        "date-time",
        "date-time",
        "date-time",
        "date-time",
    ),
    ("accounting_invoice_payments", "total_amount"): ("string", "string", "string", "string"),
    ("accounting_invoice_credit_memos", "total_amount"): ("string", "string", "string", "string"),
    ("accounting_balance_sheets", "total_assets"): ("string", "string", "string", "string"),
    ("commerce_orders", "total_price"): ("number", "number", "number", "number"),
}

each_version = pytest.mark.parametrize("version", VERSIONS)


def tap_of(version: str) -> TapRutter:
    optional = [name for name in OPTIONAL if name in streams_of(version)]
    config = {"api_version": version, "optional_streams": optional}
    return TapRutter(config=config, validate_config=False)


def type_of(tap: TapRutter, stream: str, column: str) -> str | None:
    """A column's type, the format where it has one."""
    found = tap.streams[stream].schema["properties"].get(column)
    if found is None:
        return None
    kind = next(kind for kind in found["type"] if kind != "null")
    return str(found.get("format", kind))


# ---- the catalogue


def test_the_versions_differ_by_these_streams() -> None:
    named = {version: set(streams_of(version)) for version in VERSIONS}
    assert named["2023-02-07"] == named["2023-03-14"]
    assert named["2024-04-30"] == named["2024-08-31"]
    assert named["2024-08-31"] - named["2023-03-14"] == NEWER
    assert named["2023-03-14"] - named["2024-08-31"] == OLDER


@each_version
def test_the_catalog_has_the_streams_of_the_version(version: str) -> None:
    assert set(tap_of(version).streams) == set(streams_of(version)) | WRITTEN_BY_RUN


def test_columns_have_the_type_of_their_version() -> None:
    taps = {version: tap_of(version) for version in VERSIONS}
    for (stream, column), types in COLUMNS.items():
        found = tuple(type_of(tap, stream, column) for tap in taps.values())
        assert found == types, f"{stream}.{column}"


@each_version
def test_a_key_is_never_null_and_all_else_may_be(version: str) -> None:
    for name, stream in tap_of(version).streams.items():
        for column, schema in stream.schema["properties"].items():
            may_be_null = "null" in schema["type"]
            assert may_be_null == (column not in stream.primary_keys), f"{name}.{column}"


# ---- the whole world


@each_version
def test_every_stream_is_complete_and_has_rows(version: str) -> None:
    _, messages = read_whole(version)
    assert {name for name, rows in messages.records.items() if rows} == {
        *streams_of(version),
        *WRITTEN_BY_RUN,
    }
    statuses = {row["status"] for row in messages.records["sync_report"] if row["stream"] != "*"}
    assert statuses == {"complete"}
    assert {row["api_version"] for row in messages.records["sync_report"]} == {version}


@each_version
def test_no_row_has_a_field_or_a_value_that_its_version_does_not_know(version: str) -> None:
    _, messages = read_whole(version)
    for stream, rows in messages.records.items():
        for row in rows:
            assert not row.get("_rutter_extra"), stream
            assert not row.get("_rutter_issues"), stream
    for row in messages.records["sync_report"]:
        assert (row["repaired_values"] or 0, row["unknown_fields"] or 0) == (0, 0)


@each_version
def test_rows_leave_as_rutter_shows_them(version: str) -> None:
    world, messages = read_whole(version)
    compared = 0
    for name, stream in streams_of(version).items():
        if (
            stream.is_allow_list
            or stream.transform_row is not RutterStream.transform_row
            or "{" in stream.path
        ):
            continue
        found = {
            (row["connection_id"], row["id"]): row
            for row in messages.records[name]
            if not row["id"].startswith("tap:")
        }
        for connection in world.connections.values():
            for shown in world.rows(connection.id, stream.path):
                key = (connection.id, shown["id"])
                assert found[key] == {"connection_id": connection.id, **shown}
                compared += 1
    assert compared > 500


@each_version
def test_requests_say_the_version(version: str) -> None:
    world = World(11, version=version)
    world.add_connection("SHOPIFY")
    with Simulator(world) as simulator:
        sync(simulator, "commerce_store", api_version=version)
    assert {entry.headers["x-rutter-version"] for entry in simulator.requests} == {version}


# ---- what a version does not know


@each_version
def test_a_field_that_a_version_does_not_know_is_kept(version: str) -> None:
    world = World(11, version=version)
    connection = world.add_connection("QUICKBOOKS")
    new = {"text": "x", "deep": {"list": [1, {"a": None}]}}
    world.create(connection.id, "/accounting/bills", sent_by_carrier_pigeon=new)
    with Simulator(world) as simulator:
        (row,) = sync(simulator, "accounting_bills", api_version=version).records[
            "accounting_bills"
        ]
    assert row["_rutter_extra"] == {"sent_by_carrier_pigeon": new}


@pytest.mark.parametrize("shaped_by", VERSIONS)
@each_version
def test_no_version_loses_a_value_of_another_versions_rows(shaped_by: str, version: str) -> None:
    """Should Rutter answer in the shape of another version than was asked for."""
    paths = {f"accounting_{name}": f"/accounting/{name}" for name in ("bills", "invoices")}
    source = World(11, version=shaped_by)
    giver = source.add_connection("QUICKBOOKS", counts=dict.fromkeys(paths.values(), 3))
    world = World(11, version=version)
    world.add_connection("QUICKBOOKS")
    given: dict[str, list[Json]] = {}
    with Simulator(world) as simulator:
        for stream, path in paths.items():
            rows = json.dumps(source.rows(giver.id, path), default=float)
            given[stream] = json.loads(rows)
            body = f'{{"{path.rsplit("/", 1)[-1]}":{rows},"next_cursor":null}}'
            simulator.faults.add("respond", path=path, status=200, body=body)
        messages = sync(simulator, *paths, api_version=version)
    for stream, expected in given.items():
        found = {row["id"]: row for row in messages.records[stream]}
        assert found.keys() == {row["id"] for row in expected}
        for row in expected:
            record = found[row["id"]]
            issues = record.get("_rutter_issues") or {}
            kept = {**record, **(record.get("_rutter_extra") or {}), **issues}
            lost = [name for name, value in row.items() if not _same(kept.get(name), value)]
            assert lost == []
            assert all(record[name] is None for name in issues if "." not in name)


def _same(kept: Any, given: Any) -> bool:
    """Equal, or the same number written in another type."""
    if kept is None or given is None:
        return kept is given
    if isinstance(given, dict) and isinstance(kept, dict):
        return given.keys() == kept.keys() and all(_same(kept[k], given[k]) for k in given)
    if isinstance(given, list) and isinstance(kept, list):
        return len(given) == len(kept) and all(map(_same, kept, given))
    if isinstance(given, str) and not isinstance(kept, str):
        return float(kept) == float(given)
    if isinstance(given, float):
        return float(kept) == given
    return bool(kept == given)


def test_an_older_versions_optional_stream_may_be_named_where_it_is_missing() -> None:
    config: Json = {"api_version": "2023-03-14", "optional_streams": list(OPTIONAL)}
    tap = TapRutter(config=config, validate_config=False)
    assert not NEWER & set(tap.streams)
