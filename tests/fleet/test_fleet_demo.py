"""``rutterctl demo --fleet``, with little in it; that a fleet loses nothing is what harm shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tap_rutter.demo import fleet
from tap_rutter.demo.fleet_watch import Change


@pytest.mark.longer
def test_the_demo_shows_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.main(tmp_path, connections=2, seconds=4) == 0
    said = capsys.readouterr()
    assert "One worker is killed" in said.err
    assert "PostgreSQL holds what Rutter shows: nothing was lost." in said.err
    table = [line for line in said.out.splitlines() if line.strip()]
    for title in ("With two workers", "After one was killed"):
        (line,) = [line for line in table if line.startswith(title)]
        rows, landed = line.removeprefix(title).split()[:2]
        assert 0 < int(rows) == int(landed)


def test_the_table_tells_how_long_rows_took(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    changes = [Change("c", "bills", str(n), None, 0.0, float(n)) for n in range(1, 101)]
    changes.append(Change("c", "bills", "late", None, 0.0))
    Console(width=100).print(fleet.latencies([("Some", changes)]))
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split() == ["Some", "101", "100", "50.0", "s", "95.0", "s", "100.0", "s"]
