"""When a request, a connection and the whole run give up, with a clock that the test sets."""

from __future__ import annotations

import threading

import pytest

from tap_rutter.api.patience import Life, NotAsked, Patience, Retries
from tap_rutter.errors import Stopped

P = 600.0
BILLS, VENDORS, ITEMS = "/accounting/bills", "/accounting/vendors", "/accounting/items"


class Watch:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stopped = False
        self.patience = Patience(P, lambda: self.now, lambda: self.stopped)
        self.patience.reached()

    def begin(self, path: str, connection: str = "x") -> Life:
        life = self.patience.begin(path, connection)
        self.patience.admit(life)
        return life

    def fail(
        self, life: Life, wait: float = 30.0, *, speaks: bool = False, is_astray: bool = False
    ) -> str | None:
        """A try fails; then the wait passes."""
        said = self.patience.failed(life, wait, speaks=speaks, is_astray=is_astray)
        if said is None:
            self.now += wait
            self.patience.admit(life)
        return said

    def use_up(self, path: str, connection: str = "x", *, speaks: bool = False) -> float:
        """A request whose tries all fail; returns how many seconds it was tried."""
        life = self.begin(path, connection)
        while self.fail(life, speaks=speaks) is None:
            pass
        return self.now - life.begun

    def answer(self, path: str, connection: str = "x") -> None:
        self.patience.heard(self.begin(path, connection))

    def tries(self, path: str, connection: str) -> int:
        """How often a request is tried if all tries fail."""
        life, tries = self.patience.begin(path, connection), 0
        try:
            while True:
                self.patience.admit(life)
                tries += 1
                if self.fail(life) is not None:
                    return tries
        except NotAsked:
            return tries


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_one_request_alone_is_not_an_outage(watch: Watch) -> None:
    assert watch.use_up(BILLS) == P
    assert not watch.patience.is_down


def test_a_second_one_in_a_row_does_and_needs_not_wait_as_long(watch: Watch) -> None:
    began = watch.now
    watch.use_up(BILLS)
    assert watch.use_up(VENDORS, "y") == P / 4
    assert watch.patience.is_down
    assert watch.now - began <= 1.25 * P


def test_any_answer_between_them_gives_the_second_all_its_time(watch: Watch) -> None:
    watch.use_up(BILLS)
    life = watch.begin(VENDORS, "y")
    watch.fail(life)
    watch.answer(ITEMS, "z")
    while watch.fail(life) is None:
        pass
    assert watch.now - life.begun == P
    assert not watch.patience.is_down


@pytest.mark.parametrize("speaks", [True, False])
def test_an_answer_of_rutters_own_ends_the_silence(watch: Watch, speaks: bool) -> None:
    watch.use_up(BILLS, "x", speaks=speaks)
    watch.use_up(VENDORS, "y", speaks=speaks)
    assert watch.patience.is_down is not speaks


def test_a_404_that_is_not_rutters_own_is_tried_for_a_minute_while_rutter_answers_others(
    watch: Watch,
) -> None:
    life = watch.begin(BILLS)
    watch.fail(life, 10.0, is_astray=True)
    watch.answer(VENDORS)
    while watch.fail(life, 10.0, is_astray=True) is None:
        pass
    assert watch.now - life.begun == 60
    # Nothing else was left to read since: that says nothing of Rutter.
    assert watch.use_up(ITEMS, "y") == P
    assert not watch.patience.is_down


def test_a_404_that_is_not_rutters_own_while_nothing_is_answered_may_be_an_outage(
    watch: Watch,
) -> None:
    watch.answer(VENDORS)
    watch.now += 1
    life = watch.begin(BILLS)
    while watch.fail(life, is_astray=True) is None:
        pass
    assert watch.now - life.begun == P


def outage(watch: Watch) -> None:
    watch.use_up(BILLS, "x")
    watch.use_up(VENDORS, "y")
    assert watch.patience.is_down


def test_in_an_outage_only_what_is_news_is_asked_for_and_once(watch: Watch) -> None:
    outage(watch)
    # Bills of x and vendors of y were asked for: what is left of both tells nothing new.
    assert watch.tries(VENDORS, "x") == 0
    assert watch.tries(ITEMS, "x") == 1
    assert watch.tries(ITEMS, "y") == 0
    assert watch.tries(BILLS, "z") == 1
    assert watch.tries(ITEMS, "z") == 0


def test_now_and_then_one_request_finds_out_whether_it_is_back(watch: Watch) -> None:
    outage(watch)
    made = 0
    for _ in range(300):
        made += watch.tries(BILLS, "x")
        watch.now += 1
    assert made == 9


def test_looking_for_news_takes_a_quarter_of_the_patience_at_most(watch: Watch) -> None:
    outage(watch)
    began = watch.now
    for number in range(1000):
        life = watch.patience.begin(BILLS, f"connection {number}")
        try:
            watch.patience.admit(life)
        except NotAsked:
            continue
        watch.now += watch.patience.most_seconds(life) or 0.0
        watch.patience.failed(life, 1.0, speaks=False)
    assert watch.now - began <= 2 * P / 4


def test_the_first_answer_ends_an_outage(watch: Watch) -> None:
    outage(watch)
    watch.answer(BILLS, "z")
    assert not watch.patience.is_down
    assert watch.use_up(VENDORS, "x") == P


def test_others_wait_for_what_a_probe_finds_out(watch: Watch) -> None:
    outage(watch)
    probe = watch.begin(BILLS, "z")
    ended: list[str] = []

    def ask() -> None:
        watch.begin(VENDORS, "x")
        ended.append("asked")

    other = threading.Thread(target=ask, daemon=True)
    other.start()
    assert not ended
    watch.patience.heard(probe)
    watch.patience.release(probe)
    other.join(30)
    assert ended == ["asked"]


def test_the_end_of_the_run_ends_that_wait(watch: Watch) -> None:
    outage(watch)
    watch.begin(BILLS, "z")
    watch.stopped = True
    with pytest.raises(Stopped):
        watch.begin(VENDORS, "x")


def test_a_connection_whose_lists_used_it_up_twice_is_tried_once_each(watch: Watch) -> None:
    for path in (BILLS, VENDORS):
        watch.use_up(path, "x")
        watch.answer(BILLS, "y")
    assert watch.tries(ITEMS, "x") == 1
    assert watch.use_up(ITEMS, "y") == P
    watch.answer("/accounting/invoices", "x")
    assert watch.use_up(ITEMS, "x") == P


def test_what_tells_of_connections_is_not_held_against_their_lists(watch: Watch) -> None:
    for path in ("/connections/status", "/connections/access_token", "/connections/status"):
        watch.use_up(path, "x")
        watch.answer(BILLS, "y")
    assert watch.use_up(BILLS, "x") == P


def test_a_path_that_four_connections_waited_for_is_tried_once_each(watch: Watch) -> None:
    for number in range(4):
        assert watch.use_up(f"{BILLS}/{number}b/lines", f"connection {number}") == P
        watch.answer(VENDORS, "y")
    assert watch.tries(f"{BILLS}/a9/lines", "z") == 1
    assert watch.use_up(VENDORS, "z") == P
    watch.answer(f"{BILLS}/a0/lines", "y")
    assert watch.use_up(f"{BILLS}/a9/lines", "z") == P


def test_without_patience_fast_refusals_are_not_an_outage() -> None:
    now = [0.0]
    patience = Patience(0, lambda: now[0], lambda: False)
    patience.reached()
    for number in range(50):
        life = patience.begin(BILLS, "x")
        patience.admit(life)
        now[0] += 0.01
        assert patience.failed(life, 0.7, speaks=False) == "", number
    assert not patience.is_down


def test_until_something_answers_half_a_minute_is_enough(watch: Watch) -> None:
    watch.patience = Patience(P, lambda: watch.now, lambda: False)
    life = watch.begin("/connections", "")
    assert watch.patience.most_seconds(life) == 30
    while watch.fail(life, 4.0) is None:
        pass
    assert 25 < watch.now - life.begun <= 30
    assert not watch.patience.is_reached


# ---- what is said of it


def test_retries_are_said_at_most_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    retries = Retries(lambda: now[0])
    for number in range(100):
        retries.say(BILLS, f"c{number}", "status 503", 12.0)
        now[0] += 0.2
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    first, later = lines[0], lines[1]
    assert first == f"{BILLS} of connection c0 failed with status 503; next try in 12 s."
    assert later.endswith("next try in 12 s (24 more retries since the last such line).")


def test_what_is_waited_for_is_shown_until_it_comes() -> None:
    now = [0.0]
    retries = Retries(lambda: now[0])
    assert retries.waiting == ""
    retries.say(BILLS, "x", "a timeout", 12.0)
    now[0] = 5.0
    assert retries.waiting == f"{BILLS} of connection x failed with a timeout; next try in 7 s"
    now[0] = 12.0
    assert retries.waiting == ""
