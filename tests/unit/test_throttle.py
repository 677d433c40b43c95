"""The throttle: how many requests are in flight at once, and waits that a signal ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.threads import until

from tap_rutter.api.throttle import Throttle
from tap_rutter.errors import Stopped

WATCHDOG = 30.0  # seconds; only a lock-up ever takes as long
CALM = 20


class Flights:
    """Threads that each take one turn and stay in it until they are let go."""

    def __init__(self, throttle: Throttle, number: int) -> None:
        self.throttle = throttle
        self.flying = 0
        self.most = 0
        self.landed = 0
        self.stopped = 0
        self.land = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._fly, daemon=True) for _ in range(number)]
        for thread in self.threads:
            thread.start()

    def _fly(self) -> None:
        try:
            with self.throttle.turn():
                with self._lock:
                    self.flying += 1
                    self.most = max(self.most, self.flying)
                assert self.land.acquire(timeout=WATCHDOG)
                with self._lock:
                    self.flying -= 1
                    self.landed += 1
        except Stopped:
            with self._lock:
                self.stopped += 1

    def join(self) -> None:
        for thread in self.threads:
            thread.join(WATCHDOG)
            assert not thread.is_alive()


@pytest.fixture
def flights() -> Iterator[Callable[[Throttle, int], Flights]]:
    made: list[Flights] = []

    def make(throttle: Throttle, number: int) -> Flights:
        made.append(Flights(throttle, number))
        return made[-1]

    yield make
    for entry in made:
        entry.throttle.stop()
        entry.land.release(len(entry.threads))
        entry.join()


def test_no_more_fly_than_the_limit(flights: Callable[[Throttle, int], Flights]) -> None:
    entry = flights(Throttle(3), 8)

    def flying(number: int) -> Callable[[], bool]:
        return lambda: entry.flying == number

    for landed in range(8):
        until(flying(min(3, 8 - landed)), "the limit is used, and no more")
        entry.land.release()
    entry.join()
    assert entry.landed == 8
    assert entry.most == 3


def test_a_lowered_limit_holds_for_those_who_wait(
    flights: Callable[[Throttle, int], Flights],
) -> None:
    throttle = Throttle(4)
    entry = flights(throttle, 8)
    until(lambda: entry.flying == 4, "the limit is used")
    throttle.too_fast()
    assert throttle.limit == 2
    entry.land.release(2)
    until(lambda: entry.landed == 2, "two land, and none takes their place")
    assert entry.flying == 2
    entry.land.release()
    until(lambda: entry.landed == 3 and entry.flying == 2, "one lands, one takes its place")


def test_calm_answers_raise_the_limit_for_those_who_wait(
    flights: Callable[[Throttle, int], Flights],
) -> None:
    throttle = Throttle(2)
    throttle.too_fast()
    entry = flights(throttle, 3)
    until(lambda: entry.flying == 1, "one flies")
    for _ in range(CALM):
        throttle.answered()
    until(lambda: entry.flying == 2, "one more takes off at once")


def test_a_429_halves_the_limit_down_to_one() -> None:
    throttle = Throttle(8)
    limits = []
    for _ in range(5):
        throttle.too_fast()
        limits.append(throttle.limit)
    assert limits == [4, 2, 1, 1, 1]


def test_the_limit_recovers_one_by_one() -> None:
    throttle = Throttle(8)
    throttle.too_fast()
    for _ in range(CALM - 1):
        throttle.answered()
    assert throttle.limit == 4
    throttle.too_fast()
    assert throttle.limit == 2
    for _ in range(CALM - 1):
        throttle.answered()
    assert throttle.limit == 2, "the calm is counted anew after each 429"
    throttle.answered()
    assert throttle.limit == 3


@given(st.integers(min_value=1, max_value=64), st.lists(st.booleans(), max_size=300))
def test_the_limit_stays_between_one_and_the_configured(most: int, answers: list[bool]) -> None:
    throttle = Throttle(most)
    for calm in answers:
        if calm:
            throttle.answered()
        else:
            throttle.too_fast()
        assert 1 <= throttle.limit <= most
    for _ in range(CALM * most):
        throttle.answered()
    assert throttle.limit == most


def test_a_failed_request_gives_its_place_back() -> None:
    throttle = Throttle(1)
    with pytest.raises(ValueError, match="broken"), throttle.turn():
        raise ValueError("broken")
    with throttle.turn():
        pass


def test_stop_ends_those_who_wait_and_lets_the_others_land(
    flights: Callable[[Throttle, int], Flights],
) -> None:
    throttle = Throttle(2)
    entry = flights(throttle, 5)
    until(lambda: entry.flying == 2, "the limit is used")
    throttle.stop()
    until(lambda: entry.stopped == 3, "those who wait give up")
    entry.land.release(2)
    entry.join()
    assert entry.landed == 2


def test_nothing_begins_after_stop() -> None:
    assert not Throttle(2).stopped
    throttle = Throttle(2)
    throttle.stop()
    assert throttle.stopped
    begun: list[str] = []
    with pytest.raises(Stopped):
        throttle.sleep(3_600)
    with pytest.raises(Stopped), throttle.turn():
        begun.append("a request")
    assert begun == []


def test_stop_ends_a_sleep() -> None:
    throttle, ended = Throttle(1), threading.Event()

    def sleep() -> None:
        try:
            throttle.sleep(3_600)
        except Stopped:
            ended.set()

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    throttle.stop()
    assert ended.wait(WATCHDOG)


def test_a_sleep_that_nothing_ends_just_ends() -> None:
    Throttle(1).sleep(0.0)
