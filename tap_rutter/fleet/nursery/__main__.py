"""The nursery: ``python -m tap_rutter.fleet.nursery DESCRIPTOR [tap]``.

The descriptor is a socket. For each byte that comes, with four descriptors, it forks a supervisor.
With ``tap`` it has imported the tap, so that supervisors can fork that as well. When the worker at
the other end of the socket goes, its supervisors end, and it with them.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from tap_rutter.fleet.nursery.supervisor import RunTap, Supervisor

DESCRIPTORS = 4
_GRACE_SECONDS = 2.0


def main() -> None:
    """Serve one worker until it goes."""
    worker = socket.socket(fileno=int(sys.argv[1]))
    run_tap = _imported() if "tap" in sys.argv[2:] else None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes with its worker, and not before
    wakeup, bell = os.pipe()
    for descriptor in (wakeup, bell):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(worker, selectors.EVENT_READ)
    selector.register(wakeup, selectors.EVENT_READ)
    supervisors: set[int] = set()
    while True:
        for key, _ in selector.select():
            if key.fd == wakeup:
                with suppress(BlockingIOError):
                    os.read(wakeup, 4096)
                continue
            order, descriptors, _, _ = socket.recv_fds(worker, 1, DESCRIPTORS)
            if not order:
                _end(supervisors)
            child = os.fork()
            if not child:
                selector.close()
                for descriptor in (wakeup, bell):
                    os.close(descriptor)
                worker.close()
                _supervise(descriptors, run_tap)
            supervisors.add(child)
            for descriptor in descriptors:
                os.close(descriptor)
        _reap(supervisors)


def _supervise(descriptors: Sequence[int], run_tap: RunTap | None) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        control, target_out, target_err, tap_err = descriptors
        connection = socket.socket(fileno=control)
        Supervisor(connection, target_out, target_err, tap_err, run_tap).run()
    except BaseException as error:
        os.write(2, f"A supervisor cannot go on: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def _imported() -> RunTap:
    """The tap's command, with all that it imports."""
    import gc
    import threading

    from tap_rutter.fleet.nursery.warm import run_tap

    gc.collect()
    gc.freeze()  # else the first collection of each fork would copy what all of them share
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    return run_tap


def _reap(supervisors: set[int]) -> None:
    """Take note of supervisors that have ended, and end what one that was killed has left."""
    for child in list(supervisors):
        ended = _has_ended(child)
        if ended:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)
            supervisors.discard(child)


def _has_ended(child: int) -> bool:
    """Whether a child has ended. It is not waited for, so that its number stays its own."""
    try:
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


def _end(supervisors: set[int]) -> NoReturn:
    """The worker is gone: its supervisors know, and have a moment to end by themselves."""
    end = time.monotonic() + _GRACE_SECONDS
    while supervisors and time.monotonic() < end:
        _reap(supervisors)
        time.sleep(0.02)
    for child in supervisors:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
