"""What the log says at the end of a run."""

from __future__ import annotations

import logging

from tap_rutter.sync.run import Run

logger = logging.getLogger("tap-rutter")


def log_summary(run: Run) -> None:
    """Log what was read, skipped and failed, and then hints."""
    for line in run.report.summary(run.clock.now(), run.throttle.turns):
        logger.info("%s", line)
    log_remarks(run)


def log_remarks(run: Run) -> None:
    """Which stream maps failed, and which settings have no effect."""
    for line in (*run.delivery.map_failures.lines(), *run.notices):
        logger.info("%s", line)
