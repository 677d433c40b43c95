"""What was measured, as it is kept and shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import median


@dataclass
class Start:
    """What a contestant takes for next to nothing: subtracted where a cost per unit is told."""

    wall: float
    cpu: float
    units: int
    requests: int = 0


@dataclass
class Row:
    """One contestant in one setting, with all its runs."""

    group: str
    key: str
    """Names the row within its group, for targets and charts."""
    label: str
    setting: str
    units: int
    """How much was done, in the case's unit; for a scaled-down run, how much it stands for."""
    records: int
    """As many records came out, or it would have failed."""
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    """Seconds and bytes over the last run."""
    stages: list[float] = field(default_factory=list)
    """Seconds of processor time of each process of the last run."""
    error: str | None = None
    measured_units: int | None = None
    """How much was really done, where that was scaled down."""
    start: Start | None = None
    note: str = ""
    requests: int | None = None
    """How many the server counted in the last run; None where they are not told."""

    latencies: list[float] = field(default_factory=list)
    """Of a server: seconds in which 99 of 100 requests to it were answered, in each run."""

    def forget(self) -> None:
        """What was measured so far does not count; an error does."""
        self.walls, self.cpus, self.peaks, self.memory = [], [], [], []

    @property
    def wall(self) -> float:
        """Seconds: the median, extrapolated where the run was scaled down."""
        return self._whole(median(self.walls), self.start.wall if self.start else 0.0)

    @property
    def cpu(self) -> float:
        """Seconds of processor time, as above."""
        return self._whole(median(self.cpus), self.start.cpu if self.start else 0.0)

    @property
    def peak(self) -> float:
        """Bytes: the median of the runs' peaks, as measured."""
        return median(self.peaks)

    @property
    def asked(self) -> int | None:
        """Requests: as counted, extrapolated where the run was scaled down."""
        if self.requests is None:
            return None
        return round(self._whole(self.requests, self.start.requests if self.start else 0.0))

    @property
    def halves(self) -> tuple[float, float]:
        """The most bytes held in the first and in the second half of the last run."""
        held = [size for _, size in self.memory]
        middle = len(held) // 2
        return max(held[:middle], default=0.0), max(held[middle:], default=0.0)

    @property
    def is_extrapolated(self) -> bool:
        """Whether time and processor time stand for more than was run."""
        return self.measured_units is not None

    def _whole(self, value: float, start: float) -> float:
        """A straight line through the start and what was measured."""
        if self.measured_units is None:
            return value
        begun = self.start.units if self.start else 0
        share = (self.units - begun) / (self.measured_units - begun)
        return start + max(0.0, value - start) * share

    @property
    def each(self) -> float | None:
        """Seconds of processor time per unit, what the start takes left out."""
        if self.start is None or self.units <= self.start.units:
            return None
        return (self.cpu - self.start.cpu) / (self.units - self.start.units)

    @property
    def rate(self) -> float:
        """Records per second of processor time, the start included."""
        return self.records / self.cpu


@dataclass
class Result:
    """One case, measured."""

    case: str
    title: str
    unit: str
    reference: str
    """Key of the row that others are compared with."""
    about: str
    """What was done, for the page."""
    measured_at: str
    machine: str
    runs: int
    rows: list[Row] = field(default_factory=list)

    def row(self, group: str, key: str) -> Row | None:
        """A row that was measured; None where it failed or is not there."""
        for row in self.rows:
            if (row.group, row.key) == (group, key) and row.error is None:
                return row
        return None

    @property
    def groups(self) -> list[str]:
        """The groups in their order."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def save(self, folder: Path) -> None:
        """Keep it, in place of an earlier one."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1)
        (folder / f"{self.case}.json").write_text(text, encoding="utf-8")


def load(folder: Path, cases: Iterable[str]) -> list[Result]:
    """The results that were kept, in the order of the cases."""
    files = [folder / f"{case}.json" for case in cases]
    return [_result(json.loads(file.read_text("utf-8"))) for file in files if file.is_file()]


def _result(content: Mapping[str, Any]) -> Result:
    rows = [
        Row(**{**row, "start": Start(**row["start"]) if row["start"] else None})
        for row in content["rows"]
    ]
    return Result(**{**content, "rows": rows})
