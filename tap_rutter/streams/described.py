"""Checks that the API document has a leaf's endpoint, and the type of its rows.

If a version lacks an endpoint, it lacks the stream, without a message. That is right for endpoints
that were added later or removed. It is wrong for an endpoint that no version has: then the path is
misspelt, or the endpoint is not in the document yet. An error says so at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from tap_rutter.errors import ConfigError
from tap_rutter.schema.document import Document
from tap_rutter.streams.base import RutterStream
from tap_rutter.versions import LATEST, SUPPORTED

_REF = "#/components/schemas/"


class UndescribedStream(ConfigError):
    """A leaf names an endpoint or type that the API document lacks, so its stream cannot be made.

    It is reported like a bad setting, before any request.
    """


class _Endpoints(msgspec.Struct):
    """A document of which only the names of the endpoints are read, since it is large."""

    paths: dict[str, msgspec.Raw]


@cache
def endpoints_of(version: str) -> frozenset[str]:
    """The endpoints of an API version."""
    source = resources.files("tap_rutter.openapi").joinpath(f"{version}.json")
    return frozenset(msgspec.json.decode(source.read_bytes(), type=_Endpoints).paths)


def check_described(leaves: Iterable[type[RutterStream]], pinned: Document) -> None:
    """Compare leaves with the description of an API version.

    Raises:
        UndescribedStream: if no supported version has a leaf's endpoint, or if this version lacks
            the type that the leaf names for its rows.
    """
    for leaf in leaves:
        if not leaf.path:
            continue
        if not pinned.has(leaf.path):
            if not any(leaf.path in endpoints_of(version) for version in SUPPORTED):
                raise UndescribedStream(_no_endpoint(leaf))
        elif _has_type(leaf) and leaf.component not in pinned.components:
            raise UndescribedStream(_no_type(leaf, pinned))


def _has_type(leaf: type[RutterStream]) -> bool:
    """Whether the document has the type that the leaf names."""
    teller = next(part for part in leaf.__mro__ if "fields" in vars(part))
    return bool(leaf.component) or teller is RutterStream


def _no_endpoint(leaf: type[RutterStream]) -> str:
    known = sorted(set().union(*map(endpoints_of, SUPPORTED)))
    near = difflib.get_close_matches(leaf.path, known, n=1, cutoff=0.9)
    guess = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"{_named(leaf)} reads {leaf.path}, an endpoint that the API description has in none of the"
        f" versions {', '.join(SUPPORTED)}. Correct its path{guess}, or bring the endpoint in from"
        f" a published description: make openapi VERSION={LATEST} SOURCE=description.yaml"
    )


def _no_type(leaf: type[RutterStream], pinned: Document) -> str:
    there = _row_type(leaf, pinned)
    found = f"are of type '{there}'" if there else f"are not found under '{leaf.records_key}'"
    given = (
        f"has rows of type '{leaf.component}', which the API description of {pinned.version} does"
        " not have"
        if leaf.component
        else "does not name the type of its rows ('component')"
    )
    return (
        f"{_named(leaf)} {given}. In the answer of {leaf.path} in version {pinned.version} the rows"
        f" {found}: correct 'component' or 'records_key' of the class, or make the description"
        f" anew: make openapi VERSION={pinned.version} SOURCE=description.yaml"
    )


def _named(leaf: type[RutterStream]) -> str:
    file = leaf.__module__.replace(".", "/")
    return f"Stream '{vars(leaf)['name']}' ({leaf.__name__} in {file}.py)"


def _row_type(leaf: type[RutterStream], pinned: Document) -> str | None:
    """The type of the rows in the answer, as the document has it."""
    content = pinned.paths[leaf.path]["get"]["responses"]["200"]["content"]
    answer = content["application/json"]["schema"]
    for variant in answer.get("anyOf", (answer,)):
        rows = variant.get("properties", {}).get(leaf.records_key)
        if rows is not None:
            return _reference(rows)
    return None


def _reference(node: Mapping[str, Any]) -> str | None:
    if "$ref" in node:
        return str(node["$ref"]).removeprefix(_REF)
    inner = [*node.get("anyOf", ()), *([node["items"]] if "items" in node else ())]
    return next(filter(None, map(_reference, inner)), None)
