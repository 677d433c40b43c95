"""The check of the documents' links finds what is broken, and only that."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check_links() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", ROOT / "scripts/check_links.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_broken_links_are_found(tmp_path: Path, check_links: ModuleType) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(
        "# One `thing` & another\n\n# Twice\n\n# Twice\n\n```\n# not a heading\n```\n"
    )
    document = tmp_path / "README.md"
    document.write_text(
        "# Top\n"
        "[good](docs/guide.md) [good](docs/guide.md#one-thing--another) [good](#top)\n"
        "[good](docs/guide.md#twice-1) [web](https://example.com/nowhere) [good](docs)\n"
        "[bad](docs/none.md) [bad](docs/guide.md#nowhere) [bad](#not-a-heading)\n"
        "![bad](chart.svg)\n"
        "[ref]: docs/gone.md\n"
        "```\n[in code](nowhere.md)\n```\n"
    )
    assert list(check_links.broken_links(document, tmp_path)) == [
        "docs/none.md",
        "docs/guide.md#nowhere",
        "#not-a-heading",
        "chart.svg",
        "docs/gone.md",
    ]


def test_all_documents_of_the_repository_are_looked_at(
    tmp_path: Path, check_links: ModuleType
) -> None:
    for name in ("README.md", "docs/a.md", ".venv/lib/b.md", ".demo/c.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# Title\n")
    found = [str(file.relative_to(tmp_path)) for file in check_links.documents(tmp_path)]
    assert found == ["README.md", "docs/a.md"]


def test_a_document_that_nothing_leads_to_is_found(tmp_path: Path, check_links: ModuleType) -> None:
    (tmp_path / "docs").mkdir()
    pages = {
        "README.md": "[a](docs/a.md)\n```\n[in code](docs/shown.md)\n```\n",
        "CHANGELOG.md": "No one needs a link to this one.\n",
        "docs/a.md": "[b](b.md#part)\n",
        "docs/b.md": "# Part\n",
        "docs/shown.md": "In code only.\n",
        "docs/ring.md": "[to the other](other.md)\n",
        "docs/other.md": "[and back](ring.md)\n",
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    found = check_links.lonely(check_links.documents(tmp_path), tmp_path)
    assert [file.name for file in found] == ["other.md", "ring.md", "shown.md"]


def test_every_document_of_the_repository_can_be_found(check_links: ModuleType) -> None:
    assert check_links.lonely(check_links.documents(ROOT), ROOT) == []
