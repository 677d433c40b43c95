"""Marks: what a webhook told is cleared by a run that began after it, and by no other."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.ledger import CONFIG, LedgerWorld, badly, well

from tap_rutter.fleet.ledger import Ledger, LedgerError
from tap_rutter.fleet.model import Deletion, Lane, Mark

T = datetime(2026, 3, 1, tzinfo=UTC)


def hours(number: int) -> datetime:
    return T + timedelta(hours=number)


def test_several_webhooks_make_one_mark_with_the_least_time(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    put = ledger_world.ledger.put_webhooks
    put([Mark("a", "commerce_orders", hours(5)), Mark("a", "commerce_orders", hours(3))])
    seq = ledger_world.marks("a")["commerce_orders", "since"]["seq"]
    put([Mark("a", "commerce_orders", hours(4))])
    (mark,) = ledger_world.marks("a").values()
    assert mark["since"] == hours(3)
    assert mark["seq"] > seq
    (claimed,) = ledger_world.claim().members[0].marks
    assert (claimed.stream, claimed.seq, claimed.since) == (
        "commerce_orders",
        mark["seq"],
        hours(3),
    )


def test_a_mark_that_moves_during_its_run_stays_with_what_came(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    put = ledger_world.ledger.put_webhooks
    put([Mark("a", "commerce_orders", hours(1)), Mark("a", "commerce_products", hours(1))])
    claim = ledger_world.claim()
    put([Mark("a", "commerce_orders", hours(6))])
    ledger_world.finish(claim)
    # Neither the old time, which the run has served, nor the mark that did not move.
    ((key, mark),) = ledger_world.marks("a").items()
    assert key == ("commerce_orders", "since")
    assert mark["since"] == hours(6)
    ledger_world.later(10)
    (again,) = ledger_world.claim().members[0].marks
    assert again.since == hours(6)


def test_a_mark_that_moved_has_both_times_if_the_run_failed(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    put = ledger_world.ledger.put_webhooks
    put([Mark("a", "commerce_orders", hours(1))])
    before = ledger_world.row("a", "marked_at")
    claim = ledger_world.claim()
    put([Mark("a", "commerce_orders", hours(6))])
    ledger_world.finish(claim, badly(claim))
    (mark,) = ledger_world.marks("a").values()
    assert mark["since"] == hours(1)
    assert ledger_world.row("a", "marked_at") == before


def test_a_cleared_mark_that_comes_back_is_not_the_one_that_was_claimed(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    seen = set()
    for _ in range(5):
        ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
        claim = ledger_world.claim()
        seen.add(claim.members[0].marks[0].seq)
        ledger_world.finish(claim)
        ledger_world.later(10)
    assert len(seen) == 5


def test_marks_with_and_without_a_time_are_never_given_to_one_run(
    ledger_world: LedgerWorld,
) -> None:
    """A run from a time on moves no bookmark; a usual one may begin later than that time."""
    ledger_world.settled("a")
    put = ledger_world.ledger.put_webhooks
    put(
        [
            Mark("a", "commerce_orders", hours(1)),
            Mark("a", "commerce_orders"),
            Mark("a", "commerce_products"),
            Mark("a", "*"),
        ]
    )
    given = []
    while claim := ledger_world.ledger.claim(Lane.FRESH, "worker", config=CONFIG):
        given.append([(mark.stream, mark.since) for mark in claim.members[0].marks])
        ledger_world.finish(claim)
        ledger_world.later(10)
    assert given == [
        [("commerce_orders", hours(1)), ("commerce_products", None)],
        [("*", None), ("commerce_orders", None)],
    ]
    assert ledger_world.marks("a") == {}


def test_a_sweep_leaves_marks_that_bear_a_time(ledger_world: LedgerWorld) -> None:
    """Its usual start may be later than their time."""
    ledger_world.settled("a")
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders", hours(1)), Mark("a", "x")])
    claim = ledger_world.claim(Lane.SWEEP)
    assert [mark.stream for mark in claim.members[0].marks] == ["x"]
    ledger_world.finish(claim)
    assert ledger_world.marks("a").keys() == {("commerce_orders", "since")}
    assert ledger_world.row("a", "sweep_at") == {"sweep_at": None}


def test_a_mark_of_all_streams_makes_a_run_of_all_streams(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    ledger_world.ledger.put_webhooks([Mark("a", "*")])
    claim = ledger_world.claim()
    assert [mark.stream for mark in claim.members[0].marks] == ["*"]
    ledger_world.finish(claim)
    assert ledger_world.row("a", "sweep_at, swept_at = started_at as swept") == {
        "sweep_at": None,
        "swept": True,
    }


def test_grown_history_is_read_in_the_bulk_lane_if_it_is_large(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("small", "large")
    ledger_world.sql(
        "update rutter_fleet.connections set large = true, full_rows = 1000000"
        " where connection_id = 'large'"
    )
    ledger_world.ledger.put_webhooks(
        [Mark("small", "*", grown=True), Mark("large", "*", grown=True), Mark("large", "x")]
    )
    assert ledger_world.claim(Lane.SWEEP).connection_ids == ("small",)
    fresh = ledger_world.claim(Lane.FRESH)
    assert [mark.stream for mark in fresh.members[0].marks] == ["x"]
    ledger_world.finish(fresh)
    ledger_world.later(10)
    bulk = ledger_world.claim(Lane.BULK)
    assert (bulk.connection_ids, bulk.full_read) == (("large",), False)
    assert bulk.members[0].expected_rows == 1_000_000
    ledger_world.finish(bulk, well(bulk, rows=900_000))
    assert ledger_world.marks("large") == {}
    # So many rows came once: its next sweep is as small as ever.
    assert ledger_world.row("large", "heavy") == {"heavy": False}


@pytest.mark.parametrize(
    "mark",
    [
        Mark("a", "commerce_orders", grown=True),
        Mark("a", "*", T, grown=True),
        Mark("a", "x", datetime(2026, 1, 1)),
    ],
)
def test_a_mark_that_contradicts_itself_is_refused(ledger_world: LedgerWorld, mark: Mark) -> None:
    with pytest.raises(LedgerError):
        ledger_world.ledger.put_webhooks([mark])


def test_marks_of_a_connection_that_no_listing_has_shown_wait_for_it(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.ledger.put_webhooks([Mark("new", "commerce_orders", hours(1))])
    assert set(ledger_world.ledger.due().values()) == {0}
    ledger_world.list("new")
    assert ledger_world.row("new", "marked_at is not null as marked") == {"marked": True}
    claim = ledger_world.claim(Lane.BULK)
    assert [mark.stream for mark in claim.members[0].marks] == ["commerce_orders"]


def test_nothing_is_kept_for_a_removed_connection(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.remove("a")
    ledger_world.ledger.put_webhooks(
        [Mark("a", "commerce_orders")], [Deletion("ff", "a", "commerce_orders", "1", None)]
    )
    assert ledger_world.marks("a") == {}
    assert ledger_world.sql("select * from rutter_fleet.deletions") == []


def test_a_deletion_that_is_told_again_keeps_its_first_time(ledger_world: LedgerWorld) -> None:
    deletion = Deletion("ff", "a", "commerce_orders", "1", None)
    ledger_world.ledger.put_webhooks([], [deletion])
    ledger_world.later(3600)
    before = ledger_world.sql("select * from rutter_fleet.deletions")
    ledger_world.ledger.put_webhooks([], [deletion, deletion])
    assert ledger_world.sql("select * from rutter_fleet.deletions") == before
    # One body that may be about either of two streams.
    ledger_world.ledger.put_webhooks([], [Deletion("ff", "a", "accounting_customers", "1", T)])
    assert len(ledger_world.sql("select * from rutter_fleet.deletions")) == 2


def test_the_view_of_deletions_has_the_columns_of_the_stream(ledger_world: LedgerWorld) -> None:
    ledger_world.ledger.put_webhooks([], [Deletion("ff", "a", "commerce_orders", "1", None)])
    (row,) = ledger_world.sql("select * from rutter_fleet.deleted_objects")
    golden = Path(__file__).parents[1] / "golden" / "deleted_objects.txt"
    columns = re.findall(r"^(\w+): (?:string|date-time|object)", golden.read_text(), re.MULTILINE)
    assert set(row) == set(columns)
    assert row["deleted_at"] is not None


def test_texts_that_postgres_cannot_keep_do_not_fail_the_group(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks(
        [Mark("a\0b", "x"), Mark("\ud800", "x"), Mark("a", "commerce_orders")],
        [Deletion("ff", "a", "commerce_orders", "1\0\udfff", None)],
    )
    assert ledger_world.claim().connection_ids == ("a",)


@pytest.mark.parametrize("known", [1_500, 750, 0])
def test_groups_in_opposite_orders_do_not_wait_for_each_other(
    ledger_world: LedgerWorld, known: int
) -> None:
    # So many that the statements of two groups overlap for certain.
    ids = [f"c{number:04}" for number in range(1_500)]
    if known:
        ledger_world.settled(*ids[:known])
    (before,) = ledger_world.sql(
        "select deadlocks from pg_stat_database where datname = current_database()"
    )
    orders = (ids, ids[::-1])
    failed: list[BaseException] = []
    start = threading.Barrier(4)

    def put(order: list[str]) -> None:
        try:
            with Ledger(ledger_world.url) as ledger:
                start.wait()
                for _ in range(4):
                    ledger.put_webhooks([Mark(id_, "x") for id_ in order])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=put, args=(orders[n % 2],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(ledger_world.sql("select * from rutter_fleet.marks")) == len(ids)
    ledger_world.sql("select pg_stat_force_next_flush()")
    (after,) = ledger_world.sql(
        "select deadlocks from pg_stat_database where datname = current_database()"
    )
    assert after == before
