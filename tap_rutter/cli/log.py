"""Which log lines are shown to a person at a terminal."""

from __future__ import annotations

import logging
import os
import sys

from singer_sdk.metrics import METRICS_LOGGER_NAME


def hide_metrics() -> None:
    """Keep the SDK's METRIC lines off a terminal: they are made for programs.

    They are still shown at DEBUG, and if the user has configured the logging.
    """
    metrics = logging.getLogger(METRICS_LOGGER_NAME)
    is_watched = sys.stderr.isatty() and "SINGER_SDK_LOG_CONFIG" not in os.environ
    if is_watched and metrics.getEffectiveLevel() > logging.DEBUG:
        metrics.setLevel(logging.WARNING)
