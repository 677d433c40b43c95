"""Whole pages on the fast path: read, judged and written as row by row."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from test_fast_path import (
    ANYTHING,
    MOMENT,
    REPLICATION_KEY,
    TEXTS,
    TIMES,
    VAST,
    Bare,
    decimals,
    json_text,
    ways,
)

from tap_rutter.api.json_text import ENCODER, is_clean
from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.pages import Page
from tap_rutter.api.request import Response
from tap_rutter.records.conform import Repairs, decode_row
from tap_rutter.records.fast_path import FastPath, _are_normal
from tap_rutter.replication.base import Partition
from tap_rutter.schema.json_schema import is_any
from tap_rutter.sync.delivery import Delivery, Line
from tap_rutter.sync.partition_report import PartitionReport

MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))
FORMS = {
    "milliseconds": lambda moment: moment.isoformat(timespec="milliseconds") + "Z",
    "seconds": lambda moment: moment.isoformat(timespec="seconds") + "Z",
    "nanoseconds": lambda moment: moment.isoformat(timespec="microseconds") + "000Z",
    "mixed": lambda moment: moment.isoformat() + "Z",
    "offset": lambda moment: moment.isoformat(timespec="seconds") + "+00:00",
    "small": lambda moment: moment.isoformat(timespec="milliseconds").replace("T", "t") + "Z",
}
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


def rows_of(component: str, form: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows as declared, with the times of a page all written alike."""
    schema, _, _ = ways(component)
    values: dict[str, st.SearchStrategy[Any]] = {}

    def value(field: dict[str, Any]) -> st.SearchStrategy[Any]:
        if is_any(field):
            return st.one_of(PLAIN, st.lists(st.decimals(-9, 9, places=2), max_size=2))
        kind = next(entry for entry in field["type"] if entry != "null")
        if field.get("format") == "date-time":
            return MOMENTS.map(FORMS[form])
        if kind == "object" and field.get("properties"):
            return st.fixed_dictionaries(
                {}, optional={name: value(inner) for name, inner in field["properties"].items()}
            )
        kinds: dict[str, st.SearchStrategy[Any]] = {
            "string": PLAIN,
            "number": st.decimals(-(10**9), 10**9, places=2),
            "integer": st.integers(-(2**63), 2**63 - 1),
            "boolean": st.booleans(),
            "array": st.lists(st.dictionaries(PLAIN, PLAIN, max_size=2), max_size=2),
            "object": st.dictionaries(PLAIN, PLAIN, max_size=2),
        }
        return kinds[kind]

    for name, field in schema["properties"].items():
        if name not in {"id", "connection_id", "_rutter_extra", "_rutter_issues"}:
            values[name] = st.one_of(st.none(), value(field))
    row = st.fixed_dictionaries({"id": st.sampled_from("abcdef")}, optional=values)
    return st.lists(row, min_size=1, max_size=5)


@st.composite
def pages_of(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A component, its time field, and a page of its rows, now and then with something odd."""
    component = draw(st.sampled_from(["Order", "Invoice", "Payout", "CommerceTransaction"]))
    rows = draw(rows_of(component, draw(st.sampled_from(sorted(FORMS)))))
    if rows and draw(st.integers(0, 3)) == 0:
        row = draw(st.sampled_from(rows))
        row[draw(st.sampled_from([*row, "unknown", "access_token"]))] = draw(
            st.one_of(TIMES, TEXTS, VAST, ANYTHING)
        )
    text = json_text({"rows": rows, "next_cursor": draw(st.sampled_from([None, "", "c", 7]))})
    if draw(st.integers(0, 3)):
        text = text.replace("\n", "")
    return component, "updated_at", text.encode("utf-8", "surrogatepass")


def parted(page: Page) -> Page:
    """A page as it would be without the fast path's mark."""
    return replace(page, raws=[bytes(raw) for raw in page.raws], all_pass=False)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(pages_of())
@pytest.mark.longer
def test_a_page_checked_at_once_is_the_same_page(given_page: tuple[str, str, bytes]) -> None:
    component, field, content = given_page
    _, short, conformer = ways(component)
    answer = Response(content, 5)
    whole = ListDecoder("rows", field, where="/rows", fast_path=short)(answer)
    assert parted(whole) == parted(ListDecoder("rows", field, where="/rows")(answer))
    event(f"all pass: {whole.all_pass}, rows: {bool(whole.raws)}")
    if not (whole.all_pass and whole.raws):
        return
    line = Line("stream", "c1", MOMENT)
    lines = bytes(line.block_of(whole.raws)).splitlines(keepends=True)
    assert lines == [line.of_raw(raw) + b"\n" for raw in whole.raws]
    for raw, written in zip(whole.raws, lines, strict=True):
        assert is_clean(bytes(raw))
        conformed = conformer.conform(decode_row(raw), "c1", Repairs())
        assert decimals(written) == decimals(line.of(ENCODER.encode(conformed)))


def page_of(*rows: Any, form: FastPath) -> Page:
    content = json.dumps({"rows": rows}, separators=(",", ":"), ensure_ascii=False).encode()
    return ListDecoder("rows", "updated_at", where="/rows", fast_path=form)(Response(content, 5))


GOOD = {"id": "a", "updated_at": "2026-03-02T09:30:00.000Z", "name": "Göteborg"}


def test_ordinary_pages_are_normal() -> None:
    _, short, _ = ways("Order")
    assert page_of(GOOD, GOOD | {"id": "b"}, form=short).all_pass
    assert page_of(GOOD, GOOD | {"updated_at": None}, form=short).all_pass
    assert page_of(GOOD | {"updated_at": "2024-02-29T09:30:00.000Z"}, form=short).all_pass


@pytest.mark.parametrize(
    "odd",
    [
        {"updated_at": "2026-03-02T09:30:00+00:00"},
        {"updated_at": "2026-03-02t09:30:00.000Z"},
        {"updated_at": "2023-02-29T09:30:00.000Z"},
        {"updated_at": "2026-03-02T09:30:00.\\u0030Z"},
        {"customer": {"created_at": "2026-03-02 09:30:00.000Z"}},
        {"unknown": 1},
        {"id": ""},
        {"id": 7},
        {"connection_id": "other"},
        {"line_items": [{"access_token": "x"}]},
        {"name": "\x00"},
    ],
    ids=str,
)
def test_one_odd_row_keeps_a_page_off_the_fast_path(odd: dict[str, Any]) -> None:
    _, short, _ = ways("Order")
    assert not page_of(GOOD, GOOD | odd, GOOD, form=short).all_pass


@pytest.mark.parametrize("number", ["1e200000", "1e-99999", "9" * 5_000, "NaN", '"a\tb"'])
@pytest.mark.parametrize("column", ["total_price", "line_items"])
def test_one_vast_number_keeps_a_page_off_the_fast_path(number: str, column: str) -> None:
    _, short, _ = ways("Order")
    decode = ListDecoder("rows", None, where="/rows", fast_path=short)
    value = Bare(number) if column == "total_price" else [{"n": [Bare(number)]}]
    rows = [GOOD, GOOD | {column: value}, GOOD | {"total_price": 1.5}]
    page = decode(Response(json_text({"rows": rows}).replace("\n", "").encode(), 5))
    assert not page.all_pass
    assert len(page.raws) == 3


def test_rows_that_are_not_utf_8_keep_a_page_from_being_final() -> None:
    _, short, _ = ways("Order")
    decode = ListDecoder("rows", None, where="/rows", fast_path=short)
    content = b'{"rows":[{"id":"a","line_items":["\xff"]}]}'
    page = decode(Response(content, 5))
    assert not page.all_pass
    assert not short.passes(page.raws[0])


@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.one_of(TIMES, MOMENTS.map(FORMS["mixed"]), TEXTS), min_size=1, max_size=3))
def test_times_that_are_normal_together_are_normal_one_by_one(texts: list[str]) -> None:
    schema = {"properties": {"at": {"type": ["string"], "format": "date-time"}}}
    row = FastPath(schema, REPLICATION_KEY)
    if not _are_normal(texts):
        return
    for text in texts:
        # The pattern for single rows leaves out 29 February.
        assert "02-29" in text or row.passes(json.dumps({"at": text}).encode())


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02 09:30:00.000Z",
        "2026-03-02T09:30:00.000z",
        "2026-13-02T09:30:00.000Z",
        "2026-03-02T09:30:00+00:00",
        # Within JSON, its end would be read as an escape: 09:30:00Z.
        "2026-03-02T09:30:0\\u0030Z",
        "soon",
        "",
    ],
)
def test_a_time_in_another_form_is_not_normal_alone_or_together(text: str) -> None:
    schema = {"properties": {"at": {"type": ["string"], "format": "date-time"}}}
    row = FastPath(schema, REPLICATION_KEY)
    assert row.passes(json.dumps({"at": "2026-03-02T09:30:00.000Z"}).encode())
    assert not row.passes(json.dumps({"at": text}).encode())
    assert not _are_normal([text])
    assert not _are_normal([text, text])


def test_threads_may_come_to_a_streams_first_page_together() -> None:
    # A type that msgspec has half taken to pieces crashes the process that decodes with it.
    schema, _, _ = ways("Order")
    content = json.dumps({"rows": [GOOD | {"customer": {"id": "x"}}] * 20}).encode()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            short, together = FastPath(schema, REPLICATION_KEY), threading.Barrier(8)

            def read(short: FastPath = short, together: threading.Barrier = together) -> int:
                together.wait()
                return len(short.rows_of(content, "rows") or ())

            with ThreadPoolExecutor(8) as threads:
                found = [entry.result() for entry in [threads.submit(read) for _ in range(8)]]
            assert found == [20] * 8
    finally:
        sys.setswitchinterval(usual)


class Written:
    """Takes what a writer takes."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write_line(self, line: bytes) -> None:
        self.lines.append(line)

    def write_block(self, lines: memoryview) -> None:
        self.lines += bytes(lines).splitlines()


@pytest.mark.parametrize("dropped", [(), ("name",)])
def test_a_page_is_delivered_as_its_rows_would_be_one_by_one(dropped: tuple[str, ...]) -> None:
    schema, _, conformer = ways("Order")
    short = FastPath(schema, REPLICATION_KEY, without=dropped)
    rows = [GOOD | {"id": name, "total_price": 1.5} for name in "abcab"]
    page = page_of(*rows, form=short)
    assert page.all_pass
    delivered = []
    for entry in (page, replace(page, all_pass=False)):
        writer = Written()
        delivery = Delivery(cast("Any", SimpleNamespace(writer=writer)))
        stream = SimpleNamespace(
            name="orders", fast_path=short, conformer=conformer, declare=lambda: None
        )
        pair = cast("Partition", SimpleNamespace(connection=SimpleNamespace(id="c1")))
        report = PartitionReport("c1", "orders", 0)
        delivery.page(cast("Any", stream), entry, pair, report, write=True)
        assert report.rows == delivery.total == 5
        delivered.append(writer.lines)
    assert delivered[0] == delivered[1]
    first = json.loads(delivered[0][0], parse_float=Decimal)["record"]
    assert list(first) == ["connection_id", *(name for name in rows[0] if name not in dropped)]
