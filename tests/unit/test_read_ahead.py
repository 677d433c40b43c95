"""Reading ahead: the consumer gets the same sequence, whatever the workers do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reading import (
    WATCHDOG,
    WORKERS,
    Counted,
    Item,
    label_of,
    quiet,
    rows,
    taken,
    threads,
)
from support.threads import until

from tap_rutter.replication.items import Inline
from tap_rutter.sync import read_ahead
from tap_rutter.sync.read_ahead import Chain, Idle, ReadAhead


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_TICK", 0.01)


# ---- random trees of chains


@dataclass(frozen=True)
class Fork:
    """Chains that come inline."""

    chains: tuple[tuple[Any, ...], ...]


FAIL = "fail"
Spec = tuple[Any, ...]

leaves = st.one_of(
    st.builds(Item, st.just("row"), st.sampled_from([0, 1, 1000]), st.booleans()),
    st.just(FAIL),
)


def forks(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Fork]:
    return st.builds(Fork, st.lists(inner, max_size=4).map(tuple))


trees = st.recursive(
    st.lists(leaves, max_size=4).map(tuple),
    lambda inner: st.lists(st.one_of(leaves, forks(inner)), max_size=4).map(tuple),
    max_leaves=12,
)


def labelled(spec: Spec, path: str) -> Spec:
    """The same chain with every item told apart."""
    steps: list[Any] = []
    for index, step in enumerate(spec):
        here = f"{path}.{index}"
        if isinstance(step, Item):
            steps.append(Item(here, step.size, step.is_heavy))
        elif isinstance(step, Fork):
            chains = tuple(labelled(sub, f"{here}/{n}") for n, sub in enumerate(step.chains))
            steps.append(Fork(chains))
        else:
            steps.append(here)
    return tuple(steps)


def walk(owner: object, spec: Spec) -> Iterator[Any]:
    for step in spec:
        if isinstance(step, Fork):
            yield Inline(tuple(walk(owner, sub) for sub in step.chains))
        elif isinstance(step, Item):
            yield step
        else:
            raise OSError(step)


def expected(spec: Spec) -> Iterator[str]:
    """What a chain brings, told without threads: a label for each item or error."""
    for step in spec:
        if isinstance(step, Fork):
            for sub in step.chains:
                yield from expected(sub)
        else:
            yield step.label if isinstance(step, Item) else step
            if not isinstance(step, Item):
                return


def read(specs: Sequence[Spec], given_up: frozenset[str], **options: Any) -> list[str]:
    """All labels in the order of arrival; an owner is given up at any of certain labels."""
    dropped: set[int] = set()

    def plan() -> Iterator[Chain[int]]:
        for owner, spec in enumerate(specs):
            if owner not in dropped:
                yield Chain(owner, walk(owner, spec))

    reading = ReadAhead(plan(), **options)
    labels: list[str] = []
    try:
        for chain, item in taken(iter(reading)):
            labels.append(label_of(item))
            if labels[-1] in given_up:
                dropped.add(chain.owner)
                reading.cancel(chain.owner)
    finally:
        reading.stop()
    return labels


@settings(max_examples=60, deadline=None)
@given(
    specs=st.lists(trees, max_size=6),
    most_bytes=st.sampled_from([1, 2000, 1 << 20]),
    most_pages=st.sampled_from([1, 3, None]),
    most_chains=st.sampled_from([1, 2, 128]),
    data=st.data(),
)
def test_the_sequence_is_the_same_for_any_number_of_workers(
    specs: list[Spec],
    most_bytes: int,
    most_pages: int | None,
    most_chains: int,
    data: st.DataObject,
) -> None:
    specs = [labelled(spec, str(owner)) for owner, spec in enumerate(specs)]
    wanted = [list(expected(spec)) for spec in specs]
    every = [label for labels in wanted for label in labels]
    given_up = data.draw(st.frozensets(st.sampled_from(every), max_size=3)) if every else set()
    cut = [
        labels[: next((n + 1 for n, la in enumerate(labels) if la in given_up), len(labels))]
        for labels in wanted
    ]
    for workers in WORKERS:
        assert read(
            specs,
            frozenset(given_up),
            workers=workers,
            most_bytes=most_bytes,
            most_pages=most_pages,
            most_chains=most_chains,
        ) == [label for labels in cut for label in labels]


def test_an_error_ends_its_chain_and_no_other() -> None:
    def failing() -> Iterator[Any]:
        yield Item("first")
        raise ValueError("broken")

    for workers in WORKERS:
        reading = ReadAhead(
            [Chain("a", failing()), Chain("b", iter([Item("second")]))], workers=workers
        )
        got = [(chain.owner, label_of(item)) for chain, item in taken(iter(reading))]
        reading.stop()
        assert got == [("a", "first"), ("a", "broken"), ("b", "second")]


# ---- bounds


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize(
    ("bounds", "size", "pages"),
    [
        ({"most_pages": 5}, 0, 5),
        ({"most_pages": 1}, 0, 1),
        ({"most_bytes": 10_000}, 2_244, 4),  # an item is taken to hold 256 bytes more
        ({"most_bytes": 1}, 0, 1),
    ],
)
def test_no_more_is_fetched_than_the_bounds_allow_while_the_consumer_stands_still(
    workers: int, bounds: dict[str, int], size: int, pages: int
) -> None:
    source = Counted()
    reading = ReadAhead(
        [source.chain(name, 30, size=size) for name in "abcdef"], workers=workers, **bounds
    )
    items = taken(iter(reading))
    next(items)
    source.consumed += 1
    until(lambda: source.fetched - 1 >= pages, "the bound is reached")
    # Steps that were under way when the bound was reached are the only ones beyond it.
    assert quiet(lambda: source.fetched) - 1 <= pages + workers - 1
    source.consume(items)
    reading.stop()
    assert source.fetched == 6 * 30
    # One page more may be there for the consumer that waits for it.
    assert source.most_ahead <= pages + workers + 1


def test_the_chain_that_is_waited_for_goes_on_beyond_the_bounds_one_step_at_a_time() -> None:
    slow, fast = Counted(is_open=False), Counted()
    reading = ReadAhead([slow.chain("slow", 20), fast.chain("fast", 20)], workers=2, most_pages=3)
    items = iter(reading)
    assert isinstance(next(items)[1], Idle)
    until(lambda: fast.fetched >= 3, "the other chain is read up to the bound")
    # The consumer has been told to look after other things, and does so for long.
    slow.gate.set()
    until(lambda: slow.fetched >= 1, "the chain that was waited for goes on")
    assert quiet(lambda: slow.fetched + fast.fetched) <= 3 + 2
    labels = slow.consume(items)
    reading.stop()
    assert labels == [f"slow{n}" for n in range(20)] + [f"fast{n}" for n in range(20)]


def test_a_slow_first_chain_does_not_stop_the_others_up_to_the_bounds() -> None:
    slow, fast = Counted(is_open=False), Counted()
    chains = [slow.chain("slow", 1), *(fast.chain(name, 2) for name in "abcdefgh")]
    reading = ReadAhead(chains, workers=2, most_pages=10)
    items = taken(iter(reading))
    labels: list[str] = []
    consumer = threading.Thread(target=lambda: labels.extend(fast.consume(items)))
    consumer.start()
    until(lambda: fast.fetched >= 10, "the others are read")
    assert quiet(lambda: fast.fetched) <= 10 + 1
    assert labels == []
    slow.gate.set()
    consumer.join(WATCHDOG)
    reading.stop()
    assert labels == ["slow0", *(f"{name}{n}" for name in "abcdefgh" for n in range(2))]


def test_half_of_what_may_be_read_ahead_is_kept_for_the_next_chains() -> None:
    """Were chains late in the plan to take it all, the next ones would come a page at a time."""
    near, far = Counted(is_open=False), Counted()
    chains = [near.chain(name, 9) for name in "abcd"]
    chains += [far.chain(name, 9) for name in "efghijkl"]
    reading = ReadAhead(chains, workers=6, most_pages=20)
    items = iter(reading)
    assert isinstance(next(items)[1], Idle)
    until(lambda: far.fetched >= 10, "the late ones are read up to half of the bound")
    assert quiet(lambda: far.fetched) <= 10 + 1  # a step that was under way
    near.gate.set()
    until(lambda: near.fetched >= 9, "the next ones are read beyond that")
    consumer = Counted()
    assert len(consumer.consume(taken(items))) == 12 * 9
    reading.stop()


def test_light_items_count_in_bytes_only() -> None:
    source = Counted()
    reading = ReadAhead(
        [source.chain("a", 50, is_heavy=False)], workers=2, most_pages=1, most_bytes=1 << 20
    )
    items = taken(iter(reading))
    next(items)
    until(lambda: source.fetched == 50, "all light items are read ahead")
    reading.stop()


def test_the_plan_is_drawn_no_further_than_the_bound_on_chains() -> None:
    drawn: list[str] = []

    def plan() -> Iterator[Chain[str]]:
        for number in range(100):
            drawn.append(str(number))
            yield Chain(str(number), iter([Item(str(number), 0, False)]))

    reading = ReadAhead(plan(), workers=4, most_chains=7)
    items = taken(iter(reading))
    next(items)
    until(lambda: len(drawn) >= 7, "the plan is drawn up to the bound")
    assert quiet(lambda: len(drawn)) == 7
    assert len(list(items)) == 99
    reading.stop()


# ---- giving up


def test_what_was_given_up_is_not_read_on() -> None:
    source = Counted()
    reading = ReadAhead(
        [source.chain("bad", 1000), source.chain("good", 3)], workers=2, most_pages=5
    )
    items = taken(iter(reading))
    chain, _ = next(items)
    reading.cancel(chain.owner)
    assert [label_of(item) for _, item in items] == ["good0", "good1", "good2"]
    reading.stop()
    assert source.fetched < 1000


def test_chains_given_up_unread_make_room_for_those_after_them() -> None:
    """Partitions of a lost connection are given up one by one, after they were read ahead."""
    lost = 20

    def bad(owner: str) -> Iterator[Any]:
        yield Item(owner, 0, False)
        yield Inline(tuple(rows(f"{owner}-{n}") for n in range(4)))

    good = Counted()

    def plan() -> Iterator[Chain[str]]:
        for number in range(lost):
            yield Chain(f"bad{number}", bad(f"bad{number}"))
        for name in "abcdefgh":
            yield good.chain(name, 1)

    reading = ReadAhead(plan(), workers=2, most_pages=6, most_chains=30)
    items = taken(iter(reading))
    for number in range(lost):
        chain, item = next(items)
        assert label_of(item) == chain.owner == f"bad{number}"
        quiet(lambda: good.fetched)  # let the next ones be read ahead, inlined chains and all
        reading.cancel(chain.owner)
    label = label_of(next(items)[1])
    assert label == "a0"
    until(lambda: good.fetched >= 7, "the good ones are read ahead, up to the bound on pages")
    assert [label_of(item) for _, item in items] == [f"{name}0" for name in "bcdefgh"]
    reading.stop()


def test_an_owner_is_told_by_identity() -> None:
    """Equal owners are different owners: only the given one is dropped."""
    one, other = [1], [1]
    reading = ReadAhead(
        [Chain(one, iter([Item("a"), Item("b")])), Chain(other, iter([Item("c")]))], workers=0
    )
    items = taken(iter(reading))
    next(items)
    reading.cancel(one)
    assert [label_of(item) for _, item in items] == ["c"]


# ---- the end


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_stop_ends_all_threads(workers: int) -> None:
    before = threads()
    source = Counted()
    reading = ReadAhead([source.chain(name, 50) for name in "abc"], workers=workers)
    next(taken(iter(reading)))
    assert len(threads() - before) == workers
    reading.stop(WATCHDOG)
    assert threads() <= before


def test_stop_does_not_wait_for_stuck_threads_longer_than_asked() -> None:
    before = threads()
    source = Counted(is_open=False)
    reading = ReadAhead([source.chain(name, 5) for name in "abcdefgh"], workers=8)
    assert isinstance(next(iter(reading))[1], Idle)
    stuck = threads() - before
    reading.stop(timeout=0.0)
    assert stuck
    source.gate.set()
    for thread in stuck:
        thread.join(WATCHDOG)
    assert not any(thread.is_alive() for thread in stuck)
    assert source.fetched <= 8  # each thread ended with the step that it was in


@pytest.mark.parametrize("workers", WORKERS)
def test_a_consumer_that_goes_on_after_stop_comes_to_an_end(workers: int) -> None:
    source = Counted()
    reading = ReadAhead([source.chain(name, 5) for name in "abc"], workers=workers, most_chains=1)
    items = taken(iter(reading))
    next(items)
    reading.stop(WATCHDOG)
    assert list(items) == []


def test_stop_from_another_thread_ends_the_wait_of_the_consumer() -> None:
    before, source = threads(), Counted(is_open=False)
    reading = ReadAhead([source.chain(name, 5) for name in "abc"], workers=2)
    got: list[Any] = []
    consumer = threading.Thread(target=lambda: got.extend(taken(iter(reading))))
    consumer.start()
    until(lambda: len(threads() - before) == 2, "the threads are at work")
    reading.stop(timeout=0.0)
    consumer.join(WATCHDOG)
    assert not consumer.is_alive()
    assert got == []
    source.gate.set()


def test_nothing_is_started_before_the_consumer_asks() -> None:
    before, source = threads(), Counted()
    reading = ReadAhead([source.chain("a", 5)], workers=4)
    items = iter(reading)
    assert threads() == before
    assert source.fetched == 0
    reading.stop()
    assert list(items) == []
