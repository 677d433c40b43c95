"""Which platforms serve a stream, as far as that has been published.

Rutter's API description of December 2023 was the last one that listed the platforms of each
endpoint. More platforms have been added since. So this table is only for people who want to know
what to expect; nothing is skipped because of it. Rutter itself says what a connection's platform
cannot serve.
"""

from __future__ import annotations

from collections.abc import Mapping

_QBO, _QBD, _NS, _XERO = "QUICKBOOKS", "QUICKBOOKS_DESKTOP", "NETSUITE", "XERO"
_INTACCT, _SAGE = "SAGE_INTACCT", "SAGE_BUSINESS_CLOUD"
_D365, _ZOHO = "DYNAMICS365", "ZOHOBOOKS"

_LARGE = f"{_NS} {_QBO} {_QBD} {_INTACCT} {_XERO}"
_BUYING = f"{_LARGE} {_D365} EXACTONLINE FREEAGENT FRESHBOOKS KASHFLOW MONEYBIRD {_SAGE} {_ZOHO}"
_REPORTING = (
    f"{_LARGE} {_D365} EXACTONLINE FREEAGENT FRESHBOOKS KASHFLOW {_SAGE} TALLY WAVE {_ZOHO}"
)

_SERVED_BY: Mapping[str, str] = {
    "accounting_accounts": f"{_LARGE} {_D365} FREEAGENT FRESHBOOKS MONEYBIRD {_SAGE} TALLY WAVE"
    f" {_ZOHO}",
    "accounting_ap_aging_report_summaries": f"{_QBO} {_QBD}",
    "accounting_ar_aging_report_summaries": f"{_QBO} {_QBD}",
    "accounting_balance_sheets": _REPORTING,
    "accounting_bank_deposits": f"{_NS} {_QBO} {_XERO}",
    "accounting_bank_feed_accounts": f"{_NS} {_SAGE} {_INTACCT}",
    "accounting_bank_feed_transactions": f"{_SAGE} {_INTACCT}",
    "accounting_bank_transfers": f"{_NS} {_QBO} {_XERO}",
    "accounting_bill_attachments": f"{_D365} {_NS} {_QBO} {_INTACCT} {_XERO}",
    "accounting_bill_credit_memos": f"{_LARGE} EXACTONLINE FREEAGENT KASHFLOW {_SAGE}",
    "accounting_bill_payments": _BUYING,
    "accounting_bills": _BUYING,
    "accounting_cash_flow_statements": f"{_NS} {_QBO} {_INTACCT} {_XERO} EXACTONLINE FREEAGENT"
    f" FRESHBOOKS KASHFLOW {_SAGE} TALLY {_ZOHO}",
    "accounting_classes": _LARGE,
    "accounting_company_info": f"{_LARGE} {_D365} FRESHBOOKS {_SAGE} WAVE {_ZOHO}",
    "accounting_currencies": f"KASHFLOW {_NS} {_QBO} {_XERO} {_ZOHO}",
    "accounting_custom_fields": _NS,
    "accounting_customers": _LARGE,
    "accounting_departments": f"{_NS} {_QBO} {_INTACCT}",
    "accounting_expense_attachments": f"{_D365} {_NS} {_QBO} {_INTACCT} {_XERO} {_ZOHO}",
    "accounting_expenses": f"{_LARGE} {_D365} EXACTONLINE FREEAGENT {_ZOHO}",
    "accounting_income_statements": _REPORTING,
    "accounting_invoice_attachments": f"{_NS} {_QBO} {_XERO}",
    "accounting_invoice_credit_memos": _LARGE,
    "accounting_invoice_payments": _LARGE,
    "accounting_invoices": f"{_LARGE} {_ZOHO}",
    "accounting_items": f"{_LARGE} {_D365} {_ZOHO}",
    "accounting_journal_entries": _LARGE,
    "accounting_journal_entry_attachments": _NS,
    "accounting_locations": f"{_NS} {_INTACCT}",
    "accounting_metrics": f"{_NS} {_QBO} {_QBD} {_XERO}",
    "accounting_payment_terms": f"{_NS} {_QBO} {_QBD}",
    "accounting_purchase_orders": f"{_NS} {_QBO} {_XERO}",
    "accounting_sales_orders": _NS,
    "accounting_subsidiaries": _NS,
    "accounting_tax_rates": f"{_LARGE} {_D365} EXACTONLINE FREEAGENT MONEYBIRD {_SAGE} {_ZOHO}",
    "accounting_vendors": _BUYING,
    "ads_accounts": "GOOGLE",
    "commerce_balance": "AMAZON MOLLIE PAYPAL SHOPIFY STRIPE",
    "commerce_customer_groups": "SHOPIFY",
    "commerce_customers": "AMAZON BIG_COMMERCE CHARGEBEE CHARGIFY CLOVER MAGENTO MERCADOLIBRE"
    " PRESTASHOP SHOPEE SHOPIFY SQUARE SQUARESPACE STRIPE WOO_COMMERCE",
    "commerce_metrics": "AMAZON BIG_COMMERCE EBAY LAZADA MAGENTO SHOPEE SHOPIFY SQUARE",
    "commerce_orders": "ALIBABA AMAZON BIG_COMMERCE EBAY ETSY GUMROAD LAZADA MAGENTO MERCADOLIBRE"
    " PRESTASHOP SHOPEE SHOPER SHOPIFY SHOPLAZZA SHOPLINE SQUARE SQUARESPACE WALMART WIX"
    " WOO_COMMERCE",
    "commerce_payouts": "AMAZON EBAY MOLLIE PAYPAL SHOPIFY SQUARE STRIPE WALMART",
    "commerce_product_categories": "AMAZON BIG_COMMERCE ETSY MAGENTO SHOPIFY",
    "commerce_products": "AMAZON BIG_COMMERCE EBAY ETSY LAZADA MAGENTO MERCADOLIBRE PRESTASHOP"
    " SHOPIFY SQUARE SQUARESPACE WALMART WIX WOO_COMMERCE",
    "commerce_store": "AMAZON BIG_COMMERCE EBAY ETSY LAZADA MAGENTO MERCADOLIBRE PRESTASHOP SHOPIFY"
    " SHOPLAZZA SHOPLINE SQUARE SQUARESPACE STRIPE WALMART WIX WOO_COMMERCE",
    "commerce_subscriptions": "CHARGEBEE CHARGIFY RECURLY STRIPE",
    "commerce_transactions": "AMAZON CHARGEBEE CHARGIFY EBAY ETSY LAZADA MAGENTO MERCADOLIBRE"
    " PAYPAL PRESTASHOP SHOPIFY SQUARE STRIPE WALMART WOO_COMMERCE",
    "deleted_objects": f"{_NS} {_QBO} {_QBD} {_XERO}",
}

REAL_TIME = frozenset({_QBO, _XERO})
"""Platforms whose changes Rutter takes in as they happen, between syncs, as its guides say."""

PLATFORMS: Mapping[str, tuple[str, ...]] = {
    stream: tuple(sorted(names.split())) for stream, names in _SERVED_BY.items()
}
"""By stream: the platforms known to serve it. For other streams no platform is known."""
