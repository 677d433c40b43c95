"""A small world of every API version, read whole: all streams, the optional ones too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from support.in_process import sync
from support.singer import Json, Messages
from tap_rutter.schema.document import document
from tap_rutter.simulator import Simulator, World
from tap_rutter.simulator.sync_configs import SyncConfig, entities_of
from tap_rutter.simulator.worlds import counts_for
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.streams.base import RutterStream
from tap_rutter.versions import SUPPORTED

VERSIONS = tuple(sorted(SUPPORTED))

# Together they serve every list.
_PLATFORMS = (
    "QUICKBOOKS",
    "NETSUITE",
    "SAGE_INTACCT",
    "SHOPIFY",
    "STRIPE",
    "PLAID",
    "GUSTO",
    "FACEBOOK",
)


def streams_of(version: str) -> dict[str, type[RutterStream]]:
    """The streams of Rutter's endpoints in a version, by name."""
    pinned = document(version)
    return {name_of(stream): stream for stream in STREAMS if pinned.has(stream.path)}


def world_of(version: str) -> World:
    """A connection on each of a few platforms, with a handful of rows in every list."""
    world = World(11, version=version)
    for platform in _PLATFORMS:
        connection = world.add_connection(platform)
        connection.counts = counts_for(world, connection, 0.02)
    ledger = "QUICKBOOKS"
    world.platform_sync_configs[ledger] = SyncConfig(entities_of(world.document, ledger))
    return world


@cache
def read_whole(version: str) -> tuple[World, Messages]:
    """Such a world, and all that the tap says of it; made once for all tests."""
    world = world_of(version)
    optional = [name for name in OPTIONAL if name in streams_of(version)]
    with Simulator(world) as simulator:
        return world, sync(simulator, api_version=version, optional_streams=optional)


def paths(version: str, node: Json, path: str = "", seen: tuple[str, ...] = ()) -> Iterator[str]:
    """All fields of a described object, at any depth, as dotted paths."""
    components = document(version).components
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        if name in seen:
            return
        node, seen = components[name], (*seen, name)
    for part in node.get("anyOf", ()):
        yield from paths(version, part, path, seen)
    if "items" in node:
        yield f"{path}[]"
        yield from paths(version, node["items"], f"{path}[]", seen)
    for name, field in node.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield below
        yield from paths(version, field, below, seen)


def values(value: Any, path: str = "", beside: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """All scalar values of a row: path, value, and the object that it stands in."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from values(entry, f"{path}.{name}" if path else name, value)
    elif isinstance(value, list):
        for entry in value:
            yield from values(entry, f"{path}[]", beside)
    else:
        yield path, value, beside
