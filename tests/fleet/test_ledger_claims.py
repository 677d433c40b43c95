"""Who may run what: lanes, order, lengths, leases, and what becomes of claims."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from support.ledger import CONFIG, LedgerWorld, badly, died, state_of, well

from tap_rutter.fleet.ledger import ClaimLost, LedgerError
from tap_rutter.fleet.model import Fault, Lane, Mark, RunResult


def test_a_new_connection_is_read_in_the_bulk_lane_alone(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a", "b")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    assert ledger_world.ledger.due() == {Lane.FRESH: 0, Lane.SWEEP: 0, Lane.BULK: 2}
    claim = ledger_world.claim(Lane.BULK)
    assert claim.connection_ids == ("a",)
    assert claim.members[0].state is None
    assert not claim.full_read
    ledger_world.finish(claim, well(claim, rows=7))
    # The first read covered the webhook, and counts as a full read.
    assert ledger_world.marks("a") == {}
    assert ledger_world.row("a", "full_read_at = swept_at as same, full_rows") == {
        "same": True,
        "full_rows": 7,
    }
    assert ledger_world.claim(Lane.BULK).connection_ids == ("b",)


def test_marks_are_taken_together_by_platform_oldest_first(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a", "c", "d")
    ledger_world.settled("b", platform="SHOPIFY")
    for id_ in ("c", "b", "a", "d"):
        ledger_world.ledger.put_webhooks([Mark(id_, "commerce_orders")])
        ledger_world.later(1)
    first, second = ledger_world.claim(), ledger_world.claim()
    assert (first.platform, first.connection_ids) == ("QUICKBOOKS", ("c", "a", "d"))
    assert (second.platform, second.connection_ids) == ("SHOPIFY", ("b",))
    assert ledger_world.idle()


def test_a_run_holds_as_many_as_its_predicted_length_allows(ledger_world: LedgerWorld) -> None:
    ids = [f"c{number}" for number in range(9)]
    ledger_world.settled(*ids)
    ledger_world.sql("update rutter_fleet.connections set fresh_seconds = 0.5, sweep_seconds = 4")
    for id_ in ids:
        ledger_world.ledger.put_webhooks([Mark(id_, "commerce_orders")])
        ledger_world.later(1)
    # 3 seconds, of which one is the start, leave room for four times half a second.
    assert ledger_world.claim().connection_ids == tuple(ids[:4])
    # One that is longer than a run should be goes all the same, and alone.
    ledger_world.sql(
        "update rutter_fleet.connections set fresh_seconds = 100 where connection_id = 'c5'"
    )
    assert ledger_world.claim().connection_ids == ("c4",)
    assert ledger_world.claim().connection_ids == ("c5",)
    assert ledger_world.claim().connection_ids == ("c6", "c7", "c8")


def test_a_sweep_takes_more_at_once_than_a_run_of_marks(ledger_world: LedgerWorld) -> None:
    ids = [f"c{number}" for number in range(9)]
    ledger_world.settled(*ids)
    ledger_world.sql("update rutter_fleet.connections set sweep_seconds = 2")
    ledger_world.later(CONFIG.sweep_minutes * 60 + 1)
    assert ledger_world.ledger.make_due(CONFIG) == 9
    assert len(ledger_world.claim(Lane.SWEEP).members) == 7
    few = replace(CONFIG, largest_run=1)
    assert len(ledger_world.claim(Lane.SWEEP, config=few).members) == 1


def test_what_expects_many_rows_is_swept_in_the_bulk_lane(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("small", "large")
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    claim = ledger_world.claim(Lane.SWEEP)
    outcomes = {outcome.connection_id: outcome for outcome in well(claim).outcomes}
    outcomes["large"] = replace(outcomes["large"], rows=CONFIG.bulk_rows)
    ledger_world.finish(claim, RunResult(tuple(outcomes.values()), 20.0))
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    assert ledger_world.claim(Lane.SWEEP).connection_ids == ("small",)
    bulk = ledger_world.claim(Lane.BULK)
    assert bulk.connection_ids == ("large",)
    assert bulk.members[0].expected_rows == CONFIG.bulk_rows
    # Its webhooks do not wait for that lane, unless they are about all of it.
    ledger_world.finish(bulk, well(bulk, rows=CONFIG.bulk_rows))
    ledger_world.later(60)
    ledger_world.ledger.put_webhooks([Mark("large", "*"), Mark("large", "commerce_orders")])
    fresh = ledger_world.claim(Lane.FRESH)
    assert [mark.stream for mark in fresh.members[0].marks] == ["commerce_orders"]
    ledger_world.finish(fresh)
    ledger_world.later(60)
    assert [mark.stream for mark in ledger_world.claim(Lane.BULK).members[0].marks] == ["*"]


def test_a_first_read_goes_before_the_full_reads_of_the_night(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("old")
    ledger_world.sql("update rutter_fleet.connections set full_at = now() - interval '1 hour'")
    ledger_world.list("new")
    assert ledger_world.claim(Lane.BULK).connection_ids == ("new",)
    full = ledger_world.claim(Lane.BULK)
    assert (full.connection_ids, full.full_read) == (("old",), True)
    ledger_world.finish(full)
    assert ledger_world.row("old", "full_at, full_due, full_read_at = started_at as read") == {
        "full_at": None,
        "full_due": None,
        "read": True,
    }


def test_a_full_read_is_not_put_off_for_ever(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("old")
    ledger_world.sql("update rutter_fleet.connections set full_at = now() - interval '7 hours'")
    ledger_world.list("new")
    assert ledger_world.claim(Lane.BULK).full_read


def test_a_connection_starts_at_most_once_in_three_times_its_length(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a")
    for seconds, pause in ((0.1, 2.0), (10.0, 30.0)):
        ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
        claim = ledger_world.claim()
        ledger_world.finish(claim, well(claim, seconds=seconds))
        ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
        assert ledger_world.idle()
        (row,) = ledger_world.sql(
            "select extract(epoch from fresh_due - started_at)::float as pause"
            " from rutter_fleet.connections"
        )
        assert row["pause"] == pytest.approx(pause)
        ledger_world.later(pause)
        ledger_world.finish(claim := ledger_world.claim(), well(claim, seconds=0.1))
        ledger_world.later(pause)


def test_the_start_of_a_run_is_learnt_and_not_counted_as_a_connections_length(
    ledger_world: LedgerWorld,
) -> None:
    """Else, where a start is slow, each would look long, run alone, and look long for ever."""
    ids = [f"c{number}" for number in range(8)]
    ledger_world.settled(*ids)
    sizes = []
    for _ in range(40):
        ledger_world.ledger.put_webhooks([Mark(id_, "commerce_orders") for id_ in ids])
        claim = ledger_world.claim()
        sizes.append(len(claim.members))
        ledger_world.finish(claim, well(claim, seconds=5.0 + 0.05 * len(claim.members)))
        ledger_world.later(100)
    assert sizes[-1] == len(ids), sizes


def test_long_runs_are_not_taken_for_slow_starts(ledger_world: LedgerWorld) -> None:
    """Else each would be given more connections than the one before."""
    ids = [f"c{number}" for number in range(30)]
    ledger_world.settled(*ids)
    sizes = []
    for _ in range(30):
        ledger_world.ledger.put_webhooks([Mark(id_, "commerce_orders") for id_ in ids])
        claim = ledger_world.claim()
        sizes.append(len(claim.members))
        ledger_world.finish(claim, well(claim, seconds=0.5 + 0.4 * len(claim.members)))
        ledger_world.later(100)
    assert max(sizes[5:]) * 0.4 + 0.5 <= CONFIG.fresh_seconds * 1.5, sizes


def test_a_lease_is_timed_by_the_database_and_is_not_revived(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a", "b")
    ledger = ledger_world.ledger
    ledger.put_webhooks([Mark("a", "commerce_orders")])
    kept = ledger_world.claim()
    ledger_world.later(59)
    ledger.put_webhooks([Mark("b", "commerce_orders")])
    late = ledger_world.claim(config=replace(CONFIG, lease_seconds=30))
    assert ledger.renew([kept.id, late.id], 60) == {kept.id, late.id}
    ledger_world.sql(
        "update rutter_fleet.claims set expires_at = clock_timestamp() where claim_id = %s", late.id
    )
    assert ledger.renew([kept.id, late.id], 60) == {kept.id}
    assert ledger.expired_claims() == [late.id]
    with pytest.raises(ClaimLost):
        ledger.save_states(late.id, {"b": state_of("b", "2026-01-01")})
    with pytest.raises(ClaimLost):
        ledger_world.finish(late)
    with pytest.raises(ClaimLost):
        ledger.release(late)
    assert ledger_world.sql("select * from rutter_fleet.states") == []


def test_members_of_an_expired_claim_wait_until_it_is_buried(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger = ledger_world.ledger
    ledger.put_webhooks([Mark("a", "commerce_orders")])
    lost = ledger_world.claim()
    with pytest.raises(LedgerError, match="is held by worker: it cannot be buried"):
        ledger.bury(lost.id)
    ledger_world.later(61)
    assert ledger.expired_claims() == [lost.id]
    assert ledger_world.idle()
    ledger.bury(lost.id)
    ledger.bury(lost.id)
    assert ledger.expired_claims() == []
    again = ledger_world.claim()
    assert [(mark.stream, mark.seq) for mark in again.members[0].marks] == [
        (mark.stream, mark.seq) for mark in lost.members[0].marks
    ]
    with pytest.raises(ClaimLost):
        ledger_world.finish(lost)
    assert ledger_world.row("a", "claim_id")["claim_id"] == again.id


def test_a_release_leaves_all_as_it_was(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    columns = (
        "marked_at, fresh_due, sweep_due, fresh_failures, sweep_failures, lost, crowd, swept_at"
    )
    before = (ledger_world.row("a", columns), ledger_world.marks("a"))
    for _ in range(2):
        ledger_world.ledger.release(ledger_world.claim())
        assert (ledger_world.row("a", columns), ledger_world.marks("a")) == before


@pytest.mark.parametrize(
    "result", [died(Fault.FLEET), RunResult((), 5.0, stopped=True), died(Fault.RUN)]
)
def test_a_run_that_did_not_end_clears_nothing(
    ledger_world: LedgerWorld, result: RunResult
) -> None:
    ledger_world.settled("a", "b")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders"), Mark("b", "*")])
    before = (ledger_world.marks("a"), ledger_world.marks("b"))
    ledger_world.finish(ledger_world.claim(), result)
    assert (ledger_world.marks("a"), ledger_world.marks("b")) == before
    assert not ledger_world.idle()


def test_states_are_kept_for_members_only(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a", "b")
    ledger = ledger_world.ledger
    ledger.put_webhooks([Mark("a", "commerce_orders")])
    claim = ledger_world.claim()
    ledger.save_states(claim.id, {"a": state_of("a", "2026-01-01")})
    with pytest.raises(LedgerError, match="the connection b, which is not one of the claim's"):
        ledger.save_states(
            claim.id, {"a": state_of("a", "2027-01-01"), "b": state_of("b", "2027-01-01")}
        )
    with pytest.raises(ClaimLost):
        ledger.save_states(uuid4(), {"a": state_of("a", "2027-01-01")})
    ledger_world.finish(claim)
    with pytest.raises(ClaimLost):
        ledger.save_states(claim.id, {"a": state_of("a", "2027-01-01")})
    ledger_world.later(10)
    ledger.put_webhooks([Mark("a", "commerce_orders")])
    assert ledger_world.claim().members[0].state == state_of("a", "2026-01-01")


def test_two_runs_of_a_platform_do_not_undo_what_each_has_learnt(
    ledger_world: LedgerWorld,
) -> None:
    def remembered(*streams: str) -> dict[str, object]:
        return {"bookmarks": {stream: {"absent": {"QUICKBOOKS": 1}} for stream in streams}}

    ledger_world.settled("a", "b")
    ledger = ledger_world.ledger
    few = replace(CONFIG, largest_run=1)
    ledger.put_webhooks([Mark("a", "commerce_orders"), Mark("b", "commerce_orders")])
    first = ledger_world.claim(config=few)
    ledger.save_states(first.id, {}, {"QUICKBOOKS": remembered("x", "y")})
    second = ledger_world.claim(config=few)
    assert second.shared_state == remembered("x", "y")
    ledger.save_states(first.id, {}, {"QUICKBOOKS": remembered("y")})  # x is served after all
    ledger.save_states(second.id, {}, {"QUICKBOOKS": remembered("x", "y", "z")})
    ledger_world.finish(first)
    ledger_world.later(10)
    ledger.put_webhooks([Mark("a", "commerce_orders")])
    assert ledger_world.claim().shared_state == remembered("y", "z")
    with pytest.raises(LedgerError, match=r"shared by SHOPIFY\. It was not kept\.$"):
        ledger.save_states(second.id, {}, {"SHOPIFY": {}})


def test_nothing_is_claimed_in_a_pause(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a")
    ledger = ledger_world.ledger
    ledger.put_webhooks([Mark("a", "commerce_orders")])
    ledger.pause("credentials were refused", 60)
    ledger.pause("shorter", 1)
    assert ledger.paused() == "credentials were refused"
    assert ledger_world.idle()
    assert ledger.ring() == []
    ledger_world.later(61)
    assert ledger.paused() is None
    ledger_world.claim()
    ledger.pause("an upgrade", 60)
    ledger.resume()
    assert ledger.paused() is None


def test_a_finish_that_is_made_again_after_its_commit_has_succeeded(
    ledger_world: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection can break when the commit has been made and before that is known."""
    import psycopg

    ledger_world.settled("a")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    claim = ledger_world.claim()
    broke: list[bool] = []
    transaction = ledger_world.ledger._database.transaction

    class Breaking:
        def __enter__(self):  # type: ignore[no-untyped-def]
            self.inner = transaction()
            return self.inner.__enter__()

        def __exit__(self, *args):  # type: ignore[no-untyped-def]
            self.inner.__exit__(*args)
            if not broke:
                broke.append(True)
                raise psycopg.OperationalError("the link broke")

    monkeypatch.setattr(ledger_world.ledger._database, "transaction", Breaking)
    ledger_world.finish(claim)
    assert broke
    assert ledger_world.marks("a") == {}
    with pytest.raises(ClaimLost):
        ledger_world.finish(claim)
    broke.clear()
    ledger_world.later(10)
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders")])
    broke.clear()
    # The same for a claim: what was claimed unseen is given back, and claimed anew.
    seen = ledger_world.claim()
    assert broke
    (open_,) = ledger_world.sql("select claim_id from rutter_fleet.claims where ended is null")
    assert open_["claim_id"] == seen.id
    assert len(seen.members[0].marks) == 1


def test_a_failure_of_one_member_is_not_the_others(ledger_world: LedgerWorld) -> None:
    ledger_world.settled("a", "b")
    ledger_world.ledger.put_webhooks([Mark("a", "commerce_orders"), Mark("b", "commerce_orders")])
    claim = ledger_world.claim()
    ledger_world.finish(claim, badly(claim, "b"))
    assert ledger_world.marks("a") == {}
    assert len(ledger_world.marks("b")) == 1
    assert ledger_world.row("b", "fresh_failures, last_fault, last_reason") == {
        "fresh_failures": 1,
        "last_fault": "connection",
        "last_reason": "refused",
    }
