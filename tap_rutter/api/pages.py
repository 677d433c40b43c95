"""One page of a list: its rows as raw JSON, and what their times and ids say about it."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from tap_rutter import times
from tap_rutter.api.json_text import ENCODER, Raw

_HEAVY_ROWS = 25
_USUAL, _TO_SECOND = 24, 19  # lengths of 2026-03-02T09:30:00.000Z and of its whole second


@dataclass(frozen=True)
class Span:
    """What the times of one page's rows say about the page as a whole."""

    rows: int = 0
    oldest: int | None = None
    newest: int | None = None
    first: int | None = None
    last: int | None = None
    is_unsorted: bool = False
    """Whether any row is older, by a whole second or more, than a row before it on the page."""
    nulls: bool = False
    """Whether a row has no readable time."""
    falls: bool = field(default=False, compare=False)
    """Whether every row has a time, and none is newer, by a whole second, than one before it."""
    ties: int = field(default=0, compare=False)
    """How many rows bear the oldest time."""


@dataclass(frozen=True)
class Page:
    """One page of rows, as raw JSON texts."""

    raws: Sequence[Raw]
    next_cursor: str | None
    received_ms: int
    size: int
    span: Span = field(default_factory=Span)
    ids: tuple[Any, ...] = ()
    stamps: tuple[int | None, ...] = ()
    """Times of the rows, Unix ms; filled only where an id comes more than once."""
    all_pass: bool = False
    """Whether every row takes the fast path (``records/fast_path.py``) and is one line."""
    request_values: dict[str, Any] = field(default_factory=dict)
    """Values that come from the request, not from the row: a child's parent, a metric's name."""
    list_name: str = ""
    """Which of a partition's lists the page belongs to."""
    partial: str = ""
    """What Rutter says is missing from the page; empty if nothing is."""

    def belonging_to(self, list_name: str, request_values: Mapping[str, Any] | None) -> Page:
        """The same page of one of several lists, or with what its request tells."""
        return replace(self, list_name=list_name, request_values=dict(request_values or {}))

    @property
    def is_heavy(self) -> bool:
        """Whether the page counts against what may be read ahead."""
        return len(self.raws) >= _HEAVY_ROWS


def span_of(stamps: Sequence[object]) -> Span:
    """What the times of a page's rows say about the page.

    Times are compared by whole seconds, since the API's cursor knows no finer ones: rows of one
    second may come in any order, and again on the next page.
    """
    if not stamps:
        return Span()
    alike = _span_of_alike(stamps)
    if alike is not None:
        return alike
    parsed = [times.parse(stamp) for stamp in stamps]
    known = [ms for ms in parsed if ms is not None]
    if not known:
        return Span(rows=len(stamps), nulls=True)
    is_unsorted, highest = False, known[0]
    for ms in known:
        if times.second_of(ms) < times.second_of(highest):
            is_unsorted = True
            break
        highest = max(highest, ms)
    return Span(
        rows=len(stamps),
        oldest=min(known),
        newest=max(known),
        first=known[0],
        last=known[-1],
        is_unsorted=is_unsorted,
        nulls=len(known) < len(parsed),
        falls=len(known) == len(parsed) and _falls([times.second_of(ms) for ms in known]),
        ties=known.count(min(known)),
    )


def _span_of_alike(stamps: Sequence[object]) -> Span | None:
    """The same for a page on which all times are written alike, as they mostly are.

    Such times sort as their texts do, so only four of them need to be parsed.
    """
    texts = [
        stamp
        for stamp in stamps
        if isinstance(stamp, str) and len(stamp) == _USUAL and stamp[-1] == "Z"
    ]
    if len(texts) != len(stamps):
        return None
    if len(texts) == 1:
        only = times.parse(texts[0])
        return None if only is None else Span(1, only, only, only, only, falls=True, ties=1)
    earliest = min(texts)
    ends = [times.parse(text) for text in (earliest, max(texts), texts[0], texts[-1])]
    oldest, newest, first, last = ends
    if oldest is None or newest is None or first is None or last is None:
        return None
    is_unsorted, highest = False, ""
    for text in texts:
        second = text[:_TO_SECOND]
        if second < highest:
            is_unsorted = True
            break
        highest = second
    return Span(
        len(texts),
        oldest,
        newest,
        first,
        last,
        is_unsorted=is_unsorted,
        falls=texts[0][:_TO_SECOND] >= texts[-1][:_TO_SECOND]
        and _falls([text[:_TO_SECOND] for text in texts]),
        ties=texts.count(earliest),
    )


def _falls(seconds: Sequence[str] | Sequence[int]) -> bool:
    return all(map(operator.ge, seconds, seconds[1:]))


def key_of(identity: Any) -> str | None:
    """An id as it stands in its row's key; None for an id that the tap replaces by its own key."""
    if isinstance(identity, str):
        return identity
    if isinstance(identity, int | float | Decimal) and not isinstance(identity, bool):
        return ENCODER.encode(identity).decode()
    return None
