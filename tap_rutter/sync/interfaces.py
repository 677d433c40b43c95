"""What a run needs from the tap and from its streams, so that neither is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from singer_sdk import metrics

from tap_rutter.api.pages import Page
from tap_rutter.records.conform import Conformer
from tap_rutter.replication.base import Endpoint, Partition
from tap_rutter.settings import Settings
from tap_rutter.sync.maps import MappedStream
from tap_rutter.sync.state import Bookmarks
from tap_rutter.sync.writer import BlockWriter


class RunStream(Endpoint, MappedStream, Protocol):
    """A stream as a run sees it (see ``streams/base.py``)."""

    @property
    def selected(self) -> bool:
        """Whether the stream is read: selected, and not removed by a stream map."""

    @property
    def forced_replication_method(self) -> str | None:
        """What the catalog asks for, such as FULL_TABLE."""

    @property
    def is_written_by_run(self) -> bool:
        """Whether its rows come from the run itself, and not from a list of the API."""

    @property
    def serving_platforms(self) -> frozenset[str] | None:
        """Platforms known to fill the list; None if an empty list means the same everywhere."""

    @property
    def rereads_when_history_grows(self) -> bool:
        """Whether rows older than its bookmark may come when a connection's history grows."""

    @property
    def conformer(self) -> Conformer:
        """Turns rows into records."""

    @property
    def leaves_whole(self) -> bool:
        """Whether records leave as they are."""

    @property
    def ABORT_AT_RECORD_COUNT(self) -> int | None:
        """How many records the SDK's own test of a tap asks for."""

    def transform_row(
        self, row: dict[str, Any], page: Page, partition: Partition | None
    ) -> Iterable[dict[str, Any]]:
        """The rows that leave for a row of the API."""

    def get_record_counter(self) -> metrics.Counter:
        """The SDK's counter of records."""

    def get_sync_timer(self) -> metrics.Timer:
        """The SDK's timer."""

    def _write_schema_message(self) -> None: ...

    def declare(self) -> None:
        """Write the SCHEMA, unless it has been written."""


class RunTap(Protocol):
    """The tap as a run sees it (see ``tap.py``)."""

    settings: Settings
    bookmarks: Bookmarks

    @property
    def state(self) -> Mapping[str, Any]:
        """The state as it stands."""

    @property
    def writer(self) -> BlockWriter:
        """Where messages go."""

    @property
    def rutter_streams(self) -> Sequence[RunStream]:
        """The streams in the order in which they are read."""

    @property
    def notices(self) -> Sequence[str]:
        """Hints about settings that have no effect, or name what does not exist."""
