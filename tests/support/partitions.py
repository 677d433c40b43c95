"""What a run did for its pairs of stream and connection, and what it asked Rutter for."""

from __future__ import annotations

from collections import Counter

from support.singer import Json, Messages
from tap_rutter.simulator import Simulator

GONE = '{"error_type":"INVALID_REQUEST","error_code":"NOT_FOUND","error_message":"no such id"}'


def asked(simulator: Simulator) -> Counter[str]:
    """How often each path was asked for, beside what every run asks of a connection."""
    return Counter(
        entry.path for entry in simulator.requests if not entry.path.startswith("/connections")
    )


def bookmark(messages: Messages, stream: str) -> Json:
    """The one partition of a stream."""
    (partition,) = messages.state["bookmarks"][stream]["partitions"]
    assert isinstance(partition, dict)
    return partition


def status(messages: Messages, stream: str) -> tuple[str, str | None]:
    """How the stream's one pair ended, and why."""
    for row in messages.records["sync_report"]:
        if row["stream"] == stream:
            return row["status"], row["reason"]
        if stream in (row["skipped"] or ()):
            return "skipped", row["reason"]
    raise AssertionError(f"no word of {stream}")
