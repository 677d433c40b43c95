"""What all streams share, and a base class for each replication kind.

A leaf is facts: name, path, and what is odd about its endpoint. How rows are read is in
``kinds/``, how they leave in ``run.py``.
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
    """What the streams need of their tap; ``tap.py`` makes it."""

    settings: Settings
    bookmarks: Bookmarks

    @property
    def run(self) -> Run:
        """The run that the tap is for."""
        raise NotImplementedError

    @property
    def streams_by_resource(self) -> Mapping[str, str]:
        """Names of streams by what deletion events call their rows."""
        raise NotImplementedError


class RutterStream(Stream):
    """A stream of the Rutter API, one list endpoint for all merchant connections."""

    path: ClassVar[str]
    """The endpoint, relative to the base address; a version that lacks it lacks the stream."""

    records_key: ClassVar[str]
    """What the rows stand under in an answer: the path's last segment unless a leaf says else."""

    component: ClassVar[str] = ""
    """Name of the rows' type in the API description."""

    primary_keys: tuple[str, ...] = ("connection_id", "id")

    replication: ClassVar[Replication]

    replication_key: str | None = None
    """The field that bookmarks are about."""

    is_optional: ClassVar[bool] = False
    """Whether the stream is only there when ``optional_streams`` names it."""

    is_commerce: ClassVar[bool] = False
    """Commerce lists give platform data in practice, though it is not declared for them all."""

    is_about_connections: ClassVar[bool] = False
    """Whether the rows are about connections in any status, and no merchant's data."""

    rutter_object: ClassVar[str | None] = None
    """What ``unavailable_objects`` calls the rows; None where no name is certain."""

    event_resource: ClassVar[str | None] = None
    """What deletion events call the rows."""

    changes: ClassVar[Changes] = Changes.WITH_SYNCS
    """When its rows can change."""

    serving_platforms: ClassVar[frozenset[str] | None] = None
    """Platforms known to fill the list; from others an empty one tells nothing."""

    rereads_when_history_grows: ClassVar[bool] = False
    """Whether older rows may still come below its bookmark when a connection's history grows."""

    is_allow_list: ClassVar[bool] = False
    """Whether records hold the declared columns and nothing else: no unknown field gets through."""

    is_written_by_run: ClassVar[bool] = False
    """Whether the rows are what the run itself knows, and no list of the API."""

    TYPE_CONFORMANCE_LEVEL = (
        TypeConformanceLevel.NONE
    )  # records conform already (records/conform.py)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Derive what follows from the path."""
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
        """Whether rows may lack the time that a bookmark is about."""
        if self.replication_key is None:
            return False
        node = document(self.tap.settings.api_version).components[self.component]
        return "null" in node["properties"].get(self.replication_key, {}).get("type", ())

    @cached_property
    def conformer(self) -> Conformer:
        """Brings rows into the form of the schema."""
        return Conformer(
            self.name, FieldTypes.of(self.schema), self.primary_keys, closed=self.is_allow_list
        )

    @cached_property
    def fast_path(self) -> FastPath | None:
        """The check of rows that may be passed on as they are; None where none may."""
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
        """The rows that leave for a row of the API: the row itself, with what its request tells."""
        for name, value in page.request_values.items():
            given = row.get(name)
            # What came as a number where text is declared is the text that its digits spell.
            if given is None or (not isinstance(given, str) and key_of(given) == value):
                row[name] = value
        return (row,)

    # ---- the SDK's side

    def apply_catalog(self, catalog: Any) -> None:
        """Take selection and replication method from a catalog; types and keys stay ours.

        They are what makes the rows of many connections fit one table, so a catalog cannot change
        them.
        """
        super().apply_catalog(catalog)
        self.primary_keys = type(self).primary_keys
        self.replication_key = type(self).replication_key
        self._input_schema = None

    @cached_property
    def state_manager(self) -> PartitionStateManager:
        """Partitions by connection, found at once, moved by the emitter only."""
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
        """The records of one connection, or of all: read here and now, moving no bookmark."""
        yield from preview.preview_records(self.tap.run.start().emitter, self, context)

    def _sync_records(
        self,
        context: Mapping[str, Any] | None = None,  # noqa: ARG002 - connections are planned
        *,
        write_messages: bool = True,
    ) -> Generator[dict[str, Any], None, None]:
        # The SDK's own loop reads one connection after another, ends the run at the first error
        # and moves bookmarks per record. No public hook replaces it.
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
        # No public hook leads between a stream's schema and its message.
        for message in super()._generate_schema_messages():
            if self.is_unmapped:
                message.schema = opened(message.schema)
            yield message

    @property
    def selected(self) -> bool:
        """Whether the stream is read: selected, and something of it leaves.

        One that the stream maps remove is not read: it would be reported complete and bookmarked
        though none of its rows has arrived anywhere.
        """
        return bool(super().selected) and self.leaves

    @selected.setter
    def selected(self, value: bool | None) -> None:
        # The SDK's own: a property's setter is not inherited on its own.
        Stream.selected.fset(self, value)  # type: ignore[attr-defined]

    @cached_property
    def leaves(self) -> bool:
        """Whether anything of the stream leaves by way of the stream maps."""
        return maps.leaves(self.stream_maps)

    @cached_property
    def is_unmapped(self) -> bool:
        """Whether rows leave with their nested objects as they are: no flattening, no map."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and isinstance(maps[0], SameRecordTransform)
            and not maps[0].flattening_enabled
        )

    @cached_property
    def leaves_whole(self) -> bool:
        """Whether rows leave as they are: every field selected, no flattening, no map."""
        return self.is_unmapped and all(self.mask.values())


class SyncedStream(RutterStream):
    """Rows on Rutter's own clock, in its order."""

    replication: ClassVar[Replication] = Synced()
    replication_key = "last_synced_at"


class UpdatedStream(RutterStream):
    """Rows on the platform's clock, read in time windows."""

    replication: ClassVar[Replication] = Updated()
    replication_key = "updated_at"
    rereads_when_history_grows = True


class SnapshotStream(RutterStream):
    """Rows that are read whole at each run."""

    replication: ClassVar[Replication] = Snapshot()


class MadeStream(SnapshotStream):
    """Rows that the tap makes of what it knows, field by field: nothing else gets through."""

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
    """Columns of points in time."""
    return {name: dict(DATE_TIME) for name in names}


def integer_columns(names: Sequence[str]) -> dict[str, JSONSchema]:
    """Columns of whole numbers."""
    return {name: {"type": ["integer", "null"]} for name in names}
