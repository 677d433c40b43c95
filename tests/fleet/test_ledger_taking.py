"""What a claim takes where others are at work on the same connections, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from support.ledger import CONFIG, LedgerWorld

from tap_rutter.fleet.ledger import ClaimLost
from tap_rutter.fleet.model import ClaimedMark, Lane, Mark

IDS = ("c0", "c1", "c2", "c3")


@contextmanager
def locked(world: LedgerWorld, *ids: str) -> Iterator[Callable[[], None]]:
    """As long as somebody else is at work on connections; gives what ends that early."""
    with psycopg.connect(world.url) as other:
        other.execute(
            "select from rutter_fleet.connections where connection_id = any(%s) for update",
            [list(ids)],
        )
        yield other.rollback


@pytest.fixture
def waiting(ledger_world: LedgerWorld) -> LedgerWorld:
    """Four connections with a webhook each, the first of which waits longest."""
    ledger_world.settled(*IDS)
    ledger_world.sql("update rutter_fleet.connections set fresh_seconds = 0.5")
    for id_ in IDS:
        ledger_world.ledger.put_webhooks([Mark(id_, "commerce_orders")])
        ledger_world.later(1)
    return ledger_world


# ---- where others are at work


@pytest.mark.parametrize("column", ["fresh_seconds = 2", "crowd = 1"])
def test_those_that_follow_what_is_locked_are_no_more_than_fit(
    waiting: LedgerWorld, column: str
) -> None:
    """A run has room for two seconds: for c0 and c1, but not for c2 and c3 in their place."""
    waiting.sql(f"update rutter_fleet.connections set {column} where connection_id in ('c2', 'c3')")
    with locked(waiting, "c0", "c1"):
        assert waiting.claim().connection_ids == ("c2",)
    assert waiting.claim().connection_ids == ("c0", "c1")


def test_a_claim_looks_again_where_all_that_is_due_is_locked(
    waiting: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(waiting, *IDS) as end:
        monkeypatch.setattr("tap_rutter.fleet.ledger.ledger.time.sleep", lambda _: end())
        assert waiting.claim().connection_ids == IDS


# ---- how much


def test_half_of_a_run_is_for_connections_however_slow_a_start_is(waiting: LedgerWorld) -> None:
    waiting.sql("update rutter_fleet.fleet set start_seconds = 30")
    assert CONFIG.fresh_seconds == 3
    assert waiting.claim().connection_ids == ("c0", "c1", "c2")


def test_what_is_due_at_the_same_moment_is_first_read_before_it_is_read_anew(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("old")
    ledger_world.list("new")
    # A full read counts as due six hours later than it is.
    ledger_world.sql(
        "update rutter_fleet.connections set"
        " full_at = case when read_once then now() - interval '7 hours' end,"
        " sweep_at = case when read_once then null else now() - interval '1 hour' end"
    )
    assert ledger_world.claim(Lane.BULK).connection_ids == ("new",)
    assert ledger_world.claim(Lane.BULK).connection_ids == ("old",)


# ---- what it tells


def test_a_claim_tells_what_a_run_needs(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.sql("update rutter_fleet.connections set fresh_seconds = 0.5, fresh_rows = 7")
    ledger_world.list("a", status="unhealthy")
    since = datetime(2026, 3, 1, tzinfo=UTC)
    ledger_world.ledger.put_webhooks(
        [Mark("a", "commerce_products", since=since), Mark("a", "commerce_orders")]
    )
    kept = {stream: mark["seq"] for (stream, _), mark in ledger_world.marks("a").items()}
    claim = ledger_world.claim(config=replace(CONFIG, lease_seconds=45.0))
    assert (claim.lane, claim.platform, claim.lease_seconds) == (Lane.FRESH, "QUICKBOOKS", 45.0)
    assert not claim.full_read
    (member,) = claim.members
    assert (member.platform, member.rutter_status) == ("QUICKBOOKS", "unhealthy")
    assert (member.expected_rows, member.last_seconds) == (7, 0.5)
    assert member.marks == (
        ClaimedMark("commerce_orders", kept["commerce_orders"], None),
        ClaimedMark("commerce_products", kept["commerce_products"], since),
    )


def test_of_what_was_never_read_no_length_is_told(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a")
    (member,) = ledger_world.claim(Lane.BULK).members
    assert (member.expected_rows, member.last_seconds) == (None, None)


# ---- pauses and leases


def test_what_is_due_at_the_end_of_a_pause_is_told_to_workers_again(waiting: LedgerWorld) -> None:
    """A worker that came in the pause took nothing, so that the bell has to ring once more."""
    ledger = waiting.ledger
    assert ledger.ring() == [Lane.FRESH]
    ledger.pause("an upgrade", 60)
    assert waiting.idle()
    ledger.resume()
    assert ledger.ring() == [Lane.FRESH]


def test_a_lost_claim_is_named(waiting: LedgerWorld) -> None:
    claim = waiting.claim()
    waiting.later(CONFIG.lease_seconds + 1)
    with pytest.raises(ClaimLost, match=f"The claim {claim.id} is not held any more"):
        waiting.finish(claim)
