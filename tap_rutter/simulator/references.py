"""Which list the id in a field points into."""

from __future__ import annotations

_ACCOUNTING = {
    "account_id": "accounts",
    "ar_account_id": "accounts",
    "credit_account_id": "accounts",
    "debit_account_id": "accounts",
    "tax_account_id": "accounts",
    "class_id": "classes",
    "additional_class_ids": "classes",
    "customer_id": "customers",
    "customer_parent_id": "customers",
    "department_id": "departments",
    "item_id": "items",
    "item.id": "items",
    "journal_id": "journal_entries",
    "location_id": "locations",
    "payment_method_id": "payment_methods",
    "payment_terms_id": "payment_terms",
    "project_id": "projects",
    "subsidiary_id": "subsidiaries",
    "subsidiaries.id": "subsidiaries",
    "task_id": "tasks",
    "tax_rate_id": "tax_rates",
    "vendor_id": "vendors",
    "bank_feed_account_id": "bank_feeds/accounts",
    "parent_bank_feed_account_id": "bank_feeds/accounts",
    "linked_bills.id": "bills",
    "linked_invoices.id": "invoices",
    "linked_purchase_orders.id": "purchase_orders",
    "linked_credit_memos.id": "bill_credit_memos",
    "linked_transactions.id": "invoices",
}
_OTHERS = {
    "ads": {"account_id": "/ads/accounts", "campaign_id": "/ads/campaigns"},
    "banking": {"account_id": "/banking/bank_accounts"},
    "hris": {
        "department_id": "/hris/departments",
        "parent_department_id": "/hris/departments",
        "manager_id": "/hris/employees",
        "organization_id": "/hris/organizations",
    },
    "commerce": {
        "order_id": "/orders",
        "orders.id": "/orders",
        "product_id": "/products",
        "customer.id": "/customers",
        "customer_id": "/customers",
        "transactions.id": "/transactions",
    },
}
_TABLE: dict[str, dict[str, str]] = {
    "accounting": {field: f"/accounting/{name}" for field, name in _ACCOUNTING.items()},
    **_OTHERS,
}
# Links that name the type of their object.
_KINDS = {
    "invoice_payment": "/accounting/invoice_payments",
    "invoice_credit_memo": "/accounting/invoice_credit_memos",
    "journal_entry": "/accounting/journal_entries",
}
# What the payments of a document are depends on the document.
_PAYMENTS = {
    "/accounting/bills": "/accounting/bill_payments",
    "/accounting/invoices": "/accounting/invoice_payments",
    "/accounting/bank_deposits": "/accounting/invoice_payments",
}


def target_of(family: str, path: str, field: str, parent_field: str = "") -> str | None:
    """The list that this field's ids come from; None if the field is not a reference.

    `parent_field` is the name of the object or array around the field, if any.
    """
    if field == "parent_id" and not parent_field:
        return path
    if parent_field == "linked_payments" and field == "id":
        return _PAYMENTS.get(path)
    table = _TABLE.get(family, {})
    if parent_field:
        nested = table.get(f"{parent_field}.{field}")
        if nested is not None:
            return nested
    # An order's line items and fulfillments have their own ids.
    return None if field == "id" else table.get(field)


def target_of_kind(parent_field: str, kind: object) -> str | None:
    """The list that a link of this type leads into; None if it does not say."""
    if not parent_field.startswith("linked_") or not isinstance(kind, str):
        return None
    return _KINDS.get(kind.lower())
