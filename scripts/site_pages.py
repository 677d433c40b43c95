"""The repository's documents as pages of the site: where each is found, and what links become.

Documents are written for readers of the repository. Some lie outside ``docs/``, and the README is
longer than a start page should be. So the site has the README in several pages, and each link is
rewritten to the page that has what it points to. Nothing here knows of MkDocs.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from check_links import anchors_of

OUTSIDE: Mapping[str, str] = {
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "security.md",
}
"""Documents outside ``docs/``, with the site's page for each; one that is missing is left out."""

APART: Mapping[str, str] = {"Settings": "settings.md", "Streams": "all-streams.md"}
"""Sections of the README that are pages of their own."""

SOURCES = "source"
"""The site's folder for other files of the repository that documents link to."""

_FENCE = re.compile(r"^(?P<fence>```|~~~).*?^(?P=fence)", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^(?=## )", re.MULTILINE)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s]+)\)")
_FILE_NAME = re.compile(r"`?[\w./-]+\.md`?")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass(frozen=True)
class SitePage:
    """A page of the site, with the document of the repository that its text comes from."""

    uri: str
    document: str
    text: str


@dataclass(frozen=True)
class Repository:
    """The documents of a repository, as the site shows them."""

    root: Path

    @cached_property
    def added(self) -> Mapping[str, SitePage]:
        """Pages whose text is not a file of ``docs/``, by their address in the site."""
        pages = {}
        for document, uri in OUTSIDE.items():
            if (self.root / document).exists():
                text = (self.root / document).read_text(encoding="utf-8")
                for part_uri, part in (
                    divided(text, uri) if document == "README.md" else [(uri, text)]
                ):
                    pages[part_uri] = SitePage(part_uri, document, part)
        return pages

    def document_of(self, uri: str) -> str:
        """The document that a page's text comes from, as a path from the root."""
        return self.added[uri].document if uri in self.added else f"docs/{uri}"

    def place_of(self, path: str, anchor: str) -> str | None:
        """Where the site has a file of the repository; None for a folder, or what is not there."""
        if path == "README.md":
            for page in self.added.values():
                if page.document == path and anchor in anchors_of(page.text):
                    return page.uri
        if path in OUTSIDE:
            return OUTSIDE[path]
        if not (self.root / path).is_file():
            return None
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        # MkDocs leaves out files whose names begin with a dot.
        return "/".join([SOURCES, *(part.lstrip(".") for part in path.split("/"))])

    @cached_property
    def linked_sources(self) -> Mapping[str, str]:
        """Other files of the repository that documents link to: path from the root, by address."""
        documents = [page.document for page in self.added.values()]
        documents += [
            str(file.relative_to(self.root)) for file in sorted((self.root / "docs").rglob("*.md"))
        ]
        found = {}
        for document in documents:
            for path, _ in _links(self.root, document):
                place = self.place_of(path, "")
                if place and place.startswith(f"{SOURCES}/"):
                    found[place] = path
        return found

    def relinked(self, text: str, uri: str) -> str:
        """The text of a page, with links that lead to where the site has what they point to.

        A link to a folder becomes its mere text, since the site has no folders to show.
        """
        document = self.document_of(uri)

        def link(match: re.Match[str]) -> str:
            if _ELSEWHERE.match(match["to"]):
                return match[0]
            path, anchor = _target(document, match["to"])
            place = self.place_of(path, anchor)
            if place is None:
                return match["text"] if (self.root / path).is_dir() else match[0]
            to = posixpath.relpath(place, posixpath.dirname(uri) or ".")
            text = match["text"]
            if _FILE_NAME.fullmatch(text) and (self.root / path).name == posixpath.basename(text):
                text = self._title_of(path)  # on the site, names of files say nothing
            return f"{match['image']}[{text}]({to}{'#' + anchor if anchor else ''})"

        return outside_fences(text, lambda part: _LINK.sub(link, part))

    def _title_of(self, document: str) -> str:
        """A document's heading of the first level."""
        title = _TITLE.search((self.root / document).read_text(encoding="utf-8"))
        return title[1] if title else document


def divided(readme: str, uri: str) -> Iterator[tuple[str, str]]:
    """The README's own page, without the sections that are apart, and a page for each of these."""
    rest = []
    for section in _SECTION.split(readme):
        title = section.partition("\n")[0].removeprefix("## ").strip()
        if section.startswith("## ") and title in APART:
            # One level up: a page's title is its only heading of the first level.
            yield APART[title], re.sub(r"^#(#+ )", r"\1", section, flags=re.MULTILINE)
        else:
            rest.append(section)
    yield uri, "".join(rest)


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """The text with a change made to all of it but blocks of code."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def with_markdown_inside(text: str) -> str:
    """The text with Markdown read inside of ``<details>``, as GitHub does without being told."""
    return outside_fences(text, lambda part: part.replace("<details>", '<details markdown="1">'))


def _links(root: Path, document: str) -> Iterator[tuple[str, str]]:
    """The links of a document within the repository: path from the root, and anchor."""
    text = _FENCE.sub("", (root / document).read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        if not _ELSEWHERE.match(match["to"]):
            yield _target(document, match["to"])


def _target(document: str, link: str) -> tuple[str, str]:
    path, _, anchor = unquote(link).partition("#")
    if not path:
        return document, anchor
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), path)), anchor
