"""A whole fleet at work: how long rows take after their webhook, what an idle sweep costs, and how
many runs some workers get done.

Receiver, two workers, taps and targets are processes as users have them; Rutter is simulated, and
PostgreSQL embedded, on the same cores. What is counted begins when all connections have been read.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.bench import Bench, Entry
from benchmarks.loading import postgres
from benchmarks.measure import Cost, RunFailed
from benchmarks.rows import Row
from tap_rutter.demo.database import SCHEMA, Database
from tap_rutter.demo.fleet import PATHS, STREAMS, fleet_world
from tap_rutter.demo.fleet_scene import Scene, until
from tap_rutter.demo.fleet_watch import Watch, change_something, percentile

FRESH, IDLE, SCALE = "From webhook to row", "An idle sweep", "More workers"
_KEYS = {1: "one-worker", 2: "two-workers", 4: "four-workers"}
REFERENCE = _KEYS[2]
_PACE = 5.0
"""Changes a second."""
_FIRST_READS_SECONDS = 3_600.0
_END_SECONDS = 600.0
_COUNTED_SECONDS = 2.0
"""PostgreSQL counts insertions some time after they happened."""
_SHARE = 0.03  # of the rows of the usual world's connections: some twenty orders
_WORKERS = (1, 2, 4)
_SESSIONS = 300
"""Of PostgreSQL: a first read holds up to ten, and each slot can have one."""
_BUSY = "while-busy"
_AGAIN_SECONDS = 30
"""How often all connections become due for a sweep, and the large one for a whole read."""
_SETTINGS = {"slots": 4, "lease_seconds": 60.0, "full_read_hours": 0, "sweep_minutes": 100_000}


def measure_fresh(bench: Bench) -> tuple[str, list[Row]]:
    """Webhook to row, over many connections."""
    connections, seconds = bench.size(200, 4), bench.size(120, 4)
    changes, orders = round(_PACE * seconds), bench.size(10_000, 200)

    def once(scene: Scene, row: Row) -> Cost:
        watch, dice = Watch(scene.database.uri), random.Random(5)
        made = []
        large = _largest(scene)
        changing = [each for each in scene.readable() if each.id != large]
        before, started = _spent(scene), time.monotonic()
        try:
            for number in range(changes):
                time.sleep(max(0.0, started + number / _PACE - time.monotonic()))
                if row.key == _BUSY and number % (_PACE * _AGAIN_SECONDS) == 0:
                    _make_busy(scene, large)
                made.append(change_something(scene.world, changing, PATHS, dice))
                watch.add(made[-1])
            until(lambda: not watch.waiting(), _END_SECONDS, "rows did not come")
        finally:
            watch.end()
        taken = [change.seconds for change in made if change.seconds is not None]
        row.note = (
            f"p50 {percentile(taken, 0.5):.1f} s, p95 {percentile(taken, 0.95):.1f} s,"
            f" longest {max(taken):.1f} s"
        )
        return _cost(scene, before, started)

    about = (
        f"{_PACE:.0f} changes a second for {seconds} s, over {connections} connections, each with"
        " its webhook. CPU and memory are those of receiver, workers, taps and targets. Once more"
        f" while, every {_AGAIN_SECONDS} s, all connections become due for a sweep, and one more"
        f" connection for a read of all its {orders:,} orders."
    )
    return about, _measured(bench, "fresh", connections, changes, once, (2,), orders)


def measure_idle(bench: Bench) -> tuple[str, list[Row]]:
    """A sweep over connections of which none has changed."""
    connections = bench.size(500, 4)

    def sweep(scene: Scene) -> None:
        _let_sweep(scene)
        until(lambda: _is_swept(scene), _END_SECONDS, "the sweep did not end")

    def once(scene: Scene, _: Row) -> Cost:
        sweep(scene)  # the first one learns after which sync of Rutter's each was read
        before, started = _spent(scene), time.monotonic()
        sweep(scene)
        return _cost(scene, before, started)

    about = (
        f"A sweep over {connections} connections. Rutter has synced none of them since the sweep"
        f" before. Selected are {len(STREAMS)} streams. CPU and memory are those of receiver,"
        " workers, taps and targets."
    )
    return about, _measured(bench, "idle", connections, connections, once)


def measure_scale(bench: Bench) -> tuple[str, list[Row]]:
    """How fast one, two and four workers read what has changed in all connections at once."""
    connections = bench.size(200, 4)

    def once(scene: Scene, row: Row) -> Cost:
        watch, dice = Watch(scene.database.uri), random.Random(5)
        runs = _runs(scene)
        before, started = _spent(scene), time.monotonic()
        try:
            for connection in scene.readable():
                watch.add(change_something(scene.world, [connection], PATHS, dice))
            until(lambda: not watch.waiting(), _END_SECONDS, "rows did not come")
            cost = _cost(scene, before, started)
        finally:
            watch.end()
        runs = _runs(scene) - runs
        row.note = (
            f"{runs / cost.wall * 60:.0f} runs a minute; {cost.cpu / cost.wall:.1f} processors busy"
        )
        return cost

    about = (
        f"One row changes in each of {connections} connections, all at once, each with its webhook."
        " Measured until all rows can be seen. CPU and memory are those of receiver, workers, taps"
        " and targets; the simulator and PostgreSQL need processors, too."
    )
    return about, _measured(bench, "scale", connections, connections, once, _WORKERS)


def _measured(
    bench: Bench,
    name: str,
    connections: int,
    units: int,
    once: Callable[[Scene, Row], Cost],
    worker_counts: Sequence[int] = (2,),
    orders: int = 0,
) -> list[Row]:
    """``orders``: those of one more connection; then all is measured once more while it is busy."""
    with postgres(f"postgres-fleet-{name}", _SESSIONS) as database:

        def entry(workers: int, key: str, doing: str = "") -> Entry:
            row = Row(
                group="all",
                key=key,
                label=f"{workers} worker{'s' if workers > 1 else ''}{doing}",
                setting=f"{_SETTINGS['slots']} slots each, no broker",
                units=units,
                records=units,
            )

            def run(folder: Path) -> Cost:
                with _fleet(database, folder, connections, workers, orders) as scene:
                    return once(scene, row)

            return Entry(row, run)

        entries = [entry(workers, _KEYS[workers]) for workers in worker_counts]
        if orders:
            entries.append(entry(2, _BUSY, ", during sweeps and large reads"))
        return bench.measure(entries)


def _largest(scene: Scene) -> str:
    """The connection with the most orders."""
    return max(scene.readable(), key=lambda each: each.counts.get("/orders", 0)).id


def _let_sweep(scene: Scene) -> None:
    """All connections become due for a sweep."""
    with psycopg.connect(scene.database.uri, autocommit=True) as connection:
        connection.execute("update rutter_fleet.connections set sweep_at = clock_timestamp()")


def _make_busy(scene: Scene, large: str) -> None:
    """All connections become due for a sweep, and one for a read of everything it has."""
    _let_sweep(scene)
    with psycopg.connect(scene.database.uri, autocommit=True) as connection:
        connection.execute(
            "update rutter_fleet.connections set full_at = clock_timestamp()"
            " where connection_id = %s",
            [large],
        )


def _runs(scene: Scene) -> int:
    """How many claims there have been so far; each is a run."""
    time.sleep(_COUNTED_SECONDS)
    ((count,),) = scene.query(
        "select n_tup_ins from pg_stat_user_tables"
        " where schemaname = 'rutter_fleet' and relname = 'claims'"
    )
    return int(count)


@contextmanager
def _fleet(
    database: Database, folder: Path, connections: int, workers: int, orders: int = 0
) -> Iterator[Scene]:
    """A fleet that has read everything once, and has nothing to do."""
    with psycopg.connect(database.uri, autocommit=True) as connection:
        for name in ("rutter_fleet", SCHEMA):
            connection.execute(f"drop schema if exists {name} cascade".encode())
    world = fleet_world(connections, share=_SHARE)
    if orders:
        world.add_connection("SHOPIFY", name="A large one", counts={"/orders": orders})
    scene = Scene(folder / "fleet", world, database, STREAMS, settings=_SETTINGS)
    try:
        scene.start(workers=workers)
        until(scene.is_read_once, _FIRST_READS_SECONDS, "the first reads did not end")
        until(lambda: scene.is_idle() and _is_swept(scene), _END_SECONDS, "it did not come to rest")
        yield scene
    except RuntimeError as error:
        raise RunFailed(str(error)) from error
    finally:
        scene.stop()


def _is_swept(scene: Scene) -> bool:
    ((busy,),) = scene.query(
        "select count(*) from rutter_fleet.connections"
        " where sweep_at is not null or claim_id is not null"
    )
    return not busy


def _cost(scene: Scene, before: float, started: float) -> Cost:
    wall = time.monotonic() - started
    peak = sum(_memory(pid) for pid in _tree(scene))
    return Cost(wall=wall, cpu=_spent(scene) - before, peak=peak)


def _spent(scene: Scene) -> float:
    """Seconds of processor time so far, with what has ended: each process answers for its own."""
    return sum(_processor_seconds(pid) for pid in _tree(scene))


def _tree(scene: Scene) -> Sequence[int]:
    """Receiver, workers, and all that they have started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    waiting = [process.pid for process in (*scene.workers, scene.receiver) if process is not None]
    found = []
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def _stat(pid: int) -> list[str]:
    """From the state on; empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    except OSError:
        return []


def _processor_seconds(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Bytes, of which what several share is divided among them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line[:4] == "Pss:")
