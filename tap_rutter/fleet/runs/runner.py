"""The worker's side of a run's processes: the nursery, and a handle on each supervisor.

See ``fleet/nursery/`` for what runs at the other end.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tap_rutter.errors import TapError
from tap_rutter.fleet.model import Environment
from tap_rutter.fleet.nursery.wire import Incoming, Message, send
from tap_rutter.fleet.runs.environment import tap_environment

_END_SECONDS = 5.0


class NurseryGone(TapError):
    """The process that starts runs cannot be started, or ends at once."""


class Nursery:
    """The process that forks supervisors; started when it is first needed, and again if it dies."""

    def __init__(self, imports: tuple[str, ...] = ()) -> None:
        """``imports``: what it imports, so that runs need not: the nursery's own arguments."""
        self._imports = imports
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it ahead of the first run, which would wait for its imports."""
        with self._lock:
            self._start_if_needed()

    def runner(self) -> Runner:
        """A new supervisor.

        Raises:
            NurseryGone: when none can be forked.
        """
        with self._lock:
            for _ in range(2):
                nursery = self._start_if_needed()
                runner = self._runner(nursery)
                if runner is not None:
                    return runner
                self._forget()
        raise NurseryGone("The process that starts runs has ended twice in a row; see its output.")

    def close(self) -> None:
        """End it, and with it whatever it has forked."""
        with self._lock:
            self._forget()

    def _start_if_needed(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tap_rutter.fleet.nursery", str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*command, *self._imports],
                pass_fds=[theirs.fileno()],
                env=tap_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket = ours
        return ours

    @staticmethod
    def _runner(nursery: socket.socket) -> Runner | None:
        ours, theirs = socket.socketpair()
        pipes = [os.pipe() for _ in range(3)]
        given = [theirs.fileno(), *(writing for _, writing in pipes)]
        try:
            socket.send_fds(nursery, [b"r"], given)
        except OSError:
            ours.close()
            for reading, _ in pipes:
                os.close(reading)
            return None
        finally:
            theirs.close()
            for _, writing in pipes:
                os.close(writing)
        return Runner(ours, *(reading for reading, _ in pipes))

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None


class Runner:
    """A handle on one supervisor: its orders, its events, and what its processes say."""

    def __init__(self, control: socket.socket, target_out: int, target_err: int, tap_err: int):
        self.control = control
        self.target_out = target_out
        self.target_err = target_err
        self.tap_err = tap_err
        self.started = time.monotonic()
        self.pid: int | None = None
        """The supervisor's, which is its process group's as well; None until it has said so."""
        self._incoming = Incoming(control)
        self._is_closed = False

    def start_target(
        self, argv: Sequence[str], environment: Environment, *, fork: bool, directory: str = ""
    ) -> bool:
        """Start the target, which waits for its input; False if the supervisor is gone.

        Args:
            argv: Its command.
            environment: All of its variables.
            fork: Whether it is to be a copy of the supervisor, if that has imported it.
            directory: Removed by the supervisor at its end.
        """
        order = {
            "argv": list(argv),
            "environment": dict(environment),
            "fork": fork,
            "directory": directory,
        }
        return send(self.control, {"target": order})

    def start_tap(
        self,
        argv: Sequence[str],
        environment: Environment,
        *,
        fork: bool,
        directory: str,
        last_line: str | None = None,
    ) -> bool:
        """Start the tap, which writes into the target; False if the supervisor is gone.

        Args:
            argv: Its command.
            environment: All of its variables.
            fork: As for the target.
            directory: The run's; removed by the supervisor if this process is gone at its end.
            last_line: What the target gets after the tap has ended with exit code 0.
        """
        order = {
            "argv": list(argv),
            "environment": dict(environment),
            "fork": fork,
            "last_line": last_line,
        }
        return send(self.control, {"tap": order, "directory": directory})

    def stay_alive(self, seconds: float) -> None:
        """The worker is alive; all is killed unless it says so again within so many seconds."""
        send(self.control, {"alive": seconds})

    def stop(self, seconds: float) -> None:
        """End the tap, with its STATE; all is killed after so many seconds."""
        send(self.control, {"stop": seconds})

    def kill(self) -> None:
        """Kill tap and target at once."""
        send(self.control, {"kill": True})

    def events(self) -> Iterator[Message]:
        """What the supervisor has said; waits for it unless something is there."""
        for event in self._incoming.read():
            if event["event"] == "ready":
                self.pid = event["pid"]
            else:
                yield event

    @property
    def is_over(self) -> bool:
        """Whether the supervisor has ended."""
        return self._incoming.is_over

    def is_waiting(self) -> bool:
        """Whether the target is alive, as far as is known, before a tap has been started."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        while poll.poll(0):
            if [*self.events()] or self.is_over:
                return False
        return True

    def close(self) -> None:
        """End it, if it has not ended; nothing that it says is read any more."""
        if self._is_closed:
            return
        self._is_closed = True
        self.control.close()
        for descriptor in (self.target_out, self.target_err, self.tap_err):
            os.close(descriptor)

    def kill_group(self) -> None:
        """Kill what a supervisor that was killed itself may have left behind.

        On Linux the kernel has done so, and elsewhere the nursery: this is for a nursery that is
        gone as well.
        """
        if self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


_nurseries: dict[tuple[str, ...], tuple[int, Nursery]] = {}
_nurseries_lock = threading.Lock()


def nursery_of_process(imports: tuple[str, ...] = ()) -> Nursery:
    """The one nursery of this process that imports these."""
    with _nurseries_lock:
        owner, nursery = _nurseries.get(imports, (0, None))
        # A process that was forked has a copy of its parent's, and needs one of its own.
        if nursery is None or owner != os.getpid():
            nursery = Nursery(imports)
            _nurseries[imports] = os.getpid(), nursery
        return nursery


@atexit.register
def close_nurseries() -> None:
    """End the nurseries of this process: at its end, and in tests."""
    with _nurseries_lock:
        for owner, nursery in _nurseries.values():
            if owner == os.getpid():
                nursery.close()
        _nurseries.clear()
