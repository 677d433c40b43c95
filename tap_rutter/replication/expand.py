"""The parameter ``expand``: what a request asks for beside the plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tap_rutter.schema.document import Document

Params = Mapping[str, str]


def parts_of(params: Params) -> list[str]:
    """What a request asks for beside its rows."""
    return params["expand"].split(",") if "expand" in params else []


def expanding(params: Params, parts: Sequence[str]) -> dict[str, str]:
    """The parameters with these parts in ``expand``, and without it where there are none."""
    others = {name: value for name, value in params.items() if name != "expand"}
    return {**others, "expand": ",".join(parts)} if parts else others


def declares_expand(document: Document, path: str, part: str = "platform_data") -> bool:
    """Whether an endpoint is described as giving a part of its rows that is asked for."""
    if "expand" not in document.parameters(path):
        return False
    choices = document.choices(path, "expand")
    return not choices or part in choices
