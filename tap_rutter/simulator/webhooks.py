"""Webhooks, sent as Rutter sends them: signed, tried again, sometimes twice, and sometimes never.

Six attempts with waits that double, a quarter of an hour in all. Delivery is not guaranteed, nor is
an order, and some come twice with the same body.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import heapq
import hmac
import http.client
import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tap_rutter.simulator.tidings import Tiding
from tap_rutter.simulator.world import World

ATTEMPTS = 6
_FIRST_WAIT = 900 / 31  # seconds: five waits, each twice the one before, are a quarter of an hour
_ANSWER_SECONDS = 10.0
_SENDERS = 4
_REMEMBERED = 1_000


@dataclass(frozen=True)
class Subscription:
    """An address that wants webhooks."""

    url: str
    codes: frozenset[str] | None = None
    """Only these; None: all."""
    lost: float = 0.0
    """Which share of them is never sent."""
    doubled: float = 0.0
    """Which share is sent twice."""
    hurry: float = 1.0
    """How many times faster than Rutter it is tried again."""

    def as_json(self) -> dict[str, Any]:
        codes = None if self.codes is None else sorted(self.codes)
        return {**vars(self), "codes": codes}


@dataclass
class Delivery:
    """One webhook on its way to one address."""

    tiding: Tiding
    subscription: Subscription
    attempts: int = 0
    status: int | None = None
    """Of the last answer; None where there was none."""
    outcome: str = "waiting"
    """waiting, delivered, failed (after the last attempt), or lost."""

    def as_json(self) -> dict[str, Any]:
        return {
            "url": self.subscription.url,
            "code": self.tiding.code,
            "connection_id": self.tiding.connection_id,
            "attempts": self.attempts,
            "status": self.status,
            "outcome": self.outcome,
        }


class Webhooks:
    """Sends what a world tells to those who have subscribed, from threads of its own."""

    def __init__(self, world: World) -> None:
        self._changed = threading.Condition()
        self._subscriptions: list[Subscription] = []
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._open = 0
        self._numbers = itertools.count()
        self._counts: Counter[str] = Counter()
        self._log: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self.listen_to(world)

    def listen_to(self, world: World) -> None:
        """Send what this world tells from now on, signed with its client secret."""
        self._random = random.Random(f"webhooks {world.seed}")
        self._secret = world.client_secret.encode()
        world.tidings.listener = self._tell if self._subscriptions else None
        self._world = world

    def subscribe(
        self,
        url: str,
        *,
        codes: Iterable[str] | None = None,
        lost: float = 0.0,
        doubled: float = 0.0,
        hurry: float = 1.0,
    ) -> Subscription:
        """Send webhooks to this address from now on.

        Raises:
            ValueError: it is not an address, or a share is not one.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an address: http:// or https://, and a host")
        if not 0 <= lost <= 1 or not 0 <= doubled <= 1 or hurry <= 0:
            raise ValueError("'lost' and 'doubled' are shares from 0 to 1, 'hurry' is above 0")
        chosen = None if codes is None else frozenset(codes)
        subscription = Subscription(url, chosen, lost, doubled, hurry)
        with self._changed:
            self._subscriptions.append(subscription)
            while len(self._threads) < _SENDERS:
                thread = threading.Thread(target=self._send_all, name="webhooks", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._world.tidings.listener = self._tell
        return subscription

    def clear(self) -> None:
        """Forget all addresses, and what was still to be sent."""
        self._world.tidings.listener = None
        with self._changed:
            self._subscriptions.clear()
            self._open -= len(self._waiting)
            self._waiting.clear()
            self._counts.clear()
            self._log.clear()
            self._changed.notify_all()

    def settled(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is left to be sent; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def as_json(self) -> dict[str, Any]:
        with self._changed:
            return {
                "subscriptions": [entry.as_json() for entry in self._subscriptions],
                "waiting": self._open,
                "counts": dict(self._counts),
                "deliveries": [entry.as_json() for entry in self._log],
            }

    def stop(self) -> None:
        """Send nothing more."""
        self.clear()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _tell(self, tiding: Tiding) -> None:
        with self._changed:
            for subscription in self._subscriptions:
                if subscription.codes is not None and tiding.code not in subscription.codes:
                    continue
                lost = self._random.random() < subscription.lost
                copies = 1 + (self._random.random() < subscription.doubled)
                for _ in range(1 if lost else copies):
                    delivery = Delivery(tiding, subscription)
                    self._log.append(delivery)
                    if lost:
                        self._end(delivery, "lost")
                    else:
                        self._open += 1
                        self._put(delivery, 0.0)
            self._changed.notify_all()

    def _put(self, delivery: Delivery, wait: float) -> None:
        entry = (time.monotonic() + wait, next(self._numbers), delivery)
        heapq.heappush(self._waiting, entry)

    def _end(self, delivery: Delivery, outcome: str) -> None:
        delivery.outcome = outcome
        self._counts[outcome] += 1

    def _send_all(self) -> None:
        with contextlib.closing(_Lines()) as lines:
            while (delivery := self._next()) is not None:
                status = lines.post(delivery.subscription.url, delivery.tiding.body, self._secret)
                with self._changed:
                    self._note(delivery, status)
                    self._changed.notify_all()

    def _next(self) -> Delivery | None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if self._waiting and self._waiting[0][0] <= now:
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(self._waiting[0][0] - now if self._waiting else None)
            return None

    def _note(self, delivery: Delivery, status: int | None) -> None:
        delivery.attempts += 1
        delivery.status = status
        if status is not None and 200 <= status < 300:
            self._end(delivery, "delivered")
        elif delivery.attempts >= ATTEMPTS:
            self._end(delivery, "failed")
        elif delivery.subscription in self._subscriptions:
            wait = _FIRST_WAIT * 2 ** (delivery.attempts - 1) / delivery.subscription.hurry
            self._put(delivery, wait)
            return
        self._open -= 1


class _Lines:
    """Connections to the addresses, kept open between webhooks; for one thread."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], http.client.HTTPConnection] = {}

    def close(self) -> None:
        for line in self._open.values():
            line.close()

    def post(self, url: str, body: bytes, secret: bytes) -> int | None:
        """Send a body with its signature; the answer's status, or None where there is none."""
        parts = urlsplit(url)
        digest = hmac.new(secret, body, hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "X-Rutter-Signature": "sha256=" + base64.b64encode(digest).decode("ascii"),
        }
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        key = (parts.scheme, parts.netloc)
        while True:
            kept = self._open.pop(key, None)
            line = kept or _line(parts.scheme, parts.netloc)
            try:
                line.request("POST", path, body, headers)
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                line.close()
                if kept is not None:
                    continue  # it was closed while it rested: that does not count as an attempt
                return None
            self._open[key] = line
            return answer.status


def _line(scheme: str, place: str) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    return kind(place, timeout=_ANSWER_SECONDS)
