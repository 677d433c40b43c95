"""Hints about settings that name what no connection has: logged at a run's start and end.

This is not an error, since configurations are shared, and connections come and go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tap_rutter.connections.platforms import PLATFORMS
from tap_rutter.names import meant

_KNOWN_PLATFORMS = frozenset(name for names in PLATFORMS.values() for name in names)


def missing_platforms(wanted: Iterable[str], present: Collection[str]) -> list[str]:
    """A message for each platform in the settings that no connection has, with a similar name."""
    return [
        f"Setting 'platforms' names {name}, but no connection is of that platform."
        # A known platform may still be a mistake for another one that connections have.
        f"{meant(name, {*present} if name in _KNOWN_PLATFORMS else {*present, *_KNOWN_PLATFORMS})}"
        for name in sorted(set(wanted) - set(present))
    ]
