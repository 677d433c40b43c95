"""What is remembered between runs of lists that platforms do not serve.

A connection that Rutter answered with a 404 is a *witness*. Two witnesses of a platform speak for
all its connections, one speaks for itself alone. What they said holds for
``recheck_unserved_hours``; then the list is asked for again. When Rutter gives a page of it to any
connection of the platform, its witnesses are forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap_rutter import times
from tap_rutter.replication.after_sync import CLOCKS_APART
from tap_rutter.replication.base import Partition
from tap_rutter.replication.scouting import ENOUGH
from tap_rutter.settings import Settings
from tap_rutter.sync.state import Bookmarks


@dataclass(frozen=True)
class _Said:
    """What a connection was answered with a 404, by stream: when, Unix ms."""

    platform: str
    streams: dict[str, int]


class Unserved:
    """The witnesses of all platforms. Only the emitter changes them; any thread may ask."""

    def __init__(self, bookmarks: Bookmarks, settings: Settings, cutoff: int) -> None:
        self._bookmarks = bookmarks
        self._version = settings.api_version
        self._hold_ms = settings.recheck_ms
        self._cutoff = cutoff
        self._said: dict[str, _Said] = {}
        """By witness; without what holds no more."""
        self._witnesses: dict[tuple[str, str], set[str]] = {}
        """By platform and stream."""
        self._stale: dict[str, set[str]] = {}
        """By platform: connections of which the state says what holds no more."""
        for witness, entries in bookmarks.unserved.items():
            for entry in entries:
                if not self._holds(entry):
                    self._stale.setdefault(entry["platform"], set()).add(witness)
                    continue
                for stream in entry["streams"]:
                    self._note(witness, entry["platform"], stream, times.parse(entry["at"]) or 0)
        # What is decided by what the run was given is the same whenever it is asked.
        self._given = {key: frozenset(found) for key, found in self._witnesses.items()}

    def _holds(self, entry: Mapping[str, Any]) -> bool:
        """Whether it is not too old, not in the future, and of this API version."""
        moment = times.parse(entry["at"]) or 0
        return (
            self._hold_ms > 0
            and entry["api_version"] == self._version
            and self._cutoff - self._hold_ms < moment <= self._cutoff + CLOCKS_APART
        )

    def rules_out(self, partition: Partition) -> bool:
        """Whether earlier runs say that asking is of no use; the same throughout the run.

        A partition with a bookmark is always asked: it once had rows.
        """
        witnesses = self._given.get(_key(partition))
        if not witnesses or partition.input_state is not None:
            return False
        return partition.connection.id in witnesses or len(witnesses) >= ENOUGH

    def missing(self, partition: Partition) -> None:
        """Rutter answered the partition's list with a 404 of its own."""
        platform, stream = key = _key(partition)
        if not platform or not self._hold_ms:
            return
        witness = partition.connection.id
        self._note(witness, platform, stream, self._cutoff)
        # The latest are enough.
        found = sorted(
            self._witnesses[key], key=lambda each: self._said[each].streams.get(stream, 0)
        )
        for former in found[:-ENOUGH]:
            self._drop(former, key)
        self._keep(witness)

    def served(self, partition: Partition) -> None:
        """Rutter gave a page of the partition's list."""
        key = _key(partition)
        for witness in tuple(self._witnesses.get(key, ())):
            self._drop(witness, key)
        for witness in self._stale.pop(partition.connection.platform, ()):
            self._keep(witness)

    def _note(self, witness: str, platform: str, stream: str, moment: int) -> None:
        said = self._said.get(witness)
        if said is None or said.platform != platform:
            said = self._said[witness] = _Said(platform, {})
        said.streams[stream] = moment
        self._witnesses.setdefault((platform, stream), set()).add(witness)

    def _drop(self, witness: str, key: tuple[str, str]) -> None:
        self._witnesses[key].discard(witness)
        self._said[witness].streams.pop(key[1], None)
        self._keep(witness)

    def _keep(self, witness: str) -> None:
        said = self._said.get(witness) or _Said("", {})
        by_time: dict[int, list[str]] = {}
        for stream, moment in said.streams.items():
            by_time.setdefault(moment, []).append(stream)
        self._bookmarks.put_unserved(
            witness,
            [
                {
                    "platform": said.platform,
                    "api_version": self._version,
                    "at": times.to_text(moment),
                    "streams": streams,
                }
                for moment, streams in by_time.items()
            ],
        )


def _key(partition: Partition) -> tuple[str, str]:
    return partition.connection.platform, partition.endpoint.name
