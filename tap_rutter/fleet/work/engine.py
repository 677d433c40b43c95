"""One worker: slots that claim, run, and write down."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from tap_rutter.errors import TapError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import ClaimLost, Ledger, LedgerError, OtherApiVersion
from tap_rutter.fleet.model import Claim, Fault, Lane, RunResult, State
from tap_rutter.fleet.work.connection_list import ConnectionList
from tap_rutter.fleet.work.heartbeat import Heartbeat, Held
from tap_rutter.fleet.work.housekeeping import Housekeeping
from tap_rutter.fleet.work.lanes import lanes_of, slots_at
from tap_rutter.redact import redact

logger = logging.getLogger("tap-rutter.fleet")

_FLEET_PAUSE = 30.0
_MARGIN = 5.0
_SAY_EVERY = 60.0
_REFUSED = frozenset({"unauthorized", "needs_reauth"})
"""Reasons that may mean no more than that this worker's token is an old one."""


class Place(Protocol):
    """Where a slot runs its claims; used by the slot's thread alone."""

    def claim_id(self) -> UUID:
        """What the next claim should be called: a target waits that is called so."""

    def prepare(self) -> None:
        """See that the target's tables are there.

        Raises:
            TapError: when they cannot be made, which concerns the whole fleet.
        """

    def run(
        self,
        claim: Claim,
        *,
        listing: Mapping[str, Mapping[str, Any]],
        on_states: Callable[[dict[str, State], State], None],
        stop: threading.Event,
        kill: threading.Event,
    ) -> RunResult:
        """Run a claim to its end."""

    def close(self) -> None:
        """End what waits."""


class Observer(Protocol):
    """Who is told of runs: metrics, a demo."""

    def started(self, claim: Claim) -> None:
        """A run begins."""

    def ended(self, claim: Claim, result: RunResult) -> None:
        """A run has ended and is written down."""


class Engine:
    """A worker's slots, heartbeat and housekeeping."""

    def __init__(
        self,
        config: FleetConfig,
        ledger: Ledger,
        *,
        place: Callable[[], Place],
        end_sessions: Callable[[UUID], None],
        ring: Callable[[Sequence[Lane]], None] | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        """Prepare a worker; nothing is asked yet.

        Args:
            config: the fleet's.
            ledger: the truth; another one with the same address serves the heartbeat, so that
                slots cannot keep it waiting.
            place: makes the place of a slot.
            end_sessions: ends what the target of a lost claim still does in its database.
            ring: tells other workers of lanes that have become due; this one knows.
            observers: told of each run.

        Raises:
            ConfigError: for settings that the tap does not take.
        """
        self._config = config
        self._ledger = ledger
        self._place = place
        self._observers = tuple(observers)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.connections = ConnectionList(config, ledger)
        self._pulse = Ledger(config.ledger_url, name="rutter-fleet-heartbeat", pool_size=1)
        self.heartbeat = Heartbeat(self._pulse, config.lease_seconds)

        def ring_all(lanes: Sequence[Lane]) -> None:
            self.wake(lanes)
            if ring is not None:
                ring(lanes)

        self.housekeeping = Housekeeping(
            config, ledger, self.connections, end_sessions=end_sessions, ring=ring_all
        )
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._said_at = float("-inf")
        self._bells = [threading.Event() for _ in range(config.slots)]
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"slot-{slot}", daemon=True)
            for slot in range(config.slots)
        ]

    def start(self) -> None:
        """Begin to work, in threads."""
        self.heartbeat.start()
        self.housekeeping.start()
        for thread in self._threads:
            thread.start()

    def wake(self, lanes: Iterable[Lane]) -> None:
        """There may be something to do: idle slots of these lanes look at once."""
        wanted = set(lanes)
        for slot, bell in enumerate(self._bells):
            if wanted & set(lanes_of(slot, self._config.slots)):
                bell.set()

    def stop(self) -> None:
        """Claim nothing more, let runs end in order within ``stop_seconds``, kill what is left."""
        self._stopping.set()
        for bell in self._bells:
            bell.set()
        deadline = time.monotonic() + self._config.stop_seconds + _MARGIN
        while any(thread.is_alive() for thread in self._threads):
            late = time.monotonic() > deadline
            for held in self.heartbeat.everything():
                held.stop.set()
                if late:
                    held.kill.set()
            if time.monotonic() > deadline + _MARGIN:
                break
            time.sleep(0.05)
        self.housekeeping.end()
        self.heartbeat.end()
        self._pulse.close()

    # ---- slots

    def _work(self, slot: int) -> None:
        place = self._place()
        try:
            while not self._stopping.is_set():
                bell = self._bells[slot]
                bell.clear()
                worked = False
                try:
                    worked = self._turn(slot, place)
                except OtherApiVersion as error:
                    self._say_it_waits(error)
                except LedgerError as error:
                    logger.warning("The ledger: %s", error)
                except TapError as error:
                    logger.error("%s", error.message)
                except Exception:
                    # Whatever goes wrong in one turn, the slot is not lost with it.
                    logger.exception("A fault of the worker itself:")
                if not worked:
                    bell.wait(self._config.look_seconds)
        finally:
            place.close()

    def _say_it_waits(self, error: OtherApiVersion) -> None:
        """Once a minute for all slots: it may take as long as a deployment."""
        with self._guard:
            if time.monotonic() - self._said_at < _SAY_EVERY:
                return
            self._said_at = time.monotonic()
        logger.error("This worker waits. %s", error)

    def _turn(self, slot: int, place: Place) -> bool:
        """Claim and run once; whether there was something."""
        if slot >= slots_at(self._ledger.speed(), self._config.slots):
            return False
        for lane in lanes_of(slot, self._config.slots):
            claim = self._ledger.claim(
                lane, f"{self.name}:{slot}", config=self._config, claim_id=place.claim_id()
            )
            if claim is not None:
                self._run_one(claim, place)
                return True
            if self._stopping.is_set():
                break
        return False

    def _run_one(self, claim: Claim, place: Place) -> None:
        held = Held(claim)
        self.heartbeat.hold(held)
        try:
            if self._stopping.is_set():
                held.over.set()
                self._ledger.release(claim)
                return
            for observer in self._observers:
                observer.started(claim)
            result = self._result(claim, held, place)
            held.over.set()
            self._ledger.finish(claim, result, config=self._config)
            for observer in self._observers:
                observer.ended(claim, result)
            self._consider_all(result)
        except ClaimLost:
            logger.warning("Claim %s was lost: others have taken it over.", claim.id)
        finally:
            self.heartbeat.drop(held)

    def _result(self, claim: Claim, held: Held, place: Place) -> RunResult:
        began = time.monotonic()

        def keep(states: dict[str, State], shared: State) -> None:
            self._ledger.save_states(claim.id, states, {claim.platform: shared} if shared else None)

        try:
            place.prepare()
            return place.run(
                claim,
                listing=self.connections.rows(claim.connection_ids),
                on_states=keep,
                stop=held.stop,
                kill=held.kill,
            )
        except TapError as error:
            # The list, the tables, the settings: it concerns all connections.
            return RunResult((), time.monotonic() - began, Fault.FLEET, error.message)

    def _consider_all(self, result: RunResult) -> None:
        """What a run says about the whole fleet."""
        if result.throttled:
            self._ledger.slow_down()
        refused = [entry.connection_id for entry in result.outcomes if entry.reason in _REFUSED]
        if refused:
            self.connections.forget(refused)
        if result.fault is Fault.FLEET:
            logger.error("Claiming pauses for %.0f s: %s", _FLEET_PAUSE, redact(result.message))
            self._ledger.pause(result.message, _FLEET_PAUSE)
