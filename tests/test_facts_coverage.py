"""Every endpoint of the API is a stream, or docs/endpoints.md says why it is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tap_rutter.schemas import document
from tap_rutter.streams import STREAMS, name_of

VERSION = "2024-08-31"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "endpoints.md"

ENDPOINTS = sorted(document(VERSION).paths)
STREAMED = {stream.path for stream in STREAMS if document(VERSION).has(stream.path)}


def explained() -> dict[str, str]:
    """Endpoints in the page's table, with the reason that it gives."""
    found: dict[str, str] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        _, endpoints, reason, _ = line.split("|")
        for endpoint in re.findall(r"`(/[^`]*)`", endpoints):
            assert endpoint not in found, f"{endpoint} is explained twice"
            found[endpoint] = reason.strip()
    return found


EXPLAINED = explained()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_is_a_stream_or_the_docs_say_why_not(endpoint: str) -> None:
    single = endpoint.endswith("/{id}") and endpoint.removesuffix("/{id}") in STREAMED
    assert [endpoint in STREAMED, single, endpoint in EXPLAINED].count(True) == 1


@pytest.mark.parametrize("endpoint", EXPLAINED)
def test_what_the_docs_explain_exists_and_has_a_reason(endpoint: str) -> None:
    assert endpoint in ENDPOINTS
    assert EXPLAINED[endpoint].endswith(".")
    named = re.findall(r"`([a-z_]+)`", EXPLAINED[endpoint])
    assert set(named) <= {name_of(stream) for stream in STREAMS}


def test_no_two_streams_read_one_endpoint() -> None:
    paths = [stream.path for stream in STREAMS if stream.path]
    assert sorted(set(paths)) == sorted(paths)
