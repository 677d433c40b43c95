"""What the list of connections and the clock make due."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.ledger import CONFIG, NIGHTLY, LedgerWorld, badly

from tap_rutter.fleet.model import Lane, Listed, Listing, Mark


def test_connections_are_added_parked_and_revived_by_status(ledger_world: LedgerWorld) -> None:
    record = ledger_world.ledger.record_listing
    rows = [
        Listed("a", "XERO", "active", "Shop"),
        Listed("b", "XERO", "not_ready"),
        Listed("c", "XERO", "unhealthy"),
        Listed("d", "XERO", "needs_reauth"),
    ]
    assert record(rows) == Listing(added=("a", "b", "c", "d"))
    assert record(rows) == Listing()
    assert ledger_world.ledger.due()[Lane.BULK] == 2
    rows[1], rows[0] = replace(rows[1], status="active"), replace(rows[0], status="disabled")
    assert record(rows) == Listing(revived=("b",), parked=("a",))
    assert {row.connection_id: row.parked_reason for row in ledger_world.ledger.status()} == {
        "a": "disabled",
        "b": None,
        "c": None,
        "d": "needs_reauth",
    }
    assert record(rows, force_fetch=True) == Listing()


def test_with_force_fetch_what_is_not_ready_is_run(ledger_world: LedgerWorld) -> None:
    rows = [Listed("a", "XERO", "not_ready")]
    assert ledger_world.ledger.record_listing(rows, force_fetch=True) == Listing(added=("a",))
    assert ledger_world.ledger.due()[Lane.BULK] == 1
    assert ledger_world.ledger.record_listing(rows) == Listing(parked=("a",))


def test_one_listing_that_is_cut_short_stops_nobody(ledger_world: LedgerWorld) -> None:
    record = ledger_world.ledger.record_listing
    a, b = Listed("a", "XERO", "active"), Listed("b", "XERO", "active")
    record([a, b])
    assert record([]) == Listing()
    assert record([a]) == Listing(unlisted=("b",))
    assert ledger_world.row("b", "parked_by") == {"parked_by": "unlisted"}
    assert record([a]) == Listing()
    assert record([a, b]) == Listing(revived=("b",))
    assert record([a]) == Listing()


def test_what_was_told_while_it_was_parked_is_read_when_it_is_back(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    ledger_world.list("a", status="needs_reauth")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    assert set(ledger_world.ledger.due().values()) == {0}
    ledger_world.list("a")
    assert ledger_world.ledger.due() == {Lane.FRESH: 1, Lane.SWEEP: 1, Lane.BULK: 0}


def test_parked_for_failures_it_is_revived_by_a_better_status_only(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a", "b")
    ledger_world.ledger.park("b", reason="the customer asked")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    claim = ledger_world.claim()
    ledger_world.ledger.finish(claim, badly(claim), config=replace(CONFIG, park_after=1))
    ledger_world.list("a")
    assert ledger_world.row("a", "parked_by") == {"parked_by": "failures"}
    ledger_world.list("a", "b", status="needs_reauth")
    ledger_world.list("a", "b", status="active")
    assert ledger_world.row("a", "status, fresh_failures") == {
        "status": "active",
        "fresh_failures": 0,
    }
    assert ledger_world.row("b", "status, parked_by, parked_reason") == {
        "status": "parked",
        "parked_by": "operator",
        "parked_reason": "the customer asked",
    }


def test_a_removed_connection_is_not_added_again(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    assert ledger_world.ledger.remove("a") is None
    ledger_world.list("a")
    assert ledger_world.ledger.status() == []
    assert [row.status for row in ledger_world.ledger.status(removed=True)] == ["removed"]
    assert set(ledger_world.ledger.due().values()) == {0}


def test_the_most_stale_are_swept_first(ledger_world: LedgerWorld) -> None:
    ids = ["a", "b", "c", "d"]
    ledger_world.settled(*ids)
    for minutes, id_ in ((90, "b"), (70, "d"), (80, "a"), (50, "c")):
        ledger_world.sql(
            "update rutter_fleet.connections set swept_at = now() - make_interval(mins => %s)"
            " where connection_id = %s",
            minutes,
            id_,
        )
    assert ledger_world.ledger.make_due(CONFIG) == 3
    assert ledger_world.ledger.make_due(CONFIG) == 0
    assert ledger_world.claim(Lane.SWEEP).connection_ids == ("b", "a", "d")
    lag = ledger_world.ledger.lag()
    assert lag[Lane.FRESH] == 0


def test_a_need_that_arises_while_a_run_is_at_work_is_not_met_by_it(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    claim = ledger_world.claim(Lane.SWEEP)
    ledger_world.list("a", status="needs_reauth")
    ledger_world.list("a", status="active")  # signed in again: there is more to read now
    ledger_world.finish(claim)
    ledger_world.later(10)
    assert ledger_world.claim(Lane.SWEEP).connection_ids == ("a",)


def test_thousands_are_made_due_in_steps(ledger_world: LedgerWorld) -> None:
    ids = [f"c{number:05}" for number in range(2_500)]
    ledger_world.settled(*ids)
    ledger_world.later(3601)
    assert ledger_world.ledger.make_due(CONFIG) == 2_500
    assert ledger_world.ledger.due()[Lane.SWEEP] == 2_500


def test_full_reads_come_once_in_a_period_spread_over_its_first_quarter(
    ledger_world: LedgerWorld,
) -> None:
    ids = [f"c{number:03}" for number in range(200)]
    ledger_world.settled(*ids)
    ledger_world.sql(
        "update rutter_fleet.connections set added_at = now() - interval '9 days',"
        " full_read_at = now() - interval '25 hours', swept_at = now()"
    )
    assert ledger_world.ledger.make_due(NIGHTLY) == 200
    (spread,) = ledger_world.sql(
        "select max(extract(epoch from full_at)::numeric % 86400) as last,"
        " count(distinct date_trunc('hour', full_at)) as hours, max(full_at) <= now() as past"
        " from rutter_fleet.connections"
    )
    assert spread["last"] < 6 * 3600
    assert spread["hours"] >= 6
    assert spread["past"]
    assert ledger_world.ledger.make_due(NIGHTLY) == 0
    claim = ledger_world.claim(Lane.BULK)
    assert claim.full_read
    ledger_world.finish(claim)
    assert ledger_world.ledger.make_due(NIGHTLY) == 0
    assert ledger_world.ledger.make_due(CONFIG) == 0


def test_full_reads_can_be_switched_off(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.sql(
        "update rutter_fleet.connections set added_at = now() - interval '9 days',"
        " full_read_at = null"
    )
    assert ledger_world.ledger.make_due(CONFIG) == 0
    assert ledger_world.ledger.make_due(NIGHTLY) == 1


def test_a_new_limit_of_the_bulk_lane_takes_hold(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.sql("update rutter_fleet.connections set sweep_rows = 100, full_rows = 200")
    ledger_world.ledger.make_due(replace(CONFIG, bulk_rows=150))
    assert ledger_world.row("a", "heavy, large") == {"heavy": False, "large": True}
    ledger_world.ledger.make_due(replace(CONFIG, bulk_rows=50))
    assert ledger_world.row("a", "heavy") == {"heavy": True}


@pytest.mark.parametrize("mark", [Mark("a", "x"), Mark("a", "*"), Mark("a", "*", grown=True)])
def test_a_mark_that_was_forgotten_is_found(ledger_world: LedgerWorld, mark: Mark) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([mark])
    ledger_world.sql(
        "update rutter_fleet.connections set marked_at = null, whole_at = null, grown_at = null"
    )
    assert set(ledger_world.ledger.due().values()) == {0}
    ledger_world.ledger.make_due(CONFIG)
    assert sum(ledger_world.ledger.due().values()) == 1


def test_old_claims_and_marks_of_strangers_go(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "x"), Mark("stranger", "x")])
    ledger_world.finish(ledger_world.claim())
    ledger_world.ledger.put_webhooks([Mark("a", "x")])
    ledger_world.later(31 * 86400)
    ledger_world.ledger.make_due(CONFIG)
    assert ledger_world.sql("select * from rutter_fleet.claims") == []
    assert ledger_world.sql("select connection_id from rutter_fleet.marks") == [
        {"connection_id": "a"}
    ]


def test_a_doorbell_is_rung_once_for_a_lane_that_turns_due(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    assert ledger.ring() == []
    ledger_world.settled("a")
    assert ledger.ring() == []
    ledger.put_webhooks([Mark("a", "x")])
    assert ledger.ring() == [Lane.FRESH]
    assert ledger.ring() == []
    ledger_world.finish(ledger_world.claim())
    assert ledger_world.idle()
    ledger.put_webhooks([Mark("a", "x")])
    ledger_world.later(10)
    # A worker has found the lane idle in between, though nobody asked for doorbells then.
    assert ledger.ring() == [Lane.FRESH]
    ledger_world.finish(ledger_world.claim())
    ledger.put_webhooks([Mark("a", "x")])
    assert ledger.ring() == []  # it must pause between two starts
    ledger_world.later(10)
    assert ledger.ring() == [Lane.FRESH]


def test_one_worker_wins_the_sweep(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    assert [ledger.take_sweep(60) for _ in range(3)] == [True, False, False]
    ledger_world.later(60)
    assert ledger.take_sweep(60)


def test_a_burst_of_429s_halves_the_speed_once_and_it_recovers(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    assert ledger.speed() == 1
    for _ in range(5):
        ledger.slow_down()
    assert ledger.speed() == pytest.approx(0.5, rel=0.05)
    ledger_world.later(11)
    ledger.slow_down()
    assert 0.25 < ledger.speed() < 0.35
    for _ in range(50):
        ledger_world.later(10.1)
        ledger.slow_down()
    assert 0 < ledger.speed() < 0.1
    ledger_world.later(3600)
    assert ledger.speed() == 1
