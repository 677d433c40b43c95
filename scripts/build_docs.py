"""Write the generated parts of the documentation: settings, streams, versions of the API.

``python scripts/build_docs.py`` rewrites them; ``--check`` exits with 1 where a file is not up to
date. Generated parts stand between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``.
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

from docs_streams import FAMILIES, endpoints_table, families_table, page, summary  # noqa: E402
from docs_upgrading import differences, sources_table  # noqa: E402

from tap_rutter.settings import JSONSCHEMA  # noqa: E402
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
    """The streams with endpoint, kind, key and bookmark."""
    lines = [
        "| stream | what it holds | endpoint | kind | key | bookmark |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for stream in STREAMS:
        key = ", ".join(f"`{name}`" for name in stream.key)
        bookmark = f"`{stream.time_field}`" if stream.time_field else "-"
        endpoint = f"`{stream.path}`" if stream.path else "made by the tap"
        lines.append(
            f"| `{name_of(stream)}` | {summary(stream)} | {endpoint} | {stream.kind.label} |"
            f" {key} | {bookmark} |"
        )
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "streams": streams_table,
    "families": families_table,
    "endpoints": endpoints_table,
    "api-versions": sources_table,
    "differences": differences,
    **{f"streams-{family}": partial(page, family) for family in FAMILIES},
}


def built(text: str) -> str:
    """A page with its generated parts made anew."""

    def part(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- begin: {name} -->\n\n{PARTS[name]()}\n\n<!-- end: {name} -->"

    return re.sub(r"<!-- begin: ([\w-]+) -->.*?<!-- end: \1 -->", part, text, flags=re.DOTALL)


def pages() -> list[Path]:
    """The pages that hold generated parts."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [file for file in found if "<!-- begin: " in file.read_text(encoding="utf-8")]


def main(argv: list[str] | None = None) -> int:
    """Rewrite the pages, or tell which are not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    check = parser.parse_args(argv).check
    stale = []
    for file in pages():
        before = file.read_text(encoding="utf-8")
        after = built(before)
        if before != after:
            stale.append(file.relative_to(ROOT))
            if not check:
                file.write_text(after, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'not up to date' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
