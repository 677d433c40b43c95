"""Failures told apart: of a connection, of a run, of the fleet, and of nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.ledger import CONFIG, LedgerWorld, badly, died, well

from tap_rutter.fleet.ledger import verdicts
from tap_rutter.fleet.model import ConnectionOutcome, Fault, Lane, Mark, RunResult
from tap_rutter.redact import SECRETS

_WAIT = "extract(epoch from fresh_due - clock_timestamp())::float as wait"


def fail_alone(world: LedgerWorld, result: RunResult | None = None) -> float:
    """One failing run of the only connection; gives how long it has to wait then."""
    claim = world.claim()
    world.finish(claim, result or badly(claim))
    wait: float | None = world.row("a", _WAIT)["wait"]
    world.later((wait or 0) + 1)
    return wait or 0.0


def test_a_connection_backs_off_and_is_parked_for_its_own_failures(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    waits = [fail_alone(ledger_world) for _ in range(CONFIG.park_after - 1)]
    assert waits == [pytest.approx(60 * 2**n, rel=0.01) for n in range(4)]
    fail_alone(ledger_world)
    assert ledger_world.row("a", "status, parked_by, parked_reason, fresh_due") == {
        "status": "parked",
        "parked_by": "failures",
        "parked_reason": "refused",
        "fresh_due": None,
    }
    # What was told is kept, and served once somebody has looked into it.
    ledger_world.ledger.unpark("a")
    assert [mark.stream for mark in ledger_world.claim().members[0].marks] == ["commerce_orders"]


def test_the_longest_back_off_is_kept_to(ledger_world: LedgerWorld) -> None:
    patient = replace(CONFIG, park_after=1000, longest_back_off_seconds=900)
    ledger_world.settled("a")
    ledger_world.sql("update rutter_fleet.connections set fresh_failures = 900")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    claim = ledger_world.claim()
    ledger_world.ledger.finish(claim, badly(claim), config=patient)
    assert ledger_world.row("a", _WAIT)["wait"] == pytest.approx(900, rel=0.01)


def test_a_success_ends_the_row_of_failures(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    for _ in range(3):
        ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
        for _ in range(CONFIG.park_after - 1):
            fail_alone(ledger_world)
        ledger_world.finish(ledger_world.claim())
        assert ledger_world.row("a", "status, fresh_failures, last_fault") == {
            "status": "active",
            "fresh_failures": 0,
            "last_fault": None,
        }
        ledger_world.later(10)


def test_a_sweep_that_fails_holds_up_no_webhook_and_is_not_made_up_for_by_one(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    for _ in range(3):
        sweep = ledger_world.claim(Lane.SWEEP)
        ledger_world.finish(sweep, badly(sweep))
        ledger_world.later(5)
        ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
        ledger_world.finish(ledger_world.claim())
        assert ledger_world.idle(Lane.SWEEP)
        ledger_world.later(250)
    assert ledger_world.row("a", "sweep_failures, fresh_failures") == {
        "sweep_failures": 3,
        "fresh_failures": 0,
    }


def test_a_run_that_died_counts_only_where_it_was_alone(ledger_world: LedgerWorld) -> None:
    ids = [f"c{number}" for number in range(4)]
    ledger_world.settled(*ids)
    ledger_world.ledger.put_webhooks([Mark(id_, "commerce_orders") for id_ in ids])
    claim = ledger_world.claim()
    assert len(claim.members) == 4
    ledger_world.finish(claim, died())
    faults = ledger_world.sql(
        "select distinct fresh_failures, crowd, last_fault from rutter_fleet.connections"
    )
    assert faults == [{"fresh_failures": 0, "crowd": 1, "last_fault": "run"}]
    poison = None
    for _ in ids:
        alone = ledger_world.claim()
        assert len(alone.members) == 1
        poison = poison or alone.connection_ids[0]
        ledger_world.finish(alone, died() if poison == alone.connection_ids[0] else None)
    assert poison is not None
    assert ledger_world.sql(
        "select connection_id, fresh_failures, crowd from rutter_fleet.connections"
        " where crowd is not null"
    ) == [{"connection_id": poison, "fresh_failures": 1, "crowd": 1}]
    for _ in range(CONFIG.park_after - 1):
        ledger_world.later(24 * 3600)
        ledger_world.finish(ledger_world.claim(), died())
    assert ledger_world.sql(
        "select connection_id, parked_reason from rutter_fleet.connections where status = 'parked'"
    ) == [{"connection_id": poison, "parked_reason": "run_failed"}]


@pytest.mark.parametrize("fault", [Fault.RUN, Fault.FLEET])
def test_a_first_read_that_died_is_tried_again(ledger_world: LedgerWorld, fault: Fault) -> None:
    ledger_world.list("a")
    ledger_world.finish(ledger_world.claim(Lane.BULK), died(fault))
    assert ledger_world.row("a", "read_once, sweep_failures") == {
        "read_once": False,
        "sweep_failures": int(fault is Fault.RUN),
    }
    ledger_world.later(61)
    assert ledger_world.claim(Lane.BULK).connection_ids == ("a",)


def test_the_poison_among_five_hundred_is_found_in_few_runs(ledger_world: LedgerWorld) -> None:
    ids = [f"c{number:03}" for number in range(500)]
    poison = "c321"
    ledger_world.settled(*ids)
    ledger_world.sql("update rutter_fleet.connections set sweep_seconds = 0.02")
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    runs = 0
    while ledger_world.row(poison, "sweep_failures")["sweep_failures"] == 0:
        claim = ledger_world.claim(Lane.SWEEP)
        ledger_world.finish(claim, died() if poison in claim.connection_ids else None)
        runs += 1
        assert runs < 40
    assert ledger_world.sql(
        "select count(*) from rutter_fleet.connections where sweep_failures > 0"
    ) == [{"count": 1}]


@pytest.mark.parametrize("result", [died(Fault.FLEET), RunResult((), 1.0, stopped=True)])
def test_what_hits_the_fleet_and_what_is_stopped_count_against_nobody(
    ledger_world: LedgerWorld, result: RunResult
) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    for _ in range(3 * CONFIG.park_after):
        assert fail_alone(ledger_world, result) <= 0
    assert ledger_world.row("a", "status, fresh_failures, crowd, lost") == {
        "status": "active",
        "fresh_failures": 0,
        "crowd": None,
        "lost": 0,
    }


def test_a_worker_that_dies_blames_nobody_but_its_connections_are_set_apart(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a", "b")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders"), Mark("b", "commerce_orders")])
    sizes = []
    for _ in range(4):
        claim = ledger_world.claim()
        sizes.append(len(claim.members))
        ledger_world.later(61)
        ledger_world.ledger.bury(claim.id)
    assert sizes == [2, 2, 1, 1]
    for _ in range(30):
        ledger_world.later(24 * 3600)
        claim = ledger_world.claim()
        ledger_world.later(61)
        ledger_world.ledger.bury(claim.id)
    assert {row.status for row in ledger_world.ledger.status()} == {"active"}
    (worst,) = ledger_world.sql(
        f"select max({_WAIT.split(' as')[0]}) as wait from rutter_fleet.connections"
    )
    assert worst["wait"] > 60
    ledger_world.later(24 * 3600)
    ledger_world.finish(ledger_world.claim())
    assert 0 in {row.lost for row in ledger_world.ledger.status()}


@pytest.mark.parametrize("reason", sorted(verdicts.STATUS_REASONS))
def test_a_connection_that_could_not_be_read_keeps_its_marks_until_it_can(
    ledger_world: LedgerWorld, reason: str
) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    claim = ledger_world.claim()
    skipped = ConnectionOutcome("a", succeeded=True, reason=reason)
    ledger_world.finish(claim, RunResult((skipped,), 1.0))
    assert ledger_world.row("a", "status, parked_by, parked_reason") == {
        "status": "parked",
        "parked_by": "status",
        "parked_reason": reason,
    }
    assert len(ledger_world.marks("a")) == 1
    # The listing calls it active: it is tried again, but not again and again.
    ledger_world.list("a")
    assert ledger_world.row("a", "status") == {"status": "active"}
    assert ledger_world.idle()
    ledger_world.later(61)
    ledger_world.finish(ledger_world.claim())
    assert ledger_world.marks("a") == {}


def test_a_member_without_an_outcome_did_not_succeed(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a", "b")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders"), Mark("b", "commerce_orders")])
    claim = ledger_world.claim()
    ledger_world.finish(claim, replace(well(claim), outcomes=well(claim).outcomes[:1]))
    forgotten = claim.connection_ids[1]
    assert len(ledger_world.marks(forgotten)) == 1
    assert ledger_world.row(forgotten, "fresh_failures, last_fault") == {
        "fresh_failures": 0,
        "last_fault": "run",
    }


def test_a_first_read_that_fails_after_few_rows_does_not_hold_up_webhooks(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.list("small", "large")
    for _ in range(2):
        claim = ledger_world.claim(Lane.BULK)
        (id_,) = claim.connection_ids
        rows = 10 if id_ == "small" else CONFIG.bulk_rows
        outcome = ConnectionOutcome(id_, succeeded=False, reason="refused", rows=rows)
        ledger_world.finish(claim, RunResult((outcome,), 1.0, fault=Fault.CONNECTION))
    ledger_world.later(61)
    ledger_world.ledger.put_webhooks(
        [Mark("small", "commerce_orders"), Mark("large", "commerce_orders")]
    )
    assert ledger_world.claim(Lane.FRESH).connection_ids == ("small",)
    assert ledger_world.claim(Lane.BULK).connection_ids == ("large",)


def test_no_secret_is_kept_with_a_failure(ledger_world: LedgerWorld) -> None:
    secret = "a-token-that-a-message-quotes"
    SECRETS.add(secret)
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    claim = ledger_world.claim()
    outcome = ConnectionOutcome("a", False, "refused", f"{secret} was refused\0" + "x" * 10_000)
    ledger_world.finish(claim, RunResult((outcome,), 1.0, fault=Fault.CONNECTION))
    said = ledger_world.row("a", "last_message")["last_message"]
    assert "was refused" in said
    assert secret not in said
    assert len(said) <= 500
    ledger_world.ledger.pause(f"{secret} is not valid", 10)
    assert secret not in (ledger_world.ledger.paused() or secret)
