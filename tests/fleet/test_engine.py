"""Workers over a real ledger: nobody runs a connection twice at once, and nothing due is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from support.ledger import LedgerWorld
from support.threads import until

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.model import Claim, ConnectionOutcome, Fault, Lane, Mark, RunResult, State
from tap_rutter.fleet.work.connection_list import ConnectionList
from tap_rutter.fleet.work.engine import Engine
from tap_rutter.simulator import Simulator, standard_world
from tap_rutter.versions import LATEST

Run = Callable[["Call"], RunResult | None]


class Call:
    """What a run was given."""

    def __init__(self, claim: Claim, given: Mapping[str, Any]) -> None:
        self.claim = claim
        self.listing: Mapping[str, Mapping[str, Any]] = given["listing"]
        self.on_states: Callable[[dict[str, State], State], None] = given["on_states"]
        self.stop: threading.Event = given["stop"]
        self.kill: threading.Event = given["kill"]

    def all_well(self, **facts: Any) -> RunResult:
        outcomes = tuple(
            ConnectionOutcome(member.connection_id, succeeded=True, rows=1)
            for member in self.claim.members
        )
        return RunResult(outcomes, 0.01, **facts)


class Runs:
    """Stands in for tap and target; notices when a connection is run twice at once."""

    def __init__(self, behave: Run | None = None) -> None:
        self.calls: list[Call] = []
        self.overlaps: list[str] = []
        self.behave = behave
        self._running: set[str] = set()
        self._guard = threading.Lock()

    def claim_id(self) -> UUID:
        return uuid4()

    def prepare(self) -> None:
        pass

    def close(self) -> None:
        pass

    def run(self, claim: Claim, **given: Any) -> RunResult:
        call = Call(claim, given)
        mine = set(claim.connection_ids)
        with self._guard:
            self.calls.append(call)
            self.overlaps += sorted(mine & self._running)
            self._running |= mine
        try:
            result = self.behave(call) if self.behave else None
            return result or call.all_well()
        finally:
            with self._guard:
                self._running -= mine

    @property
    def connections(self) -> list[str]:
        return [name for call in self.calls for name in call.claim.connection_ids]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(standard_world()) as running:
        yield running


def config_of(simulator: Simulator, world: LedgerWorld, **settings: Any) -> FleetConfig:
    tap = {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "api_url": simulator.api_url,
        "max_retry_seconds": 1,
    }
    given: dict[str, Any] = {"slots": 4, "look_seconds": 0.1, "stop_seconds": 2.0, **settings}
    return FleetConfig(ledger_url=world.url, tap_config=tap, **given)


@contextmanager
def working(config: FleetConfig, runs: Runs, ended: list[UUID] | None = None) -> Iterator[Engine]:
    with Ledger(config.ledger_url, pool_size=config.slots + 1) as ledger:
        engine = Engine(
            config,
            ledger,
            place=lambda: runs,
            end_sessions=(ended if ended is not None else []).append,
        )
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()


def readable(simulator: Simulator) -> set[str]:
    connections = simulator.world.connections.values()
    return {c.id for c in connections if c.status in {"active", "unhealthy"}}


def test_what_rutter_lists_is_added_and_run_once_with_its_token(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    runs = Runs()
    with working(config_of(simulator, ledger_world), runs):
        until(lambda: set(runs.connections) == readable(simulator))
        until(lambda: not any(ledger_world.ledger.due().values()))
        time.sleep(0.5)
    assert sorted(runs.connections) == sorted(readable(simulator))
    for call in runs.calls:
        assert len({member.platform for member in call.claim.members}) == 1
        for name, row in call.listing.items():
            assert row["access_token"] == simulator.world.connections[name].access_token
    stands = {row.connection_id: row for row in ledger_world.ledger.status()}
    assert stands.keys() == simulator.world.connections.keys()
    assert all(stands[name].swept_at for name in readable(simulator))


def test_many_workers_never_run_a_connection_twice_at_once(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    runs = Runs(lambda _: time.sleep(0.05))
    config = config_of(simulator, ledger_world, largest_run=2)
    with working(config, runs), working(config, runs), working(config, runs):
        names = sorted(readable(simulator))
        for turn in range(5):
            ledger_world.ledger.put_webhooks(Mark(name, "commerce_orders") for name in names)
            time.sleep(0.3 * (turn % 2))
        until(lambda: set(runs.connections) == set(names))
        ledger_world.later(10)
        until(lambda: not any(ledger_world.ledger.due().values()))
    assert runs.overlaps == []


def test_a_state_that_is_handed_over_is_given_to_the_next_run(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    def behave(call: Call) -> None:
        states = {
            name: {
                "bookmarks": {
                    "connections": {"partitions": [{"context": {"connection_id": name}, "n": 1}]}
                }
            }
            for name in call.claim.connection_ids
        }
        call.on_states(states, {})

    runs = Runs(behave)
    with working(config_of(simulator, ledger_world), runs) as engine:
        until(lambda: set(runs.connections) == readable(simulator))
        first = len(runs.calls)
        (name, *_) = readable(simulator)
        ledger_world.later(30)
        ledger_world.ledger.make_dirty(name)
        engine.housekeeping.relay()
        until(lambda: name in [n for c in runs.calls[first:] for n in c.claim.connection_ids])
    again = next(c for c in runs.calls[first:] if name in c.claim.connection_ids)
    (member,) = [m for m in again.claim.members if m.connection_id == name]
    assert member.state is not None
    (partition,) = member.state["bookmarks"]["connections"]["partitions"]
    assert partition["context"] == {"connection_id": name}


def test_a_run_that_cannot_renew_its_lease_is_killed_before_the_lease_ends(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    expired_when_killed: list[bool] = []

    def hang(call: Call) -> RunResult:
        assert call.kill.wait(20)
        expired_when_killed.append(call.claim.id in ledger_world.ledger.expired_claims())
        return RunResult((), 1.0, Fault.RUN, "killed")

    runs = Runs(hang)
    config = config_of(simulator, ledger_world, lease_seconds=3.0, slots=1)
    with working(config, runs) as engine:
        until(lambda: bool(runs.calls))
        engine.heartbeat._ledger.close()
        until(lambda: bool(expired_when_killed))
    assert expired_when_killed[0] is False


def test_what_a_lost_worker_held_is_run_by_others_once_its_sessions_are_ended(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    config = config_of(simulator, ledger_world, lease_seconds=1.0)
    ConnectionList(config, ledger_world.ledger).refresh()
    claims = [ledger_world.ledger.claim(Lane.BULK, "gone", config=config) for _ in range(2)]
    lost = {claim.id: claim.connection_ids for claim in claims if claim is not None}
    assert lost
    order: list[UUID | str] = []
    runs = Runs(lambda call: order.extend(call.claim.connection_ids))
    ended: list[UUID] = order  # type: ignore[assignment]
    with working(config, runs, ended):
        until(lambda: set(lost) <= set(order))
        ledger_world.later(60)
        until(lambda: set(runs.connections) == readable(simulator))
    for claim_id, names in lost.items():
        for name in names:
            assert order.index(claim_id) < order.index(name)


def test_a_stop_ends_runs_in_order_and_counts_against_nobody(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    def until_stopped(call: Call) -> RunResult:
        assert call.stop.wait(20)
        return RunResult((), 1.0, stopped=True)

    runs = Runs(until_stopped)
    with working(config_of(simulator, ledger_world), runs):
        until(lambda: bool(runs.calls))
    (run, *_) = runs.calls
    assert not run.kill.is_set()
    for row in ledger_world.ledger.status(run.claim.connection_ids):
        assert row.claim_id is None
        assert row.failures == 0
        assert row.lane is not None, "it is due again at once"


@pytest.mark.longer
def test_a_run_that_does_not_stop_is_killed_in_the_end(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    def stubborn(call: Call) -> RunResult:
        assert call.kill.wait(30)
        return RunResult((), 1.0, stopped=True)

    runs = Runs(stubborn)
    with working(config_of(simulator, ledger_world, stop_seconds=0.1), runs):
        until(lambda: bool(runs.calls))
    assert all(call.kill.is_set() for call in runs.calls)


def test_a_fault_of_the_fleet_pauses_claiming_and_parks_nobody(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    runs = Runs(lambda _: RunResult((), 0.1, Fault.FLEET, "the database refuses the password"))
    with working(config_of(simulator, ledger_world, park_after=1), runs):
        until(lambda: ledger_world.ledger.paused() is not None)
        time.sleep(0.3)
        count = len(runs.calls)
        time.sleep(0.5)
        assert len(runs.calls) == count
    assert "refuses the password" in (ledger_world.ledger.paused() or "")
    stands = ledger_world.ledger.status(sorted(readable(simulator)))
    assert {row.status for row in stands} == {"active"}
    assert {row.failures for row in stands} == {0}


def test_refused_credentials_pause_claiming(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    config = config_of(simulator, ledger_world)
    config = FleetConfig(
        **{**vars(config), "tap_config": {**config.tap_config, "client_secret": "not-the-secret"}}
    )
    runs = Runs()
    with working(config, runs):
        until(lambda: ledger_world.ledger.paused() is not None)
    assert "not-the-secret" not in (ledger_world.ledger.paused() or "")
    assert runs.calls == []


def test_requests_refused_for_their_number_slow_everybody(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    runs = Runs(lambda call: call.all_well(throttled=3))
    with working(config_of(simulator, ledger_world), runs):
        until(lambda: bool(runs.calls))
        until(lambda: ledger_world.ledger.speed() < 1)


def test_an_exception_in_a_run_costs_no_slot(
    simulator: Simulator, ledger_world: LedgerWorld
) -> None:
    broken: set[tuple[str, ...]] = set()

    def behave(call: Call) -> None:
        if not broken:
            broken.add(call.claim.connection_ids)
            raise ZeroDivisionError

    runs = Runs(behave)
    with working(config_of(simulator, ledger_world, slots=1, lease_seconds=1.5), runs):
        until(lambda: set(runs.connections) == readable(simulator))
        ledger_world.later(60)
        ((*lost,),) = broken
        until(lambda: runs.connections.count(lost[0]) >= 2)


def test_a_worker_of_another_api_version_waits_until_the_fleet_is_brought_to_it(
    simulator: Simulator, ledger_world: LedgerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    ledger_world.ledger.change_api_version("2024-04-30")
    ledger_world.list("a")
    lost = ledger_world.claim(
        Lane.BULK, config=FleetConfig(tap_config={"api_version": "2024-04-30"}, lease_seconds=0)
    )
    runs, ended = Runs(), list[UUID]()
    with working(config_of(simulator, ledger_world, look_seconds=0.02), runs, ended):
        until(lambda: "This worker waits" in caplog.text)
        time.sleep(0.5)
        assert (runs.calls, ended) == ([], []), "it looks after nothing"
        assert ledger_world.ledger.paused() is None
        assert caplog.text.count("This worker waits") == 1
        ledger_world.ledger.change_api_version(LATEST)
        until(lambda: set(runs.connections) >= readable(simulator))
        until(lambda: ended)
    assert set(ended) == {lost.id}
    assert "Traceback" not in caplog.text


def test_settings_that_the_tap_does_not_take_are_refused_at_the_start(
    ledger_world: LedgerWorld,
) -> None:
    config = FleetConfig(ledger_url=ledger_world.url, tap_config={"client_id": "only"})
    with pytest.raises(ConfigError, match="client_secret"):
        ConnectionList(config, ledger_world.ledger)
