"""Nothing secret leaves: one function that every way out goes through.

Rutter puts the access token into the address of every data request, so any text that quotes an
address (urllib3 at DEBUG, exceptions of requests, error bodies that echo) would give it away.
Secrets are learnt as they become known: the client secret from the settings, access tokens and
link addresses from the API.
"""

from __future__ import annotations

import base64
import logging
import re
import sys
import threading
import traceback
from types import TracebackType
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
_SHORTEST = 4  # a shorter secret would hide half of every line; the API's are far longer

_PATTERNS = (
    re.compile(r"(access_token(?:=|%3D|[\"']?\s*[:=]\s*[\"']?))[^&\s\"'<>,)\]}]+", re.IGNORECASE),
    re.compile(r"((?:authorization[\"']?\s*[:=]\s*[\"']?)?\bBasic\s+)[A-Za-z0-9+/=_-]{6,}", re.I),
    re.compile(r"([\"']?\b\w*(?:link|update)_url[\"']?\s*[:=]\s*[\"']?)[^\s\"',}]+", re.IGNORECASE),
)
# Field names that mark a value as secret wherever they stand in a record (see records.py).
SECRET_FIELD = re.compile(r"access_token|update_url|.*link_url", re.IGNORECASE | re.DOTALL)


class Secrets:
    """The secret texts known so far, with the forms in which they could be quoted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: tuple[str, ...] = ()
        self._known: set[str] = set()

    def add(self, *secrets: str | None) -> None:
        """Learn secrets; their URL-quoted forms are hidden too."""
        forms = set()
        for secret in secrets:
            if secret and len(secret) >= _SHORTEST and secret not in self._known:
                forms |= {secret, quote(secret, safe=""), quote_plus(secret)}
                forms |= {secret.replace("\\", "\\\\").replace('"', '\\"'), repr(secret)[1:-1]}
                self._known.add(secret)
        if forms:
            with self._lock:
                self._forms = tuple(
                    sorted({*self._forms, *forms}, key=lambda form: (-len(form), form))
                )

    def add_basic(self, client_id: str, client_secret: str) -> None:
        """Learn the client secret and the Basic header that is made of it."""
        pair = f"{client_id}:{client_secret}".encode()
        self.add(client_secret, base64.b64encode(pair).decode())

    def hide(self, text: str) -> str:
        """The text with every secret replaced."""
        for form in self._forms:
            if form in text:
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
        return redact(self.inner.format(record))


def guard_logging() -> None:
    """Put the redaction before every handler that is configured now, and before the hooks."""
    loggers: list[logging.Logger] = [logging.getLogger()]
    loggers += [
        logger
        for logger in logging.Logger.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
    ]
    for logger in loggers:
        for handler in logger.handlers:
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
