"""JSON text with exact numbers, and times as the API writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

HOUR = 3_600_000
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def encode(value: Any) -> str:
    """JSON text without spaces. A Decimal keeps its digits; NaN and infinities are refused."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"not a JSON number: {value}")
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{encode(str(k))}:{encode(v)}" for k, v in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([encode(item) for item in value]) + "]"
    return json.dumps(value, allow_nan=False)


def to_bytes(text: str) -> bytes:
    # Lone surrogates are sent too, as a careless server would do.
    return text.encode("utf-8", "surrogatepass")


def decode(text: bytes | str) -> Any:
    """Values from JSON text; numbers with a fraction or an exponent become Decimal."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogatepass")
    return json.loads(text, parse_float=Decimal)


def iso(milliseconds: int) -> str:
    """Unix milliseconds as ``2024-03-01T12:34:56.789Z``."""
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def to_milliseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return (moment - EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def parse_iso(text: Any) -> int | None:
    """Unix milliseconds of an ISO 8601 text (a date is its midnight UTC); None for other text."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
