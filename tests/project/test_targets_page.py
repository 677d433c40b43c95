"""docs/targets.md says of each target what the tests have tried, in the versions they install."""

from __future__ import annotations

import re
from pathlib import Path

from support.pages import sections
from support.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^\s*(?:pip_url: )?([a-z][a-z0-9-]*)[=~]=([0-9][0-9.]*)", re.MULTILINE)
NOT_TARGETS = {"dbt.txt"}


def test_the_page_has_the_versions_that_are_installed() -> None:
    files = [ROOT / "meltano.yml"]
    files += [f for f in (ROOT / "tests/targets").glob("*.txt") if f.name not in NOT_TARGETS]
    pins = {pin for file in files for pin in PIN.findall(file.read_text(encoding="utf-8"))}
    tried = {(row["package"].strip("`"), row["version"]) for row in rows_of_the_page()}
    assert tried <= pins
    packages = {package for package, _ in tried}
    assert {package for package, _ in pins if "target-" in package} == packages


def test_the_page_says_what_the_tests_know() -> None:
    assert {row["target"]: (row["keeps"], row["amounts"]) for row in rows_of_the_page()} == {
        kind.name: (
            "one row per key" if kind.is_keyed else "every delivery",
            "15 digits" if kind.makes_doubles else "all digits",
        )
        for kind in TARGETS
    }


def test_each_target_of_the_page_has_a_section() -> None:
    text = sections(ROOT / "docs/targets.md")["What each does differently"].text
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) == {kind.name for kind in TARGETS}


def rows_of_the_page() -> list[dict[str, str]]:
    """The rows of the table of what was tried, by the names of its columns."""
    text = sections(ROOT / "docs/targets.md")["Tried"].text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows
    return [dict(zip(head, row, strict=True)) for row in rows]
