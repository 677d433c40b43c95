"""Responses and the errors that they become: the table of failures, row by row."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.errors import (
    ConfigError,
    ConnectionUnusable,
    CredentialsRefused,
    ErrorBody,
    Gone,
    MapFailed,
    NotActivated,
    PartitionFailed,
    RequestFailed,
    SortRefused,
    Stopped,
    TapError,
    Terminated,
    UnknownConnections,
    Unsupported,
    error_body,
    error_for_response,
    is_transient,
)

PATH = "/accounting/invoices"
SAID = ErrorBody(error_type="T", error_code="C", error_message="Said so.")
CODES = {
    "PRODUCT_NOT_READY": "not_ready",
    "CONNECTION_DISABLED": "disabled",
    "NEEDS_UPDATE": "needs_reauth",
}


def refused(
    status: int, body: ErrorBody | None = SAID, *, sorted_list: bool = False
) -> RequestFailed:
    return error_for_response(status, body, where=PATH, sorted_list=sorted_list)


@pytest.mark.parametrize("body", [None, SAID])
@pytest.mark.parametrize(
    ("status", "passing"),
    [
        (200, False),
        (301, False),
        (302, False),
        (400, False),
        (401, False),
        (403, False),
        (409, False),
        (422, False),
        (429, True),
        (450, False),
        (451, False),
        (452, True),
        (500, True),
        (501, False),
        (502, True),
        (503, True),
        (504, True),
        (529, True),
        (550, True),
    ],
)
def test_what_passes_by_itself(status: int, passing: bool, body: ErrorBody | None) -> None:
    assert is_transient(status, body) is passing


@pytest.mark.parametrize("status", [404, 410])
def test_only_rutter_itself_knows_what_there_is_not(status: int) -> None:
    assert is_transient(status, None)
    assert not is_transient(status, SAID)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 410, 429, 451, 500, 503])
def test_a_product_that_is_not_activated_is_so_with_any_status(status: int) -> None:
    body = ErrorBody(error_code="PRODUCT_NOT_ALLOWED")
    error = refused(status, body, sorted_list=True)
    assert isinstance(error, NotActivated)
    assert (error.reason, error.code) == ("not_activated", "PRODUCT_NOT_ALLOWED")
    assert not is_transient(status, body)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 429, 450, 451, 500, 503])
def test_the_code_of_a_connection_counts_whatever_the_status(status: int, code: str) -> None:
    body = ErrorBody(error_code=code, error_message="Said so.")
    assert not is_transient(status, body)
    for sorted_list in (False, True):
        error = refused(status, body, sorted_list=sorted_list)
        assert isinstance(error, ConnectionUnusable)
        assert (error.reason, error.code, error.status) == (CODES[code], code, status)


@pytest.mark.parametrize("body", [None, SAID])
@pytest.mark.parametrize(("status", "reason"), [(401, "unauthorized"), (451, "needs_reauth")])
def test_statuses_that_skip_the_connection(
    status: int, reason: str, body: ErrorBody | None
) -> None:
    error = refused(status, body)
    assert isinstance(error, ConnectionUnusable)
    assert error.reason == reason


@pytest.mark.parametrize("status", [400, 403, 409, 418, 422, 450, 501])
def test_statuses_that_fail_the_partition(status: int) -> None:
    error = refused(status)
    assert type(error) is PartitionFailed
    assert (error.reason, error.status, error.code) == ("refused", status, "C")
    assert error.message == f"{PATH} answered {status} C: Said so."


@pytest.mark.parametrize("status", [204, 206, 304])
def test_a_status_without_an_answer_fails_the_partition(status: int) -> None:
    assert type(refused(status, None)) is PartitionFailed


def test_a_404_tells_of_the_platform_only_in_the_words_of_the_api() -> None:
    own, foreign = refused(404), refused(404, None)
    assert isinstance(own, Unsupported)
    assert not isinstance(own, PartitionFailed)
    assert type(foreign) is PartitionFailed
    assert (own.reason, foreign.reason) == ("unsupported", "refused")
    assert "api_url" in foreign.message


def test_a_410_tells_of_an_id_only_in_the_words_of_the_api() -> None:
    own, foreign = refused(410), refused(410, None)
    assert isinstance(own, Gone)
    assert type(foreign) is PartitionFailed
    assert (own.reason, own.status) == ("refused", 410)


def test_only_a_400_may_be_about_the_sort_order() -> None:
    assert isinstance(refused(400, sorted_list=True), SortRefused)
    assert isinstance(refused(400, None, sorted_list=True), SortRefused)
    assert not isinstance(refused(400, sorted_list=False), SortRefused)
    assert not isinstance(refused(422, sorted_list=True), SortRefused)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_says_which_setting_to_look_at(status: int) -> None:
    error = refused(status, None)
    assert type(error) is PartitionFailed
    assert "api_url" in error.message


KINDS = [
    (300, None, "C", PartitionFailed, "refused"),
    (399, None, "C", PartitionFailed, "refused"),
    (400, None, "C", PartitionFailed, "refused"),
    (401, None, "C", ConnectionUnusable, "unauthorized"),
    (404, None, "C", Unsupported, "unsupported"),
    (410, None, "C", Gone, "refused"),
    (403, "PRODUCT_NOT_ALLOWED", "PRODUCT_NOT_ALLOWED", NotActivated, "not_activated"),
    (404, "INVALID_CREDENTIALS", "INVALID_CREDENTIALS", ConnectionUnusable, "unauthorized"),
]


@pytest.mark.parametrize(("status", "code", "kept", "kind", "reason"), KINDS)
def test_an_error_keeps_all_that_is_known(
    status: int, code: str | None, kept: str, kind: type[RequestFailed], reason: str
) -> None:
    error = refused(status, ErrorBody(error_code=code or "C", error_message="Said so."))
    assert type(error) is kind
    assert (error.reason, error.status, error.code) == (reason, status, kept)
    is_redirect = 300 <= status < 400
    said = "a redirect, which is not followed" if is_redirect else "Said so."
    assert error.message.startswith(f"{PATH} answered {status}")
    assert said in error.message


# ---- messages


@pytest.mark.parametrize(("length", "end"), [(300, "c"), (301, "c…")])
def test_a_message_is_cut_where_it_is_too_long(length: int, end: str) -> None:
    said = refused(400, ErrorBody(error_message="c" * length)).message
    assert said == f"{PATH} answered 400: {'c' * 299}{end}"


def test_a_failed_map_says_for_how_many_rows() -> None:
    error = MapFailed("invoices", "memo", "TypeError")
    assert error.message == "the stream map 'invoices' fails at 'memo': TypeError"
    twice = error.once_more().once_more()
    assert twice.message == "the stream map 'invoices' fails at 'memo' for 2 rows: TypeError"
    assert twice.reason == "map_failed"
    assert (twice.name, twice.column, twice.said) == ("invoices", "memo", "TypeError")


def test_a_message_without_words_of_the_api() -> None:
    assert refused(400, None).message == f"{PATH} answered 400: no message"
    assert refused(400, ErrorBody(error_code="X")).message == f"{PATH} answered 400 X: no message"


def test_a_message_is_one_line_of_bounded_length() -> None:
    error = refused(400, ErrorBody(error_message="a\r\n  b\t" + "c" * 5_000))
    assert error.message.startswith(f"{PATH} answered 400: a b ccc")
    assert "\n" not in error.message
    assert len(error.message) < 400


def test_a_secret_at_the_cut_of_a_long_message_is_hidden_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tap_rutter import redact

    learnt = redact.Secrets()
    learnt.add("0123456789abcdef")
    monkeypatch.setattr(redact, "SECRETS", learnt)
    for at in range(280, 305):
        error = refused(400, ErrorBody(error_message="x" * at + "0123456789abcdef"))
        assert "0123" not in error.message


# ---- bodies


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ('{"error_type": "T", "error_code": "C", "error_message": "Said so."}', SAID),
        ('{"error_code": "C", "more": [1]}', ErrorBody(error_code="C")),
        ('{"error_message": "Said so.", "error_code": null}', ErrorBody(None, None, "Said so.")),
        ("{}", None),
        ('{"message": "Not Found"}', None),
        ('{"error_code": "", "error_message": null}', None),
        ('{"error_code": 17, "error_message": {"a": [1]}}', ErrorBody(None, "17", '{"a":[1]}')),
        ('{"error_code": {"a":' + "[" * 100_000, None),
        ('{"error_code": ' + "[" * 100_000 + "]" * 100_000 + "}", None),
        ("<html>", None),
        ("[]", None),
        ("null", None),
        ("", None),
    ],
)
def test_the_api_s_own_errors_are_told_from_those_of_others(
    content: str, body: ErrorBody | None
) -> None:
    assert error_body(content.encode()) == body


@given(st.binary(max_size=40))
def test_no_body_breaks_its_reading(content: bytes) -> None:
    assert error_body(content) is None or content.lstrip().startswith(b"{")


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1), st.integers(201, 599))
def test_any_message_of_the_api_has_an_error(said: str, status: int) -> None:
    content = json.dumps({"error_message": said}).encode()
    error = refused(status, error_body(content))
    assert error.message.startswith(f"{PATH} answered {status}")
    assert "\n" not in error.message
    assert error.status == status


# ---- the tree


@pytest.mark.parametrize("kind", [ConfigError, UnknownConnections, CredentialsRefused, Stopped])
def test_what_ends_a_run_is_not_a_failed_request(kind: type[TapError]) -> None:
    assert issubclass(kind, TapError)
    assert not issubclass(kind, RequestFailed)
    assert kind("why").message == "why"


def test_the_end_by_a_signal_is_not_taken_for_a_fault() -> None:
    assert not issubclass(Terminated, Exception)
    assert Terminated(15).signum == 15
    assert str(Terminated(15)) == "15"


def test_an_error_is_read_though_its_message_has_a_raw_line_break() -> None:
    content = b'{"error_code":"NEEDS_UPDATE","error_message":"sign in\nagain","spent":NaN}'
    body = error_body(content)
    assert body is not None
    assert body.error_code == "NEEDS_UPDATE"
    assert body.error_message == "sign in\nagain"
    assert error_body(content[:-5]) is None
    assert error_body(b"<html>NaN") is None
    assert error_body(b"NaN") is None
