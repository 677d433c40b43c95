"""How the command ``tap-rutter`` ends: its exit codes, and errors in one line each.

====  ===================================================================================
0     all complete, or skipped for a benign reason that is reported
1     something failed, after everything else was synced and its state written
2     bad configuration: nothing on standard output, no request (unknown connection ids: after
      the listing)
3     Rutter refuses the organisation's credentials
130   ended by SIGINT
143   ended by SIGTERM
====  ===================================================================================
"""

from __future__ import annotations

import logging
import os

logger = logging.getLogger("tap-rutter")

FAILED, BAD_CONFIG, REFUSED = 1, 2, 3


def fail(message: str, code: int) -> int:
    """Log why the command ends; returns the exit code."""
    logger.error("%s", message)
    return code


def reader_gone() -> int:
    """Log that the reader of standard output has ended; returns the exit code."""
    # Otherwise Python would report the error again when it flushes standard output at exit.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    logger.error("The reader of the tap's output has ended before the tap.")
    return FAILED
