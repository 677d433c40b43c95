"""Snapshot streams: read whole at each run, without a bookmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_rutter import times
from tap_rutter.asking import ask
from tap_rutter.client import Answer, Call
from tap_rutter.errors import ConnectionUnusable, PairFailed
from tap_rutter.pages import ENCODER, Page, decode_marked, missing, open_body
from tap_rutter.reading import End, Item, Pair


class NoBookmark:
    """The progress of a pair that is read whole each time."""

    full_read = True
    start_ms: int | None = None

    def see(self, item: Item) -> None:
        """Nothing: no bookmark depends on it."""

    def finish(self) -> None:
        """Nothing: no bookmark depends on it."""

    def partition(self) -> Mapping[str, Any] | None:
        """None: such a pair has no partition."""
        return None


class Snapshot:
    """A list, or a single object, that is read whole."""

    label = "snapshot"

    def __init__(self, *, single: bool = False, may_come_later: bool = False) -> None:
        """
        Args:
            single: The answer holds one object (which may be null), not a list.
            may_come_later: Rutter may answer with a job that is to be followed.
        """
        self._single = single
        self._may_come_later = may_come_later

    def read(self, pair: Pair) -> Iterator[Item]:
        """All of it."""
        if self._single:
            yield single_object(pair)
        else:
            yield from pair.pages(pair.params(), may_come_later=self._may_come_later)
        yield End()

    def progress(self, pair: Pair) -> NoBookmark:  # noqa: ARG002 - the kinds' signature
        """None to keep."""
        return NoBookmark()


class Status:
    """The connection's own status: what the run has read of it anyway, without a request more.

    Where it could not be read, the row would lack what an earlier one may have told.
    """

    label = "snapshot"

    def read(self, pair: Pair) -> Iterator[Item]:
        """The one row.

        Raises:
            RequestFailed: why it could not be read.
        """
        facts = pair.facts
        if isinstance(facts.trouble, ConnectionUnusable):
            # Its data are asked for all the same (force_fetch): this is not to end them.
            raise PairFailed(facts.trouble.message, reason=facts.trouble.reason)
        if facts.trouble is not None:
            raise facts.trouble
        raw = ENCODER.encode(facts.status)
        yield Page(raws=[raw], next_cursor=None, received_ms=facts.received_ms, size=len(raw))
        yield End()

    def progress(self, pair: Pair) -> NoBookmark:  # noqa: ARG002 - the kinds' signature
        """None to keep."""
        return NoBookmark()


def single_object(
    pair: Pair,
    *,
    path: str | None = None,
    declared: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> Page:
    """One object under its key as a page of one row, or of none where it is null.

    ``declared``: the path as the API description has it, where ``path`` has an id in it.
    """
    path, key = path or pair.endpoint.path, pair.endpoint.records_key
    query = {
        name: value for name, value in pair.params(declared or path).items() if name != "limit"
    }

    def decode(answer: Answer) -> Page:
        outer = open_body(answer.content)
        if key not in outer:
            raise missing(answer.content, key, path)
        value = decode_marked(outer[key])
        rows = value if isinstance(value, list) else [value]
        if any(not isinstance(row, dict) for row in rows if row is not None):
            raise missing(answer.content, key, path)
        return Page(
            raws=[ENCODER.encode(row) for row in rows if row is not None],
            next_cursor=None,
            received_ms=answer.received_ms,
            size=len(answer.content),
            context=dict(context or {}),
        )

    def send(params: Mapping[str, str]) -> Page:
        call = Call(path, params, pair.connection.id)
        return pair.env.client.get(call, decode, pair.counts)

    return ask(pair, query, send)


def utc_day(ms: int) -> str:
    """The UTC day of a time, as the midnight that it began with."""
    return times.to_text(ms - ms % times.DAY)
