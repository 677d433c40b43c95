"""The configuration as it is given: files, environment variables, and what is odd about them.

What the settings mean and which values they take is in ``settings.py``. Nothing here quotes a
value, since it may be a secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_rutter.errors import ConfigError
from tap_rutter.names import meant, nearest
from tap_rutter.settings_schema import REFUSED, VARIABLE_PREFIX

_VARIABLES_OF_THE_SDK = {"loglevel"}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


# ---- reading it


def read_files(paths: Iterable[str]) -> dict[str, Any]:
    """The settings in JSON files; those of a later file win.

    Raises:
        ConfigError: for a file that cannot be read.
    """
    config: dict[str, Any] = {}
    for path in paths:
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"File {path} cannot be read: {error.strerror}.") from None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ConfigError(f"The settings in {path} are not a JSON object.")
        config |= content
    return config


def read_json(source: IO[str], what: str) -> dict[str, Any] | None:
    """A given state or catalog; None for ``null``.

    Raises:
        ConfigError: for what is not a JSON object.
    """
    try:
        content = json.loads(source.read())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ConfigError(f"The given {what} is not JSON: {source.name}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"The given {what} is not a JSON object: {source.name}")
    return content


def read_environment(jsonschema: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in variables such as ``TAP_RUTTER_CLIENT_ID``; a file ``.env`` is not read.

    Raises:
        ConfigError: for a variable that is not of its setting's type.
    """
    try:
        # The SDK's public way, the argument parse_env_config of the tap, lets a .env file that it
        # finds in some folder hide variables that are set.
        return parse_environment_config(dict(jsonschema), VARIABLE_PREFIX, dotenv_path=os.devnull)
    except ValueError:
        check_variables(jsonschema)
        raise


def check_variables(jsonschema: Mapping[str, Any]) -> None:
    """Name the variable that the SDK could not read: its own error quotes the value only.

    Raises:
        ConfigError: for a variable that is not of its setting's type.
    """
    for name, schema in jsonschema["properties"].items():
        variable = VARIABLE_PREFIX + name.upper()
        types = schema.get("type", ())
        try:
            if "integer" in types:
                int(os.environ.get(variable, "0"))
            elif "object" in types:
                json.loads(os.environ.get(variable, "{}"))
        except ValueError:
            expected = "an integer" if "integer" in types else "a JSON object"
            raise ConfigError(f"Setting '{name}' in {variable} must be {expected}.") from None


# ---- checking what settings.py does not


def check_sdk_settings(config: Mapping[str, Any], jsonschema: Mapping[str, Any]) -> None:
    """Check the settings that the SDK adds, such as those of flattening.

    Raises:
        ConfigError: naming the setting and what it takes.
    """
    # sync/maps.py says in words what is wrong with a map; the SDK's schema of maps cannot be used.
    values = {**config}
    if isinstance(values.get("stream_maps"), dict):
        values["stream_maps"] = {}
    for error in DEFAULT_JSONSCHEMA_VALIDATOR(jsonschema).iter_errors(values):
        if error.path:
            where = ".".join(str(part) for part in error.path)
            raise ConfigError(
                f"Setting '{where}' is not of its type: {error.validator} must be"
                f" {error.validator_value!r}."
            )
    if config.get("flattening_enabled") and "flattening_max_depth" not in config:
        raise ConfigError("Setting 'flattening_enabled' needs 'flattening_max_depth' as well.")


# ---- what is without effect or unwise, but ends no run


def notices_of(config: Mapping[str, Any], jsonschema: Mapping[str, Any]) -> list[str]:
    """What has no effect, among the settings and the variables of this process."""
    known = {*jsonschema["properties"], *REFUSED}
    return [*_unknown_settings(config, known), *_unknown_variables(os.environ, known)]


def _unknown_settings(given: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Settings that the tap does not have, each with the most similar that it has."""
    for name in given:
        if name not in known:
            yield f"'{name}' is not a setting of tap-rutter: it has no effect.{meant(name, known)}"


def _unknown_variables(given: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Variables spelt almost as one that the tap, or Meltano for it, would read.

    Others that begin like the tap's belong to somebody else, such as a build.
    """
    for variable in sorted(given):
        name = variable.removeprefix(VARIABLE_PREFIX).lower()
        is_meltanos = name.startswith("_")  # they begin with two underscores
        if (
            not variable.startswith(VARIABLE_PREFIX)
            or is_meltanos
            or name in known
            or name in _VARIABLES_OF_THE_SDK
        ):
            continue
        similar = nearest(name, known)
        if similar is not None:
            yield (
                f"{variable} does not stand for a setting of tap-rutter: it has no effect."
                f" Did you mean {VARIABLE_PREFIX}{similar.upper()}?"
            )


def warnings_of_address(api_url: str) -> Sequence[str]:
    """What is unwise about the address that is read."""
    parts = urlsplit(api_url)
    warnings = []
    if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        warnings.append(
            "Setting 'api_url' is not an https address: anyone on the way can read keys and tokens."
        )
    if not parts.path.endswith("/versioned"):
        warnings.append(
            "Setting 'api_url' does not end in /versioned: Rutter's other addresses take no notice"
            " of 'api_version'."
        )
    return warnings
