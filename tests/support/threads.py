"""Waiting in a test for what other threads or processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG = 60.0
"""Seconds after which a test that waits has failed."""


def until(condition: Callable[[], object], what: str) -> None:
    """Return once something is so.

    Args:
        condition: Whether it is.
        what: It, in words, for the failure.
    """
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.001)
