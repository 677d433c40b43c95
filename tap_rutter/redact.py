"""Nothing secret leaves: one function that every way out goes through.

Rutter puts the access token into the address of every data request, so any text that quotes an
address (urllib3 at DEBUG, exceptions of requests, error bodies that echo) would give it away.
Secrets are learnt as they become known: the client secret from the settings, access tokens and
link addresses from the API.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
import traceback
from types import TracebackType
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
_SHORTEST = 4  # a shorter secret would hide half of every line; the API's are far longer

# Backslashes: JSON that is quoted in JSON, as bodies are in structured logs.
_PATTERNS = (
    re.compile(
        r"(access_token(?:=|%(?:25)*3D|[\\\"']*\s*[:=]\s*[\\\"']*))[^&\s\"'<>,)\]}\\]+",
        re.IGNORECASE,
    ),
    re.compile(r"(\bBasic\s+)[A-Za-z0-9+/=_-]{6,}", re.IGNORECASE),
    re.compile(
        r"(\b\w*(?:link|update)_url[\\\"']*\s*[:=]\s*[\\\"']*)(?:[^\s\"'}\\]|\\+/)+",
        re.IGNORECASE,
    ),
)
# Field names that mark a value as secret wherever they stand in a record (see records.py).
SECRET_FIELD = re.compile(
    r"access_token|update_url|.*link_url", re.IGNORECASE | re.DOTALL | re.ASCII
)


def _forms_of(secret: str) -> set[str]:
    """How a text may quote a secret: in an address, by repr, in JSON, and in JSON within JSON."""
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


class Secrets:
    """The secret texts known so far, with the forms in which they could be quoted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        # By their last characters, so that thousands of them cost a line of the log no more than
        # one does. Values are replaced, never changed: any thread may read them.
        self._endings: dict[str, tuple[str, ...]] = {}

    def add(self, *secrets: str | None) -> None:
        """Learn secrets; the forms in which texts quote them are hidden too."""
        with self._lock:
            for secret in secrets:
                if secret and len(secret) >= _SHORTEST and secret not in self._known:
                    self._known.add(secret)
                    for form in _forms_of(secret):
                        ending = form[-_SHORTEST:]
                        self._endings[ending] = (*self._endings.get(ending, ()), form)

    def add_basic(self, client_id: str, client_secret: str) -> None:
        """Learn the client secret and the Basic header that is made of it."""
        pair = f"{client_id}:{client_secret}".encode()
        self.add(client_secret, base64.b64encode(pair).decode())

    def hide(self, text: str) -> str:
        """The text with every secret replaced."""
        possible = {
            form
            for end in range(_SHORTEST, len(text) + 1)
            for form in self._endings.get(text[end - _SHORTEST : end], ())
        }
        for form in sorted(possible, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{HIDDEN}", text)
        return text


SECRETS = Secrets()


def redact(text: object) -> str:
    """Any text made safe to leave the process."""
    return SECRETS.hide(str(text))


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
            text = f"Not to be formatted ({error!r}): {record.msg!r} with {record.args!r}"
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
    # The interpreter's own hook would print the chain of causes as it is.
    text = "".join(traceback.format_exception(kind, error, trace))
    logging.getLogger("tap-rutter").critical("A fault of the tap itself: %s", redact(text))


def _thread_excepthook(args: threading.ExceptHookArgs) -> None:
    logging.getLogger("tap-rutter").critical(
        "%s", redact(f"{args.exc_type.__name__}: {args.exc_value}")
    )
