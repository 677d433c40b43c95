"""What the user decides: the settings, their schema, and their check before any request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from singer_sdk import typing as th

from tap_rutter import __version__, times
from tap_rutter.errors import ConfigError
from tap_rutter.names import nearest
from tap_rutter.versions import BASE_URLS, LATEST, SUPPORTED

ENVIRONMENTS = tuple(BASE_URLS)
ON_CONNECTION_ERROR = ("warn", "fail")
LARGEST_PAGE = 500  # Rutter's documented maximum; what it does above is not known

JSONSCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "client_id",
        th.StringType,
        required=True,
        title="Client ID",
        description="Your organisation's client id, from Rutter's dashboard under API keys.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        required=True,
        secret=True,
        title="Client secret",
        description="The secret that belongs to the client id and to the same environment.",
    ),
    th.Property(
        "environment",
        th.StringType,
        default="production",
        allowed_values=list(ENVIRONMENTS),
        title="Environment",
        description="Which of Rutter's environments the keys belong to.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        title="API URL",
        description="Base address that takes the place of the environment's: your organisation's"
        " own subdomain, or a simulator. It ends in /versioned.",
    ),
    th.Property(
        "api_version",
        th.StringType,
        default=LATEST,
        allowed_values=list(SUPPORTED),
        title="API version",
        description="Version of Rutter's API to speak; it decides names and types of columns.",
    ),
    th.Property(
        "access_tokens",
        th.ArrayType(th.StringType),
        secret=True,
        title="Access tokens",
        description="Read the connections of these access tokens instead of asking Rutter for"
        " the list of all connections.",
    ),
    th.Property(
        "connection_ids",
        th.ArrayType(th.StringType),
        title="Connection IDs",
        description="Read only these connections.",
    ),
    th.Property(
        "platforms",
        th.ArrayType(th.StringType),
        title="Platforms",
        description="Read only connections of these platforms, such as QUICKBOOKS or SHOPIFY.",
    ),
    th.Property(
        "shard",
        th.StringType,
        title="Shard",
        description="Which part of the connections this process reads, as 'k/n': the k-th (from"
        " 1) of n. A connection always falls into the same part.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="How far back a first read goes; without it, as far as Rutter has data, of"
        " financial statements at most ten years.",
    ),
    th.Property(
        "lookback_hours",
        th.IntegerType,
        default=24,
        title="Lookback (hours)",
        description="How much earlier than its bookmark an updated stream starts, since a row can"
        " become visible long after the time that it bears.",
    ),
    th.Property(
        "window_days",
        th.IntegerType,
        default=30,
        title="Longest window (days)",
        description="Longest time window in which a large updated stream is read.",
    ),
    th.Property(
        "payout_days",
        th.IntegerType,
        default=60,
        title="Payouts read again (days)",
        description="How far back from the last read payouts are read again at each run, since"
        " their status changes and they cannot be asked for by update time.",
    ),
    th.Property(
        "statement_months",
        th.IntegerType,
        default=12,
        title="Statements read again (months)",
        description="How many months of financial statements are read again at each run, since"
        " past months can be restated.",
    ),
    th.Property(
        "optional_streams",
        th.ArrayType(th.StringType),
        default=[],
        title="Optional streams",
        description="Streams to add to the catalog that cost many requests or hold bank details.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType,
        default=8,
        title="Concurrency",
        description="How many requests are made at once.",
    ),
    th.Property(
        "page_size",
        th.IntegerType,
        default=LARGEST_PAGE,
        title="Page size",
        description="Rows per page, 1 to 500.",
    ),
    th.Property(
        "expand_platform_data",
        th.BooleanType,
        default=False,
        title="Expand platform data",
        description="Ask for the platform's own form of each row, in the column platform_data.",
    ),
    th.Property(
        "expand_order_transactions",
        th.BooleanType,
        default=False,
        title="Expand order transactions",
        description="Ask for each order's payments with it, in the column transactions: for"
        " platforms that have no list of transactions of its own.",
    ),
    th.Property(
        "attachment_urls",
        th.BooleanType,
        default=False,
        title="Attachment URLs",
        description="Keep the links to attached files, in the column file_url. They live for a"
        " short time only, and whoever has one can read the merchant's receipts and invoices.",
    ),
    th.Property(
        "force_fetch",
        th.BooleanType,
        default=False,
        title="Force fetch",
        description="Read connections whose first sync at Rutter is still going on; what they"
        " give may be incomplete and moves no bookmark.",
    ),
    th.Property(
        "on_connection_error",
        th.StringType,
        default="warn",
        allowed_values=list(ON_CONNECTION_ERROR),
        title="On connection error",
        description="Whether connections that are disabled or need to sign in again only warn, or"
        " make the run end with exit code 1.",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType,
        default=60,
        title="Request timeout (seconds)",
        description="How long a single request may wait for an answer.",
    ),
    th.Property(
        "max_retry_seconds",
        th.IntegerType,
        default=600,
        title="Longest retrying (seconds)",
        description="How long one request is tried again before its stream fails for that"
        " connection.",
    ),
    th.Property(
        "user_agent",
        th.StringType,
        default=f"tap-rutter/{__version__}",
        title="User agent",
        description="The User-Agent header of all requests.",
    ),
).to_dict()

_ENUMS: dict[str, tuple[str, ...]] = {
    "environment": ENVIRONMENTS,
    "api_version": SUPPORTED,
    "on_connection_error": ON_CONNECTION_ERROR,
}
# Smallest and largest value that makes sense.
_RANGES: dict[str, tuple[int, int]] = {
    "lookback_hours": (0, 24 * 366),
    "window_days": (1, 366),
    "payout_days": (0, 3660),
    "statement_months": (0, 120),
    "concurrency": (1, 64),
    "page_size": (1, LARGEST_PAGE),
    "request_timeout": (1, 3600),
    "max_retry_seconds": (0, 86_400),
}
# Settings of the SDK that would break a promise of this tap.
REFUSED = {
    "emit_activate_version_messages": "it would delete the rows of connections that a run does not"
    " read; see deleted_objects for deletions",
    "batch_config": "records leave as RECORD messages only",
}
_SHARD = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})", re.ASCII)


@dataclass(frozen=True)
class Settings:
    """The checked settings of one run."""

    client_id: str
    client_secret: str = field(repr=False)
    api_url: str
    environment: str
    api_version: str
    access_tokens: tuple[str, ...] = field(repr=False)
    connection_ids: tuple[str, ...]
    platforms: tuple[str, ...]
    shard: tuple[int, int] | None
    start_ms: int | None
    lookback_ms: int
    window_ms: int
    payout_ms: int
    statement_months: int
    optional_streams: tuple[str, ...]
    concurrency: int
    page_size: int
    expand_platform_data: bool
    expand_order_transactions: bool
    attachment_urls: bool
    force_fetch: bool
    fail_on_connection_error: bool
    request_timeout: int
    max_retry_seconds: int
    user_agent: str

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        with_credentials: bool,
        known_optional: tuple[str, ...],
    ) -> Settings:
        """Check a configuration.

        Args:
            config: As given, without defaults.
            with_credentials: Whether the client id and secret must be there; discovery does
                without.
            known_optional: Names that ``optional_streams`` may hold.

        Raises:
            ConfigError: naming the setting and what it takes, never the value.
        """
        values = _checked(config, with_credentials=with_credentials)
        optional = _texts(values["optional_streams"])
        if not set(optional) <= set(known_optional):
            raise ConfigError(
                "Setting 'optional_streams' must hold names of optional streams only:"
                f" {', '.join(known_optional)}."
            )
        environment = values["environment"]
        return cls(
            client_id=values.get("client_id") or "",
            client_secret=values.get("client_secret") or "",
            api_url=_base_url(values.get("api_url"), environment),
            environment=environment,
            api_version=values["api_version"],
            access_tokens=_texts(values.get("access_tokens")),
            connection_ids=_texts(values.get("connection_ids")),
            platforms=tuple(name.upper() for name in _texts(values.get("platforms"))),
            shard=_shard(values.get("shard")),
            start_ms=_start(values.get("start_date")),
            lookback_ms=values["lookback_hours"] * times.HOUR,
            window_ms=values["window_days"] * times.DAY,
            payout_ms=values["payout_days"] * times.DAY,
            statement_months=values["statement_months"],
            optional_streams=optional,
            concurrency=values["concurrency"],
            page_size=values["page_size"],
            expand_platform_data=values["expand_platform_data"],
            expand_order_transactions=values["expand_order_transactions"],
            attachment_urls=values["attachment_urls"],
            force_fetch=values["force_fetch"],
            fail_on_connection_error=values["on_connection_error"] == "fail",
            request_timeout=values["request_timeout"],
            max_retry_seconds=values["max_retry_seconds"],
            user_agent=_header("user_agent", values["user_agent"]),
        )


def _checked(config: Mapping[str, Any], *, with_credentials: bool) -> dict[str, Any]:
    """Values by name, defaults filled in, each of its declared type."""
    values: dict[str, Any] = {}
    for name, why in REFUSED.items():
        if config.get(name):
            raise ConfigError(f"Setting '{name}' is not supported: {why}.")
    for name, schema in JSONSCHEMA["properties"].items():
        value = config.get(name)
        if value is None:
            value = schema.get("default")
        if value is not None:
            _check_type(name, schema, value)
        values[name] = value
    if with_credentials:
        for name in JSONSCHEMA["required"]:
            if not values[name] or not values[name].strip():
                other = nearest(name, {*config} - {*JSONSCHEMA["properties"]})
                raise ConfigError(
                    f"Setting '{name}' is missing: set it in the configuration or as"
                    f" TAP_RUTTER_{name.upper()}."
                    + (f" '{other}', which is there, is not a setting." if other else "")
                )
    return values


_TYPE_NAMES = {
    "string": (str, "a string"),
    "integer": (int, "an integer"),
    "boolean": (bool, "true or false"),
    "array": (list, "an array of strings"),
}


def _check_type(name: str, schema: dict[str, Any], value: object) -> None:
    kind = next(entry for entry in schema["type"] if entry != "null")
    python_type, text = _TYPE_NAMES[kind]
    fits = isinstance(value, python_type) and not (kind == "integer" and isinstance(value, bool))
    if kind == "array" and isinstance(value, list):
        fits = all(isinstance(entry, str) and entry.strip() for entry in value)
    if not fits:
        raise ConfigError(f"Setting '{name}' must be {text}.")
    allowed = _ENUMS.get(name)
    if allowed and value not in allowed:
        raise ConfigError(f"Setting '{name}' must be one of: {', '.join(allowed)}.")
    bounds = _RANGES.get(name)
    if bounds and isinstance(value, int) and not bounds[0] <= value <= bounds[1]:
        raise ConfigError(f"Setting '{name}' must be {text} from {bounds[0]} to {bounds[1]}.")


def _texts(values: list[str] | None) -> tuple[str, ...]:
    """Without blanks around them and without repeats, in the order given."""
    return tuple(dict.fromkeys(value.strip() for value in values or ()))


def _base_url(value: str | None, environment: str) -> str:
    if value is None:
        return BASE_URLS[environment]
    expected = (
        "Setting 'api_url' must be a http or https address, such as " + BASE_URLS["production"]
    )
    value = value.strip()
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigError(expected + ".") from None
    if not good or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(expected + ".")
    if "?" in value or "#" in value or "@" in parts.netloc:
        raise ConfigError("Setting 'api_url' must hold no user name, query or fragment.")
    return value.rstrip("/")


def _shard(value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = _SHARD.fullmatch(value.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise ConfigError("Setting 'shard' must be 'k/n' with k from 1 to n, such as '2/8'.")
    return int(match[1]), int(match[2])


def _start(value: str | None) -> int | None:
    if value is None:
        return None
    start = times.parse(value)
    if start is None or start < 0:
        raise ConfigError(
            "Setting 'start_date' must be a date or time since 1970, such as 2024-01-31 or"
            " 2024-01-31T00:00:00Z."
        )
    return start


def _header(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable() or not value.strip():
        raise ConfigError(f"Setting '{name}' must be printable ASCII text.")
    return value.strip()
