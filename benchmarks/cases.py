"""The cases: what is read, with which contestants and settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import contestants as who
from benchmarks import idle, loading, receiving, working
from benchmarks.bench import STARTING, Bench, Entry, Served, failed, start_of
from benchmarks.contestants import Contestant, Job, workers_text
from benchmarks.fleets import ROWS_PER_LIST, fleet_world
from benchmarks.lists import RutterList, orders
from benchmarks.measure import Cost, RunFailed, run
from benchmarks.rows import Row, Start
from benchmarks.serve import World

WINDOWS = (
    ("even over a year", 0),
    ("bursts of two pages", 2),
    ("bursts of five pages", 5),
    ("bursts of ten pages", 10),
)
"""Shapes of a list, and how many pages a burst has."""
TOGETHER = "all"
"""The name of a case's only group."""


@dataclass(frozen=True)
class Case:
    """A question that the benchmarks answer."""

    name: str
    title: str
    unit: str
    reference: str
    measure: Callable[[Bench], tuple[str, list[Row]]]
    """Measures; gives what was done, and the results."""


# ---- one large connection


def one_connection(bench: Bench) -> tuple[str, list[Row]]:
    """Orders of one connection, for all contestants, at several latencies."""
    count = bench.size(100_000, 1_500)
    latencies = bench.size((0, 50, 200), (0,))
    chosen = [contestant for contestant in who.ALL if bench.wants(contestant)]
    with bench.serving(World(orders=1)) as server:
        starts = bench.starts(
            [_order_entry(bench, STARTING, one, 1, 1, server, None) for one in chosen]
        )
    begun = {row.key: start_of(row) for row in starts}
    rows = failed(starts)
    for latency in latencies:
        group = f"{latency} ms a page"
        with ExitStack() as stack:
            entries = []
            shares = {one.name: _share(one, latency) for one in chosen}
            for share in sorted(set(shares.values())):
                world = World(orders=count // share, latency=latency / 1000)
                server = stack.enter_context(bench.serving(world))
                entries += [
                    _order_entry(
                        bench, group, one, workers, count, server, begun[f"{one.name}-1"], share
                    )
                    for one in chosen
                    if shares[one.name] == share and begun[f"{one.name}-1"]
                    for workers in one.worker_counts
                ]
            rows += bench.measure(entries)
    about = (
        f"{count:,} orders of about 3 kB, {who.PAGE_SIZE} a page. CPU per record leaves out what"
        " the same contestant takes to read a single order."
    )
    return about, rows


def _share(contestant: Contestant, latency: int) -> int:
    """By which factor a job is made smaller for a contestant, so that slow peers take less time."""
    return contestant.share if contestant is who.TAP or not latency else max(contestant.share, 5)


def _order_entry(
    bench: Bench,
    group: str,
    contestant: Contestant,
    workers: int,
    count: int,
    server: dict[str, object],
    start: Start | None,
    share: int = 1,
) -> Entry:
    row = Row(
        group=group,
        key=f"{contestant.name}-{workers}",
        label=contestant.label,
        setting=workers_text(contestant, workers),
        units=count,
        records=count,
        measured_units=count // share if share > 1 else None,
        start=start,
    )
    once = bench.reading(contestant, server, [orders()], workers=workers, expected=count // share)
    return Entry(row, once)


def windows(bench: Bench) -> tuple[str, list[Row]]:
    """A long list at a slow API: one worker and many, for several shapes of data."""
    latency = bench.size(200, 20)
    months = bench.size(60, 12)
    rows: list[Row] = []
    for group, pages in WINDOWS:
        count = bench.size(300_000, 30_000) if not pages else months * pages * who.PAGE_SIZE
        world = World(
            orders=count,
            latency=latency / 1000,
            body_size=500,
            days=30 * months if pages else 365,
            burst=pages * who.PAGE_SIZE,
        )
        with bench.serving(world) as server:
            entries = []
            for workers in who.TAP.worker_counts:
                row = Row(
                    group=group,
                    key=f"tap-{workers}",
                    label=who.TAP.label,
                    setting=workers_text(who.TAP, workers),
                    units=count,
                    records=count,
                )
                once = bench.reading(who.TAP, server, [orders()], workers=workers, expected=count)
                entries.append(Entry(row, _counted(once, server)))
            measured = bench.measure(entries)
        walk = -(-count // who.PAGE_SIZE)
        for row in measured:
            if row.requests is not None:
                row.note = f"{row.requests:,} requests; its cursor takes {walk:,}"
        rows += measured
    about = (
        f"Orders of one connection, {who.PAGE_SIZE} a page, {latency} ms a page, read for the first"
        f" time. Bursts come once a month, within an hour, for {months} months."
    )
    return about, rows


def _counted(once: Callable[[Path], Cost], server: Served) -> Callable[[Path], Cost]:
    """The same, with the requests that were made to the list itself."""

    def counted(folder: Path) -> Cost:
        server.tell()
        cost = once(folder)
        return dataclasses.replace(cost, requests=server.tell().get(orders().path))

    return counted


def records(bench: Bench) -> tuple[str, list[Row]]:
    """The tap with larger and larger connections: cost per record, and memory."""
    counts = bench.size((10_000, 100_000, 1_000_000), (500, 1_000, 3_000))
    with ExitStack() as stack:

        def entry(count: int, start: Start | None) -> Entry:
            server = stack.enter_context(bench.serving(World(orders=count)))
            row = Row(
                group=TOGETHER if start else STARTING,
                key=str(count),
                label=who.TAP.label,
                setting=f"{count:,} orders",
                units=count,
                records=count,
                start=start,
            )
            once = bench.reading(who.TAP, server, [orders()], workers=who.MANY, expected=count)
            return Entry(row, once)

        [begun] = bench.starts([entry(1, None)])
        rows = bench.measure([entry(count, start_of(begun)) for count in counts])
    for row in rows:
        row.note = _flatness(row)
    about = (
        f"Orders of one connection, no latency, {who.MANY} workers. Memory is looked at ten times"
        " a second."
    )
    return about, rows


def _flatness(row: Row) -> str:
    first, second = row.halves
    return f"at most {first / 1e6:.0f} MB in the first half, {second / 1e6:.0f} in the second"


# ---- many small connections


def _fleet_entry(
    bench: Bench,
    contestant: Contestant,
    server: dict[str, object],
    lists: Sequence[RutterList],
    *,
    group: str,
    workers: int,
    connections: int,
    rows_each: int,
    stands_for: int | None = None,
    start: Start | None = None,
) -> Entry:
    row = Row(
        group=group,
        key=f"{contestant.name}-{workers}",
        label=contestant.label,
        setting=workers_text(contestant, workers),
        units=stands_for or connections,
        records=(stands_for or connections) * rows_each,
        measured_units=connections if stands_for else None,
        start=start,
    )
    once = bench.reading(
        contestant,
        server,
        lists,
        workers=workers,
        expected=connections * rows_each,
        connections=connections,
    )
    return Entry(row, once)


def fleet(bench: Bench) -> tuple[str, list[Row]]:
    """Many connections with many small lists, where most time is latency."""
    count, few = bench.size((1_000, 10), (8, 2))
    latency = bench.size(0.05, 0.01)
    peers = [one for one in (who.PLAIN_SDK, who.GUIDE) if bench.wants(one)]
    world, lists, rows_each = fleet_world(count, latency)
    group = TOGETHER
    with bench.serving(world) as server:

        def entry(contestant: Contestant, workers: int, connections: int, **more: object) -> Entry:
            return _fleet_entry(
                bench,
                contestant,
                server,
                lists,
                workers=workers,
                connections=connections,
                rows_each=rows_each,
                **more,  # type: ignore[arg-type]
            )

        starts = bench.starts(
            [entry(one, one.worker_counts[0], 1, group=STARTING) for one in (who.TAP, *peers)]
        )
        begun = {row.key.rpartition("-")[0]: start_of(row) for row in starts}
        entries = [
            entry(who.TAP, workers, count, group=group, start=begun["tap"])
            for workers in (who.MANY, 32)
        ]
        entries += [
            entry(one, 1, few, group=group, start=begun[one.name], stands_for=count)
            for one in peers
            if begun[one.name]
        ]
        rows = failed(starts) + bench.measure(entries)
    about = (
        f"{count:,} connections with {len(lists)} lists, {rows_each // ROWS_PER_LIST} of them with"
        f" {ROWS_PER_LIST} rows and the others empty, {latency * 1000:.0f} ms a request. The peers"
        f" read 1 and {few} connections; a straight line through both gives their figures for all,"
        " which is kind to them: the SDK's own book-keeping grows with the number of partitions."
    )
    return about, rows


def connections(bench: Bench) -> tuple[str, list[Row]]:
    """The tap with more and more connections: cost per connection."""
    counts = bench.size((10, 100, 1_000, 5_000), (2, 4, 8))
    _, lists, rows_each = fleet_world(1, 0.0)
    with ExitStack() as stack:

        def entry(count: int, start: Start | None) -> Entry:
            world, _, _ = fleet_world(count, 0.0)
            server = stack.enter_context(bench.serving(world))
            made = _fleet_entry(
                bench,
                who.TAP,
                server,
                lists,
                group=TOGETHER if start else STARTING,
                workers=who.MANY,
                connections=count,
                rows_each=rows_each,
                start=start,
            )
            made.row.key, made.row.setting = str(count), f"{count:,} connections"
            return made

        [begun] = bench.starts([entry(1, None)])
        rows = bench.measure([entry(count, start_of(begun)) for count in counts])
    about = (
        f"{len(lists)} lists a connection, {rows_each} rows in all, no latency, {who.MANY} workers."
        " CPU per connection"
        " leaves out what the tap takes for a single connection."
    )
    return about, rows


def shards(bench: Bench) -> tuple[str, list[Row]]:
    """Several processes on one machine, each with a part of the connections."""
    count, each = bench.size((64, 1_600), (8, 100))
    world = World(orders=each, connections=count)
    entries = []
    with ExitStack() as stack:
        # Each process has its own simulator, since a single one would be the bottleneck.
        servers = [stack.enter_context(bench.serving(world)) for _ in range(4)]
        for processes in (1, 2, 4):
            row = Row(
                group=TOGETHER,
                key=str(processes),
                label=who.TAP.label,
                setting=f"{processes} process{'es' if processes > 1 else ''}",
                units=count * each,
                records=count * each,
            )
            entries.append(Entry(row, _sharded(bench, servers[:processes], count * each)))
        rows = bench.measure(entries)
    about = (
        f"{count} connections with {each:,} orders each, no latency, `shard` 1/n to n/n, 8 workers"
        " in each process. The simulators run on the same cores as the tap."
    )
    return about, rows


def _sharded(
    bench: Bench, servers: Sequence[dict[str, object]], expected: int
) -> Callable[[Path], Cost]:
    def once(folder: Path) -> Cost:
        pipelines = []
        for number, server in enumerate(servers, 1):
            part = folder / f"shard-{number}"
            part.mkdir()
            job = Job(server, [orders()], 8, part, shard=f"{number}/{len(servers)}")
            pipelines.append([who.TAP.command(bench.environments, job)])
        cost = run(pipelines, folder, timeout=bench.timeout)
        if cost.lines < expected:
            raise RunFailed(f"delivered {cost.lines} of {expected} records")
        return cost

    return once


CASES = (
    Case("idle", idle.TITLE, "list", idle.REFERENCE, idle.measure),
    Case("one-connection", "One large connection", "record", f"tap-{who.MANY}", one_connection),
    Case("windows", "One long list, slow answers", "record", f"tap-{who.MANY}", windows),
    Case("fleet", "Many small connections", "connection", f"tap-{who.MANY}", fleet),
    Case("records", "More records", "record", "", records),
    Case("connections", "More connections", "connection", "", connections),
    Case("postgres", "Into PostgreSQL", "record", loading.REFERENCE, loading.measure),
    Case("shards", "Several processes", "record", "1", shards),
    Case("fleet-receiver", receiving.TITLE, "webhook", receiving.REFERENCE, receiving.measure),
    Case("fleet-fresh", working.FRESH, "change", working.REFERENCE, working.measure_fresh),
    Case("fleet-idle", working.IDLE, "connection", working.REFERENCE, working.measure_idle),
    Case("fleet-scale", working.SCALE, "connection", working.REFERENCE, working.measure_scale),
)
