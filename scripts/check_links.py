"""Whether the links between the documents, and from them into the code, lead somewhere.

Checks each Markdown file of the repository: a relative link must name a file or folder that is
there, and its part after ``#`` a heading of that file. Addresses on the web are not asked for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)>\s]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HIDDEN = {".venv", ".meltano", ".demo", ".git", "node_modules"}


def documents(root: Path) -> list[Path]:
    """The Markdown files of the repository."""
    found = root.rglob("*.md")
    return sorted(file for file in found if not _HIDDEN & set(file.relative_to(root).parts))


def broken_links(file: Path, root: Path) -> Iterator[str]:
    """The links of a document that lead nowhere, as written."""
    for match in _LINK.finditer(_FENCE.sub("", file.read_text(encoding="utf-8"))):
        link = match[1] or match[2]
        if _ELSEWHERE.match(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        base = root if path.startswith("/") else file.parent
        target = (base / path.lstrip("/")).resolve() if path else file
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            yield link


def anchors(file: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    seen: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", file.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def main() -> int:
    """Print the broken links; 1 when there are any."""
    files = documents(ROOT)
    broken = [(file, link) for file in files for link in broken_links(file, ROOT)]
    for file, link in broken:
        print(f"{file.relative_to(ROOT)}: nothing at {link}", file=sys.stderr)
    if not broken:
        print(f"All links of {len(files)} documents lead somewhere")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
