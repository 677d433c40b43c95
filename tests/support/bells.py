"""A consumer of doorbells in a process of its own, which says what it hears."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CONSUMER = """
import sys
from tap_rutter.fleet.work import doorbells
doorbells.QUEUE_PREFIX = sys.argv[2]
app = doorbells.make_app(sys.argv[1])
say = lambda *words: print(*words, flush=True)
doorbells.answer_bells(app, lambda lanes: say("woke", *lanes))
sys.exit(doorbells.run_worker(app, lambda: say("started"), lambda: say("stopped")))
"""


@contextmanager
def consumer(url: str, prefix: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CONSUMER, url, prefix],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that it prints; "" where none comes in time."""
    output = process.stdout
    assert output is not None
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(output.readline()), daemon=True)
    reader.start()
    reader.join(20)
    return found[0].strip() if found else ""
