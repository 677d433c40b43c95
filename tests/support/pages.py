"""The parts of a documentation page that tests run as they stand there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """What stands under a heading of the second level."""

    title: str
    text: str

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of a language, in their order."""
        return [body for found, body in _BLOCK.findall(self.text) if found == language]

    def block(self, language: str) -> str:
        """The only block of a language."""
        (body,) = self.blocks(language)
        return body

    def yaml(self) -> Any:
        """The content of the only YAML block."""
        return yaml.safe_load(self.block("yaml"))


def sections(page: Path) -> dict[str, Section]:
    """The sections of a page, by their headings."""
    _, *parts = _HEADING.split(page.read_text(encoding="utf-8"))
    titles, texts = parts[::2], parts[1::2]
    assert len(set(titles)) == len(titles), "two sections of one name"
    return {title: Section(title, text) for title, text in zip(titles, texts, strict=True)}


def merged(whole: Any, part: Any) -> Any:
    """A configuration with a part of one laid over it, as a user would write it in.

    Objects are merged; so are the entries of arrays whose objects have a ``name``. Anything else of
    the part takes the place of what was there.
    """
    if isinstance(whole, dict) and isinstance(part, dict):
        return whole | {name: merged(whole.get(name), value) for name, value in part.items()}
    if _are_named(whole) and _are_named(part):
        entries = {entry["name"]: entry for entry in whole}
        for entry in part:
            entries[entry["name"]] = merged(entries.get(entry["name"]), entry)
        return list(entries.values())
    return part


def _are_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(e, dict) and "name" in e for e in value)
