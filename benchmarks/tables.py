"""The results as tables, for the terminal and for the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.rows import Result, Row
from benchmarks.targets import Verdict

_HEADINGS = (
    "contestant",
    "setting",
    "CPU ÷ tap",
    "time ÷ tap",
    "requests",
    "records / CPU-s",
    "CPU each",
    "time, s",
    "CPU, s",
    "peak, MB",
    "target, or note",
)
_TEXT_COLUMNS = (0, 1, 10)

Line = tuple[str, ...]


def lines_of(result: Result, group: str, verdicts: Sequence[Verdict]) -> list[Line]:
    """A group's rows, as cells."""
    reference = result.row(group, result.reference)
    return [_line(result, row, reference, verdicts) for row in result.rows if row.group == group]


def _line(result: Result, row: Row, reference: Row | None, verdicts: Sequence[Verdict]) -> Line:
    if row.error is not None:
        return (row.label, row.setting, *[""] * 8, f"failed: {row.error}")
    notes = [
        str(verdict)
        for verdict in verdicts
        if (verdict.case, verdict.group, verdict.key) == (result.case, row.group, row.key)
    ]
    if row.note:
        notes.append(row.note)
    if row.is_extrapolated:
        notes.append(f"from {row.measured_units:,} {result.unit}s")
    return (
        row.label,
        row.setting,
        _ratio(row.cpu, reference.cpu if reference else None),
        _ratio(row.wall, reference.wall if reference else None),
        "" if row.asked is None else f"{row.asked:,}",
        f"{_rounded(row.rate):,.0f}" if row.records else "",
        _each(row, result.unit),
        f"{row.wall:,.1f}",
        f"{row.cpu:,.1f}",
        f"{row.peak / 1e6:,.0f}",
        "; ".join(notes),
    )


def _ratio(value: float, reference: float | None) -> str:
    if reference is None:
        return ""
    ratio = value / reference
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _rounded(value: float) -> float:
    """Three significant digits: more would not be meaningful."""
    if value <= 0:
        return 0.0
    return round(value, 2 - math.floor(math.log10(value)))


def _each(row: Row, unit: str) -> str:
    if row.each is None or row.each <= 0:
        return ""
    if unit == "connection":
        return f"{row.each * 1e3:.1f} ms"
    if unit == "list":
        return f"{row.each * 1e3:.2f} ms"
    return f"{row.each * 1e6:.0f} µs"


def heading(result: Result, group: str) -> str:
    """The heading of a group of rows."""
    return f"{result.title}: {group}" if len(result.groups) > 1 else result.title


def on_terminal(
    results: Sequence[Result], verdicts: Sequence[Verdict], caption: str | None = None
) -> None:
    """Print one table with all results."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title="tap-rutter and its peers",
        title_justify="left",
        caption=caption,
        caption_justify="left",
    )
    for index, name in enumerate(_HEADINGS):
        is_text = index in _TEXT_COLUMNS
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    for result in results:
        for group in result.groups:
            table.add_section()
            table.add_row(f"[bold]{heading(result, group)}[/bold]")
            for line in lines_of(result, group, verdicts):
                table.add_row(*[cell.replace("[", r"\[") for cell in line])
    console = Console()
    if not console.is_terminal:
        # In a pipe or a file, lines are not broken.
        console = Console(width=200)
    console.print(table)


def section(result: Result, verdicts: Sequence[Verdict]) -> str:
    """A case for the documentation, with a table for each group, without empty columns."""
    groups = {group: lines_of(result, group, verdicts) for group in result.groups}
    shown = [
        index
        for index in range(len(_HEADINGS))
        if any(line[index] for lines in groups.values() for line in lines)
    ]
    parts = [f"{result.about} {_measured(result)}", ""]
    for group, lines in groups.items():
        if len(groups) > 1:
            parts += [f"**{group}**", ""]
        parts.append(_cells(_HEADINGS[index] for index in shown))
        parts.append(_cells("---" if index in _TEXT_COLUMNS else "---:" for index in shown))
        parts += [_cells(line[index].replace("|", r"\|") for index in shown) for line in lines]
        parts.append("")
    return "\n".join(parts).rstrip()


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _measured(result: Result) -> str:
    """When and where a case was measured: not all cases are measured together."""
    runs = "a single run" if result.runs == 1 else f"the median of {result.runs} alternating runs"
    return f"Measured {result.measured_at} on a machine with {result.machine}; {runs}."


def targets(verdicts: Sequence[Verdict], results: Sequence[Result]) -> dict[str, list[str]]:
    """The goals as rows of a table, by the title of their case."""
    by_case = {result.case: result for result in results}
    lines: dict[str, list[str]] = {result.title: [] for result in results}
    for verdict in verdicts:
        result = by_case[verdict.case]
        row = result.row(verdict.group, verdict.key)
        name = f"{row.label}, {row.setting}" if row else ""
        met = "met" if verdict.is_met else "**missed**"
        cells = (heading(result, verdict.group), name, verdict.target, verdict.reached, met)
        lines[result.title].append(_cells(cells))
    return lines


TARGETS_HEAD = ("| case | row | target | reached | |", "| --- | --- | --- | --- | --- |")
