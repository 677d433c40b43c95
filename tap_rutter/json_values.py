"""Reads JSON that strict readers refuse.

Such values come from platforms, and one of them must not make its whole page unreadable. All values
are read, and one that a strict reader refuses is marked, so that only it is set aside.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from json import scanner
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import msgspec

_CONTROL = re.compile(r"[\x00-\x1f]")


class Unfit(str):
    """A value that is not strict JSON: NaN and the like, or a text with raw control characters."""

    raw: str
    """As it came."""

    @classmethod
    def of(cls, text: str, raw: str) -> Unfit:
        """A marked value: what it says, and how it was written."""
        value = cls(text)
        value.raw = raw
        return value


def lenient(raw: bytes | memoryview | msgspec.Raw) -> Any:
    """JSON as Python objects with exact decimals, with ``Unfit`` for what a strict reader refuses.

    Accepts lone surrogates, bytes that are not UTF-8, NaN and Infinity, and control characters that
    are not escaped. A number that Python cannot represent is given as its text.

    Raises:
        ValueError: for text that is not JSON, or has more text behind the JSON.
    """
    text = bytes(raw).decode("utf-8", "replace")
    try:
        try:
            return json.loads(text, parse_float=_exact, parse_int=_whole, parse_constant=_constant)
        except ValueError:
            if not _CONTROL.search(text):
                raise
        return _marking_decoder().decode(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def plain(value: Any) -> Any:
    """A value without marks: each ``Unfit`` becomes a text."""
    if isinstance(value, Unfit):
        return str(value)
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value


def as_it_came(value: object) -> msgspec.Raw:
    """For an encoder: writes ``Unfit`` values as they came.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, Unfit):
        return msgspec.Raw(value.raw.encode("utf-8", "replace"))
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _exact(digits: str) -> Decimal | str:
    try:
        return Decimal(digits)
    except ArithmeticError:
        return digits


def _whole(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:
        return digits


def _constant(name: str) -> Unfit:
    return Unfit.of(name, name)


def _marked_text(text: str, begin: int, _: bool = True) -> tuple[str, int]:
    """A string and where it ends; marked if a strict reader would refuse it."""
    value, end = scanstring(text, begin, False)
    raw = text[begin - 1 : end]
    return (Unfit.of(value, raw) if _CONTROL.search(raw) else value), end


def _marking_decoder() -> json.JSONDecoder:
    """A decoder that marks strings. Only the scanner written in Python lets strings be checked."""
    decoder = json.JSONDecoder(
        strict=False, parse_float=_exact, parse_int=_whole, parse_constant=_constant
    )
    decoder.parse_string = _marked_text  # type: ignore[attr-defined]
    decoder.scan_once = scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder
