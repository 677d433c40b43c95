"""What the settings name and no connection has: logged when a run starts, and in its summary.

It does not end a run, since configurations are shared, and connections come and go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tap_rutter.connections.platforms import PLATFORMS
from tap_rutter.names import meant

_KNOWN_PLATFORMS = frozenset(name for names in PLATFORMS.values() for name in names)


def missing_platforms(wanted: Iterable[str], present: Collection[str]) -> list[str]:
    """Platforms that no connection has, each with the most similar that there is."""
    return [
        f"Setting 'platforms' names {name}, but no connection is of that platform."
        # One that is spelt well may still be mistaken for another that is there.
        f"{meant(name, {*present} if name in _KNOWN_PLATFORMS else {*present, *_KNOWN_PLATFORMS})}"
        for name in sorted(set(wanted) - set(present))
    ]
