"""One try of a request, on its way to Rutter and back: a pooled connection for each thread.

How a host is reached, by way of which proxy and trusting which certificates, is found out with
requests, as its users know it; each request then goes straight to urllib3 below it, which takes
half the time. Only GET, only to the configured host, no redirect followed, no cookie kept.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import requote_uri

from tap_rutter.redact import redact
from tap_rutter.settings import Settings

_SHORTEST_TIMEOUT = 1.0
_CHUNK = 1 << 18
_LARGEST_BODY = 1 << 28
# A page of JSON packs to a tenth, seldom to a fiftieth; what is small may pack as it likes.
_LARGEST_RATIO = 200
_SMALL = 16 << 20
_MOST_MEMBERS = 10_000
_PACKED_CHUNK = 1 << 14  # what is left of one is copied where a member ends within it
_CONNECT_SECONDS = 10.0  # to an API of which nothing has been heard yet
_GZIP = 16 + zlib.MAX_WBITS  # zlib's own way to say so
_GZIP_BEGINS = b"\x1f\x8b"
_NO_RETRIES = urllib3.Retry(False)
_TOO_LARGE = f"a body of more than {_LARGEST_BODY >> 20} MiB: set a smaller page_size"
_FIRST_STATUS = 200  # below it, an answer is only announced
_BAD_CERTIFICATES = re.compile("NO_CERTIFICATE_OR_CRL_FOUND|PEM[_ ]")
_IS_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.~-]*").fullmatch


class BrokenResponse(Exception):
    """No whole answer came, which may pass; the text says why in a few words, without secrets."""

    def __init__(self, text: str, *, begun: bool) -> None:
        """``begun``: whether an answer had begun, so that there is somebody who answers."""
        super().__init__(text)
        self.begun = begun


class TooLarge(Exception):
    """An answer beyond all measure, which would not be smaller the next time; the text says why."""


class UntrustedCertificate(Exception):
    """The server does not prove who it is; the text says why."""


@dataclass(frozen=True)
class RawResponse:
    """An answer of any status, arrived whole."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class _Route:
    """How one thread reaches Rutter."""

    pool: Any
    """urllib3's; what requests says of its type is less than what it gives."""
    base: str
    """What comes before a path in a request: all of the address where a proxy is to read it."""
    headers: dict[str, str]
    close: Callable[[], None]


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
        self._routes: list[_Route] = []
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
        """Ask once.

        Args:
            path: Relative to the API's base address.
            params: The query.
            end: When the answer must have arrived whole, on the monotonic clock.
            begin_within: Seconds in which it must begin, where that is to be sooner than usual.

        Raises:
            BrokenResponse: when it does not.
            TooLarge: when it goes on and on.
            UntrustedCertificate: when the server's certificate cannot be trusted.
            OSError, ValueError: when proxies or certificates are set up in a way that cannot work.
        """
        route = self._route()
        target = route.base + (path if _IS_PLAIN_PATH(path) else requote_uri(path))
        if params:
            target += "?" + urlencode(params)
        left = max(_SHORTEST_TIMEOUT, end - time.monotonic())
        timeout = min(float(self._settings.request_timeout), left)
        connect = timeout
        if begin_within is not None:
            timeout = min(timeout, begin_within)
            connect = min(timeout, _CONNECT_SECONDS)
        response = None
        try:
            response = route.pool.urlopen(
                "GET",
                target,
                headers=route.headers,
                timeout=urllib3.Timeout(connect=connect, read=timeout),
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
            packed = self._body(response, end)
            content = _unpacked(response.headers.get("Content-Encoding", ""), packed)
            if response.status < _FIRST_STATUS:
                # What it announces would be taken for the answer to the next request.
                self._forget(route)
                raise BrokenResponse(
                    f"status {response.status}, which is not an answer", begun=True
                )
        except (urllib3.exceptions.HTTPError, zlib.error) as error:
            if isinstance(error, urllib3.exceptions.LocationValueError):
                # Its own text quotes an address, which may be a proxy's with its password.
                raise ValueError(
                    "the host, or a proxy, has a name that is not a host name"
                ) from None
            if _BAD_CERTIFICATES.search(str(error)):
                raise ValueError(
                    "the certificates that the environment names (REQUESTS_CA_BUNDLE or"
                    " CURL_CA_BUNDLE) cannot be read"
                ) from None
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                why = re.search(r"certificate verify failed: ([^(\[]+)", str(error))
                raise UntrustedCertificate(why[1].strip() if why else "no reason given") from None
            begun = response is not None
            raise BrokenResponse(_describe(error, begun=begun), begun=begun) from None
        finally:
            if response is not None:
                # What is not at its end is thrown away: the next answer would begin within it.
                response.close()
                response.release_conn()
        # Some gateways put a byte order mark before JSON, which readers of JSON refuse.
        return RawResponse(response.status, response.headers, content.removeprefix(BOM_UTF8))

    def _body(self, response: urllib3.HTTPResponse, end: float) -> bytes:
        """The body as it came.

        A timeout bounds the wait for the next bytes only, so a slow drip would go on for ever, and
        one that is unpacked on the way would go unnoticed.
        """
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK, decode_content=False):
            chunks.append(chunk)
            size += len(chunk)
            if time.monotonic() > end or self._is_stopped():
                raise urllib3.exceptions.TimeoutError
            if size > _LARGEST_BODY:
                raise TooLarge(_TOO_LARGE)
        return b"".join(chunks)

    def _forget(self, route: _Route) -> None:
        """Let the thread's next request find a new route."""
        route.close()
        del self._local.route
        with self._lock:
            self._routes = [entry for entry in self._routes if entry is not route]

    def _route(self) -> _Route:
        route: _Route | None = getattr(self._local, "route", None)
        if route is None:
            route = self._local.route = _find_route(self._settings)
            with self._lock:
                self._routes.append(route)
        return route


def _find_route(settings: Settings) -> _Route:
    """The connection pool to Rutter, with the proxies and certificates of the environment."""
    with requests.Session() as session:
        session.headers.update(
            {
                "User-Agent": settings.user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "X-Rutter-Version": settings.api_version,
            }
        )
        # An explicit auth also keeps requests from looking for one in ~/.netrc.
        auth = HTTPBasicAuth(settings.client_id.encode(), settings.client_secret.encode())
        request = session.prepare_request(requests.Request("GET", settings.api_url, auth=auth))
        found = session.merge_environment_settings(settings.api_url, {}, None, None, None)
    proxies, verify, cert = found["proxies"], found["verify"], found["cert"]
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    try:
        pool = adapter.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
    except (urllib3.exceptions.LocationValueError, requests.exceptions.InvalidURL, TypeError):
        # The errors' own texts quote the address, with the password in it.
        raise ValueError(
            "a proxy's address cannot be read (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY in the"
            " environment)"
            if proxies
            else "the address has no valid host name"
        ) from None
    adapter.cert_verify(pool, settings.api_url, verify, cert)  # type: ignore[no-untyped-call]
    base = adapter.request_url(request, proxies).rstrip("/")
    headers = {name: str(value) for name, value in request.headers.items()}
    return _Route(pool, base, headers, adapter.close)


def _unpacked(encoding: str, packed: bytes) -> bytes:
    """A body without its compression.

    Raises:
        zlib.error: for one that does not unpack, or not to its end.
        TooLarge: for one that unpacks to more than any page needs.
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
                raise TooLarge(
                    f"{len(packed):,} bytes that unpack to more than {most:,}: no page does"
                )
        at -= len(unpacking.unused_data)
        if packed[at : at + len(_GZIP_BEGINS)] != _GZIP_BEGINS:
            return b"".join(pieces)
    raise TooLarge(f"a body that was packed in more than {_MOST_MEMBERS:,} pieces")


def place_of(address: str) -> str:
    """An address's host and port, for messages; never what else it may hold."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _describe(error: Exception, *, begun: bool) -> str:
    """A fault of the connection in a few words; the exception's own text quotes the address."""
    if isinstance(error, zlib.error):
        return "a body that does not unpack"
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
