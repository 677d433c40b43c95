"""What landed, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table as Grid

from tap_rutter.demo.database import Key, Table

NOTHING = Table({})


@dataclass(frozen=True)
class Line:
    """One stream after both runs. All figures count rows."""

    stream: str
    shown: int
    """What the API shows."""
    landed: int
    """What the table holds, including rows that were deleted at the platform since."""
    new: int
    changed: int
    deleted: int
    """Rows of the table that deleted_objects names. They keep their last values."""
    expected: tuple[int, int, int] | None
    """Expected new, changed and deleted rows of the second run, where they are known."""

    @property
    def is_right(self) -> bool:
        """Whether the table holds what the API shows, and the second run delivered the changes."""
        if self.landed - self.deleted != self.shown:
            return False
        return self.expected in (None, (self.new, self.changed, self.deleted))

    @property
    def is_empty(self) -> bool:
        """Whether the stream has no rows, neither in Rutter nor in PostgreSQL."""
        return not self.shown and not self.landed


def line(
    stream: str,
    shown: int,
    first: Table,
    second: Table,
    deleted: set[Key],
    expected: tuple[int, int, int] | None,
) -> Line:
    """A stream's line, from its table after each of the two runs."""
    return Line(
        stream=stream,
        shown=shown,
        landed=len(second.rows),
        new=second.new_since(first),
        changed=second.changed_since(first),
        deleted=len(second.rows.keys() & deleted),
        expected=expected,
    )


def comparison(lines: Sequence[Line]) -> Grid:
    """All streams that have rows, side by side with the API."""
    grid = _grid("Stream", "In Rutter", "Landed", "New", "Changed", "Deleted", "")
    grid.caption = (
        "New, changed and deleted: by the second run. Deleted rows stay in their tables, with their"
        " last values; deleted_objects names them."
    )
    grid.caption_justify = "left"
    for entry in lines:
        if entry.is_empty and entry.is_right:
            continue
        numbers = (entry.new, entry.changed, entry.deleted)
        grid.add_row(
            entry.stream,
            f"{entry.shown:,}",
            f"{entry.landed:,}",
            *(f"{number:,}" if number else "" for number in numbers),
            "[green]✓[/green]" if entry.is_right else "[red]✗[/red]",
        )
    grid.add_section()
    grid.add_row(
        "All streams",
        f"{sum(entry.shown for entry in lines):,}",
        f"{sum(entry.landed for entry in lines):,}",
        f"{sum(entry.new for entry in lines):,}",
        f"{sum(entry.changed for entry in lines):,}",
        f"{sum(entry.deleted for entry in lines):,}",
        "",
    )
    return grid


def inventory(tables: Mapping[str, Table]) -> Grid:
    """How many rows each table holds."""
    grid = _grid("Table", "Rows")
    for name, table in tables.items():
        if table.rows:
            grid.add_row(name, f"{len(table.rows):,}")
    return grid


def _grid(first: str, *numbers: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column(first, no_wrap=True)
    for name in numbers:
        grid.add_column(name, justify="right")
    return grid


def wrong(lines: Iterable[Line]) -> list[str]:
    """Names of the streams whose tables do not hold what the API shows."""
    return [entry.stream for entry in lines if not entry.is_right]
