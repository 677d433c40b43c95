"""A given catalog: checked, and settled so that keys and types stay the tap's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib import Catalog, Metadata, Schema
from singer_sdk.singerlib.catalog import CatalogEntry, StreamMetadata

from tap_rutter.errors import ConfigError
from tap_rutter.schema.document import document
from tap_rutter.streams import STREAMS, name_of

if TYPE_CHECKING:
    from tap_rutter.tap import TapRutter


def settle(catalog: Catalog | None, tap: TapRutter) -> None:
    """Give the entries the tap's own types and keys, whatever an earlier version wrote.

    The SDK declares what the given catalog says, and one of an earlier version lacks columns.
    """
    known = {name_of(stream): stream for stream in STREAMS}
    pinned = document(tap.settings.api_version)
    for entry in catalog.streams if catalog else ():
        stream = known.get(entry.tap_stream_id)
        if stream is None or (stream.path and not pinned.has(stream.path)):
            continue
        entry.stream = entry.tap_stream_id  # the SDK finds a stream's maps by it
        entry.schema = Schema.from_dict(stream.make_schema(tap))
        entry.key_properties = stream.primary_keys
        _settle_selection(entry, stream.primary_keys)


def _settle_selection(entry: CatalogEntry, primary_keys: tuple[str, ...]) -> None:
    """See that a selected stream has its key, and that its columns are what was asked for."""
    if not entry.metadata:
        return  # everything is selected
    if () not in entry.metadata:
        # The SDK reads such a stream, but would leave out every column that the metadata name,
        # those that are selected and those of the key among them.
        entry.metadata[()] = StreamMetadata(selected=True)
    for name in primary_keys:
        automatic = Metadata(inclusion=Metadata.InclusionType.AUTOMATIC)
        entry.metadata["properties", name] = automatic


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
    """An entry whose replication method is the one that its metadata ask for.

    The SDK looks for it beside the metadata only; people set it where the Singer specification
    has it.
    """
    for part in entry.get("metadata", ()):
        if not part["breadcrumb"] and part["metadata"].get("replication-method"):
            return {**entry, "replication_method": part["metadata"]["replication-method"]}
    return entry


def _is_entry(entry: Any) -> bool:
    """Whether this can be a stream's entry in a catalog."""
    if not isinstance(entry, dict) or not isinstance(entry.get("tap_stream_id"), str):
        return False
    parts = entry.get("metadata", [])
    return (
        isinstance(entry.get("schema", {}), dict)
        and isinstance(parts, list)
        and all(
            isinstance(part, dict)
            and isinstance(part.get("breadcrumb"), list)
            and isinstance(part.get("metadata"), dict)
            for part in parts
        )
    )
