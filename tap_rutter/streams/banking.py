"""Banking: accounts at banks and their transactions, on Rutter's own clock."""

from __future__ import annotations

from tap_rutter.streams.base import SyncedStream


class BankAccounts(SyncedStream):
    """Accounts that a merchant holds at banks."""

    name = "banking_bank_accounts"
    path = "/banking/bank_accounts"
    component = "BankAccount"


class BankTransactions(SyncedStream):
    """Money that went in and out of the merchants' bank accounts."""

    name = "banking_bank_transactions"
    path = "/banking/bank_transactions"
    component = "BankTransaction"
