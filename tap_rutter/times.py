"""Points in time: Unix milliseconds inside, RFC 3339 in UTC outside.

Rutter's numeric bounds are Unix milliseconds, inclusive at both ends, so a finer time is rounded
down: a bound that is too low reads a row again, one that is too high would lose it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_USUAL = len("2026-03-02T09:30:00.000Z")

# ISO 8601 calendar dates in the forms that platforms send. Week dates and the like are not
# accepted.
_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"[ ]?([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
# The form that leaves the tap; text that has it is passed on as it came.
_FINAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)


def to_text(ms: int) -> str:
    """Unix milliseconds as RFC 3339 text, such as ``2024-08-31T00:00:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds")[: _USUAL - 1] + "Z"


def second_of(ms: int) -> int:
    """The whole second, in Unix seconds, in which a time lies."""
    return ms // SECOND


def from_datetime(moment: datetime) -> int:
    """An aware datetime as Unix milliseconds, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def _split(text: str) -> tuple[datetime, str] | None:
    """The whole second in UTC and the digits of its fraction, or None for what is not a time."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)
        )
        if zone and zone not in "Zz":
            digits = zone[1:].replace(":", "")
            hours, minutes = int(digits[:2]), int(digits[2:] or 0)
            if hours > 23 or minutes > 59:
                return None
            offset = timedelta(hours=hours, minutes=minutes)
            moment = moment - offset if zone[0] == "+" else moment + offset
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC), fraction or ""


def parse(text: object) -> int | None:
    """Text as Unix milliseconds, or None where it is not a time.

    A date alone is its midnight in UTC; a time without an offset is taken as UTC.
    """
    if not isinstance(text, str):
        return None
    if len(text) == _USUAL and (usual := _parse_usual(text)) is not None:
        return usual
    parts = _split(text)
    if parts is None:
        return None
    moment, fraction = parts
    return from_datetime(moment) + int((fraction + "000")[:3])


@lru_cache(maxsize=1024)  # a bookmark is looked at several times while its partition is read
def _parse_usual(text: str) -> int | None:
    """The same for text as ``to_text`` writes it, in a tenth of the time; None for any other."""
    if not (
        text[4] == text[7] == "-"
        and text[10] == "T"
        and text[13] == text[16] == ":"
        and text[19] == "."
        and text[23] == "Z"
        and text[11:13] != "24"  # the end of a day, to some versions of Python
    ):
        return None
    try:
        return from_datetime(datetime.fromisoformat(text))
    except ValueError:
        return None


def normal_form(text: str) -> str | None:
    """The same point in time in UTC, as RFC 3339 with ``Z``; None if the text is not a time.

    The digits of a fraction are kept as they are.
    """
    parts = _split(text)
    if parts is None:
        return None
    if _FINAL.fullmatch(text):
        return text
    moment, fraction = parts
    whole = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{whole}.{fraction[:9]}Z" if fraction else f"{whole}Z"


def from_http_date(value: str | None) -> int | None:
    """A ``Date`` or ``Retry-After`` header's date as Unix milliseconds; None for any other text."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def month_start(ms: int) -> date:
    """The first day of the month (UTC) in which a time lies."""
    return (_EPOCH + timedelta(milliseconds=ms)).date().replace(day=1)
