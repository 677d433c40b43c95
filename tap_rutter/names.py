"""Names as people misspell them: which known one was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.7  # share of letters that two spellings of one name have in common


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is spelt most like this one; None where none is like it."""
    by_form = {_form(entry): entry for entry in sorted(known)}
    found = get_close_matches(_form(name), by_form, n=1, cutoff=_ALIKE)
    return by_form[found[0]] if found else None


def meant(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest, with a blank before it; empty where none is near."""
    found = nearest(name, known)
    return f" Did you mean '{found}'?" if found else ""


def _form(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names in a row, the first few of many."""
    every = list(names)
    return ", ".join(every[:most]) + (", …" if len(every) > most else "")


def counted(number: int, noun: str) -> str:
    """A number of things: 1 row, 2 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
