"""How a supervisor starts its processes, so that none of them outlives it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# What a terminal, an operator or a shutting-down machine sends to everything that runs.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CANNOT_START = 127
_OPEN = Path("/proc/self/fd")


def start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    deaf: bool = False,
) -> int:
    """Start a command; returns its process id.

    Args:
        argv: The command. A name without a slash is looked for along the environment's PATH.
        environment: All of its variables.
        stdin, stdout, stderr: Descriptors; they stay open here.
        deaf: As for ``fork``.
    """

    def run() -> NoReturn:
        try:
            os.execvpe(argv[0], list(argv), dict(environment))
        except OSError as error:
            os.write(2, f"{argv[0]} cannot be started: {error.strerror}\n".encode())
            os._exit(_CANNOT_START)

    return fork(run, stdin=stdin, stdout=stdout, stderr=stderr, deaf=deaf)


def fork(
    run: Callable[[], object], *, stdin: int, stdout: int, stderr: int, deaf: bool = False
) -> int:
    """Run a function in a process of its own; returns the process's id.

    It has these descriptors and no others. Its exit code is what the function returns, if that is a
    number.

    Args:
        run: The function.
        stdin, stdout, stderr: Descriptors; they stay open here.
        deaf: Whether it is not to hear of signals that end processes. A target that is told to end
            may say that it has landed what it has not; so it ends with its input, or is killed.
    """
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = _CANNOT_START
    try:
        _die_with(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *_ENDING):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if deaf:
            signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        _take_over(stdin, stdout, stderr)
        done = run()
        code = done if isinstance(done, int) else 0
    except BaseException as error:
        os.write(2, f"The process cannot go on: {type(error).__name__}\n".encode())
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    """Be killed when the parent is: on Linux by the kernel.

    Elsewhere the nursery kills the process group of a supervisor that has died.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_CANNOT_START)


def _take_over(stdin: int, stdout: int, stderr: int) -> None:
    """Make these the standard descriptors, and close all others."""
    # Away from 0 to 2 first: one of them may be among the three.
    moved = [_above(descriptor) for descriptor in (stdin, stdout, stderr)]
    for number, descriptor in enumerate(moved):
        os.dup2(descriptor, number)
    os.closerange(3, _most_descriptors())


def _above(descriptor: int) -> int:
    low = []
    while True:
        copy = os.dup(descriptor)
        if copy > 2:
            break
        low.append(copy)
    for other in low:
        os.close(other)
    return copy


def _most_descriptors() -> int:
    if _OPEN.is_dir():
        return 1 + max(int(entry.name) for entry in _OPEN.iterdir())
    return min(os.sysconf("SC_OPEN_MAX"), 1 << 16)


def become(
    run: Callable[[Sequence[str]], int], argv: Sequence[str], environment: Mapping[str, str]
) -> int:
    """In a process that was forked for it: what an imported command does; returns its exit code.

    Args:
        run: The command, which takes its arguments.
        argv: Its name and its arguments.
        environment: All of its variables.
    """
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python has it: a broken pipe is an error
    sys.argv = [*argv]
    code = run(argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    return code
