"""Which command the tap is."""

from __future__ import annotations

import sys

from tap_rutter.fleet.config import FleetConfig

# Not the console script, which may stand anywhere, but the very package that the worker is of.
_OURS = (sys.executable, "-c", "from tap_rutter.cli.tap_command import main; main()")


def tap_command(config: FleetConfig) -> tuple[str, ...]:
    """The tap's command, without its options: the operator's, or ours."""
    return config.tap_command or _OURS
