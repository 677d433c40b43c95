"""The configuration as the user gives it: files, environment variables, and hints about mistakes.

``settings.py`` says what the settings mean and which values they take. No message here quotes a
value, since it may be a secret.
"""

from __future__ import annotations

import json
import os
import re
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
_VARIABLE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")
"""A whole value that Meltano would replace with an environment variable: ``$NAME``, ``${name}``."""


# ---- reading it


def read_files(paths: Iterable[str]) -> dict[str, Any]:
    """The settings in JSON files. Where two files have the same setting, the later file wins.

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
    """The settings in variables such as ``TAP_RUTTER_CLIENT_ID``. The file ``.env`` is not read.

    Raises:
        ConfigError: for a variable that is not of its setting's type.
    """
    try:
        # The SDK's public way is the argument parse_env_config of the tap. It also reads a .env
        # file from some folder above, which then hides variables that are set.
        return parse_environment_config(dict(jsonschema), VARIABLE_PREFIX, dotenv_path=os.devnull)
    except ValueError:
        check_variables(jsonschema)
        raise


def check_variables(jsonschema: Mapping[str, Any]) -> None:
    """Name the variable that the SDK could not read. The SDK's own error quotes only the value.

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
    # sync/maps.py checks stream maps; the SDK's JSON Schema of them cannot be used.
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


def check_variables_are_replaced(config: Mapping[str, Any]) -> None:
    """Refuse a value that is the name of a variable, such as ``$RUTTER_HASH_KEY``.

    Meltano replaces these in ``meltano.yml``; nothing does in a configuration file. A hash key that
    is not replaced is known to everyone, so everyone could compute the hashes.

    Raises:
        ConfigError: naming the setting, never the value.
    """
    for name, value in config.items():
        entries = value if isinstance(value, dict) and name != "stream_maps" else {"": value}
        for key, entry in entries.items():
            if isinstance(entry, str) and _VARIABLE.fullmatch(entry):
                where = f"{name}.{key}" if key else name
                raise ConfigError(
                    f"Setting '{where}' is the name of an environment variable, not its value."
                    " Meltano replaces such names; in a configuration file, write the value itself."
                )


# ---- mistakes that are only warned about


def notices_of(config: Mapping[str, Any], jsonschema: Mapping[str, Any]) -> list[str]:
    """Messages about settings and environment variables that have no effect."""
    declared = jsonschema["properties"]
    known = {*declared, *REFUSED}
    objects = [name for name, schema in declared.items() if "object" in schema.get("type", ())]
    return [*_unknown_settings(config, known), *_unknown_variables(os.environ, known, objects)]


def _unknown_settings(given: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Messages about settings that the tap does not have, each with the most similar one."""
    for name in given:
        if name not in known:
            yield f"'{name}' is not a setting of tap-rutter: it has no effect.{meant(name, known)}"


def _unknown_variables(
    given: Iterable[str], known: Collection[str], objects: Iterable[str]
) -> Iterator[str]:
    """Messages about variables that look like a misspelt setting, of the tap or of Meltano for it.

    Other variables with the same prefix may belong to something else, such as a build. Meltano sets
    one for each entry of a setting that is an object: TAP_RUTTER_STREAM_MAP_CONFIG_HASH_KEY.
    """
    entries = tuple(f"{name}_" for name in objects)
    for variable in sorted(given):
        name = variable.removeprefix(VARIABLE_PREFIX).lower()
        is_meltanos = name.startswith("_")  # they begin with two underscores
        if (
            not variable.startswith(VARIABLE_PREFIX)
            or is_meltanos
            or name.startswith(entries)
            or name in known
            or name in _VARIABLES_OF_THE_SDK
        ):
            continue
        similar = nearest(name, known)
        if similar is not None:
            yield (
                f"{variable} is not a setting of tap-rutter: it has no effect."
                f" Did you mean {VARIABLE_PREFIX}{similar.upper()}?"
            )


def warnings_of_address(api_url: str) -> Sequence[str]:
    """Warnings about the address that requests go to."""
    parts = urlsplit(api_url)
    warnings = []
    if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        warnings.append(
            "Setting 'api_url' is not an https address: keys and tokens can be read on the network."
        )
    if not parts.path.endswith("/versioned"):
        warnings.append(
            "Setting 'api_url' does not end in /versioned: Rutter's other addresses take no notice"
            " of 'api_version'."
        )
    return warnings
