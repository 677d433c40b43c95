"""What Rutter is set to sync for a connection: the configuration that applies to it.

A connection may have its own configuration, which wins over its platform's. If there is neither,
the organisation's defaults apply; these are shown in Rutter's dashboard only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from tap_rutter.api.body import missing, open_body
from tap_rutter.api.json_text import ENCODER, decode_value
from tap_rutter.api.pages import Page
from tap_rutter.api.request import Request, Response
from tap_rutter.errors import ConnectionUnusable, PartitionFailed, Unsupported
from tap_rutter.replication.base import Partition
from tap_rutter.replication.items import End, Item
from tap_rutter.replication.snapshot import NoBookmark

PLATFORM_PATH = "/configs/sync/platforms/{platform}"
_DEEPEST = 2  # the parts may be inside an envelope whose name is not published


class SyncConfig:
    """The connection's own configuration, else its platform's, else no row."""

    label = "snapshot"
    reads_since = False

    def read(self, partition: Partition) -> Iterator[Item]:
        """One row, or none."""
        connection = partition.connection
        levels = {
            "connection": partition.endpoint.path.replace("{id}", quote(connection.id, safe="")),
            "platform": PLATFORM_PATH.replace("{platform}", quote(connection.platform, safe="")),
        }
        for level, path in levels.items():
            if level == "platform" and not connection.platform:
                continue
            page = _fetch(partition, level, path)
            if page is not None:
                yield page
                break
        yield End()

    def progress(self, partition: Partition) -> NoBookmark:  # noqa: ARG002 - the protocol's
        """There is no bookmark."""
        return NoBookmark()


def _fetch(partition: Partition, level: str, path: str) -> Page | None:
    """The row of the connection's or the platform's configuration; None if there is none."""

    def decode(answer: Response) -> Page | None:
        body = {name: decode_value(raw) for name, raw in open_body(answer.content).items()}
        row = row_of(body)
        if row is None:
            if any(body.values()):
                raise missing(answer.content, "initial or incremental sync", path)
            return None
        raw = ENCODER.encode({"level": level, **row})
        return Page(raws=[raw], next_cursor=None, received_ms=answer.received_ms, size=len(raw))

    try:
        # Without an access token, which the endpoint does not take.
        return partition.run.client.get(Request(path, {}), decode, partition.counts)
    except Unsupported:
        return None
    except PartitionFailed as error:
        if error.status == 400:  # some platforms cannot be configured
            return None
        raise
    except ConnectionUnusable as error:
        # The refusal is about this endpoint: the connection's lists are read with its own token.
        raise PartitionFailed(
            error.message, reason="refused", status=error.status, code=error.code
        ) from None


def row_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The columns of a configuration; None if it has neither of its two parts.

    The spelling of some names in JSON is not published, so names are compared by their letters
    only.
    """
    initial, incremental = _part(body, "initial"), _part(body, "incremental")
    if initial is None and incremental is None:
        return None
    batches = [
        {"entities": _names(batch), "months": _value(batch, "timeframeinmonths")}
        for batch in _value(initial or {}, "batches") or ()
        if isinstance(batch, dict)
    ]
    first = {name: None for batch in batches for name in batch["entities"]}
    return {
        "initial_batches": batches,
        "initial_entities": list(first) or _names(initial or {}),
        "incremental_entities": _names(incremental or {}),
        "sync_period_minutes": _value(incremental or {}, "syncperiodinminutes"),
    }


def _part(body: Mapping[str, Any], word: str, depth: int = 0) -> dict[str, Any] | None:
    inner = [value for value in body.values() if isinstance(value, dict)]
    for name, value in body.items():
        if word in _letters(name) and isinstance(value, dict):
            return value
    found = (_part(value, word, depth + 1) for value in inner) if depth < _DEEPEST else iter(())
    return next((part for part in found if part is not None), None)


def _value(part: Mapping[str, Any], letters: str) -> Any:
    return next((value for name, value in part.items() if _letters(name) == letters), None)


def _names(part: Mapping[str, Any]) -> list[str]:
    listed = _value(part, "entities")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
