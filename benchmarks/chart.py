"""Draws the results: ``python chart.py RESULTS FOLDER``. It needs matplotlib.

It reads the files of results, and imports no other module of the benchmarks.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib  # type: ignore[import-not-found, unused-ignore]

matplotlib.use("Agg")

from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

_TAP, _PEER, _FLOOR = "#1f6f5c", "#b9bec4", "#e3e6e8"
_INK = "#30363c"


def cost(row: dict[str, Any], name: str) -> float:
    """A row's median, extrapolated if the run was scaled down."""
    value = statistics.median(row[f"{name}s"])
    if row["measured_units"] is None:
        return float(value)
    start = row["start"] or {"units": 0, name: 0.0}
    share = (row["units"] - start["units"]) / (row["measured_units"] - start["units"])
    return float(start[name] + max(0.0, value - start[name]) * share)


def colour(row: dict[str, Any]) -> str:
    """A row's colour: strong for the tap, pale for the floor."""
    name = row["key"].partition("-")[0]
    return {"tap": _TAP, "floor": _FLOOR}.get(name, _PEER)


def bars(axes: Any, rows: list[dict[str, Any]], values: list[float], title: str, unit: str) -> None:
    """Horizontal bars, the smallest on top, each with its value."""
    ranked = sorted(zip(values, rows, strict=True), key=lambda pair: pair[0], reverse=True)
    names = [f"{row['label']}, {row['setting']}" for _, row in ranked]
    drawn = axes.barh(
        names, [value for value, _ in ranked], color=[colour(row) for _, row in ranked]
    )
    axes.bar_label(
        drawn,
        labels=[f" {value:,.0f}" if value >= 10 else f" {value:.1f}" for value, _ in ranked],
        color=_INK,
    )
    axes.set_title(title, loc="left", color=_INK)
    axes.set_xlabel(unit, color=_INK)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)


def memory(axes: Any, rows: list[dict[str, Any]]) -> None:
    """The tap's memory over the run, with a line for each number of records."""
    for row in rows:
        if row["memory"]:
            seconds, held = zip(*row["memory"], strict=True)
            label = f"{row['units']:,} orders"
            axes.plot(seconds, [size / 1e6 for size in held], label=label, linewidth=1.8)
    axes.set_ylim(bottom=0)
    axes.set_title("Memory of the tap over a run", loc="left", color=_INK)
    axes.set_xlabel("seconds", color=_INK)
    axes.set_ylabel("MB", color=_INK)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)


def main() -> None:
    """One figure with a panel for each question that was measured."""
    kept, folder = Path(sys.argv[1]), Path(sys.argv[2])
    found = {file.stem: json.loads(file.read_text("utf-8")) for file in kept.glob("*.json")}
    panels: list[Callable[[Any], None]] = []
    idle = [row for row in found.get("idle", {}).get("rows", []) if not row["error"]]
    if idle:
        # The largest group without latency.
        quick = [row for row in idle if ", 0 ms" in row["group"]]
        most = [row for row in quick if row["group"] == quick[-1]["group"]]
        spent = [cost(row, "cpu") for row in most]
        about = f"CPU of an idle run over {most[0]['units']:,} lists"
        panels.append(lambda axes: bars(axes, most, spent, about, "seconds of processor time"))
    rows = [
        row
        for row in found.get("one-connection", {}).get("rows", [])
        # Loading into a database is another job: the other bars would all look alike beside it.
        if not row["error"] and not row["key"].startswith("dlt_duckdb")
    ]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    if groups:
        first = [row for row in rows if row["group"] == groups[0] and row["key"].endswith("-1")]
        each = [cost(row, "cpu") / row["units"] * 1e6 for row in first]
        panels.append(
            lambda axes: bars(axes, first, each, "CPU per record", "µs of processor time")
        )
        last = [row for row in rows if row["group"] == groups[-1]]
        walls = [cost(row, "wall") for row in last]
        title = f"Time for {last[0]['units']:,} orders at {groups[-1]}"
        panels.append(lambda axes: bars(axes, last, walls, title, "seconds"))
    lines = [row for row in found.get("records", {}).get("rows", []) if not row["error"]]
    if lines:
        panels.append(lambda axes: memory(axes, lines))
    if not panels:
        return
    # So that the same results give the same file.
    matplotlib.rcParams |= {"svg.hashsalt": "benchmarks", "font.size": 9}
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(9, 3.2 * len(panels)), layout="constrained", squeeze=False
    )
    for panel, place in zip(panels, axes.flat, strict=True):
        panel(place)
    figure.savefig(folder / "benchmarks.png", dpi=144)
    figure.savefig(folder / "benchmarks.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
