"""Accounting: the merchants' ledgers, by Rutter's own clock."""

from __future__ import annotations

from tap_rutter.replication.snapshot import Snapshot
from tap_rutter.replication.synced import Synced
from tap_rutter.streams.base import SnapshotStream, SyncedStream


class Accounts(SyncedStream):
    """The chart of accounts: the accounts that all amounts of the ledger are booked to."""

    name = "accounting_accounts"
    path = "/accounting/accounts"
    component = "AccountingAccount"
    rutter_object = "account"
    event_resource = "ACCOUNT"


class BankDeposits(SyncedStream):
    """Money brought to a bank account, with the payments it consists of."""

    name = "accounting_bank_deposits"
    path = "/accounting/bank_deposits"
    component = "BankDeposit"
    rutter_object = "bank_deposit"
    event_resource = "BANK_DEPOSIT"


class BankTransfers(SyncedStream):
    """Money moved between two accounts of the business itself."""

    name = "accounting_bank_transfers"
    path = "/accounting/bank_transfers"
    component = "BankTransfer"
    rutter_object = "bank_transfer"
    event_resource = "BANK_TRANSFER"


class BillCreditMemos(SyncedStream):
    """Credits from vendors to the business, which can be applied to bills."""

    name = "accounting_bill_credit_memos"
    path = "/accounting/bill_credit_memos"
    component = "BillCreditMemo"
    rutter_object = "bill_credit_memo"
    event_resource = "BILL_CREDIT_MEMO"


class BillPayments(SyncedStream):
    """Payments that the business made on bills."""

    name = "accounting_bill_payments"
    path = "/accounting/bill_payments"
    component = "BillPayment"
    rutter_object = "bill_payment"
    event_resource = "BILL_PAYMENT"


class Bills(SyncedStream):
    """Bills that the business received from its vendors."""

    name = "accounting_bills"
    path = "/accounting/bills"
    component = "Bill"
    rutter_object = "bill"
    event_resource = "BILL"


class Classes(SyncedStream):
    """Classes that lines of the ledger can be assigned to."""

    name = "accounting_classes"
    path = "/accounting/classes"
    component = "Class"
    rutter_object = "class"
    event_resource = "CLASS"


class Currencies(SyncedStream):
    """Currencies that the ledger is kept in."""

    name = "accounting_currencies"
    path = "/accounting/currencies"
    component = "Currency"
    rutter_object = "currencies"
    event_resource = "CURRENCIES"


class CustomerRefunds(SyncedStream):
    """Money given back to customers."""

    name = "accounting_customer_refunds"
    path = "/accounting/customer_refunds"
    component = "CustomerRefund"
    rutter_object = "accounting_customer_refund"
    event_resource = "ACCOUNTING_CUSTOMER_REFUND"


class Customers(SyncedStream):
    """Customers in the ledger, to whom invoices are sent."""

    name = "accounting_customers"
    path = "/accounting/customers"
    component = "AccountingCustomer"
    rutter_object = "accounting_customer"
    event_resource = "ACCOUNTING_CUSTOMER"


class Departments(SyncedStream):
    """Departments that lines of the ledger can be assigned to."""

    name = "accounting_departments"
    path = "/accounting/departments"
    component = "AccountingDepartment"
    rutter_object = "department"
    event_resource = "DEPARTMENT"


class Expenses(SyncedStream):
    """Money spent at once, without a bill, and refunds of it."""

    name = "accounting_expenses"
    path = "/accounting/expenses"
    component = "Expense"
    rutter_object = "expense"
    event_resource = "EXPENSE"
    # Without expense_type the API leaves refunds out.
    replication = Synced(
        passes={"expense": {"expense_type": "expense"}, "refund": {"expense_type": "refund"}}
    )


class InvoiceCreditMemos(SyncedStream):
    """Credits from the business to its customers, which can be applied to invoices."""

    name = "accounting_invoice_credit_memos"
    path = "/accounting/invoice_credit_memos"
    component = "InvoiceCreditMemo"
    rutter_object = "invoice_credit_memo"
    event_resource = "INVOICE_CREDIT_MEMO"


class InvoicePayments(SyncedStream):
    """Payments that customers made on invoices."""

    name = "accounting_invoice_payments"
    path = "/accounting/invoice_payments"
    component = "InvoicePayment"
    rutter_object = "invoice_payment"
    event_resource = "INVOICE_PAYMENT"


class Invoices(SyncedStream):
    """Invoices that the business sent to its customers."""

    name = "accounting_invoices"
    path = "/accounting/invoices"
    component = "Invoice"
    rutter_object = "invoice"
    event_resource = "INVOICE"


class Items(SyncedStream):
    """Products and services that the business buys and sells."""

    name = "accounting_items"
    path = "/accounting/items"
    component = "Item"
    rutter_object = "items"
    event_resource = "ITEMS"


class JournalEntries(SyncedStream):
    """Entries made by hand in the general ledger, debits against credits."""

    name = "accounting_journal_entries"
    path = "/accounting/journal_entries"
    component = "JournalEntry"
    rutter_object = "journal_entry"
    event_resource = "JOURNAL_ENTRY"


class Locations(SyncedStream):
    """Places of business that lines of the ledger can be assigned to."""

    name = "accounting_locations"
    path = "/accounting/locations"
    component = "Location"
    rutter_object = "location"
    event_resource = "LOCATION"


class PaymentMethods(SyncedStream):
    """Ways in which payments are made."""

    name = "accounting_payment_methods"
    path = "/accounting/payment_methods"
    component = "PaymentMethod"
    rutter_object = "payment_method"
    event_resource = "PAYMENT_METHOD"


class PaymentTerms(SyncedStream):
    """When bills and invoices fall due, and the discount for paying early."""

    name = "accounting_payment_terms"
    path = "/accounting/payment_terms"
    component = "PaymentTerm"
    rutter_object = "payment_term"
    event_resource = "PAYMENT_TERM"


class Projects(SyncedStream):
    """Projects that lines of the ledger can be assigned to."""

    name = "accounting_projects"
    path = "/accounting/projects"
    component = "Project"
    rutter_object = "project"
    event_resource = "PROJECT"


class PurchaseOrders(SyncedStream):
    """What the business ordered from its vendors."""

    name = "accounting_purchase_orders"
    path = "/accounting/purchase_orders"
    component = "PurchaseOrder"
    rutter_object = "purchase_order"
    event_resource = "PURCHASE_ORDER"


class SalesOrders(SyncedStream):
    """What customers ordered, before it is invoiced."""

    name = "accounting_sales_orders"
    path = "/accounting/sales_orders"
    component = "SalesOrder"
    rutter_object = "sales_order"
    event_resource = "SALES_ORDER"


class SalesReceipts(SyncedStream):
    """Sales that were paid at once, without an invoice."""

    name = "accounting_sales_receipts"
    path = "/accounting/sales_receipts"
    component = "SalesReceipt"
    rutter_object = "sales_receipt"
    event_resource = "SALES_RECEIPT"


class Subsidiaries(SyncedStream):
    """Legal entities that keep their books in one ledger."""

    name = "accounting_subsidiaries"
    path = "/accounting/subsidiaries"
    component = "Subsidiary"
    rutter_object = "subsidiary"
    event_resource = "SUBSIDIARY"


class Tasks(SyncedStream):
    """Tasks of projects."""

    name = "accounting_tasks"
    path = "/accounting/tasks"
    component = "Task"
    rutter_object = "task"
    event_resource = "TASK"


class TaxAgencies(SyncedStream):
    """Authorities that collect taxes."""

    name = "accounting_tax_agencies"
    path = "/accounting/tax_agencies"
    component = "TaxAgency"
    rutter_object = "tax_agency"
    event_resource = "TAX_AGENCY"


class TaxAreas(SyncedStream):
    """Areas in which a tax applies."""

    name = "accounting_tax_areas"
    path = "/accounting/tax_areas"
    component = "TaxArea"
    rutter_object = "tax_area"
    event_resource = "TAX_AREA"


class TaxRates(SyncedStream):
    """Tax codes and their rates."""

    name = "accounting_tax_rates"
    path = "/accounting/tax_rates"
    component = "TaxRate"
    rutter_object = "tax_rates"
    event_resource = "TAX_RATES"


class Transactions(SyncedStream):
    """Every transaction of the ledger, of whatever kind."""

    name = "accounting_transactions"
    path = "/accounting/transactions"
    component = "AccountingTransaction"
    rutter_object = "accounting_transaction"
    event_resource = "ACCOUNTING_TRANSACTION"


class Vendors(SyncedStream):
    """Vendors: those from whom the business buys."""

    name = "accounting_vendors"
    path = "/accounting/vendors"
    component = "Vendor"
    rutter_object = "vendor"
    event_resource = "VENDOR"


class BankFeedAccounts(SyncedStream):
    """Bank accounts whose statements are fed into the ledger through Rutter."""

    name = "accounting_bank_feed_accounts"
    path = "/accounting/bank_feeds/accounts"
    component = "BankFeedAccount"
    rutter_object = "bank_feed_account"
    event_resource = "BANK_FEED_ACCOUNT"
    records_key = "bank_feed_accounts"


class BankFeedTransactions(SyncedStream):
    """Lines of bank statements that are fed into the ledger through Rutter."""

    name = "accounting_bank_feed_transactions"
    path = "/accounting/bank_feeds/transactions"
    component = "BankFeedTransaction"
    records_key = "bank_feed_transactions"
    rutter_object = "bank_feed_transaction"
    event_resource = "BANK_FEED_TRANSACTION"


class CompanyInfo(SnapshotStream):
    """The business that keeps the ledger."""

    name = "accounting_company_info"
    path = "/accounting/company_info"
    component = "CompanyInfo"
    rutter_object = "company_info"
    event_resource = "COMPANY_INFO"
    replication = Snapshot(single=True)


class AgingSummaries(SnapshotStream):
    """Open amounts, by how long they have been due."""

    replication = Snapshot(single=True)


class ApAgingReportSummaries(AgingSummaries):
    """What the business owes its vendors, by how long it has been due."""

    name = "accounting_ap_aging_report_summaries"
    path = "/accounting/ap_aging_report_summaries"
    component = "ApAgingReportSummary"
    records_key = "ap_aging_report_summary"


class ArAgingReportSummaries(AgingSummaries):
    """What customers owe the business, by how long it has been due."""

    name = "accounting_ar_aging_report_summaries"
    path = "/accounting/ar_aging_report_summaries"
    component = "ArAgingReportSummary"
    records_key = "ar_aging_report_summary"
