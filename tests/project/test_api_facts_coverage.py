"""Every endpoint of the API is a stream, or docs/endpoints.md says why it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tap_rutter.schema.document import document
from tap_rutter.streams import STREAMS, name_of
from tap_rutter.versions import SUPPORTED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "endpoints.md"

ENDPOINTS = {version: sorted(document(version).paths) for version in SUPPORTED}
STREAMED = {stream.path: name_of(stream) for stream in STREAMS if stream.path}


def _rows() -> Iterator[list[str]]:
    """The rows of the page's tables."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def explained() -> dict[str, str]:
    """Endpoints that are not streams, with the reason that the page gives."""
    found: dict[str, str] = {}
    for endpoints, reason, *more in _rows():
        if more:
            continue
        for endpoint in re.findall(r"`(/[^`]*)`", endpoints):
            assert endpoint not in found, f"{endpoint} is explained twice"
            found[endpoint] = reason
    return found


EXPLAINED = explained()


@pytest.mark.parametrize(
    ("version", "endpoint"),
    [(version, endpoint) for version in SUPPORTED for endpoint in ENDPOINTS[version]],
)
def test_an_endpoint_is_a_stream_or_the_docs_say_why_not(version: str, endpoint: str) -> None:
    listed = endpoint.removesuffix("/{id}")
    single = listed != endpoint and listed in STREAMED and listed in ENDPOINTS[version]
    assert [endpoint in STREAMED, single, endpoint in EXPLAINED].count(True) == 1


def test_the_page_names_the_stream_and_the_versions_of_each_endpoint() -> None:
    told = {cells[0].strip("`"): cells[1:] for cells in _rows() if len(cells) == 3}
    assert told.keys() == STREAMED.keys()
    for endpoint, (stream, versions) in told.items():
        assert f"[`{STREAMED[endpoint]}`]" in stream
        there = {version for version in SUPPORTED if endpoint in ENDPOINTS[version]}
        assert (set(re.findall(r"[\d-]{10}", versions)) or set(SUPPORTED)) == there


@pytest.mark.parametrize("endpoint", EXPLAINED)
def test_what_the_docs_explain_exists_and_has_a_reason(endpoint: str) -> None:
    assert any(endpoint in endpoints for endpoints in ENDPOINTS.values())
    assert EXPLAINED[endpoint].endswith(".")
    named = re.findall(r"`([a-z_]+)`", EXPLAINED[endpoint])
    assert set(named) <= {name_of(stream) for stream in STREAMS}


def test_no_two_streams_read_one_endpoint() -> None:
    paths = [stream.path for stream in STREAMS if stream.path]
    assert sorted(set(paths)) == sorted(paths)
