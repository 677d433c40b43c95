"""Connections from a file in the place of Rutter's list: whoever runs many taps lists them once.

::

    {"connections": [
        {"id": "…", "access_token": "…", "platform": "SHOPIFY", "status": "active", …,
         "streams": ["commerce_orders"],
         "since": {"commerce_orders": "2026-03-01T10:00:00Z"},
         "start_by": {}, "full_read": false}]}

A row is one of ``/connections``, with its access token; the last four keys are the caller's, and
each may be missing. A time under ``*`` is for all streams that are not named beside it. The file
holds tokens, so it is refused where others could read it.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tap_rutter import times
from tap_rutter.errors import ConfigError

SETTING = "connections_file"
ALL_STREAMS = "*"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Wanted:
    """What of a connection is to be read, where the caller knows. Times are Unix ms."""

    streams: frozenset[str] | None = None
    """These alone; None for all that are selected."""
    since: Mapping[str, int] = field(default_factory=dict)
    """By stream: only what has changed since then is read, and no bookmark moves."""
    start_by: Mapping[str, int] = field(default_factory=dict)
    """By stream: the read starts at this time at the latest, and the bookmark moves as usual."""
    full_read: bool = False
    """Everything is read from its start, and its bookmark set anew."""

    def has(self, stream: str) -> bool:
        """Whether a stream is to be read."""
        return self.streams is None or stream in self.streams


ALL = Wanted()
"""Everything that is selected, from the bookmarks."""


def read_rows(path: str) -> list[tuple[Mapping[str, Any], Wanted]]:
    """The rows of the file, each with what is wanted of its connection.

    Raises:
        ConfigError: for a file that cannot be read, or that others can; it never quotes a value.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            if stat.S_IMODE(Path(path).stat().st_mode) & _OTHERS:
                raise ConfigError(
                    f"Others than its owner may read the file that setting '{SETTING}' names,"
                    f" and it holds access tokens: chmod 600 {path}"
                )
            content = json.load(file)
    except OSError as error:
        raise ConfigError(
            f"The file that setting '{SETTING}' names cannot be read: {error.strerror}: {path}"
        ) from None
    except (ValueError, RecursionError):
        raise _unreadable("it is not JSON") from None
    rows = content.get("connections") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise _unreadable("it must be an object with an array 'connections'")
    return [(_row(index, row), _wanted(index, row)) for index, row in enumerate(rows)]


def _row(index: int, row: object) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise _unreadable(f"connections[{index}] must be an object")
    for name in ("id", "access_token"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise _unreadable(f"connections[{index}].{name} must be text")
    return row


def _wanted(index: int, row: Mapping[str, Any]) -> Wanted:
    where = f"connections[{index}]"
    streams = row.get("streams")
    if streams is not None and not (
        isinstance(streams, list) and all(isinstance(name, str) for name in streams)
    ):
        raise _unreadable(f"{where}.streams must be an array of names of streams")
    since, start_by = (_times(where, row, name) for name in ("since", "start_by"))
    full_read = row.get("full_read") or False
    if not isinstance(full_read, bool):
        raise _unreadable(f"{where}.full_read must be true or false")
    if streams is None and not since and not start_by and not full_read:
        return ALL
    chosen = None if streams is None else frozenset(streams)
    return Wanted(chosen, since, start_by, full_read)


def _times(where: str, row: Mapping[str, Any], name: str) -> dict[str, int]:
    given = row.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _unreadable(f"{where}.{name} must be an object of times by stream")
    found = {}
    for stream, value in given.items():
        moment = times.parse(value)
        if moment is None:
            raise _unreadable(f"{where}.{name}.{stream} must be a time")
        found[stream] = moment
    return found


def _unreadable(what: str) -> ConfigError:
    return ConfigError(f"The file that setting '{SETTING}' names cannot be used: {what}.")
