"""Waiting in a test for what other threads or processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

HANG = 60.0
"""Seconds after which a test that waits has failed."""


def until(
    condition: Callable[[], Any], what: str = "it", seconds: float = HANG, pause: float = 0.005
) -> Any:
    """Wait for what other threads or processes bring about.

    Args:
        condition: Gives something that counts as true once it is so.
        what: It, in words, for the failure.
        seconds: How long it may take.
        pause: Seconds between two looks.

    Returns:
        What the condition gave.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(pause)
    return found
