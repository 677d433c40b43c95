"""Snapshots of which there is one per name: metrics by metric, custom fields by entity type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tap_rutter.asking import ask, unless_absent
from tap_rutter.client import Answer, Call
from tap_rutter.kinds.snapshot import NoBookmark
from tap_rutter.pages import ENCODER, Page, decode_marked, missing, open_body
from tap_rutter.reading import End, Item, Pair, inline

Rows = Callable[[str, dict[str, Any]], list[dict[str, Any]] | None]
"""The rows in an answer for a name, or None where the answer is not of the expected form."""


class Named:
    """One request for each name that the API version lists for a path parameter.

    Args:
        parameter: The path parameter.
        rows: Takes the rows out of an answer.
        params: Query parameters of each request.
    """

    label = "snapshot"

    def __init__(self, *, parameter: str, rows: Rows, params: dict[str, str] | None = None) -> None:
        self._parameter = parameter
        self._rows = rows
        self._params = params or {}

    def read(self, pair: Pair) -> Iterator[Item]:
        """All names: a platform may know some of them and not others."""
        names = pair.env.document.choices(pair.endpoint.path, self._parameter)
        yield inline(pair, [self._one(pair, name) for name in names])
        yield End()

    def _one(self, pair: Pair, name: str) -> Iterator[Item]:
        page = unless_absent(pair, name, lambda: self._fetch(pair, name))
        if page is not None:
            yield page

    def _fetch(self, pair: Pair, name: str) -> Page:
        path = pair.endpoint.path.replace("{" + self._parameter + "}", name)

        def decode(answer: Answer) -> Page:
            outer = open_body(answer.content)
            body = {key: decode_marked(raw) for key, raw in outer.items()}
            rows = self._rows(name, body)
            if rows is None:
                raise missing(answer.content, name, path)
            return Page(
                raws=[ENCODER.encode(row) for row in rows],
                next_cursor=None,
                received_ms=answer.received_ms,
                size=len(answer.content),
            )

        params = {
            key: value for key, value in pair.params().items() if key not in {"limit", "expand"}
        }

        def send(query: Mapping[str, str]) -> Page:
            call = Call(path, query, pair.connection.id)
            return pair.env.client.get(call, decode, pair.counts)

        return ask(pair, {**params, **self._params}, send)

    def progress(self, pair: Pair) -> NoBookmark:  # noqa: ARG002 - the kinds' signature
        """None to keep."""
        return NoBookmark()
