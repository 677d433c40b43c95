"""The generated part of docs/benchmarks.md, and the charts beside it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import parts, tables
from benchmarks.environments import BENCH, ROOT, Environments, NotInstalled
from benchmarks.rows import Result
from benchmarks.targets import Verdict

_PAGE = ROOT / "docs" / "benchmarks.md"
_CHART = Path(__file__).with_name("chart.py")
_WHOLE = ("one-connection", "0 ms a page", "tap-1")
_BEGIN = "<!-- written by make bench: begin -->"
_END = "<!-- written by make bench: end -->"


def write(
    results: Sequence[Result],
    verdicts: Sequence[Verdict],
    kept: Path,
    environments: Environments,
    measured: Mapping[str, float] | None = None,
) -> None:
    """Put the results into the page, and draw them.

    Args:
        kept: The folder that holds the results as files.
        measured: What the parts of the tap's work take (``parts.py``).
    """
    text = _PAGE.read_text(encoding="utf-8")
    part = f"{_BEGIN}\n\n{_part(results, verdicts, measured)}\n\n{_END}"
    _PAGE.write_text(
        re.sub(f"{_BEGIN}.*{_END}", lambda _: part, text, flags=re.DOTALL), encoding="utf-8"
    )
    draw(kept, ROOT / "docs", environments)


def draw(kept: Path, folder: Path, environments: Environments) -> None:
    """The charts of the results in a folder, as PNG and SVG."""
    try:
        python = environments.bin("chart") / "python"
    except NotInstalled as error:
        print(f"No chart: {error}")
        return
    home = BENCH / "chart"
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [python, _CHART, kept, folder],
        check=True,
        env={"HOME": str(home), "MPLCONFIGDIR": str(home)},
    )


def _profile(results: Sequence[Result], measured: Mapping[str, float] | None) -> list[str]:
    run = next(
        (result.row(_WHOLE[1], _WHOLE[2]) for result in results if result.case == _WHOLE[0]), None
    )
    if not measured or run is None:
        return []
    return [
        "### Where the tap's processor time goes",
        "",
        f"{run.records:,} orders, one worker, no latency: each part measured by itself, as its"
        " share in the whole run (`make bench ARGS=--parts`).",
        "",
        parts.as_markdown(measured, run),
        "",
    ]


def _part(
    results: Sequence[Result], verdicts: Sequence[Verdict], measured: Mapping[str, float] | None
) -> str:
    when = sorted({result.measured_at for result in results})
    dates = when[0] if len(when) == 1 else f"{when[0]} to {when[-1]}"
    machines = "; ".join(dict.fromkeys(result.machine for result in results))
    runs = sorted({result.runs for result in results})
    lines = [
        f"Measured {dates} with `make bench` on a machine with {machines}. Every figure is"
        f" {_of_runs(runs)}.",
        "",
        "![CPU per record, time at a slow API, and memory, each against the peers](benchmarks.svg)",
        "",
        "### The targets",
        "",
        tables.targets_as_markdown(verdicts, results),
        "",
        *_profile(results, measured),
        tables.as_markdown(results, verdicts),
    ]
    return "\n".join(lines)


def _of_runs(runs: Sequence[int]) -> str:
    if list(runs) == [1]:
        return "that of a single run"
    counts = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    return f"the median of {counts} alternating runs"
