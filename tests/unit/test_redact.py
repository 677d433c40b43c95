"""Redaction: no secret leaves, however a text quotes it and whichever way the text leaves."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from singer_sdk.logging import StructuredFormatter

from tap_rutter import redact
from tap_rutter.errors import PartitionFailed
from tap_rutter.redact import (
    HIDDEN,
    SECRET_FIELD,
    RedactingFormatter,
    Secrets,
    guard_logging,
)

TOKEN = "9f1c6a52-04cd-4c1e-9d4e-5b7d5f0f2a11"
AWKWARD = "p/w+d=% &\"é\\ü'\n"
LINK = "https://link.rutterapi.com/connection/4711?key=a/b"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """What this test's run has learnt."""
    learnt = Secrets()
    learnt.add_basic("client", AWKWARD)
    learnt.add(TOKEN, LINK, None, "")
    monkeypatch.setattr(redact, "SECRETS", learnt)
    return learnt


def basic(client_id: str, client_secret: str) -> str:
    return base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()


# ---- forms


def quoted_low(text: str) -> str:
    return re.sub("%..", lambda match: match[0].lower(), quote(text, safe=""))


@pytest.mark.parametrize("secret", [TOKEN, AWKWARD, LINK, basic("client", AWKWARD)])
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(str, id="plain"),
        pytest.param(quote, id="quoted"),
        pytest.param(lambda text: quote(text, safe=""), id="quoted whole"),
        pytest.param(quoted_low, id="quoted in lower case"),
        pytest.param(quote_plus, id="form"),
        pytest.param(lambda text: urlencode({"x": text}), id="query"),
        pytest.param(repr, id="repr"),
        pytest.param(lambda text: repr({"a": [text]}), id="nested repr"),
        pytest.param(json.dumps, id="json"),
        pytest.param(lambda text: json.dumps(text, ensure_ascii=False), id="json in UTF-8"),
        pytest.param(lambda text: json.dumps(json.dumps({"a": text})), id="json in json"),
        pytest.param(lambda text: json.dumps({"m": repr(text)}), id="repr in json"),
        pytest.param(lambda text: json.dumps(text).replace("/", "\\/"), id="json of PHP"),
    ],
)
def test_a_known_secret_is_hidden_in_any_form(secret: str, form: Any) -> None:
    quoted = form(secret)
    text = redact.redact(f"before <{quoted}> after")
    assert HIDDEN in text
    assert text.startswith("before <")
    assert text.endswith("> after")
    hidden = quoted.strip("\"'").removeprefix("x=")
    assert hidden not in text
    for part in (TOKEN, "p/w", "p%2Fw", "p%2fw", "4711"):
        assert part not in text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        # Tokens that the run has not learnt.
        ("/orders?access_token=abc-1&limit=5", "/orders?access_token=[hidden]&limit=5"),
        ("/orders?limit=5&access_token=abc-1 HTTP/1.1", "access_token=[hidden] HTTP/1.1"),
        ("ACCESS_TOKEN=abc-1", "ACCESS_TOKEN=[hidden]"),
        ("%3Faccess_token%3Dabc-1%26limit", "access_token%3D[hidden]"),
        ("access_token%253Dabc-1", "access_token%253D[hidden]"),
        ('{"access_token": "abc-1", "id": 7}', '{"access_token": "[hidden]", "id": 7}'),
        ('{"access_token":"abc-1"}', '{"access_token":"[hidden]"}'),
        ("{'access_token': 'abc-1'}", "{'access_token': '[hidden]'}"),
        (r'"{\"access_token\": \"abc-1\", \"id\": 7}"', r"\"access_token\": \"[hidden]\""),
        ("access_token: abc-1", "access_token: [hidden]"),
        ("access_token = abc-1, next", "access_token = [hidden], next"),
        # Basic headers.
        ("Authorization: Basic YWJjLTE6eA==", "Authorization: Basic [hidden]"),
        ("{'Authorization': 'Basic YWJjLTE6eA=='}", "{'Authorization': 'Basic [hidden]'}"),
        ("authorization: basic YWJjLTE6eA", "basic [hidden]"),
        # Links through which a connection can be taken over.
        ('"link_url": "https://l.test/abc-1?a=1,2"', '"link_url": "[hidden]"'),
        ('"reauth_link_url":"https:\\/\\/l.test\\/abc-1"', '"reauth_link_url":"[hidden]"'),
        ("{'update_url': 'https://l.test/abc-1'}", "{'update_url': '[hidden]'}"),
        (r"{\"update_url\": \"https://l.test/abc-1\"}", r"\"update_url\": \"[hidden]\""),
        ("link_url=https://l.test/abc-1 next", "link_url=[hidden] next"),
    ],
)
def test_what_stands_where_secrets_stand_is_hidden(text: str, hidden: str) -> None:
    redacted = redact.redact(text)
    assert hidden in redacted
    assert "abc-1" not in redacted
    assert "YWJj" not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "GET /orders?limit=500&cursor=abc",
        "Setting 'access_tokens' must be an array of strings.",
        "accounting_invoices of connection 0b1d-11 failed: /accounting/invoices answered 400",
        "platform_url=https://shop.test/orders/1",
        "the basic plan",
        "",
    ],
)
def test_what_is_not_a_secret_stays(text: str) -> None:
    assert redact.redact(text) == text


@given(
    st.lists(st.text(min_size=4, max_size=12), min_size=1, max_size=6),
    st.text(max_size=6),
    st.text(max_size=6),
)
def test_no_known_secret_survives(known: list[str], before: str, after: str) -> None:
    learnt = Secrets()
    for secret in known:
        learnt.add(secret)
    for secret in known:
        for quoted in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            alone = learnt.hide(quoted)
            assert secret not in alone or secret in HIDDEN
        text = learnt.hide(f"{before}{secret}{after}")
        # What is left may spell a secret anew only across the marks of what was hidden.
        assert all(entry not in part for part in text.split(HIDDEN) for entry in [secret])


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    learnt = Secrets()
    learnt.add("abcd", "abcdefgh", "xxefgh")
    assert learnt.hide("<abcdefgh>") == f"<{HIDDEN}>"
    assert learnt.hide("<abcdxyz>") == f"<{HIDDEN}xyz>"


def test_too_short_a_secret_would_hide_half_of_every_line() -> None:
    learnt = Secrets()
    learnt.add("abc", "", None)
    assert learnt.hide("abc") == "abc"


def test_broken_text_is_a_secret_like_any_other() -> None:
    learnt = Secrets()
    learnt.add("tok\ud800en")
    assert learnt.hide("<tok\ud800en>") == f"<{HIDDEN}>"


def test_secrets_can_be_learnt_while_texts_are_redacted() -> None:
    learnt = Secrets()
    tokens = [f"token-{number:05d}" for number in range(2_000)]

    def learn() -> None:
        for token in tokens:
            learnt.add(token)

    learner = threading.Thread(target=learn)
    learner.start()
    while learner.is_alive():
        learnt.hide("a line of the log token-00001")
    learner.join()
    assert learnt.hide(" ".join(tokens)) == " ".join([HIDDEN] * len(tokens))


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("access_token", True),
        ("Access_Token", True),
        ("link_url", True),
        ("reauth_link_url", True),
        ("\nlink_url", True),
        ("update_url", True),
        ("access_tokens", False),
        ("my_update_url", False),
        ("platform_url", False),
        ("link_url_text", False),
    ],
)
def test_names_that_say_secret(name: str, is_secret: bool) -> None:
    assert bool(SECRET_FIELD.fullmatch(name)) is is_secret


# ---- errors


def test_the_text_of_an_error_holds_no_secret() -> None:
    error = PartitionFailed(f"/orders failed with {TOKEN}", reason="refused", code=f"BAD {TOKEN}")
    assert error.message == str(error) == f"/orders failed with {HIDDEN}"
    assert error.code == f"BAD {HIDDEN}"
    assert TOKEN not in repr(error)


# ---- logging


class Log:
    """A logger with a handler of its own, guarded as the command does it."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        if formatter is not None:
            self.handler.setFormatter(formatter)
        self.logger = logging.getLogger("test.redact")
        self.logger.addHandler(self.handler)
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False
        guard_logging()

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def hooks() -> Iterator[None]:
    """The hooks of this process, put back at the end; so are formatters."""
    kept = sys.excepthook, threading.excepthook
    handlers = [
        *logging.getLogger().handlers,
        *([logging.lastResort] if logging.lastResort else []),
    ]
    formatters = [(handler, handler.formatter) for handler in handlers]
    yield
    sys.excepthook, threading.excepthook = kept
    for handler, formatter in formatters:
        handler.setFormatter(formatter)
    logging.getLogger("test.redact").handlers.clear()


@pytest.fixture(
    params=[
        pytest.param(None, id="none"),
        pytest.param(logging.Formatter("%(levelname)s %(name)s %(message)s"), id="plain"),
        pytest.param(StructuredFormatter(), id="structured"),
    ]
)
def log(request: pytest.FixtureRequest, hooks: None) -> Log:  # noqa: ARG001 - only its end
    return Log(request.param)


def is_clean(text: str) -> bool:
    # Not "p/w" alone: the path of a checkout, which tracebacks show, may hold that.
    parts = (TOKEN, "p/w+", "p/w%2B", "p/w%2b", "p%2Fw", basic("client", AWKWARD))
    return not any(part in text for part in parts)


@pytest.mark.parametrize("secret", [TOKEN, AWKWARD, basic("client", AWKWARD)])
def test_messages_and_arguments_are_redacted(log: Log, secret: str) -> None:
    log.logger.info(f"in the message: {secret}")
    log.logger.debug("as an argument: %s", secret)
    log.logger.debug("by repr: %r and %s", secret, {"a": [secret]})
    log.logger.debug("in an address: %s", quote_plus(secret))
    log.logger.warning("in a field", extra={"detail": secret, "more": {"a": secret}})
    assert is_clean(log.text)
    assert log.text.count(HIDDEN) >= 4
    assert len(log.text.splitlines()) >= 5


def raise_in_a_chain() -> None:
    try:
        try:
            raise ValueError(f"the innermost: {TOKEN}")
        except ValueError as error:
            raise OSError(f"its consequence: {AWKWARD}") from error
    except OSError:
        raise RuntimeError(f"in handling it: {basic('client', AWKWARD)}") from None


def test_tracebacks_with_their_causes_and_contexts_are_redacted(log: Log) -> None:
    try:
        raise_in_a_chain()
    except RuntimeError as error:
        log.logger.exception("it failed")
        log.logger.error("it failed", exc_info=error.__context__)
        log.logger.error("it failed with %s", error, exc_info=True)
        log.logger.error("it failed", stack_info=True)
    assert is_clean(log.text)
    assert "raise_in_a_chain" in log.text
    assert "its consequence" in log.text


def test_a_line_that_cannot_be_formatted_is_redacted_too(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    log.logger.info("%d rows of %s", TOKEN, AWKWARD)
    assert "%d rows of %s" in log.text
    assert is_clean(log.text)
    assert capsys.readouterr().err == ""


def test_a_structured_line_stays_json(hooks: None) -> None:  # noqa: ARG001
    log = Log(StructuredFormatter())
    log.logger.info("a %s", AWKWARD)
    assert json.loads(log.text)["message"] == f"a {HIDDEN}"


def test_guarding_twice_is_guarding_once(hooks: None) -> None:  # noqa: ARG001
    log = Log(logging.Formatter("%(message)s"))
    guard_logging()
    formatter = log.handler.formatter
    assert isinstance(formatter, RedactingFormatter)
    assert not isinstance(formatter.inner, RedactingFormatter)


def test_what_no_handler_takes_is_redacted_too(
    hooks: None,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard_logging()
    logger = logging.getLogger("test.redact")
    monkeypatch.setattr(logger, "propagate", False)
    logger.handlers.clear()
    logger.warning("nobody listens: %s", TOKEN)
    assert capsys.readouterr().err == f"nobody listens: {HIDDEN}\n"


# ---- hooks


def failure() -> tuple[type[BaseException], BaseException, TracebackType | None]:
    try:
        raise_in_a_chain()
    except RuntimeError as error:
        return type(error), error, error.__traceback__
    raise AssertionError


def test_a_fault_that_nobody_catches_is_redacted(
    hooks: None,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard_logging()
    sys.excepthook(*failure())
    assert "RuntimeError" in caplog.text
    assert is_clean(caplog.text)
    assert is_clean(capsys.readouterr().err)


def test_a_fault_of_a_thread_is_redacted(
    hooks: None,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard_logging()
    thread = threading.Thread(target=raise_in_a_chain)
    thread.start()
    thread.join()
    assert "RuntimeError" in caplog.text
    assert is_clean(caplog.text)
    assert is_clean(capsys.readouterr().err)


# ---- many secrets, alike


def addresses(number: int) -> list[str]:
    return [
        f"https://link.example/connection/{at:06}?key=all&env=production" for at in range(number)
    ]


def steps_of(learnt: Secrets, text: str) -> int:
    """How many functions are called to redact a text: what it costs, without a clock."""
    called = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal called
        called += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        learnt.hide(text)
    finally:
        sys.setprofile(None)
    return called


def test_secrets_that_end_alike_cost_a_text_no_more_than_one_does() -> None:
    text = " ".join(f"{at} https://other.example/?key=all&env=production" for at in range(50))
    costs: dict[int, int] = {}
    for number in (10, 2000):
        learnt = Secrets()
        learnt.add(*addresses(number))
        costs[number] = steps_of(learnt, text)
        for entry in (addresses(number)[0], addresses(number)[-1]):
            assert learnt.hide(f"<{entry}>") == f"<{HIDDEN}>"
    assert costs[2000] <= 2 * costs[10]


@given(
    st.lists(st.text("abA", min_size=4, max_size=12), min_size=1, max_size=30),
    st.text("abAc", max_size=60),
)
def test_what_ends_alike_is_found_like_anything_else(known: list[str], text: str) -> None:
    learnt = Secrets()
    learnt.add(*known)
    covered = [False] * len(text)
    for secret in known:
        for at in range(len(text)):
            if text.startswith(secret, at):
                covered[at : at + len(secret)] = [True] * len(secret)
    shown = "".join(letter for letter, hides in zip(text, covered, strict=True) if not hides)
    assert learnt.hide(text).replace(HIDDEN, "") == shown


@given(st.integers(0, 200), st.integers(1, 60))
def test_the_beginning_of_a_text_shows_no_half_of_a_secret(before: int, most: int) -> None:
    redact.SECRETS.add("tok-0123456789abcdef")
    said = redact.redact_start("-" * before + "tok-0123456789abcdef" * 3 + "-" * 500, most)
    assert len(said) <= most
    assert "tok" not in said
    assert said.startswith("-" * min(before, most))


def test_a_secret_as_long_as_a_book_is_hidden_to_its_end() -> None:
    learnt = Secrets()
    book = "".join(f"{number:05}" for number in range(10_000))
    learnt.add(book)
    assert not re.search("[0-9]", learnt.hide(f"<{book}>"))
