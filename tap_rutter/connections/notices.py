"""What settings name and there is not: told of among the first lines of a run, and in its summary.

None of it ends a run, since configurations are shared, and connections come and go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tap_rutter.connections.platforms import PLATFORMS
from tap_rutter.names import meant, nearest

_PREFIX = "TAP_RUTTER_"
_OF_THE_SDK = {"loglevel"}
_KNOWN_PLATFORMS = frozenset(name for names in PLATFORMS.values() for name in names)


def unknown_settings(given: Iterable[str], known: Collection[str]) -> list[str]:
    """Settings that the tap does not have, each with the nearest that it has."""
    return [
        f"'{name}' is not a setting of tap-rutter: it has no effect.{meant(name, known)}"
        for name in given
        if name not in known
    ]


def unknown_variables(given: Iterable[str], known: Collection[str]) -> list[str]:
    """Variables spelt almost as one that the tap, or Meltano for it, would read.

    Others that begin like the tap's belong to somebody else, such as a build.
    """
    found: list[str] = []
    for variable in sorted(given):
        name = variable.removeprefix(_PREFIX).lower()
        # Meltano's own begin with two underscores.
        if not variable.startswith(_PREFIX) or name.startswith("_") or name in _OF_THE_SDK:
            continue
        meant_one = None if name in known else nearest(name, known)
        if meant_one is not None:
            found.append(
                f"{variable} does not stand for a setting of tap-rutter: it has no effect."
                f" Did you mean {_PREFIX}{meant_one.upper()}?"
            )
    return found


def missing_platforms(wanted: Iterable[str], present: Collection[str]) -> list[str]:
    """Platforms that no connection has, each with the nearest that there is."""
    return [
        f"Setting 'platforms' names {name}, but no connection is of that platform."
        # One that is spelt well may still be mistaken for another that is there.
        f"{meant(name, {*present} if name in _KNOWN_PLATFORMS else {*present, *_KNOWN_PLATFORMS})}"
        for name in sorted(set(wanted) - set(present))
    ]
