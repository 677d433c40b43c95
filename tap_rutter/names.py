"""Names in messages: the known name that a misspelt one is most like, and lists of names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.7  # how similar two spellings of a name are, from 0 to 1


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to this one; None if no name is similar."""
    by_form = {_form(entry): entry for entry in sorted(known)}
    found = get_close_matches(_form(name), by_form, n=1, cutoff=_ALIKE)
    return by_form[found[0]] if found else None


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a message that asks whether the most similar name was meant; empty if none is."""
    found = nearest(name, known)
    return f" Did you mean '{found}'?" if found else ""


def _form(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names with commas between them; of many, the first few."""
    every = list(names)
    return ", ".join(every[:most]) + (", …" if len(every) > most else "")


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as 1 row or 2 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
