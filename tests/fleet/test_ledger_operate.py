"""What operators do and see, and the turn to prepare the tables."""

from __future__ import annotations

import threading

import pytest
from support.ledger import CONFIG, LedgerWorld, badly, state_of

from tap_rutter.fleet.ledger import ClaimLost, Ledger, LedgerError
from tap_rutter.fleet.model import Deletion, Lane, Mark, Status


def test_status_tells_what_is_due_running_failing_and_parked(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    ledger_world.settled("due", "failing", "idle", "parked", "running")
    ledger_world.list("new")
    ledger.put_webhooks([Mark("failing", "x"), Mark("running", "x")])
    claim = ledger_world.claim(worker="host-1:42")
    ledger_world.finish(claim, badly(claim, "failing"))
    ledger_world.later(10)
    ledger.put_webhooks([Mark("running", "x")])
    ledger_world.claim(worker="host-1:42")
    ledger.put_webhooks([Mark("due", "x")])
    ledger.park("parked", reason="asked for")
    ledger_world.later(10)
    shown = {row.connection_id: row for row in ledger.status()}
    assert list(shown) == sorted(shown)
    assert shown["due"].lane is Lane.FRESH
    assert shown["due"].due_since is not None
    assert shown["due"].lag_seconds == pytest.approx(20, abs=5)
    assert (shown["new"].lane, shown["new"].lag_seconds) == (Lane.BULK, None)
    assert (shown["failing"].failures, shown["failing"].last_reason) == (1, "refused")
    assert (shown["failing"].lane, shown["failing"].next_due is not None) == (None, True)
    assert (shown["idle"].lane, shown["idle"].next_due) == (None, None)
    assert (shown["parked"].status, shown["parked"].parked_reason) == (Status.PARKED, "asked for")
    assert (shown["running"].worker, shown["running"].lease_ended) == ("host-1:42", False)
    assert shown["running"].marks == 1
    assert [row.connection_id for row in ledger.status(["idle"])] == ["idle"]
    ledger_world.later(61)
    assert ledger.status(["running"])[0].lease_ended


def test_sync_makes_due_at_once_what_was_backing_off(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "x")])
    claim = ledger_world.claim()
    ledger_world.finish(claim, badly(claim))
    assert ledger_world.idle()
    ledger_world.ledger.make_dirty("a")
    assert {mark.stream for mark in ledger_world.claim().members[0].marks} == {"*", "x"}


@pytest.mark.parametrize("call", ["make_dirty", "unpark"])
def test_an_unknown_connection_is_named(ledger_world: LedgerWorld, call: str) -> None:
    ledger_world.settled("a")
    with pytest.raises(LedgerError, match="does not know the connection nobody"):
        getattr(ledger_world.ledger, call)("a", "nobody")
    assert ledger_world.marks("a") == {}


def test_a_run_that_is_at_work_ends_in_order_when_its_connection_is_parked(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "x")])
    claim = ledger_world.claim()
    ledger_world.ledger.park("a", reason="asked for")
    ledger_world.finish(claim)
    assert ledger_world.marks("a") == {}
    assert ledger_world.row("a", "status, parked_by, parked_reason") == {
        "status": "parked",
        "parked_by": "operator",
        "parked_reason": "asked for",
    }
    ledger_world.ledger.unpark("a")
    assert ledger_world.ledger.due()[Lane.SWEEP] == 1


def test_to_remove_takes_the_claim_and_leaves_a_tombstone(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    ledger_world.settled("a", "b")
    ledger.put_webhooks(
        [Mark("a", "x"), Mark("b", "x")], [Deletion("ff", "a", "commerce_orders", "1", None)]
    )
    claim = ledger_world.claim()
    ledger.save_states(claim.id, {"a": state_of("a", "1"), "b": state_of("b", "1")})
    assert ledger.remove("a") == claim.id
    assert ledger.renew([claim.id], 60) == set()
    with pytest.raises(ClaimLost):
        ledger.save_states(claim.id, {"a": state_of("a", "2")})
    assert ledger.expired_claims() == [claim.id]
    ledger.bury(claim.id)
    for table in ("marks", "states", "deletions"):
        left = ledger_world.sql(f"select connection_id from rutter_fleet.{table}")
        assert {row["connection_id"] for row in left} <= {"b"}
    assert ledger_world.claim().connection_ids == ("b",)
    assert ledger.remove("a") is None
    with pytest.raises(LedgerError, match="does not know"):
        ledger.unpark("a")
    with pytest.raises(LedgerError, match="does not know"):
        ledger.remove("nobody")


def test_tables_are_prepared_once_by_one_worker(ledger_world: LedgerWorld) -> None:
    at_work = threading.Lock()
    done: list[str] = []
    failed: list[BaseException] = []
    start = threading.Barrier(6)

    def prepare(schema_hash: str) -> None:
        try:
            with Ledger(ledger_world.url) as ledger:
                start.wait()
                with ledger.preparing(schema_hash, 60) as needed:
                    if needed:
                        assert at_work.acquire(blocking=False), "two prepare at once"
                        done.append(schema_hash)
                        at_work.release()
                assert ledger.prepared(schema_hash)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=prepare, args=(h,)) for h in ("x", "y") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(done) == ["x", "y"]


def test_what_was_not_prepared_to_its_end_is_prepared_again(ledger_world: LedgerWorld) -> None:
    ledger = ledger_world.ledger
    with pytest.raises(ZeroDivisionError), ledger.preparing("x", 1) as needed:
        assert needed
        raise ZeroDivisionError
    assert not ledger.prepared("x")
    with ledger.preparing("x", 1) as needed:
        assert needed
        with pytest.raises(LedgerError, match="being prepared by another worker"):
            ledger.preparing("y", 0).__enter__()
        # Whoever held the turn is gone for minutes: the next one does not wait for ever.
        ledger_world.later(301)
        with ledger.preparing("y", 0) as other:
            assert other
    assert ledger.prepared("x")
    ledger.forget_prepared()
    assert not ledger.prepared("x")


def test_every_call_is_refused_in_words_before_the_tables_are_made(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger, pytest.raises(LedgerError, match="does not exist"):
        ledger.claim(Lane.FRESH, "worker", config=CONFIG)
