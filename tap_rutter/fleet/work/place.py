"""A slot's place: a spare target, prepared tables, the run itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import psycopg

from tap_rutter.errors import TapError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.model import Claim, RunResult, State
from tap_rutter.fleet.runs import (
    Slot,
    ensure_prepared,
    run_claim,
    terminate_sessions,
)


class TargetPlace:
    """Runs ``tap | target`` for one slot.

    A ``TapError`` that leaves a method concerns every connection: nothing is claimed for a while.
    """

    def __init__(self, config: FleetConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._slot = Slot(config)
        self._prepared: str | None = None

    def claim_id(self) -> UUID:
        """What the spare target is called.

        Raises:
            NurseryGone: when no process can be started.
        """
        return self._slot.claim_id()

    def prepare(self) -> None:
        """See that the tables are there; asked of the ledger once per form.

        Raises:
            PrepareFailed: when tap or target fails.
            NurseryGone: when no process can be started.
        """
        self._prepared = ensure_prepared(self._ledger, self._slot, self._prepared)

    def run(
        self,
        claim: Claim,
        *,
        listing: Mapping[str, Mapping[str, Any]],
        on_states: Callable[[dict[str, State], State], None],
        stop: threading.Event,
        kill: threading.Event,
    ) -> RunResult:
        """Run the claim; see ``runs.run_claim``.

        Raises:
            NurseryGone: when no process can be started.
        """
        return run_claim(
            claim,
            self._config,
            listing=listing,
            on_states=on_states,
            stop=stop,
            kill=kill,
            slot=self._slot,
        )

    def close(self) -> None:
        """End the spare."""
        self._slot.close()


def end_sessions_of(claim_id: UUID, config: FleetConfig) -> None:
    """End what the target of a lost claim still does in its database, if that is known.

    Raises:
        SessionsRemain: when sessions are still there. The claim's connections must wait until they
            have ended.
        TapError: when the database does not answer, with the same consequence.
    """
    if not config.target_database_url:
        return
    try:
        terminate_sessions(config.target_database_url, [claim_id])
    except psycopg.Error:
        raise TapError(
            "The target's database does not answer: sessions of a lost run cannot be ended."
        ) from None
