"""The arguments of control routes. They are checked before anything is changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

Body = dict[str, Any]


class Refused(ValueError):
    """A control request that cannot be done. The message is for people."""


@dataclass(frozen=True)
class Kind:
    """A type of argument."""

    name: str
    fits: Callable[[Any], bool]
    read: Callable[[Any], Any] = lambda value: value


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value)) and float(value) >= 0
    except (TypeError, ValueError, OverflowError):
        return False


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


TEXT = Kind("text", lambda value: isinstance(value, str))
NUMBER = Kind("a number from 0 on", _is_number, float)
WHOLE = Kind("a whole number", _is_whole)
TRUTH = Kind("true or false", lambda value: isinstance(value, bool))
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
TEXTS = Kind(
    "an array of texts",
    lambda value: isinstance(value, list) and all(isinstance(entry, str) for entry in value),
)
COUNTS = Kind(
    "an object of whole numbers by path",
    lambda value: isinstance(value, dict) and all(map(_is_whole, value.values())),
)
PAIRS = Kind(
    "an object of texts",
    lambda value: (
        isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())
    ),
)
ANYTHING = Kind("any value", lambda _: True)


def or_null(kind: Kind) -> Kind:
    """The same type, or null."""
    return Kind(
        f"{kind.name}, or null",
        lambda value: value is None or kind.fits(value),
        lambda value: None if value is None else kind.read(value),
    )


def one_of(names: Iterable[str]) -> Kind:
    """One of some texts."""
    known = tuple(names)
    return Kind(
        "one of " + ", ".join(known), lambda value: isinstance(value, str) and value in known
    )


@dataclass(frozen=True)
class Route:
    """A control route: what it does, and its arguments."""

    answer: Callable[[Body], Any]
    needs: Mapping[str, Kind] = field(default_factory=dict)
    may: Mapping[str, Kind] = field(default_factory=dict)
    takes_any: bool = False
    """Whether arguments are ignored, so that any argument is accepted."""

    def checked(self, given: Body) -> Body:
        """The arguments, with their types checked.

        Raises:
            Refused: naming the argument that is missing, unknown, or of another type.
        """
        if self.takes_any:
            return given
        kinds = {**self.needs, **self.may}
        for name in given:
            if name not in kinds:
                known = f"; it takes {', '.join(kinds)}" if kinds else "; it takes no arguments"
                raise Refused(f"this route has no argument {name!r}{known}{meant(name, kinds)}")
        for name in self.needs:
            if name not in given:
                raise Refused(f"{name!r} is missing: {kinds[name].name}")
        for name, value in given.items():
            if not kinds[name].fits(value):
                raise Refused(f"{name!r} must be {kinds[name].name}")
        return {name: kinds[name].read(value) for name, value in given.items()}

    def described(self) -> Body:
        """For the list of routes."""
        return {
            "needs": {name: kind.name for name, kind in self.needs.items()},
            "may_have": {name: kind.name for name, kind in self.may.items()},
        }


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence, with the most similar known name; empty if none is similar."""
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
