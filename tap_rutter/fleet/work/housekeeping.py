"""What any worker may do for all of them; the ledger lets one do it at a time.

- Runs of workers that are gone: their target sessions are ended, then their connections are free.
- The sweep: connections are listed, and what has not been read for a while becomes due.
- Deletions that webhooks told of are brought to the warehouse.
- Files that dead workers of this machine have left behind are removed.
- The relay: a lane that turned from idle to due rings once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from tap_rutter.errors import TapError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger, LedgerError, OtherApiVersion
from tap_rutter.fleet.model import Lane
from tap_rutter.fleet.runs import remove_leftovers
from tap_rutter.fleet.webhooks.deletions import WarehouseError, copy_deletions
from tap_rutter.fleet.work.connection_list import ConnectionList

logger = logging.getLogger("tap-rutter.fleet")

SWEEP_SECONDS = 60.0
"""How often connections are listed and looked through; ``sweep_minutes`` says what is stale."""
_PAUSE_SECONDS = 30.0
_FILES_SECONDS = 60.0
_COPY_SECONDS = 10.0
"""How often deletions are looked for: they are applied by a script, minutes later."""
_SAY_EVERY = 600.0
_AGAIN_SECONDS = 10.0
_AGAIN_FOR_SECONDS = 300.0
"""For so long after a claim was given up, sessions that bear its id are ended again."""


class Housekeeping:
    """Two threads of a worker."""

    def __init__(
        self,
        config: FleetConfig,
        ledger: Ledger,
        connections: ConnectionList,
        *,
        end_sessions: Callable[[UUID], None],
        ring: Callable[[Sequence[Lane]], None],
    ) -> None:
        """Take what it works with.

        Args:
            config: how often, how long.
            ledger: the truth.
            connections: this worker's list.
            end_sessions: ends what the target of a lost claim still does in its database.
            ring: tells workers of lanes that have become due.
        """
        self._config = config
        self._ledger = ledger
        self._connections = connections
        self._end_sessions = end_sessions
        self._ring = ring
        self._copied_at = self._said_at = self._ended_at = self._removed_at = float("-inf")
        self._buried: dict[UUID, float] = {}
        self._ended = threading.Event()
        self._anywhere = (self.remove_files,)  # what is of this machine alone
        # A list of thousands takes its time, and Rutter may not answer for minutes: what has to do
        # with lost workers and bells does not wait for that.
        first = (self.bury_lost, self.end_late_sessions, self.relay, self.remove_files)
        second = (self.sweep, self.renew_list, self.copy_deletions)
        self._threads = [
            threading.Thread(target=self._loop, args=tasks, name=f"housekeeping-{n}", daemon=True)
            for n, tasks in enumerate((first, second))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop after what is being done."""
        self._ended.set()
        deadline = time.monotonic() + 10
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def _loop(self, *tasks: Callable[[], None]) -> None:
        while True:
            for task in tasks if self._is_of_the_fleet() else self._anywhere:
                try:
                    task()
                except LedgerError as error:
                    logger.warning("The ledger: %s", error)
                except TapError as error:
                    logger.error("%s", error.message)
                    self._pause(error.message)
                except Exception:
                    logger.exception("A fault of the worker itself:")
            if self._ended.wait(self._config.look_seconds):
                return

    def _is_of_the_fleet(self) -> bool:
        """Whether this worker's tap is set to the API version that the fleet reads.

        While it is not, it looks after nothing: its target may be another one as well. Nor does it
        while the ledger does not answer.
        """
        try:
            self._ledger.check_api_version(self._config.api_version)
        except OtherApiVersion:
            return False  # the slots say it
        except LedgerError as error:
            logger.warning("The ledger: %s", error)
            return False
        return True

    def _pause(self, reason: str) -> None:
        try:
            self._ledger.pause(reason, _PAUSE_SECONDS)
        except LedgerError as error:
            logger.warning("The ledger: %s", error)

    def bury_lost(self) -> None:
        """Free what workers hold that do not renew any more."""
        for claim_id in self._ledger.expired_claims():
            self._end_sessions(claim_id)
            self._ledger.bury(claim_id, config=self._config)
            self._buried[claim_id] = time.monotonic()
            logger.warning("Claim %s was given up: its worker did not renew it.", claim_id)

    def end_late_sessions(self) -> None:
        """End again what bears the id of a claim that this worker has given up.

        A machine that was asleep may wake up with a target that has not been in its database yet,
        and would write what others have overtaken.
        """
        now = time.monotonic()
        if now - self._ended_at < _AGAIN_SECONDS:
            return
        self._ended_at = now
        self._buried = {
            claim_id: at for claim_id, at in self._buried.items() if now - at < _AGAIN_FOR_SECONDS
        }
        for claim_id in self._buried:
            self._end_sessions(claim_id)

    def sweep(self) -> None:
        """List and make due, if it is time and nobody else has."""
        if self._ledger.take_sweep(min(SWEEP_SECONDS, self._config.sweep_minutes * 60)):
            self.sweep_now()

    def sweep_now(self) -> int:
        """List the connections, and make due what is stale; gives how many became due.

        Raises:
            TapError: when the connections cannot be listed. Nothing is due by that.
        """
        try:
            listing = self._connections.refresh()
        except TapError as error:
            raise TapError(f"The connections cannot be listed: {error.message}") from None
        for what, names in (
            ("added", listing.added),
            ("revived", listing.revived),
            ("parked", listing.parked),
            ("missing from Rutter's list", listing.unlisted),
        ):
            if names:
                logger.info("Connections: %d %s.", len(names), what)
        return self._ledger.make_due(self._config)

    def renew_list(self) -> None:
        """See that this worker's tokens are not old.

        Raises:
            TapError: when the connections cannot be listed.
        """
        self._connections.renew()

    def copy_deletions(self) -> None:
        """Bring deletions that webhooks told of to the warehouse, where that is known.

        One that does not answer is said and holds up nothing: they stay in the ledger.
        """
        config, now = self._config, time.monotonic()
        if not (config.target_database_url and config.target_schema):
            return
        if now - self._copied_at < _COPY_SECONDS:
            return
        self._copied_at = now
        try:
            copy_deletions(self._ledger, config.target_database_url, config.target_schema)
        except WarehouseError as error:
            if now - self._said_at > _SAY_EVERY:
                self._said_at = now
                logger.warning("%s", error.message)

    def remove_files(self) -> None:
        """Remove what runs have left on this machine that nobody looks after: it holds tokens."""
        now = time.monotonic()
        if now - self._removed_at >= _FILES_SECONDS:
            self._removed_at = now
            remove_leftovers(self._config.work_directory)

    def relay(self) -> None:
        """Ring for lanes that turned from idle to due."""
        lanes = self._ledger.ring()
        if lanes:
            self._ring(lanes)
