"""What the operator of a fleet decides: a TOML file, and variables for what is secret.

::

    [fleet]                      # each also as RUTTER_FLEET_<NAME>, which wins
    ledger_url = "postgresql://…"
    broker_url = "amqp://…"      # none: workers look in the ledger every few seconds
    slots = 4

    [tap]
    config = "tap.json"          # the tap's settings; TAP_RUTTER_… variables count as well
    catalog = "catalog.json"     # which streams and columns; without it: all

    [target]
    command = ["target-postgres", "--config", "target.json"]
    variables = ["TARGET_POSTGRES_*"]   # what of the environment it gets, beside a few of its own
    database_url = "postgresql://…"     # to end the sessions of a run that was lost
    schema = "rutter"                   # and to bring webhooks' deletions beside its tables

    [meltano]                    # in the place of the tap's settings and the target's command
    project = "."                # the folder with meltano.yml, which says both
"""

from __future__ import annotations

import copy
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tap_rutter.errors import ConfigError
from tap_rutter.names import nearest
from tap_rutter.versions import LATEST

PREFIX = "RUTTER_FLEET_"


@dataclass(frozen=True)
class MeltanoProject:
    """What a Meltano project has said when it was asked; see ``runs/meltano.py``."""

    directory: str
    """For this user alone: the catalog, and a system database that nobody has used."""
    plugins: str
    """Where Meltano has installed the project's plugins."""
    loader_settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class FleetConfig:
    """The checked configuration. Lengths of time are in seconds unless the name says otherwise."""

    ledger_url: str = field(default="", repr=False)
    broker_url: str = field(default="", repr=False)
    """RabbitMQ (amqp), Redis (redis) or SQS (sqs); empty: no broker."""
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Any of them may have signed; empty: the tap's client_secret."""
    slots: int = 4
    """Runs at once in a worker."""
    sweep_minutes: int = 60
    """A connection without a run of all streams for so long is due."""
    sweep_only_after_sync: bool = True
    """Whether a sweep leaves out what Rutter has not synced since it was last read."""
    full_read_hours: int = 24
    """How often everything is read anew, for reconcile; 0: never."""
    look_seconds: float = 2.0
    """How often an idle slot looks in the ledger, whether or not a doorbell rang."""
    lease_seconds: float = 60.0
    stop_seconds: float = 30.0
    """How long a run may take to end in order."""
    fresh_seconds: float = 3.0
    """The predicted length up to which a run of webhooks takes connections together."""
    batch_seconds: float = 15.0
    """The same for a run of the sweep."""
    largest_run: int = 500
    """Connections that a run takes at most."""
    bulk_rows: int = 50_000
    """From so many expected rows on, a connection goes by the bulk lane."""
    park_after: int = 5
    """Failures of a connection in a row, each of its own fault, after which it is parked."""
    back_off_seconds: float = 60.0
    """After the first failure; doubled by each further one."""
    longest_back_off_seconds: float = 6 * 3600.0
    work_directory: str = ""
    """Where runs keep their files (mode 700); empty: the system's place for temporary files."""
    tap_command: tuple[str, ...] = ()
    """Empty: tap-rutter, from this installation."""
    tap_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The tap's settings: of the file that ``[tap] config`` names, and TAP_RUTTER_… variables."""
    catalog: str = ""
    target_command: tuple[str, ...] = ()
    target_variables: tuple[str, ...] = ()
    target_database_url: str = field(default="", repr=False)
    target_schema: str = ""
    """Where in that database the target's tables are; deletions that webhooks told of are brought
    there."""
    meltano_project: str = ""
    """The folder with meltano.yml; empty: tap and target run without Meltano."""
    meltano_environment: str = ""
    """Empty: the default environment of meltano.yml."""
    meltano_extractor: str = "tap-rutter"
    meltano_loader: str = "target-postgres"
    meltano_command: tuple[str, ...] = ()
    """Empty: meltano, of this installation or else along the PATH."""
    meltano_variables: tuple[str, ...] = ()
    """What of the environment Meltano gets when it is asked for settings and catalog, beside
    TAP_RUTTER_…"""
    meltano: MeltanoProject | None = field(default=None, repr=False)
    """Filled in by asking the project; this is not a setting."""

    @property
    def api_version(self) -> str:
        """The API version that the tap is set to. A wrong one is refused by whoever uses it."""
        return str(self.tap_config.get("api_version") or LATEST)

    @classmethod
    def load(cls, path: Path | None, environment: Mapping[str, str] = os.environ) -> FleetConfig:
        """Read the file, if there is one, and the variables.

        Raises:
            ConfigError: naming the setting and what it takes, never a value.
        """
        given = _read(path) if path else {}
        base = path.parent if path else Path()
        values: dict[str, Any] = {}
        for section, setting, value in _entries(given, environment):
            name = _NAMES.get((section, setting))
            if name is None:
                close = nearest(setting, {key for _, key in _NAMES})
                hint = f" Did you mean '{close}'?" if close else ""
                raise ConfigError(f"[{section}] has no setting '{setting}'.{hint}")
            values[name] = _checked(section, setting, value, base)
        if values.get("meltano_project"):
            _check_meltano(values)
        if environment is os.environ:
            # Secrets are kept out of files: the tap's own variables count here as they do there.
            values["tap_config"] = {**values.get("tap_config", {}), **_tap_variables()}
        config = cls(**values)
        if not config.ledger_url:
            raise ConfigError(
                "Setting 'ledger_url' of [fleet] is missing: the PostgreSQL database that keeps the"
                f" ledger, in the configuration or as {PREFIX}LEDGER_URL."
            )
        return config

    def check_target(self) -> None:
        """For whoever starts targets; the receiver does not.

        Raises:
            ConfigError: when there is no command.
        """
        if not self.target_command and not self.meltano_project:
            raise ConfigError(
                "Setting 'command' of [target] is missing: the command as an array, such as"
                ' ["target-postgres", "--config", "target.json"].'
            )


_SECTIONS = {
    "tap": {"command": "tap_command", "config": "tap_config", "catalog": "catalog"},
    "target": {
        "command": "target_command",
        "variables": "target_variables",
        "database_url": "target_database_url",
        "schema": "target_schema",
    },
    "meltano": {
        name: f"meltano_{name}"
        for name in ("project", "environment", "extractor", "loader", "command", "variables")
    },
}
_NOT_A_SETTING = "meltano"
_NAMES: dict[tuple[str, str], str] = {
    (section, setting): name
    for section, settings in _SECTIONS.items()
    for setting, name in settings.items()
}
_NAMES |= {
    ("fleet", entry.name): entry.name
    for entry in fields(FleetConfig)
    if entry.name not in {*_NAMES.values(), _NOT_A_SETTING}
}
_TYPES = {entry.name: entry.type for entry in fields(FleetConfig)}
_LISTS = {"tuple[str, ...]"}
_WORDS = {"true": True, "false": False}
_COUNTS = {"slots", "largest_run", "park_after", "sweep_minutes", "bulk_rows"}  # at least 1


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The message of the parser may quote a line, and with it a secret: only the place is said.
        place = re.search(r"line \d+, column \d+", str(error))
        raise ConfigError(f"{path} is not TOML{f' at {place[0]}' if place else ''}.") from None


def _entries(
    given: Mapping[str, Any], environment: Mapping[str, str]
) -> list[tuple[str, str, Any]]:
    """(section, setting, value), variables last, so that they win."""
    entries = []
    for section, content in given.items():
        if section not in {"fleet", *_SECTIONS} or not isinstance(content, dict):
            raise ConfigError(
                f"[{section}] is not a section: there are fleet, {', '.join(_SECTIONS)}."
            )
        entries += [(section, setting, value) for setting, value in content.items()]
    by_variable = {
        f"{PREFIX}{'' if section == 'fleet' else section.upper() + '_'}{setting.upper()}": (
            section,
            setting,
        )
        for section, setting in _NAMES
    }
    entries += [
        (*place, environment[variable])
        for variable, place in by_variable.items()
        if environment.get(variable)
    ]
    return entries


def _checked(section: str, setting: str, value: Any, base: Path) -> Any:
    """The value in its type; variables come as text."""
    name = _NAMES[section, setting]
    kind = str(_TYPES[name])
    where = f"Setting '{setting}' of [{section}]"
    if name == "tap_config":
        return _tap_settings(where, value, base)
    if kind in _LISTS:
        if isinstance(value, str):
            value = value.split("," if name == "webhook_secrets" else None)
        if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
            raise ConfigError(f"{where} must be an array of strings.")
        return tuple(entry.strip() for entry in value)
    if kind == "bool":
        found = _WORDS.get(value.strip().lower()) if isinstance(value, str) else value
        if not isinstance(found, bool):
            raise ConfigError(f"{where} must be true or false.")
        return found
    if kind in {"int", "float"}:
        least = 1 if name in _COUNTS else 0
        try:
            number = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            number = None
        if number is None or not least <= number <= 1e9 or (kind == "int" and number % 1):
            what = "a whole number" if kind == "int" else "a number"
            raise ConfigError(f"{where} must be {what}, {least} or more.")
        return int(number) if kind == "int" else number
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} must be a string.")
    if name in {"catalog", "meltano_project", "work_directory"}:
        return str((base / value.strip()).absolute())
    return value.strip()


def _check_meltano(values: Mapping[str, Any]) -> None:
    """With Meltano, the project is the one place that says how tap and target are run."""
    for name in ("tap_command", "tap_config", "catalog", "target_command"):
        if values.get(name):
            section, setting = next(place for place, to in _NAMES.items() if to == name)
            raise ConfigError(
                f"Setting '{setting}' of [{section}] cannot be used beside [meltano]: the Meltano"
                " project says it. Leave out one of the two."
            )
    folder = Path(values["meltano_project"])
    if not (folder / "meltano.yml").is_file():
        raise ConfigError(
            f"Setting 'project' of [meltano] must be a folder with a meltano.yml: {folder}."
        )


def _tap_settings(where: str, value: Any, base: Path) -> Mapping[str, Any]:
    from tap_rutter.config import read_files

    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} must be the path of the tap's settings, a JSON file.")
    return read_files([str(base / value)])


def _tap_variables() -> dict[str, Any]:
    from tap_rutter.config import read_environment
    from tap_rutter.settings_schema import JSONSCHEMA

    return read_environment(copy.deepcopy(JSONSCHEMA))
