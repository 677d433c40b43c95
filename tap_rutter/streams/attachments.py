"""Files that are attached to objects of a ledger: their names and types, not their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tap_rutter.api.pages import Page
from tap_rutter.replication.base import Partition, Replication
from tap_rutter.replication.per_parent import Parents, PerParent
from tap_rutter.schema.json_schema import JSONSchema
from tap_rutter.streams.base import RutterStream, RutterTap, text_columns, time_columns


class AttachmentStream(RutterStream):
    """Attachments of one kind of parent: one request for each parent that has changed."""

    component = "Attachment"
    primary_keys = ("connection_id", "parent_id", "id")
    replication_key = "parent_last_synced_at"
    is_optional = True
    rutter_object = "attachment"

    @classmethod
    def fields(cls, tap: RutterTap) -> Mapping[str, JSONSchema]:
        """The attachment's own fields and its parent; the link to the file only on request."""
        own = dict(super().fields(tap))
        if not tap.settings.attachment_urls:
            own.pop("file_url", None)
        parent = {
            **text_columns(["parent_id", "parent_type"]),
            **time_columns(["parent_last_synced_at"]),
        }
        return {**parent, **own}

    def transform_row(
        self, row: dict[str, Any], page: Page, partition: Partition | None
    ) -> Iterable[dict[str, Any]]:
        """The row; without the link to the file, which anyone can open, unless on request."""
        if not self.tap.settings.attachment_urls:
            row.pop("file_url", None)
        return super().transform_row(row, page, partition)


def _attachments(
    parents: str, parent_type: str, passes: Sequence[Mapping[str, str]] = ({},)
) -> Replication:
    """How the attachments of one kind of parent are read."""
    return PerParent(
        parents=Parents(f"/accounting/{parents}", parents, passes),
        path=f"/accounting/{parents}/{{id}}/attachments",
        older_path=f"/accounting/{parents}/attachments",
        request_values=lambda parent: {
            "parent_id": parent["id"],
            "parent_type": parent_type,
            "parent_last_synced_at": parent.get("last_synced_at"),
        },
        incremental=True,
    )


class BillAttachments(AttachmentStream):
    """Files attached to bills."""

    name = "accounting_bill_attachments"
    path = "/accounting/bills/{id}/attachments"
    replication: ClassVar[Replication] = _attachments("bills", "bill")


class ExpenseAttachments(AttachmentStream):
    """Files attached to expenses."""

    name = "accounting_expense_attachments"
    path = "/accounting/expenses/{id}/attachments"
    # Without expense_type the API leaves refunds out.
    replication: ClassVar[Replication] = _attachments(
        "expenses", "expense", ({"expense_type": "expense"}, {"expense_type": "refund"})
    )


class InvoiceAttachments(AttachmentStream):
    """Files attached to invoices."""

    name = "accounting_invoice_attachments"
    path = "/accounting/invoices/{id}/attachments"
    replication: ClassVar[Replication] = _attachments("invoices", "invoice")


class JournalEntryAttachments(AttachmentStream):
    """Files attached to journal entries."""

    name = "accounting_journal_entry_attachments"
    path = "/accounting/journal_entries/{id}/attachments"
    replication: ClassVar[Replication] = _attachments("journal_entries", "journal_entry")


class BankDepositAttachments(AttachmentStream):
    """Files attached to bank deposits."""

    name = "accounting_bank_deposit_attachments"
    path = "/accounting/bank_deposits/{id}/attachments"
    replication: ClassVar[Replication] = _attachments("bank_deposits", "bank_deposit")


class BankTransferAttachments(AttachmentStream):
    """Files attached to bank transfers."""

    name = "accounting_bank_transfer_attachments"
    path = "/accounting/bank_transfers/{id}/attachments"
    replication: ClassVar[Replication] = _attachments("bank_transfers", "bank_transfer")
