"""The files of a run: in a directory of its own, for the worker's user alone, and gone after it.

They hold the client's secret and access tokens, so they are made with mode 600 in a directory of
mode 700. Its owner holds a lock on the directory: what a worker or a machine that died has left
behind is held by nobody, and any worker of that machine removes it within a minute.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger.states import join
from tap_rutter.fleet.model import ALL_STREAMS, CHILDREN, Claim, ClaimedMark, Lane, Member, State
from tap_rutter.settings_schema import JSONSCHEMA

_PREFIX = "rutter-run-"
_LOCK = "lock"
_ROW = ("id", "platform", "name", "status", "created_at", "updated_at", "access_token")
"""What of a listed connection a run needs; the rest holds links that let others in."""

Row = Mapping[str, Any]


class RunDirectory:
    """The directory of one run, locked while it is there."""

    def __init__(self, parent: str = "") -> None:
        """``parent``: where it is made; "" for the system's place for temporary files."""
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent or None))
            try:
                self._lock = _lock_of(self.path)
            except FileNotFoundError:
                continue  # taken for a leftover, and removed before it had a lock
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if (self.path / _LOCK).exists():
                break
            os.close(self._lock)  # or before the lock was held

    def write(self, name: str, content: object) -> str:
        """Write a JSON file, for its owner alone; returns its path."""
        path = self.path / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, separators=(",", ":"))
        return str(path)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def remove_leftovers(parent: str = "") -> int:
    """Remove the directories of runs that nobody looks after any more; returns how many."""
    removed = 0
    for path in Path(parent or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            # One that is half made, or half removed, has no lock.
            lock = _lock_of(path)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                removed += 1
            finally:
                os.close(lock)
    return removed


def _lock_of(directory: Path) -> int:
    """Open the file that is locked, made if it is missing.

    In this user's own directories alone: others may put links into the place for temporary files.

    Raises:
        OSError: it is not such a directory, or is there no more.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    inside = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | flags)
    try:
        if os.fstat(inside).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(directory))
        return os.open(_LOCK, os.O_RDWR | os.O_CREAT | flags, 0o600, dir_fd=inside)
    finally:
        os.close(inside)


# ---- what a claim asks of the tap


def settings_of(
    claim: Claim, settings: Mapping[str, Any], *, after_sync: bool = True
) -> dict[str, Any]:
    """The tap's settings for a claim's run.

    Args:
        claim: What is run.
        settings: The operator's.
        after_sync: Whether a sweep leaves out what Rutter has not synced since it was last read.
    """
    # Rutter's times are asked in a sweep alone: other runs want everything, or were told of
    # changes. So was a sweep that takes marks along, which would be cleared with nothing read.
    is_marked = any(member.marks for member in claim.members)
    is_sweep = claim.lane is Lane.SWEEP and not claim.full_read
    # As the target's sessions bear it: in a proxy's log, runs can be told apart.
    agent = settings.get("user_agent") or JSONSCHEMA["properties"]["user_agent"]["default"]
    return {
        **settings,
        # Tables are prepared; a target takes a second for the set-up of those that get no row.
        "empty_tables": False,
        "only_after_sync": after_sync and is_sweep and not is_marked,
        "user_agent": f"{agent} (claim {claim.id})",
    }


def state_of(claim: Claim, states: Mapping[str, State], shared: State) -> State:
    """One state of all members, as the tap takes it."""
    own = [states[entry] for entry in claim.connection_ids if states.get(entry)]
    return join(own, shared)


def row_of(claim: Claim, member: Member, listed: Row) -> dict[str, Any]:
    """A member's row in the connections file: as listed, and what is wanted of it."""
    row: dict[str, Any] = {name: listed[name] for name in _ROW if name in listed}
    if claim.full_read:
        return {**row, "full_read": True}
    told = [*member.marks, *_of_children(member)]
    dated = {mark.stream: _time(mark) for mark in told if mark.since is not None}
    undated = {mark.stream for mark in told if mark.since is None}
    if claim.lane is not Lane.FRESH or ALL_STREAMS in undated or not member.marks:
        # All streams from their bookmarks; not later than what a mark that is cleared tells of.
        return {**row, "start_by": dated} if dated else row
    # A stream that is marked both ways is read from its bookmark, and covers both.
    row |= {
        "since": {stream: since for stream, since in dated.items() if stream not in undated},
        "start_by": {stream: since for stream, since in dated.items() if stream in undated},
    }
    if ALL_STREAMS not in dated:
        row["streams"] = sorted({*dated, *undated})
    return row


def _of_children(member: Member) -> list[ClaimedMark]:
    """The marks of a member's streams, as those of the streams under them.

    A child that has no bookmark is left to the sweep: it would be read whole, parent by parent.
    """
    bookmarks = (member.state or {}).get("bookmarks", {})
    return [
        replace(mark, stream=CHILDREN[mark.stream])
        for mark in member.marks
        if CHILDREN.get(mark.stream) in bookmarks
    ]


def _time(mark: ClaimedMark) -> str:
    assert mark.since is not None
    return mark.since.astimezone(UTC).isoformat().replace("+00:00", "Z")


def streams_of(claim: Claim) -> frozenset[str] | None:
    """The streams that a claim's run reads; None for all that are selected."""
    if claim.lane is not Lane.FRESH or claim.full_read:
        return None
    streams: set[str] = set()
    for member in claim.members:
        marked = {mark.stream for mark in member.marks}
        if not marked or ALL_STREAMS in marked:
            return None
        streams |= marked | {mark.stream for mark in _of_children(member)}
    return frozenset(streams)


def catalog_of(config: FleetConfig, streams: frozenset[str] | None) -> dict[str, Any] | None:
    """The catalog of a run: the operator's, with these streams alone; None for the tap's own.

    Raises:
        ConfigError: for a catalog that cannot be read.
    """
    if not config.catalog:
        if streams is None:
            return None
        # The tap knows its types and keys; an entry without metadata is selected whole.
        return {"streams": [_entry(stream) for stream in sorted(streams)]}
    catalog = read_catalog(config.catalog)
    if streams is None:
        return catalog
    chosen = [entry for entry in catalog["streams"] if entry.get("tap_stream_id") in streams]
    return {**catalog, "streams": chosen}


def _entry(stream: str) -> dict[str, Any]:
    return {"tap_stream_id": stream, "stream": stream, "schema": {}}


def read_catalog(path: str) -> dict[str, Any]:
    """The operator's catalog.

    Raises:
        ConfigError: for a file that is not a catalog.
    """
    try:
        catalog = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The catalog {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        catalog = None
    if not isinstance(catalog, dict) or not isinstance(catalog.get("streams"), list):
        raise ConfigError(f"The catalog {path} cannot be used: it must hold an array 'streams'.")
    return catalog
