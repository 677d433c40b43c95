"""What dbt needs to know of each selected stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from singer_sdk.mapper import CustomStreamMap

from tap_rutter.schema.document import Document, document
from tap_rutter.schema.foreign_keys import target_of
from tap_rutter.schema.json_schema import JSONSchema
from tap_rutter.streams.base import RutterStream
from tap_rutter.tap import TapRutter

LINES = "line_items"
DELETED_OBJECTS = "deleted_objects"
_REF = "#/components/schemas/"


@dataclass(frozen=True)
class LineField:
    """A column of the model of lines."""

    column: str
    path: tuple[str, ...]
    """Where it stands in a line."""
    schema: JSONSchema


@dataclass(frozen=True)
class Table:
    """One stream as a table: the columns that land, and what can be tested of them."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: Mapping[str, JSONSchema]
    """Schemas by column, in the table's order."""
    values: Mapping[str, tuple[str, ...]]
    """By column, the values that Rutter describes."""
    references: Mapping[str, str]
    """By column, the stream into whose ``id`` it points, within the connection."""
    line_fields: tuple[LineField, ...]
    """What each entry of ``line_items`` holds; empty where there are none."""
    tells_deletions: bool
    """Whether ``deleted_objects`` can say that a row is gone."""

    def has(self, *columns: str) -> bool:
        """Whether the table has all of these columns."""
        return set(columns) <= self.columns.keys()


def tables_of(tap: TapRutter) -> list[Table]:
    """The selected streams of a tap, in its order."""
    pinned = document(tap.settings.api_version)
    selected = {stream.name: stream for stream in tap.rutter_streams if stream.selected}
    maps = tap.config.get("stream_maps") or {}
    return [
        _table(stream, pinned, set(selected), _changed(stream.name, maps))
        for stream in selected.values()
    ]


def _changed(stream: str, maps: Mapping[str, Any]) -> set[str]:
    """Columns that a stream map names: whose values may be others than Rutter's."""
    definitions = [entry for name, entry in maps.items() if fnmatch(stream, name)]
    return {column for entry in definitions if isinstance(entry, dict) for column in entry}


def _landing(stream: RutterStream) -> tuple[tuple[str, ...], Mapping[str, JSONSchema]]:
    """Key and columns of the stream's table: those selected, as its stream map leaves them."""
    for entry in stream.stream_maps:
        if isinstance(entry, CustomStreamMap) and not entry.flattening_enabled:
            key = entry.transformed_key_properties or ()
            return tuple(key), entry.transformed_schema["properties"]
    columns = {
        name: schema
        for name, schema in stream.schema["properties"].items()
        if name in stream.primary_keys or stream.mask.get(("properties", name), True)
    }
    return tuple(stream.primary_keys), columns


def _table(stream: RutterStream, pinned: Document, selected: set[str], changed: set[str]) -> Table:
    key, columns = _landing(stream)
    described = pinned.components.get(stream.component, {}).get("properties", {})
    references = {
        name: target
        for name in columns
        if name not in stream.primary_keys[:1]
        and name not in changed
        and (target := target_of(stream.name, name))
        and target in selected
    }
    return Table(
        name=stream.name,
        description=(type(stream).__doc__ or "").strip().partition("\n")[0],
        key=key,
        columns=columns,
        values={n: v for n, v in _values(described) if n in columns and n not in changed},
        references=references,
        line_fields=(
            tuple(_lines(pinned, described)) if LINES in columns and LINES not in changed else ()
        ),
        tells_deletions=(
            DELETED_OBJECTS in selected
            and stream.event_resource is not None
            and key == ("connection_id", "id")
            and "last_synced_at" in columns
        ),
    )


def _values(described: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Fields whose values the API description lists."""
    for name, field in described.items():
        values = tuple(value for value in field.get("enum", ()) if isinstance(value, str))
        if values:
            yield name, values


def _lines(pinned: Document, described: Mapping[str, Any]) -> Iterator[LineField]:
    """The fields of a line; those of the item within it as ``item_id``, ``item_quantity``, …"""
    component = described.get(LINES, {}).get("items", {}).get("$ref", "").removeprefix(_REF)
    if component not in pinned.components:
        return
    for name, schema in pinned.properties(component).items():
        if name == "item" and "properties" in schema:
            for inner, inner_schema in schema["properties"].items():
                yield LineField(f"item_{inner}", (name, inner), inner_schema)
        else:
            # A line's own id, since a mere ``id`` would be taken for that of its parent.
            yield LineField("line_id" if name == "id" else name, (name,), schema)
