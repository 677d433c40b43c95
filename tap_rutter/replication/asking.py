"""A pair's request, and what an answer to it means for the pair's further ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from tap_rutter.errors import Gone, NotActivated, PartitionFailed, Unsupported
from tap_rutter.schema.document import Document

if TYPE_CHECKING:
    from tap_rutter.replication.base import Partition

logger = logging.getLogger("tap-rutter")

_T = TypeVar("_T")
Params = Mapping[str, str]

_SEVERAL = 2


def ask(
    partition: Partition, params: Params, send: Callable[[Params], _T], *, own: bool = True
) -> _T:
    """Any request of a pair: sent, and sent without ``expand`` where that is refused.

    Platform data are asked for where no description declares them, and a platform may refuse them
    elsewhere: that costs the platform data and not the rows.

    Args:
        pair: Whose request it is.
        params: Its parameters.
        send: Sends it with the parameters that it is given.
        own: Whether it is for the pair's own rows, and not for their parents.
    """
    activation, stream = partition.run.activation, partition.endpoint.name
    try:
        answer = _sent(partition, _without_expand(params) if partition.plain else params, send)
    except NotActivated:
        activation.closed(stream, partition.index)
        raise
    if own:
        activation.served(stream, partition.index)
    return answer


def _sent(partition: Partition, params: Params, send: Callable[[Params], _T]) -> _T:
    try:
        answer = send(params)
    except PartitionFailed as error:
        # Where platform data have been given already, they are not what is refused.
        if error.status != 400 or "expand" not in params or partition.expanded:
            raise
        answer = send(_without_expand(params))
        partition.plain = True
        _tell_of_plain_rows(partition)
        return answer
    partition.expanded = partition.expanded or "expand" in params
    return answer


def _without_expand(params: Params) -> Params:
    return {name: value for name, value in params.items() if name != "expand"}


def _tell_of_plain_rows(partition: Partition) -> None:
    told, stream = partition.run.told_plain, partition.endpoint.name
    if stream in told or not declares_expand(partition.run.document, partition.endpoint.path):
        return
    told.add(stream)
    logger.warning(
        "%s: Rutter refuses 'expand' for connection %s, and perhaps for others: their rows are"
        " read without platform_data.",
        stream,
        partition.connection.id,
    )


def declares_expand(document: Document, path: str) -> bool:
    """Whether an endpoint is described as giving platform data."""
    if "expand" not in document.parameters(path):
        return False
    choices = document.choices(path, "expand")
    return not choices or "platform_data" in choices


def unless_absent(partition: Partition, name: str, fetch: Callable[[], _T]) -> _T | None:
    """What there is under a parent, or by a name; None where Rutter says there is nothing.

    One parent may have been deleted since its list was read, or never have had anything.
    """
    try:
        return fetch()
    except (Unsupported, Gone) as error:
        partition.absent[name] = error
        return None


def unserved(partition: Partition) -> Unsupported | None:
    """Why a list of which nothing came is unsupported: each of several parents answered 404.

    One alone proves nothing, and a 410 says that there is such an endpoint.
    """
    errors = [error for error in partition.absent.values() if isinstance(error, Unsupported)]
    if len(errors) < _SEVERAL or len(errors) < len(partition.absent):
        return None
    return min(errors, key=lambda error: error.message)
