"""What fields of single streams mean; ``docs_plain_fields.py`` says what these texts are for."""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN = "Rutter does not say what it means."
TEXT = "Decimal number as text."

_LINES = "The lines below this one, of the same form."
STATEMENT: Mapping[str, str] = {
    "account_id": "The account's id in the ledger. It need not be an id of Rutter's.",
    "items": _LINES,
    "name": "The name of the line.",
    "platform_id": "The id that the platform itself uses for the line.",
    "value": f"The amount of the line. {TEXT}",
}
"""The fields of a line in the trees of statements."""

TREES: Mapping[str, tuple[str, ...]] = {
    "accounting_balance_sheets": ("assets", "equity", "liabilities"),
    "accounting_cash_flow_statements": (
        "financing_activities",
        "investing_activities",
        "operating_activities",
    ),
    "accounting_income_statements": ("cost_of_sales", "expenses", "income"),
}
"""By stream: the fields that hold such trees."""

_AGING = {
    "current": f"The amount that is not due yet. {TEXT}",
    "total": f"The open amount in all. {TEXT}",
}
_SYNCED = "How many {} Rutter has synced; above a million an estimate."

BY_STREAM: Mapping[str, Mapping[str, str]] = {
    "accounting_ap_aging_report_summaries": {
        "vendors": "What the business owes each vendor, by how long it has been due.",
        **{f"vendors[].{name}": text for name, text in _AGING.items()},
    },
    "accounting_ar_aging_report_summaries": {
        "customers": "What each customer owes the business, by how long it has been due.",
        **{f"customers[].{name}": text for name, text in _AGING.items()},
    },
    "accounting_bank_deposits": {"total_amount": "The amount of the whole deposit."},
    "accounting_bank_feed_accounts": {
        "available_balance": "The money on the account that can be used.",
        "available_credit": "The credit that can still be used.",
        "bank_account_type": "The bank's own type of the account.",
        "credit_limit": "The limit of the credit.",
        "current_balance": "The balance of the account now.",
        "feed_status": "Whether the feed into the ledger is active.",
        "finance_charges": "Interest and fees that the bank has charged.",
        "last_statement_balance": "The balance on the last statement.",
        "last_statement_date": "The date of the last statement.",
        "line_of_business": UNKNOWN,
        "minimum_payment_amount": "The least that must be paid next.",
        "next_payment_amount": "The amount of the next payment.",
        "next_payment_date": "The date of the next payment.",
        "past_due_amount": "The amount that should have been paid already.",
        "purchases_apr": "The yearly interest rate on purchases.",
        "transaction_ready": "Whether the account can take transactions.",
        "transaction_start_date": "The date from which transactions are fed into the ledger.",
    },
    "accounting_bank_feed_transactions": {
        "description": "The text of the bank statement's line.",
        "payee": "The other party of the transaction.",
        "transaction_type": "The kind of transaction.",
    },
    "accounting_bills": {"total_discount": "The discount on the whole bill."},
    "accounting_cash_flow_statements": {
        "gross_cash_in_flow": f"All money that came in during the month. {TEXT}",
        "gross_cash_out_flow": f"All money that went out during the month. {TEXT}",
        "total_financing": f"The cash flow of financing. {TEXT}",
        "total_investing": f"The cash flow of investing. {TEXT}",
        "total_operating": f"The cash flow of the business's operations. {TEXT}",
    },
    "accounting_company_info": {
        "additional_fields.closing_date": "The date up to which the books are closed.",
    },
    "accounting_currencies": {"currency_name": "The name of the currency."},
    "accounting_custom_fields": {
        "description": "The platform's description of the field.",
        "name": "The name of the field that users see.",
        "required": "Whether the field must be filled.",
        "type": "The type of the field's values.",
    },
    "accounting_customers": {"customer_name": "The name of the customer."},
    "accounting_income_statements": {
        "gross_profit": f"The income less the cost of sales. {TEXT}",
        "net_income": f"The income less all costs. {TEXT}",
        "net_operating_income": f"The income from operations less their costs. {TEXT}",
        "net_profit": f"The profit. Rutter does not say how it differs from net_income. {TEXT}",
        "net_sales": f"The sales. Rutter does not say what is taken off. {TEXT}",
        "total_cost_of_sales": f"The sum of the costs of sales. {TEXT}",
        "total_expenses": f"The sum of the expenses. {TEXT}",
        "total_income": f"The sum of the income. {TEXT}",
    },
    "accounting_invoices": {"additional_fields.po_number": "The number of the customer's order."},
    "accounting_items": {"quantity_on_hand": "The number of units in stock."},
    "accounting_journal_entries": {
        "additional_fields.editable": "Whether the entry can still be changed at the platform."
    },
    "accounting_metrics": {
        "end_date": "The end of the period; part of the key.",
        "start_date": "The start of the period; part of the key.",
    },
    "accounting_payment_terms": {"term_name": "The name of the payment term."},
    "accounting_projects": {"project_category": "The category of the project."},
    "accounting_purchase_orders": {"total_quantity": "The number of units on all lines."},
    "accounting_sales_orders": {"reference_number": "A reference number of the order."},
    "accounting_tax_rates": {
        "additional_fields.purchase_total_tax_rate": "The total tax rate for purchases.",
        "additional_fields.sales_total_tax_rate": "The total tax rate for sales.",
        "effective_tax_rate": "The rate that gives the whole tax if it is applied to the amount:"
        " with taxes that are charged on top of other taxes.",
        "total_tax_rate": "The sum of the single taxes' rates, each applied to the amount alone.",
    },
    "accounting_vendors": {
        "display_name": "The name of the vendor that users see.",
        "vendor_name": "The name of the vendor.",
    },
    "ads_campaign_dailies": {
        "clicks": "How often the ads were clicked on the day.",
        "daily_budget": "The budget of the campaign for the day.",
        "impressions": "How often the ads were shown on the day.",
    },
    "ads_campaigns": {
        "end_date": "The last day of the campaign.",
        "objective": "What the campaign is paid for or aims at.",
        "start_date": "The first day of the campaign.",
        "total_budget": "The budget of the whole campaign.",
        "total_clicks": "How often the ads were clicked so far.",
        "total_impressions": "How often the ads were shown so far.",
        "total_spend": "What has been spent on the campaign so far.",
    },
    "banking_bank_account_details": {
        "ach.account_number": "The account number for transfers in the United States.",
        "ach.routing_number": "The routing number for transfers by ACH.",
        "ach.wire_routing_number": "The routing number for transfers by wire.",
    },
    "banking_bank_accounts": {
        "balance": "What is on the account, as Rutter last saw it.",
        "subtype": "The kind of account within its type.",
    },
    "banking_bank_transactions": {
        "date": "The day of the transaction.",
        "merchant_name": "The name of the merchant that the money went to or came from.",
    },
    "commerce_balance": {"amount": "What the payment provider holds in this currency."},
    "commerce_customers": {"orders": "The customer's orders, with their ids."},
    "commerce_metrics": {
        "end_date": "The end of the period; part of the key.",
        "start_date": "The start of the period; part of the key.",
    },
    "commerce_orders": {
        "billing_address": "The address of the one who pays.",
        "cancelled_at": "When the order was cancelled.",
        "fulfillment_status": "How much of the order was sent.",
        "fulfillments": "What was sent for the order, parcel by parcel.",
        "fulfillments[].line_items[].additional_fields.platform_product_id": "The id that the"
        " platform itself uses for the product.",
        "fulfillments[].line_items[].additional_fields.product_type": "The type of the product.",
        "order_number": "The number of the order that the customer sees.",
        "refunds[].line_items[].line_item_id": "The id of the order's line that was given back.",
        "shipping_address": "The address that the goods are sent to.",
        "source_name": "Where the order came from, such as the web shop or a point of sale.",
        "total_shipping": "What the customer pays for shipping.",
        "total_shipping_discount": "The discount on shipping.",
        "total_tax": "The tax on the whole order.",
    },
    "commerce_payouts": {
        "amount": "The amount that was paid out.",
        "destination": "The bank account or card that the money went to.",
        "method": "How the money is sent, in the platform's own words.",
        "schedule": "Whether payouts are made automatically or by hand.",
        "type": "The kind of account or card that the money goes to.",
    },
    "commerce_products": {
        "category_id": "The id of the product's category. Rutter does not say whether it leads to"
        " commerce_product_categories.",
        "product_url": "The address of the product in the shop.",
        "type": "The type of product, in the merchant's own words.",
        "variants": "The variants of the product, such as sizes.",
        "variants[].currency_prices": "The variant's prices in several currencies.",
        "variants[].fulfillment_service": "The service that sends the variant.",
        "variants[].id": "The variant's id, Rutter's or the platform's. It need not be unique.",
        "variants[].inventory": "How many units are in stock, and where.",
        "variants[].inventory_management": "The system that counts the stock.",
        "variants[].linked_products": "Products that the variant is related to.",
        "variants[].option_values": "What makes the variant differ from the others.",
        "variants[].requires_shipping": "Whether the variant has to be shipped.",
        "variants[].short_description": "A short description in words.",
        "variants[].variant_url": "The address of the variant in the shop.",
        "variants[].weight": "The weight of one unit.",
    },
    "commerce_store": {
        "default_currency": "ISO 4217 code of the shop's own currency.",
        "store_name": "The name of the shop.",
    },
    "commerce_subscriptions": {"items": "What the customer pays for in each interval."},
    "connection_statuses": {
        "disabled_reason": "Why Rutter has disabled the connection; null where it is not disabled.",
        "synced_balance_sheets_count": _SYNCED.format("balance sheets"),
        "synced_cash_flows_count": _SYNCED.format("cash flow statements"),
        "synced_income_statements_count": _SYNCED.format("income statements"),
        "synced_transactions_count": _SYNCED.format("transactions"),
    },
    "hris_departments": {"name": "The name of the department."},
    "hris_employees": {
        "employee_number": "The business's own number of the employee.",
        "hire_date": "The first day of employment.",
        "position": "The position that the employee holds.",
        "termination_date": "The last day of employment; null where it has not ended.",
    },
    "hris_organizations": {
        "address.state": "The state or region.",
        "address.street": "The street and number.",
        "contact_email": "The e-mail address of the organisation.",
        "contact_phone": "The phone number of the organisation.",
        "industry": "The industry that the organisation belongs to.",
        "logo_url": "The address of the logo.",
        "number_of_employees": "How many people work for the organisation.",
        "tax_id": "The tax number of the organisation.",
    },
    "supplier_enablement_card_activations": {
        "card_activation_type": "The way in which the vendor takes the card.",
        "status": "How far the activation has come.",
        "user_action_needed": "Whether somebody has to do something before it can go on.",
        "user_action_url": "The address at which that can be done.",
    },
    "supplier_enablement_enrichments": {
        "analysis_end_date": "The last day of the bills and expenses that were analysed.",
        "analysis_start_date": "The first day of the bills and expenses that were analysed.",
        "files": "The files that were uploaded for the analysis.",
        "files[].uploaded_at": "When the file was uploaded.",
        "progress": "How far the analysis has come.",
        "source": "Whether the bills and expenses came from Rutter or from an upload.",
        "status": "How the analysis stands.",
        "vendors": "What was found out, vendor by vendor.",
        "vendors[].accepts_card": "Whether the vendor takes cards.",
        "vendors[].accepts_card_sources": "Where it was found that the vendor takes cards.",
        "vendors[].billing_portal_link": "The address at which the vendor's bills can be paid.",
        "vendors[].card_accept_options": "The ways in which the vendor takes cards.",
        "vendors[].card_accept_options[].description": "The way in words.",
        "vendors[].card_accept_options[].sources": "Where the way was found.",
        "vendors[].card_accept_options[].type": "The kind of way.",
        "vendors[].card_accept_options_sources": "Where the ways were found.",
        "vendors[].card_activation_flow": "How paying the vendor by card can be set up.",
        "vendors[].card_fee": "The vendor's fee for cards. Rutter does not say in which unit; its"
        " example, 2.9, looks like percent.",
        "vendors[].card_fee_sources": "Where the fee was found.",
        "vendors[].current_payment_account": "The account that the vendor is paid from now.",
        "vendors[].current_payment_method": "How the vendor is paid now.",
        "vendors[].current_payment_source": "Where that is known from, such as ERP.",
        "vendors[].eligible_card_spend": "How much of the spending could be paid by card.",
        "vendors[].has_card_fees": "Whether the vendor takes a fee for cards.",
        "vendors[].historical_payment_methods": "How the vendor was paid before.",
        "vendors[].latest_bill_issue_date": "The date of the vendor's newest bill.",
        "vendors[].latest_expense_transaction_date": "The date of the newest expense.",
        "vendors[].manual_activation_instructions": "What to do to set up paying by card by hand.",
        "vendors[].merchant_code": UNKNOWN,
        "vendors[].payment_link": "The address at which the vendor can be paid.",
        "vendors[].total_bills_count": "How many bills of the vendor were analysed.",
        "vendors[].total_expenses_count": "How many expenses at the vendor were analysed.",
        "vendors[].total_spend": "What was spent at the vendor in the time analysed.",
        "vendors[].vendor_address": "The address of the vendor.",
        "vendors[].vendor_name": "The name of the vendor.",
    },
    "sync_report": {
        "api_version": "The API version that the run has read.",
        "error_code": "Rutter's error code, or PARTIAL_SUCCESS.",
        "error_message": "What went wrong, without secrets.",
        "finished_at": "When the partition ended; null where it was interrupted.",
        "pages": "How many pages of the lists were read.",
        "requests": "How many requests were made.",
        "started_at": "When the partition began.",
        "tap_version": "The version of the tap.",
    },
}
"""By stream and path: fields that mean something else, or more, than their name elsewhere."""
