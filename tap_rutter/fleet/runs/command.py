"""Which command the tap is."""

from __future__ import annotations

import sys
from pathlib import Path

from tap_rutter.fleet.config import FleetConfig


def tap_command(config: FleetConfig) -> tuple[str, ...]:
    """The tap's command, without its options: the operator's, or that of this very package."""
    if config.tap_command:
        return config.tap_command
    beside = Path(sys.executable).with_name("tap-rutter")
    return (str(beside) if beside.exists() else beside.name,)
