"""Write the generated parts of the documentation: settings, streams, versions of the API.

``make docs`` runs ``python scripts/build_docs.py``, which rewrites them. ``--check`` writes
nothing, and exits with 1 if a file is not up to date. Generated parts are between ``<!-- begin:
NAME -->`` and ``<!-- end: NAME -->``. A family of streams without a page gets a new page. The
definitions for ``meltano add`` are written as a whole.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs_diagrams import all_references  # noqa: E402
from docs_families import FAMILIES  # noqa: E402
from docs_release import extractor, loader, published  # noqa: E402
from docs_streams import endpoints_table, families_table, page, summary  # noqa: E402
from docs_upgrading import differences, sources_table  # noqa: E402

from tap_rutter.settings_schema import JSONSCHEMA  # noqa: E402
from tap_rutter.streams import STREAMS, name_of  # noqa: E402


def settings_table() -> str:
    """The settings with type, default and meaning."""
    lines = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, schema in JSONSCHEMA["properties"].items():
        kind = next(entry for entry in schema["type"] if entry != "null")
        kind = "array of strings" if kind == "array" else kind
        if schema.get("format") == "date-time":
            kind = "date or time"
        if schema.get("secret"):
            kind += ", secret"
        default = "required" if name in JSONSCHEMA["required"] else _default(name, schema)
        choices = schema.get("enum")
        meaning = schema["description"]
        if choices:
            meaning += " One of " + ", ".join(f"`{choice}`" for choice in choices) + "."
        lines.append(f"| `{name}` | {kind} | {default} | {meaning} |")
    return "\n".join(lines)


def _default(name: str, schema: dict[str, Any]) -> str:
    if name == "user_agent":
        return "`tap-rutter/VERSION`"
    value = schema.get("default")
    if value is None or value == []:
        return "-"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def streams_table() -> str:
    """The streams with endpoint, replication, key and bookmark."""
    lines = [
        "| stream | what it holds | endpoint | replication | key | bookmark |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for stream in STREAMS:
        key = ", ".join(f"`{name}`" for name in stream.primary_keys)
        bookmark = f"`{stream.replication_key}`" if stream.replication_key else "-"
        endpoint = f"`{stream.path}`" if stream.path else "made by the tap"
        lines.append(
            f"| `{name_of(stream)}` | {summary(stream)} | {endpoint} | {stream.replication.label} |"
            f" {key} | {bookmark} |"
        )
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "published": published,
    "settings": settings_table,
    "streams": streams_table,
    "families": families_table,
    "references": all_references,
    "endpoints": endpoints_table,
    "api-versions": sources_table,
    "differences": differences,
    **{f"streams-{family}": partial(page, family) for family in FAMILIES},
}

# Files that are generated as a whole.
FILES: dict[str, Callable[[], str]] = {
    "plugins/extractors/tap-rutter.yml": extractor,
    "plugins/loaders/target-postgres.yml": loader,
}

_PART = re.compile(r"<!-- begin: ([\w-]+) -->.*?<!-- end: \1 -->", re.DOTALL)
_MARK = re.compile(r"<!-- (?:begin|end): ([\w-]+) -->")


class MarksError(Exception):
    """The marks of a generated part are wrong. The message says where."""


def built(text: str, name: str = "the page") -> str:
    """A page with new generated parts.

    Raises:
        MarksError: for a mark without its other end, or with an unknown name.
    """

    def part(match: re.Match[str]) -> str:
        if match[1] not in PARTS:
            raise MarksError(f"{name}: no generated part is called '{match[1]}'")
        return f"<!-- begin: {match[1]} -->\n\n{PARTS[match[1]]()}\n\n<!-- end: {match[1]} -->"

    for mark in _MARK.findall(_PART.sub("", text)):
        raise MarksError(f"{name}: the marks of part '{mark}' lack a beginning or an end")
    return _PART.sub(part, text)


def pages() -> dict[Path, str]:
    """The pages with generated parts, as they are now; "" for a page that does not exist yet.

    Raises:
        MarksError: for a part that is on no page.
    """
    found = {
        file: text
        for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        if _MARK.search(text := file.read_text(encoding="utf-8"))
    }
    placed = {name for text in found.values() for name in _MARK.findall(text)}
    for name in PARTS:
        family = name.removeprefix("streams-")
        page = ROOT / "docs" / "streams" / f"{family}.md"
        if name in placed:
            continue
        if family not in FAMILIES or page.exists():
            raise MarksError(
                f"Part '{name}' is on no page: put <!-- begin: {name} --> and"
                f" <!-- end: {name} --> where it belongs"
            )
        found[page] = ""
    return found


def _text(file: Path) -> str:
    """A file as it is now; "" for one that does not exist yet."""
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _first(family: str) -> str:
    """The first page of a new family. A person has to write its introduction."""
    title = family.replace("_", " ").capitalize()
    shared = "What all streams share: [streams](../streams.md)."
    marks = f"<!-- begin: streams-{family} -->\n<!-- end: streams-{family} -->"
    return f"# {title}\n\n{shared}\n\n{marks}\n"


def main(argv: list[str] | None = None) -> int:
    """Rewrite the pages, or say which are not up to date (1); 2 if marks are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    check = parser.parse_args(argv).check
    try:
        made = {
            file: (text, built(text or _first(file.stem), str(file.relative_to(ROOT))))
            for file, text in pages().items()
        }
        made |= {ROOT / name: (_text(ROOT / name), make()) for name, make in FILES.items()}
    except MarksError as error:
        print(f"build_docs: {error}", file=sys.stderr)
        return 2
    stale = [file for file, (before, after) in made.items() if before != after]
    for file in stale:
        name = file.relative_to(ROOT)
        if check:
            print(f"{name}: not up to date; to write it: make docs", file=sys.stderr)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(made[file][1], encoding="utf-8")
            print(f"{name}: written")
    if not stale:
        print("All generated parts of the documentation are up to date")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
