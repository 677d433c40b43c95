"""The models that lenders would build first, and the columns that each needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tap_rutter.dbt.streams import Table


@dataclass(frozen=True)
class Mart:
    """One model: what it says, what it needs, and what holds for its columns."""

    name: str
    description: str
    needs: Mapping[str, Sequence[str]]
    """Columns by stream; without one of them the model is not written."""
    key: Sequence[str]
    columns: Mapping[str, str]
    """What each column means."""
    not_null: Sequence[str]

    def missing(self, tables: Mapping[str, Table]) -> list[str]:
        """What is not there, as ``stream`` or ``stream.column``."""
        found = []
        for stream, columns in self.needs.items():
            table = tables.get(stream)
            if table is None:
                found.append(stream)
            else:
                found += [f"{stream}.{name}" for name in columns if not table.has(name)]
        return found


_DOCUMENT = (
    "document_number",
    "status",
    "currency_code",
    "issue_date",
    "due_date",
    "total_amount",
    "amount_due",
)
_DEBTS = {
    "accounting_invoices": ["customer_id", *_DOCUMENT, "linked_payments"],
    "accounting_bills": ["vendor_id", *_DOCUMENT, "linked_credit_memos"],
    "accounting_invoice_payments": ["txn_date", "linked_invoices"],
    "accounting_bill_payments": ["transaction_date", "status", "linked_bills"],
}
_CONNECTION = "The merchant connection."
_CURRENCY = "ISO 4217 code of the amounts' currency."
_AGE = "not due, 1-30, 31-60, 61-90 or over 90 days behind its due date; no due date."

MARTS: tuple[Mart, ...] = (
    Mart(
        name="rutter_open_items",
        description="Invoices and bills with their payments, what is still open, and for how long"
        " it has been due.",
        needs=_DEBTS,
        key=("connection_id", "kind", "id"),
        columns={
            "kind": "invoice (a customer owes) or bill (the business owes).",
            "connection_id": _CONNECTION,
            "id": "Rutter's id of the invoice or bill.",
            "partner_id": "The customer of an invoice, the vendor of a bill.",
            "currency_code": _CURRENCY,
            "total_amount": "The amount of the document.",
            "payments": "How many payments name the document.",
            "paid_amount": "How much of them was set against it.",
            "credited_amount": "How much credit memos have taken off.",
            "last_paid_at": "The day of the newest payment.",
            "open_amount": "What is still to be paid: as the ledger says, else the total less"
            " payments and credit memos. 0 for void, rejected and draft documents.",
            "days_overdue": "Days from the due date to today (variable rutter_as_of: another day);"
            " negative before it.",
            "age": _AGE + " settled where nothing is open.",
        },
        not_null=("kind", "connection_id", "id", "payments", "paid_amount", "age"),
    ),
    Mart(
        name="rutter_open_items_by_age",
        description="What is open per connection, kind and currency, by how long it has been due.",
        needs=_DEBTS,
        key=("connection_id", "kind", "currency_code", "age"),
        columns={
            "connection_id": _CONNECTION,
            "kind": "invoice or bill.",
            "currency_code": _CURRENCY,
            "age": _AGE,
            "documents": "How many documents are open.",
            "open_amount": "How much is open.",
        },
        not_null=("connection_id", "kind", "age", "documents", "open_amount"),
    ),
    Mart(
        name="rutter_monthly_revenue",
        description="What each shop sold in a month, less what it gave back.",
        needs={
            "commerce_orders": [
                "created_at",
                "iso_currency_code",
                "cancelled_at",
                "status",
                "total_price",
                "refunds",
            ],
            "commerce_transactions": [
                "created_at",
                "iso_currency_code",
                "type",
                "status",
                "amount",
            ],
        },
        key=("connection_id", "month", "currency_code"),
        columns={
            "connection_id": _CONNECTION,
            "month": "First day of the month (UTC).",
            "currency_code": _CURRENCY + " unknown where the platform does not tell it.",
            "orders": "Orders made in the month and not cancelled.",
            "cancelled_orders": "Orders made in the month and cancelled since.",
            "gross_revenue": "What the orders come to.",
            "refunds": "What was given back in the month; of platforms that do not list"
            " transactions, what was given back for the month's orders.",
            "net_revenue": "Gross revenue less refunds.",
        },
        not_null=("connection_id", "month", "currency_code", "net_revenue"),
    ),
    Mart(
        name="rutter_daily_cash",
        description="The closing balance of each bank account on each day.",
        needs={
            "banking_bank_accounts": ["name", "balance", "last_synced_at"],
            "banking_bank_transactions": ["account_id", "amount", "date", "status"],
        },
        key=("connection_id", "bank_account_id", "day"),
        columns={
            "connection_id": _CONNECTION,
            "bank_account_id": "Rutter's id of the account.",
            "currency_code": _CURRENCY,
            "day": "The day (UTC).",
            "transactions": "Booked transactions of the day.",
            "net_flow": "What came in less what went out.",
            "closing_balance": "The balance at the end of the day; null where the account shows no"
            " balance.",
        },
        not_null=("connection_id", "bank_account_id", "day", "net_flow"),
    ),
)
