"""JSON as bytes and as values: decoded with exact decimals, encoded, cleaned, and checked as bytes.

Text is *clean* when no target refuses it and nothing in it is secret. ``clean_text`` makes one
Python string clean; ``is_clean`` says of raw JSON that there is nothing to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from tap_rutter.json_values import Unfit, as_it_came, lenient, plain

Raw = bytes | msgspec.Raw
"""JSON as it came."""

ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=as_it_came)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for text that is not JSON, is of another type, or is nested too deeply."""

LARGEST_EXPONENT = 1_000
"""Beyond it no ledger goes, and numeric columns end soon after."""

_VALUE = msgspec.json.Decoder(float_hook=Decimal)
_REFUSED = (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError)

# Escapes of NUL, of surrogates, and of the letters of which names that say secret consist.
_ESCAPES = re.compile(rb"\\u(?:00(?:00|5[fF]|[4-7][0-9a-fA-F])|[dD][89a-fA-F])")
# The end of a name that may say secret; what is before it decides. One pass with a rare first
# byte costs a third of a search for each of the names.
_NAME_END = re.compile(rb'_(?i:url|token)"')
_SECRET_BEGINNINGS = (b"access", b"link", b"update")
_LONGEST_BEGINNING = max(map(len, _SECRET_BEGINNINGS))

# To look for vast numbers, digits, points and signs become 0, both letters of an exponent e, and
# what may follow a number a comma: then two plain searches do. One for all forms that the text can
# have takes several times as long.
_FORMS = bytes.maketrans(b"123456789+-.E}] \t\r\n", b"000000000000e,,,,,,")
_MAY_BE_EXPONENT = re.compile(rb"e000*,")
_WIDE_EXPONENT = re.compile(rb"[eE][+-]?[0-9]{3}")
_LONG_RUN = b"0" * (LARGEST_EXPONENT // 2)


def decode_value(raw: bytes | memoryview | msgspec.Raw) -> Any:
    """JSON as Python objects, with exact decimals.

    Takes what strict readers refuse but platforms let through (see ``json_values.py``).

    Raises:
        ValueError: for what is not JSON.
    """
    try:
        return _VALUE.decode(raw)
    except _REFUSED:
        return plain(lenient(raw))


def decode_marked(raw: bytes | memoryview | msgspec.Raw) -> Any:
    """The same, with ``Unfit`` for each value that a strict reader refuses.

    Raises:
        ValueError: for what is not JSON.
    """
    try:
        return _VALUE.decode(raw)
    except _REFUSED:
        return lenient(raw)


def clean_text(text: str) -> str:
    """The text without what PostgreSQL cannot hold: NUL and lone surrogates become U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two surrogates that were escaped one by one are joined; one that is alone is replaced.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_value(value: Any) -> Any:
    """A JSON value with every text in it cleaned, keys included; marked ones stay as they came."""
    if isinstance(value, Unfit):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): clean_value(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [clean_value(entry) for entry in value]
    return value


def is_clean(content: bytes, rows: Iterable[Raw] = ()) -> bool:
    """Whether raw JSON is free of what would have to be mended or dropped at any depth.

    That is NUL and surrogate escapes, bytes that are not UTF-8, names that say secret, and numbers
    beyond what databases hold.

    Args:
        content: JSON, a row or a page of them.
        rows: Of a page: its rows, whose bytes are then the only ones that have to be UTF-8. One by
            one they take a third of the time that the page takes as a whole.
    """
    if b"\\" in content and _ESCAPES.search(content):
        return False
    if not content.isascii() and not all(map(_is_utf8, rows or (content,))):
        return False
    if any(
        content[max(0, match.start() - _LONGEST_BEGINNING) : match.start()]
        .lower()
        .endswith(_SECRET_BEGINNINGS)
        for match in _NAME_END.finditer(content)
    ):
        return False
    return not has_vast_numbers(content)


def _is_utf8(text: Raw) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def has_vast_numbers(content: bytes) -> bool:
    """Whether raw JSON may hold a number with an exponent of three digits or more, or as long.

    A database refuses most of them, and with each the batch that it stands in. A text that reads
    like one may pass for one.
    """
    forms = content.translate(_FORMS)
    if _LONG_RUN in forms:
        return True
    return any(
        _WIDE_EXPONENT.match(content, found.start()) for found in _MAY_BE_EXPONENT.finditer(forms)
    )
