"""Banking: accounts at banks and their transactions, on Rutter's own clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tap_rutter.replication.base import Replication
from tap_rutter.replication.endpoint import Changes
from tap_rutter.replication.per_parent import Parents, PerParent
from tap_rutter.schema.json_schema import JSONSchema
from tap_rutter.streams.base import RutterTap, SnapshotStream, SyncedStream, text_columns

_ACCOUNTS = Parents("/banking/bank_accounts", "bank_accounts")


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


class OfBankAccount(SnapshotStream):
    """Objects of which each bank account has one: one request for each account."""

    primary_keys = ("connection_id", "bank_account_id")
    changes = Changes.AT_ANY_TIME  # whether it is what the last sync has brought is not documented

    @classmethod
    def fields(cls, tap: RutterTap) -> Mapping[str, JSONSchema]:
        """The object's own fields, and the id of its account."""
        return {**text_columns(["bank_account_id"]), **super().fields(tap)}


def _of_account(what: str) -> Replication:
    """How the objects of all accounts are read."""
    return PerParent(
        parents=_ACCOUNTS,
        path=f"/banking/bank_accounts/{{id}}/{what}",
        request_values=lambda account: {"bank_account_id": account["id"]},
        single=True,
    )


class BankAccountBalances(OfBankAccount):
    """The balance of each bank account."""

    name = "banking_bank_account_balances"
    path = "/banking/bank_accounts/{id}/balance"
    component = "BankAccountBalance"
    records_key = "bank_account_balance"
    replication: ClassVar[Replication] = _of_account("balance")


class BankAccountDetails(OfBankAccount):
    """Account and routing numbers of each bank account."""

    name = "banking_bank_account_details"
    path = "/banking/bank_accounts/{id}/details"
    component = "BankAccountDetails"
    records_key = "bank_account_details"
    is_optional = True
    replication: ClassVar[Replication] = _of_account("details")
