"""One try of a request, on its way to Rutter and back: a pooled connection for each thread.

Only GET, only to the configured host, no redirect followed, no cookie kept.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import urllib3
from requests.utils import requote_uri

from tap_rutter.api.route import Route, find_route
from tap_rutter.redact import redact
from tap_rutter.settings import Settings

logger = logging.getLogger("tap-rutter")

_SHORTEST_TIMEOUT = 1.0
_CHUNK = 1 << 18
_LARGEST_BODY = 1 << 28
# A page of JSON is compressed to a tenth, seldom to a fiftieth. Small bodies are not checked.
_LARGEST_RATIO = 200
_SMALL = 16 << 20
_MOST_MEMBERS = 10_000
_PACKED_CHUNK = 1 << 14  # what is left of one is copied where a member ends within it
_CONNECT_SECONDS = 10.0  # to an API of which nothing has been heard yet
_GZIP = 16 + zlib.MAX_WBITS  # zlib's own way to say so
_GZIP_BEGINS = b"\x1f\x8b"
_TOO_LARGE = f"a body of more than {_LARGEST_BODY >> 20} MiB: set a smaller page_size"
_FIRST_STATUS = 200  # below it, an answer is only announced
_BAD_CERTIFICATES = re.compile("NO_CERTIFICATE_OR_CRL_FOUND|PEM[_ ]")
_IS_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.~-]*").fullmatch
_IS_PLAIN_QUERY = re.compile(r"[A-Za-z0-9_.~ -]*").fullmatch


class BrokenResponse(Exception):
    """No whole answer came, which may pass. The text says why in a few words, without secrets."""

    def __init__(self, text: str, *, begun: bool) -> None:
        """``begun``: whether an answer had begun, so that something does answer there."""
        super().__init__(text)
        self.begun = begun


class TooLarge(Exception):
    """An answer that is too large, and would be so at the next try. The text says why."""


class UntrustedCertificate(Exception):
    """The server's certificate cannot be trusted. The text says why."""


@dataclass(frozen=True)
class RawResponse:
    """A whole answer, of any status."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    content: bytes


class Transport:
    """Sends requests; safe to use from many threads, each with a connection of its own."""

    def __init__(self, settings: Settings, is_stopped: Callable[[], bool]) -> None:
        """
        Args:
            settings: The address, the credentials, and how long a try may take.
            is_stopped: Whether the run is being ended.
        """
        self._settings = settings
        self._is_stopped = is_stopped
        self._local = threading.local()
        self._routes: list[Route] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections of all threads."""
        with self._lock:
            for route in self._routes:
                route.close()
            self._routes.clear()

    def get(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        end: float,
        begin_within: float | None = None,
    ) -> RawResponse:
        """Send one request, once.

        Args:
            path: Relative to the API's base address.
            params: The query.
            end: When the whole answer must have arrived, on the monotonic clock.
            begin_within: Seconds in which the answer must begin; None for the setting
                ``request_timeout``.

        Raises:
            BrokenResponse: when no whole answer came in time.
            TooLarge: when the answer is too large.
            UntrustedCertificate: when the server's certificate cannot be trusted.
            OSError, ValueError: when proxies or certificates are set up in a way that cannot work.
        """
        route = self._route()
        target = route.base + (path if _IS_PLAIN_PATH(path) else requote_uri(path))
        if params:
            target += "?" + _query(params)
        left = max(_SHORTEST_TIMEOUT, end - time.monotonic())
        timeout = min(float(self._settings.request_timeout), left)
        connect = timeout
        if begin_within is not None:
            timeout = min(timeout, begin_within)
            connect = min(timeout, _CONNECT_SECONDS)
        try:
            status, headers, packed = route.ask(
                target, connect=connect, timeout=timeout, read=lambda read: self._body(read, end)
            )
            content = _unpacked(headers.get("content-encoding", ""), packed)
        except (urllib3.exceptions.HTTPError, zlib.error) as error:
            if isinstance(error, urllib3.exceptions.LocationValueError):
                # The exception's text quotes an address, which may be a proxy's, with its password.
                raise ValueError("the host name of the API or of a proxy is not valid") from None
            if _BAD_CERTIFICATES.search(str(error)):
                raise ValueError(
                    "the certificates that the environment names (REQUESTS_CA_BUNDLE or"
                    " CURL_CA_BUNDLE) cannot be read"
                ) from None
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                why = re.search(r"certificate verify failed: ([^(\[]+)", str(error))
                raise UntrustedCertificate(why[1].strip() if why else "no reason given") from None
            text = _describe(error, begun=route.begun)
            raise BrokenResponse(text, begun=route.begun) from None
        if status < _FIRST_STATUS:
            # What it announces would be taken for the answer to the next request.
            self._forget(route)
            raise BrokenResponse(f"status {status}, which is not an answer", begun=True)
        # Never the query: the access token is in it.
        logger.debug("%s answered %d, %d bytes", path, status, len(packed))
        # Some gateways put a byte order mark before JSON, which readers of JSON refuse.
        return RawResponse(status, headers, content.removeprefix(BOM_UTF8))

    def _body(self, read: Callable[[int], bytes], end: float) -> bytes:
        """The body as it came.

        A timeout bounds only the wait for the next bytes. So a body that comes in slow drops would
        go on for ever, and would not be noticed if it were decompressed on the way.
        """
        chunks: list[bytes] = []
        size = 0
        while chunk := read(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if time.monotonic() > end or self._is_stopped():
                raise urllib3.exceptions.TimeoutError
            if size > _LARGEST_BODY:
                raise TooLarge(_TOO_LARGE)
        return b"".join(chunks)

    def _forget(self, route: Route) -> None:
        """Let the thread's next request find a new route."""
        route.close()
        del self._local.route
        with self._lock:
            self._routes = [entry for entry in self._routes if entry is not route]

    def _route(self) -> Route:
        route: Route | None = getattr(self._local, "route", None)
        if route is None:
            route = self._local.route = find_route(self._settings)
            with self._lock:
                self._routes.append(route)
        return route


def _query(params: Mapping[str, str]) -> str:
    """Parameters as they stand in an address; those of most requests need no quoting."""
    if _IS_PLAIN_QUERY("".join([*params, *params.values()])):
        return "&".join([f"{name}={value}" for name, value in params.items()]).replace(" ", "+")
    return urlencode(params)


def _unpacked(encoding: str, packed: bytes) -> bytes:
    """A body, decompressed.

    Raises:
        zlib.error: for a body that cannot be decompressed to its end.
        TooLarge: for a body that is larger, decompressed, than any page.
    """
    if not packed or "gzip" not in encoding.lower():
        return packed
    most = min(_LARGEST_BODY, max(_SMALL, _LARGEST_RATIO * len(packed)))
    pieces: list[bytes] = []
    at = size = 0
    for _ in range(_MOST_MEMBERS):  # a body may be made of several, one after another
        unpacking = zlib.decompressobj(_GZIP)
        while not unpacking.eof:
            chunk = unpacking.unconsumed_tail
            if not chunk:
                chunk = packed[at : at + _PACKED_CHUNK]
                at += len(chunk)
            if not chunk:
                raise zlib.error("the end is missing")
            pieces.append(unpacking.decompress(chunk, most + 1 - size))
            size += len(pieces[-1])
            if size > most:
                raise TooLarge(f"{len(packed):,} bytes that decompress to more than {most:,}")
        at -= len(unpacking.unused_data)
        if packed[at : at + len(_GZIP_BEGINS)] != _GZIP_BEGINS:
            return b"".join(pieces)
    raise TooLarge(f"a gzip body of more than {_MOST_MEMBERS:,} members")


def place_of(address: str) -> str:
    """An address's host and port, for messages. The rest of an address may be secret."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _describe(error: Exception, *, begun: bool) -> str:
    """A fault of the connection in a few words. The exception's text would quote the address."""
    if isinstance(error, zlib.error):
        return "a body that cannot be decompressed"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "a TLS error: " + redact(error)[:200]
    if isinstance(error, urllib3.exceptions.ProxyError):
        return "a proxy error"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "a host name that cannot be resolved (DNS)"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "a connection refused, reset or closed"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "a timeout"
    return "a body cut short" if begun else "a connection refused, reset or closed"
