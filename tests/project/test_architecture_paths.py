"""The architecture page names files, tests and classes that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
IN_PICTURE = re.findall(r'\["(?:\w+: )?((?:\w+/)*\w+\.py)', PAGE)
FILES = sorted({*IN_PICTURE, *(n for n in QUOTED if re.fullmatch(r"(?:[\w.]+/)*\w+\.py|\w+/", n))})
TESTS = [name for name in QUOTED if re.fullmatch(r"tests/[\w/]+\.py::\w+", name)]


def found(name: str) -> Path | None:
    """Where a name leads: from the root, in the package, or, for a bare file, in any room."""
    for base in (ROOT, ROOT / "tap_rutter"):
        if (base / name).exists():
            return base / name
    beside = [] if "/" in name else sorted((ROOT / "tap_rutter").rglob(name))
    return beside[0] if beside else None


def test_the_page_names_files_and_tests() -> None:
    assert len(FILES) > 30
    assert len(TESTS) > 3


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_page_names_is_there(name: str) -> None:
    assert found(name) is not None


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_the_page_names_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert f"\ndef {function}(" in (ROOT / file).read_text(encoding="utf-8")


ROOMS = sorted(init.parent.name for init in ROOT.glob("tap_rutter/*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_tells_of_every_room(room: str) -> None:
    assert f"`{room}/`" in PAGE
