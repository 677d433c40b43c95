"""Which platform serves which endpoint, and what else each platform can do.

The only published table is that of December 2023 (API version 2023-03-14). It is taken to be still
true. Endpoints that came later are given to the platforms that seem most likely.
"""

from __future__ import annotations

_QBO, _QBD, _NS, _INT = "QUICKBOOKS", "QUICKBOOKS_DESKTOP", "NETSUITE", "SAGE_INTACCT"
_SBC, _D365, _XERO, _ZOHO = "SAGE_BUSINESS_CLOUD", "DYNAMICS365", "XERO", "ZOHOBOOKS"

_MIDDLE = f"{_D365} EXACTONLINE FREEAGENT FRESHBOOKS MONEYBIRD {_SBC} {_ZOHO}"
_LARGE = f"{_NS} {_QBO} {_QBD} {_INT} {_XERO}"
_EVERY_LEDGER = f"{_LARGE} {_MIDDLE} KASHFLOW TALLY WAVE ODOO DUALENTRY SAGE_50 SAGE200CLOUD"

_SHOPS = (
    "ALIBABA AMAZON BIG_COMMERCE EBAY ETSY GUMROAD LAZADA MAGENTO MERCADOLIBRE PRESTASHOP SHOPEE "
    "SHOPER SHOPIFY SHOPLAZZA SHOPLINE SQUARE SQUARESPACE WALMART WIX WOO_COMMERCE"
)
_BILLING = "CHARGEBEE CHARGIFY RECURLY STRIPE"
_BANKS = "PLAID TELLER MX"
_HRIS = "GUSTO BAMBOO_HR QUICKBOOKS_HRIS"
_ADS = "GOOGLE FACEBOOK TIKTOK"

# Sage Intacct's second connector is taken to be like the first.
_SAME_AS = {"SAGE_INTACCT_V2": _INT}

_MATRIX: dict[str, str] = {
    "/accounting/accounts": _EVERY_LEDGER,
    "/accounting/ap_aging_report_summaries": f"{_QBO} {_QBD}",
    "/accounting/ar_aging_report_summaries": f"{_QBO} {_QBD}",
    "/accounting/balance_sheets": _EVERY_LEDGER,
    "/accounting/income_statements": _EVERY_LEDGER,
    "/accounting/cash_flow_statements": _EVERY_LEDGER,
    "/accounting/reports": _EVERY_LEDGER,
    "/accounting/bank_deposits": f"{_NS} {_QBO} {_XERO}",
    "/accounting/bank_transfers": f"{_NS} {_QBO} {_XERO}",
    "/accounting/purchase_orders": f"{_NS} {_QBO} {_XERO}",
    "/accounting/bank_feeds/accounts": f"{_NS} {_SBC} {_INT} INTUIT_BANK_FEEDS SAGE_BANK_FEEDS",
    "/accounting/bank_feeds/transactions": f"{_SBC} {_INT} INTUIT_BANK_FEEDS SAGE_BANK_FEEDS",
    "/accounting/bill_credit_memos": f"{_LARGE} EXACTONLINE FREEAGENT KASHFLOW {_SBC}",
    "/accounting/bill_payments": f"{_LARGE} {_MIDDLE} KASHFLOW",
    "/accounting/bills": f"{_LARGE} {_MIDDLE} KASHFLOW",
    "/accounting/vendors": f"{_LARGE} {_MIDDLE} KASHFLOW",
    "/accounting/classes": _LARGE,
    "/accounting/customers": _LARGE,
    "/accounting/invoice_credit_memos": _LARGE,
    "/accounting/invoice_payments": _LARGE,
    "/accounting/journal_entries": _LARGE,
    "/accounting/company_info": f"{_LARGE} {_D365} FRESHBOOKS {_SBC} WAVE {_ZOHO}",
    "/accounting/currencies": f"KASHFLOW {_NS} {_QBO} {_XERO} {_ZOHO}",
    "/accounting/departments": f"{_NS} {_QBO} {_INT}",
    "/accounting/expenses": f"{_LARGE} {_D365} EXACTONLINE FREEAGENT {_ZOHO}",
    "/accounting/invoices": f"{_LARGE} {_ZOHO}",
    "/accounting/items": f"{_LARGE} {_D365} {_ZOHO}",
    "/accounting/locations": f"{_NS} {_INT}",
    "/accounting/metrics": f"{_NS} {_QBO} {_QBD} {_XERO}",
    "/accounting/payment_terms": f"{_NS} {_QBO} {_QBD}",
    "/accounting/payment_methods": f"{_NS} {_QBO} {_QBD}",
    "/accounting/tax_rates": f"{_LARGE} {_D365} EXACTONLINE FREEAGENT MONEYBIRD {_SBC} {_ZOHO}",
    "/accounting/sales_orders": _NS,
    "/accounting/subsidiaries": _NS,
    "/accounting/custom_fields": _NS,
    "/accounting/projects": f"{_NS} {_QBO} {_INT}",
    "/accounting/tasks": f"{_NS} {_INT}",
    "/accounting/tax_agencies": f"{_QBO} {_NS}",
    "/accounting/tax_areas": f"{_D365} {_NS}",
    "/accounting/sales_receipts": f"{_QBO} {_QBD} {_NS}",
    "/accounting/customer_refunds": f"{_QBO} {_NS} {_XERO}",
    "/accounting/transactions": f"{_QBO} {_NS} {_XERO} {_INT}",
    "/accounting/bills/attachments": f"{_D365} {_NS} {_QBO} {_INT} {_XERO}",
    "/accounting/expenses/attachments": f"{_D365} {_NS} {_QBO} {_INT} {_XERO} {_ZOHO}",
    "/accounting/invoices/attachments": f"{_NS} {_QBO} {_XERO}",
    "/accounting/journal_entries/attachments": f"{_NS} {_QBO}",
    "/accounting/bank_deposits/attachments": f"{_NS} {_QBO}",
    "/accounting/bank_transfers/attachments": f"{_NS} {_QBO}",
    "/ads": _ADS,
    "/banking": _BANKS,
    "/hris": _HRIS,
    "/balance": "AMAZON MOLLIE PAYPAL SHOPIFY STRIPE",
    "/commerce/metrics": "AMAZON BIG_COMMERCE EBAY LAZADA MAGENTO SHOPEE SHOPIFY SQUARE",
    "/customer_groups": "SHOPIFY BIG_COMMERCE",
    "/customers": f"{_SHOPS} {_BILLING} CLOVER",
    "/orders": _SHOPS,
    "/payouts": "AMAZON EBAY MOLLIE PAYPAL SHOPIFY SQUARE STRIPE WALMART",
    "/products": _SHOPS,
    "/products/categories": "AMAZON BIG_COMMERCE ETSY MAGENTO SHOPIFY",
    "/store": f"{_SHOPS} STRIPE",
    "/subscriptions": _BILLING,
    "/transactions": f"{_SHOPS} {_BILLING} PAYPAL CLOVER MOLLIE",
    # Served by Rutter itself, on any platform.
    "/events": "*",
    "/connections": "*",
    "/supplier_enablement": "*",
    "/jobs": "*",
    # Accounting objects that are in no published table.
    "/accounting": _LARGE,
}
_PLATFORMS = {prefix: frozenset(names.split()) for prefix, names in _MATRIX.items()}

# Platforms on which `filter` and `id_type=platform` do not work.
_NO_FILTER = frozenset({_INT, "SAGE_INTACCT_V2", _SBC})
# Only these platforms report deletions; for others /events is an empty list.
_REPORTS_DELETIONS = frozenset({_QBO, _QBD, _NS, _XERO})

# Resource name in deletion events -> the list in which the object was.
RESOURCES: dict[str, str] = {
    "ACCOUNT": "/accounting/accounts",
    "ACCOUNTING_CUSTOMER": "/accounting/customers",
    "ACCOUNTING_CUSTOMER_REFUND": "/accounting/customer_refunds",
    "ACCOUNTING_TRANSACTION": "/accounting/transactions",
    "BALANCE_SHEET": "/accounting/balance_sheets",
    "BANK_DEPOSIT": "/accounting/bank_deposits",
    "BANK_FEED_ACCOUNT": "/accounting/bank_feeds/accounts",
    "BANK_FEED_TRANSACTION": "/accounting/bank_feeds/transactions",
    "BANK_TRANSFER": "/accounting/bank_transfers",
    "BILL": "/accounting/bills",
    "BILL_CREDIT_MEMO": "/accounting/bill_credit_memos",
    "BILL_PAYMENT": "/accounting/bill_payments",
    "CASH_FLOW": "/accounting/cash_flow_statements",
    "CLASS": "/accounting/classes",
    "COMPANY_INFO": "/accounting/company_info",
    "CURRENCIES": "/accounting/currencies",
    "DEPARTMENT": "/accounting/departments",
    "EXPENSE": "/accounting/expenses",
    "INCOME_STATEMENT": "/accounting/income_statements",
    "INVOICE": "/accounting/invoices",
    "INVOICE_CREDIT_MEMO": "/accounting/invoice_credit_memos",
    "INVOICE_PAYMENT": "/accounting/invoice_payments",
    "ITEMS": "/accounting/items",
    "JOURNAL_ENTRY": "/accounting/journal_entries",
    "LOCATION": "/accounting/locations",
    "PAYMENT_METHOD": "/accounting/payment_methods",
    "PAYMENT_TERM": "/accounting/payment_terms",
    "PROJECT": "/accounting/projects",
    "PURCHASE_ORDER": "/accounting/purchase_orders",
    "SALES_ORDER": "/accounting/sales_orders",
    "SALES_RECEIPT": "/accounting/sales_receipts",
    "SUBSIDIARY": "/accounting/subsidiaries",
    "TASK": "/accounting/tasks",
    "TAX_AGENCY": "/accounting/tax_agencies",
    "TAX_AREA": "/accounting/tax_areas",
    "TAX_RATES": "/accounting/tax_rates",
    "VENDOR": "/accounting/vendors",
}
_RESOURCE_OF = {path: resource for resource, path in RESOURCES.items()}
# Can be a filter of /events, but no list shows such objects.
RESOURCE_NAMES = frozenset(RESOURCES) | {"UPDATED_TRANSACTION"}

# The names of a list's objects in /connections/status and `unavailable_objects`.
_ENTITY_EXCEPTIONS = {
    "/accounting/customers": "accounting_customer",
    "/accounting/customer_refunds": "accounting_customer_refund",
    "/accounting/transactions": "accounting_transaction",
    "/accounting/bank_feeds/accounts": "bank_feed_account",
    "/accounting/bank_feeds/transactions": "bank_feed_transaction",
    "/accounting/cash_flow_statements": "cash_flow",
    "/accounting/classes": "class",
    "/accounting/currencies": "currencies",
    "/accounting/items": "items",
    "/accounting/tax_rates": "tax_rates",
    "/accounting/company_info": "company_info",
    "/customers": "commerce_customer",
    "/products/categories": "categories",
    "/store": "store",
}
_SINGULAR = (("ies", "y"), ("s", ""))


def serves(platform: str, path: str) -> bool:
    """Whether this platform serves the endpoint (the template of its path, or the path)."""
    name = _SAME_AS.get(platform, platform)
    served_by = _served_by(path)
    return name in served_by or "*" in served_by


def _served_by(path: str) -> frozenset[str]:
    segments = path.strip("/").split("/")
    if segments[-1] == "custom_fields":
        return _PLATFORMS["/accounting/custom_fields"]
    if "attachments" in segments and segments[0] == "accounting":
        return _PLATFORMS.get(f"/accounting/{segments[1]}/attachments", frozenset())
    for length in range(len(segments), 0, -1):
        found = _PLATFORMS.get("/" + "/".join(segments[:length]))
        if found is not None:
            return found
    return frozenset()


def supports_filter(platform: str) -> bool:
    return platform not in _NO_FILTER


def reports_deletions(platform: str) -> bool:
    return platform in _REPORTS_DELETIONS


def resource_of(path: str) -> str | None:
    """The name under which /events reports a deletion from this list; None if it does not."""
    return _RESOURCE_OF.get(path)


def entity_of(path: str) -> str:
    """The object's name in /connections/status: ``/accounting/bills`` -> ``bill``."""
    if path in _ENTITY_EXCEPTIONS:
        return _ENTITY_EXCEPTIONS[path]
    name = path.rsplit("/", 1)[-1]
    for ending, replacement in _SINGULAR:
        if name.endswith(ending):
            return name.removesuffix(ending) + replacement
    return name
