"""The run's report for the program that runs the tap, while the run goes on.

One JSON object a line: a row as ``sync_report`` has it for each partition, when its stream has been
read; at the end those of connections that were skipped whole, or whose platform does not serve some
streams; and a last line about the run::

    {"exit_code": 0, "reason": null, "message": null, "last_state": 3, "requests": 12,
     "throttled": 0}

``last_state`` is the ``state_number`` of the last STATE: with this setting each STATE bears one, so
that whoever sees what the target has committed knows whether that was all. A run without a last
line has been killed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from tap_rutter.api.json_text import ENCODER
from tap_rutter.errors import ConfigError, TapError, Unreachable
from tap_rutter.sync.report import Report

logger = logging.getLogger("tap-rutter")

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC


class ReportFile:
    """Writes the report's lines, each at once and whole."""

    def __init__(self, path: str) -> None:
        """Open it: a file, made for its owner alone, a named pipe, or ``/dev/fd/N``.

        Raises:
            ConfigError: where it cannot be written to.
        """
        try:
            self._file: int | None = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise ConfigError(
                "The file that setting 'report_file' names cannot be written:"
                f" {error.strerror}: {path}"
            ) from None

    def tell(self, report: Report, *, all_of_it: bool = False) -> None:
        """The rows of what has been judged since the last time.

        ``all_of_it``: at the end, also what is known of connections as a whole.
        """
        for row in report.news(all_of_it=all_of_it):
            self._write(row)

    def end(
        self,
        code: int,
        *,
        report: Report | None,
        trouble: TapError | None,
        last_state: int,
        requests: int,
        throttled: int,
    ) -> None:
        """What is left to tell, the last line, and nothing more.

        Args:
            code: The exit code.
            report: Of the run; None if it has not listed its connections.
            trouble: Why the run as a whole did not begin, or was given up.
            last_state: The number of the last STATE; 0 for none.
            requests: How many were made.
            throttled: How many of them were answered with a 429.
        """
        if report is not None:
            self.tell(report, all_of_it=True)
        reason = getattr(trouble, "reason", None)
        self._write(
            {
                "exit_code": code,
                "reason": "unreachable" if isinstance(trouble, Unreachable) else reason,
                "message": None if trouble is None else trouble.message,
                "last_state": last_state,
                "requests": requests,
                "throttled": throttled,
            }
        )
        self.close()

    def close(self) -> None:
        """Write nothing more."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        line = memoryview(ENCODER.encode(row) + b"\n")
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            # Rows matter more than what is said of them; whoever reads it misses the last line.
            logger.warning("The report cannot be written any more: %s.", error.strerror)
            self.close()
