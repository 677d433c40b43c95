"""Many workers at once, that crash, come back late and fail, while webhooks arrive.

Each thread is a worker of its own, with its own way to the database. What a run reads is played by
a row of versions in this process: a webhook raises a version *before* it is told, and a run reads
the versions *after* its claim. So when all has settled, what runs have landed must be the newest.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from support.ledger import CONFIG, LedgerWorld, state_of

from tap_rutter.fleet.ledger import ClaimLost, Ledger
from tap_rutter.fleet.model import (
    ALL_STREAMS,
    Claim,
    ConnectionOutcome,
    Fault,
    Lane,
    Mark,
    RunResult,
)

STREAMS = ("x", "y")
_BAD_ENDS = ["crash", "crash", "fails", "partly", "partly", "died", "stopped", "released"]
WORKERS = 4
ROUNDS = 45
CROWD = replace(
    CONFIG,
    lease_seconds=3600.0,
    park_after=10**6,
    back_off_seconds=0.001,
    longest_back_off_seconds=0.001,
)


class World:
    """What Rutter has, what has landed, and who is at work."""

    def __init__(self, ledger: LedgerWorld, seed: int) -> None:
        self.ledger = ledger
        self.random = random.Random(seed)
        self.ids = [f"c{number}" for number in range(10)]
        self.lock = threading.Lock()
        self.versions: dict[tuple[str, str], int] = defaultdict(int)
        self.landed: dict[tuple[str, str], int] = defaultdict(int)
        self.owners: dict[str, object] = {}
        self.late: list[Claim] = []
        self.faults: list[str] = []
        self.stop = threading.Event()

    def change(self, put: Ledger, rng: random.Random) -> None:
        """Something changes, and webhooks tell of it: in any order, doubled."""
        marks = []
        for _ in range(rng.randint(1, 4)):
            connection_id, stream = rng.choice(self.ids), rng.choice((*STREAMS, ALL_STREAMS))
            with self.lock:
                for name in STREAMS if stream == ALL_STREAMS else (stream,):
                    self.versions[connection_id, name] += 1
            since = rng.choice([None, None, datetime(2026, 3, rng.randint(1, 9), tzinfo=UTC)])
            marks += [Mark(connection_id, stream, since)] * rng.randint(1, 2)
        rng.shuffle(marks)
        put.put_webhooks(marks)

    def run(self, ledger: Ledger, claim: Claim, rng: random.Random) -> None:
        """One run of a claim, with one of the ends that a run can have."""
        with self.lock:
            for connection_id in claim.connection_ids:
                if connection_id in self.owners:
                    self.faults.append(f"two runs of {connection_id}")
                self.owners[connection_id] = claim.id
            read = {
                (member.connection_id, stream): self.versions[member.connection_id, stream]
                for member in claim.members
                for stream in STREAMS
                if claim.lane is not Lane.FRESH
                or {stream, ALL_STREAMS} & {mark.stream for mark in member.marks}
            }
        end = rng.choice(["well"] * 6 + _BAD_ENDS)
        ledger.save_states(
            claim.id, {id_: state_of(id_, str(claim.id)) for id_ in claim.connection_ids}
        )
        if end == "crash":  # its lease ends, somebody buries it, and then it comes back
            self.ledger.sql(
                "update rutter_fleet.claims set expires_at = clock_timestamp() where claim_id = %s",
                claim.id,
            )
            with self.lock:
                self.late.append(claim)
            return
        failed = rng.choice(claim.connection_ids) if end in ("fails", "partly") else None
        streams = (rng.choice(STREAMS),) if end == "partly" else STREAMS
        with self.lock:
            if end in ("well", "fails", "partly"):
                for key, version in read.items():
                    if key[0] != failed or key[1] not in streams:
                        self.landed[key] = max(self.landed[key], version)
            for connection_id in claim.connection_ids:
                self.owners.pop(connection_id)
        if end == "released":
            ledger.release(claim)
        elif end == "stopped":
            ledger.finish(claim, RunResult((), 0.01, stopped=True), config=CROWD)
        elif end == "died":
            ledger.finish(claim, RunResult((), 0.01, fault=Fault.RUN), config=CROWD)
        else:
            outcomes = tuple(
                ConnectionOutcome(
                    id_,
                    succeeded=id_ != failed,
                    rows=1,
                    requests=1,
                    failed_streams=streams if id_ == failed and end == "partly" else (),
                    read_others=True,
                )
                for id_ in claim.connection_ids
            )
            ledger.finish(claim, RunResult(outcomes, 0.01), config=CROWD)

    def bury(self, ledger: Ledger) -> None:
        """Take over what expired; its late worker finds every door closed."""
        for claim_id in ledger.expired_claims():
            with self.lock:
                late = [claim for claim in self.late if claim.id == claim_id]
                for claim in late:
                    self.late.remove(claim)
                    for connection_id in claim.connection_ids:
                        self.owners.pop(connection_id, None)
            ledger.bury(claim_id)
            for claim in late:
                states = {id_: state_of(id_, "late") for id_ in claim.connection_ids}
                for write in (
                    partial(ledger.finish, claim, _all_well(claim), config=CROWD),
                    partial(ledger.release, claim),
                    partial(ledger.save_states, claim.id, states),
                ):
                    try:
                        write()
                    except ClaimLost:
                        continue
                    self.faults.append("a late worker wrote")
                if ledger.renew([claim.id], 60):
                    self.faults.append("a late worker renewed")

    def work(self, seed: int) -> None:
        """One worker's life."""
        rng = random.Random(seed)
        try:
            with Ledger(self.ledger.url) as ledger:
                for _ in range(ROUNDS):
                    self.change(ledger, rng)
                    self.hurry()
                    claim = ledger.claim(rng.choice(list(Lane)), f"w{seed}", config=CROWD)
                    if claim is not None:
                        if rng.random() < 0.5:
                            self.change(ledger, rng)
                        self.run(ledger, claim, rng)
                    if rng.random() < 0.3:
                        self.bury(ledger)
        except BaseException as error:
            self.faults.append(repr(error))

    def hurry(self) -> None:
        """Let no pause between two starts hold a test up."""
        self.ledger.sql(
            "update rutter_fleet.connections set fresh_not_before = '-infinity',"
            " sweep_not_before = '-infinity' where connection_id in ("
            " select connection_id from rutter_fleet.connections order by 1 for update skip locked)"
        )


def _all_well(claim: Claim) -> RunResult:
    return RunResult(
        tuple(ConnectionOutcome(id_, succeeded=True) for id_ in claim.connection_ids), 0.01
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.longer
def test_whatever_workers_do_nothing_is_lost_and_nothing_runs_twice(
    ledger_world: LedgerWorld, seed: int
) -> None:
    world = World(ledger_world, seed)
    ledger_world.settled(*world.ids[:8])
    ledger_world.list(*world.ids[8:], platform="SHOPIFY")
    threads = [
        threading.Thread(target=world.work, args=(seed * 100 + number,))
        for number in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.faults == []
    # Everybody rests; what is left is run to a good end.
    world.bury(ledger_world.ledger)
    for _ in range(300):
        ledger_world.later(10)
        claims = [
            claim
            for lane in Lane
            if (claim := ledger_world.ledger.claim(lane, "last", config=CROWD)) is not None
        ]
        if not claims:
            break
        for claim in claims:
            for member in claim.members:
                for stream in STREAMS:
                    if claim.lane is not Lane.FRESH or {stream, ALL_STREAMS} & {
                        mark.stream for mark in member.marks
                    }:
                        key = member.connection_id, stream
                        world.landed[key] = world.versions[key]
            ledger_world.finish(claim, _all_well(claim))
    else:
        pytest.fail("it never came to an end")
    assert world.faults == []
    assert world.landed == {**world.landed, **world.versions}
    assert ledger_world.sql("select * from rutter_fleet.marks") == []
    assert all(row.claim_id is None for row in ledger_world.ledger.status())
    for row in ledger_world.sql("select connection_id, state, claim_id from rutter_fleet.states"):
        assert row["state"] == state_of(row["connection_id"], str(row["claim_id"]))


def test_nothing_starves_while_others_are_always_due(ledger_world: LedgerWorld) -> None:
    """Connections of one platform that change all the time do not keep another one waiting."""
    busy, quiet = [f"b{number}" for number in range(12)], ["q0", "q1"]
    ledger_world.settled(*busy)
    ledger_world.settled(*quiet, platform="SHOPIFY")
    ledger_world.sql("update rutter_fleet.connections set fresh_seconds = 1")
    ledger_world.ledger.put_webhooks([Mark(id_, "x") for id_ in (*busy, *quiet)])
    waited = 0
    while not {"q0", "q1"} & set((claim := ledger_world.claim()).connection_ids):
        ledger_world.ledger.put_webhooks([Mark(id_, "x") for id_ in busy])
        ledger_world.finish(claim)
        ledger_world.later(60)
        waited += 1
        assert waited <= len(busy)
