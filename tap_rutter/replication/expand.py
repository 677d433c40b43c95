"""The parameter ``expand``: parts that a request asks for in addition to the plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tap_rutter.schema.document import Document

Params = Mapping[str, str]


def parts_of(params: Params) -> list[str]:
    """The parts that a request asks for."""
    return params["expand"].split(",") if "expand" in params else []


def expanding(params: Params, parts: Sequence[str]) -> dict[str, str]:
    """The parameters with these parts in ``expand``; without ``expand`` if there are no parts."""
    others = {name: value for name, value in params.items() if name != "expand"}
    return {**others, "expand": ",".join(parts)} if parts else others


def declares_expand(document: Document, path: str, part: str = "platform_data") -> bool:
    """Whether the API document says that an endpoint accepts a part in ``expand``."""
    if "expand" not in document.parameters(path):
        return False
    choices = document.choices(path, "expand")
    return not choices or part in choices
