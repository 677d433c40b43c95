"""The streams: a class for each endpoint, with its facts. This file lists them.

Here live the leaves, by family, and the base class of each replication method (``base.py``). A leaf
has the facts of its endpoint: name, path, row type, keys. Requests, pages and bookmarks do not
belong here. If an endpoint needs more than facts, that is an attribute that a base class reads, or
a replication of its own. This room imports ``replication``, ``records``, ``schema`` and, from
``sync``, the run, previews and stream maps.
"""

from __future__ import annotations

import inspect

from tap_rutter.streams import (
    accounting,
    ads,
    attachments,
    banking,
    commerce,
    hris,
    metrics,
    organization,
    statements,
    supplier_enablement,
)
from tap_rutter.streams.base import RutterStream

_FAMILIES = (
    accounting,
    statements,
    attachments,
    commerce,
    metrics,
    banking,
    hris,
    ads,
    supplier_enablement,
    organization,
)


def name_of(stream: type[RutterStream]) -> str:
    """A stream class's name (the SDK types names as an instance's own)."""
    return str(vars(stream)["name"])


def _leaves() -> tuple[type[RutterStream], ...]:
    found = [
        member
        for family in _FAMILIES
        for _, member in inspect.getmembers(family, inspect.isclass)
        if issubclass(member, RutterStream)
        and member.__module__ == family.__name__
        and "name" in vars(member)
    ]
    return tuple(sorted(found, key=name_of))


STREAMS: tuple[type[RutterStream], ...] = _leaves()
"""All streams, by name."""

OPTIONAL: tuple[str, ...] = tuple(name_of(stream) for stream in STREAMS if stream.is_optional)
"""Streams that exist only if the setting ``optional_streams`` names them."""
