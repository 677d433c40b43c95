"""The diagrams of the documentation: every stream, and every id that points into another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tap_rutter.streams import STREAMS, name_of

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = sorted((ROOT / "docs" / "streams").glob("*.md"))
_LINE = re.compile(r'^ {4}(\w+) \S+ (\w+) : "(.*)"$', re.MULTILINE)


def relations(page: Path) -> list[tuple[str, str, str]]:
    """The lines of a page's diagram: the stream that is pointed to, the one with the id, fields."""
    (diagram,) = re.findall(
        r"```mermaid\nerDiagram\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    )
    found = _LINE.findall(diagram)
    assert len(found) == diagram.count("\n") - 1  # the first line is the direction
    return found


def test_all_streams_are_in_the_diagram_of_all() -> None:
    drawn = {
        name
        for target, source, _ in relations(ROOT / "docs/streams.md")
        for name in (target, source)
    }
    assert drawn == {name_of(stream) for stream in STREAMS}


def test_the_diagram_of_all_has_the_lines_of_the_families() -> None:
    everywhere = {(target, source) for target, source, _ in relations(ROOT / "docs/streams.md")}
    for page in FAMILIES:
        of_family = {(target, source) for target, source, _ in relations(page)}
        assert {pair for pair in of_family if pair[0] != pair[1]} <= everywhere


@pytest.mark.parametrize("page", FAMILIES, ids=lambda page: page.stem)
def test_what_the_tables_say_points_somewhere_is_in_the_diagram(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    pairs = {(target, source) for target, source, _ in relations(page)}
    beside = dict(re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| (.+) \|$", text, re.MULTILINE))
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[2:]:
        source = section.partition("\n")[0]
        for target in set(re.findall(r"→ \[`(\w+)`\]", section)):
            assert (target, source) in pairs or f"`{source}`" in beside[target]


_TEXT = r'"[^"\\]+"'
_NODE = rf"\w+(?:\[{_TEXT}\]|\[\({_TEXT}\)\]|\(\[{_TEXT}\]\)|\(\({_TEXT}\)\))?"
_EDGE = rf"(?:--> ?|-- (?:{_TEXT}|[\w ,]+) -->|-\.->|-\. {_TEXT} \.->)"
_FLOW = re.compile(
    rf"(?:{_NODE}(?: {_EDGE} {_NODE})+|{_NODE}|subgraph \w+ \[[\w ]+\]|end|flowchart (?:TB|LR))"
)


@pytest.mark.parametrize("page", ["fleet.md", "architecture.md"])
def test_a_flowchart_has_only_forms_that_are_drawn(page: str) -> None:
    """A form that does not exist leaves the page with the diagram's source in its place."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (diagram,) = re.findall(r"```mermaid\n(flowchart.*?)```", text, re.DOTALL)
    lines = [line.strip() for line in diagram.splitlines()]
    assert len(lines) > 5
    assert [line for line in lines if not _FLOW.fullmatch(line)] == []
