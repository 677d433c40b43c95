"""Many webhooks in one transaction: those that come within milliseconds are committed together.

A webhook is answered when its transaction is committed, and not before: what was acknowledged is
in the ledger. While one group is being committed, the next gathers. Their number is bounded: what
comes beyond it is told to come again, and so is a group whose commit failed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from tap_rutter.fleet.model import Deletion, Mark
from tap_rutter.fleet.webhooks.events import Told, merged
from tap_rutter.names import counted
from tap_rutter.redact import redact

_logger = logging.getLogger(__name__)
_SAID_EVERY = 10.0  # seconds between log lines about a ledger that does not answer

Put = Callable[[Sequence[Mark], Sequence[Deletion]], None]
"""Commits marks and deletions in one transaction, or raises; it may wait for the database."""


class Busy(Exception):
    """As many webhooks as are allowed are waiting for their commit already."""


class NotCommitted(Exception):
    """The ledger did not take it, or not in time."""


class Committer:
    """Takes webhooks while it is entered (``async with``), and commits them in groups."""

    def __init__(
        self,
        put: Put,
        *,
        gather_seconds: float = 0.005,
        largest_group: int = 1_000,
        most_waiting: int = 10_000,
        patience: float = 10.0,
        on_group: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Say how groups are made.

        Args:
            put: what commits a group; it is called in a thread of its own, one call at a time.
            gather_seconds: how long a group gathers once the first of it has come.
            largest_group: webhooks in a transaction.
            most_waiting: webhooks that wait at once.
            patience: seconds that a webhook waits for its commit.
            on_group: told the size of each group that was committed.
        """
        self._put = put
        self._gather_seconds = gather_seconds
        self._largest_group = largest_group
        self._most_waiting = most_waiting
        self._patience = patience
        self._on_group = on_group
        self._waiting: deque[tuple[Told, asyncio.Future[None]]] = deque()
        self._committing = 0
        self._ring = asyncio.Event()
        self._closing = False
        self._said_at = float("-inf")
        self._thread = ThreadPoolExecutor(1, "webhooks")
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many webhooks have come and are not committed yet."""
        return len(self._waiting) + self._committing

    async def commit(self, told: Told) -> None:
        """Come back when what it tells is in the ledger.

        Raises:
            Busy: too many wait; nothing was kept.
            NotCommitted: the ledger refused, or took too long. It may still take it later, which
                does no harm: a webhook that comes twice says the same.
        """
        if not told.marks and not told.deletions:
            return
        if self._closing or self.waiting >= self._most_waiting:
            raise Busy
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((told, done))
        self._ring.set()
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(done)
        except TimeoutError:
            # Nobody waits for it any more: an error that comes later has been told already.
            done.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise NotCommitted from None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="webhooks")
        return self

    async def __aexit__(self, *_: object) -> None:
        """What waits is still committed; nothing more is taken."""
        self._closing = True
        self._ring.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._patience)
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while True:
            await self._ring.wait()
            if not self._closing:
                await asyncio.sleep(self._gather_seconds)
            group = [
                self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest_group))
            ]
            if not self._waiting:
                self._ring.clear()
            if group:
                self._committing = len(group)
                try:
                    await self._commit(group)
                finally:
                    self._committing = 0
            if self._closing and not self._waiting:
                return

    async def _commit(self, group: Sequence[tuple[Told, asyncio.Future[None]]]) -> None:
        marks = merged(mark for told, _ in group for mark in told.marks)
        deletions = {
            (deletion.body_sha256, deletion.stream): deletion
            for told, _ in group
            for deletion in told.deletions
        }
        loop = asyncio.get_running_loop()
        error: Exception | None = None
        try:
            await loop.run_in_executor(self._thread, self._put, marks, [*deletions.values()])
            self._on_group(len(group))
        except Exception as raised:
            error = raised
            self._say(len(group), raised)
        for _, done in group:
            if not done.done():
                done.set_exception(NotCommitted()) if error else done.set_result(None)

    def _say(self, count: int, error: Exception) -> None:
        if time.monotonic() - self._said_at < _SAID_EVERY:
            return
        self._said_at = time.monotonic()
        _logger.error(
            "%s could not be kept. Rutter was answered 503, so that it sends them again: %s",
            counted(count, "webhook"),
            redact(error),
        )
