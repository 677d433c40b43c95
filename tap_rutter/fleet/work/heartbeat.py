"""Leases are renewed together, by one thread of a worker.

A run whose lease is not renewed is killed well before the lease ends, by this machine's own
monotonic clock: whoever takes the connections over must not find it at work. The clock goes on
while a process is stopped, so a worker that wakes up too late kills its runs before anything else.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

from tap_rutter.fleet.ledger import Ledger, LedgerError
from tap_rutter.fleet.model import Claim

logger = logging.getLogger("tap-rutter.fleet")

_BEATS = 6
"""How often a lease is renewed within its length."""
_KILL_AT = 0.6
"""The part of a lease after which a run that could not be renewed is killed."""


@dataclass(eq=False)
class Held:
    """A claim that this worker runs."""

    claim: Claim
    renewed_at: float = field(default_factory=time.monotonic)
    """When the lease was last known to be renewed, by this machine's clock: the time before the
    request, so that it errs on the safe side."""
    stop: threading.Event = field(default_factory=threading.Event)
    """End in order: deliver what has been read."""
    kill: threading.Event = field(default_factory=threading.Event)
    """End at once: the claim is not ours any more."""
    over: threading.Event = field(default_factory=threading.Event)
    """The run has ended, and is being written down: from then on nothing is left to be killed, and
    that the ledger does not know its claim any more is as it should be."""


class Heartbeat:
    """Renews the leases of all runs of a worker."""

    def __init__(self, ledger: Ledger, lease_seconds: float) -> None:
        self._ledger = ledger
        self._lease = lease_seconds
        self._held: dict[UUID, Held] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def end(self) -> None:
        """Renew nothing any more."""
        self._ended.set()
        self._thread.join(timeout=self._lease)

    def hold(self, held: Held) -> None:
        """Renew the lease of this claim from now on."""
        with self._guard:
            self._held[held.claim.id] = held

    def drop(self, held: Held) -> None:
        """Renew it no more: it has ended."""
        with self._guard:
            self._held.pop(held.claim.id, None)

    def everything(self) -> list[Held]:
        """What is held now."""
        with self._guard:
            return list(self._held.values())

    def _beat(self) -> None:
        while not self._ended.wait(self._lease / _BEATS):
            self.renew()

    def renew(self) -> None:
        """One beat."""
        held = self.everything()
        if not held:
            return
        before = time.monotonic()
        self._kill_late(held, before)
        try:
            renewed = self._ledger.renew([entry.claim.id for entry in held], self._lease)
        except LedgerError as error:
            logger.warning("Leases could not be renewed: %s", error)
            self._kill_late(held, time.monotonic())
            return
        for entry in held:
            if entry.claim.id in renewed:
                entry.renewed_at = before
            elif not (entry.kill.is_set() or entry.over.is_set()):
                logger.error("A run is killed: its claim %s is not held any more.", entry.claim.id)
                entry.kill.set()

    def _kill_late(self, held: list[Held], now: float) -> None:
        for entry in held:
            if entry.kill.is_set() or entry.over.is_set():
                continue
            if now - entry.renewed_at > self._lease * _KILL_AT:
                logger.error(
                    "A run is killed: the lease of its claim %s could not be renewed.",
                    entry.claim.id,
                )
                entry.kill.set()
