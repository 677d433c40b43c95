"""What all streams share, and a base class for each replication.

A leaf has facts: name, path, and what is odd about its endpoint. How rows are read is in
``replication/``, how they leave in ``sync/delivery.py``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from singer_sdk import Stream, Tap
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib import SchemaMessage

from tap_rutter.api.pages import Page, key_of
from tap_rutter.records.conform import Conformer, FieldTypes
from tap_rutter.records.fast_path import FastPath
from tap_rutter.replication.base import Partition, Replication
from tap_rutter.replication.endpoint import Changes
from tap_rutter.replication.snapshot import Snapshot
from tap_rutter.replication.synced import Synced
from tap_rutter.replication.updated import Updated
from tap_rutter.schema.document import document
from tap_rutter.schema.json_schema import DATE_TIME, OBJECT, JSONSchema
from tap_rutter.schema.record_schema import opened, record_schema
from tap_rutter.settings import Settings
from tap_rutter.sync import maps, preview
from tap_rutter.sync.run import Run
from tap_rutter.sync.state import Bookmarks, PartitionStateManager


class RutterTap(Tap):
    """What the streams need from their tap; ``tap.py`` has the tap itself."""

    settings: Settings
    bookmarks: Bookmarks

    @property
    def run(self) -> Run:
        """The tap's one run."""
        raise NotImplementedError

    @property
    def streams_by_resource(self) -> Mapping[str, str]:
        """Stream names, by the names that deletion events use for their rows."""
        raise NotImplementedError


class RutterStream(Stream):
    """A stream of the Rutter API, one list endpoint for all merchant connections."""

    path: ClassVar[str]
    """The endpoint, relative to the base address. API versions without it lack the stream."""

    records_key: ClassVar[str]
    """The key that the rows are under in an answer; by default the path's last segment."""

    component: ClassVar[str] = ""
    """Name of the rows' type in the API description."""

    primary_keys: tuple[str, ...] = ("connection_id", "id")

    replication: ClassVar[Replication]

    replication_key: str | None = None
    """The field whose values are bookmarks."""

    is_optional: ClassVar[bool] = False
    """Whether the stream exists only if the setting ``optional_streams`` names it."""

    is_commerce: ClassVar[bool] = False
    """Commerce lists give platform data in practice, though not all of them declare it."""

    is_about_connections: ClassVar[bool] = False
    """Whether the rows describe connections, and so are read whatever a connection's status."""

    rutter_object: ClassVar[str | None] = None
    """The name of the rows in ``unavailable_objects``; None if the name is not certain."""

    event_resource: ClassVar[str | None] = None
    """The name of the rows in deletion events."""

    changes: ClassVar[Changes] = Changes.WITH_SYNCS
    """When its rows can change."""

    serving_platforms: ClassVar[frozenset[str] | None] = None
    """Platforms known to fill the list. From other platforms, an empty list means nothing."""

    rereads_when_history_grows: ClassVar[bool] = False
    """Whether rows older than its bookmark may come when a connection's history grows."""

    is_allow_list: ClassVar[bool] = False
    """Whether records have the declared columns only: unknown fields are left out."""

    is_written_by_run: ClassVar[bool] = False
    """Whether the rows come from the run itself, and not from a list of the API."""

    TYPE_CONFORMANCE_LEVEL = (
        TypeConformanceLevel.NONE
    )  # records conform already (records/conform.py)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Set ``records_key`` from the path."""
        super().__init_subclass__(**kwargs)
        if "path" in vars(cls) and "records_key" not in vars(cls):
            cls.records_key = cls.path.rsplit("/", 1)[-1]

    def __init__(self, tap: RutterTap) -> None:
        self.tap = tap
        self._is_declared = False
        super().__init__(tap, schema=self.make_schema(tap))

    # ---- facts about the rows

    @classmethod
    def fields(cls, tap: RutterTap) -> Mapping[str, JSONSchema]:
        """The rows' fields beside ``connection_id``, by name."""
        fields = dict(document(tap.settings.api_version).properties(cls.component))
        if cls.is_commerce and tap.settings.expand_platform_data:
            fields.setdefault("platform_data", dict(OBJECT))
        return fields

    @classmethod
    def make_schema(cls, tap: RutterTap) -> JSONSchema:
        """The JSON Schema of the records."""
        name = str(vars(cls).get("name", ""))
        return record_schema(cls.fields(tap), cls.primary_keys, made=cls.is_allow_list, stream=name)

    @cached_property
    def replication_key_may_be_null(self) -> bool:
        """Whether the replication key of a row may be null."""
        if self.replication_key is None:
            return False
        node = document(self.tap.settings.api_version).components[self.component]
        return "null" in node["properties"].get(self.replication_key, {}).get("type", ())

    @cached_property
    def conformer(self) -> Conformer:
        """Turns rows into records."""
        return Conformer(
            self.name, FieldTypes.of(self.schema), self.primary_keys, closed=self.is_allow_list
        )

    @cached_property
    def fast_path(self) -> FastPath | None:
        """Checks which rows may take the fast path; None if the stream has no fast path."""
        if self.is_allow_list or type(self).transform_row is not RutterStream.transform_row:
            return None
        dropped = {part for part, selected in self.mask.items() if not selected}
        if not self.is_unmapped or any(len(part) != 2 for part in dropped):
            return None
        return FastPath(self.schema, self.primary_keys, without=[part[1] for part in dropped])

    def transform_row(
        self,
        row: dict[str, Any],
        page: Page,
        partition: Partition | None,  # noqa: ARG002 - for the streams that need it
    ) -> Iterable[dict[str, Any]]:
        """The rows that leave for a row of the API: the row itself, with values of its request."""
        for name, value in page.request_values.items():
            given = row.get(name)
            # A number where text is declared becomes the text of its digits.
            if given is None or (not isinstance(given, str) and key_of(given) == value):
                row[name] = value
        return (row,)

    # ---- the SDK's side

    def apply_catalog(self, catalog: Any) -> None:
        """Take selection and replication method from a catalog; types and keys stay as they are.

        The rows of many connections fit one table only with these types and keys, so a catalog
        cannot change them.
        """
        super().apply_catalog(catalog)
        self.primary_keys = type(self).primary_keys
        self.replication_key = type(self).replication_key
        self._input_schema = None

    @cached_property
    def state_manager(self) -> PartitionStateManager:
        """Finds partitions by connection; only the emitter moves their bookmarks."""
        return PartitionStateManager(
            lambda: self.tap.bookmarks,
            self.name,
            tap_name=self.tap.name,
            tap_state=self.tap.state,
            state_partitioning_keys=["connection_id"],
        )

    @property
    def partitions(self) -> list[dict[str, Any]] | None:
        """The connections that a run reads, as the SDK's contexts; they hold no secret."""
        return [{"connection_id": entry.id} for entry in self.tap.run.start().selection.connections]

    def get_records(self, context: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
        """The records of one connection, or of all, read at once. No bookmark moves."""
        yield from preview.preview_records(self.tap.run.start().emitter, self, context)

    def _sync_records(
        self,
        context: Mapping[str, Any] | None = None,  # noqa: ARG002 - connections are planned
        *,
        write_messages: bool = True,
    ) -> Generator[dict[str, Any], None, None]:
        # The SDK's own loop reads one connection after another, ends the run at the first error,
        # and moves a bookmark for each record. No public hook replaces it.
        # tests/project/test_sdk_contract.py notices when the SDK calls something else.
        self.tap.run.emit(self, write=write_messages)
        yield from ()

    def _write_schema_message(self) -> None:
        # The SDK declares each stream before it is read; no public hook leads between.
        if self.tap.settings.empty_tables:
            self._is_declared = True
            super()._write_schema_message()

    def declare(self) -> None:
        """Write the SCHEMA, unless it has been written: something of the stream leaves now."""
        if not self._is_declared:
            self._is_declared = True
            super()._write_schema_message()

    def _generate_schema_messages(self) -> Generator[SchemaMessage, None, None]:
        # The message's schema differs from the stream's. No public hook allows that.
        for message in super()._generate_schema_messages():
            if self.is_unmapped:
                message.schema = opened(message.schema)
            yield message

    @property
    def selected(self) -> bool:
        """Whether the stream is read: it is selected, and its stream maps let something leave.

        A stream that the maps remove is not read. It would be reported as complete, and its
        bookmarks would move, though no row of it arrives anywhere.
        """
        return bool(super().selected) and self.leaves

    @selected.setter
    def selected(self, value: bool | None) -> None:
        # As in the SDK: a property that is overridden does not inherit its setter.
        Stream.selected.fset(self, value)  # type: ignore[attr-defined]

    @cached_property
    def leaves(self) -> bool:
        """Whether the stream maps let anything of the stream leave."""
        return maps.leaves(self.stream_maps)

    @cached_property
    def is_unmapped(self) -> bool:
        """Whether nested objects leave as they are: no flattening, no stream map."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and isinstance(maps[0], SameRecordTransform)
            and not maps[0].flattening_enabled
        )

    @cached_property
    def leaves_whole(self) -> bool:
        """Whether records leave as they are: all fields selected, no flattening, no stream map."""
        return self.is_unmapped and all(self.mask.values())


class SyncedStream(RutterStream):
    """Rows by Rutter's own clock, sorted by it."""

    replication: ClassVar[Replication] = Synced()
    replication_key = "last_synced_at"


class UpdatedStream(RutterStream):
    """Rows by the platform's clock, read in time windows."""

    replication: ClassVar[Replication] = Updated()
    replication_key = "updated_at"
    rereads_when_history_grows = True


class SnapshotStream(RutterStream):
    """Rows that are read whole at each run."""

    replication: ClassVar[Replication] = Snapshot()


class MadeStream(SnapshotStream):
    """Rows that the tap makes itself, with declared columns only."""

    is_allow_list = True
    columns: ClassVar[Mapping[str, JSONSchema]]

    @classmethod
    def fields(cls, tap: RutterTap) -> Mapping[str, JSONSchema]:  # noqa: ARG003
        """The columns, as declared by the stream itself."""
        return cls.columns


def text_columns(names: Sequence[str]) -> dict[str, JSONSchema]:
    """Columns of text."""
    return {name: {"type": ["string", "null"]} for name in names}


def time_columns(names: Sequence[str]) -> dict[str, JSONSchema]:
    """Columns of times."""
    return {name: dict(DATE_TIME) for name in names}


def integer_columns(names: Sequence[str]) -> dict[str, JSONSchema]:
    """Columns of whole numbers."""
    return {name: {"type": ["integer", "null"]} for name in names}
