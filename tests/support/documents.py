"""Ledgers whose documents have attachments."""

from __future__ import annotations

from tap_rutter.simulator import Connection, World
from tap_rutter.simulator.world import DEFAULT_VERSION

ATTACHMENTS = {
    "accounting_bill_attachments": "bills",
    "accounting_expense_attachments": "expenses",
    "accounting_invoice_attachments": "invoices",
    "accounting_journal_entry_attachments": "journal_entries",
    "accounting_bank_deposit_attachments": "bank_deposits",
    "accounting_bank_transfer_attachments": "bank_transfers",
}
BILL_ATTACHMENTS = "accounting_bill_attachments"
BILLS = "/accounting/bills"


def ledger(
    parents: str = "bills", count: int = 5, attachments: int = 8, version: str = DEFAULT_VERSION
) -> tuple[World, Connection]:
    """Documents of one kind, with attachments to most of them."""
    world = World(5, version=version)
    path = f"/accounting/{parents}"
    counts = {path: count, f"{path}/attachments": attachments}
    return world, world.add_connection("QUICKBOOKS", counts=counts)
