"""Retries: what is tried again, how long the tap waits, and when it gives up.

No test waits: what is asserted is the seconds that the tap asks to wait for.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from support.in_process import sync
from support.ledgers import BILLS, VENDORS, error, read
from support.ledgers import BILLS_PATH as PATH
from support.singer import Json

from tap_rutter.api.throttle import Throttle
from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

DAY = 86_400


# ---- what is worth another try

PASSING: dict[str, Json] = {
    "closed": {"action": "close"},
    "bad gzip": {"action": "bad_gzip"},
    "broken json": {"action": "broken_json"},
    "empty": {"action": "respond", "status": 200},
    "no json": {"action": "respond", "status": 200, "body": "upstream connect error"},
    "json but no object": {"action": "respond", "status": 200, "body": "[]"},
    "not utf-8": {"action": "respond", "status": 200, "body": "\udcff"},
    **{
        str(status): {"action": "respond", "status": status}
        for status in (408, 425, 429, 452, 500, 502, 503, 504, 520, 524, 550, 599)
    },
    "error body": {
        "action": "respond",
        "status": 500,
        "body": json.dumps({"error_type": "INTERNAL", "error_message": "try again"}),
    },
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_is_tried_again(simulator: Simulator, ledger: Connection, fault: str) -> None:
    simulator.faults.add(path=PATH, **PASSING[fault])
    run = read(simulator)
    assert run.code == 0, run.log
    assert len(run.waits) == 1
    assert len(simulator.requests.to(PATH)) == 2
    assert len(run.ids(BILLS, ledger.id)) == 6


REFUSED: dict[str, Json] = {
    "not implemented": {"status": 501},
    **{str(status): {"status": status} for status in (402, 403, 405, 406, 409, 418, 422, 423, 450)},
    "list is null": {"status": 200, "body": '{"bills":null}'},
    "list is an object": {"status": 200, "body": '{"bills":{}}'},
    "list of no objects": {"status": 200, "body": '{"bills":[1,2]}'},
    "cursor is not text": {"status": 200, "body": '{"bills":[],"next_cursor":{"a":1}}'},
    "error with 200": {"status": 200, "body": '{"error_type":"X","error_code":"SOME_CODE"}'},
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_will_not_pass_is_not(simulator: Simulator, ledger: Connection, fault: str) -> None:
    simulator.faults.add("respond", path=PATH, times=None, **REFUSED[fault])
    run = read(simulator)
    assert run.code == 1
    assert run.waits == ()
    assert len(simulator.requests.to(PATH)) == 1
    row = run.report(BILLS, ledger.id)
    good = REFUSED[fault]["status"] == 200
    assert (row["status"], row["reason"]) == ("failed", "bad_response" if good else "refused")
    assert len(run.ids(VENDORS, ledger.id)) == 3


# ---- how long is waited


def test_the_waits_double_with_jitter_within_the_life_of_a_request(
    simulator: Simulator, ledger: Connection
) -> None:
    simulator.faults.add("respond", path=PATH, status=503, times=None)
    run = read(simulator)
    ceilings = [min(60.0, 2.0**tries) for tries in range(len(run.waits))]
    for wait, ceiling in zip(run.waits, ceilings, strict=True):
        assert ceiling / 2 <= wait <= ceiling
    assert len(set(run.waits)) == len(run.waits)
    # The next wait would have ended after the 600 seconds; no sooner is given up.
    assert 600 - 60 < sum(run.waits) <= 600
    row = run.report(BILLS, ledger.id)
    assert (row["reason"], row["requests"]) == ("retries_exhausted", len(run.waits) + 1)
    assert row["error_message"] == (
        f"/accounting/bills failed {len(run.waits) + 1} times, last with status 503"
    )


@pytest.mark.parametrize("status", [429, 452, 500, 503])
def test_the_report_has_the_code_of_the_last_answer(
    simulator: Simulator, ledger: Connection, status: int
) -> None:
    body = error("PLATFORM_BUSY", "come back later")
    simulator.faults.add("respond", path=PATH, status=status, body=body, times=None)
    row = read(simulator, max_retry_seconds=2).report(BILLS, ledger.id)
    assert (row["status"], row["error_code"]) == ("failed", "PLATFORM_BUSY")
    assert f"last with status {status} PLATFORM_BUSY: come back later" in row["error_message"]


def test_the_report_has_no_code_where_the_last_answer_had_none(
    simulator: Simulator, ledger: Connection
) -> None:
    simulator.faults.add("respond", path=PATH, status=500, body=error("PLATFORM_BUSY"))
    simulator.faults.add("respond", path=PATH, status=502, times=None)
    run = read(simulator, max_retry_seconds=2)
    assert run.waits
    assert run.report(BILLS, ledger.id)["error_code"] is None


@pytest.mark.parametrize("most", [0, 1, 30])
def test_max_retry_seconds_is_the_life_of_a_request(
    simulator: Simulator, ledger: Connection, most: int
) -> None:
    simulator.faults.add("reset", path=PATH, times=None)
    run = read(simulator, max_retry_seconds=most)
    assert run.code == 1
    assert sum(run.waits) <= most
    assert len(simulator.requests.to(PATH)) == len(run.waits) + 1
    if not most:
        assert run.waits == ()
    assert len(run.ids(VENDORS, ledger.id)) == 3


@pytest.mark.parametrize("status", [429, 503, 452])
def test_retry_after_in_seconds_is_honoured(simulator: Simulator, status: int) -> None:
    simulator.faults.add("respond", path=PATH, status=status, headers={"Retry-After": "37"})
    run = read(simulator)
    assert (run.code, run.waits) == (0, (37.0,))


def test_retry_after_as_a_date_is_honoured_by_the_servers_clock(simulator: Simulator) -> None:
    # The simulated world lives in March 2026, whatever this machine's clock says.
    date = "Mon, 02 Mar 2026 09:35:00 GMT"
    simulator.faults.add("respond", path=PATH, status=429, headers={"Retry-After": date})
    run = read(simulator)
    assert run.code == 0
    (wait,) = run.waits
    assert 200 < wait <= 300


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("0", 0.0, 0.0),
        ("Mon, 02 Mar 2020 09:35:00 GMT", 0.0, 0.0),
        ("-5", 0.5, 1.0),
        ("1.5", 0.5, 1.0),
        ("soon", 0.5, 1.0),
        ("", 0.5, 1.0),
        ("Mon, 99 Foo 2026 09:35:00 GMT", 0.5, 1.0),
    ],
)
def test_a_retry_after_that_asks_for_nothing_useful(
    simulator: Simulator, value: str, least: float, most: float
) -> None:
    simulator.faults.add("respond", path=PATH, status=429, headers={"Retry-After": value})
    run = read(simulator)
    assert run.code == 0
    (wait,) = run.waits
    assert least <= wait <= most


@pytest.mark.parametrize("value", [str(DAY), "601", "9" * 40, "Tue, 03 Mar 2026 09:30:00 GMT"])
def test_a_retry_after_beyond_the_life_of_a_request_fails_the_partition_at_once(
    simulator: Simulator, ledger: Connection, value: str
) -> None:
    simulator.faults.add(
        "respond", path=PATH, status=429, headers={"Retry-After": value}, times=None
    )
    run = read(simulator)
    assert run.code == 1
    assert run.waits == ()
    assert len(simulator.requests.to(PATH)) == 1
    row = run.report(BILLS, ledger.id)
    assert (row["status"], row["reason"]) == ("failed", "rate_limited")
    assert len(run.ids(VENDORS, ledger.id)) == 3


# ---- time that passes within one try


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(
    simulator: Simulator, ledger: Connection
) -> None:
    simulator.faults.add("delay", path=PATH, seconds=1.5)
    run = read(simulator, request_timeout=1)
    assert run.code == 0
    assert len(run.waits) == 1
    assert run.report(BILLS, ledger.id)["requests"] == 2


@contextlib.contextmanager
def dripping(head: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server whose answers come a byte at a time; notes each that was waited for to its end."""
    ended = threading.Event()
    waited_for: list[str] = []

    def drip(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(65_536)
            client.sendall(head)
            for _ in range(300):
                client.sendall(b" ")
                if ended.wait(0.05):
                    return
            waited_for.append("an answer")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=drip, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/versioned", waited_for
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)


_SIZED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999999\r\n\r\n"
_PACKED = _SIZED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08" + 7 * b"\0")


@pytest.mark.parametrize("head", [_SIZED, _PACKED], ids=["plain", "gzip"])
def test_a_slow_drip_ends_with_the_life_of_the_request(simulator: Simulator, head: bytes) -> None:
    with dripping(head) as (address, waited_for):
        run = sync(simulator, BILLS, api_url=address, request_timeout=1, max_retry_seconds=1)
    assert run.code == 1
    assert "The connections cannot be listed: /connections failed" in run.log
    assert "last with a timeout" in run.log
    assert not waited_for


# ---- 429 and all requests at once


@pytest.mark.own_workers
def test_a_429_lowers_the_requests_in_flight_and_calm_raises_them_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[int] = []
    answered, too_fast = Throttle.answered, Throttle.too_fast

    def noting(told: Callable[[Throttle], None]) -> Callable[[Throttle], None]:
        def note(throttle: Throttle) -> None:
            told(throttle)
            limits.append(throttle.limit)

        return note

    monkeypatch.setattr(Throttle, "answered", noting(answered))
    monkeypatch.setattr(Throttle, "too_fast", noting(too_fast))
    world = World(5, history_days=30)
    for _ in range(40):
        world.add_connection("QUICKBOOKS", counts={PATH: 1})
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=429)
        run = sync(simulator, BILLS, concurrency=8)
    assert run.code == 0
    assert len(run.waits) == 1
    assert (limits[0], min(limits), limits[-1]) == (8, 4, 8)
    slowed = limits[limits.index(4) :]
    assert slowed == sorted(slowed)
