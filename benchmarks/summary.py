"""The README's tables: the peers' figures as multiples of the tap's."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import idle
from benchmarks.contestants import MANY
from benchmarks.rows import Result, Row

_NAMES = {
    "tap": "tap-rutter",
    "tap-after-sync": f"tap-rutter with `{idle.AFTER_SYNC}`",
    "plain_sdk": "a tap written as the Singer SDK's documentation shows",
    "dlt": "dlt `rest_api`, extraction only",
    "airbyte": "an Airbyte CDK source",
    "guide": "a script with `requests` that follows the cursor",
}
_SIGN = "\N{MULTIPLICATION SIGN}"
_QUICK = f"{idle.group_name(idle.LARGEST, 0)}"
_SLOW = f"{idle.group_name(idle.LARGEST, 50)}"


def by_name(results: Sequence[Result]) -> dict[str, str]:
    """The tables of the measured cases, by the name of their marks in the README."""
    made = {"idle": _idle, "one-connection": _one_connection}
    found = {result.case: made[result.case](result) for result in results if result.case in made}
    return {name: table for name, table in found.items() if table}


def _idle(result: Result) -> str:
    tap, slow = result.row(_QUICK, idle.REFERENCE), result.row(_SLOW, idle.REFERENCE)
    if not tap or not slow:
        return ""
    lines = [
        "| | requests | processor time | time at 50 ms an answer |",
        "| --- | ---: | ---: | ---: |",
    ]
    for key, name in _NAMES.items():
        quick, waiting = result.row(_QUICK, key), result.row(_SLOW, key)
        if quick and waiting:
            lines.append(
                f"| {name} | {quick.asked:,} | {_cost(quick.cpu, tap.cpu, quick is tap)} |"
                f" {_cost(waiting.wall, slow.wall, quick is tap)}{_workers(waiting)} |"
            )
    return "\n".join(lines)


def _one_connection(result: Result) -> str:
    tap = result.row("0 ms a page", "tap-1")
    slow = result.row("200 ms a page", f"tap-{MANY}")
    if not tap or not slow:
        return ""
    lines = ["| | processor time | time at 200 ms a page |", "| --- | ---: | ---: |"]
    for key, name in _NAMES.items():
        quick = result.row("0 ms a page", f"{key}-1")
        waiting = [
            row
            for row in (result.row("200 ms a page", f"{key}-{n}") for n in (1, MANY))
            if row is not None
        ]
        if quick and waiting:
            best = min(waiting, key=lambda row: row.wall)
            lines.append(
                f"| {name} | {_times(quick.cpu / tap.cpu)} |"
                f" {_times(best.wall / slow.wall)}{_workers(best)} |"
            )
    return "\n".join(lines)


def _cost(value: float, reference: float, is_reference: bool) -> str:
    """The tap's figure in seconds, others as multiples of it."""
    return f"{value:,.0f} s" if is_reference else _times(value / reference)


def _times(ratio: float) -> str:
    if ratio == 1:
        return "1"
    return f"{ratio:.0f} {_SIGN}" if ratio >= 9.5 else f"{ratio:.1f} {_SIGN}"


def _workers(row: Row) -> str:
    return (
        f" ({row.setting})" if "worker" in row.setting and not row.setting.startswith("1 ") else ""
    )
