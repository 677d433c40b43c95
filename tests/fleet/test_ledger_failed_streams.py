"""A stream that fails while others of its connection are read: nothing is parked for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.ledger import CONFIG, NIGHTLY, LedgerWorld

from tap_rutter.fleet.model import Claim, ConnectionOutcome, Fault, Lane, Mark, RunResult

ORDERS, BILLS = "commerce_orders", "accounting_bills"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def partly(claim: Claim, *failed: str, rows: int = 5, read_others: bool = True) -> RunResult:
    """A run of one connection in which these streams failed."""
    (connection_id,) = claim.connection_ids
    outcome = ConnectionOutcome(
        connection_id,
        succeeded=False,
        reason="retries_exhausted",
        message=f"{failed[0]}: Rutter answered 500",
        rows=rows,
        requests=9,
        failed_streams=failed,
        read_others=read_others,
    )
    return RunResult((outcome,), 1.0, fault=Fault.CONNECTION)


def stale(world: LedgerWorld) -> None:
    """One connection that is due to the sweep."""
    world.settled("a")
    world.later(3601)
    world.ledger.make_due(CONFIG)


def fail_sweep(world: LedgerWorld, *, read_others: bool = True) -> float:
    """A sweep in which a stream fails; gives how long the next one has to wait."""
    claim = world.claim(Lane.SWEEP)
    world.finish(claim, partly(claim, BILLS, read_others=read_others))
    row = world.row("a", "extract(epoch from sweep_due - clock_timestamp())::float as wait")
    wait: float = row["wait"] or 0.0
    world.later(wait + 1)
    return wait


def told(claim: Claim) -> list[tuple[str, datetime | None]]:
    return [(mark.stream, mark.since) for mark in claim.members[0].marks]


def test_a_list_that_always_fails_parks_nothing_and_is_tried_at_every_sweep(
    ledger_world: LedgerWorld,
) -> None:
    stale(ledger_world)
    minutes = [round(fail_sweep(ledger_world) / 60) for _ in range(3 * CONFIG.park_after)]
    assert minutes[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(minutes[7:]) == {60}
    (row,) = ledger_world.ledger.status()
    assert (row.status, row.failures, row.last_fault) == ("active", 0, "stream")
    assert row.last_message == f"{BILLS}: Rutter answered 500"
    assert row.lag_seconds is not None
    assert row.lag_seconds > 3601, "its data are as old as the oldest of them"
    ledger_world.finish(ledger_world.claim(Lane.SWEEP))
    (row,) = ledger_world.ledger.status()
    assert (row.last_fault, row.lane) == (None, None)
    stale(ledger_world)
    assert fail_sweep(ledger_world) < 61, "it is as if it had never failed"


def test_a_connection_of_which_nothing_can_be_read_is_parked(ledger_world: LedgerWorld) -> None:
    stale(ledger_world)
    for _ in range(2 * CONFIG.park_after):
        fail_sweep(ledger_world)
    for _ in range(CONFIG.park_after - 1):
        fail_sweep(ledger_world, read_others=False)
        assert ledger_world.row("a", "status") == {"status": "active"}
    fail_sweep(ledger_world, read_others=False)
    assert ledger_world.row("a", "status, parked_by") == {
        "status": "parked",
        "parked_by": "failures",
    }


def test_a_webhooks_stream_that_fails_is_left_to_the_sweep_and_holds_up_no_other(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    put = ledger_world.ledger.put_webhooks
    put([Mark("a", BILLS, NOON), Mark("a", ORDERS, NOON)])
    claim = ledger_world.claim()
    ledger_world.finish(claim, partly(claim, BILLS))
    assert ledger_world.marks("a").keys() == {(BILLS, "since")}
    ledger_world.later(10)
    assert ledger_world.idle()
    # What comes of others is read at once, and alone; what comes of this one waits with it.
    put([Mark("a", ORDERS, NOON), Mark("a", BILLS, NOON)])
    fresh = ledger_world.claim()
    assert told(fresh) == [(ORDERS, NOON)]
    ledger_world.finish(fresh)
    ledger_world.later(60)
    assert ledger_world.idle()
    sweep = ledger_world.claim(Lane.SWEEP)
    assert told(sweep) == [(BILLS, NOON)]
    ledger_world.finish(sweep)
    assert ledger_world.marks("a") == {}
    # From now on it is fresh again.
    ledger_world.later(10)
    put([Mark("a", BILLS, NOON)])
    assert told(ledger_world.claim()) == [(BILLS, NOON)]


def test_what_moved_while_the_sweep_read_it_is_fresh_again(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", BILLS, NOON)])
    claim = ledger_world.claim()
    # Nobody knows whether others could be read: a run of all streams tells.
    ledger_world.finish(claim, partly(claim, BILLS, read_others=False))
    ledger_world.later(61)
    sweep = ledger_world.claim(Lane.SWEEP)
    ledger_world.ledger.put_webhooks([Mark("a", BILLS, NOON)])
    ledger_world.finish(sweep)
    ledger_world.later(10)
    assert told(ledger_world.claim()) == [(BILLS, NOON)]


@pytest.mark.parametrize("since", [NOON, None])
def test_a_mark_of_all_streams_is_not_lost_with_one_of_them(
    ledger_world: LedgerWorld, since: datetime | None
) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "*", since)])
    claim = ledger_world.claim()
    ledger_world.finish(claim, partly(claim, BILLS))
    ledger_world.later(61)
    assert ledger_world.idle()
    sweep = ledger_world.claim(Lane.SWEEP)
    # Without a time, the sweep reads from the bookmarks all the same.
    assert told(sweep) == ([("*", NOON)] if since else [])
    ledger_world.finish(sweep)
    assert ledger_world.marks("a") == {}
    assert ledger_world.idle(Lane.SWEEP)


def test_a_run_that_is_lost_gives_back_what_was_left_to_the_sweep(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", BILLS, NOON)])
    claim = ledger_world.claim()
    ledger_world.finish(claim, partly(claim, BILLS))
    ledger_world.later(61)
    sweep = ledger_world.claim(Lane.SWEEP)
    ledger_world.later(61)
    ledger_world.ledger.bury(sweep.id)
    assert ledger_world.idle()
    assert told(ledger_world.claim(Lane.SWEEP)) == [(BILLS, NOON)]


def test_a_full_read_of_which_a_stream_fails_is_not_made_again_before_the_next_night(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    ledger_world.later(30 * 3600)
    ledger_world.ledger.make_due(NIGHTLY)
    ledger_world.finish(ledger_world.claim(Lane.SWEEP))
    ledger_world.later(10)
    full = ledger_world.claim(Lane.BULK)
    assert full.full_read
    ledger_world.finish(full, partly(full, BILLS, rows=10**6))
    ledger_world.later(61)
    ledger_world.ledger.make_due(NIGHTLY)
    assert ledger_world.idle(Lane.BULK)
    assert told(ledger_world.claim(Lane.SWEEP)) == []


def test_a_large_first_read_of_which_a_stream_fails_is_fresh_and_goes_on_in_bulk(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.list("a")
    first = ledger_world.claim(Lane.BULK)
    ledger_world.finish(first, partly(first, BILLS, rows=CONFIG.bulk_rows))
    ledger_world.later(61)
    ledger_world.ledger.put_webhooks([Mark("a", ORDERS, NOON)])
    ledger_world.finish(ledger_world.claim())
    ledger_world.later(61)
    assert ledger_world.idle(Lane.SWEEP)
    ledger_world.finish(ledger_world.claim(Lane.BULK))
    assert ledger_world.row("a", "bulk, swept_at is not null as read") == {
        "bulk": False,
        "read": True,
    }
