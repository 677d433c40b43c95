"""Check that the links between documents lead somewhere, and that each document can be found.

In each Markdown file of the repository, a relative link must name a file or folder that exists, and
its part after ``#`` a heading of that file. Links to the web are not checked. Links from the README
must lead to each document, directly or through others, except to those that GitHub itself shows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)>\s]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HIDDEN = {".venv", ".meltano", ".demo", ".git", ".mutation", ".targets", ".site", "node_modules"}
_SHOWN_ANYWAY = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE.md"}


def documents(root: Path) -> list[Path]:
    """The Markdown files of the repository."""
    found = root.rglob("*.md")
    return sorted(file for file in found if not _HIDDEN & set(file.relative_to(root).parts))


def links(file: Path, root: Path) -> Iterator[tuple[str, Path, str]]:
    """The links of a document within the repository: as written, the file, and the anchor."""
    for match in _LINK.finditer(_FENCE.sub("", file.read_text(encoding="utf-8"))):
        link = match[1] or match[2]
        if _ELSEWHERE.match(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        base = root if path.startswith("/") else file.parent
        yield link, (base / path.lstrip("/")).resolve() if path else file, anchor


def lonely(files: Iterable[Path], root: Path) -> list[Path]:
    """The documents to which no links lead from those that everyone sees."""
    documents = {file.resolve() for file in files}
    rest = [file for file in documents if file.name in _SHOWN_ANYWAY]
    found = set(rest)
    while rest:
        for _, target, _ in links(rest.pop(), root):
            if target in documents - found:
                found.add(target)
                rest.append(target)
    return sorted(documents - found)


def broken_links(file: Path, root: Path) -> Iterator[str]:
    """The links of a document whose target does not exist, as written."""
    for link, target, anchor in links(file, root):
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            yield link


def anchors(file: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    return anchors_of(file.read_text(encoding="utf-8"))


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings in a text."""
    seen: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def main() -> int:
    """Print the broken links and the documents that nothing links to; 1 if there are any."""
    files = documents(ROOT)
    broken = [(file, link) for file in files for link in broken_links(file, ROOT)]
    for file, link in broken:
        print(f"{file.relative_to(ROOT)}: nothing at {link}", file=sys.stderr)
    alone = lonely(files, ROOT)
    for file in alone:
        print(f"{file.relative_to(ROOT)}: no links lead here from the README", file=sys.stderr)
    if not broken and not alone:
        print(f"All links in {len(files)} documents are good, and all documents can be found")
    return 1 if broken or alone else 0


if __name__ == "__main__":
    sys.exit(main())
