"""Which stream a field's ids point into: the foreign keys between streams.

An id always belongs to the row's own connection, so join on ``connection_id`` too. Paths are
dotted, with ``[]`` behind an array: ``line_items[].account_id``. The row that an id points to may
be missing, if its object is not enabled at Rutter or was deleted.
"""

from __future__ import annotations

from collections.abc import Mapping

_ANY_ACCOUNTING: Mapping[str, str] = {
    "account_id": "accounts",
    "ar_account_id": "accounts",
    "credit_account_id": "accounts",
    "debit_account_id": "accounts",
    "tax_account_id": "accounts",
    "additional_class_ids[]": "classes",
    "bank_feed_account_id": "bank_feed_accounts",
    "parent_bank_feed_account_id": "bank_feed_accounts",
    "class_id": "classes",
    "customer_id": "customers",
    "customer_parent_id": "customers",
    "department_id": "departments",
    "item_id": "items",
    "item.id": "items",
    "journal_id": "journal_entries",
    "linked_bills[].id": "bills",
    "linked_credit_memos[].id": "bill_credit_memos",
    "linked_invoices[].id": "invoices",
    "linked_purchase_orders[].id": "purchase_orders",
    "location_id": "locations",
    "payment_method_id": "payment_methods",
    "payment_terms_id": "payment_terms",
    "project_id": "projects",
    "subsidiary_id": "subsidiaries",
    "subsidiaries[].id": "subsidiaries",
    "task_id": "tasks",
    "tax_rate_id": "tax_rates",
    "vendor_id": "vendors",
}
_ANY: Mapping[str, Mapping[str, str]] = {
    "accounting": {field: f"accounting_{target}" for field, target in _ANY_ACCOUNTING.items()},
    "ads": {"account_id": "ads_accounts", "campaign_id": "ads_campaigns"},
    "banking": {
        "account_id": "banking_bank_accounts",
        "bank_account_id": "banking_bank_accounts",
    },
    "commerce": {
        "customer.id": "commerce_customers",
        "order_id": "commerce_orders",
        "orders[].id": "commerce_orders",
        "product_id": "commerce_products",
        "transactions[].id": "commerce_transactions",
    },
    "hris": {
        "department_id": "hris_departments",
        "manager_id": "hris_employees",
        "parent_department_id": "hris_departments",
    },
}
"""By family: the end of a path, which is a field's name and, where needed, the one around it."""

_ONE: Mapping[tuple[str, str], str] = {
    ("accounting_bills", "linked_payments[].id"): "accounting_bill_payments",
    ("accounting_bill_attachments", "parent_id"): "accounting_bills",
    ("accounting_bank_deposit_attachments", "parent_id"): "accounting_bank_deposits",
    ("accounting_bank_transfer_attachments", "parent_id"): "accounting_bank_transfers",
    ("accounting_expense_attachments", "parent_id"): "accounting_expenses",
    ("accounting_invoice_attachments", "parent_id"): "accounting_invoices",
    ("accounting_journal_entry_attachments", "parent_id"): "accounting_journal_entries",
}
"""By stream and path: fields for which the family has no rule, or another rule."""

_NONE = frozenset(
    {
        # The lines of statements have the ledger's own ids of accounts, not Rutter's.
        "accounting_balance_sheets",
        "accounting_cash_flow_statements",
        "accounting_income_statements",
    }
)

KINDS: Mapping[tuple[str, str], str] = {
    ("accounting_bank_deposits", "linked_payments[].id"): "type",
    ("accounting_invoices", "linked_payments[].id"): "type",
    ("accounting_sales_receipts", "linked_transactions[].id"): "type",
    ("accounting_transactions", "rutter_transaction_id"): "rutter_transaction_type",
}
"""References into one of several streams: by path, the field that says which stream."""

_STREAM_OF_KIND: Mapping[str, str] = {
    "bill": "accounting_bills",
    "bill_credit_memo": "accounting_bill_credit_memos",
    "bill_payment": "accounting_bill_payments",
    "expense": "accounting_expenses",
    "invoice": "accounting_invoices",
    "invoice_credit_memo": "accounting_invoice_credit_memos",
    "invoice_payment": "accounting_invoice_payments",
    "journal_entry": "accounting_journal_entries",
}


def target_of(stream: str, path: str) -> str | None:
    """The stream that the ids at a path of a stream's rows point into, if they do."""
    if path == "connection_id":
        return "connections"
    if (stream, path) in _ONE:
        return _ONE[stream, path]
    if stream in _NONE or (stream, path) in KINDS:
        return None
    if path == "parent_id":
        return stream or None
    family = _ANY.get(stream.partition("_")[0], {})
    *around, field = path.split(".")
    nested = f"{around[-1]}.{field}" if around else field
    # The id of something inside the row, such as a line, is not a reference.
    return family.get(nested) or family.get(field)


def target_of_kind(kind: object) -> str | None:
    """The stream for a kind of object, such as ``INVOICE_PAYMENT``; None for an unknown kind."""
    return _STREAM_OF_KIND.get(kind.lower()) if isinstance(kind, str) else None
