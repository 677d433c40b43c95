"""Harm to the processes of runs: nothing is lost, nothing stays behind, nothing secret is seen."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.hidden import secrets
from support.ledger import own_database
from support.run_workers import Worker, all_gone
from support.runs import (
    LANDS,
    WELL,
    Fleet,
    descendants,
    is_alive,
    mark,
    scripted,
)
from support.threads import until

from tap_rutter.demo.database import Database
from tap_rutter.fleet.model import Fault, Lane, RunResult
from tap_rutter.fleet.runs import Slot, remove_leftovers
from tap_rutter.fleet.runs.runner import close_nurseries, nursery_of_process
from tap_rutter.fleet.runs.slot import imports_of
from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are looked at as Linux shows them"
)

ORDERS, PRODUCTS = "commerce_orders", "commerce_products"


@pytest.fixture
def run_rutter() -> Iterator[Simulator]:
    world = World()
    for _ in range(2):
        world.add_connection("SHOPIFY", counts={"/orders": 60, "/products": 6})
    with Simulator(world) as simulator:
        yield simulator


@pytest.fixture
def fleet(run_rutter: Simulator, tmp_path: Path) -> Iterator[Fleet]:
    close_nurseries()  # each test has one of its own, whose end is seen
    catalog = tmp_path / "catalog.json"
    streams = [{"tap_stream_id": name, "schema": {}} for name in (ORDERS, PRODUCTS)]
    catalog.write_text(json.dumps({"streams": streams}), encoding="utf-8")
    made = Fleet(run_rutter, tmp_path, target=scripted(tmp_path, WELL))
    made.more = {"catalog": str(catalog)}
    made.tap = {"page_size": 10, "concurrency": 2}
    yield made
    close_nurseries()


class Running:
    """A run that is under way in a thread: its tap waits for an answer that does not come."""

    def __init__(self, fleet: Fleet) -> None:
        reached = threading.Event()
        fleet.simulator.faults.add(
            "delay", path="/products", seconds=300, call=lambda _: reached.set(), times=None
        )
        self.results: list[RunResult] = []
        claim = fleet.claim(*fleet.simulator.world.connections.values())
        self.thread = threading.Thread(target=lambda: self.results.append(fleet.run(claim)))
        self.thread.start()
        assert reached.wait(60)
        fleet.simulator.faults.clear()
        nursery = nursery_of_process(imports_of(fleet.config)).pid
        assert nursery is not None
        self.nursery = nursery
        self.processes = descendants(nursery)
        script = fleet.config.target_command[1]
        (self.target,) = [pid for pid, line in self.processes.items() if script in line]
        self.supervisor = _parent(self.target)
        (self.tap,) = [
            pid for pid in self.processes if _parent(pid) == self.supervisor and pid != self.target
        ]

    def ended(self) -> RunResult:
        self.thread.join(60)
        (result,) = self.results
        return result


def _parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rpartition(")")[2].split()[1])


def _targets(fleet: Fleet) -> list[int]:
    """The targets that are running: what each supervisor has started first."""
    nursery = nursery_of_process(imports_of(fleet.config)).pid
    found = descendants(nursery) if nursery else {}
    supervisors = [pid for pid in found if _parent(pid) == nursery]
    children = [[pid for pid in found if _parent(pid) == above] for above in supervisors]
    return [min(pids) for pids in children if pids]


# ---- a single process


@pytest.mark.parametrize("victim", ["tap", "target", "supervisor"])
def test_a_process_that_is_killed_ends_its_run_and_no_other(fleet: Fleet, victim: str) -> None:
    running = Running(fleet)
    os.kill(getattr(running, victim), signal.SIGKILL)
    done = running.ended()
    assert (done.fault, done.stopped, done.outcomes) == (Fault.RUN, False, ())
    until(lambda: all_gone(running.processes), f"the end of what was left of {victim}")
    assert list(fleet.work_directory.iterdir()) == []
    again = fleet.run(fleet.claim(*fleet.simulator.world.connections.values()))
    assert again.fault is None, again.message


def test_a_run_goes_on_without_its_nursery_and_the_next_gets_another(fleet: Fleet) -> None:
    running = Running(fleet)
    os.kill(running.nursery, signal.SIGKILL)
    os.kill(running.target, signal.SIGCONT)  # still there
    assert is_alive(running.tap)
    again = fleet.run(fleet.claim(*fleet.simulator.world.connections.values()))
    assert again.fault is None, again.message
    os.kill(running.target, signal.SIGKILL)
    assert running.ended().fault is Fault.RUN
    until(lambda: all_gone(running.processes), "the end of the first run")


def test_what_a_target_started_ends_with_the_run(fleet: Fleet) -> None:
    fleet.use(
        target_command=scripted(
            fleet.directory,
            """
            import subprocess
            child = subprocess.Popen(["sleep", "600"])
            say({"pid": child.pid})
            print(child.pid, file=sys.stderr, flush=True)
            for line in lines:
                if line["type"] == "STATE":
                    last = line["value"]
            say(last)
            with open(sys.argv[0] + ".child", "w") as file:
                file.write(str(child.pid))
            """,
        )
    )
    done = fleet.run(fleet.claim(*fleet.simulator.world.connections.values()))
    assert done.fault is None, done.message
    child = int(Path(fleet.config.target_command[1] + ".child").read_text(encoding="utf-8"))
    until(lambda: not is_alive(child), "the end of the target's own child")


# ---- the worker


def held(fleet: Fleet) -> threading.Event:
    """The tap gets no answer for its products."""
    reached = threading.Event()
    fleet.simulator.faults.add(
        "delay", path="/products", seconds=300, call=lambda _: reached.set(), times=None
    )
    return reached


@pytest.mark.parametrize("besides", ["", "nursery", "supervisor"])
def test_a_worker_that_is_killed_takes_its_runs_with_it(fleet: Fleet, besides: str) -> None:
    reached = held(fleet)
    worker = Worker(fleet)
    assert reached.wait(60)
    processes = worker.look()
    script = fleet.config.target_command[1]
    (target,) = [pid for pid, line in processes.items() if script in line]
    supervisor = _parent(target)
    others = {"": [], "nursery": [_parent(supervisor)], "supervisor": [supervisor]}[besides]
    # So that neither sees the other go, and does its part.
    os.kill(worker.process.pid, signal.SIGSTOP)
    for pid in (*others, worker.process.pid):
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    until(worker.all_gone, "the end of all processes of the worker")
    if besides == "supervisor":
        assert remove_leftovers(str(fleet.work_directory)) == 1, "nobody was left to remove it"
    assert list(fleet.work_directory.iterdir()) == []


def test_nothing_secret_is_seen_of_a_run(fleet: Fleet) -> None:
    reached = held(fleet)
    world = fleet.simulator.world
    hidden = dict(fleet.config.tap_config)
    secret = hidden.pop("client_secret")
    fleet.use(tap_config=hidden)
    worker = Worker(
        fleet,
        TAP_RUTTER_CLIENT_SECRET=secret,
        RUTTER_FLEET_LEDGER_URL="postgresql://u:pass-of-the-ledger@h/d",
    )
    try:
        assert reached.wait(60)
        processes = worker.look()
        assert len(processes) >= 4, "nursery, supervisor, target and tap"
        shown = ""
        for pid, line in processes.items():
            shown += line + Path(f"/proc/{pid}/environ").read_text(encoding="utf-8") + "\n"
        for entry in fleet.work_directory.rglob("*"):
            assert entry.stat().st_mode & 0o077 == 0, entry
    finally:
        worker.kill()
    until(worker.all_gone, "the end of all processes of the worker")
    for what, text in {**secrets(world), "ledger": "pass-of-the-ledger"}.items():
        assert text not in shown, what
    kept = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in (fleet.directory / "runs").rglob("*")
        if path.is_file()
    )
    assert kept == ""


# ---- harm at any moment


def _landed(path: Path) -> set[tuple[str, str, str]]:
    found = set()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            stream, connection, key = json.loads(line)
        except ValueError:
            continue  # a line that was cut off by a kill
        found.add((stream, connection, key))
    return found


def _expected(fleet: Fleet) -> set[tuple[str, str, str]]:
    return {
        (stream, connection, key)
        for stream, path in ((ORDERS, "/orders"), (PRODUCTS, "/products"))
        for connection, key in fleet.expected(path)
    }


def _change(fleet: Fleet, random_: random.Random) -> None:
    world = fleet.simulator.world
    world.advance(600)
    for connection in world.connections:
        world.sync(connection)
        for path in ("/orders", "/products"):
            for _ in range(random_.randrange(8)):
                world.create(connection, path)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.longer
def test_kills_at_any_moment_lose_nothing(fleet: Fleet, seed: int) -> None:
    chance = random.Random(seed)
    path = fleet.directory / "landed.jsonl"
    target = scripted(fleet.directory, LANDS.replace("{path!r}", repr(str(path))))
    fleet.use(target_command=target)
    fleet.simulator.faults.add("delay", path="/*", seconds=0.02, times=None)
    for _ in range(6):
        _change(fleet, chance)
        worker = Worker(fleet)
        victims = ["worker", "target", "other"]
        end = chance.uniform(0.3, 3.0)
        wait = threading.Event()
        wait.wait(end)
        processes = worker.look()
        victim = chance.choice(victims)
        ours = [
            pid for pid, line in processes.items() if (target[1] in line) == (victim == "target")
        ]
        pid = worker.process.pid if victim == "worker" or not ours else chance.choice(ours)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        worker.wait()
        until(worker.all_gone, f"the end of all processes after {victim} was killed")
    final = Worker(fleet)
    said = final.wait()
    assert final.process.returncode == 0, said
    assert _expected(fleet) - _landed(path) == set()
    assert _landed(path) - _expected(fleet) == set()
    remove_leftovers(str(fleet.work_directory))
    assert list(fleet.work_directory.iterdir()) == []


def test_kills_of_the_real_target_lose_nothing(
    run_rutter: Simulator, tmp_path: Path, postgres: Database
) -> None:
    chance = random.Random(7)
    with own_database(postgres) as url:
        fleet = Fleet(run_rutter, tmp_path, url)
        fleet.tap = {"page_size": 10}
        assert any(name.startswith("target=") for name in imports_of(fleet.config)), "it is forked"
        for _ in range(3):
            _change(fleet, chance)
            shops = run_rutter.world.connections.values()
            claim = fleet.claim(
                *(fleet.member(shop, mark(ORDERS)) for shop in shops), lane=Lane.FRESH
            )
            results: list[RunResult] = []
            run = threading.Thread(target=lambda: results.append(fleet.run(claim)))  # noqa: B023
            run.start()
            targets = until(
                lambda: _targets(fleet),
                "the target",
            )
            threading.Event().wait(chance.uniform(0.0, 2.0))
            for pid in targets:
                with suppress(ProcessLookupError):
                    os.kill(pid, chance.choice([signal.SIGKILL, signal.SIGTERM]))
            run.join(120)
            (done,) = results
            assert done.fault in (None, Fault.RUN), done
        shops = run_rutter.world.connections.values()
        claim = fleet.claim(*(fleet.member(shop, mark(ORDERS)) for shop in shops), lane=Lane.FRESH)
        done = fleet.run(claim)
        assert done.fault is None, done
        assert fleet.landed(ORDERS) == fleet.expected("/orders")


def test_a_target_that_is_told_to_end_at_every_phase_lands_everything(
    run_rutter: Simulator, tmp_path: Path, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits, while it gets rows, and when the tap has ended and it still loads them."""
    told: list[str] = []
    with own_database(postgres) as url:
        fleet = Fleet(run_rutter, tmp_path, url)

        def tell(phase: str) -> None:
            for pid in _targets(fleet):
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                        told.append(phase)

        fleet.tap = {"page_size": 5, "concurrency": 1}
        slot = fleet.slot = Slot(fleet.config)
        replace_spare = slot.replace_spare

        def tap_ended() -> None:
            tell("ends")
            replace_spare()

        monkeypatch.setattr(slot, "replace_spare", tap_ended)
        run_rutter.faults.add("delay", path="/orders", call=lambda _: tell("reads"), times=None)
        claim_id = slot.claim_id()
        until(lambda: _targets(fleet), "the target")
        tell("waits")
        shops = [fleet.member(shop, mark(ORDERS)) for shop in run_rutter.world.connections.values()]
        done = fleet.run(fleet.claim(*shops, lane=Lane.FRESH, claim_id=claim_id))
        slot.close()
        assert done.fault is None, done
        assert set(told) == {"waits", "reads", "ends"}
        assert fleet.landed(ORDERS) == fleet.expected("/orders")
