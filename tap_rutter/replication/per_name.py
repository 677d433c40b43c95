"""Snapshots with one request for each name: metrics by metric, custom fields by entity type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tap_rutter.api.body import missing, open_body
from tap_rutter.api.json_text import ENCODER, decode_marked
from tap_rutter.api.pages import Page
from tap_rutter.api.request import Request, Response
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import End, Inline, Item
from tap_rutter.replication.snapshot import NoBookmark

Rows = Callable[[str, dict[str, Any]], list[dict[str, Any]] | None]
"""Takes the rows out of an answer for a name; gives None for an answer of another form."""


class PerName:
    """One request for each name that the API version lists for a path parameter.

    Args:
        parameter: The path parameter.
        rows: Takes the rows out of an answer; see ``Rows``.
        params: Query parameters of each request.
    """

    label = "snapshot"
    reads_since = False

    def __init__(self, *, parameter: str, rows: Rows, params: dict[str, str] | None = None) -> None:
        self._parameter = parameter
        self._rows = rows
        self._params = params or {}

    def read(self, partition: Partition) -> Iterator[Item]:
        """The rows of all names. A platform may know only some of the names."""
        names = partition.run.document.choices(partition.endpoint.path, self._parameter)
        yield Inline(tuple([self._one(partition, name) for name in names]))
        yield End()

    def _one(self, partition: Partition, name: str) -> Iterator[Item]:
        page = partition.unless_absent(name, lambda: self._fetch(partition, name))
        if page is not None:
            yield page

    def _fetch(self, partition: Partition, name: str) -> Page:
        path = partition.endpoint.path.replace("{" + self._parameter + "}", name)

        def decode(answer: Response) -> Page:
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
            key: value
            for key, value in partition.params().items()
            if key not in {"limit", "expand"}
        }

        def send(query: Mapping[str, str]) -> Page:
            call = Request(path, query, partition.connection.id)
            return partition.run.client.get(call, decode, partition.counts)

        return partition.ask({**params, **self._params}, send)

    def progress(self, partition: Partition) -> NoBookmark:  # noqa: ARG002 - the protocol's
        """There is no bookmark."""
        return NoBookmark()
