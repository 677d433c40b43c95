"""What webhooks tell: every documented code, odd ones, and bodies that are not webhooks."""

from __future__ import annotations

import contextlib
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.fleet.model import ALL_STREAMS, LISTING, Mark
from tap_rutter.fleet.webhooks import events
from tap_rutter.fleet.webhooks.events import Meaning, Told, UnreadableWebhook, merged, read
from tap_rutter.streams import base
from tap_rutter.tap import TapRutter

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CHANGED, SYNCED = "2026-03-02T09:00:00.123Z", "2026-03-02T11:30:00.456Z"
TOKEN = "5ad0fa9c-8f6a-4a0e-b0bb-0c8b2f9d7e11"


def _names(text: str) -> list[str]:
    return text.split()


# The codes that the API's description of 2024-08-31 allows a webhook to be limited to.
LIFECYCLE = _names(
    """
    INITIAL_UPDATE HISTORICAL_UPDATE INCREMENTAL_SYNC_COMPLETED CONNECTION_METADATA_READY
    BACKFILL_COMPLETED CARD_ACTIVATION_ERROR CONNECTION_AUTHENTICATED CONNECTION_DISABLED
    CONNECTION_ERROR CONNECTION_LINK_ERROR CONNECTION_NEEDS_UPDATE CONNECTION_UPDATED JOB_COMPLETED
    VERSIONED_ENTITY PRODUCT_READY PRODUCT_FINISH_FAILED
"""
)
ALL_THREE = _names(
    """
    ACCOUNT ACCOUNTING_CUSTOMER_REFUND BANK_DEPOSIT BANK_FEED_ACCOUNT BANK_TRANSFER BILL
    BILL_CREDIT_MEMO BILL_PAYMENT CLASS CURRENCY CUSTOMER DEPARTMENT EXPENSE INVOICE
    INVOICE_CREDIT_MEMO INVOICE_PAYMENT ITEM JOURNAL_ENTRY ORDER PAYMENT_METHOD PAYMENT_TERM PRODUCT
    PROJECT PURCHASE_ORDER SALES_ORDER TASK VENDOR
"""
)
CREATED_AND_UPDATED = _names("BANK_ACCOUNT BANK_TRANSACTION TRANSACTION PAYOUT")
DELETED = _names(
    """
    COMPANY_INFO LOCATION SUBSIDIARY TAX_RATE EXPENSE_REFUND BILL_CREDIT_APPLICATION
    INVOICE_CREDIT_APPLICATION
"""
)
OBJECT_CODES = [
    *(f"{name}_{change}" for name in ALL_THREE for change in ("CREATED", "UPDATED", "DELETED")),
    *(f"{name}_{change}" for name in CREATED_AND_UPDATED for change in ("CREATED", "UPDATED")),
    "STORE_UPDATED",
    *(f"{name}_DELETED" for name in DELETED),
]
CODES = [*LIFECYCLE, *OBJECT_CODES]


def streams_of_the_tap() -> set[str]:
    """All of them, optional ones too."""
    optional = [vars(kind)["name"] for kind in _leaves(base.RutterStream) if kind.is_optional]
    settings = {"client_id": "a", "client_secret": "bcdef", "optional_streams": optional}
    return set(TapRutter(config=settings).streams)


def _leaves(kind: type[base.RutterStream]) -> list[type[base.RutterStream]]:
    below = kind.__subclasses__()
    return [leaf for other in below for leaf in _leaves(other)] if below else [kind]


def webhook(code: str, kind: str | None = None, /, **more: Any) -> bytes:
    """A webhook about a connection, or about an object under its type's name."""
    kind = kind or (code.rpartition("_")[0] if code in OBJECT_CODES else "CONNECTION")
    content = {"type": kind, "code": code, "access_token": TOKEN, "connection_id": "c-1", **more}
    if kind != "CONNECTION":
        whole = {
            "id": "o-1",
            "updated_at": CHANGED,
            "last_synced_at": SYNCED,
            "created_at": CHANGED,
        }
        content.setdefault(kind.lower(), whole)
    return json.dumps(content).encode()


def test_there_are_as_many_codes_as_are_documented() -> None:
    assert len(set(CODES)) == len(CODES) == 113


@pytest.mark.parametrize("code", OBJECT_CODES)
def test_every_code_of_an_object_marks_streams_by_name(code: str) -> None:
    told = read(webhook(code), NOW)
    assert told.marks
    assert ALL_STREAMS not in {mark.stream for mark in told.marks}
    assert {mark.connection_id for mark in told.marks} == {"c-1"}
    assert told.type == code.rpartition("_")[0]
    part = code.startswith(tuple(events.PARTS))
    assert bool(told.deletions) == (code.endswith("_DELETED") and not part)
    assert bytes(TOKEN, "ascii") not in repr(told).encode()


@pytest.mark.parametrize("code", LIFECYCLE)
def test_every_lifecycle_code_has_a_meaning(code: str) -> None:
    told = read(webhook(code), NOW)
    everything = Mark("c-1", ALL_STREAMS)
    expected = {
        Meaning.READ: (everything,),
        Meaning.READ_GROWN: (Mark("c-1", ALL_STREAMS, grown=True),),
        Meaning.LIST: (LISTING,),
        Meaning.READ_AND_LIST: (everything, LISTING),
        Meaning.NOTHING: (),
        Meaning.OBJECT: (everything, LISTING),  # of the type CONNECTION: nobody knows which object
    }
    assert told == Told("CONNECTION", expected[events.LIFECYCLE[code]])


def test_only_documented_codes_are_given_a_meaning() -> None:
    assert sorted(events.LIFECYCLE) == sorted(LIFECYCLE)


def test_every_marked_stream_exists() -> None:
    marked = {
        s for streams in (events.STREAMS, events.PARTS) for names in streams.values() for s in names
    }
    assert marked | {events.ACCOUNTING_EVENTS} <= streams_of_the_tap()


def test_what_two_families_call_alike_marks_both() -> None:
    told = read(webhook("CUSTOMER_UPDATED"), NOW)
    assert {mark.stream for mark in told.marks} == {"accounting_customers", "commerce_customers"}


@pytest.mark.parametrize(
    ("code", "stream", "since"),
    [
        ("BILL_UPDATED", "accounting_bills", SYNCED),
        ("ORDER_UPDATED", "commerce_orders", CHANGED),
        ("PAYOUT_UPDATED", "commerce_payouts", "2026-02-01T00:00:00Z"),
    ],
)
def test_since_is_the_time_that_a_list_is_asked_for_by(code: str, stream: str, since: str) -> None:
    name = code.rpartition("_")[0].lower()
    times = {"created_at": "2026-02-01T00:00:00Z", "updated_at": CHANGED, "last_synced_at": SYNCED}
    told = read(webhook(code, **{name: {"id": "o", **times}}), NOW)
    assert told.marks == (Mark("c-1", stream, datetime.fromisoformat(since)),)


@pytest.mark.parametrize(
    ("content", "since"),
    [
        ({"updated_at": CHANGED}, datetime.fromisoformat(CHANGED)),
        ({"updated_at": "2026-03-02 10:00:00+01:00"}, datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ({"updated_at": "2026-03-02T12:00:01Z"}, NOW),  # a platform's clock that is ahead
        ({"updated_at": "9999-12-31T23:59:59.999Z"}, NOW),
        ({"updated_at": "0001-01-01T00:00:00Z"}, None),
        ({"updated_at": "0000-00-00"}, None),
        ({"updated_at": None}, None),
        ({"updated_at": 1772441000}, None),
        ({"updated_at": {"date": CHANGED}}, None),
        ({"updated_at": "9" * 5_000}, None),
        ({}, None),
        ([{"updated_at": CHANGED}], None),
        (None, None),
    ],
)
def test_a_time_that_cannot_be_trusted_is_none(content: Any, since: datetime | None) -> None:
    told = read(webhook("ORDER_UPDATED", order=content), NOW)
    assert told.marks == (Mark("c-1", "commerce_orders", since),)


def test_the_object_is_found_under_another_name_too() -> None:
    body = {
        "type": "CUSTOMER",
        "code": "CUSTOMER_UPDATED",
        "connection_id": "c-1",
        "connection": {"updated_at": "2020-01-01T00:00:00Z"},
        "accounting_customer": {"updated_at": CHANGED},
    }
    told = read(json.dumps(body).encode(), NOW)
    assert {mark.since for mark in told.marks} == {datetime.fromisoformat(CHANGED)}


@pytest.mark.parametrize(
    ("code", "kind", "marks"),
    [
        ("LOAN_UPDATED", "LOAN", {ALL_STREAMS}),
        ("LOAN_DELETED", "LOAN", {ALL_STREAMS}),
        ("INVOICE_VOIDED", "INVOICE", {"accounting_invoices"}),
        ("BILL_UPDATED", "ACCOUNTING", {"accounting_bills"}),
        ("bill_updated", "bill", {"accounting_bills"}),
        ("BILL_UPDATED", "INVOICE", {"accounting_bills", "accounting_invoices"}),
        ("VERSIONED_ENTITY", "BILL", {"accounting_bills"}),
        ("VERSIONED_ENTITY", "SOMETHING", {ALL_STREAMS}),
        ("", "", {ALL_STREAMS}),
    ],
)
def test_codes_that_are_not_documented(code: str, kind: str, marks: set[str]) -> None:
    told = read(webhook(code, kind), NOW) if kind else read(b'{"connection_id":"c-1"}', NOW)
    assert {mark.stream for mark in told.marks} == marks


def test_an_unknown_code_about_a_connection_reads_all_of_it_and_lists() -> None:
    told = read(webhook("CONNECTION_MOVED"), NOW)
    assert told.marks == (Mark("c-1", ALL_STREAMS), LISTING)


def test_a_job_says_nothing_even_without_a_connection() -> None:
    job = {"type": "JOB", "code": "JOB_COMPLETED", "job": {"id": "j", "status": "success"}}
    assert read(json.dumps(job).encode(), NOW) == Told("JOB")


def test_types_are_counted_under_known_names_only() -> None:
    assert read(webhook("LOAN_UPDATED", "LOAN"), NOW).type == "other"


# ---- deletions


def test_a_deletion_holds_the_object_and_the_age_of_its_last_state() -> None:
    body = webhook("BILL_DELETED")
    [deletion] = read(body, NOW).deletions
    assert deletion.body_sha256 == hashlib.sha256(body).hexdigest()
    assert (deletion.connection_id, deletion.stream) == ("c-1", "accounting_bills")
    assert (deletion.object_id, deletion.deleted_at) == ("o-1", None)
    # Up to a millisecond later: a row may hold more digits of the same time.
    assert deletion.state_at == datetime.fromisoformat(SYNCED) + timedelta(milliseconds=1)


def test_commerce_has_the_platforms_time_only() -> None:
    [deletion] = read(webhook("ORDER_DELETED"), NOW).deletions
    assert deletion.state_at == datetime.fromisoformat(CHANGED) + timedelta(milliseconds=1)


def test_a_deletion_reads_what_changed_just_now_and_the_events() -> None:
    assert read(webhook("BILL_DELETED"), NOW).marks == (
        Mark("c-1", "accounting_bills", NOW),
        Mark("c-1", "deleted_objects", None),
    )
    assert read(webhook("ORDER_DELETED"), NOW).marks == (Mark("c-1", "commerce_orders", NOW),)


def test_a_name_that_two_families_use_is_deleted_in_both() -> None:
    told = read(webhook("CUSTOMER_DELETED"), NOW)
    assert {deletion.stream for deletion in told.deletions} == {
        "accounting_customers",
        "commerce_customers",
    }


def test_the_end_of_a_part_is_a_change_of_the_whole() -> None:
    told = read(webhook("BILL_CREDIT_APPLICATION_DELETED"), NOW)
    assert told.deletions == ()
    assert {(mark.stream, mark.since) for mark in told.marks} == {
        ("accounting_bill_credit_memos", None),
        ("accounting_bills", None),
        ("deleted_objects", None),
    }


@pytest.mark.parametrize("content", [None, {}, {"id": None}, {"id": 7}, {"id": ""}, {"id": "a\0b"}])
def test_a_deletion_without_an_id_still_marks(content: Any) -> None:
    told = read(webhook("ORDER_DELETED", order=content), NOW)
    assert told.deletions == ()
    assert [mark.stream for mark in told.marks] == ["commerce_orders"]


# ---- what is not a webhook


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"connection_id": "c-1", "x": ' + b"[" * 200_000 + b"}",
        b"{} {}",
    ],
)
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableWebhook, match="not a JSON object"):
        read(body, NOW)


@pytest.mark.parametrize(
    "given_id",
    [None, "", 7, ["c-1"], "*", "c\0", "c\n1", "\ud800", "c" * 501],
)
def test_a_body_that_names_no_connection_is_refused(given_id: Any) -> None:
    with pytest.raises(UnreadableWebhook, match="which connection"):
        read(webhook("BILL_UPDATED", connection_id=given_id), NOW)


def test_the_error_quotes_nothing() -> None:
    with pytest.raises(UnreadableWebhook) as caught:
        read(b'{"access_token": "' + TOKEN.encode() + b'", ' + TOKEN.encode(), NOW)
    assert TOKEN not in repr(caught.value)
    assert caught.value.__cause__ is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    kind=_JSON | st.sampled_from([*events.STREAMS, *events.PARTS, "CONNECTION", "JOB"]),
    code=_JSON | st.sampled_from(CODES),
    connection=_JSON | st.just("c-1"),
    found=st.fixed_dictionaries(
        {},
        optional={
            name: _JSON | st.just(CHANGED) for name in ("id", "updated_at", "last_synced_at")
        },
    ),
)
def test_any_json_is_read_or_refused(kind: Any, code: Any, connection: Any, found: Any) -> None:
    content = {"type": kind, "code": code, "connection_id": connection, "object": found}
    try:
        told = read(json.dumps(content).encode(), NOW)
    except UnreadableWebhook:
        return
    for mark in told.marks:
        assert "\0" not in mark.connection_id
        assert mark.since is None or mark.since <= NOW


@pytest.mark.parametrize(
    "odd",
    [
        b'"note": "\\ud800"',
        b'"note": "\xff\xfe"',
        b'"total": 1e99999',
        b'"total": ' + b"9" * 5_000,
        b'"total": NaN',
        b'"\\ud800": 1',
    ],
)
@pytest.mark.parametrize("place", [b"{", b'"order": {'])
def test_odd_values_of_a_merchant_cost_no_webhook(odd: bytes, place: bytes) -> None:
    body = webhook("ORDER_DELETED").replace(place, place + odd + b", ", 1)
    told = read(body, NOW)
    assert told.marks == (Mark("c-1", "commerce_orders", NOW),)
    assert [deletion.object_id for deletion in told.deletions] == ["o-1"]


@given(body=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(UnreadableWebhook):
        read(body, NOW)


# ---- many at once


def test_marks_of_one_stream_are_one_with_the_least_time() -> None:
    def mark(stream: str, minutes: int | None, connection: str = "c-1") -> Mark:
        since = None if minutes is None else NOW + timedelta(minutes=minutes)
        return Mark(connection, stream, since)

    assert merged(
        [
            *(mark("b", 3), mark("b", 1), mark("b", 2)),
            *(mark("a", None), mark("a", 5), mark("a", None)),
            mark("z", 1, "b"),
        ]
    ) == [mark("z", 1, "b"), mark("a", 5), mark("a", None), mark("b", 1)]
