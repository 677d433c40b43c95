"""Check the built site: what its pages ask for, where their links lead, and what was not rendered.

Each page must be found from the start page, ask no other host for anything, and have no Markdown
left in its text. Links between pages are checked again here, in the HTML that readers get: what
builds the site could turn a good link into a bad one.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent

_LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
    ("object", "data"),
    ("link", "href"),
}
"""Attributes whose address a browser asks for by itself."""
_NOT_LOADED = {"canonical", "next", "prev", "author", "license"}
_IN_CSS = re.compile(r"(?:@import|url\()\s*[\"']?\s*((?:https?:)?//[^\"')\s]+)")
_MARKDOWN = re.compile(r"^\s*(?:[-*] |\d+\. |\|.*\||#{1,6} |```)|\]\(", re.MULTILINE)
_BLOCKS = {"dd", "div", "li", "p", "td", "th"}
_NOT_TEXT = {"code", "pre", "script", "strong", "style", "title", "h1", "h2", "h3", "h4"}


@dataclass
class Html(HTMLParser):
    """What matters of a page."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    text: list[str] = field(default_factory=list)
    """Its text, without code and headings."""

    def __post_init__(self) -> None:
        super().__init__()
        self._apart = 0
        self._article = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        for name, value in values.items():
            if (tag, name) in _LOADED and values.get("rel") not in _NOT_LOADED:
                self.loaded.append(value)
        if tag in _BLOCKS:
            self.text.append("\n")
        self._apart += tag in _NOT_TEXT
        self._article += tag == "article"

    def handle_endtag(self, tag: str) -> None:
        self._apart -= tag in _NOT_TEXT
        self._article -= tag == "article"

    def handle_data(self, data: str) -> None:
        if self._article and not self._apart:
            self.text.append(data)


def faults(site: Path) -> Iterator[str]:
    """What is wrong with a built site, one line for each fault."""
    pages = {
        path.relative_to(site).as_posix(): _read(path) for path in sorted(site.rglob("*.html"))
    }
    for name, page in pages.items():
        for address in page.loaded:
            if urlsplit(address).netloc:
                yield f"{name}: asks another host for {address}"
        for link in page.links:
            if not _leads(site, pages, name, link):
                yield f"{name}: nothing at {link}"
        left = _MARKDOWN.search("".join(page.text))
        if left:
            yield f"{name}: Markdown is left as it was: {left[0].strip()!r}"
    for sheet in sorted(site.rglob("*.css")):
        for address in _IN_CSS.findall(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.relative_to(site)}: asks another host for {address}"
    for name in sorted(pages.keys() - _found(pages) - {"404.html"}):
        yield f"{name}: no links lead here from the start page"


def _read(path: Path) -> Html:
    page = Html()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _target(name: str, link: str) -> tuple[str, str] | None:
    """The file and anchor that a link of a page leads to; None for another site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    if not parts.path:
        return name, unquote(parts.fragment)
    steps: list[str] = []
    # The page of an address that does not exist has addresses from the site's root.
    for step in (PurePosixPath(name).parent / unquote(parts.path)).parts[parts.path[0] == "/" :]:
        if step == "..":
            if not steps:
                return "..", ""
            steps.pop()
        else:
            steps.append(step)
    return "/".join(steps), unquote(parts.fragment)


def _leads(site: Path, pages: Mapping[str, Html], name: str, link: str) -> bool:
    target = _target(name, link)
    if target is None:
        return True
    path, anchor = target
    if path in pages:
        # An empty anchor, and the theme's own for the top, are not in the page.
        return not anchor or anchor in pages[path].anchors or anchor.startswith("__")
    return (site / path).is_file()


def _found(pages: Mapping[str, Html]) -> set[str]:
    found, rest = {"index.html"}, ["index.html"]
    while rest:
        name = rest.pop()
        for link in pages[name].links:
            target = _target(name, link)
            if target and target[0] in pages.keys() - found:
                found.add(target[0])
                rest.append(target[0])
    return found


def main(argv: list[str] | None = None) -> int:
    """Print what is wrong with the site; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "site")
    site = parser.parse_args(argv).site
    found = list(faults(site))
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        count = len(list(site.rglob("*.html")))
        print(f"The site's {count} pages are whole, and ask no other host for anything")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
