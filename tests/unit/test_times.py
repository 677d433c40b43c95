"""Points in time: what is read as one, and the one form in which it leaves."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_rutter import times

NOON = 1_706_702_400_000  # 2024-01-31T12:00:00Z
YEARS = st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999)
FINAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@given(YEARS)
@example(0)
@example(-1)
@example(-62_135_596_800_000)  # the first moment of year 1
def test_a_time_survives_its_text(ms: int) -> None:
    text = times.to_text(ms)
    assert FINAL.fullmatch(text)
    assert times.parse(text) == ms
    assert times.normal_form(text) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
        ("2024-01-31T12:00:00.000Z", "2024-01-31T12:00:00.000Z"),
        ("2024-01-31T12:00:00.0Z", "2024-01-31T12:00:00.0Z"),
        ("2024-01-31T12:00:00.0000000Z", "2024-01-31T12:00:00.0000000Z"),
        ("2024-01-31T12:00:00", "2024-01-31T12:00:00Z"),
        ("2024-01-31 12:00:00", "2024-01-31T12:00:00Z"),
        ("2024-01-31t12:00:00z", "2024-01-31T12:00:00Z"),
        ("2024-01-31T12:00Z", "2024-01-31T12:00:00Z"),
        ("2024-01-31 12:00", "2024-01-31T12:00:00Z"),
        (" 2024-01-31T12:00:00Z\n", "2024-01-31T12:00:00Z"),
        ("2024-01-31T14:00:00+02:00", "2024-01-31T12:00:00Z"),
        ("2024-01-31T14:00:00+0200", "2024-01-31T12:00:00Z"),
        ("2024-01-31T14:00:00+02", "2024-01-31T12:00:00Z"),
        ("2024-01-31T14:00:00 +02:00", "2024-01-31T12:00:00Z"),
        ("2024-01-31T04:30:00-07:30", "2024-01-31T12:00:00Z"),
        ("2024-02-01T01:00:00+13:00", "2024-01-31T12:00:00Z"),
        ("2024-01-31T12:00:00-00:00", "2024-01-31T12:00:00Z"),
        ("2024-01-31T12:00:00,000", "2024-01-31T12:00:00.000Z"),
    ],
)
def test_forms_of_one_moment(text: str, normal: str) -> None:
    assert times.parse(text) == NOON
    assert times.normal_form(text) == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2024-01-31", "2024-01-31T00:00:00Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("2024-01-31T12:00:00.123456789Z", "2024-01-31T12:00:00.123456789Z"),
        ("2024-01-31T14:00:00.120+02:00", "2024-01-31T12:00:00.120Z"),
    ],
)
def test_the_same_moment_in_utc(text: str, normal: str) -> None:
    assert times.normal_form(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0000-00-00",
        "0000-00-00 00:00:00",
        "0000-01-01",
        "2024-00-10",
        "2024-13-01",
        "2023-02-29",
        "2024-01-32",
        "10000-01-01T00:00:00Z",
        "+010000-01-01T00:00:00Z",
        "-0001-01-01",
        "2024-01-31T24:00:00Z",
        "2024-01-31T23:60:00Z",
        "2024-01-31T23:59:60Z",
        "2024-01-31T12:00:00+24:00",
        "2024-01-31T12:00:00+05:99",
        "0001-01-01T00:00:00+05:00",  # in UTC it is before the first year
        "9999-12-31T23:59:59-05:00",
        "2024-1-31",
        "24-01-31",
        "31.01.2024",
        "01/31/2024",
        "20240131",
        "2024-W05-3",
        "2024-031",
        "2024-01",
        "2024",
        "1706702400",
        "1706702400000",
        "12:00:00",
        "2024-01-31T",
        "2024-01-31T12",
        "2024-01-31TZ",
        "2024-01-31T12:00:00Z+02:00",
        "2024-01-31T12:00:00 UTC",
        "2024-01-31Z",
        "T12:00:00Z",
        "now",
        "null",
        "NaN",
        "٢٠٢٤-٠١-٣١",  # noqa: RUF001 - digits, but not those of RFC 3339
        "2024-01-31T12:00:00Z\x00",
    ],
)
def test_what_is_not_a_time(text: str) -> None:
    assert times.parse(text) is None
    assert times.normal_form(text) is None


@pytest.mark.parametrize("value", [None, 0, NOON, 1.5, True, [], {}, b"2024-01-31"])
def test_only_text_is_a_time(value: object) -> None:
    assert times.parse(value) is None


@pytest.mark.parametrize(
    ("fraction", "milliseconds"),
    [("1", 100), ("12", 120), ("123", 123), ("1239", 123), ("9999999999", 999), ("0009", 0)],
)
def test_finer_digits_are_rounded_down_so_that_a_bound_loses_no_row(
    fraction: str, milliseconds: int
) -> None:
    assert times.parse(f"2024-01-31T12:00:00.{fraction}Z") == NOON + milliseconds
    assert times.parse(f"1969-12-31T23:59:59.{fraction}Z") == -1_000 + milliseconds


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),
    st.integers(min_value=-23 * 60 - 59, max_value=23 * 60 + 59),
)
def test_any_offset_leads_to_the_same_moment(moment: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    local = moment.replace(tzinfo=zone)
    assert times.parse(local.isoformat()) == times.from_datetime(local)
    normal = times.normal_form(local.isoformat())
    assert normal is not None
    assert FINAL.fullmatch(normal)
    assert datetime.fromisoformat(normal) == local


@given(st.text())
@example("2024-01-31T12:00:00.12345678901234567890Z")
@example("2024-01-31T12:00:00+05:30")
def test_a_normal_form_is_normal(text: str) -> None:
    normal = times.normal_form(text)
    assert (normal is None) == (times.parse(text) is None)
    if normal is not None:
        assert FINAL.fullmatch(normal)
        assert times.normal_form(normal) == normal
        assert times.parse(normal) == times.parse(text)


@given(st.integers(min_value=0, max_value=253_402_300_799))
def test_http_dates_are_read_with_and_without_the_letters_gmt(second: int) -> None:
    moment = datetime.fromtimestamp(second, UTC)
    assert times.from_http_date(format_datetime(moment, usegmt=True)) == second * 1_000
    assert times.from_http_date(format_datetime(moment)) == second * 1_000


def test_a_http_date_without_a_zone_is_utc() -> None:
    assert times.from_http_date("Wed, 31 Jan 2024 12:00:00") == NOON
    assert times.from_http_date("Wed, 31 Jan 2024 12:00:00 -0000") == NOON
    assert times.from_http_date("Wed, 31 Jan 2024 14:00:00 +0200") == NOON


@pytest.mark.parametrize("value", [None, "", "0", "120", "soon", "2024-01-31T12:00:00Z", ", ,"])
def test_what_is_not_an_http_date(value: str | None) -> None:
    assert times.from_http_date(value) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
@example("Wed, 31 Jan 2024 12:00:00 +9999")
@example("Wed, 99 Jan 99999 12:00:00 GMT")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_header_breaks_the_reading_of_http_dates(value: str) -> None:
    assert isinstance(times.from_http_date(value), int | None)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2024-01-31T23:59:59.999Z", date(2024, 1, 1)),
        ("2024-02-01T00:00:00Z", date(2024, 2, 1)),
        ("1969-12-31T23:59:59Z", date(1969, 12, 1)),
    ],
)
def test_months_are_those_of_utc(text: str, first: date) -> None:
    moment = times.parse(text)
    assert moment is not None
    assert times.month_start(moment) == first


@given(
    ms=YEARS,
    changes=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=23), st.sampled_from("0123456789-+:.,TtZzW /\u0660é")
        ),
        max_size=3,
    ),
)
@example(ms=NOON, changes=[(11, "2"), (12, "4")])
@example(ms=NOON, changes=[(5, "W"), (8, "-"), (7, "0")])
@example(ms=NOON, changes=[(17, "6"), (18, "0")])
def test_the_usual_form_is_read_as_all_others_are(ms: int, changes: list[tuple[int, str]]) -> None:
    letters = list(times.to_text(ms))
    for at, letter in changes:
        letters[at] = letter
    text = "".join(letters)
    parts = times._split(text)
    read = None
    if parts is not None:
        read = times.from_datetime(parts[0]) + int((parts[1] + "000")[:3])
    assert times.parse(text) == read
    assert changes or times._parse_usual(text) == read
