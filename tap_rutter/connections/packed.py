"""JSON objects that are kept for a whole run and seldom looked at, in a tenth of their memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from tap_rutter.api.json_text import ENCODER, decode_value

_LEVEL = 1  # what is kept is small: more work gains little


class Packed(Mapping[str, Any]):
    """A JSON object as compressed text, unpacked anew each time that a value is asked for."""

    __slots__ = ("_length", "_text")

    def __init__(self, text: bytes, length: int) -> None:
        """``text``: compressed; ``length``: how many values it has."""
        self._text = text
        self._length = length

    def unpacked(self) -> dict[str, Any]:
        """The object: a new one at each call."""
        found: dict[str, Any] = decode_value(self.json)
        return found

    def __getitem__(self, name: str) -> Any:
        return self.unpacked()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.unpacked())

    def __len__(self) -> int:
        return self._length

    @property
    def json(self) -> bytes:
        """The object as JSON."""
        return zlib.decompress(self._text)


def packed(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object, packed where that can be undone: odd values have no JSON that is theirs."""
    try:
        text = ENCODER.encode(dict(value))
    except (ValueError, OverflowError, TypeError, RecursionError):
        return value
    return Packed(zlib.compress(text, _LEVEL), len(value))


def unpacked(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object as one to look into more than once, packed or not."""
    return value.unpacked() if isinstance(value, Packed) else value


def json_of(value: Mapping[str, Any]) -> bytes:
    """An object as JSON, packed or not.

    Raises:
        ValueError: for odd values that have no JSON.
    """
    return value.json if isinstance(value, Packed) else ENCODER.encode(dict(value))
