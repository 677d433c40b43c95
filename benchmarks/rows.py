"""Results: how they are kept, and their figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import median


@dataclass
class Start:
    """The cost of a start with hardly any work. It is subtracted to get a cost per unit."""

    wall: float
    cpu: float
    units: int
    requests: int = 0


@dataclass
class Row:
    """One contestant with one setting, with all its runs."""

    group: str
    key: str
    """Names the row within its group, for targets and charts."""
    label: str
    setting: str
    units: int
    """The amount of work, in the case's unit; of a scaled-down run, the amount it stands for."""
    records: int
    """How many records were delivered."""
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    """Memory over the last run: pairs of seconds and bytes."""
    stages: list[float] = field(default_factory=list)
    """Seconds of processor time of each process of the last run."""
    error: str | None = None
    measured_units: int | None = None
    """The real amount of work, if the run was scaled down."""
    start: Start | None = None
    note: str = ""
    requests: int | None = None
    """The requests that the server counted in the last run; None if they were not counted."""

    latencies: list[float] = field(default_factory=list)
    """Of a server: seconds in which 99 of 100 requests to it were answered, in each run."""

    def forget(self) -> None:
        """Forget the figures so far, but not an error."""
        self.walls, self.cpus, self.peaks, self.memory = [], [], [], []

    @property
    def wall(self) -> float:
        """Seconds: the median, extrapolated if the run was scaled down."""
        return self._whole(median(self.walls), self.start.wall if self.start else 0.0)

    @property
    def cpu(self) -> float:
        """Seconds of processor time: the median, extrapolated in the same way."""
        return self._whole(median(self.cpus), self.start.cpu if self.start else 0.0)

    @property
    def peak(self) -> float:
        """Bytes: the median of the runs' peaks, not extrapolated."""
        return median(self.peaks)

    @property
    def asked(self) -> int | None:
        """The number of requests, extrapolated if the run was scaled down."""
        if self.requests is None:
            return None
        return round(self._whole(self.requests, self.start.requests if self.start else 0.0))

    @property
    def halves(self) -> tuple[float, float]:
        """The most bytes in the first and in the second half of the last run."""
        held = [size for _, size in self.memory]
        middle = len(held) // 2
        return max(held[:middle], default=0.0), max(held[middle:], default=0.0)

    @property
    def is_extrapolated(self) -> bool:
        """Whether the times are extrapolated."""
        return self.measured_units is not None

    def _whole(self, value: float, start: float) -> float:
        """Extrapolate with a straight line through the start and the measured value."""
        if self.measured_units is None:
            return value
        begun = self.start.units if self.start else 0
        share = (self.units - begun) / (self.measured_units - begun)
        return start + max(0.0, value - start) * share

    @property
    def each(self) -> float | None:
        """Seconds of processor time for each unit, without the start."""
        if self.start is None or self.units <= self.start.units:
            return None
        return (self.cpu - self.start.cpu) / (self.units - self.start.units)

    @property
    def rate(self) -> float:
        """Records for each second of processor time, including the start."""
        return self.records / self.cpu


@dataclass
class Result:
    """One case, measured."""

    case: str
    title: str
    unit: str
    reference: str
    """The key of the row with which others are compared."""
    about: str
    """A description of the case, for the page."""
    measured_at: str
    machine: str
    runs: int
    rows: list[Row] = field(default_factory=list)

    def row(self, group: str, key: str) -> Row | None:
        """A measured row; None if it failed or does not exist."""
        for row in self.rows:
            if (row.group, row.key) == (group, key) and row.error is None:
                return row
        return None

    @property
    def groups(self) -> list[str]:
        """The groups, in their sequence."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def save(self, folder: Path) -> None:
        """Save the result; an earlier one is replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1)
        (folder / f"{self.case}.json").write_text(text, encoding="utf-8")


def load(folder: Path, cases: Iterable[str]) -> list[Result]:
    """The saved results, in the sequence of the cases."""
    files = [folder / f"{case}.json" for case in cases]
    return [_result(json.loads(file.read_text("utf-8"))) for file in files if file.is_file()]


def _result(content: Mapping[str, Any]) -> Result:
    rows = [
        Row(**{**row, "start": Start(**row["start"]) if row["start"] else None})
        for row in content["rows"]
    ]
    return Result(**{**content, "rows": rows})
