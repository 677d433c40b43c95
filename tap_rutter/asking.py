"""A pair's request, and what an answer to it means for the pair's further ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from tap_rutter.errors import Gone, NotActivated, PairFailed, Unsupported
from tap_rutter.schemas import Document

if TYPE_CHECKING:
    from tap_rutter.reading import Pair

logger = logging.getLogger("tap-rutter")

_T = TypeVar("_T")
Params = Mapping[str, str]

_SEVERAL = 2


def ask(pair: Pair, params: Params, send: Callable[[Params], _T], *, own: bool = True) -> _T:
    """Any request of a pair: sent, and sent without ``expand`` where that is refused.

    Platform data are asked for where no description declares them, and a platform may refuse them
    elsewhere: that costs the platform data and not the rows.

    Args:
        pair: Whose request it is.
        params: Its parameters.
        send: Sends it with the parameters that it is given.
        own: Whether it is for the pair's own rows, and not for their parents.
    """
    activation, stream = pair.env.activation, pair.endpoint.name
    try:
        answer = _sent(pair, _without_expand(params) if pair.plain else params, send)
    except NotActivated:
        activation.closed(stream, pair.index)
        raise
    if own:
        activation.served(stream, pair.index)
    return answer


def _sent(pair: Pair, params: Params, send: Callable[[Params], _T]) -> _T:
    try:
        answer = send(params)
    except PairFailed as error:
        # Where platform data have been given already, they are not what is refused.
        if error.status != 400 or "expand" not in params or pair.expanded:
            raise
        answer = send(_without_expand(params))
        pair.plain = True
        _tell_of_plain_rows(pair)
        return answer
    pair.expanded = pair.expanded or "expand" in params
    return answer


def _without_expand(params: Params) -> Params:
    return {name: value for name, value in params.items() if name != "expand"}


def _tell_of_plain_rows(pair: Pair) -> None:
    told, stream = pair.env.told_plain, pair.endpoint.name
    if stream in told or not declares_expand(pair.env.document, pair.endpoint.path):
        return
    told.add(stream)
    logger.warning(
        "%s: Rutter refuses 'expand' for connection %s, and perhaps for others: their rows are"
        " read without platform_data.",
        stream,
        pair.connection.id,
    )


def declares_expand(document: Document, path: str) -> bool:
    """Whether an endpoint is described as giving platform data."""
    if "expand" not in document.parameters(path):
        return False
    choices = document.choices(path, "expand")
    return not choices or "platform_data" in choices


def unless_absent(pair: Pair, name: str, fetch: Callable[[], _T]) -> _T | None:
    """What there is under a parent, or by a name; None where Rutter says there is nothing.

    One parent may have been deleted since its list was read, or never have had anything.
    """
    try:
        return fetch()
    except (Unsupported, Gone) as error:
        pair.absent[name] = error
        return None


def unserved(pair: Pair) -> Unsupported | None:
    """Why a list of which nothing came is unsupported: each of several parents answered 404.

    One alone proves nothing, and a 410 says that there is such an endpoint.
    """
    errors = [error for error in pair.absent.values() if isinstance(error, Unsupported)]
    if len(errors) < _SEVERAL or len(errors) < len(pair.absent):
        return None
    return min(errors, key=lambda error: error.message)
