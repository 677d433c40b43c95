"""How one thread reaches Rutter: one connection, made by urllib3 and used for all its requests.

By way of which proxy a host is reached, and which certificates are trusted, is found out with
requests, as its users know it.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from tap_rutter.api.exchange import Line, Read, Reply, head_after_target
from tap_rutter.settings import Settings

_NO_RETRIES = urllib3.Retry(False)


class Route:
    """The way of one thread's requests; ``close`` may be called by another."""

    def __init__(
        self,
        pool: Any,
        base: str,
        headers: dict[str, str],
        head: bytes,
        *,
        close: Callable[[], None],
    ) -> None:
        """
        Args:
            pool: urllib3's; what requests says of its type is less than what it gives.
            base: What comes before a path in a request: all of the address where a proxy is to
                read it.
            headers: Of each request.
            head: A request's bytes from what follows its target; empty where a proxy reads the
                requests, all of which are then urllib3's to write.
            close: Closes the pool.
        """
        self.base = base
        self.begun = False
        """Whether an answer to the last request has begun."""
        self._pool = pool
        self._headers = headers
        self._head = head
        self._close_pool = close
        self._line: Line | None = None
        self._is_closed = False

    def ask(self, target: str, *, connect: float, timeout: float, read: Read) -> Reply:
        """Make a request, and read its answer whole.

        Args:
            target: What stands in the request's first line.
            connect: Seconds that a new connection may take.
            timeout: Seconds that the next bytes may take.
            read: Reads the body.

        Raises:
            urllib3.exceptions.HTTPError: when no whole answer comes; and whatever ``read`` raises.
            OSError, ValueError: when proxies or certificates are set up in a way that cannot work.
        """
        self.begun = False
        line, self._line = self._line, None
        if line is not None and line.is_open:
            request = b"GET %b%b" % (target.encode("ascii"), self._head)
            try:
                return line.exchange(request, timeout, read)
            finally:
                self.begun = line.begun
                self._keep(line)
        if line is not None:
            line.close()
        return self._ask_first(target, urllib3.Timeout(connect=connect, read=timeout), read)

    def _ask_first(self, target: str, timeout: urllib3.Timeout, read: Read) -> Reply:
        """The first request of a new connection."""
        response = None
        try:
            response = self._pool.urlopen(
                "GET",
                target,
                headers=self._headers,
                timeout=timeout,
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
            self.begun = True
            body = read(lambda size: response.read1(size, decode_content=False))
            headers = {name.lower(): response.headers[name] for name in response.headers}
            return response.status, headers, body
        finally:
            if response is not None:
                # What is not at its end is thrown away: the next answer would begin within it.
                response.close()
                response.release_conn()
                self._take_from_pool()

    def _take_from_pool(self) -> None:
        """Keep the connection that urllib3 has used, unless all requests are urllib3's."""
        if not self._head:
            return
        try:
            connection = self._pool.pool.get_nowait()
        except (Empty, AttributeError):  # there is none where an answer broke, or after the end
            return
        if connection is not None:
            self._keep(Line(connection))

    def _keep(self, line: Line) -> None:
        self._line = line
        if self._is_closed:
            line.close()

    def close(self) -> None:
        """Close the connection; one over which a request is under way is closed after that."""
        self._is_closed = True
        line, self._line = self._line, None
        if line is not None:
            line.close()
        self._close_pool()


def find_route(settings: Settings) -> Route:
    """A way to Rutter, with the proxies and certificates of the environment.

    Raises:
        OSError, ValueError: when these are set up in a way that cannot work.
    """
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
    is_read_by_proxy = bool(base) and not base.startswith("/")
    head = b"" if is_read_by_proxy else head_after_target(urlsplit(str(request.url)), headers)
    return Route(pool, base, headers, head, close=adapter.close)
