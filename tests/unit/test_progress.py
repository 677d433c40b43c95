"""Where a bookmark may stand, rule by rule: every row must be read at some time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter import times
from tap_rutter.api.client import Client
from tap_rutter.api.pages import Page, span_of
from tap_rutter.api.request import Counts, Request, Response
from tap_rutter.connections.selection import Connection
from tap_rutter.replication.base import Endpoint, Partition
from tap_rutter.replication.items import (
    BoundsIgnored,
    End,
    ListItem,
    ParentRead,
    Unsorted,
    WindowEnd,
)
from tap_rutter.replication.run_context import RunContext
from tap_rutter.replication.synced import SyncedProgress, first_time
from tap_rutter.replication.synced_per_parent import (
    SyncedPerParentProgress,
    known_parents,
    mark_of,
)
from tap_rutter.replication.updated import Start, Updated, UpdatedProgress
from tap_rutter.schema.document import Document
from tap_rutter.settings import Settings
from tap_rutter.sync.state import Bookmarks

pytestmark = pytest.mark.any_workers

CUTOFF = 1_706_702_400_000  # 2024-01-31T12:00:00Z
MINUTE, HOUR, DAY = times.MINUTE, times.HOUR, times.DAY
Content = dict[str, Any]


# ---- stand-ins


class Clock:
    def now(self) -> int:
        return CUTOFF


@dataclass
class Statuses:
    """A client that knows how one connection stands, and nothing else."""

    status: Mapping[str, Any]
    connection: Mapping[str, Any]
    clock = Clock()

    def get(self, call: Request, decode: Callable[[Response], Any], _counts: Counts) -> Any:
        bodies = {
            "/connections/status": {"status": self.status},
            "/connections/access_token": {"connection": self.connection},
        }
        return decode(Response(json.dumps(bodies[call.path]).encode(), CUTOFF))


def ago(ms: int) -> str:
    return times.to_text(CUTOFF - ms)


def pair_of(
    before: Content | None = None,
    *,
    replication_key: str = "last_synced_at",
    nullable: bool = False,
    horizon: int = CUTOFF,
    batches: tuple[int, int] | None = None,
    full_table: bool = False,
    **config: Any,
) -> Partition:
    """A partition with its entry, and a connection that was synced at the horizon.

    ``batches``: how many there were when the state was written, and how many there are now.
    """
    bookmarks: dict[str, Any] = {}
    if before is not None:
        partition = {"context": {"connection_id": "c"}, **before}
        bookmarks["rows"] = {"partitions": [partition]}
    if batches:
        known = {"context": {"connection_id": "c"}, "history": {"batches": batches[0]}}
        bookmarks["connections"] = {"partitions": [known]}
    client = Statuses(
        status={
            "last_sync_completed_at": times.to_text(horizon),
            "historical_sync_status": {"num_batches_completed": batches[1] if batches else None},
        },
        connection={"last_sync_started_at": times.to_text(horizon)},
    )
    env = RunContext(
        settings=Settings.from_config(config, with_credentials=False, known_optional=()),
        client=cast("Client", client),
        document=Document({"info": {"version": "x"}, "paths": {}, "components": {"schemas": {}}}),
        input_state=Bookmarks({"bookmarks": bookmarks}),
        cutoff=CUTOFF,
        full_table=frozenset({"rows"} if full_table else ()),
    )
    endpoint = SimpleNamespace(
        name="rows",
        path="/rows",
        replication_key=replication_key,
        replication_key_may_be_null=nullable,
    )
    return Partition(cast("Endpoint", endpoint), Connection("c", status="active"), env)


def page(*stamps: int | None, list_name: str = "") -> Page:
    """A page of rows with these times, Unix ms."""
    texts = [None if stamp is None else times.to_text(stamp) for stamp in stamps]
    return Page(
        raws=[b"{}"] * len(stamps),
        next_cursor=None,
        # A row that was stamped during the run came with a page that was read after that.
        received_ms=max([CUTOFF, *(stamp for stamp in stamps if stamp is not None)]),
        size=1,
        span=span_of(texts),
        list_name=list_name,
    )


def hours(*before_cutoff: float, list_name: str = "") -> Page:
    """A page of rows synced so many hours before the cutoff."""
    return page(*(CUTOFF - int(number * HOUR) for number in before_cutoff), list_name=list_name)


def future(*before_cutoff: float) -> Page:
    """A page of rows, read at the cutoff; times after that are of the platform's making."""
    stamps = [CUTOFF - int(number * HOUR) for number in before_cutoff]
    raws = [json.dumps({"updated_at": times.to_text(stamp)}).encode() for stamp in stamps]
    return dataclasses.replace(page(*stamps), raws=raws, received_ms=CUTOFF)


def synced(value: int | str, **more: Any) -> Content:
    text = value if isinstance(value, str) else times.to_text(value)
    return {"replication_key": "last_synced_at", "replication_key_value": text, **more}


def updated(value: int | None, **more: Any) -> Content:
    content: Content = {"replication_key": "updated_at"}
    if value is not None:
        content["replication_key_value"] = times.to_text(value)
    return content | more


# ======== synced

END = End()
GIVEN = synced(CUTOFF - 24 * HOUR)


def bookmark_after(items: Sequence[Any], before: Content | None = None, **options: Any) -> Any:
    """The partition's entry after these items only."""
    pair = pair_of(before, **options)
    progress = SyncedProgress(pair, ("",), is_sorted=True)
    for item in items:
        progress.see(item)
    return progress.partition_state()


# What was delivered → hours before the cutoff that the bookmark says; None for where it was.
ASCENTS: list[tuple[str, list[Any], float | None]] = [
    ("nothing", [], None),
    ("an empty list", [END], None),
    ("one page, more to come", [hours(5, 4)], None),
    ("one page, the whole list", [hours(5, 4), END], 4),
    ("one row", [hours(5), END], 5),
    ("two pages that rise", [hours(5, 4), hours(4, 3)], 3),
    ("two pages that rise, more to come", [hours(5, 4), hours(4, 3), hours(2)], 2),
    ("a rise on the first page, none on the second", [hours(5, 4), hours(4, 4)], None),
    ("one odd row before many of one moment", [hours(5, 4, 4), hours(4), hours(4, 4)], None),
    ("two pages of one moment", [hours(5, 5), hours(5, 5)], None),
    ("pages of one moment to the end", [hours(5), hours(5), END], 5),
    ("a rise on the third page", [hours(5), hours(5), hours(4)], None),
    ("rises from page to page", [hours(5), hours(4), hours(3)], 3),
    ("an empty page is not a second one", [hours(5, 4), page()], None),
    ("an empty page between two", [hours(5, 4), page(), hours(3)], 3),
    ("a fall on a page", [hours(4, 5)], None),
    ("a fall on a page, then a rise", [hours(4, 5), hours(3, 2), hours(1)], None),
    ("a fall from page to page", [hours(3, 2), hours(5, 4)], None),
    ("newest first", [hours(1, 2), hours(3, 4), hours(5)], None),
    ("newest first, to the end", [hours(1, 2), hours(3, 4), END], 1),
    ("a fall after the bookmark had moved", [hours(5, 4), hours(3), hours(4)], None),
    ("a fall after it had moved, to the end", [hours(5, 4), hours(3), hours(4), END], 3),
    ("the order was refused", [Unsorted(), hours(1, 5)], None),
    ("the order was refused, but looks good", [Unsorted(), hours(5, 4), hours(3, 2)], None),
    ("the order was refused, to the end", [Unsorted(), hours(5, 1, 3), END], 1),
    ("refused after some pages", [hours(5, 4), hours(3), Unsorted(), hours(9)], None),
    ("refused after some, to the end", [hours(5), hours(1), Unsorted(), hours(9), END], 9),
    ("a row stamped during the run", [hours(5, 4), hours(-0.5)], -0.5),
    ("in no order, one during the run", [hours(-0.5, 5), END], 0),
    ("rows without times", [page(None, None), page(None), END], None),
    ("some rows without times", [page(None, CUTOFF - HOUR, None), END], 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "reached"), [row[1:] for row in ASCENTS], ids=[row[0] for row in ASCENTS]
)
def test_how_far_a_synced_bookmark_moves(items: list[Any], reached: float | None) -> None:
    moved = None if reached is None else synced(CUTOFF - int(reached * HOUR))
    assert bookmark_after(items) == moved
    assert bookmark_after(items, before=GIVEN) == (GIVEN if moved is None else moved)


def test_rows_of_one_second_may_come_in_any_sort_order() -> None:
    first, second = page(CUTOFF - 5_000, CUTOFF - 4_100), page(CUTOFF - 4_900, CUTOFF - 2_000)
    third = page(CUTOFF - 1_000)
    assert bookmark_after([first, second]) is None
    assert bookmark_after([first, second, third]) == synced(CUTOFF - 1_000)
    fall = page(CUTOFF - 2_001)
    assert bookmark_after([first, second, third, fall]) is None


def test_a_bookmark_does_not_fall_back_to_rows_of_the_overlap() -> None:
    given_text = synced("2024-01-30T12:00:00Z")
    items = [page(CUTOFF - DAY - HOUR // 2), END]
    assert bookmark_after(items, before=given_text) == given_text


def test_the_newest_of_ties_is_the_bookmark_so_that_ties_are_read_again() -> None:
    items = [hours(5, 4, 4), END]
    assert bookmark_after(items)["replication_key_value"] == ago(4 * HOUR)
    pair = pair_of(bookmark_after(items))
    assert first_time(pair) == CUTOFF - 5 * HOUR


moments = st.integers(min_value=-10, max_value=30).map(lambda hour: CUTOFF - hour * HOUR)
lists = st.lists(st.lists(moments, max_size=4).map(lambda stamps: page(*stamps)), max_size=6)


@given(lists)
def test_no_bookmark_passes_what_was_delivered(pages: list[Page]) -> None:
    """And before the end of a sorted list, no bookmark passes a row that is still to come."""
    everything = [entry.span.newest for entry in pages if entry.span.newest is not None]
    progress = SyncedProgress(pair_of(), ("",), is_sorted=True)
    told: list[ListItem] = [*pages, END]
    for entry in told:
        progress.see(entry)
        content = progress.partition_state()
        if content is not None:
            value = times.parse(content["replication_key_value"])
            assert value is not None
            assert value <= max(everything)
    last = progress.partition_state()
    assert (last is not None) == bool(everything)


@given(st.lists(moments, min_size=1, max_size=12).map(sorted), st.integers(1, 4))
def test_a_sorted_list_is_bookmarked_page_by_page(stamps: list[int], size: int) -> None:
    pages = [page(*stamps[at : at + size]) for at in range(0, len(stamps), size)]
    progress = SyncedProgress(pair_of(), ("",), is_sorted=True)
    rises = 0
    for number, entry in enumerate(pages):
        progress.see(entry)
        content = progress.partition_state()
        delivered = stamps[: (number + 1) * size]
        before = stamps[max(number * size - 1, 0)]
        rises += delivered[-1] > before
        if rises >= 2:  # two pages have shown a rise
            assert content == synced(delivered[-1])
        else:
            assert content is None
    progress.see(END)
    assert progress.partition_state() == synced(stamps[-1])


def test_a_list_that_cannot_be_sorted_moves_its_bookmark_once() -> None:
    progress = SyncedProgress(pair_of(), ("",), is_sorted=False)
    for entry in (hours(5, 4), hours(3, 2)):
        progress.see(entry)
        assert progress.partition_state() is None
    progress.see(END)
    progress.finish()
    assert progress.partition_state() == synced(CUTOFF - 2 * HOUR)


# ---- where a synced pair starts


@pytest.mark.parametrize(
    ("before", "config", "start"),
    [
        (None, {}, None),
        (None, {"start_date": "2024-01-01"}, times.parse("2024-01-01")),
        (synced(CUTOFF - 5 * HOUR), {}, CUTOFF - 6 * HOUR),
        (synced(CUTOFF - 5 * HOUR), {"start_date": "2024-01-31T11:30:00Z"}, CUTOFF - 6 * HOUR),
        (synced("1970-01-01T00:30:00Z"), {}, 0),
        # A little ahead of this run's clock is a bookmark; further ahead it cannot be trusted.
        (synced(CUTOFF + HOUR), {}, CUTOFF),
        (synced(CUTOFF + HOUR + 1), {}, None),
        (synced("9999-12-31T00:00:00Z"), {"start_date": "2024-01-01"}, times.parse("2024-01-01")),
        # The start date that it was read from.
        (synced(CUTOFF, start_date="2024-01-01"), {"start_date": "2024-01-01"}, CUTOFF - HOUR),
        (synced(CUTOFF, start_date="2024-01-01"), {"start_date": "2024-01-20"}, CUTOFF - HOUR),
        (
            synced(CUTOFF, start_date="2024-01-01"),
            {"start_date": "2023-06-01"},
            times.parse("2023-06-01"),
        ),
        (synced(CUTOFF, start_date="2024-01-01"), {}, None),
    ],
)
def test_where_a_synced_partition_starts(
    before: Content | None, config: dict[str, Any], start: int | None
) -> None:
    assert first_time(pair_of(before, **config)) == start


def test_a_stream_that_is_to_be_read_whole_starts_anew() -> None:
    pair = pair_of(synced(CUTOFF), full_table=True)
    assert first_time(pair) is None
    assert SyncedProgress(pair, ("",), is_sorted=True).full_read
    items = [hours(9, 8), END]
    assert bookmark_after(items, before=GIVEN, full_table=True) == synced(CUTOFF - 8 * HOUR)
    lower = bookmark_after([hours(99), END], before=GIVEN, full_table=True)
    assert lower == synced(CUTOFF - 99 * HOUR), "set anew, be it lower"


@pytest.mark.parametrize(
    ("before", "config", "full"),
    [
        (None, {}, True),
        (None, {"start_date": "2024-01-01"}, False),
        (synced(CUTOFF), {}, False),
        (synced(CUTOFF + DAY), {}, True),
    ],
)
def test_what_is_a_full_read(before: Content | None, config: dict[str, Any], full: bool) -> None:
    pair = pair_of(before, **config)
    assert SyncedProgress(pair, ("",), is_sorted=True).full_read is full
    assert SyncedPerParentProgress(pair).full_read is full


def test_a_bookmark_from_the_future_is_replaced_by_rows_and_by_nothing_else() -> None:
    future = synced(CUTOFF + DAY)
    assert bookmark_after([END], before=future) == future
    assert bookmark_after([hours(5, 4)], before=future) == future
    assert bookmark_after([hours(5, 4), hours(3)], before=future) == synced(CUTOFF - 3 * HOUR)


# ---- the start date that is remembered

JANUARY = "2024-01-01T00:00:00.000Z"
JUNE = "2023-06-01T00:00:00.000Z"


def test_the_start_date_of_a_first_read_is_remembered() -> None:
    items = [hours(5, 4), END]
    moved = synced(CUTOFF - 4 * HOUR)
    assert bookmark_after(items) == moved
    assert bookmark_after(items, start_date="2024-01-01") == {**moved, "start_date": JANUARY}


def test_a_later_start_date_changes_nothing() -> None:
    before = synced(CUTOFF - DAY, start_date=JUNE)
    moved = bookmark_after([hours(5, 4), END], before=before, start_date="2024-01-01")
    assert moved == synced(CUTOFF - 4 * HOUR, start_date=JUNE)
    whole = synced(CUTOFF - DAY)
    moved = bookmark_after([hours(5, 4), END], before=whole, start_date="2024-01-01")
    assert moved == synced(CUTOFF - 4 * HOUR), "it was read from the beginning of all data"


def test_an_earlier_start_date_reads_the_missing_span_once() -> None:
    before = synced(CUTOFF - DAY, start_date=JANUARY)
    first = hours(500, 400)
    # Until the order is proved a kill leaves the state as it was, old start date and all.
    assert bookmark_after([first], before=before, start_date="2023-06-01") == before
    moved = bookmark_after([first, hours(300)], before=before, start_date="2023-06-01")
    assert moved == synced(CUTOFF - 300 * HOUR, start_date=JUNE)
    # After a kill the rest of the span is read, not the whole of it, and nothing is left out.
    assert first_time(pair_of(moved, start_date="2023-06-01")) == CUTOFF - 301 * HOUR
    assert first_time(pair_of(moved, start_date="2024-01-20")) == CUTOFF - 301 * HOUR


def test_a_start_date_that_is_taken_away_reads_everything_once() -> None:
    before = synced(CUTOFF - DAY, start_date=JANUARY)
    assert bookmark_after([hours(500), END], before=before) == synced(CUTOFF - 500 * HOUR)


# ---- passes

PASSES = ("expense", "refund")


def after_passes(items: Sequence[Any], before: Content | None = None, **options: Any) -> Any:
    progress = SyncedProgress(pair_of(before, **options), PASSES, is_sorted=True)
    for item in items:
        progress.see(item)
    return progress.partition_state()


def passes(**hours_ago: float) -> Content:
    """A partition of expenses."""
    marks = {name: CUTOFF - int(number * HOUR) for name, number in hours_ago.items()}
    content: Content = {"replication_key": "last_synced_at"}
    if len(marks) == 2:
        content["replication_key_value"] = times.to_text(min(marks.values()))
    return {**content, "passes": {name: times.to_text(mark) for name, mark in marks.items()}}


EXPENSES = [hours(5, 4, list_name="expense"), End("expense")]
REFUNDS = [hours(9, 8, list_name="refund"), End("refund")]


def test_each_pass_has_a_bookmark_and_the_older_is_the_partition_s() -> None:
    assert after_passes(EXPENSES) == passes(expense=4), "absent until both exist"
    assert after_passes([*EXPENSES, End("refund")]) == passes(expense=4)
    both = after_passes([*EXPENSES, *REFUNDS])
    assert both == passes(expense=4, refund=8)
    assert both["replication_key_value"] == ago(8 * HOUR)
    assert after_passes([End("expense"), End("refund")]) is None


def test_a_pass_that_brings_nothing_keeps_its_bookmark() -> None:
    before = passes(expense=24, refund=48)
    assert after_passes([End("expense"), *REFUNDS], before=before) == passes(expense=24, refund=8)
    assert after_passes([*EXPENSES, End("refund")], before=before) == passes(expense=4, refund=48)
    assert after_passes([End("expense"), End("refund")], before=before) == before


def test_a_fall_in_one_pass_sets_back_that_pass_alone() -> None:
    before = passes(expense=24, refund=48)
    fall = [
        hours(10, 9, list_name="refund"),
        hours(8, list_name="refund"),
        hours(20, list_name="refund"),
    ]
    assert after_passes([*EXPENSES, *fall[:2]], before=before) == passes(expense=4, refund=8)
    assert after_passes([*EXPENSES, *fall], before=before) == passes(expense=4, refund=48)
    ended = after_passes([*EXPENSES, *fall, End("refund")], before=before)
    assert ended == passes(expense=4, refund=8)
    refused = after_passes([*EXPENSES, *fall[:2], Unsorted("refund")], before=before)
    assert refused == passes(expense=4, refund=48)


def test_each_pass_starts_from_its_own_bookmark() -> None:
    pair = pair_of(passes(expense=24, refund=48))
    assert first_time(pair, "expense") == CUTOFF - 25 * HOUR
    assert first_time(pair, "refund") == CUTOFF - 49 * HOUR
    pair = pair_of(passes(expense=24))
    assert first_time(pair, "expense") == CUTOFF - 25 * HOUR
    assert first_time(pair, "refund") is None
    pair = pair_of(passes(expense=24), start_date="2024-01-01")
    assert first_time(pair, "refund") == times.parse("2024-01-01")


def test_a_pass_that_begins_later_is_remembered_with_the_start_that_it_was_read_from() -> None:
    before = {**passes(expense=24), "start_date": JANUARY}
    moved = after_passes([*EXPENSES, *REFUNDS], before=before, start_date="2024-01-20")
    assert moved == {**passes(expense=4, refund=8), "start_date": "2024-01-20T00:00:00.000Z"}
    # So that refunds before it are not missed when an earlier start is asked for.
    assert first_time(pair_of(moved, start_date="2024-01-01"), "refund") == times.parse(JANUARY)


def test_a_state_with_one_bookmark_for_all_passes_is_taken_up() -> None:
    before = synced(CUTOFF - 24 * HOUR)
    pair = pair_of(before)
    assert first_time(pair, "expense") == first_time(pair, "refund") == CUTOFF - 25 * HOUR
    assert after_passes([*EXPENSES], before=before) == passes(expense=4, refund=24)


# ======== updated

H = CUTOFF - 5 * HOUR  # the horizon of most tests: the connection's last sync began then


def window_end(hours_ago: float) -> WindowEnd:
    return WindowEnd(CUTOFF - int(hours_ago * HOUR))


def after_windows(
    items: Sequence[Any],
    before: Content | None = None,
    *,
    kind: Updated | None = None,
    complete: bool = False,
    **options: Any,
) -> Any:
    options.setdefault("horizon", H)
    pair = pair_of(before, replication_key="updated_at", **options)
    progress = (kind or Updated()).progress(pair)
    assert isinstance(progress, UpdatedProgress)
    for item in items:
        progress.see(item)
    if complete:
        progress.finish()
    return progress.partition_state()


WINDOWS: list[tuple[str, list[Any], float | None]] = [
    ("no window yet", [hours(900)], None),
    ("a window with rows", [hours(900), window_end(800)], 800),
    ("a window without rows", [window_end(800)], None),
    ("windows without rows, then one with some",
     [window_end(800), window_end(700), hours(650), window_end(600)], 600),
    ("a window without rows after one with some",
     [hours(850), window_end(800), window_end(700)], 700),
    ("a window in the making", [hours(850), window_end(800), hours(750)], 800),
    ("up to the newest row before the horizon", [hours(6), window_end(5)], 6),
    ("not beyond the newest row, which is near",
     [hours(900), window_end(800), hours(200), window_end(100), window_end(50)], 200),
    ("fifteen days before the horizon at least",
     [hours(900), window_end(300)], 5 + 15 * 24),
    ("up to the horizon", [hours(6, 5), window_end(5)], 5),
    ("never beyond the horizon", [hours(6), window_end(4), hours(3), window_end(2)], 5),
    ("a row in the future tells nothing", [future(900, 20, -48), window_end(5)], 20),
    ("rows read once more are not rows of the list",
     [hours(900, list_name="again"), window_end(800)], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "reached"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS]
)
def test_how_far_finished_windows_move_a_bookmark(items: list[Any], reached: float | None) -> None:
    moved = None if reached is None else CUTOFF - int(reached * HOUR)
    assert after_windows(items) == (None if moved is None else updated(moved))
    before = updated(CUTOFF - 1_000 * HOUR)
    assert after_windows(items, before) == (before if moved is None else updated(moved))


def test_no_window_moves_a_bookmark_once_bounds_are_ignored() -> None:
    items = [hours(900), window_end(800), BoundsIgnored(), hours(700), window_end(600)]
    assert after_windows(items) == updated(CUTOFF - 800 * HOUR)
    whole = [*items, hours(900, 200, 100)]
    assert after_windows(whole, complete=True) == updated(CUTOFF - 100 * HOUR)


def test_windows_before_the_given_bookmark_do_not_set_it_back() -> None:
    before = updated(CUTOFF - 100 * HOUR)
    items = [hours(110), window_end(105)]
    assert after_windows(items, before) == before
    assert after_windows([*items, window_end(95)], before) == before, "no row is newer"
    later = [*items, hours(97), window_end(95)]
    assert after_windows(later, before) == updated(CUTOFF - 97 * HOUR)


ENDS: list[tuple[str, list[Any], float | None]] = [
    ("no rows", [], None),
    ("the newest row", [hours(20, 10)], 10),
    ("the newest row of all windows", [hours(20, 10), window_end(9), hours(8)], 8),
    ("rows before the last window only", [hours(20), window_end(15)], 20),
    ("a row after the horizon", [hours(20, 1)], 5),
    ("a row that was stamped during the run", [hours(20, -1)], 5),
    ("a row in the future beside another", [future(20, -900)], 20),
    ("a row in the future alone", [future(-900)], 5 + 15 * 24),
    ("rows older than fifteen days before the horizon", [hours(900, 800)], 5 + 15 * 24),
    ("a row fifteen days before the horizon", [hours(5 + 15 * 24)], 5 + 15 * 24),
    ("the last window like any other", [hours(900), window_end(800), hours(20)], 20),
    ("only rows read once more", [hours(20, list_name="again")], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "reached"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS]
)
def test_where_the_last_window_leaves_the_bookmark(items: list[Any], reached: float | None) -> None:
    moved = None if reached is None else CUTOFF - int(reached * HOUR)
    content = after_windows(items, complete=True)
    assert content == (None if moved is None else updated(moved))


@pytest.mark.parametrize(
    ("given_ago", "rows_ago", "reached"),
    [
        (30, 20, 20),
        (10, 20, 10),  # the newest ever delivered, in whichever run
        (900, 800, 5 + 15 * 24),
        (1, 20, 5),  # beyond this run's horizon: it moves backwards
        (-0.5, 20, 5),
    ],
)
def test_where_a_later_run_leaves_the_bookmark(
    given_ago: float, rows_ago: float, reached: float
) -> None:
    before = updated(CUTOFF - int(given_ago * HOUR))
    content = after_windows([hours(rows_ago)], before, complete=True)
    assert content == updated(CUTOFF - int(reached * HOUR))


def test_a_run_without_rows_raises_no_bookmark() -> None:
    before = updated(CUTOFF - 900 * HOUR)
    items = [window_end(800), window_end(10)]
    assert after_windows(items, before) == before
    assert after_windows(items, before, complete=True) == before


@given(
    st.one_of(st.none(), st.integers(-2, 2_000)),
    st.integers(-50, 400),
    st.lists(
        st.one_of(
            st.lists(st.integers(-50, 2_000), max_size=3).map(lambda ago_: hours(*ago_)),
            st.integers(-50, 2_000).map(window_end),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_no_bookmark_that_is_set_exceeds_the_horizon(
    given_ago: int | None, horizon_ago: int, items: list[Any], complete: bool
) -> None:
    before = None if given_ago is None else updated(CUTOFF - given_ago * HOUR)
    horizon = CUTOFF - horizon_ago * HOUR
    content = after_windows(items, before, horizon=horizon, complete=complete)
    if content == before:
        return
    value = times.parse(content["replication_key_value"])
    assert value is not None
    if horizon_ago < 0:  # a sync in the future: no one knows when the last one was
        horizon = CUTOFF - 15 * DAY
    assert value <= horizon


# ---- where an updated pair starts


@pytest.mark.parametrize(
    ("before", "config", "start"),
    [
        (None, {}, Start(None, None)),
        (None, {"start_date": "1970-01-02"}, Start(DAY, None)),
        (updated(CUTOFF), {}, Start(CUTOFF - DAY, CUTOFF)),
        (updated(CUTOFF), {"lookback_hours": 0}, Start(CUTOFF, CUTOFF)),
        (updated(CUTOFF), {"lookback_hours": 48}, Start(CUTOFF - 2 * DAY, CUTOFF)),
        (updated(HOUR), {}, Start(0, HOUR)),
        (updated(CUTOFF + HOUR), {}, Start(CUTOFF - 23 * HOUR, CUTOFF + HOUR)),
        (updated(CUTOFF + HOUR + 1), {}, Start(None, None)),
        (updated(CUTOFF, start_date=JANUARY), {}, Start(None, None)),
        (updated(CUTOFF, start_date=JANUARY), {"start_date": "1970-01-02"}, Start(DAY, None)),
        (
            updated(CUTOFF, start_date=JANUARY),
            {"start_date": "2024-01-20"},
            Start(CUTOFF - DAY, CUTOFF),
        ),
    ],
)
def test_where_an_updated_partition_starts(
    before: Content | None, config: dict[str, Any], start: Start
) -> None:
    assert Updated().start(pair_of(before, replication_key="updated_at", **config)) == start


def test_the_start_date_of_an_updated_partition_is_remembered() -> None:
    items = [hours(900), window_end(800)]
    first = after_windows(items, start_date="2023-06-01")
    assert first == updated(CUTOFF - 800 * HOUR, start_date=JUNE)
    before = updated(CUTOFF - 10 * HOUR, start_date=JANUARY)
    earlier = after_windows(items, before, start_date="2023-06-01")
    assert earlier == updated(CUTOFF - 800 * HOUR, start_date=JUNE), "the missing span, in windows"
    later = after_windows([hours(8)], before, start_date="2024-01-20", complete=True)
    assert later == updated(CUTOFF - 8 * HOUR, start_date=JANUARY)


PAYOUTS = Updated(
    low="created_at_min", high="created_at_max", again=("created_at_min", "arrival_at_min")
)


def payouts(bookmark: float, known: float | None = None) -> Content:
    """A partition with a bookmark, and up to when its rows are known, so many days ago."""
    more = {} if known is None else {"known_to": ago(int(known * DAY))}
    return updated(CUTOFF - int(bookmark * DAY), **more)


@pytest.mark.parametrize(
    ("before", "config", "low"),
    [
        (None, {}, None),
        (payouts(1, known=0), {}, CUTOFF - 60 * DAY),
        (payouts(1, known=0), {"payout_days": 7}, CUTOFF - 7 * DAY),
        (payouts(1, known=0), {"payout_days": 0}, CUTOFF - 2 * DAY),
        (payouts(90, known=0), {}, CUTOFF - 91 * DAY),
        # What was not read for long, or not known to Rutter: counted from then.
        (payouts(1, known=30), {}, CUTOFF - 90 * DAY),
        (payouts(90, known=80), {}, CUTOFF - 140 * DAY),
        (payouts(90, known=80), {"payout_days": 0}, CUTOFF - 91 * DAY),
        # Of an earlier version, or of a clock that was wrong: the bookmark is older than the read.
        (payouts(1), {}, CUTOFF - 61 * DAY),
        (payouts(90), {}, CUTOFF - 150 * DAY),
        (payouts(1, known=-400), {}, CUTOFF - 61 * DAY),
        (None, {"start_date": "2024-01-30"}, CUTOFF - 60 * DAY),
    ],
)
def test_recent_payouts_are_read_again(
    before: Content | None, config: dict[str, Any], low: int | None
) -> None:
    assert PAYOUTS.start(pair_of(before, replication_key="updated_at", **config)).low == low


def test_up_to_when_payouts_are_known_is_remembered_by_complete_reads() -> None:
    before = updated(CUTOFF - 30 * DAY, known_to=ago(20 * DAY))
    rows = [hours(900), window_end(800), hours(100), window_end(90)]
    broken = after_windows(rows, updated(CUTOFF - 50 * DAY, known_to=ago(20 * DAY)), kind=PAYOUTS)
    assert broken == updated(CUTOFF - 100 * HOUR, known_to=ago(20 * DAY)), "not read to its end"
    done = after_windows(rows, before, kind=PAYOUTS, complete=True)
    assert done == updated(CUTOFF - 100 * HOUR, known_to=ago(5 * HOUR)), "the last sync's"
    # Without a new row nothing is claimed of the list, but all that changes was read again.
    nothing = after_windows([], before, kind=PAYOUTS, complete=True)
    assert nothing == {**before, "known_to": ago(5 * HOUR)}
    assert after_windows([], None, kind=PAYOUTS, complete=True) is None
    known = updated(CUTOFF - 30 * DAY, known_to=ago(HOUR))
    later = after_windows([], known, kind=PAYOUTS, complete=True)
    assert later == known, "it was known later already"


# ---- rows without a time


@pytest.mark.parametrize(
    ("nullable", "before", "whole"),
    [
        (False, None, False),
        (False, updated(H), False),
        (True, None, True),
        (True, updated(H, whole_read_at=ago(DAY)), False),
        (True, updated(H, whole_read_at=ago(7 * DAY - 1)), False),
        (True, updated(H, whole_read_at=ago(7 * DAY)), True),
        (True, updated(H), True),
        (True, updated(CUTOFF + DAY, whole_read_at=ago(DAY)), True),
        (True, updated(H, whole_read_at=ago(DAY), null_times=True), True),
        (False, updated(H, null_times=True), True),
        (True, updated(None, whole_read_at=ago(DAY), null_times=True), True),
    ],
)
def test_when_a_list_is_read_whole(nullable: bool, before: Content | None, whole: bool) -> None:
    assert (
        Updated().start(pair_of(before, replication_key="updated_at", nullable=nullable)).whole
        is whole
    )


def test_rows_without_a_time_are_remembered() -> None:
    mixed = page(None, CUTOFF - 10 * HOUR)
    content = after_windows([mixed], nullable=True, complete=True)
    assert content == updated(CUTOFF - 10 * HOUR, null_times=True, whole_read_at=ago(0))
    again = after_windows([hours(9)], content, nullable=True, complete=True)
    assert again == updated(CUTOFF - 9 * HOUR, null_times=True, whole_read_at=ago(0))


def test_rows_without_a_time_move_no_bookmark() -> None:
    content = after_windows([page(None, None)], nullable=True, complete=True)
    assert content == updated(None, null_times=True, whole_read_at=ago(0))
    assert Updated().start(pair_of(content, replication_key="updated_at", nullable=True)).whole


def test_a_whole_read_is_remembered_once_it_is_complete() -> None:
    before = updated(CUTOFF - 30 * HOUR, whole_read_at=ago(9 * DAY))
    rows = [hours(20, 10)]
    assert after_windows(rows, before, nullable=True) == before
    complete = after_windows(rows, before, nullable=True, complete=True)
    assert complete == updated(CUTOFF - 10 * HOUR, whole_read_at=ago(0))
    recent = updated(CUTOFF - 30 * HOUR, whole_read_at=ago(2 * DAY))
    bounded = after_windows(rows, recent, nullable=True, complete=True)
    assert bounded == updated(CUTOFF - 10 * HOUR, whole_read_at=ago(2 * DAY))


def test_a_platform_that_shows_rows_without_a_time_unexpectedly_is_remembered() -> None:
    content = after_windows([page(None, CUTOFF - 10 * HOUR)], complete=True)
    assert content == updated(CUTOFF - 10 * HOUR, null_times=True)


# ---- history that grows


def test_what_has_grown_is_read_again_from_its_start() -> None:
    before = updated(CUTOFF - 10 * HOUR)
    assert (
        Updated().start(pair_of(before, replication_key="updated_at", batches=(2, 2))).resumed
        == CUTOFF - 10 * HOUR
    )
    assert Updated().start(pair_of(before, replication_key="updated_at", batches=(2, 3))) == Start(
        None, None
    )
    start = Updated().start(
        pair_of(before, replication_key="updated_at", batches=(2, 3), start_date="1970-01-02")
    )
    assert start == Start(DAY, None)
    assert (
        Updated().progress(pair_of(before, replication_key="updated_at", batches=(2, 3))).full_read
    )


def test_the_old_bookmark_of_what_has_grown_is_gone_until_windows_set_a_new_one() -> None:
    before = updated(CUTOFF - 10 * HOUR, start_date=JANUARY, whole_read_at=ago(DAY))
    config: dict[str, Any] = {"batches": (2, 3), "start_date": "2024-01-01"}
    assert after_windows([], before, **config) is None
    assert after_windows([hours(900)], before, **config) is None
    moved = after_windows([hours(900), window_end(800)], before, **config)
    assert moved == updated(CUTOFF - 800 * HOUR, start_date=JANUARY)
    assert after_windows([], before, complete=True, **config) is None


# ======== children


def after_children(
    items: Sequence[Any], before: Content | None = None, *, complete: bool = True, **options: Any
) -> Any:
    progress = SyncedPerParentProgress(pair_of(before, **options))
    for item in items:
        progress.see(item)
    if complete:
        progress.finish()
    return progress.partition_state()


def marks(*parents: str) -> str:
    return "".join(sorted(mark_of(parent) for parent in parents))


def test_a_child_s_bookmark_moves_once_past_parents_whose_children_all_arrived() -> None:
    items = [hours(5, 4), ParentRead("a"), hours(9, 8), hours(7), ParentRead("b"), END]
    assert after_children(items, complete=False) is None
    moved = after_children(items)
    assert moved == synced(CUTOFF - 4 * HOUR, parents=marks("a", "b"))
    before = synced(CUTOFF - 30 * HOUR, parents=marks("a"))
    assert after_children(items, before, complete=False) == before
    assert after_children(items, before) == moved


def test_a_child_s_bookmark_does_not_pass_the_cutoff() -> None:
    moved = after_children([hours(-0.5), ParentRead("a")])
    assert moved == synced(CUTOFF, parents=marks("a"))


def test_parents_without_rows_are_known_once_the_partition_has_a_bookmark() -> None:
    assert after_children([ParentRead("a"), END]) is None, "never a row, no entry"
    before = synced(CUTOFF - 30 * HOUR, parents=marks("a"))
    moved = after_children([ParentRead("a"), ParentRead("b"), END], before)
    assert moved == synced(CUTOFF - 30 * HOUR, parents=marks("a", "b"))


def test_parents_that_are_gone_are_forgotten() -> None:
    before = synced(CUTOFF - 30 * HOUR, parents=marks("a", "b"))
    assert after_children([hours(4), ParentRead("b")], before)["parents"] == marks("b")


def test_older_children_of_a_new_parent_do_not_set_a_bookmark_back() -> None:
    before = synced(CUTOFF - 30 * HOUR, parents=marks("a"))
    moved = after_children([ParentRead("a"), hours(900), ParentRead("b")], before)
    assert moved == synced(CUTOFF - 30 * HOUR, parents=marks("a", "b"))


@given(st.lists(st.text(max_size=8), max_size=12, unique=True))
def test_parents_are_known_again_by_their_marks(parents: list[str]) -> None:
    before = synced(CUTOFF, parents=marks(*parents))
    known = known_parents(pair_of(before))
    assert known == {mark_of(parent) for parent in parents}
    assert len(known) == len(parents)


@pytest.mark.parametrize("before", [None, synced(CUTOFF), synced(CUTOFF, parents=None)])
def test_without_marks_no_parent_is_known(before: Content | None) -> None:
    assert known_parents(pair_of(before)) == frozenset()


def test_the_start_date_of_children_is_remembered() -> None:
    moved = after_children([hours(4), ParentRead("a")], start_date="2024-01-01")
    assert moved == synced(CUTOFF - 4 * HOUR, parents=marks("a"), start_date=JANUARY)
    later = after_children([hours(3), ParentRead("a")], moved, start_date="2024-01-20")
    assert later == synced(CUTOFF - 3 * HOUR, parents=marks("a"), start_date=JANUARY)
