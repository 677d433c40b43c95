"""What fields mean where their name does not say it, in our words.

Signs of amounts, whose clock a time is, which id points where. What Rutter does not tell is said to
be unknown rather than guessed. Paths are written as in ``foreign_keys.py``, such as
``line_items[].total_amount``.
"""

from __future__ import annotations

from collections.abc import Mapping

from tap_rutter.schema.foreign_keys import KINDS, target_of

_DAY = "Platforms know the day only: its time of day says nothing."

FIELDS: Mapping[str, str] = {
    "connection_id": "The merchant connection that the row belongs to; stamped by the tap.",
    "id": "Rutter's id of the object, unique within its connection and stream.",
    "platform_id": "The id that the platform itself uses.",
    "platform_url": "Address of the object in the platform's own user interface.",
    "platform_data": "The platform's own form of the object; only with expand_platform_data.",
    "last_synced_at": "When Rutter last synced the row, by Rutter's clock.",
    "created_at": "When the object was created, by the platform's clock.",
    "updated_at": "When the object last changed, by the platform's clock.",
    "_rutter_extra": "Fields that this API version's schema does not know, as they came.",
    "_rutter_issues": "Values that did not fit their declared type, under their dotted path.",
    "additional_fields": "Fields that only some platforms have.",
    "amount_due": "What is still to be paid, after payments and credits.",
    "currency": "ISO 4217 code of the currency that the row's amounts are in.",
    "currency_code": "ISO 4217 code of the currency that the row's amounts are in.",
    "currency_rate": "Exchange rate between the row's currency and the business's own. Rutter does"
    " not say which of them is divided by which.",
    "document_number": "The number on the document, as the business and its partners know it.",
    "due_date": f"The day by which it is to be paid. {_DAY}",
    "iso_currency_code": "ISO 4217 code of the currency that the row's amounts are in.",
    "issue_date": f"The date on the document. {_DAY}",
    "line_items": "The lines of the document.",
    "linked_bills": "The bills that it was set against, and how much of it.",
    "linked_invoices": "The invoices that it was set against, and how much of it.",
    "memo": "What somebody wrote down with it.",
    "nominal_code": "The account's number in the business's own chart of accounts.",
    "platform_customer_id": "The platform's own id of the customer, not Rutter's.",
    "remaining_amount": "What has not been set against anything yet.",
    "sub_total": "The amount before tax.",
    "subsidiaries": "The legal entities of the ledger that it belongs to.",
    "transaction_date": f"The day on which the ledger books it. {_DAY}",
    "txn_date": f"The day on which the ledger books it. {_DAY}",
}
"""By name, wherever the field stands at the first level of a row."""

_ALLOCATED = "How much of it was applied here."
_FIRST_DAY = (
    "First day of the month, midnight UTC; part of the key. A time before 2000 stands for a date"
    " that cannot be read, which is in _rutter_issues."
)
_LINES_OF_STATEMENT = (
    "A tree of lines, each with its own lines under items. Values are decimal numbers as text;"
    " account_id need not be an id of Rutter's."
)
_PARENT = {
    "parent_id": "The document that the file is attached to; part of the key.",
    "parent_type": "The kind of that document.",
    "parent_last_synced_at": "When Rutter last synced that document: what the bookmark is about.",
    "id": "Not unique by itself: two documents may have attachments of one id.",
    "created_at": "When the file was attached; on some platforms not known.",
    "file_url": "A link to the file, only with attachment_urls. It lives for a short time, and"
    " opens the file to whoever has it.",
}
_METRIC = {
    "metric": "What is measured; part of the key, as are dates and currency.",
    "value": "As the API gives it: a decimal number as text.",
    "currency": 'ISO 4217 code; "*" for a ratio, which has none.',
    "checkpoint": "As of when Rutter computed the figures.",
}
_LINE_ACCOUNT = "The account that is debited: what the money was spent on."

_STREAMS: Mapping[str, Mapping[str, str]] = {
    "accounting_accounts": {
        "balance": "Running sum of all that was booked to the account, with the platform's sign.",
        "current_balance": "Running sum of all that was booked to the account, with the platform's"
        " sign.",
        "category": "Which of the five kinds of account it is: asset, liability, equity, income or"
        " expense; or none of them.",
        "account_type": "The kind of account within its category.",
    },
    "accounting_balance_sheets": {
        "start_date": _FIRST_DAY,
        "end_date": "Last day of the month: the figures are those at its end.",
        "assets": _LINES_OF_STATEMENT,
        "equity": _LINES_OF_STATEMENT,
        "liabilities": _LINES_OF_STATEMENT,
        "total_assets": "Decimal number as text.",
        "total_equity": "Decimal number as text.",
        "total_liabilities": "Decimal number as text.",
    },
    "accounting_bank_deposits": {
        "linked_payments": "The payments and journal entries that were deposited.",
    },
    "accounting_bank_feed_accounts": {
        "internal_bank_account_id": "The id that whoever feeds the account uses for it.",
        "bank_account_number": "Bank details: deselect the column where they must not land.",
        "routing_number": "Bank details: deselect the column where they must not land.",
    },
    "accounting_bank_feed_transactions": {
        "transaction_id": "The bank's own id of the transaction.",
        "amount": "debit_credit_memo and transaction_type tell which way the money went.",
        "debit_credit_memo": "DEBIT or CREDIT.",
        "posted_at": "When the bank posted it, by the bank's clock.",
        "platform_ingested": "Whether the ledger has taken it over.",
        "interest_amount": "How much of a payment went to interest.",
        "principal_amount": "How much of a payment went to principal.",
    },
    "accounting_bank_transfers": {
        "credit_account_id": "The account that is credited: where the money came from.",
        "debit_account_id": "The account that is debited: where the money went.",
    },
    "accounting_bill_payments": {
        "linked_bills[].allocated_amount": _ALLOCATED,
        "linked_credit_memos[].allocated_amount": _ALLOCATED,
    },
    "accounting_bills": {
        "account_id": "The payables account that is credited.",
        "line_items[].account_id": _LINE_ACCOUNT,
        "linked_payments": "What was paid on it, payment by payment.",
        "linked_payments[].allocated_amount": _ALLOCATED,
        "linked_credit_memos": "What vendors' credits were set against it.",
        "linked_credit_memos[].allocated_amount": _ALLOCATED,
        "linked_purchase_orders": "The orders that it bills.",
    },
    "accounting_cash_flow_statements": {
        "start_date": _FIRST_DAY,
        "end_date": "Last day of the month.",
        "starting_balance": "Cash at the beginning of the month; decimal number as text.",
        "ending_balance": "Cash at the end of the month; decimal number as text.",
        "financing_activities": _LINES_OF_STATEMENT,
        "investing_activities": _LINES_OF_STATEMENT,
        "operating_activities": _LINES_OF_STATEMENT,
    },
    "accounting_company_info": {
        "base_currency_code": "ISO 4217 code of the currency that the books are kept in.",
        "currency_code": "ISO 4217 code of the currency that the books are kept in.",
        "createdAt": "When the object was created, by the platform's clock.",
        "updatedAt": "When the object last changed, by the platform's clock.",
    },
    "accounting_custom_fields": {
        "entity_type": "Whose field it is: bills, expenses and so on.",
        "section": "entity for a field of the document, line_items for one of its lines.",
        "key": "The platform's name of the field; its values are under it in platform_data.",
        "default": "The default as JSON text.",
        "options": "What can be chosen from, in a field of choices.",
    },
    "accounting_expenses": {
        "account_id": "The account that is credited: what was paid from.",
        "expense_type": "expense, or refund where the money came back.",
        "expense_date": f"The day on which the ledger books it. {_DAY}",
        "line_items[].account_id": _LINE_ACCOUNT,
        "customer_id": "For whom the money was spent, where it is to be billed to a customer.",
    },
    "accounting_income_statements": {
        "start_date": _FIRST_DAY,
        "end_date": "Last day of the month.",
        "accounting_standard": "Whether it counts money when it moves (cash) or when it is owed"
        " (accrual).",
        "cost_of_sales": _LINES_OF_STATEMENT,
        "expenses": _LINES_OF_STATEMENT,
        "income": _LINES_OF_STATEMENT,
    },
    "accounting_invoice_credit_memos": {
        "allocated_at": "When it was set against an invoice.",
        "total_amount": "Decimal number as text.",
        "remaining_amount": "What has not been set against an invoice yet; decimal number as text.",
    },
    "accounting_invoice_payments": {
        "ar_account_id": "The receivables account that the payment reduces.",
        "deposited": "Whether the money has been brought to a bank account; null where that is"
        " not known.",
        "total_amount": "Decimal number as text.",
    },
    "accounting_invoices": {
        "linked_payments": "What was paid on it or credited; type says what each one is.",
        "linked_payments[].allocated_amount": _ALLOCATED,
    },
    "accounting_items": {
        "bill_item": "How it is bought: what bills say, and the price as text.",
        "invoice_item": "How it is sold: what invoices say, and the price as text.",
    },
    "accounting_journal_entries": {
        "deposited": "For an entry that debits undeposited funds, whether they have been brought to"
        " a bank account; null otherwise.",
        "line_items[].total_amount": "Debits are positive, credits negative: the lines of an entry"
        " add up to zero.",
    },
    "accounting_payment_terms": {
        "due_days": "How many days after its date a document is to be paid.",
        "discount_days": "Within how many days paying earns the discount.",
        "discount_percent": "The discount for paying early, in percent.",
    },
    "accounting_sales_receipts": {
        "linked_transactions": "Other entries of the ledger that belong to it; type names the kind"
        " of each.",
    },
    "accounting_subsidiaries": {
        "elimination": "Whether it exists only to cancel out dealings between the others.",
    },
    "accounting_tax_rates": {
        "components": "The single taxes that the rate consists of.",
    },
    "accounting_transactions": {
        "rutter_transaction_type": "What kind of object it is, such as invoice.",
        "rutter_transaction_id": "The id under which that object is a row of its own stream.",
    },
    "accounting_vendors": {
        "currency_codes": "ISO 4217 codes of the currencies that the vendor deals in.",
        "bank_account_number": "Bank details: deselect the column where they must not land.",
    },
    "ads_campaign_dailies": {
        "date": "The day, as the advertising platform counts it.",
        "spend": "What was spent on the day; the campaign says in which currency.",
    },
    "accounting_bank_deposit_attachments": _PARENT,
    "accounting_bank_transfer_attachments": _PARENT,
    "accounting_bill_attachments": _PARENT,
    "accounting_expense_attachments": _PARENT,
    "accounting_invoice_attachments": _PARENT,
    "accounting_journal_entry_attachments": _PARENT,
    "accounting_metrics": _METRIC,
    "banking_bank_account_balances": {
        "bank_account_id": "The account that was asked for; part of the key.",
    },
    "banking_bank_account_details": {
        "bank_account_id": "The account that was asked for; part of the key.",
        "ach": "Account and routing numbers.",
    },
    "banking_bank_accounts": {
        "mask": "The last digits of the account's number.",
    },
    "banking_bank_transactions": {
        "amount": "With the sign of the source of the bank's data; Rutter does not say which sign"
        " means money going out.",
        "category": "What the source of the data takes it for, in words of its own.",
        "status": "pending until the bank has posted it.",
    },
    "commerce_balance": {
        "date": "The UTC day of the run that read it: a history builds up, one row a day.",
    },
    "commerce_customers": {
        "id": "Rutter's id. Where the platform knows customers without one, the tap makes it up:"
        " tap: and a hash, the same at every run.",
    },
    "commerce_metrics": _METRIC,
    "commerce_orders": {
        "line_items": "The lines of the order. Their ids are unique within the order only.",
        "payment_status": "Whether it was paid; refunded also where only a part was given back.",
        "refunds": "What was given back, line by line.",
        "total_discount": "Sum of all discounts on the order.",
        "total_line_items_price": "Sum of the lines' prices. Shopify only.",
        "total_price": "The total price of the order.",
        "transactions": "Its payments; only with expand_order_transactions, since"
        " commerce_transactions has them where the platform has such a list.",
    },
    "commerce_payouts": {
        "arrival_at": "When the money is expected on the merchant's account; may lie ahead.",
        "gateway_account_id": "The payment gateway's own id of the account.",
        "transactions": "The transactions that were paid out; rows of commerce_transactions too.",
    },
    "commerce_product_categories": {
        "path": "Ids of the categories from the first level down to this one.",
        "position": "Its place among the categories of one parent, from 0.",
    },
    "commerce_transactions": {
        "amount": "With the platform's own sign. To compare platforms take the absolute value: type"
        " says which way the money went.",
        "gateway_data": "What the payment gateway tells beside: any JSON, an object on some"
        " platforms, a text on others.",
        "type": "sale, refund, fee; void for a pending one that was cancelled; payout for money"
        " moved to the merchant's own bank account.",
    },
    "connection_statuses": {
        "is_ready": "Whether its first sync is over: before that its data are not complete.",
        "is_healthy": "Whether its syncs succeed.",
        "needs_update": "Whether the merchant has to sign in again.",
        "is_disabled": "Whether Rutter has switched it off; disabled_reason says why.",
        "created_at": "When it was made, by Rutter's clock.",
        "last_sync_started_at": "When Rutter last began to sync it, by Rutter's clock.",
        "last_sync_completed_at": "When a sync of it was last completed, by Rutter's clock.",
        "historical_sync_completed": "Whether all of its history is there.",
        "num_batches_completed": "How many stretches of history came after the first sync.",
        "entities": "By object: oldest and newest date, count, and whether it is ready.",
        "batches": "What each stretch of history holds.",
        "expected_entity_counts": "How many rows the platform is expected to have; QuickBooks"
        " only.",
        "synced_orders_count": "How many orders Rutter has synced; above a million an estimate.",
    },
    "connections": {
        "id": "Rutter's id of the connection: connection_id of all other streams.",
        "status": "active, unhealthy (still read), not_ready, needs_reauth or disabled.",
        "name": "What your organisation calls it.",
        "created_at": "When it was made, by Rutter's clock.",
        "updated_at": "When it last changed, by Rutter's clock.",
    },
    "deleted_objects": {
        "id": "Rutter's id of the event, not of what was deleted.",
        "resource": "What Rutter calls the kind of object.",
        "stream": "The stream in which the object was a row; null where there is none.",
        "object_id": "Its id there; null where Rutter does not tell it.",
        "deleted_at": "When Rutter noticed the deletion, by Rutter's clock.",
        "data": "What Rutter tells of the object, mostly its last state.",
    },
    "hris_employees": {
        "salary": "The salary; Rutter does not say in which currency, or for how long a time.",
        "custom_fields": "Fields that the users of the HR system added, of any form.",
    },
    "connection_sync_configs": {
        "level": "Whose configuration it is: connection, or else platform.",
        "sync_period_minutes": "How often Rutter syncs what has changed.",
        "initial_entities": "The objects that the first sync fetches.",
        "incremental_entities": "The objects that every later sync fetches.",
        "initial_batches": "The first sync's batches: entities, and how many months back.",
    },
    "sync_report": {
        "run_id": "The run of the tap; the same for all rows of a run.",
        "connection_id": 'The connection; "*" for what concerns all of them.',
        "stream": "The stream; * for a connection that was skipped as a whole.",
        "status": "complete, skipped, failed or interrupted.",
        "reason": "Why it is not complete.",
        "rows": "Records that were delivered; one that came on two pages counts twice.",
        "retries": "Requests that were made again.",
        "repaired_values": "Values that went to _rutter_issues.",
        "unknown_fields": "Fields that went to _rutter_extra.",
        "derived_keys": "Rows that came without an id and were given one.",
        "full_read": "Whether nothing was left out by a bookmark or a start date.",
        "window_start": "From which time on the stream was asked for; null for all.",
        "window_end": "The run's cutoff.",
        "source_synced_at": "When Rutter had last completed a sync of the connection.",
        "source_count": "How many rows Rutter says it has; null where it does not say.",
        "skipped": "Streams that the platform does not serve.",
    },
}
"""By stream and path, where a field means something else than its name elsewhere."""


def meaning(stream: str, path: str) -> str:
    """What the field at a path of a stream's rows means; empty where its name says it all."""
    told = _STREAMS.get(stream, {}).get(path)
    if told is None and "." not in path:
        told = FIELDS.get(path)
    return told or ""


def describe(stream: str, path: str) -> str:
    """What a field means, and where it points if it is an id."""
    told = meaning(stream, path)
    target = target_of(stream, path)
    if path == "connection_id":
        return told
    if target is not None:
        where = "this stream" if target == stream else target
        return f"{told} An id of {where}." if told else f"An id of {where}."
    if (stream, path) in KINDS and not told:
        return f"An id of the stream that {KINDS[stream, path]} beside it stands for."
    return told
