"""The families of streams, each of which has a page of its own."""

from __future__ import annotations

from docs_fields import Field, fields_of, versions_of

from tap_rutter.streams import STREAMS, name_of
from tap_rutter.streams.base import RutterStream

FAMILIES = ("accounting", "commerce", "banking", "hris", "ads", "supplier_enablement", "account")


def family_of(stream: str) -> str:
    """The family that a stream's name begins with; ``account`` if it is about the organisation."""
    return next((name for name in FAMILIES if stream.startswith(f"{name}_")), "account")


def streams_in(family: str) -> list[type[RutterStream]]:
    """The streams of a family, by name."""
    return [stream for stream in STREAMS if family_of(name_of(stream)) == family]


def newest_fields(stream: type[RutterStream]) -> tuple[Field, ...]:
    """The fields in the newest version that has the stream."""
    return fields_of(versions_of(stream)[-1], name_of(stream))
