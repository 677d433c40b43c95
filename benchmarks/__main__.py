"""``python -m benchmarks``: measure, print one table, and write the page and its charts."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import asking, page, parts, tables
from benchmarks.bench import Bench
from benchmarks.cases import CASES, Case
from benchmarks.contestants import ALL
from benchmarks.environments import BENCH
from benchmarks.rows import Result, Row, load
from benchmarks.targets import verdicts

_PARTS = "parts.json"
_QUICK = "Small numbers: what it takes to start outweighs the rest, so targets mean nothing here."


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 if a contestant failed, else 0."""
    arguments = _parser().parse_args(argv)
    # As with an interrupt, all started processes are ended first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kept = BENCH / ("quick" if arguments.quick else "results")
    bench = Bench(
        runs=arguments.runs or (1 if arguments.quick else 3),
        quick=arguments.quick,
        timeout=arguments.timeout,
        contestants=frozenset(arguments.contestants) | {"tap"} if arguments.contestants else None,
    )
    names = [case.name for case in CASES]
    chosen = [] if arguments.report or arguments.parts else arguments.only or names
    wanted = [name for name in names if name in chosen]
    for case in CASES:
        if case.name in wanted:
            _measured(case, bench).save(kept)
    if arguments.parts:
        _keep_parts(kept, parts.measure(bench))
        print(asking.as_text(asking.measure(bench)))
    results = load(kept, names if not arguments.quick or arguments.report else wanted)
    if not results:
        if arguments.parts:
            return 0
        print("Nothing has been measured yet.", file=sys.stderr)
        return 1
    found = verdicts(results)
    tables.on_terminal(results, found, _QUICK if arguments.quick else None)
    if arguments.quick:
        page.draw(kept, kept, bench.environments)
    else:
        titles = [case.title for case in CASES]
        page.write(results, found, titles, kept, bench.environments, _kept_parts(kept))
    return int(any(row.error is not None for result in results for row in result.rows))


def _keep_parts(folder: Path, measured: Mapping[str, float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _PARTS).write_text(json.dumps(measured, indent=1), encoding="utf-8")
    for name, value in measured.items():
        print(f"{value:7.2f} µs per record: {name}")


def _kept_parts(folder: Path) -> Mapping[str, float] | None:
    file = folder / _PARTS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _measured(case: Case, bench: Bench) -> Result:
    print(case.title, file=sys.stderr)
    try:
        about, rows = case.measure(bench)
    except Exception as error:
        # For example, the database may not exist for this machine. The other cases go on.
        failed = Row(
            group="all",
            key="",
            label=case.title,
            setting="",
            units=0,
            records=0,
            error=f"{type(error).__name__}: {error}",
        )
        about, rows = "This case could not be measured.", [failed]
    return Result(
        case=case.name,
        title=case.title,
        unit=case.unit,
        reference=case.reference,
        about=about,
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=machine(),
        runs=bench.runs,
        rows=rows,
    )


def machine() -> str:
    """The kind of machine, for comparisons; nothing that identifies it."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores} core{'s' if cores > 1 else ''}, {memory:.0f} GiB of memory,"
        f" {platform.system()}, Python {platform.python_version()}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small numbers, one run; the page is not changed"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[case.name for case in CASES],
        metavar="CASE",
        help="measure this case only; can be repeated: " + ", ".join(case.name for case in CASES),
    )
    parser.add_argument(
        "--contestants",
        nargs="+",
        choices=[contestant.name for contestant in ALL],
        metavar="NAME",
        help="measure the tap and these only: " + ", ".join(entry.name for entry in ALL),
    )
    parser.add_argument("--runs", type=int, help="runs of each (3; with --quick 1)")
    parser.add_argument(
        "--timeout", type=float, default=1_800, help="seconds that a run may take (1800)"
    )
    parser.add_argument(
        "--report", action="store_true", help="measure nothing: show earlier results"
    )
    parser.add_argument(
        "--parts",
        action="store_true",
        help="measure where the tap's processor time goes, by record and by request, and nothing"
        " else",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
