"""Looks after the processes of one run: a target, and the tap that writes into it.

Orders, in this order; each at most once but the last three::

    {"target": {"argv": […], "environment": {…}, "fork": true, "directory": ""}}
                     start the target, which waits for its input; the directory is its own
    {"tap": {"argv": […], "environment": {…}, "fork": true, "last_line": null}, "directory": "…"}
                     start the tap, which writes into it
    {"alive": 18.0}  the worker is alive: kill all unless it says so again within so many seconds
    {"stop": 30.0}   end the tap; kill all after so many seconds
    {"kill": true}   kill all

With ``fork`` the process is this one's copy, if what it is to run has been imported.

Events::

    {"event": "ready", "pid": 1}    {"event": "target", "code": 0}    {"event": "tap", "code": 0}
    {"event": "orphaned"}    the worker has not said in time that it is alive: all is killed

A code below 0 is the number of the signal that ended a process. When the worker goes, its end of
the socket closes: everything is killed, and the run's directory, which holds tokens, is removed.
The target's own directory is removed in any case.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from tap_rutter.fleet.nursery import children
from tap_rutter.fleet.nursery.wire import Incoming, Message, send

Command = Callable[[Sequence[str]], int]
"""A command in this very process: takes its arguments, returns its exit code."""

_WRITE_AT_ONCE = 4096


class Supervisor:
    """One run, from its target's start to the end of both processes."""

    def __init__(
        self,
        control: socket.socket,
        target_out: int,
        target_err: int,
        tap_err: int,
        imported: Mapping[str, Command],
    ) -> None:
        """
        Args:
            control: Where orders come from and events go.
            target_out, target_err, tap_err: Descriptors that the worker reads.
            imported: The commands of tap and target, where they have been imported.
        """
        self._control = control
        self._orders = Incoming(control)
        self._outputs = {"target_out": target_out, "target_err": target_err, "tap_err": tap_err}
        self._imported = imported
        self._selector = selectors.DefaultSelector()
        self._input: int | None = None
        self._target: int | None = None
        self._tap: int | None = None
        self._has_run = False
        self._last_line = b""
        self._deadline: float | None = None
        self._alive_until: float | None = None
        self._directory = ""
        self._targets_directory = ""

    def run(self) -> NoReturn:
        """Do as told until nothing is left to look after, then end."""
        os.setsid()
        wakeup, bell = os.pipe()
        for descriptor in (wakeup, bell):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)  # a run ends by orders, or with its worker
        self._control.setblocking(True)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(wakeup, selectors.EVENT_READ)
        send(self._control, {"event": "ready", "pid": os.getpid()})
        while not self._is_over():
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._control:
                    self._take_orders()
                elif key.fd == wakeup:
                    with suppress(BlockingIOError):
                        os.read(wakeup, _WRITE_AT_ONCE)
                else:
                    self._write_last_line()
            self._reap()
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._kill()
            if self._alive_until is not None and time.monotonic() >= self._alive_until:
                self._orphaned()
        self._end()

    def _is_over(self) -> bool:
        return self._orders.is_over or (
            self._has_run and self._target is None and self._tap is None
        )

    def _patience(self) -> float | None:
        ends = [end for end in (self._deadline, self._alive_until) if end is not None]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _end(self) -> NoReturn:
        self._kill()
        if self._orders.is_over and self._directory:
            # The worker would have removed it.
            shutil.rmtree(self._directory, ignore_errors=True)
        if self._targets_directory:
            shutil.rmtree(self._targets_directory, ignore_errors=True)
        self._control.close()
        # Whatever target or tap have left behind, and this process with it.
        os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(0)

    # ---- orders

    def _take_orders(self) -> None:
        for order in self._orders.read():
            if "target" in order:
                self._start_target(order["target"])
            elif "tap" in order:
                self._directory = order["directory"]
                self._start_tap(order["tap"])
            elif "alive" in order:
                self._alive_until = time.monotonic() + float(order["alive"])
            elif "stop" in order:
                self._stop(float(order["stop"]))
            elif "kill" in order:
                self._has_run = True
                self._kill()

    def _start_target(self, order: Message) -> None:
        self._targets_directory = order.get("directory", "")
        reading, self._input = os.pipe()
        self._target = self._started(
            "target",
            order,
            deaf=True,
            stdin=reading,
            stdout=self._outputs["target_out"],
            stderr=self._outputs["target_err"],
        )
        os.close(reading)
        self._close("target_out", "target_err")

    def _start_tap(self, order: Message) -> None:
        self._has_run = True
        if self._input is None or self._target is None:  # the target has ended meanwhile
            send(self._control, {"event": "tap", "code": None})
            return
        null = os.open(os.devnull, os.O_RDONLY)
        self._last_line = (order.get("last_line") or "").encode()
        self._tap = self._started(
            "tap", order, stdin=null, stdout=self._input, stderr=self._outputs["tap_err"]
        )
        os.close(null)
        self._close("tap_err")
        if not self._last_line:
            self._close_input()  # the tap's end is the end of the target's input

    def _started(self, which: str, order: Message, **how: Any) -> int:
        argv, environment = order["argv"], order["environment"]
        run = self._imported.get(which) if order["fork"] else None
        if run is None:
            return children.start(argv, environment, **how)
        return children.fork(lambda: children.become(run, argv, environment), **how)

    def _stop(self, seconds: float) -> None:
        if self._tap is not None:
            with suppress(ProcessLookupError):
                os.kill(self._tap, signal.SIGTERM)
        elif not self._has_run:
            self._has_run = True
            self._kill()
        self._deadline = min(self._deadline or float("inf"), time.monotonic() + seconds)

    # ---- ends

    def _reap(self) -> None:
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not child:
                return
            code = os.waitstatus_to_exitcode(status)
            if child == self._tap:
                self._tap = None
                send(self._control, {"event": "tap", "code": code})
                self._tap_ended(code)
            elif child == self._target:
                self._target = None
                send(self._control, {"event": "target", "code": code})
                self._close_input()
                # What the tap reads now goes nowhere.
                self._kill_one(self._tap)

    def _tap_ended(self, code: int) -> None:
        if self._input is None:
            return
        if code or not self._last_line:
            self._close_input()
            return
        os.set_blocking(self._input, False)
        self._selector.register(self._input, selectors.EVENT_WRITE)

    def _write_last_line(self) -> None:
        if self._input is None:
            return
        try:
            written = os.write(self._input, self._last_line[:_WRITE_AT_ONCE])
        except BlockingIOError:
            return
        except OSError:
            written = len(self._last_line)
        self._last_line = self._last_line[written:]
        if not self._last_line:
            self._close_input()

    def _close_input(self) -> None:
        if self._input is not None:
            with suppress(KeyError):
                self._selector.unregister(self._input)
            os.close(self._input)
            self._input = None

    def _close(self, *names: str) -> None:
        for name in names:
            os.close(self._outputs.pop(name))

    def _orphaned(self) -> None:
        """The worker is stopped, or its machine was: others take its connections over soon."""
        self._alive_until = None
        send(self._control, {"event": "orphaned"})
        self._kill()

    def _kill(self) -> None:
        self._kill_one(self._tap)
        self._kill_one(self._target)
        self._close_input()

    @staticmethod
    def _kill_one(process: int | None) -> None:
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
