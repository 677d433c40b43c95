"""One request to Rutter: its tries, and the error that a bad response becomes.

A failure that may pass is tried again for ``max_retry_seconds``, counted from the request's first
try, or for as long as ``patience.py`` allows. After that it becomes an error of ``errors.py``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tap_rutter import times
from tap_rutter.api.clock import Clock
from tap_rutter.api.patience import Life, NotAsked, Patience, Retries
from tap_rutter.api.request import Counts, Request, Response, UnreadableResponse
from tap_rutter.api.throttle import Throttle
from tap_rutter.api.transport import (
    BrokenResponse,
    TooLarge,
    Transport,
    UntrustedCertificate,
    place_of,
)
from tap_rutter.errors import (
    ErrorBody,
    PartitionFailed,
    RequestFailed,
    Stopped,
    Unreachable,
    error_body,
    error_for_response,
    is_transient,
)
from tap_rutter.redact import redact_start
from tap_rutter.settings import Settings

_T = TypeVar("_T")

_FIRST_WAIT = 1.0  # seconds; doubled at each further try
_LONGEST_WAIT = 60.0
_SPEAKING = frozenset({429, 452, 550})
"""Statuses that only Rutter itself sends, about too many requests or the platform: so it is up."""
_LONGEST_TROUBLE = 200
_REQUEST_ID = "x-rutter-request-id"
"""A header that only Rutter sends: an answer with it is Rutter's own, whatever its body. The body
of a 404 for a list that a platform does not have is not documented."""


class Client:
    """Sends requests; safe to use from many threads, each with a connection of its own."""

    def __init__(self, settings: Settings, clock: Clock, throttle: Throttle) -> None:
        self.settings = settings
        self.clock = clock
        self.throttle = throttle
        self.tokens: dict[str, str] = {}
        """Access tokens by connection id. They live here and nowhere else."""
        self.patience = Patience(
            settings.max_retry_seconds, lambda: time.monotonic(), lambda: throttle.stopped
        )
        self.retries = Retries(lambda: time.monotonic())
        self._transport = Transport(settings, lambda: throttle.stopped)

    @property
    def requests(self) -> int:
        """How many requests have been made."""
        return self.throttle.turns

    def close(self) -> None:
        """Close all connections of all threads."""
        self._transport.close()

    def get(self, request: Request, decode: Callable[[Response], _T], counts: Counts) -> _T:
        """Fetch and decode; try again after a failure that may pass by itself.

        A body that cannot be decoded is tried again too: an HTML page or a cut body with status 200
        may pass, just as a 502 may.

        Args:
            request: What to fetch.
            decode: Makes the result; raises ``UnreadableResponse`` for a body that may be better at
                the next try.
            counts: Receives the number of requests and retries.

        Raises:
            RequestFailed: for a request that failed for good (see ``errors.error_for_response``).
            Stopped: when the run is being ended.
        """
        life = self.patience.begin(request.path, request.connection_id)
        # Even where max_retry_seconds is shorter than one try may take, one whole try is made.
        end = life.begun + max(self.settings.max_retry_seconds, self.settings.request_timeout)
        tries = 0
        while True:
            try:
                self.patience.admit(life)
            except NotAsked as error:
                raise PartitionFailed(
                    f"{request.path} was not requested{' again' if tries else ''}: {error}",
                    reason="retries_exhausted",
                ) from None
            tries += 1
            try:
                result = self._attempt(request, decode, counts, life, end)
            finally:
                self.patience.release(life)
            if not isinstance(result, _TransientFailure):
                return result
            wait = result.wait
            if wait is None or (wait <= 0 and tries > 1):
                # "Retry-After: 0" is followed once only: else the tries would never pause.
                ceiling = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tries - 1, 10))
                wait = random.uniform(ceiling / 2, ceiling)
            speaks = result.status in _SPEAKING
            is_parked = (result.wait or 0.0) > self.settings.max_retry_seconds
            is_patient = result.status != 429 and not is_parked
            why = self.patience.failed(
                life, wait, speaks=speaks, is_patient=is_patient, is_astray=result.is_astray
            )
            if why is not None:
                raise self._given_up(request, result, tries, why)
            counts.retries += 1
            self.retries.say(request.path, request.connection_id, result.text, wait)
            self.throttle.sleep(wait)

    def _given_up(
        self, request: Request, failure: _TransientFailure, tries: int, why: str
    ) -> RequestFailed:
        """The error for a request that is not tried again."""
        times_said = f"{tries} time{'s' if tries > 1 else ''}"
        if not self.patience.is_reached:
            return Unreachable(
                f"nothing answers at {place_of(self.settings.api_url)}: {request.path} failed"
                f" {times_said}, last with {failure.text}. Check the setting 'api_url', and the"
                " network, DNS and proxy between here and there",
                reason=failure.reason,
                status=failure.status,
                code=failure.code,
            )
        return PartitionFailed(
            f"{request.path} failed {times_said}, last with {failure.text}{why and ', ' + why}",
            reason=failure.reason,
            status=failure.status,
            code=failure.code,
        )

    def _attempt(
        self,
        request: Request,
        decode: Callable[[Response], _T],
        counts: Counts,
        life: Life,
        end: float,
    ) -> _T | _TransientFailure:
        """One try: its result, or what was wrong and how long the server asks to wait."""
        with self.throttle.turn():
            counts.requests += 1
            try:
                reply = self._transport.get(
                    request.path,
                    self._query(request),
                    end=end,
                    begin_within=self.patience.most_seconds(life),
                )
            except BrokenResponse as error:
                if self.throttle.stopped:
                    raise Stopped("The run is being ended.") from None
                if error.begun:
                    self.patience.reached()
                return _TransientFailure(str(error))
            except TooLarge as error:
                self.patience.reached()
                self.patience.heard(life)
                raise PartitionFailed(
                    f"{request.path} was answered with {error}", reason="bad_response"
                ) from None
            except UntrustedCertificate as error:
                raise _unverified(request.path, error) from None
            except (OSError, ValueError) as error:
                # The proxies or certificates are set up in a way that cannot work.
                raise PartitionFailed(
                    f"{request.path} cannot be requested: {type(error).__name__}: {error}",
                    reason="refused",
                ) from None
        status, headers, content = reply.status, reply.headers, reply.content
        self.patience.reached()
        self.clock.correct(headers.get("date"))
        if status == 429:
            self.throttle.too_fast()
        else:
            self.throttle.answered()
        if status == 200:
            try:
                result = decode(Response(content, self.clock.now()))
            except UnreadableResponse as error:
                return _TransientFailure(f"a 200 {error}", "bad_response", status)
            except RequestFailed:
                self.patience.heard(life)
                raise
            self.patience.heard(life)
            return result
        body = error_body(content)
        if body is None and _REQUEST_ID in headers and not request.proves_address:
            body = ErrorBody()
        is_astray = status in {404, 410} and body is None
        if not is_transient(status, body) or (is_astray and request.proves_address):
            self.patience.heard(life)
            raise error_for_response(
                status, body, where=request.path, sorted_list=request.sorted_list
            )
        reason = "rate_limited" if status in {429, 452} else "retries_exhausted"
        code = body.error_code if body else None
        said = f" {code}" if code else ""
        said += f": {body.error_message}" if body and body.error_message else ""
        said = " that is not Rutter's own" if is_astray else said
        return _TransientFailure(
            f"status {status}{redact_start(said, _LONGEST_TROUBLE)}",
            reason,
            status,
            self._asked_wait(headers),
            code,
            is_astray,
        )

    def _query(self, request: Request) -> Mapping[str, str]:
        if request.connection_id is None:
            return request.params
        return {**request.params, "access_token": self.tokens[request.connection_id]}

    def _asked_wait(self, headers: Mapping[str, str]) -> float | None:
        """Seconds that a ``Retry-After`` asks for, in either of its forms."""
        value = headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value[:9]), 1e9)
        moment = times.from_http_date(value)
        if moment is None:
            return None
        return max(0.0, (moment - self.clock.now()) / 1000)


@dataclass(frozen=True)
class _TransientFailure:
    """Why a try did not count."""

    text: str
    reason: str = "retries_exhausted"
    status: int | None = None
    wait: float | None = None
    """Seconds that the server asks to wait; None where it does not ask."""
    code: str | None = None
    """Rutter's error code; None where the answer had none."""
    is_astray: bool = False
    """Whether it is a 404 or 410 that is not Rutter's own."""


def _unverified(path: str, error: UntrustedCertificate) -> PartitionFailed:
    """The error for a server whose certificate cannot be verified: no later try would succeed."""
    return PartitionFailed(
        f"{path} cannot be requested: the server's TLS certificate cannot be verified"
        f" ({error}). Behind a proxy that decrypts TLS, name its certificates in the environment"
        " variable REQUESTS_CA_BUNDLE",
        reason="refused",
    )
