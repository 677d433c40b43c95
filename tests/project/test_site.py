"""The documentation as a site: links become those of the site, and the check finds what is wrong.

The site itself is built and checked by ``make docs-site``.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", name="scripts")
def _scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("site_pages"), importlib.import_module("check_site")


@pytest.fixture(name="repository")
def _repository(scripts: tuple[ModuleType, ModuleType], tmp_path: Path) -> Any:
    """A small repository, as the site sees it."""
    (tmp_path / "docs" / "streams").mkdir(parents=True)
    (tmp_path / "peers").mkdir()
    documents = {
        "README.md": "# The tap\n\n## Settings\n\n| a |\n\n### More\n\n## Streams\n\n## Last\n",
        "CHANGELOG.md": "# Changelog\n",
        "peers/one.py": "pass\n",
        "docs/guide.md": "# Guide\n\n[a peer](../peers/one.py), [keys](../.env)\n",
        ".env": "KEY=\n",
        "docs/chart.svg": "<svg/>\n",
        "docs/streams/shop.md": "# Shop\n",
    }
    for name, text in documents.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return scripts[0].Repository(tmp_path)


def test_the_readme_becomes_several_pages(repository: Any) -> None:
    pages = {uri: page.text for uri, page in repository.added.items()}
    assert pages == {
        "index.md": "# The tap\n\n## Last\n",
        "settings.md": "# Settings\n\n| a |\n\n## More\n\n",
        "all-streams.md": "# Streams\n\n",
        "changelog.md": "# Changelog\n",
    }


@pytest.mark.parametrize(
    ("uri", "link", "becomes"),
    [
        ("index.md", "(docs/guide.md#guide)", "(guide.md#guide)"),
        ("index.md", "(#settings)", "(settings.md#settings)"),
        ("settings.md", "(#last)", "(index.md#last)"),
        ("guide.md", "(../README.md#more)", "(settings.md#more)"),
        ("guide.md", "(../README.md)", "(index.md)"),
        ("guide.md", "(../CHANGELOG.md)", "(changelog.md)"),
        ("guide.md", "(../peers/one.py)", "(source/peers/one.py)"),
        ("guide.md", "(../.env)", "(source/env)"),
        ("guide.md", "(chart.svg)", "(chart.svg)"),
        ("streams/shop.md", "(../guide.md)", "(../guide.md)"),
        ("streams/shop.md", "(../../README.md#settings)", "(../settings.md#settings)"),
        ("guide.md", "(https://example.com/docs/guide.md)", "(https://example.com/docs/guide.md)"),
        ("guide.md", "(gone.md)", "(gone.md)"),
    ],
)
def test_a_link_leads_to_where_the_site_has_it(
    repository: Any, uri: str, link: str, becomes: str
) -> None:
    relinked = repository.relinked
    assert relinked(f"See [this]{link}.", uri) == f"See [this]{becomes}."
    fence = f"```\n[this]{link}\n```\n"
    assert relinked(fence, uri) == fence


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("[guide.md](docs/guide.md)", "[Guide](guide.md)"),
        ("[docs/guide.md](docs/guide.md#guide)", "[Guide](guide.md#guide)"),
        ("[the guide](docs/guide.md)", "[the guide](guide.md)"),
        ("[gone.md](docs/guide.md)", "[gone.md](guide.md)"),
    ],
)
def test_a_link_that_shows_a_files_name_shows_its_title(
    repository: Any, link: str, becomes: str
) -> None:
    assert repository.relinked(link, "index.md") == becomes


def test_a_link_to_a_folder_is_its_text(repository: Any) -> None:
    relinked = repository.relinked
    assert relinked("All [peers](../peers).", "guide.md") == "All peers."


def test_files_that_documents_link_to_are_in_the_site(repository: Any) -> None:
    assert repository.linked_sources == {
        "source/peers/one.py": "peers/one.py",
        "source/env": ".env",
    }


GOOD = '<html><body><article><p id="top">Text</p><code>- code</code>{}</article></body></html>'


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        (
            '<script src="https://cdn.example.com/x.js"></script>',
            "asks another host for https://cdn",
        ),
        ('<img src="//cdn.example.com/x.png">', "asks another host for //cdn"),
        (
            '<link rel="stylesheet" href="https://fonts.example.com/css">',
            "asks another host for https://fonts",
        ),
        ('<a href="gone.html">x</a>', "nothing at gone.html"),
        ('<a href="other.html#gone">x</a>', "nothing at other.html#gone"),
        ("<p>one\n- two</p>", "Markdown is left as it was: '-'"),
        ("<p>| a | b |</p>", "Markdown is left as it was: '| a | b |'"),
        ("<p>[a](b.md)</p>", "Markdown is left as it was: ']('"),
    ],
)
def test_what_is_wrong_with_a_site_is_found(
    scripts: tuple[ModuleType, ModuleType], tmp_path: Path, page: str, fault: str
) -> None:
    (tmp_path / "other.html").write_text(GOOD.format('<a href="https://example.com">x</a>'))
    (tmp_path / "index.html").write_text(GOOD.format('<a href="other.html#top">x</a>'))
    assert list(scripts[1].faults(tmp_path)) == []

    (tmp_path / "index.html").write_text(GOOD.format('<a href="other.html#top">x</a>' + page))
    (found,) = scripts[1].faults(tmp_path)
    assert found.startswith(f"index.html: {fault}")


def test_pages_that_nothing_leads_to_and_foreign_fonts_are_found(
    scripts: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(GOOD.format(""))
    (tmp_path / "alone.html").write_text(GOOD.format(""))
    (tmp_path / "a.css").write_text("@import url('https://fonts.example.com/a.css');")
    assert list(scripts[1].faults(tmp_path)) == [
        "a.css: asks another host for https://fonts.example.com/a.css",
        "alone.html: no links lead here from the start page",
    ]


def test_every_document_is_in_the_navigation(scripts: tuple[ModuleType, ModuleType]) -> None:
    """MkDocs would refuse to build the site; here it is said sooner, and for each page."""
    named = set(re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    docs = ROOT / "docs"
    documents = {file.relative_to(docs).as_posix() for file in docs.rglob("*.md")}
    assert {*documents, *scripts[0].Repository(ROOT).added} - named == set()
