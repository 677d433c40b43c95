"""The streams that exist, and a given catalog: checked, its types and keys replaced by ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from singer_sdk.singerlib import Catalog, Metadata, Schema
from singer_sdk.singerlib.catalog import CatalogEntry, StreamMetadata

from tap_rutter.errors import ConfigError
from tap_rutter.schema.document import document
from tap_rutter.schema.json_schema import JSONSchema
from tap_rutter.settings import Settings
from tap_rutter.streams import STREAMS, name_of
from tap_rutter.streams.base import RutterStream
from tap_rutter.streams.described import check_described

Leaf = type[RutterStream]


def leaves_of(settings: Settings) -> Sequence[Leaf]:
    """The stream classes that make the catalog: optional ones only where the settings name them.

    Raises:
        UndescribedStream: for a stream that the API description does not know in any version.
    """
    check_described(STREAMS, document(settings.api_version))
    return [
        leaf
        for leaf in _served(settings.api_version)
        if not leaf.is_optional or name_of(leaf) in settings.optional_streams
    ]


def _served(api_version: str) -> Sequence[Leaf]:
    """The stream classes whose endpoints an API version has."""
    pinned = document(api_version)
    return [leaf for leaf in STREAMS if not leaf.path or pinned.has(leaf.path)]


def settle(
    catalog: Catalog | None, api_version: str, schema_of: Callable[[Leaf], JSONSchema]
) -> None:
    """Give the catalog's entries the types and keys of this version of the tap.

    The SDK declares what the catalog says, and a catalog of an earlier version lacks columns.

    Args:
        catalog: What was given; it is changed.
        api_version: The API version that is read.
        schema_of: Makes the JSON Schema of a stream's records.
    """
    known = {name_of(leaf): leaf for leaf in _served(api_version)}
    for entry in catalog.streams if catalog else ():
        leaf = known.get(entry.tap_stream_id)
        if leaf is None:
            continue
        entry.stream = entry.tap_stream_id  # the SDK finds a stream's maps by it
        entry.schema = Schema.from_dict(schema_of(leaf))
        entry.key_properties = leaf.primary_keys
        _settle_selection(entry, leaf.primary_keys)


def _settle_selection(entry: CatalogEntry, primary_keys: tuple[str, ...]) -> None:
    """Make sure that a selected stream has its key, and the columns that the user selected."""
    if not entry.metadata:
        return  # everything is selected
    if () not in entry.metadata:
        # Without metadata of its own, the SDK reads the stream, but leaves out every column that
        # has metadata, even if it is selected or part of the key.
        entry.metadata[()] = StreamMetadata(selected=True)
    for name in primary_keys:
        automatic = Metadata(inclusion=Metadata.InclusionType.AUTOMATIC)
        entry.metadata["properties", name] = automatic


def selected_in(catalog: Catalog) -> Catalog:
    """The part of a catalog whose streams are selected."""
    return Catalog(
        (name, entry)
        for name, entry in catalog.items()
        if entry.metadata.resolve_selection().get((), True)
    )


def checked(catalog: Any) -> Any:
    """A given catalog in the form that the SDK reads.

    Raises:
        ConfigError: for what is not a catalog.
    """
    if isinstance(catalog, dict):
        streams = catalog.get("streams")
        if not isinstance(streams, list) or not all(map(_is_entry, streams)):
            raise ConfigError(
                "The given catalog cannot be read: it must hold an array 'streams' of objects with"
                " 'tap_stream_id' and 'schema', as `tap-rutter --discover` writes it."
            )
        catalog = {**catalog, "streams": [_with_method(entry) for entry in streams]}
    return catalog


def _with_method(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with the replication method that its metadata ask for.

    The SDK reads it beside the metadata only. People set it in the metadata, as the Singer
    specification says.
    """
    for part in entry.get("metadata", ()):
        if not part["breadcrumb"] and part["metadata"].get("replication-method"):
            return {**entry, "replication_method": part["metadata"]["replication-method"]}
    return entry


def _is_schema(schema: Any) -> bool:
    """Whether the SDK can read this as a JSON Schema. Its content is not used."""
    if not isinstance(schema, dict):
        return False
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(map(_is_schema, properties.values())):
        return False
    return "items" not in schema or _is_schema(schema["items"])


def _is_entry(entry: Any) -> bool:
    """Whether this can be a stream's entry in a catalog."""
    if not isinstance(entry, dict) or not isinstance(entry.get("tap_stream_id"), str):
        return False
    parts = entry.get("metadata", [])
    return (
        _is_schema(entry.get("schema", {}))
        and isinstance(parts, list)
        and all(
            isinstance(part, dict)
            and isinstance(part.get("breadcrumb"), list)
            and isinstance(part.get("metadata"), dict)
            for part in parts
        )
    )
