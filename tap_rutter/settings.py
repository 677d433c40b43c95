"""The settings: what the user decides. They are checked before any request.

Their names, types, defaults and limits are in ``settings_schema.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tap_rutter import times
from tap_rutter.errors import ConfigError
from tap_rutter.names import nearest
from tap_rutter.settings_schema import ENUMS, JSONSCHEMA, RANGES, REFUSED, VARIABLE_PREFIX
from tap_rutter.versions import BASE_URLS

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
    connections_file: str
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
    recheck_ms: int
    only_after_sync: bool
    empty_tables: bool
    fail_on_connection_error: bool
    request_timeout: int
    max_retry_seconds: int
    user_agent: str
    report_file: str

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
            with_credentials: Whether the client id and secret are required; discovery needs none.
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
            connections_file=_path("connections_file", values.get("connections_file")),
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
            recheck_ms=values["recheck_unserved_hours"] * times.HOUR,
            only_after_sync=values["only_after_sync"],
            empty_tables=values["empty_tables"],
            fail_on_connection_error=values["on_connection_error"] == "fail",
            request_timeout=values["request_timeout"],
            max_retry_seconds=values["max_retry_seconds"],
            user_agent=_header("user_agent", values["user_agent"]),
            report_file=_path("report_file", values.get("report_file")),
        )


def _checked(config: Mapping[str, Any], *, with_credentials: bool) -> dict[str, Any]:
    """All settings by name: defaults filled in, types checked."""
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
    if values.get("connections_file") and values.get("access_tokens"):
        raise ConfigError(
            "Settings 'connections_file' and 'access_tokens' both say which connections there are:"
            " set one of them only."
        )
    if with_credentials:
        for name in JSONSCHEMA["required"]:
            if not values[name] or not values[name].strip():
                other = nearest(name, {*config} - {*JSONSCHEMA["properties"]})
                raise ConfigError(
                    f"Setting '{name}' is missing: set it in the configuration or as"
                    f" {VARIABLE_PREFIX}{name.upper()}."
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
    allowed = ENUMS.get(name)
    if allowed and value not in allowed:
        raise ConfigError(f"Setting '{name}' must be one of: {', '.join(allowed)}.")
    bounds = RANGES.get(name)
    if bounds and isinstance(value, int) and not bounds[0] <= value <= bounds[1]:
        raise ConfigError(f"Setting '{name}' must be {text} from {bounds[0]} to {bounds[1]}.")


def _texts(values: list[str] | None) -> tuple[str, ...]:
    """The texts in the order given, without surrounding blanks and repeats."""
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
        raise ConfigError("Setting 'api_url' must not hold a user name, a query or a fragment.")
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


def _path(name: str, value: str | None) -> str:
    """A file's path; "" where none is given."""
    if value is not None and (not value.strip() or "\0" in value):
        raise ConfigError(f"Setting '{name}' must be the path of a file.")
    return value or ""


def _header(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable() or not value.strip():
        raise ConfigError(f"Setting '{name}' must be printable ASCII text.")
    return value.strip()
