"""The generated parts of docs/benchmarks.md and of the README, and the charts.

Sections that were not measured now stay as they are, so that a single case can be measured.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import parts, summary, tables
from benchmarks.environments import BENCH, ROOT, Environments, NotInstalled
from benchmarks.rows import Result
from benchmarks.targets import Verdict

_PAGE = ROOT / "docs" / "benchmarks.md"
_README = ROOT / "README.md"
_CHART = Path(__file__).with_name("chart.py")
_WHOLE = ("one-connection", "0 ms a page", "tap-1")
_DRAWN = {"idle", "one-connection", "records"}
"""The cases in the chart."""
_TARGETS = "The targets"
_PARTS = "Where the tap's processor time goes"
_PICTURE = (
    "![CPU of an idle run, CPU per record, time at a slow API, and memory, each against the"
    " peers](benchmarks.svg)"
)


def write(
    results: Sequence[Result],
    verdicts: Sequence[Verdict],
    titles: Sequence[str],
    kept: Path,
    environments: Environments,
    measured: Mapping[str, float] | None = None,
) -> None:
    """Write the results into the page and the README, and draw the chart.

    Args:
        titles: The titles of all cases, in their sequence.
        kept: The folder with the files of results.
        measured: The cost of the parts of the tap's work (``parts.py``).
    """
    text = _PAGE.read_text(encoding="utf-8")
    old = between(text, "")
    new = part(old, results, verdicts, titles, measured)
    _PAGE.write_text(replaced(text, "", new), encoding="utf-8")
    text = _README.read_text(encoding="utf-8")
    for name, table in summary.by_name(results).items():
        text = replaced(text, name, table)
    _README.write_text(text, encoding="utf-8")
    if {result.case for result in results} >= _DRAWN:
        draw(kept, ROOT / "docs", environments)
    else:
        print(f"The chart is left as it is: it needs {', '.join(sorted(_DRAWN))}.")


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


def _marks(name: str) -> tuple[str, str]:
    what = f"written by make bench: {name + ': ' if name else ''}"
    return f"<!-- {what}begin -->", f"<!-- {what}end -->"


def between(text: str, name: str) -> str:
    """The text between two marks of a document."""
    begin, end = _marks(name)
    return text.partition(begin)[2].partition(end)[0].strip()


def replaced(text: str, name: str, new: str) -> str:
    """A document with new text between the marks."""
    begin, end = _marks(name)
    if begin not in text or end not in text:
        raise ValueError(f"the document has no place for {name or 'the results'}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{new}\n\n{end}{rest.partition(end)[2]}"


def part(
    old: str,
    results: Sequence[Result],
    verdicts: Sequence[Verdict],
    titles: Sequence[str],
    measured: Mapping[str, float] | None,
) -> str:
    """The page's generated part, with the old sections of cases that were not measured now."""
    found = sections(old)
    found[_TARGETS] = _targets(found.get(_TARGETS, ""), results, verdicts, titles)
    profile = _profile(results, measured)
    if profile:
        found[_PARTS] = profile
    for result in results:
        found[result.title] = tables.section(result, verdicts)
    first, *others = titles
    order = [first, _TARGETS, _PARTS, *others]
    shown = [f"### {title}\n\n{found[title]}" for title in order if found.get(title)]
    return "\n\n".join([_PICTURE, *shown])


def sections(text: str) -> dict[str, str]:
    """The text under each heading."""
    pieces = re.split(r"^### (.+)$", text, flags=re.MULTILINE)[1:]
    return {title: body.strip() for title, body in zip(pieces[::2], pieces[1::2], strict=True)}


def _targets(
    old: str, results: Sequence[Result], verdicts: Sequence[Verdict], titles: Sequence[str]
) -> str:
    found = tables.targets(verdicts, results)
    lines = list(tables.TARGETS_HEAD)
    for title in titles:
        # A case with one group is named by its title only.
        before = [
            line for line in old.splitlines() if line.startswith((f"| {title}:", f"| {title} |"))
        ]
        lines += found.get(title, before)
    return "\n".join(lines)


def _profile(results: Sequence[Result], measured: Mapping[str, float] | None) -> str:
    run = next(
        (result.row(_WHOLE[1], _WHOLE[2]) for result in results if result.case == _WHOLE[0]), None
    )
    if not measured or run is None:
        return ""
    return (
        f"{run.records:,} orders, one worker, no latency: each part measured by itself, as its"
        " share in the whole run (`make bench ARGS=--parts`).\n\n"
        f"{parts.as_markdown(measured, run)}"
    )
