"""Commands that are imported once and forked for each run: a start costs milliseconds."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

Command = Callable[[Sequence[str]], int]
_TASKS = Path("/proc/self/task")


def tap() -> Command:
    """The command ``tap-rutter``, with what its first use makes and every later one finds."""
    from tap_rutter.cli import running, tap_command
    from tap_rutter.tap import TapRutter

    logging.disable()  # this one is nobody's run
    running.singer_command(TapRutter)
    TapRutter(config={}, validate_config=False).catalog_dict  # noqa: B018 - what it makes is kept
    logging.disable(logging.NOTSET)
    return lambda arguments: tap_command.run_command(list(arguments))


def target(entry: str) -> Command:
    """The command of an entry point, ``MODULE:NAME``, as its console script runs it."""
    module, _, name = entry.partition(":")
    script: Callable[[], Any] = attrgetter(name)(import_module(module))

    def run(_: Sequence[str]) -> int:
        try:
            return _code(script())
        except SystemExit as ended:
            return _code(ended.code)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            logging.shutdown()

    return run


def _code(given: object) -> int:
    """The exit code that ``sys.exit`` would make of a value."""
    if given is None or isinstance(given, int):
        return given or 0
    print(given, file=sys.stderr)
    return 1


def threads() -> int:
    """How many threads this process has, Python's and others'."""
    return len([*_TASKS.iterdir()]) if _TASKS.is_dir() else threading.active_count()
