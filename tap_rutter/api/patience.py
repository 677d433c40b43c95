"""How long a run waits for Rutter, for one of its connections and for one of its paths.

Each request is tried again for at most ``max_retry_seconds``: that is its patience. If every list
waited that long in an outage, a run of a thousand connections would take weeks to say that Rutter
is down. So what one request finds out counts for the others too:

* **The API is down** once two requests, one after the other, have used up their patience while no
  request of the run was answered. The second request gets a quarter of the patience: it only has to
  tell an outage from a fault of one list. From then on, two kinds of requests are still made: the
  first request of each connection and of each path since the silence began, for a quarter of the
  patience in all; and one request now and then. All other requests fail without being sent. The
  first answer to any request ends this, and everything that is left is read.
* **A connection** gets one try for each further list once two of its lists in a row have used up
  their patience. **A path** gets one try for each further connection after four in a row. Any
  answer for the connection or the path ends this.
* **A 404 or 410 from something else than Rutter** is tried again for a minute at most, if Rutter
  has answered other requests since the first try: then it is not an outage.
* **The first request of a run** gives up after half a minute if nothing answers at all.

An answer is whatever comes from Rutter itself: data, a refusal, a 429, or a status about the
platform behind it (452, 550). A gateway's 5xx, HTML instead of JSON and a broken connection count
as silence, since an outage looks like that.

This module knows nothing of HTTP, nor of what the threads do. The clock is an argument.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from tap_rutter.errors import Stopped

logger = logging.getLogger("tap-rutter")

REACH_SECONDS = 30.0
"""Seconds after which the first request of a run gives up if nothing answers."""
_ASTRAY_SECONDS = 60.0
"""For how long a 404 that is not Rutter's own is tried again while Rutter answers others."""
_CONNECTION_STRIKES = 2
_PATH_STRIKES = 4
_SILENT_LISTS = 2
_SECOND_OPINION = 0.25  # of the patience
# Of the patience: a request gives up early where its next try would come too late.
_ENOUGH = 0.75
_LEAST_SILENCE = 1.0  # seconds, where max_retry_seconds is 0
_SHORTEST_PROBE = 10.0  # seconds
_EVERY = 5.0  # seconds between two log lines about retries
_POLL = 0.2  # seconds until a signal is noticed

_SERVICE = "/connections"
_DIGIT = re.compile("[0-9]").search


@dataclass(slots=True, eq=False)
class Life:
    """One request, from its first try to its last."""

    connection: str | None
    path: str
    begun: float
    heard: int
    """How many answers the run had when this request last looked."""
    silent_from: float
    """Since when no request of the run was answered, as far as this request knows (seconds)."""
    is_second: bool
    """Whether it began after another request had used up its patience in silence."""
    once: str = ""
    """Why it gets one try only; empty if it gets more."""
    try_begun: float = 0.0
    is_probe: bool = False


class NotAsked(Exception):
    """The API is down, so the request was not sent. The message says so."""


class Patience:
    """Shared by all requests of a run; safe to use from many threads."""

    def __init__(
        self, seconds: float, now: Callable[[], float], is_stopped: Callable[[], bool]
    ) -> None:
        """
        Args:
            seconds: How long one request is tried again.
            now: A clock that only goes forward.
            is_stopped: Whether the run is being ended.
        """
        self._seconds = float(seconds)
        self._now = now
        self._is_stopped = is_stopped
        self._changed = threading.Condition()
        self._reached = False
        self._heard = 0
        self._used_up = 0
        self._asked: set[str | None] = set()
        self._down = False
        self._left = 0.0
        self._probes = 0
        self._next_probe = 0.0
        self._strikes: Counter[str] = Counter()

    @property
    def is_reached(self) -> bool:
        """Whether anything has answered in this run, even if only a gateway."""
        return self._reached

    @property
    def is_down(self) -> bool:
        """Whether the API is down, so that the requests that are left fail without being sent."""
        return self._down

    def begin(self, path: str, connection: str | None) -> Life:
        """A request begins."""
        now = self._now()
        shape = _shape(path)
        with self._changed:
            life = Life(connection, shape, now, self._heard, now, is_second=self._used_up > 0)
            if self._strikes:
                life.once = self._once(life)
        return life

    def admit(self, life: Life) -> None:
        """Allow a try. While another request finds out whether the API is back, this one waits.

        Raises:
            NotAsked: where the API is down and the try would find out nothing new.
            Stopped: when the run is being ended.
        """
        with self._changed:
            while self._down:
                now = self._now()
                is_new = life.connection not in self._asked or life.path not in self._asked
                if (is_new and self._left > 0) or (not self._probes and now >= self._next_probe):
                    life.is_probe = True
                    self._probes += 1
                    break
                if not self._probes:
                    raise NotAsked(
                        "Rutter's API has answered no request for"
                        f" {self._seconds:,.0f} seconds or longer"
                    )
                self._changed.wait(_POLL)
                if self._is_stopped():
                    raise Stopped("The run is being ended.")
            self._asked.add(life.connection)
            self._asked.add(life.path)
        life.try_begun = self._now()

    def most_seconds(self, life: Life) -> float | None:
        """Seconds in which the answer to this try must begin; None for ``request_timeout``."""
        if not self._reached:
            return max(1.0, life.begun + REACH_SECONDS - self._now())
        if life.is_probe:
            return max(_SHORTEST_PROBE, self._seconds * _SECOND_OPINION)
        return None

    def reached(self) -> None:
        """Something has answered, whatever it said."""
        self._reached = True

    def heard(self, life: Life) -> None:
        """Rutter has answered: the request is over."""
        with self._changed:
            self._hear()
            if self._strikes:
                self._strikes.pop(_of_connection(life), None)
                self._strikes.pop(life.path, None)

    def failed(
        self,
        life: Life,
        wait: float,
        *,
        speaks: bool,
        is_patient: bool = True,
        is_astray: bool = False,
    ) -> str | None:
        """A try has failed.

        Args:
            life: The request.
            wait: Seconds until the next try would be made.
            speaks: Whether Rutter itself answered, and asked to try later.
            is_patient: Whether to give up now would say something about the list. A 429, or a wait
                longer than the whole patience, says nothing about it.
            is_astray: Whether something else than Rutter answered that nothing is there.

        Returns:
            None if another try is to be made. Otherwise the reason why not, as the end of a
            sentence; "" if the request has used up its own patience.
        """
        now = self._now()
        with self._changed:
            self._land(life, now)
            if speaks:
                self._hear()
            if life.heard != self._heard:
                life.heard, life.silent_from = self._heard, now
            if self._down:
                return "and is not tried again while Rutter's API does not answer"
            if life.once:
                return f"and is tried once only, since {life.once}"
            patience = self._patience_of(life)
            # Another request was answered since this one's first try.
            is_up = life.silent_from > life.begun
            limit = min(patience, _ASTRAY_SECONDS) if is_astray and is_up else patience
            if now + wait <= life.begun + limit:
                return None
            if is_patient:
                if not life.is_second:
                    self._strike(life)
                if self._is_silent(life, now, wait, patience):
                    self._used_up += 1
                if self._used_up >= _SILENT_LISTS:
                    self._declare_down(now)
            return ""

    def release(self, life: Life) -> None:
        """A try has ended, in whatever way: nobody waits for what it finds out any longer."""
        if not life.is_probe:  # only its own thread makes it one
            return
        with self._changed:
            self._land(life, self._now())

    # ---- the caller holds the lock

    def _once(self, life: Life) -> str:
        """Why a request is tried once only, by what came before; empty where it is not."""
        if self._strikes[_of_connection(life)] >= _CONNECTION_STRIKES:
            return (
                "earlier lists of this connection were tried for their whole time without an answer"
            )
        if self._strikes[life.path] >= _PATH_STRIKES:
            return (
                f"{life.path} of other connections was tried for its whole time without an answer"
            )
        return ""

    def _patience_of(self, life: Life) -> float:
        if not self._reached:
            return min(self._seconds, REACH_SECONDS)
        if life.is_second and self._used_up:
            return self._seconds * _SECOND_OPINION
        return self._seconds

    def _is_silent(self, life: Life, now: float, wait: float, patience: float) -> bool:
        """Whether no request of the run was answered for as long as this one was tried."""
        if not self._seconds:
            return now - life.silent_from >= _LEAST_SILENCE
        return now + wait - life.silent_from >= _ENOUGH * patience

    def _hear(self) -> None:
        self._heard += 1
        self._used_up = 0
        self._asked.clear()
        if self._down:
            self._down = False
            logger.info("Rutter's API answers again: what is left is read.")
            self._changed.notify_all()

    def _strike(self, life: Life) -> None:
        if not self._seconds:
            return  # everything is tried once anyway
        if connection := _of_connection(life):
            self._strikes[connection] += 1
        self._strikes[life.path] += 1

    def _declare_down(self, now: float) -> None:
        self._down = True
        self._left = self._seconds * _SECOND_OPINION
        self._next_probe = now + self._interval
        logger.error(
            "Rutter's API is down: it has answered no request for %.0f seconds. What is left fails"
            " without a request; one request now and then finds out whether the API is back.",
            self._seconds,
        )

    @property
    def _interval(self) -> float:
        return min(30.0, max(1.0, self._seconds / 20))

    def _land(self, life: Life, now: float) -> None:
        if not life.is_probe:
            return
        life.is_probe = False
        self._probes -= 1
        # Probes that run at the same time are all subtracted, so in all it takes less than this.
        self._left -= now - life.try_begun
        self._next_probe = now + self._interval
        self._changed.notify_all()


@lru_cache(maxsize=1024)
def _shape(path: str) -> str:
    """A path without the ids in it, so that the attachments of all bills have the same path."""
    return "/".join(part for part in path.split("/") if not _DIGIT(part))


def _of_connection(life: Life) -> str:
    """The name that a connection's strikes are counted under; "" for requests that read no list."""
    if life.connection is None or life.path.startswith(_SERVICE):
        return ""
    return f"connection {life.connection}"


class Retries:
    """Logs retries, at most one line every few seconds, and knows what is waited for now."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._said_at: float | None = None
        self._unsaid = 0
        self._waiting = ("", 0.0)

    @property
    def waiting(self) -> str:
        """What is waited for now, for the progress bar; empty if nothing is."""
        text, until = self._waiting
        left = until - self._now()
        return f"{text}; next try in {left:.0f} s" if text and left > 0 else ""

    def say(self, path: str, connection: str | None, why: str, wait: float) -> None:
        """A request will be tried again.

        Args:
            path: The path of the request.
            connection: The connection's id; None for a request of the organisation.
            why: What was wrong, without secrets.
            wait: Seconds until the next try.
        """
        whose = f" of connection {connection}" if connection else ""
        text = f"{path}{whose} failed with {why}"
        now = self._now()
        with self._lock:
            self._waiting = (text, now + wait)
            if self._said_at is not None and 0 <= now - self._said_at < _EVERY:
                self._unsaid += 1
                return
            self._said_at = now
            others, self._unsaid = self._unsaid, 0
        more = f" ({others:,} more retries since the last such line)" if others else ""
        logger.warning("%s; next try in %.0f s%s.", text, wait, more)
