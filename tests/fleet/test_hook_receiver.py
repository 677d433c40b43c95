"""The receiver on a real port: what it takes, what it refuses, and when it answers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.webhooks import (
    SECRET,
    TOKEN,
    FakeLedger,
    Receiver,
    about_order,
    receiving,
    sign,
)

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Mark
from tap_rutter.fleet.webhooks import receiver as module
from tap_rutter.fleet.webhooks.receiver import PATH, Limits, receiver
from tap_rutter.fleet.webhooks.serve import serve

SMALL = Limits(body_bytes=1_000)
QUICK = Limits(read_seconds=0.3)


@pytest.fixture
def hook_ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def hook(hook_ledger: FakeLedger) -> Iterator[Receiver]:
    with receiving(hook_ledger) as running:
        yield running


def counted(hook: Receiver) -> dict[tuple[str, str], float]:
    """Samples of /metrics by name and last label's value."""
    families = text_string_to_metric_families(hook.ask("GET", "/metrics").text)
    return {
        (
            sample.name,
            ",".join(dict(sorted(sample.labels.items(), reverse=True)).values()),
        ): sample.value
        for family in families
        for sample in family.samples
    }


def until_waiting(hook: Receiver, count: int) -> None:
    """Until so many webhooks have come and are not committed."""
    while counted(hook)["rutter_fleet_webhooks_waiting", ""] < count:
        time.sleep(0.02)


def test_a_signed_webhook_is_in_the_ledger_when_it_is_answered(
    hook: Receiver, hook_ledger: FakeLedger
) -> None:
    answer = hook.post(about_order(7))
    assert (answer.status, answer.text) == (200, "taken")
    moment = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
    assert hook_ledger.marks == [Mark("c-1", "commerce_orders", moment)]


def test_nothing_is_answered_before_the_commit(hook: Receiver, hook_ledger: FakeLedger) -> None:
    hook_ledger.go_on.clear()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(hook.post, about_order())
        assert hook_ledger.entered.acquire(timeout=60)
        # The commit has begun, and others are still answered: the loop does not wait for it.
        assert hook.ask("GET", "/healthz").status == 200
        assert not answer.done()
        hook_ledger.go_on.set()
        assert answer.result(60).status == 200


@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", sign(b"another body"), sign(about_order(), "a secret of before"), "sha1=abc"],
)
def test_what_is_not_signed_is_refused_before_it_is_read(
    hook: Receiver,
    hook_ledger: FakeLedger,
    signature: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: Any) -> None:
        pytest.fail("a body was decoded that nobody has signed")

    monkeypatch.setattr(module, "read", never)
    assert hook.post(about_order(), signature).status == 401
    assert hook.ask("POST", PATH, about_order()).status == 401
    assert hook_ledger.groups == []


def test_each_of_several_secrets_signs(hook_ledger: FakeLedger) -> None:
    with receiving(hook_ledger, webhook_secrets=(SECRET, "the next one")) as hook:
        for secret in (SECRET, "the next one"):
            assert hook.post(about_order(), sign(about_order(), secret)).status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(hook_ledger: FakeLedger, chunked: bool) -> None:
    body = about_order() + b" " * 2_000
    with receiving(hook_ledger, SMALL) as hook:
        sent = iter([body[:900], body[900:]]) if chunked else body
        answer = hook.ask("POST", PATH, sent, {"X-Rutter-Signature": sign(body)})
        assert answer.status == 413
        assert hook.post(about_order() + b" " * 500).status == 200
    assert len(hook_ledger.groups) == 1


def test_bodies_at_once_are_bounded_together(hook_ledger: FakeLedger) -> None:
    with receiving(hook_ledger, Limits(held_bytes=1_000)) as hook:
        answer = hook.post(about_order() + b" " * 2_000)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        # What was refused is not counted for ever.
        assert hook.post(about_order()).status == 200


def test_a_body_that_does_not_come_is_not_waited_for(hook_ledger: FakeLedger) -> None:
    with receiving(hook_ledger, QUICK) as hook:
        head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n"
        head += f"X-Rutter-Signature: {sign(b'')}\r\n\r\n"
        answer = hook.raw(head.encode(), b'{"type"', hold=True)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert counted(hook)["rutter_fleet_webhooks_refused_total", "slow"] == 1


@pytest.mark.parametrize("sent", [b"", b"POST /webh", b"POST /webhooks HTTP/1.1\r\nX-Rut"])
def test_a_head_that_does_not_come_is_not_waited_for(hook_ledger: FakeLedger, sent: bytes) -> None:
    with receiving(hook_ledger, QUICK) as hook:
        assert hook.raw(sent, hold=True) == b""
        assert hook.post(about_order()).status == 200


def test_a_sender_that_goes_away_costs_nothing(hook: Receiver, hook_ledger: FakeLedger) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n"
    hook.raw(f"{head}X-Rutter-Signature: {sign(b'')}\r\n\r\n".encode(), b'{"type"')
    assert hook.post(about_order()).status == 200
    assert len(hook_ledger.groups) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"type": "BILL"}', b"\xff" * 100])
def test_what_is_signed_and_no_webhook_is_the_senders_fault(hook: Receiver, body: bytes) -> None:
    assert hook.post(body).status == 400


def test_a_fault_of_the_decoding_is_not_answered_as_ours(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(body: bytes, _: datetime) -> None:
        raise ValueError(f"cannot read {body!r}")

    monkeypatch.setattr(module, "read", fails)
    assert hook.post(about_order()).status == 400
    assert "A webhook could not be read: ValueError" in caplog.text
    assert TOKEN not in caplog.text


def test_a_commit_that_fails_is_asked_for_again(
    hook: Receiver, hook_ledger: FakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    hook_ledger.error = RuntimeError(f"no connection for {SECRET}")
    answer = hook.post(about_order())
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "could not be kept" in caplog.text
    assert SECRET not in caplog.text
    hook_ledger.error = None
    assert hook.post(about_order()).status == 200
    refused = counted(hook)["rutter_fleet_webhooks_refused_total", "ledger"]
    assert refused == 1


def test_a_commit_that_takes_too_long_is_asked_for_again(hook_ledger: FakeLedger) -> None:
    hook_ledger.go_on.clear()
    with receiving(hook_ledger, Limits(commit_seconds=0.2)) as hook:
        assert hook.post(about_order()).status == 503
        hook_ledger.go_on.set()
        assert hook.post(about_order()).status == 200


def test_webhooks_that_come_together_are_committed_together(
    hook: Receiver, hook_ledger: FakeLedger
) -> None:
    hook_ledger.go_on.clear()
    with concurrent.futures.ThreadPoolExecutor(31) as pool:
        first = pool.submit(hook.post, about_order(59))
        assert hook_ledger.entered.acquire(timeout=60)
        others = [pool.submit(hook.post, about_order(number)) for number in range(30)]
        until_waiting(hook, 31)
        hook_ledger.go_on.set()
        assert {answer.result(60).status for answer in (first, *others)} == {200}
    # One mark: the least time of all of them.
    (_, (marks, _)) = hook_ledger.groups
    assert marks == [Mark("c-1", "commerce_orders", datetime(2026, 3, 2, 9, 0, tzinfo=UTC))]


def test_more_than_may_wait_are_told_to_come_again(hook_ledger: FakeLedger) -> None:
    hook_ledger.go_on.clear()
    with receiving(hook_ledger, Limits(most_waiting=2)) as hook:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = [pool.submit(hook.post, about_order(number)) for number in range(2)]
            until_waiting(hook, 2)
            answer = hook.post(about_order(3))
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            hook_ledger.go_on.set()
            assert [future.result(60).status for future in waiting] == [200, 200]
        assert hook.post(about_order(3)).status == 200


def test_a_deletion_that_comes_twice_in_a_group_is_one(
    hook: Receiver, hook_ledger: FakeLedger
) -> None:
    hook_ledger.go_on.clear()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(hook.post, about_order(1))
        assert hook_ledger.entered.acquire(timeout=60)
        twice = [pool.submit(hook.post, about_order(2, "ORDER_DELETED")) for _ in range(2)]
        until_waiting(hook, 3)
        hook_ledger.go_on.set()
        assert {answer.result(60).status for answer in (first, *twice)} == {200}
    assert [deletion.object_id for deletion in hook_ledger.groups[1][1]] == ["o-2"]


def test_what_says_nothing_needs_no_commit(hook: Receiver, hook_ledger: FakeLedger) -> None:
    hook_ledger.error = RuntimeError("not asked")
    assert hook.post(b'{"type": "JOB", "code": "JOB_COMPLETED", "job": {}}').status == 200
    assert hook_ledger.entered.acquire(blocking=False) is False


def test_a_connection_is_kept_for_the_next_webhook(hook: Receiver) -> None:
    body = about_order()
    head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}X-Rutter-Signature: {sign(body)}\r\n\r\n".encode() + body
    last = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert hook.raw(request * 3 + last, hold=True).count(b"HTTP/1.1 200 ") == 4


def test_a_connection_is_kept_after_a_refusal_and_closed_before_a_long_body(
    hook: Receiver,
) -> None:
    body = about_order()
    last = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    refused = b""
    for signature in (sign(b"another"), "none"):
        head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n"
        refused += f"{head}X-Rutter-Signature: {signature}\r\n\r\n".encode() + body
    assert statuses(hook.raw(refused + last, hold=True)) == [401, 401, 200]
    for length in ("Content-Length: 100000", "Transfer-Encoding: chunked"):
        head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n"
        assert statuses(hook.raw(head.encode(), hold=True)) == [401]


def test_other_methods_and_paths_are_refused(hook: Receiver) -> None:
    assert hook.ask("GET", PATH).status == 405
    assert hook.ask("POST", "/", about_order()).status == 404


# ---- what it tells of itself


def test_it_is_ready_as_long_as_the_ledger_answers(
    hook_ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.0)
    with receiving(hook_ledger) as hook:
        assert json.loads(hook.ask("GET", "/readyz").text) == {"ready": True, "paused": None}
        hook_ledger.pause_reason = "the target's database does not answer"
        answer = hook.ask("GET", "/readyz")
        # Webhooks are taken all the same: they wait in the ledger.
        assert answer.status == 200
        assert json.loads(answer.text)["paused"] == hook_ledger.pause_reason
        hook_ledger.error = RuntimeError("gone")
        answer = hook.ask("GET", "/readyz")
        assert (answer.status, json.loads(answer.text)["ready"]) == (503, False)
        assert hook.ask("GET", "/healthz").status == 200


def test_metrics_count_what_came(hook: Receiver) -> None:
    hook.post(about_order(1))
    hook.post(about_order(2, "ORDER_DELETED"))
    hook.post(b'{"type": "MADE_UP", "code": "MADE_UP_UPDATED", "connection_id": "c"}')
    hook.post(b'{"type": "JOB"}')
    hook.post(b"[]")
    hook.post(about_order(), "sha256=")
    samples = counted(hook)
    assert {key: value for key, value in samples.items() if key[0].endswith("webhooks_total")} == {
        ("rutter_fleet_webhooks_total", "ORDER,kept"): 2,
        ("rutter_fleet_webhooks_total", "other,kept"): 1,
        ("rutter_fleet_webhooks_total", "JOB,nothing_to_do"): 1,
    }
    assert samples["rutter_fleet_webhooks_refused_total", "unreadable"] == 1
    assert samples["rutter_fleet_webhooks_refused_total", "signature"] == 1
    assert samples["rutter_fleet_webhook_deletions_total", ""] == 1
    assert samples["rutter_fleet_webhook_seconds_count", ""] == 6


def test_nothing_secret_is_said(hook_ledger: FakeLedger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving(hook_ledger) as hook:
        body = about_order(2, "ORDER_DELETED")
        answers = [
            hook.post(body),
            hook.post(body, sign(body, "wrong")),
            hook.post(body[:-1]),
            hook.ask("POST", f"{PATH}?access_token={TOKEN}", body, {}),
            hook.ask("GET", "/metrics"),
            hook.ask("GET", "/readyz"),
        ]
        assert b"400 " in hook.raw(TOKEN.encode() + b" is no request\r\n\r\n")
    said = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    assert "were not signed by a known secret" in said
    for secret in (TOKEN, SECRET, sign(body)):
        assert secret not in said
    assert TOKEN not in repr(hook_ledger.groups)


def test_refusals_do_not_fill_the_log(hook: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        hook.post(about_order(), "sha256=")
    assert caplog.text.count("were not signed") == 1


# ---- the end


def test_what_came_before_the_end_is_still_committed(hook_ledger: FakeLedger) -> None:
    hook_ledger.go_on.clear()
    with receiving(hook_ledger) as hook, concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(hook.post, about_order(1))]
        assert hook_ledger.entered.acquire(timeout=60)
        waiting += [pool.submit(hook.post, about_order(number)) for number in (2, 3)]
        until_waiting(hook, 3)
        hook.stop()
        hook_ledger.go_on.set()
        assert [answer.result(60).status for answer in waiting] == [200] * 3
        hook.thread.join(60)
        assert not hook.thread.is_alive()


def test_a_signal_ends_it_in_order() -> None:
    script = """
        import logging
        from support.webhooks import SECRET, FakeLedger
        from tap_rutter.fleet.config import FleetConfig
        from tap_rutter.fleet.webhooks.serve import serve
        logging.basicConfig(level="INFO")
        serve(FleetConfig(webhook_secrets=(SECRET,)), FakeLedger(), port=0)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as process:
        assert process.stderr is not None
        said = ""
        while "startup complete" not in said and (line := process.stderr.readline()):
            said += line
        process.send_signal(signal.SIGTERM)
        said += process.stderr.read()
        assert process.wait(60) == 0, said
    assert "Taking webhooks at http://127.0.0.1:" in said
    assert "The receiver has ended." in said
    assert "Traceback" not in said


def test_what_cannot_work_is_said_at_the_start(hook: Receiver, hook_ledger: FakeLedger) -> None:
    with pytest.raises(ConfigError, match="client_secret"):
        receiver(FleetConfig(), hook_ledger)
    signed = FleetConfig(webhook_secrets=(SECRET,))
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{hook.port}"):
        serve(signed, hook_ledger, port=hook.port)
    with pytest.raises(ConfigError, match="cannot listen"):
        serve(signed, hook_ledger, port=70_000)


# ---- anything at all


@pytest.fixture(scope="module")
def hook_fuzzed() -> Iterator[Receiver]:
    with receiving(FakeLedger(), QUICK) as running:
        yield running


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


_FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@_FUZZ
@given(body=st.binary(max_size=400))
def test_any_signed_bytes_are_answered_by_no_5xx(hook_fuzzed: Receiver, body: bytes) -> None:
    assert hook_fuzzed.post(body).status in {200, 400}


@_FUZZ
@given(
    content=st.dictionaries(
        st.sampled_from(["type", "code", "connection_id", "order", "job"]) | st.text(), _JSON
    )
)
def test_any_signed_json_is_answered_by_no_5xx(hook_fuzzed: Receiver, content: Any) -> None:
    assert hook_fuzzed.post(json.dumps(content).encode()).status in {200, 400}


@_FUZZ
@given(at=st.integers(0, 400), put=st.binary(max_size=5))
def test_a_damaged_webhook_is_answered_by_no_5xx(
    hook_fuzzed: Receiver, at: int, put: bytes
) -> None:
    body = about_order(1, "ORDER_DELETED")
    assert hook_fuzzed.post(body[:at] + put + body[at + len(put) :]).status in {200, 400}


_HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"x-rutter-signature", b"content-length", b"content-type", b"host"])
        | st.binary(max_size=20),
        st.sampled_from([b"sha256=", b"10", b"-1", b"1" * 5_000, sign(b"").encode()])
        | st.binary(max_size=90),
    ),
    max_size=8,
)
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("http.request")},
        optional={"body": st.binary(max_size=300), "more_body": st.booleans()},
    )
    | st.just({"type": "http.disconnect"}),
    max_size=5,
)


@_FUZZ
@given(headers=_HEADERS, messages=_MESSAGES)
def test_any_headers_are_answered_by_no_5xx(
    headers: list[tuple[bytes, bytes]], messages: list[dict[str, Any]]
) -> None:
    status = asyncio.run(asked_directly(headers, messages))
    assert status is None or status < 500


async def asked_directly(
    headers: list[tuple[bytes, bytes]], messages: list[dict[str, Any]]
) -> int | None:
    """The status that the application gives to a request; None where the sender is gone."""
    app = receiver(FleetConfig(webhook_secrets=(SECRET,)), FakeLedger())
    coming = iter([*messages, {"type": "http.disconnect"}])
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return next(coming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "http_version": "1.1",
        "headers": headers,
    }
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return sent[0]["status"] if sent else None


@settings(_FUZZ, max_examples=50)
@given(request=st.binary(max_size=300) | st.binary(max_size=60).map(lambda b: b"POST " + b))
def test_any_bytes_on_the_wire_are_answered_by_no_5xx(
    hook_fuzzed: Receiver, request: bytes
) -> None:
    with contextlib.suppress(BrokenPipeError):
        assert all(status < 500 for status in statuses(hook_fuzzed.raw(request)))
    assert hook_fuzzed.post(about_order()).status == 200
