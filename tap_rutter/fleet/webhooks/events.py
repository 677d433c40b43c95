"""What a webhook tells: which streams of which connection are dirty, and what was deleted.

Pure: bytes in, marks out. Rutter documents 113 codes: ``<OBJECT>_CREATED``, ``_UPDATED`` and
``_DELETED`` of some forty objects, and sixteen about connections and jobs. A code that is not known
makes the whole connection dirty, so that a new kind of webhook costs a read and loses nothing. Only
the few fields named here are decoded; the access token is not among them.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

import msgspec
from msgspec import Raw

from tap_rutter import times
from tap_rutter.fleet.model import ALL_STREAMS, LISTING, Deletion, Mark

ACCOUNTING_EVENTS = "deleted_objects"
"""The stream of the deletions that accounting platforms report."""

STREAMS: Mapping[str, tuple[str, ...]] = {
    # An object's name in a webhook -> the streams that may hold it. Where two families use one
    # name, both are marked: the list that a connection does not serve costs it one request.
    "ACCOUNT": ("accounting_accounts", "ads_accounts"),
    "ACCOUNTING_CUSTOMER_REFUND": ("accounting_customer_refunds",),
    "BANK_ACCOUNT": (
        "banking_bank_accounts",
        "banking_bank_account_balances",
        "banking_bank_account_details",
    ),
    "BANK_DEPOSIT": ("accounting_bank_deposits",),
    "BANK_FEED_ACCOUNT": ("accounting_bank_feed_accounts",),
    "BANK_TRANSACTION": ("banking_bank_transactions", "accounting_bank_feed_transactions"),
    "BANK_TRANSFER": ("accounting_bank_transfers",),
    "BILL": ("accounting_bills",),
    "BILL_CREDIT_MEMO": ("accounting_bill_credit_memos",),
    "BILL_PAYMENT": ("accounting_bill_payments",),
    "CLASS": ("accounting_classes",),
    "COMPANY_INFO": ("accounting_company_info",),
    "CURRENCY": ("accounting_currencies",),
    "CUSTOMER": ("accounting_customers", "commerce_customers"),
    "DEPARTMENT": ("accounting_departments", "hris_departments"),
    "EXPENSE": ("accounting_expenses",),
    "EXPENSE_REFUND": ("accounting_expenses",),
    "INVOICE": ("accounting_invoices",),
    "INVOICE_CREDIT_MEMO": ("accounting_invoice_credit_memos",),
    "INVOICE_PAYMENT": ("accounting_invoice_payments",),
    "ITEM": ("accounting_items",),
    "JOURNAL_ENTRY": ("accounting_journal_entries",),
    "LOCATION": ("accounting_locations",),
    "ORDER": ("commerce_orders",),
    "PAYMENT_METHOD": ("accounting_payment_methods",),
    "PAYMENT_TERM": ("accounting_payment_terms",),
    "PAYOUT": ("commerce_payouts",),
    "PRODUCT": ("commerce_products",),
    "PROJECT": ("accounting_projects",),
    "PURCHASE_ORDER": ("accounting_purchase_orders",),
    "SALES_ORDER": ("accounting_sales_orders",),
    "STORE": ("commerce_store",),
    "SUBSIDIARY": ("accounting_subsidiaries",),
    "TASK": ("accounting_tasks",),
    "TAX_RATE": ("accounting_tax_rates",),
    "TRANSACTION": ("commerce_transactions", "accounting_transactions"),
    "VENDOR": ("accounting_vendors",),
}
PARTS: Mapping[str, tuple[str, ...]] = {
    # Objects that have no stream of their own: they are parts of rows of these.
    "BILL_CREDIT_APPLICATION": ("accounting_bill_credit_memos", "accounting_bills"),
    "INVOICE_CREDIT_APPLICATION": ("accounting_invoice_credit_memos", "accounting_invoices"),
}
_CHANGES = ("_CREATED", "_UPDATED", "_DELETED")


class Meaning(enum.Enum):
    """What a code that is not about one object asks for."""

    READ = "read"
    """All streams of the connection may hold something new."""
    LIST = "list"
    """The connection stands otherwise than before: the connections are to be listed soon."""
    READ_AND_LIST = "read and list"
    READ_GROWN = "read grown"
    """Older rows have come: all streams are read, where they may be many."""
    OBJECT = "object"
    """It tells of an object; its type says of which kind."""
    NOTHING = "nothing"
    """It tells of nothing that is read."""


LIFECYCLE: Mapping[str, Meaning] = {
    "INITIAL_UPDATE": Meaning.READ_AND_LIST,  # ready: until now the API refused its data
    "HISTORICAL_UPDATE": Meaning.READ_GROWN,
    "BACKFILL_COMPLETED": Meaning.READ_GROWN,
    "INCREMENTAL_SYNC_COMPLETED": Meaning.READ,
    "PRODUCT_READY": Meaning.READ_AND_LIST,
    "CONNECTION_AUTHENTICATED": Meaning.READ_AND_LIST,
    "CONNECTION_UPDATED": Meaning.READ_AND_LIST,
    "CONNECTION_METADATA_READY": Meaning.LIST,
    "CONNECTION_DISABLED": Meaning.LIST,
    "CONNECTION_ERROR": Meaning.LIST,
    "CONNECTION_LINK_ERROR": Meaning.LIST,
    "CONNECTION_NEEDS_UPDATE": Meaning.LIST,
    "PRODUCT_FINISH_FAILED": Meaning.LIST,
    "VERSIONED_ENTITY": Meaning.OBJECT,
    # Answers to what somebody wrote through Rutter; what was written comes as an object's code.
    "CARD_ACTIVATION_ERROR": Meaning.NOTHING,
    "JOB_COMPLETED": Meaning.NOTHING,
}

_MOST = 500  # characters of an id; the API's are UUIDs
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)  # a platform's "no date" lies before it
_MILLISECOND = timedelta(milliseconds=1)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_OBJECTS = frozenset({"connection", "error", "error_metadata", "job", "metadata"})
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str)


class UnreadableWebhook(Exception):
    """The body is not a webhook; the text says what is wrong, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one webhook says."""

    type: str
    """The type, where it is a documented one; else ``other``."""
    marks: tuple[Mark, ...] = ()
    deletions: tuple[Deletion, ...] = ()


class _Object(msgspec.Struct):
    """The few fields of an object that say which one it is, and how old it is."""

    id: Raw = Raw(b"null")
    created_at: Raw = Raw(b"null")
    updated_at: Raw = Raw(b"null")
    last_synced_at: Raw = Raw(b"null")


_OBJECT = msgspec.json.Decoder(_Object)


def read(body: bytes, now: datetime) -> Told:
    """What a verified body tells.

    Args:
        body: as it came.
        now: the time of its receipt, aware. Nothing is read from a time to come.

    Raises:
        UnreadableWebhook: it is not a JSON object, or does not say which connection it is about.
    """
    fields = _fields_of(body)
    kind = (_text(fields.get("type")) or "").upper()
    code = (_text(fields.get("code")) or "").upper()
    meaning = LIFECYCLE.get(code, Meaning.OBJECT)
    label = kind if kind in _TYPES else "other"
    if meaning is Meaning.NOTHING or kind == "JOB":
        return Told(label)
    connection_id = _text(fields.get("connection_id"))
    if meaning is Meaning.LIST:
        # Whichever connection it is about: the listing tells how all of them stand.
        return Told(label, (LISTING,))
    if (
        connection_id is None
        or not _is_plain(connection_id)
        or connection_id == LISTING.connection_id
    ):
        raise UnreadableWebhook("it does not say which connection it is about")
    if meaning is not Meaning.OBJECT:
        marks = (Mark(connection_id, ALL_STREAMS, grown=meaning is Meaning.READ_GROWN),)
        return Told(label, (*marks, LISTING) if meaning is Meaning.READ_AND_LIST else marks)
    return _about_object(label, kind, code, connection_id, fields, body, now)


def merged(marks: Iterable[Mark]) -> list[Mark]:
    """The same marks, each once: of those that bear a time, the one with the least.

    One that bears a time and one that bears none ask for different reads, so both are kept.
    """
    found: dict[tuple[str, str, bool, bool], Mark] = {}
    for mark in marks:
        key = (mark.connection_id, mark.stream, mark.grown, mark.since is None)
        known = found.get(key)
        if known is None or (mark.since and known.since and mark.since < known.since):
            found[key] = mark
    return [found[key] for key in sorted(found)]


_TYPES = frozenset({*STREAMS, *PARTS, "CONNECTION", "JOB"})


def _fields_of(body: bytes) -> dict[str, Raw]:
    """The body's top level, its values not yet decoded."""
    try:
        return _FIELDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        # Merchants' texts hold lone surrogates and bytes that are not UTF-8, and numbers may be too
        # large: none of it is needed here.
        text = body.decode("utf-8-sig", "replace")
        value = json.loads(text, parse_int=_nothing, parse_float=_nothing, parse_constant=_nothing)
        text = json.dumps(value, ensure_ascii=False)
        return _FIELDS.decode(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        # The error's own text may quote what it stumbled over.
        raise UnreadableWebhook("the body is not a JSON object") from None


def _nothing(_: str) -> None:
    return None


def _about_object(
    label: str,
    kind: str,
    code: str,
    connection_id: str,
    fields: Mapping[str, Raw],
    body: bytes,
    now: datetime,
) -> Told:
    change = next((ending for ending in _CHANGES if code.endswith(ending)), "")
    # By its type, and by its code as well where the two differ.
    names = dict.fromkeys(n for n in (kind, code.removesuffix(change)) if n in _TYPES)
    parts = [stream for name in names for stream in PARTS.get(name, ())]
    streams = [stream for name in names for stream in STREAMS.get(name, ())]
    if not parts and not streams:
        everything = (Mark(connection_id, ALL_STREAMS),)
        return Told(label, (*everything, LISTING) if kind == "CONNECTION" else everything)
    # A part's times are not those of the row that it is part of: usual reads.
    marks = [Mark(connection_id, stream) for stream in parts]
    found = _object_of(kind, fields)
    if change != "_DELETED":
        marks += [Mark(connection_id, stream, _since(stream, found, now)) for stream in streams]
        return Told(label, tuple(merged(marks)))
    # Its own times may be years old. If it is back meanwhile, it has changed just now.
    marks += [Mark(connection_id, stream, now) for stream in streams]
    if any(stream.startswith("accounting_") for stream in (*parts, *streams)):
        marks.append(Mark(connection_id, ACCOUNTING_EVENTS))
    object_id = _text(found.id)
    deletions: tuple[Deletion, ...] = ()
    if _is_plain(object_id):
        digest = hashlib.sha256(body).hexdigest()
        deletions = tuple(
            Deletion(digest, connection_id, stream, object_id, None, _state_at(stream, found))
            for stream in dict.fromkeys(streams)
        )
    return Told(label, tuple(merged(marks)), deletions)


def _object_of(kind: str, fields: Mapping[str, Raw]) -> _Object:
    """The object that the webhook carries: under its type's name, else the only one there is."""
    named = fields.get(kind.lower())
    others = [raw for name, raw in fields.items() if name not in _NOT_OBJECTS]
    for raw in (*((named,) if named is not None else ()), *others):
        with contextlib.suppress(msgspec.ValidationError):
            return _OBJECT.decode(raw)  # refused at once if it is not an object
    return _Object()


def _since(stream: str, found: _Object, now: datetime) -> datetime | None:
    """From when on the stream's list is to be read so that the object is among its rows.

    It is the time that the list is asked for by: Rutter's own for most, the platform's for
    commerce, and for payouts that of their creation, which no change moves. None: nobody can say.
    """
    raws: tuple[Raw, ...]
    if stream == "commerce_payouts":
        raws = (found.created_at,)
    elif stream.startswith("commerce_"):
        raws = (found.updated_at,)
    else:
        # A row is synced after it was changed, so the platform's time serves, if less well.
        raws = (found.last_synced_at, found.updated_at)
    for raw in raws:
        ms = times.parse(_text(raw))
        moment = _UNIX + ms * _MILLISECOND if ms is not None else None
        if moment is not None and moment >= _OLDEST:
            return min(moment, now)
    return None


def _state_at(stream: str, found: _Object) -> datetime | None:
    """How old the deleted object's last state is, by the column that its table has for that.

    Rounded up to the millisecond, since a row's own time may have been loaded with more digits.
    """
    raw = found.updated_at if stream.startswith("commerce_") else found.last_synced_at
    ms = times.parse(_text(raw))
    return _UNIX + (ms + 1) * _MILLISECOND if ms is not None else None


def _text(raw: Raw | None) -> str | None:
    if raw is None:
        return None
    try:
        return _TEXT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _is_plain(text: str | None) -> TypeGuard[str]:
    """Whether a text can be an id: a database takes it, and a person can read it."""
    if text is None or not 0 < len(text) <= _MOST:
        return False
    return text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text
