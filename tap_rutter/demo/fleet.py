"""``rutterctl demo --fleet``: webhooks, a ledger, two workers, and one of them killed.

Rutter is simulated; the receiver, the workers, tap, target and PostgreSQL are what a user would
run, each in a process of its own.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from tap_rutter.demo import database
from tap_rutter.demo.fleet_scene import Scene, until
from tap_rutter.demo.fleet_watch import Change, Watch, change_something, percentile
from tap_rutter.simulator import World
from tap_rutter.simulator.worlds import counts_for

FOLDER = ".demo"
PATHS = {
    "commerce_orders": "/orders",
    "commerce_products": "/products",
    "accounting_invoices": "/accounting/invoices",
    "accounting_bills": "/accounting/bills",
}
STREAMS = [*PATHS, "deleted_objects", "connections", "sync_report"]
_PLATFORMS = ("SHOPIFY", "QUICKBOOKS", "BIG_COMMERCE", "XERO")
_LEASE_SECONDS = 10.0
_PATIENCE = 300.0
"""How long the demo waits for anything; a slow machine needs a part of it."""


def main(folder: Path, *, connections: int = 12, seconds: float = 40.0) -> int:
    """Run the fleet in a folder, and print how long rows took.

    Args:
        folder: takes what the demo makes, in ``.demo``.
        connections: how many there are.
        seconds: for how long rows change; a worker is killed in the middle.

    Returns:
        The exit code: 0, or 1 when rows are missing or old in the end.
    """
    demo = folder / FOLDER
    database.remove(demo / "postgres")
    shutil.rmtree(demo, ignore_errors=True)
    demo.mkdir()
    signal.signal(signal.SIGTERM, lambda number, _: exit(128 + number))
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    with database.running(demo / "postgres") as postgres:
        postgres.prepare()
        scene = Scene(
            demo / "fleet",
            fleet_world(connections),
            postgres,
            STREAMS,
            settings={"lease_seconds": _LEASE_SECONDS, "slots": 3},
        )
        try:
            return 0 if _show(scene, seconds, progress) else 1
        except RuntimeError as error:
            progress.print(f"[red]Error:[/red] {error}. The logs are in {scene.folder}.")
            return 1
        finally:
            scene.stop()


def fleet_world(connections: int, *, share: float = 0.1) -> World:
    """An organisation with so many connections of several platforms.

    Args:
        connections: how many.
        share: of the rows that connections of the usual world have.
    """
    world = World(7, immediate=True)
    for number in range(connections):
        platform = _PLATFORMS[number % len(_PLATFORMS)]
        connection = world.add_connection(platform, name=f"Merchant {number + 1}")
        counts = counts_for(world, connection, share)
        connection.counts = {path: n for path, n in counts.items() if path in PATHS.values()}
    return world


def _show(scene: Scene, seconds: float, progress: Console) -> bool:
    began = time.monotonic()
    scene.start(workers=2)
    progress.print(
        f"Rutter is simulated, with {len(scene.world.connections)} connections; a receiver, two"
        " workers, tap, target and PostgreSQL are real. There is no broker."
    )
    until(scene.is_read_once, _PATIENCE, "the first reads did not end")
    progress.print(f"Everything has been read once, after {time.monotonic() - began:.0f} s.")
    watch = Watch(scene.database.uri)
    dice = random.Random(3)
    before = _let_change(scene, watch, dice, seconds / 2)
    progress.print(f"{len(before)} rows changed, in {seconds / 2:.0f} s; each sent a webhook.")
    scene.workers[0].kill()
    progress.print(
        "One worker is killed (-9). What it was at is free when its lease ends, in at most"
        f" {_LEASE_SECONDS:.0f} s; the other goes on."
    )
    after = _let_change(scene, watch, dice, seconds / 2)
    progress.print(f"{len(after)} more rows changed.")
    try:
        until(lambda: not watch.waiting() and scene.is_idle(), _PATIENCE, "rows did not come")
    finally:
        watch.end()
    print()
    Console(highlight=False).print(
        latencies([("With two workers", before), ("After one was killed", after)])
    )
    print()
    missing = scene.missing(PATHS)
    for line in missing:
        progress.print(f"[red]Missing:[/red] {line}", markup=True)
    if not missing:
        progress.print("PostgreSQL holds what Rutter shows: nothing was lost.")
    return not missing


def _let_change(scene: Scene, watch: Watch, dice: random.Random, seconds: float) -> list[Change]:
    """Two rows a second."""
    changes = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        change = change_something(scene.world, scene.readable(), PATHS, dice)
        watch.add(change)
        changes.append(change)
        time.sleep(0.5)
    return changes


def latencies(phases: Sequence[tuple[str, Sequence[Change]]]) -> Grid:
    """From the webhook to the row that a query shows, in seconds."""
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("From webhook to row", no_wrap=True)
    for name in ("Rows", "Landed", "Half within", "95 % within", "Slowest"):
        grid.add_column(name, justify="right", no_wrap=True)
    for title, changes in phases:
        taken = [change.seconds for change in changes if change.seconds is not None]
        grid.add_row(
            title,
            str(len(changes)),
            str(len(taken)),
            f"{percentile(taken, 0.5):.1f} s",
            f"{percentile(taken, 0.95):.1f} s",
            f"{max(taken, default=0.0):.1f} s",
        )
    return grid
