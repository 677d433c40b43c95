"""Keeps secrets out of every text that leaves the process: logs, errors, reports.

Rutter puts the access token into the address of every data request, so any text that quotes an
address (urllib3 at DEBUG, exceptions of requests, error bodies that repeat the request) would
reveal it. Secrets are added as they become known: the client secret from the settings, access
tokens and link addresses from the API.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
import traceback
from bisect import bisect_right, insort
from types import TracebackType
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
_SHORTEST = 4  # a shorter secret would hide half of every line; real ones are far longer
_PIECE, _MOST = 1 << 13, 1 << 18  # characters; no server accepts a token or address as long as this

# Backslashes occur where JSON is quoted in JSON, as bodies are in structured logs. Repetitions are
# possessive (``*+``), so that the time grows only with the length of the text.
_PATTERNS = (
    re.compile(
        r"(access_token(?:=|%(?:25)*+3D|[\\\"']*+\s*+[:=]\s*+[\\\"']*+))(?!\[hidden\](?:[&\s\"'<>,)\]}\\]|$))"
        r"[^&\s\"'<>,)\]}\\]++",
        re.IGNORECASE,
    ),
    re.compile(r"(\bBasic\s++)[A-Za-z0-9+/=_-]{6,}+", re.IGNORECASE),
    re.compile(
        r"(\b\w*(?:link|update)_url[\\\"']*+\s*+[:=]\s*+[\\\"']*+)(?!\[hidden\](?:[\s\"'}\\]|$))"
        r"(?:[^\s\"'}\\]|\\++/)++",
        re.IGNORECASE,
    ),
)
# Field names that mark a value as secret wherever they stand in a record (see records/conform.py).
SECRET_FIELD = re.compile(
    r"access_token|update_url|.*link_url", re.IGNORECASE | re.DOTALL | re.ASCII
)


def _forms_of(secret: str) -> set[str]:
    """The forms of a secret in a text: in an address, by repr, in JSON, and in JSON within JSON."""
    quoted = {
        quote(secret, errors="replace"),
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    }
    forms = {secret, repr(secret)[1:-1], *quoted}
    forms |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in quoted}
    for _ in range(2):
        forms |= {
            json.dumps(form, ensure_ascii=escaped)[1:-1]
            for form in forms
            for escaped in (False, True)
        }
    return forms | {form.replace("/", "\\/") for form in forms}


class _Texts:
    """A set of texts. Finds the longest of them that ends at a given place of another text.

    The texts are kept reversed and sorted. A text that ends at a place is, reversed, a prefix of
    the reversed text before that place. In sorted order such prefixes are its neighbours. So this
    is fast even if many texts have similar ends.
    """

    __slots__ = ("_backwards", "longest")

    def __init__(self) -> None:
        self._backwards: list[str] = []
        self.longest = 0

    def add(self, text: str) -> None:
        """Add a text that is not in the set yet."""
        backwards = text[::-1]
        insort(self._backwards, backwards)
        self.longest = max(self.longest, len(text))

    def longest_at(self, before: str) -> int:
        """Length of the longest text that ends where ``before``, reversed, begins; 0 for none."""
        known, high = self._backwards, len(self._backwards)
        while True:
            at = bisect_right(known, before, 0, high)
            if not at:
                return 0
            nearest = known[at - 1]
            if before.startswith(nearest):
                return len(nearest)
            # A shorter text can only be a prefix of both of these.
            before, high = before[: _alike(before, nearest)], at - 1
            if len(before) < _SHORTEST:
                return 0


def _alike(one: str, other: str) -> int:
    """Length of the longest common prefix of two texts."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Secrets:
    """The secret texts known so far, with the forms in which they could be quoted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._forms: set[str] = set()
        # By their last characters, so that a line of the log costs the same whether there are
        # thousands of secrets or one.
        self._endings: dict[str, _Texts] = {}
        self._longest = 0

    def add(self, *secrets: str | None) -> None:
        """Learn secrets; the forms in which texts quote them are hidden too."""
        with self._lock:
            for secret in secrets:
                if secret and len(secret) >= _SHORTEST and secret not in self._known:
                    self._known.add(secret)
                    for start in range(0, min(len(secret), _MOST), _PIECE):
                        self._learn(secret[start : start + _PIECE])

    def _learn(self, piece: str) -> None:
        for form in _forms_of(piece) - self._forms:
            if len(form) < _SHORTEST:
                continue
            self._forms.add(form)
            self._endings.setdefault(form[-_SHORTEST:], _Texts()).add(form)
            self._longest = max(self._longest, len(form))

    def add_basic(self, client_id: str, client_secret: str) -> None:
        """Learn the client secret and the Basic header that is made of it."""
        credentials = f"{client_id}:{client_secret}".encode()
        self.add(client_secret, base64.b64encode(credentials).decode())

    def hide(self, text: str, most: int | None = None) -> str:
        """The text with every secret replaced; with ``most``, of its first characters only."""
        kept = len(text) if most is None else min(most, len(text))
        with self._lock:
            text = text[: kept + self._longest]
            spans = self._spans(text)
        pieces: list[str] = []
        at = 0
        for begin, end in spans:
            if begin >= kept:
                break
            pieces += (text[at:begin], HIDDEN)
            at = end
        pieces.append(text[at:kept])
        text = "".join(pieces)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{HIDDEN}", text)
        return text

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand, in order; those that overlap are one."""
        found: list[tuple[int, int]] = []
        backwards, size = "", len(text)
        for end in range(_SHORTEST, size + 1):
            texts = self._endings.get(text[end - _SHORTEST : end])
            if texts is None:
                continue
            backwards = backwards or text[::-1]
            length = texts.longest_at(backwards[size - end : size - end + texts.longest])
            if not length:
                continue
            begin = end - length
            while found and found[-1][1] > begin:
                begin = min(begin, found.pop()[0])
            found.append((begin, end))
        return found


SECRETS = Secrets()


def redact(text: object) -> str:
    """Any text made safe to leave the process."""
    return SECRETS.hide(str(text))


def redact_start(text: str, most: int) -> str:
    """The first characters of a text of any size, made safe to leave.

    It is cut after its secrets were hidden, since half a secret would not be found.
    """
    return SECRETS.hide(text, 4 * most)[:most]


class RedactingFormatter(logging.Formatter):
    """Formats with another formatter, then hides what is secret: message, traceback and all."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The inner formatter's text without its secrets."""
        try:
            text = self.inner.format(record)
        except Exception as error:
            # Left to logging, this would put the arguments on standard error as they are.
            text = f"Cannot be formatted ({error!r}): {record.msg!r} with {record.args!r}"
        return redact(text)


def guard_logging() -> None:
    """Put the redaction before every handler that is configured now, and before the hooks."""
    loggers: list[logging.Logger] = [logging.getLogger()]
    loggers += [
        logger
        for logger in logging.Logger.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
    ]
    handlers = [handler for logger in loggers for handler in logger.handlers]
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        inner = handler.formatter or logging.Formatter()
        if not isinstance(inner, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(inner))
    sys.excepthook = _excepthook
    threading.excepthook = _thread_excepthook


def _excepthook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    # The interpreter's own hook would print the error and its causes with their secrets.
    text = "".join(traceback.format_exception(kind, error, trace))
    logging.getLogger("tap-rutter").critical("A fault of the tap itself: %s", redact(text))


def _thread_excepthook(args: threading.ExceptHookArgs) -> None:
    logging.getLogger("tap-rutter").critical(
        "%s", redact(f"{args.exc_type.__name__}: {args.exc_value}")
    )
