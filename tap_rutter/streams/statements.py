"""Financial statements of the ledgers: one row per calendar month."""

from __future__ import annotations

from typing import ClassVar

from tap_rutter.replication.base import Replication
from tap_rutter.replication.endpoint import Changes
from tap_rutter.replication.statements import Statements
from tap_rutter.streams.base import RutterStream


class StatementStream(RutterStream):
    """One row per calendar month; past months can be restated."""

    replication: ClassVar[Replication] = Statements()
    primary_keys = ("connection_id", "start_date")
    replication_key = "start_date"
    rereads_when_history_grows = True
    changes = Changes.WITH_MONTHS


class BalanceSheets(StatementStream):
    """What the business owns and owes at the end of each month."""

    name = "accounting_balance_sheets"
    path = "/accounting/balance_sheets"
    component = "BalanceSheet"
    rutter_object = "balance_sheet"


class IncomeStatements(StatementStream):
    """What the business earned and spent in each month."""

    name = "accounting_income_statements"
    path = "/accounting/income_statements"
    component = "IncomeStatement"
    rutter_object = "income_statement"


class CashFlowStatements(StatementStream):
    """Where money came from and went to in each month."""

    name = "accounting_cash_flow_statements"
    path = "/accounting/cash_flow_statements"
    component = "CashFlowStatement"
    records_key = "cash_flows"
    rutter_object = "cash_flow"
