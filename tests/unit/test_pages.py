"""Answers cut into pages: what ends a list, what is not a list, and what the rows' times say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.api.body import missing, open_body
from tap_rutter.api.json_text import (
    ENCODER,
    clean_text,
    clean_value,
    decode_marked,
    decode_value,
    has_vast_numbers,
)
from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.pages import Page, Span, span_of
from tap_rutter.api.paging import LoopGuard, follow
from tap_rutter.api.request import Response, UnreadableResponse
from tap_rutter.errors import ConnectionUnusable, PartitionFailed
from tap_rutter.json_values import Unfit

PATH = "/orders"
DECODE = ListDecoder("orders", "updated_at", where=PATH)
NOON = 1_706_702_400_000  # 2024-01-31T12:00:00Z


def decoded(content: bytes | str | dict[str, Any], decoder: ListDecoder = DECODE) -> Page:
    if isinstance(content, dict):
        content = json.dumps(content)
    return decoder(Response(content.encode() if isinstance(content, str) else content, NOON))


# ---- pages


def test_a_page_keeps_the_texts_of_its_rows() -> None:
    page = decoded(
        '{"next_cursor": "abc", "connection": {"id": "c"}, "orders": [ {"id" : "1", "total":'
        ' 12.50, "updated_at": "2024-01-31T12:00:00Z"},\n {"updated_at":null,"id":2} ]}'
    )
    assert [bytes(raw) for raw in page.raws] == [
        b'{"id" : "1", "total": 12.50, "updated_at": "2024-01-31T12:00:00Z"}',
        b'{"updated_at":null,"id":2}',
    ]
    assert page.ids == ("1", 2)
    assert page.next_cursor == "abc"
    assert page.received_ms == NOON
    assert page.span == Span(2, NOON, NOON, NOON, NOON, is_unsorted=False, nulls=True)


@pytest.mark.parametrize(
    ("given_cursor", "cursor"),
    [
        ("", None),
        (', "next_cursor": null', None),
        (', "next_cursor": ""', None),
        (', "next_cursor": "b3BhcXVl"', "b3BhcXVl"),
        (', "next_cursor": " "', " "),
        (', "next_cursor": "/orders?a=b&c#d"', "/orders?a=b&c#d"),
        (', "next_cursor": 0', "0"),
        (', "next_cursor": 17', "17"),
        (', "next_cursor": 17.50', "17.50"),
        (', "next_cursor": "\\u00e9\\n"', "é\n"),
    ],
)
@pytest.mark.parametrize("rows", ["[]", '[{"id": "1"}]'])
def test_a_missing_null_or_empty_cursor_ends_a_list_and_nothing_else_does(
    given_cursor: str, cursor: str | None, rows: str
) -> None:
    assert decoded(f'{{"orders": {rows}{given_cursor}}}').next_cursor == cursor


@pytest.mark.parametrize("cursor", ["true", "false", "[]", '{"at": 1}', '["a"]'])
def test_a_cursor_that_is_not_text_is_an_error(cursor: str) -> None:
    with pytest.raises(PartitionFailed, match="next_cursor") as caught:
        decoded(f'{{"orders": [], "next_cursor": {cursor}}}')
    assert caught.value.reason == "bad_response"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"<!doctype html><title>502</title>",
        b'{"orders": [{"id": "1"}',
        b'{"orders": [{"id": "1"]}',
        b'{"orders": []} trailing',
        b'{"orders": [1.]}',
        b'{"orders": [nan]}',
        b'{"orders": [{"id": NaN}',
        b'{"orders": [{"id": "a\tb"}], "next_cursor": "a\tb',
        b"[]",
        b'"orders"',
        b"null",
        b"17",
        b"\x1f\x8b\x08\x00",
        b'{"orders": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_body_that_is_not_a_json_object_may_pass(content: bytes) -> None:
    with pytest.raises(UnreadableResponse):
        decoded(content)


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        '{"customers": []}',
        '{"orders": null}',
        '{"orders": {}}',
        '{"orders": "none"}',
        '{"orders": 0}',
    ],
)
def test_a_200_without_its_list_is_never_an_empty_list(content: str) -> None:
    with pytest.raises(
        PartitionFailed, match="/orders answered 200 without its 'orders'"
    ) as caught:
        decoded(content)
    assert caught.value.reason == "bad_response"


@pytest.mark.parametrize("row", ['"1"', "17", "true", "[]", "[{}]", "NaN", '"\t"'])
def test_rows_that_are_not_objects_are_an_error(row: str) -> None:
    with pytest.raises(PartitionFailed, match="not objects"):
        decoded(f'{{"orders": [{{"id": "1"}}, {row}]}}')


def test_a_null_among_the_rows_is_not_a_row() -> None:
    page = decoded({"orders": [None, {"id": "1", "updated_at": "2024-01-31T12:00:00Z"}, None]})
    assert [bytes(raw) for raw in page.raws] == [
        b'{"id": "1", "updated_at": "2024-01-31T12:00:00Z"}'
    ]
    assert page.ids == ("1",)
    assert page.span == Span(1, NOON, NOON, NOON, NOON)


def test_an_error_body_with_200_is_told_in_the_words_of_the_api() -> None:
    body = {"error_type": "X", "error_code": "INTERNAL", "error_message": "Something broke."}
    with pytest.raises(PartitionFailed, match=r"INTERNAL: Something broke\.") as caught:
        decoded(body)
    assert caught.value.reason == "bad_response"
    assert caught.value.code == "INTERNAL"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("PRODUCT_NOT_READY", "not_ready"),
        ("CONNECTION_DISABLED", "disabled"),
        ("NEEDS_UPDATE", "needs_reauth"),
    ],
)
def test_an_error_of_the_connection_with_200_is_one_of_the_connection(
    code: str, reason: str
) -> None:
    error = missing(json.dumps({"error_code": code}).encode(), "orders", PATH)
    assert isinstance(error, ConnectionUnusable)
    assert error.reason == reason


@pytest.mark.parametrize(
    ("row", "identity"),
    [
        (b'{"id": "\\ud800", "updated_at": "2024-01-31T12:00:00Z"}', None),
        (b'{"id": "1", "name": "\\ud83d", "updated_at": "2024-01-31T12:00:00Z"}', "1"),
        (b'{"id": "1", "name": "caf\xe9", "updated_at": "2024-01-31T12:00:00Z"}', "1"),
        (b'{"id": "1", "\\udc00": [{"\\ud800": 1}], "updated_at": "2024-01-31T12:00:00Z"}', "1"),
    ],
)
def test_broken_text_costs_neither_its_page_nor_its_time(row: bytes, identity: str | None) -> None:
    page = decoded(b'{"orders": [' + row + b', {"id": "2"}], "next_cursor": "n"}')
    assert page.next_cursor == "n"
    assert len(page.raws) == 2
    assert page.span.newest == NOON
    if identity:
        assert page.ids == (identity, "2")
    for raw in page.raws:
        assert isinstance(decode_value(raw), dict)


@pytest.mark.parametrize("stamp", ["17", "true", '{"at": 1}', '["2024"]', '"soon"', "null"])
def test_a_time_of_any_type_is_not_a_time(stamp: str) -> None:
    page = decoded(f'{{"orders": [{{"id": "1", "updated_at": {stamp}}}]}}')
    assert page.span == Span(rows=1, nulls=True)


@pytest.mark.parametrize("identity", ["17", "null", '{"a": 1}', "[1]", "1.5", "true"])
def test_an_id_of_any_shape_costs_no_page(identity: str) -> None:
    rows = f'[{{"id": {identity}}}, {{"id": {identity}}}]'
    page = decoded(f'{{"orders": {rows}, "next_cursor": "a"}}')
    assert len(page.raws) == len(page.ids) == 2
    LoopGuard(PATH).check(page)


def test_ids_that_come_twice_on_a_page_come_with_their_times() -> None:
    row = {"id": "1", "updated_at": "2024-01-31T12:00:00Z"}
    assert decoded({"orders": [row, {**row, "id": "2"}]}).stamps == ()
    assert decoded({"orders": [row, {"id": "1"}]}).stamps == (NOON, None)


def test_a_list_without_a_time_has_no_span_but_its_rows() -> None:
    decoder = ListDecoder("currencies", None, where="/accounting/currencies")
    page = decoded({"currencies": [{"id": "1"}, {"id": "2"}]}, decoder)
    assert page.span == Span(rows=2)
    assert page.ids == ("1", "2")


def test_only_pages_of_many_rows_count_against_what_is_read_ahead() -> None:
    def page(rows: int) -> Page:
        return decoded({"orders": [{"id": str(n)} for n in range(rows)]})

    assert page(500).is_heavy
    assert not page(1).is_heavy
    assert not page(0).is_heavy


# ---- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.50", Decimal("12.50")),
        ("-0.0", Decimal("-0.0")),
        ("0.1000000000000000055511151231257827", Decimal("0.1000000000000000055511151231257827")),
        ("1e2", Decimal("1E+2")),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1e99999999999999999999", "1e99999999999999999999"),  # beyond what decimals reach
        ("9" * 5_000, "9" * 5_000),
        ('"\\ud83d\\ude00"', "\U0001f600"),
    ],
)
def test_numbers_keep_their_digits(text: str, value: object) -> None:
    got = decode_value(text.encode())
    assert got == value
    assert str(got) == str(value)
    assert decode_value(f'["\\ud800", {text}]'.encode())[1] == value, "also beside broken text"


@pytest.mark.parametrize("text", ["", "{", "nan", "+Infinity", "[NaN", '"a\tb', "'a'", "01"])
def test_what_is_not_json_is_not_a_value(text: str) -> None:
    with pytest.raises(ValueError):
        decode_value(text.encode())
    with pytest.raises(ValueError):
        decode_value(f'["\\ud800", {text}]'.encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ('["a\tb", NaN]', ["a\tb", "NaN"]),
        ('{"a\nb": "\x00", "c": "\\t"}', {"a\nb": "\x00", "c": "\t"}),
        ('["\x01\\ud83d\\ude00", 1.10]', ["\x01\U0001f600", Decimal("1.10")]),
    ],
)
def test_what_is_not_quite_json_is_marked_and_written_again_as_it_came(
    text: str, value: object
) -> None:
    plain = decode_value(text.encode())
    assert plain == value
    assert not any(isinstance(found, Unfit) for found in leaves(plain))
    marked = decode_marked(text.encode())
    assert marked == value
    assert any(isinstance(found, Unfit) for found in leaves(marked))
    assert [isinstance(found, Unfit) for found in leaves(marked)] == [
        isinstance(found, Unfit) for found in leaves(decode_marked(ENCODER.encode(marked)))
    ]


def leaves(value: Any) -> Iterator[Any]:
    """All values in a piece of JSON that are not lists or objects."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        yield value
        return
    for entry in value:
        yield from leaves(entry)


@pytest.mark.parametrize("cursor", ["NaN", '"a\tb"'])
def test_a_cursor_that_is_not_quite_json_is_an_error(cursor: str) -> None:
    with pytest.raises(PartitionFailed, match="next_cursor"):
        decoded(f'{{"orders": [], "next_cursor": {cursor}}}')


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1e200000", True),
        ("-1.5E-99999", True),
        ("1e+0001001", True),
        ("0." + "0" * 1_500 + "1", True),
        ("9" * 5_000, True),
        ("1e-07", False),
        ("1E+21", False),
        ("12345678901234567890.123", False),
        ('"1e5000"', False),
        ('"83f1e301-07a3-4e000-ae85"', False),
    ],
)
@pytest.mark.parametrize("around", ["[%s]", '{"a":%s}', "[1,%s ,2]", '{"a":[\t%s\n]}'])
def test_vast_numbers_are_found_wherever_they_stand(text: str, found: bool, around: str) -> None:
    assert has_vast_numbers((around % text).encode()) is found


def test_json_that_is_nested_without_end_is_not_a_value() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_value(b"[" * 100_000)


broken_texts = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)
broken_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), broken_texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(broken_texts, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(broken_texts)
def test_cleaned_text_can_be_stored(text: str) -> None:
    cleaned = clean_text(text)
    assert "\x00" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean_text(cleaned) == cleaned
    if "\x00" not in text and not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        assert cleaned == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("\udc00x", "\ufffdx"),
        ("a\ud83db", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\U0001f600 ü", "\U0001f600 ü"),
    ],
)
def test_what_cannot_be_stored_becomes_the_replacement_character(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@given(broken_values)
def test_broken_text_is_mended_at_any_depth(value: Any) -> None:
    content = json.dumps({"orders": value}).encode()
    raw = open_body(content)["orders"]
    mended = clean_value(decode_value(raw))
    text = msgspec.json.encode(mended)
    assert b"\\u0000" not in text
    text.decode()


# ---- the judgement of a page

STAMPS = {
    "a": "2024-01-31T12:00:00.100Z",
    "b": "2024-01-31T12:00:00.900Z",
    "c": "2024-01-31T12:00:01.000Z",
    "d": "2024-01-31T12:00:05Z",
}


@pytest.mark.parametrize(
    ("order", "is_unsorted"),
    [
        ("", False),
        ("a", False),
        ("abcd", False),
        ("aabbccdd", False),
        ("ba", False),  # within one second, which is as fine as the cursor goes
        ("bacd", False),
        ("cb", True),
        ("abdc", True),
        ("dcba", True),
        ("acbd", True),
        ("a?d", False),
        ("d?a", True),
        ("??", False),
    ],
)
def test_a_fall_is_noticed_by_whole_seconds(order: str, is_unsorted: bool) -> None:
    assert span_of([STAMPS.get(letter) for letter in order]).is_unsorted is is_unsorted


@given(st.lists(st.one_of(st.none(), st.sampled_from(sorted(STAMPS.values()))), max_size=12))
def test_a_page_knows_the_span_of_its_times(stamps: list[str | None]) -> None:
    span = span_of(stamps)
    known = sorted(stamp for stamp in stamps if stamp)
    assert span.rows == len(stamps)
    assert span.nulls == (None in stamps)
    if not known:
        assert (span.oldest, span.newest, span.first, span.last) == (None, None, None, None)
        return
    seconds = [stamp[:19] for stamp in stamps if stamp]
    assert span.oldest == span_of([known[0]]).first
    assert span.newest == span_of([known[-1]]).first
    assert span.first == span_of([next(stamp for stamp in stamps if stamp)]).first
    assert span.last == span_of([next(stamp for stamp in reversed(stamps) if stamp)]).first
    assert span.is_unsorted == (seconds != sorted(seconds))


# ---- following cursors


def page_of(ids: tuple[Any, ...], cursor: str | None) -> Page:
    raws = [json.dumps({"id": identity}).encode() for identity in ids]
    return Page(raws=raws, next_cursor=cursor, received_ms=0, size=1, ids=ids)


def followed(pages: Iterator[Page]) -> tuple[list[str | None], list[Page]]:
    """The cursors that were asked for, and the pages that came."""
    asked: list[str | None] = []

    def fetch(cursor: str | None) -> Page:
        asked.append(cursor)
        return next(pages)

    return asked, list(follow(fetch, PATH))


def test_pages_are_followed_to_the_end_of_their_cursors() -> None:
    pages = [page_of(("1",), "a"), page_of(("2",), "b"), page_of(("3",), None)]
    asked, got = followed(iter(pages))
    assert asked == [None, "a", "b"]
    assert got == pages


def test_an_empty_page_with_a_cursor_is_not_the_end() -> None:
    pages = [page_of((), "a"), page_of((), "b"), page_of(("1",), "c"), page_of((), None)]
    assert followed(iter(pages))[0] == [None, "a", "b", "c"]


def test_the_same_cursor_twice_is_a_loop_and_what_came_before_it_is_kept() -> None:
    got: list[Page] = []
    pages = iter([page_of(("1",), "a"), page_of(("2",), "b"), page_of(("3",), "a")])
    with pytest.raises(PartitionFailed, match="cursor loop") as caught:
        for page in follow(lambda _: next(pages), PATH):
            got.append(page)
    assert caught.value.reason == "cursor_loop"
    assert [page.ids for page in got] == [("1",), ("2",), ("3",)]


def endless(ids: list[tuple[Any, ...]]) -> Iterator[Page]:
    """Cursors that never repeat, over pages that do."""
    for number in range(5_000):
        yield page_of(ids[number % len(ids)], str(number))


@pytest.mark.parametrize(
    "ids",
    [
        [("1", "2")],
        [("1", "2"), ("3", "4")],
        [("1",), (), ("2",), ()],
        [()],
        [(17,)],
        [({"a": 1}, ["b"])],
    ],
)
def test_pages_without_end_are_a_loop(ids: list[tuple[Any, ...]]) -> None:
    with pytest.raises(PartitionFailed, match="cursor loop"):
        followed(endless(ids))


def test_many_empty_pages_in_between_are_not_a_loop() -> None:
    def pages() -> Iterator[Page]:
        for number in range(3_000):
            yield page_of((str(number),) if number % 10 == 0 else (), str(number))
        yield page_of((), None)

    assert len(followed(pages())[1]) == 3_001


def test_rows_that_come_again_across_pages_are_not_a_loop() -> None:
    """A cursor of whole seconds brings rows of the last second again."""
    pages = [page_of((str(n), str(n + 1)), str(n)) for n in range(50)]
    assert len(followed(iter([*pages, page_of(("49",), None)]))[1]) == 51


def test_rows_without_ids_are_not_a_loop() -> None:
    pages = [page_of((None, None), str(n)) for n in range(50)]
    assert len(followed(iter([*pages, page_of((), None)]))[1]) == 51
