"""The run's clock: this machine's, corrected by the server's."""

from __future__ import annotations

import time

from tap_rutter import times


class Clock:
    """This machine's clock, corrected by the server's where the two are apart."""

    # The Date header has whole seconds, and takes time to arrive: a smaller difference means
    # nothing.
    _TOLERANCE = 2 * times.SECOND

    def __init__(self) -> None:
        self._offset = 0
        self._set = False

    def now(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000 + self._offset

    def correct(self, date_header: str | None) -> None:
        """Take the server's time from the first response that has a ``Date`` header."""
        if self._set:
            return
        server = times.from_http_date(date_header)
        if server is None:
            return
        self._set = True
        difference = server - self.now()
        if abs(difference) > self._TOLERANCE:
            self._offset = difference
