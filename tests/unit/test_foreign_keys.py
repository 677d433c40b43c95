"""Foreign keys between streams: which field points where, and that it does.

The simulator makes its references by a table of its own; only what comes out is compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest
from support.versions import VERSIONS, paths, read_whole, streams_of, values

from tap_rutter.schema.document import document
from tap_rutter.schema.foreign_keys import KINDS, target_of, target_of_kind
from tap_rutter.streams import STREAMS, name_of

NAMES = {name_of(stream) for stream in STREAMS}

# Ids that point into no stream, each with the reason.
ELSEWHERE = {
    "platform_id": "the platform's own id of the row itself",
    "platform_customer_id": "an id of the platform, not of Rutter",
    "platform_product_id": "an id of the platform, not of Rutter",
    "internal_bank_account_id": "an id of whoever feeds the bank account in",
    "transaction_id": "an id of the bank",
    "gateway_account_id": "an id of the payment gateway",
    "destination_id": "an id of the payment gateway",
    "tax_id": "a number that an authority gave",
    "category_id": "not established: categories may have no ids of their own",
    "variant_id": "a variant stands inside its product",
    "linked_products[].variant_id": "a variant stands inside its product",
    "line_item_id": "a line of the same order",
    "line_items[].id": "the line itself",
    "fulfillments[].id": "the fulfillment itself",
    "variants[].id": "the variant itself",
    "locations[].id": "the place itself",
    "files[].id": "the file itself",
    "vendors[].id": "the enrichment's own vendor",
    "attached_to_id": "the same as parent_id, which is never null",
    "account_id": "of statements: the ledger's account, not Rutter's",
}


@cache
def ids(version: str) -> dict[tuple[str, str], set[str]]:
    """The ids of every stream and connection."""
    _, messages = read_whole(version)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for stream, rows in messages.records.items():
        for row in rows:
            if stream == "connections":
                found[stream, ""].add(row["id"])
            elif "id" in row:
                found[stream, row["connection_id"]].add(row["id"])
    return found


def references(version: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Every id in the world that points somewhere: stream, path, target, connection, id."""
    _, messages = read_whole(version)
    for stream, rows in messages.records.items():
        for row in rows:
            connection = row.get("connection_id", "")
            for path, value, beside in values(row):
                target = target_of(stream, path)
                if (stream, path) in KINDS:
                    target = target_of_kind(beside[KINDS[stream, path]])
                if target is not None and value not in (None, "", "*"):
                    yield stream, path, target, "" if target == "connections" else connection, value


@pytest.mark.parametrize("version", VERSIONS)
def test_every_foreign_key_of_the_world_resolves(version: str) -> None:
    known = ids(version)
    checked = set()
    for stream, path, target, connection, value in references(version):
        # Where a connection's platform has no such list, an id of it can lead nowhere.
        if known.get((target, connection)):
            assert value in known[target, connection], f"{stream} {path} -> {target}"
            checked.add((stream, path))
    assert len(checked) > 150


def test_every_rule_of_the_table_is_met_in_some_world() -> None:
    """The test above compares something: every rule is for a field that some row has."""

    def rule(stream: str, path: str) -> tuple[str, str]:
        *around, field = path.split(".")
        family = stream.partition("_")[0]
        return family, f"{around[-1]}.{field}" if field == "id" and around else field

    met = {rule(stream, path) for v in VERSIONS for stream, path, *_ in references(v)}
    declared = {
        rule(name, path)
        for version in VERSIONS
        for name, stream in streams_of(version).items()
        if stream.component
        for path in paths(version, document(version).components[stream.component])
        if target_of(name, path) is not None
    }
    assert declared - met == set()
    assert len(declared) > 40


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_that_holds_an_id_is_a_reference_or_known_to_be_none(version: str) -> None:
    for name, stream in streams_of(version).items():
        if not stream.component:
            continue
        component = document(version).components[stream.component]
        for path in paths(version, component, seen=(stream.component,)):
            *around, field = path.split(".")
            nested = f"{around[-1]}.{field}" if around else field
            if not field.endswith(("_id", "_ids[]")) and (field != "id" or not around):
                continue
            told = target_of(name, path) is not None or (name, path) in KINDS
            assert told or nested in ELSEWHERE or field in ELSEWHERE, f"{name} {path}"
            if field == "account_id" and not told:
                assert name.endswith(("_sheets", "_statements")), f"{name} {path}"


@pytest.mark.parametrize("version", VERSIONS)
def test_references_lead_to_streams_with_one_id(version: str) -> None:
    targets = {target for _, _, target, _, _ in references(version)}
    assert targets <= NAMES
    for stream in STREAMS:
        if name_of(stream) in targets:
            assert stream.primary_keys[-1] == "id"


@pytest.mark.parametrize(
    ("stream", "path", "target"),
    [
        ("accounting_invoices", "connection_id", "connections"),
        ("accounting_invoices", "line_items[].item.id", "accounting_items"),
        ("accounting_invoices", "linked_payments[].id", None),
        ("accounting_bills", "linked_payments[].id", "accounting_bill_payments"),
        ("accounting_classes", "parent_id", "accounting_classes"),
        ("accounting_bill_attachments", "parent_id", "accounting_bills"),
        ("accounting_balance_sheets", "assets.account_id", None),
        ("accounting_journal_entries", "line_items[].id", None),
        ("ads_campaigns", "account_id", "ads_accounts"),
        ("banking_bank_transactions", "account_id", "banking_bank_accounts"),
        ("commerce_orders", "customer.id", "commerce_customers"),
        ("commerce_orders", "line_items[].id", None),
        ("commerce_product_categories", "parent_id", "commerce_product_categories"),
        ("hris_employees", "manager_id", "hris_employees"),
        ("supplier_enablement_enrichments", "vendors[].id", None),
    ],
)
def test_where_an_id_points(stream: str, path: str, target: str | None) -> None:
    assert target_of(stream, path) == target


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("INVOICE_PAYMENT", "accounting_invoice_payments"),
        ("journal_entry", "accounting_journal_entries"),
        ("UNKNOWN", None),
        (None, None),
    ],
)
def test_a_kind_names_a_stream(kind: str | None, target: str | None) -> None:
    assert target_of_kind(kind) == target
