"""What can go wrong, arranged by what it costs.

::

    TapError                        the message is safe to show and says what to do
    ├── ConfigError                 exit 2: bad settings, catalog or state; no request was made
    │   └── UndescribedStream       a stream class names an endpoint that no API version has
    │                               (streams/described.py)
    ├── UnknownConnections          exit 2: listed, and none of ``connection_ids`` exists
    ├── CredentialsRefused          exit 3: Rutter refuses the organisation's client id and secret
    ├── Stopped                     a signal is ending the run; whoever waits gives up
    └── RequestFailed               one request; it costs at most its connection
        ├── Unreachable             nothing answers the first request of a run: nothing else is
        │                           asked
        ├── ConnectionUnusable      the rest of this connection is skipped
        ├── Unsupported             Rutter answered 404: this partition, or this parent, has nothing
        ├── NotActivated            the organisation has no access: this partition is skipped
        └── PartitionFailed         this partition (a stream of a connection) fails, others go on
            ├── Gone                Rutter answered 410: this parent has nothing
            ├── SortRefused         a sorted list answered 400: asked again without ``sort``
            └── MapFailed           a stream map fails on a record, not a request
    Terminated                      a signal has ended the run: exit 130 or 143; not an Exception

What never leaves the room ``api``, such as a response that broke off, is declared there.
Which error a response stands for: :func:`error_for_response`. What is tried again:
:func:`is_transient`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tap_rutter.json_values import lenient, plain
from tap_rutter.names import counted
from tap_rutter.redact import redact, redact_start

# Statuses after which the same request may succeed: overload, the platform's throttle (452), faults
# of Rutter or of the platform (550), and of the gateways before them.
TRANSIENT_STATUSES = frozenset({408, 425, 429, 452, 500, 502, 503, 504, 520, 521, 522, 524, 550})

_CONNECTION_CODES = {
    "PRODUCT_NOT_READY": "not_ready",
    "CONNECTION_DISABLED": "disabled",
    "NEEDS_UPDATE": "needs_reauth",
    "INVALID_CREDENTIALS": "unauthorized",
}
_ENDPOINT_CODE = "PRODUCT_NOT_ALLOWED"
"""One endpoint is closed to the organisation. Rutter does not publish the status that comes with
it, and each likely one would otherwise mean something else: the connection, the platform, an
outage."""
_ABSENT = frozenset({404, 410})
_LONGEST_MESSAGE = 300
_LONGEST_CODE = 100


MAP_FAILED = "map_failed"
"""The reason of a partition whose rows a stream map kept back."""


class TapError(Exception):
    """Anything that the tap itself raises; its message holds no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))

    @property
    def message(self) -> str:
        """What happened and what to do, in one line."""
        return str(self.args[0])


class ConfigError(TapError):
    """Settings, catalog or state that cannot be used."""


class UnknownConnections(TapError):
    """Not one of the chosen connections is known to Rutter."""


class CredentialsRefused(TapError):
    """Rutter does not know the client id and secret in this environment."""


class Stopped(TapError):
    """A signal ends the run; whoever is waiting gives up."""


class Terminated(BaseException):
    """A signal has ended the run. Not an Exception, so that nothing takes it for a fault."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class RequestFailed(TapError):
    """A request that will not succeed in this run."""

    def __init__(
        self, message: str, *, reason: str, status: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.code = None if code is None else redact_start(code, _LONGEST_CODE)


class Unreachable(RequestFailed):
    """Nothing answers at the API's address; no other request of the run would be answered."""


class ConnectionUnusable(RequestFailed):
    """Rutter refuses this connection as a whole: not ready, disabled, or to be signed in again."""


class Unsupported(RequestFailed):
    """Rutter itself answered 404: the platform has no such list, or there is no such parent."""


class NotActivated(RequestFailed):
    """The organisation has no access to the endpoint, whichever connection is asked for."""


class PartitionFailed(RequestFailed):
    """One (connection, stream) cannot be read to its end."""


class Gone(PartitionFailed):
    """Rutter itself answered 410: the endpoint is known, what was asked for by id is not."""


class SortRefused(PartitionFailed):
    """A list that was asked for with ``sort`` was refused; that may be why."""


class MapFailed(PartitionFailed):
    """An expression of a stream map failed."""

    def __init__(self, name: str, column: str, said: str, rows: int = 0) -> None:
        count = f" for {counted(rows, 'row')}" if rows else ""
        super().__init__(
            f"the stream map '{name}' fails at '{column}'{count}: {said}", reason=MAP_FAILED
        )
        self.name, self.column, self.said, self.rows = name, column, said, rows

    def once_more(self) -> MapFailed:
        """The same, for one more row."""
        return MapFailed(self.name, self.column, self.said, self.rows + 1)


class ErrorBody(msgspec.Struct):
    """Rutter's error body; every part may be missing, and a gateway sends none of it."""

    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None


_BODY = msgspec.json.Decoder(dict[str, Any])


def error_body(content: bytes) -> ErrorBody | None:
    """Rutter's own error in a response, or None where it was not Rutter that answered.

    Its code counts even where the other parts are of unexpected types.
    """
    body = _object(content)
    if body is None:
        return None
    found = {name: _as_text(body.get(name)) for name in ErrorBody.__struct_fields__}
    return ErrorBody(**found) if any(found.values()) else None


def _object(content: bytes) -> dict[str, Any] | None:
    """A JSON object, even if a line break in a message is not escaped."""
    try:
        return _BODY.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        body = plain(lenient(content))
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def is_transient(status: int, body: ErrorBody | None) -> bool:
    """Whether the same request may succeed a little later.

    The code decides before the status, since Rutter does not publish the statuses of its connection
    errors.
    """
    if body is not None and body.error_code in {*_CONNECTION_CODES, _ENDPOINT_CODE}:
        return False
    if status in _ABSENT and body is None:
        return True  # a gateway's: only Rutter itself knows what does not exist
    return status in TRANSIENT_STATUSES or (status >= 500 and status != 501)


def error_for_response(
    status: int, body: ErrorBody | None, *, where: str, sorted_list: bool
) -> RequestFailed:
    """The error that a final response other than 200 stands for.

    Args:
        status: HTTP status.
        body: Rutter's error body, where there was one.
        where: The endpoint's path, for the message.
        sorted_list: Whether the request asked for a sort order.
    """
    code = body.error_code if body else None
    said = (body.error_message if body else None) or "no message"
    # Redacted before it is cut: half a secret is not found any more.
    said = " ".join(redact_start(said, 2 * _LONGEST_MESSAGE).split())
    said = said if len(said) <= _LONGEST_MESSAGE else said[:_LONGEST_MESSAGE] + "…"
    named = f" {redact_start(code, _LONGEST_CODE)}" if code else ""
    message = f"{where} answered {status}{named}: {said}"
    if code == _ENDPOINT_CODE:
        return NotActivated(message, reason="not_activated", status=status, code=code)
    reason = _CONNECTION_CODES.get(code or "")
    if reason is None and status == 451:
        reason = "needs_reauth"
    if reason is None and status == 401:
        reason = "unauthorized"
    if reason is not None:
        return ConnectionUnusable(message, reason=reason, status=status, code=code)
    if 300 <= status < 400:
        return PartitionFailed(
            f"{where} answered {status}, a redirect, which is not followed: check api_url",
            reason="refused",
            status=status,
            code=code,
        )
    if status == 404 and body is not None:
        return Unsupported(message, reason="unsupported", status=status, code=code)
    if status == 404:
        message = f"{where} answered 404, and not in Rutter's own words: check api_url"
    if status == 410 and body is not None:
        return Gone(message, reason="refused", status=status, code=code)
    kind = SortRefused if status == 400 and sorted_list else PartitionFailed
    return kind(message, reason="refused", status=status, code=code)
