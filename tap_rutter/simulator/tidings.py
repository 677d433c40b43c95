"""What Rutter tells of a change: the payloads of its webhooks, from the facts about the API.

An object's webhook carries the object as lists show it, or as they showed it last; one about a
connection says what became of it. There is a code for some changes of some objects only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tap_rutter.simulator.connection import Batch, Connection
from tap_rutter.simulator.tables import Row
from tap_rutter.simulator.text import decode, encode, to_bytes

_ALL = ("CREATED", "UPDATED", "DELETED")
_NOT_DELETED = ("CREATED", "UPDATED")
_DELETED = ("DELETED",)
# The list that an object stands in -> its type in webhooks, and the changes that have a code.
_TYPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "/accounting/accounts": ("ACCOUNT", _ALL),
    "/accounting/bank_deposits": ("BANK_DEPOSIT", _ALL),
    "/accounting/bank_feeds/accounts": ("BANK_FEED_ACCOUNT", _ALL),
    "/accounting/bank_transfers": ("BANK_TRANSFER", _ALL),
    "/accounting/bill_credit_memos": ("BILL_CREDIT_MEMO", _ALL),
    "/accounting/bill_payments": ("BILL_PAYMENT", _ALL),
    "/accounting/bills": ("BILL", _ALL),
    "/accounting/classes": ("CLASS", _ALL),
    "/accounting/company_info": ("COMPANY_INFO", _DELETED),
    "/accounting/currencies": ("CURRENCY", _ALL),
    "/accounting/customer_refunds": ("ACCOUNTING_CUSTOMER_REFUND", _ALL),
    "/accounting/customers": ("CUSTOMER", _ALL),
    "/accounting/departments": ("DEPARTMENT", _ALL),
    "/accounting/expenses": ("EXPENSE", _ALL),
    "/accounting/invoice_credit_memos": ("INVOICE_CREDIT_MEMO", _ALL),
    "/accounting/invoice_payments": ("INVOICE_PAYMENT", _ALL),
    "/accounting/invoices": ("INVOICE", _ALL),
    "/accounting/items": ("ITEM", _ALL),
    "/accounting/journal_entries": ("JOURNAL_ENTRY", _ALL),
    "/accounting/locations": ("LOCATION", _DELETED),
    "/accounting/payment_methods": ("PAYMENT_METHOD", _ALL),
    "/accounting/payment_terms": ("PAYMENT_TERM", _ALL),
    "/accounting/projects": ("PROJECT", _ALL),
    "/accounting/purchase_orders": ("PURCHASE_ORDER", _ALL),
    "/accounting/sales_orders": ("SALES_ORDER", _ALL),
    "/accounting/subsidiaries": ("SUBSIDIARY", _DELETED),
    "/accounting/tasks": ("TASK", _ALL),
    "/accounting/tax_rates": ("TAX_RATE", _DELETED),
    "/accounting/transactions": ("TRANSACTION", _NOT_DELETED),
    "/accounting/vendors": ("VENDOR", _ALL),
    "/banking/bank_accounts": ("BANK_ACCOUNT", _NOT_DELETED),
    "/banking/bank_transactions": ("BANK_TRANSACTION", _NOT_DELETED),
    "/customers": ("CUSTOMER", _ALL),
    "/hris/departments": ("DEPARTMENT", _ALL),
    "/orders": ("ORDER", _ALL),
    "/payouts": ("PAYOUT", _NOT_DELETED),
    "/products": ("PRODUCT", _ALL),
    "/store": ("STORE", ("UPDATED",)),
    "/transactions": ("TRANSACTION", _NOT_DELETED),
}
_STATUS_CODES = {
    "active": "CONNECTION_UPDATED",
    "unhealthy": "CONNECTION_ERROR",
    "needs_reauth": "CONNECTION_NEEDS_UPDATE",
    "disabled": "CONNECTION_DISABLED",
}


@dataclass(frozen=True)
class Tiding:
    """A webhook that is to be sent."""

    code: str
    connection_id: str
    body: bytes


class Tidings:
    """Tells whoever listens; the world's lock is held meanwhile, so a listener must not wait."""

    def __init__(self) -> None:
        self.listener: Callable[[Tiding], None] | None = None

    def row(self, connection: Connection, storage: str, old: Row | None, new: Row | None) -> None:
        """A row has become visible, has changed, or is gone."""
        shown = new or old
        kind, changes = _TYPES.get(storage, ("", ()))
        if self.listener is None or shown is None or not kind:
            return
        change = "DELETED" if new is None else "UPDATED" if old is not None else "CREATED"
        try:
            data = decode(shown.body)
        except ValueError:
            return  # odd text that was put in place of a row: there is no object to tell of
        if not isinstance(data, dict):
            return
        if kind == "EXPENSE" and change == "DELETED" and data.get("expense_type") == "refund":
            kind = "EXPENSE_REFUND"
        if change in changes:
            self._tell(kind, f"{kind}_{change}", connection, {kind.lower(): shown.body})

    def synced(self, connection: Connection) -> None:
        """A sync of the connection's platform is complete."""
        first = not connection.initial_sync_done
        self._about(connection, "INITIAL_UPDATE" if first else "INCREMENTAL_SYNC_COMPLETED")

    def history(self, connection: Connection, batch: Batch) -> None:
        """A batch of older rows has come."""
        included = [{"platformEntity": name, "xMonthsAgo": batch.months} for name in batch.entities]
        self._about(connection, "HISTORICAL_UPDATE", entities_included_to_time_range=included)

    def added(self, connection: Connection) -> None:
        """A merchant has connected."""
        self._about(connection, "CONNECTION_AUTHENTICATED")
        if connection.initial_sync_done:
            self._about(connection, "INITIAL_UPDATE")

    def status(self, connection: Connection) -> None:
        """The connection's status is another than before."""
        more: dict[str, object] = {}
        if connection.status == "needs_reauth":
            more["update_url"] = connection.link_url
        if connection.status == "active":
            more["store_unique_id"] = connection.store_unique_id
        if connection.status in _STATUS_CODES:
            self._about(connection, _STATUS_CODES[connection.status], **more)

    def _about(self, connection: Connection, code: str, /, **more: object) -> None:
        parts = {name: to_bytes(encode(value)) for name, value in more.items()}
        self._tell("CONNECTION", code, connection, parts)

    def _tell(
        self, kind: str, code: str, connection: Connection, parts: Mapping[str, bytes]
    ) -> None:
        if self.listener is None:
            return
        head = {
            "type": kind,
            "code": code,
            "access_token": connection.access_token,
            "connection_id": connection.id,
        }
        pairs = [to_bytes(encode(head))[1:-1]]
        pairs += [b'"%s":%s' % (name.encode(), text) for name, text in parts.items()]
        self.listener(Tiding(code, connection.id, b"{" + b",".join(pairs) + b"}"))
