"""What can go wrong, arranged by how much of a run it ends.

::

    TapError                        the message is safe to show and says what to do
    ├── ConfigError                 exit 2: bad settings, catalog or state; no request was made
    │   └── UndescribedStream       a stream class names an endpoint that no API version has
    │                               (streams/described.py)
    ├── UnknownConnections          exit 2: Rutter knows none of ``connection_ids``
    ├── CredentialsRefused          exit 3: Rutter refuses the organisation's client id and secret
    ├── Stopped                     a signal is ending the run: every wait ends with this
    └── RequestFailed               one request failed; at most its connection is lost
        ├── Unreachable             nothing answers the first request of a run: nothing else is
        │                           asked
        ├── ConnectionUnusable      the rest of this connection is skipped
        ├── Unsupported             Rutter answered 404: this partition, or this parent, has nothing
        ├── NotActivated            the organisation has no access: this partition is skipped
        └── PartitionFailed         this partition (a stream of a connection) fails, others go on
            ├── Gone                Rutter answered 410: this parent has nothing
            ├── SortRefused         a sorted list answered 400: asked again without ``sort``
            └── MapFailed           a stream map failed for a record; no request failed
    Terminated                      a signal has ended the run: exit 130 or 143; not an Exception

Errors that never leave the room ``api``, such as a response that broke off, are declared there.
:func:`error_for_response` says which error a response becomes, and :func:`is_transient` which
responses are tried again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tap_rutter.json_values import lenient, plain
from tap_rutter.names import counted
from tap_rutter.redact import redact, redact_start

# Statuses below 500 after which the same request may succeed: too many requests, to Rutter or to
# the platform (452), and timeouts.
_TRANSIENT = frozenset({408, 425, 429, 452})

_CONNECTION_CODES = {
    "PRODUCT_NOT_READY": "not_ready",
    "CONNECTION_DISABLED": "disabled",
    "NEEDS_UPDATE": "needs_reauth",
    "INVALID_CREDENTIALS": "unauthorized",
}
_ENDPOINT_CODE = "PRODUCT_NOT_ALLOWED"
"""The error code of an endpoint that the organisation has no access to. Rutter does not publish its
status. So the code decides, since each likely status has another meaning without it."""
_ABSENT = frozenset({404, 410})
_LONGEST_MESSAGE = 300
_LONGEST_CODE = 100


MAP_FAILED = "map_failed"
"""The reason of a partition some of whose rows did not leave, since a stream map failed."""


class TapError(Exception):
    """Any error that the tap itself raises. Its message holds no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))

    @property
    def message(self) -> str:
        """What happened and what to do, in one line."""
        return str(self.args[0])


class ConfigError(TapError):
    """Settings, catalog or state that cannot be used."""


class UnknownConnections(TapError):
    """Rutter knows none of the connections that the settings choose."""


class CredentialsRefused(TapError):
    """Rutter does not know the client id and secret in this environment."""


class Stopped(TapError):
    """A signal is ending the run: every wait ends with this."""


class Terminated(BaseException):
    """A signal has ended the run. Not an Exception, so that nothing handles it as a fault."""

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
    """Nothing answers at the API's address, so the run sends no other request."""


class ConnectionUnusable(RequestFailed):
    """Rutter refuses the connection: not ready, disabled, or the merchant must sign in again."""


class Unsupported(RequestFailed):
    """Rutter itself answered 404: the platform has no such list, or there is no such parent."""


class NotActivated(RequestFailed):
    """The organisation has no access to the endpoint, with any connection."""


class PartitionFailed(RequestFailed):
    """One partition cannot be read to its end."""


class Gone(PartitionFailed):
    """Rutter itself answered 410: it knows the endpoint, but not the id that was asked for."""


class SortRefused(PartitionFailed):
    """Rutter refused a list that was asked for with ``sort``, perhaps because of ``sort``."""


class MapFailed(PartitionFailed):
    """An expression of a stream map failed."""

    def __init__(self, name: str, column: str, said: str, rows: int = 0) -> None:
        count = f" for {counted(rows, 'row')}" if rows else ""
        super().__init__(
            f"the stream map '{name}' fails at '{column}'{count}: {said}", reason=MAP_FAILED
        )
        self.name, self.column, self.said, self.rows = name, column, said, rows

    def once_more(self) -> MapFailed:
        """The error after one more row has failed."""
        return MapFailed(self.name, self.column, self.said, self.rows + 1)


class ErrorBody(msgspec.Struct):
    """Rutter's error body. Every part may be missing; a gateway sends none of them."""

    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None


_BODY = msgspec.json.Decoder(dict[str, Any])


def error_body(content: bytes) -> ErrorBody | None:
    """Rutter's own error in a response; None if something else answered, such as a gateway.

    The code is used even if the other parts have unexpected types.
    """
    body = _object(content)
    if body is None:
        return None
    found = {name: _as_text(body.get(name)) for name in ErrorBody.__struct_fields__}
    return ErrorBody(**found) if any(found.values()) else None


def _object(content: bytes) -> dict[str, Any] | None:
    """A JSON object, even one with an unescaped line break in a message; None for anything else."""
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

    The error code is looked at before the status, since Rutter does not publish which statuses its
    connection errors have.
    """
    if body is not None and body.error_code in {*_CONNECTION_CODES, _ENDPOINT_CODE}:
        return False
    if status in _ABSENT and body is None:
        return True  # from a gateway: only Rutter itself can say that something does not exist
    return status in _TRANSIENT or (status >= 500 and status != 501)


def error_for_response(
    status: int, body: ErrorBody | None, *, where: str, sorted_list: bool
) -> RequestFailed:
    """The error for a response other than 200 that is not tried again.

    Args:
        status: HTTP status.
        body: Rutter's error body, where there was one.
        where: The endpoint's path, for the message.
        sorted_list: Whether the request asked for a sort order.
    """
    code = body.error_code if body else None
    said = (body.error_message if body else None) or "no message"
    # Redacted before it is cut: the redaction would not find half a secret.
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
        message = f"{where} answered 404, but not with Rutter's own error: check api_url"
    if status == 410 and body is not None:
        return Gone(message, reason="refused", status=status, code=code)
    kind = SortRefused if status == 400 and sorted_list else PartitionFailed
    return kind(message, reason="refused", status=status, code=code)
