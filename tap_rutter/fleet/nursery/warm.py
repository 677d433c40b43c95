"""The tap, imported once and forked for each run: a start costs milliseconds, not a second."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tap_rutter.cli import running, tap_command
from tap_rutter.tap import TapRutter


def run_tap(arguments: Sequence[str]) -> int:
    """The command ``tap-rutter``, in a process that was forked for it; returns its exit code."""
    return tap_command.run_command(list(arguments))


# What the first use of a tap makes, and every later one finds.
logging.disable()  # this one is nobody's run
running.singer_command(TapRutter)
TapRutter(config={}, validate_config=False).catalog_dict  # noqa: B018 - what it makes is kept
logging.disable(logging.NOTSET)
