"""What a run's processes get of the worker's environment, and the tap's settings.

Children get what is named here, and nothing else: no key, no address with a password. The tap's
own variables become part of its settings file, so that the environment of no process shows them;
the target gets what the operator names for it.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tap_rutter.config import read_environment
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Environment
from tap_rutter.redact import SECRETS
from tap_rutter.settings_schema import JSONSCHEMA, VARIABLE_PREFIX

ALLOWED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
    "VIRTUAL_ENV",
    # How the network is reached, and whom to trust there.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    # How loud they are.
    "SINGER_SDK_LOG_CONFIG",
    "LOGLEVEL",
)
TAP_ALLOWED = ("TAP_RUTTER_LOGLEVEL",)

# Which connections a run reads is the ledger's to say.
_OF_THE_RUN = (
    "access_tokens",
    "connection_ids",
    "connections_file",
    "platforms",
    "report_file",
    "shard",
)
_SECRET_NAME = re.compile(r"pass|secret|token|credential|private|api_?key", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^@/\s]*(?=@)")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def tap_environment(environment: Environment = os.environ) -> dict[str, str]:
    """The variables of a tap's process."""
    return _chosen(environment, (*ALLOWED, *TAP_ALLOWED))


def target_environment(
    config: FleetConfig, name: str, environment: Environment = os.environ
) -> dict[str, str]:
    """The variables of a target's process; ``name``: what its database sessions are called."""
    return {
        **_chosen(environment, (*ALLOWED, *config.target_variables)),
        # libpq's: whoever takes a claim over ends the sessions that bear its id.
        "PGAPPNAME": name,
    }


def asking_environment(
    config: FleetConfig, environment: Environment = os.environ
) -> dict[str, str]:
    """The variables of a Meltano that is asked for settings and catalog."""
    return _chosen(
        environment,
        (*ALLOWED, f"{VARIABLE_PREFIX}*", *config.meltano_variables, *config.target_variables),
    )


def _chosen(environment: Environment, patterns: tuple[str, ...]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def tap_settings(config: FleetConfig) -> dict[str, Any]:
    """The tap's settings: the file's, and those of this process's variables, which win.

    What chooses connections is left out: it has chosen them already.

    Raises:
        ConfigError: for a variable that is not of its setting's type.
    """
    given = {**config.tap_config, **read_environment(copy.deepcopy(JSONSCHEMA))}
    chosen = {name: value for name, value in given.items() if name not in _OF_THE_RUN}
    # Meltano has the tap read its own settings first, which may choose connections as well.
    return {**dict.fromkeys(_OF_THE_RUN), **chosen} if config.meltano else chosen


def learn_secrets(config: FleetConfig, environment: Environment = os.environ) -> None:
    """Have what targets must not say hidden in whatever is kept of their output."""
    settings = tap_settings(config)
    SECRETS.add_basic(str(settings.get("client_id", "")), str(settings.get("client_secret", "")))
    # The fleet may list by tokens, although a run's settings never hold them.
    SECRETS.add(*config.webhook_secrets, *(config.tap_config.get("access_tokens") or ()))
    texts = [config.ledger_url, config.broker_url, config.target_database_url]
    for name, value in _chosen(environment, config.target_variables).items():
        if _SECRET_NAME.search(name):
            SECRETS.add(value)
        texts.append(value)
    for content in target_files(config).values():
        texts += [*_secrets_in(_decoded(content))]
    if config.meltano is not None:
        texts += [*_secrets_in(config.meltano.loader_settings)]
    for text in texts:
        SECRETS.add(*passwords_in(text))


def target_files(config: FleetConfig) -> dict[str, str]:
    """The text files that the target's command names, such as its configuration."""
    found = {}
    for argument in config.target_command[1:]:
        path = Path(argument.partition("=")[2] or argument)
        try:
            if path.is_file():
                found[argument] = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
    return found


def passwords_in(text: str) -> Iterator[str]:
    """Passwords of addresses in a text, as they stand there and as they are meant."""
    for match in _URL.finditer(text):
        try:
            password = urlsplit(match[0]).password
        except ValueError:
            continue
        if password:
            yield from (password, unquote(password))


def without_secrets(value: Any, name: str = "") -> Any:
    """A configuration without what its names or forms say to be secret."""
    if isinstance(value, Mapping):
        return {key: without_secrets(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_secrets(entry, name) for entry in value]
    if _SECRET_NAME.search(name):
        return None
    return _PASSWORD.sub(r"\1", value) if isinstance(value, str) else value


def _secrets_in(value: Any, name: str = "") -> Iterator[str]:
    """Texts of a configuration; those that their names say to be secret are learnt at once."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _secrets_in(entry, str(key))
    elif isinstance(value, list):
        for entry in value:
            yield from _secrets_in(entry, name)
    elif isinstance(value, str):
        if _SECRET_NAME.search(name):
            SECRETS.add(value)
        yield value


def _decoded(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content
