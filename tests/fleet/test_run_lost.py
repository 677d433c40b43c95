"""Runs whose worker is gone for others: they end before anybody takes their connections over."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from support.ledger import CONFIG, LedgerWorld
from support.run_workers import Worker, all_gone
from support.runs import WELL, Fleet, scripted
from support.threads import until

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Lane
from tap_rutter.fleet.runs import session_name
from tap_rutter.fleet.runs.runner import close_nurseries
from tap_rutter.fleet.work import housekeeping as housekeeping_of
from tap_rutter.fleet.work.housekeeping import Housekeeping
from tap_rutter.fleet.work.place import end_sessions_of
from tap_rutter.simulator import Simulator, World


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks into /proc")
@pytest.mark.longer
def test_a_run_ends_by_itself_when_its_worker_stands_still(tmp_path: Path) -> None:
    """Its target may not have been in the database yet, where nobody could end its sessions."""
    world = World()
    world.add_connection("SHOPIFY", counts={"/orders": 12, "/products": 3})
    with Simulator(world) as simulator:
        fleet = Fleet(simulator, tmp_path, target=scripted(tmp_path, WELL))
        reached = threading.Event()
        simulator.faults.add(
            "delay", path="/products", seconds=300, call=lambda _: reached.set(), times=None
        )
        worker = Worker(fleet, lease_seconds=20.0)
        try:
            assert reached.wait(60)
            processes = worker.look()
            script = fleet.config.target_command[1]
            (target,) = [pid for pid, line in processes.items() if script in line]
            os.kill(worker.process.pid, signal.SIGSTOP)
            until(lambda: all_gone([target]), "the end of the target", 60)
            os.kill(worker.process.pid, signal.SIGCONT)
            simulator.faults.clear()
            assert "asked to end" in worker.wait(), "it is nobody's fault"
        finally:
            worker.process.kill()
            worker.process.wait()
            close_nurseries()


def test_a_session_that_comes_after_its_claim_was_given_up_is_ended(
    ledger_world: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FleetConfig(target_database_url=ledger_world.url)
    ledger_world.settled("a")
    ledger_world.later(3601)
    ledger_world.ledger.make_due(CONFIG)
    claim = ledger_world.claim(Lane.SWEEP)
    ledger_world.later(61)

    def end_sessions(claim_id: UUID) -> None:
        end_sessions_of(claim_id, config)

    keeper = Housekeeping(
        config,
        ledger_world.ledger,
        connections=None,  # type: ignore[arg-type]
        end_sessions=end_sessions,
        ring=lambda _: None,
    )
    keeper.bury_lost()
    assert ledger_world.row("a", "claim_id") == {"claim_id": None}
    name = session_name(claim.id)
    with psycopg.connect(ledger_world.url, application_name=name) as late:
        keeper.end_late_sessions()
        with pytest.raises(psycopg.OperationalError):
            late.execute("select 1")
    # The claim that took over is another one, and nobody ends its sessions.
    with psycopg.connect(ledger_world.url, application_name=session_name(UUID(int=7))) as other:
        monkeypatch.setattr(housekeeping_of, "_AGAIN_SECONDS", 0.0)
        keeper.end_late_sessions()
        other.execute("select 1")
