"""Groups of webhooks: what waits is committed before the end, and one error is one group's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from tap_rutter.fleet.model import Deletion, Mark
from tap_rutter.fleet.webhooks.committer import Busy, Committer, NotCommitted
from tap_rutter.fleet.webhooks.events import Told


def told(connection: str) -> Told:
    return Told("ORDER", (Mark(connection, "commerce_orders"),))


class Slow:
    """Commits that a test lets go on."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.groups: list[list[str]] = []
        self.fails: Callable[[list[str]], bool] = lambda _: False

    def put(self, marks: Sequence[Mark], _: Sequence[Deletion]) -> None:
        self.entered.release()
        assert self.go_on.wait(60)
        group = [mark.connection_id for mark in marks]
        if self.fails(group):
            raise RuntimeError("no")
        self.groups.append(group)


async def two_groups(slow: Slow, committer: Committer) -> list[asyncio.Task[None]]:
    """One webhook whose commit has begun, and two that wait for the next."""
    first = asyncio.create_task(committer.commit(told("1")))
    assert await asyncio.to_thread(slow.entered.acquire, timeout=60)
    others = [asyncio.create_task(committer.commit(told(name))) for name in ("2", "3")]
    while committer.waiting < 3:
        await asyncio.sleep(0)
    return [first, *others]


def test_what_waits_at_the_end_is_committed() -> None:
    slow = Slow()

    async def scene() -> None:
        async with Committer(slow.put, gather_seconds=0) as committer:
            tasks = await two_groups(slow, committer)
            slow.go_on.set()
        with pytest.raises(Busy):
            await committer.commit(told("4"))
        await asyncio.gather(*tasks)

    asyncio.run(scene())
    assert slow.groups == [["1"], ["2", "3"]]


def test_a_group_that_fails_fails_alone() -> None:
    slow = Slow()
    slow.fails = lambda group: group == ["1"]

    async def scene() -> list[BaseException | None]:
        async with Committer(slow.put, gather_seconds=0) as committer:
            tasks = await two_groups(slow, committer)
            slow.go_on.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(scene())
    assert [type(outcome) for outcome in outcomes] == [NotCommitted, type(None), type(None)]
    assert slow.groups == [["2", "3"]]


def test_a_group_has_a_largest_size() -> None:
    slow = Slow()

    async def scene() -> None:
        async with Committer(slow.put, gather_seconds=0, largest_group=1) as committer:
            tasks = await two_groups(slow, committer)
            slow.go_on.set()
            await asyncio.gather(*tasks)

    asyncio.run(scene())
    assert slow.groups == [["1"], ["2"], ["3"]]
