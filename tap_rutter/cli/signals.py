"""SIGTERM and SIGINT end a run cleanly, and within a few seconds even if its reader is stuck."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_GRACE_SECONDS = 5.0


@contextmanager
def ending_in_order(end: Callable[[int], None]) -> Iterator[None]:
    """Handle signals inside this block; does nothing in threads other than the main thread.

    Args:
        end: Asks the run to end; gets the signal's number. It is called in another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        # The main thread may hold a lock or have written half a line, so it must be able to go on.
        # So the handler only starts a thread.
        for name in before:
            signal.signal(name, signal.SIG_IGN)
        threading.Thread(target=_end, args=(end, signum), daemon=True).start()

    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    for name in before:
        signal.signal(name, handle)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _end(end: Callable[[int], None], signum: int) -> None:
    end(signum)
    time.sleep(_GRACE_SECONDS)
    # The reader takes no more output. The next run starts from the state that it has stored.
    os._exit(128 + signum)
