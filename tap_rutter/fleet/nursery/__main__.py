"""The nursery: ``python -m tap_rutter.fleet.nursery DESCRIPTOR [tap[=MODULE:NAME]] [target=…]``.

The descriptor is a socket. For each byte that comes, with four descriptors, it forks a supervisor.
What else is named it imports first, the tap or another command, so that supervisors can fork it.
When the worker at the other end of the socket goes, its supervisors end, and it with them.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from tap_rutter.fleet.nursery.supervisor import Command, Supervisor

DESCRIPTORS = 4
_GRACE_SECONDS = 2.0


def main() -> None:
    """Serve one worker until it goes."""
    worker = socket.socket(fileno=int(sys.argv[1]))
    imported = _imported(sys.argv[2:])
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
                _supervise(descriptors, imported)
            supervisors.add(child)
            for descriptor in descriptors:
                os.close(descriptor)
        _reap(supervisors)


def _supervise(descriptors: Sequence[int], imported: Mapping[str, Command]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        control, target_out, target_err, tap_err = descriptors
        connection = socket.socket(fileno=control)
        Supervisor(connection, target_out, target_err, tap_err, imported).run()
    except BaseException as error:
        os.write(2, f"A supervisor cannot go on: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def _imported(names: Sequence[str]) -> dict[str, Command]:
    """The commands that are named, with all that they import."""
    if not names:
        return {}
    import gc

    from tap_rutter.fleet.nursery import warm

    found: dict[str, Command] = {}
    for name in names:
        which, _, entry = name.partition("=")
        try:
            found[which] = warm.target(entry) if entry else warm.tap()
        except Exception as error:
            # It is started as others are, and says itself what is wrong with it.
            os.write(2, f"The {which} cannot be imported: {type(error).__name__}\n".encode())
    gc.collect()
    gc.freeze()  # else the first collection of each copy would copy what all of them share
    # A copy of a process with threads may find their locks held for ever.
    return found if warm.threads() == 1 else {}


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
