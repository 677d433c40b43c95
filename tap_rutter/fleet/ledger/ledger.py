"""The door: every call is one short transaction, tried again while the database does not answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import TypeVar
from uuid import UUID, uuid4

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import (
    api_version,
    claims,
    ending,
    fleet_row,
    leases,
    listing,
    migrate,
    operate,
    prepare,
)
from tap_rutter.fleet.ledger import deletions as kept
from tap_rutter.fleet.ledger import marks as marks_of
from tap_rutter.fleet.ledger.database import Database, Transaction
from tap_rutter.fleet.ledger.deletions import KeptDeletion
from tap_rutter.fleet.ledger.errors import ClaimLost
from tap_rutter.fleet.ledger.operate import ConnectionStatus
from tap_rutter.fleet.model import (
    LISTING,
    Claim,
    Deletion,
    Lane,
    Listed,
    Listing,
    Mark,
    RunResult,
    State,
)

_Result = TypeVar("_Result")
_LOOKS = 6
"""How often a claim looks again when others have locked all that is due at this moment."""


class Ledger:
    """What is due, who works on it, what is known of it. Any thread may use it.

    Every method raises ``LedgerUnavailable`` when the database has not answered for
    ``retry_seconds``, and ``LedgerError`` when it refuses; neither quotes the address.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "rutter-fleet",
        pool_size: int = 2,
        retry_seconds: float = 10.0,
    ) -> None:
        """Take the address; nothing is opened before the first use.

        Args:
            url: a libpq URI or connection string. A pooler in transaction mode serves.
            name: what the server shows as ``application_name``.
            pool_size: connections at once.
            retry_seconds: for how long a call is tried again while the server does not answer.

        Raises:
            LedgerError: the address cannot be read.
        """
        self._database = Database(url, name=name, pool_size=pool_size, retry_seconds=retry_seconds)

    def close(self) -> None:
        """Close the connections. Calls after it raise."""
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, work: Callable[[Transaction], _Result]) -> _Result:
        return self._database.run(work)

    def migrate(self) -> list[str]:
        """Bring the tables to what this code knows; for every start, from any number of processes.

        Returns:
            The names of what was applied.

        Raises:
            LedgerError: the ledger is newer, and this code would do harm.
        """
        return migrate.migrate(self._database)

    # What comes in

    def record_listing(self, rows: Sequence[Listed], *, force_fetch: bool = False) -> Listing:
        """Add, revive and park by what Rutter lists; with ``force_fetch`` not_ready ones are run.

        What is missing from two listings in a row is parked as unlisted.
        """
        parking = listing.PARKED_STATUSES - ({"not_ready"} if force_fetch else set())
        return self._run(lambda transaction: listing.record(transaction, rows, parking))

    def put_webhooks(self, marks: Iterable[Mark], deletions: Iterable[Deletion] = ()) -> None:
        """Keep a group of webhooks: when this returns, they are committed.

        Marks of connections that no listing has shown yet wait until one does. The mark
        ``LISTING`` makes the next sweep due.
        """
        all_of_them, deleted = set(marks), list(deletions)
        given = [mark for mark in all_of_them if mark != LISTING]
        self._run(lambda transaction: marks_of.put(transaction, given, deleted))
        if LISTING in all_of_them:
            # On its own: the fleet's row and the connections' are locked by others in any order.
            self._run(fleet_row.want_listing)

    def deletions_to_copy(self, most: int = 1_000) -> list[KeptDeletion]:
        """Deletions that have not been brought to the warehouse, oldest first."""
        return self._run(lambda transaction: kept.to_copy(transaction, most))

    def deletions_copied(self, arrived: Sequence[KeptDeletion]) -> None:
        """They are in the warehouse, committed."""
        self._run(lambda transaction: kept.copied(transaction, arrived))

    def make_due(self, config: FleetConfig) -> int:
        """Make due what had no run of all streams for ``sweep_minutes``, and the full reads.

        Returns:
            How many connections became due.
        """
        total = 0
        for full in (False, True) if config.full_read_hours else (False,):
            after: str | None = ""
            while after is not None:
                step = partial(listing.make_due_step, config=config, full=full, after=after)
                count, after = self._run(step)
                total += count
        self._run(lambda transaction: listing.tidy(transaction, config))
        return total

    # Claims

    def claim(
        self, lane: Lane, worker: str, *, config: FleetConfig, claim_id: UUID | None = None
    ) -> Claim | None:
        """Take what is due longest in a lane, of one platform; None if there is nothing.

        ``claim_id``: what the claim is to be called, if that is still free.

        Raises:
            OtherApiVersion: the fleet reads another API version than ``config``'s tap.
        """
        for look in range(_LOOKS):
            found = self._claim_once(lane, worker, config, claim_id)
            if isinstance(found, Claim):
                return found
            if not found:
                return None
            time.sleep(random.uniform(0.0, 0.01 * (look + 1)))
        return None

    def _claim_once(
        self, lane: Lane, worker: str, config: FleetConfig, claim_id: UUID | None
    ) -> Claim | bool:
        tried: list[UUID] = []

        def work(transaction: Transaction) -> Claim | bool:
            for unseen in tried:
                # The connection broke, maybe after the commit: what was claimed then, unseen.
                if leases.is_open(transaction, unseen):
                    ending.release(transaction, unseen)
            tried.append(uuid4() if tried or claim_id is None else claim_id)
            found = claims.claim(transaction, tried[-1], lane, worker, config)
            if found is False:
                fleet_row.found_idle(transaction, lane)
            return found

        return self._run(work)

    def expired_claims(self) -> list[UUID]:
        """Claims whose lease ran out. Their target sessions are ended first, then they are buried;
        until then their connections are not claimed by anybody."""
        return self._run(leases.expired)

    def bury(self, claim_id: UUID, *, config: FleetConfig | None = None) -> None:
        """Free the connections of a claim whose lease ran out; nothing if it has ended already.

        Raises:
            LedgerError: its lease has not run out.
        """
        self._run(lambda transaction: ending.bury(transaction, claim_id, config or FleetConfig()))

    def renew(self, claim_ids: Iterable[UUID], lease_seconds: float) -> set[UUID]:
        """Lengthen leases, from now on by the database's clock; gives those that are still held."""
        ids = list(claim_ids)
        if not ids:
            return set()
        return self._run(lambda transaction: leases.renew(transaction, ids, lease_seconds))

    def save_states(
        self,
        claim_id: UUID,
        states: Mapping[str, State],
        shared: Mapping[str, State] | None = None,
    ) -> None:
        """Keep what a target has committed.

        Args:
            claim_id: the claim of the run.
            states: by connection; each must be one of the claim's.
            shared: what the state remembers of the claim's platform, under the platform's name.

        Raises:
            ClaimLost: the claim is not held. Nothing was kept.
            LedgerError: a state is not of the claim. Nothing was kept.
        """
        self._run(lambda transaction: ending.save_states(transaction, claim_id, states, shared))

    def finish(self, claim: Claim, result: RunResult, *, config: FleetConfig) -> None:
        """Write down how the claim's run ended, and free its connections.

        Raises:
            ClaimLost: the claim is not held. Nothing was written.
        """

        def work(transaction: Transaction) -> None:
            ending.finish(transaction, claim.id, result, config)

        self._end(claim.id, "finished", work)

    def release(self, claim: Claim) -> None:
        """Free the claim's connections as they were before: they were not run.

        Raises:
            ClaimLost: the claim is not held. Nothing was written.
        """
        self._end(claim.id, "released", lambda transaction: ending.release(transaction, claim.id))

    def _end(self, claim_id: UUID, how: str, work: Callable[[Transaction], None]) -> None:
        tries = 0

        def once(transaction: Transaction) -> None:
            nonlocal tries
            tries += 1
            try:
                work(transaction)
            except ClaimLost:
                # The connection may have broken after the commit of the try before.
                if tries == 1 or not leases.has_ended(transaction, claim_id, how):
                    raise

        self._run(once)

    # The fleet

    def due(self) -> dict[Lane, int]:
        """How many connections are due in each lane."""
        return self._run(fleet_row.due)

    def lag(self) -> dict[Lane, float]:
        """For how many seconds the oldest of each lane has been due; 0 where none is."""
        return self._run(fleet_row.lag)

    def ring(self) -> list[Lane]:
        """Lanes that turned from idle to due since this was last asked; each goes to one caller."""
        return self._run(fleet_row.ring)

    def take_sweep(self, every_seconds: float) -> bool:
        """Whether the caller has won the sweep of this interval."""
        return self._run(lambda transaction: fleet_row.take_sweep(transaction, every_seconds))

    def pause(self, reason: str, seconds: float) -> None:
        """Let nothing be claimed for so long; a longer pause that lasts already stays."""
        self._run(lambda transaction: fleet_row.pause(transaction, reason, seconds))

    def paused(self) -> str | None:
        """Why nothing is claimed now; None while things are claimed."""
        return self._run(fleet_row.paused)

    def resume(self) -> None:
        """End a pause."""
        self._run(fleet_row.resume)

    def slow_down(self) -> None:
        """Halve the speed of the whole fleet, once for a burst of 429s however many see it."""
        self._run(fleet_row.slow_down)

    def speed(self) -> float:
        """The factor by which the fleet works, above 0 up to 1; it doubles each minute."""
        return self._run(fleet_row.speed)

    def api_version(self) -> str | None:
        """The API version that the fleet reads; None before its first claim."""
        return self._run(api_version.known)

    def check_api_version(self, version: str) -> None:
        """Let pass who is set to the fleet's API version.

        Raises:
            OtherApiVersion: the fleet reads another.
        """
        self._run(lambda transaction: api_version.check(transaction, version))

    def change_api_version(self, version: str) -> int:
        """Let the fleet read this API version; gives how many connections are due to be read anew.

        Workers that are set to another claim nothing from now on; their runs end as ever.
        """
        return self._run(lambda transaction: api_version.change(transaction, version))

    def prepared(self, schema_hash: str) -> bool:
        """Whether the target's tables have this form already."""
        return self._run(lambda transaction: prepare.prepared(transaction, schema_hash))

    def preparing(self, schema_hash: str, lock_timeout: float) -> AbstractContextManager[bool]:
        """The turn to prepare the tables: True if the block must, False if it was done already."""
        return prepare.preparing(self._database, schema_hash, lock_timeout)

    def forget_prepared(self) -> None:
        """Have the tables prepared again, as after they were dropped."""
        self._run(prepare.forget_prepared)

    # Operators

    def make_dirty(self, *connection_ids: str) -> None:
        """All streams of the connections are due at once."""
        self._run(lambda transaction: operate.make_dirty(transaction, connection_ids))

    def park(self, *connection_ids: str, reason: str) -> None:
        """Do not run the connections until they are unparked; runs at work end in order."""
        self._run(lambda transaction: operate.park(transaction, connection_ids, reason))

    def unpark(self, *connection_ids: str) -> None:
        """Run the connections again, at once, whoever parked them."""
        self._run(lambda transaction: operate.unpark(transaction, connection_ids))

    def remove(self, connection_id: str) -> UUID | None:
        """Forget a connection but for its tombstone.

        Returns:
            The claim of a run that was at work on it. Its lease has ended with this call: end its
            target sessions and bury it, before rows are removed from the warehouse.
        """
        return self._run(lambda transaction: operate.remove(transaction, connection_id))

    def status(
        self, connection_ids: Sequence[str] | None = None, *, removed: bool = False
    ) -> list[ConnectionStatus]:
        """How connections stand: all but the removed ones, or those named."""
        return self._run(lambda transaction: operate.status(transaction, connection_ids, removed))

    def export_state(self) -> State:
        """One state of all connections, as the tap or Meltano takes it."""
        return self._run(operate.export_state)

    def import_state(self, state: State) -> int:
        """Take over a state as the tap wrote it; gives how many connections it is of.

        Raises:
            ConfigError: it is not a state of this tap.
            LedgerError: one of them is running.
        """
        return self._run(lambda transaction: operate.import_state(transaction, state))
