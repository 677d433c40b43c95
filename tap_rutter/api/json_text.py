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
"""JSON text as it came."""

ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=as_it_came)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for text that is not JSON, is of another type, or is nested too deeply."""

LARGEST_EXPONENT = 1_000
"""No ledger has larger numbers, and numeric columns of databases end soon after."""

_VALUE = msgspec.json.Decoder(float_hook=Decimal)
_REFUSED = (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError)

# Escapes of NUL, of surrogates, and of the letters that names of secret fields are made of.
_ESCAPES = re.compile(rb"\\u(?:00(?:00|5[fF]|[4-7][0-9a-fA-F])|[dD][89a-fA-F])")
# The end of a name that may mean a secret; what is before it decides. One search that begins with a
# rare byte costs a third of one search for each name.
_NAME_END = re.compile(rb'_(?i:url|token)"')
_SECRET_BEGINNINGS = (b"access", b"link", b"update")
_LONGEST_BEGINNING = max(map(len, _SECRET_BEGINNINGS))

# For the search for vast numbers, digits, points and signs are replaced by 0, both letters of an
# exponent by e, and whatever may follow a number by a comma. Then two plain searches are enough.
# One search for all forms that a number can have takes several times as long.
_FORMS = bytes.maketrans(b"123456789+-.E}] \t\r\n", b"000000000000e,,,,,,")
_MAY_BE_EXPONENT = re.compile(rb"e000*,")
_WIDE_EXPONENT = re.compile(rb"[eE][+-]?[0-9]{3}")
_LONG_RUN = b"0" * (LARGEST_EXPONENT // 2)


def decode_value(raw: bytes | memoryview | msgspec.Raw) -> Any:
    """JSON as Python objects, with exact decimals.

    Accepts what strict readers refuse and platforms send all the same (see ``json_values.py``).

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
    """The text without what PostgreSQL cannot store: NUL and lone surrogates become U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        # A pair of surrogates that were escaped one by one is joined; a lone one is replaced.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_value(value: Any) -> Any:
    """A JSON value with every text in it cleaned, keys too; ``Unfit`` values stay as they came."""
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
    """Whether raw JSON holds nothing, at any depth, that would have to be mended or dropped.

    That would be: escapes of NUL and of surrogates, bytes that are not UTF-8, names of secret
    fields, and numbers larger than databases hold.

    Args:
        content: JSON, a row or a page of them.
        rows: The rows, if ``content`` is a page. Then only their bytes have to be UTF-8. To check
            them one by one takes a third of the time that the whole page takes.
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
    """Whether raw JSON may hold a number that is too large or too small for databases.

    That is a number with an exponent of three digits or more, or with hundreds of digits. A
    database refuses most of them, and with them the whole batch. A string that looks like one may
    count too.
    """
    forms = content.translate(_FORMS)
    if _LONG_RUN in forms:
        return True
    return any(
        _WIDE_EXPONENT.match(content, found.start()) for found in _MAY_BE_EXPONENT.finditer(forms)
    )
