"""The catalog is a promise: within a major version names, types and keys only grow.

Each stream's part of it is kept in golden/, one small file a stream. A change shows as a diff of
these files. Where it is meant, write them anew and review the diff:

    make golden
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tap_rutter.schema.json_schema import is_any
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.streams.base import RutterStream
from tap_rutter.tap import TapRutter

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
UPDATES = bool(os.environ.get("UPDATE_GOLDEN"))

TAP = TapRutter(
    config={"api_version": "2024-08-31", "optional_streams": list(OPTIONAL)}, validate_config=False
)


def written(stream: RutterStream) -> str:
    """A stream's facts and fields, one a line."""
    lines = [
        f"{stream.name}{' (optional)' if stream.is_optional else ''}",
        f"  endpoint: {stream.path or '-'}",
        f"  replication: {stream.replication.label}",
        f"  key: {', '.join(stream.primary_keys)}",
        f"  replication key: {stream.replication_key or '-'}",
        f"  records: {'closed' if stream.is_allow_list else 'open'}",
        "",
        *_fields(stream.schema),
    ]
    return "\n".join(lines) + "\n"


def _fields(schema: dict[str, Any], depth: int = 0) -> Iterator[str]:
    for name, field in schema["properties"].items():
        kind = next(kind for kind in field["type"] if kind != "null")
        never_null = " not null" if "null" not in field["type"] else ""
        kind = "any" if is_any(field) else field.get("format", kind)
        yield f"{'  ' * depth}{name}: {kind}{never_null}"
        if "properties" in field:
            yield from _fields(field, depth + 1)


@pytest.mark.parametrize("name", sorted(TAP.streams))
def test_a_stream_is_what_it_was(name: str) -> None:
    stream = TAP.streams[name]
    assert isinstance(stream, RutterStream)
    file = GOLDEN / f"{name}.txt"
    if UPDATES:
        file.parent.mkdir(exist_ok=True)
        file.write_text(written(stream), encoding="utf-8")
    assert file.exists(), f"{name} has no snapshot: write it with make golden"
    assert written(stream) == file.read_text(encoding="utf-8")


def test_no_stream_is_gone() -> None:
    if UPDATES:
        for file in GOLDEN.glob("*.txt"):
            if file.stem not in TAP.streams:
                file.unlink()
    assert {file.stem for file in GOLDEN.iterdir()} == set(TAP.streams)


def test_streams_that_the_version_lacks_are_those_of_older_ones() -> None:
    assert {name_of(stream) for stream in STREAMS} - set(TAP.streams) == {
        "accounting_ap_aging_report_summaries",
        "accounting_ar_aging_report_summaries",
    }
