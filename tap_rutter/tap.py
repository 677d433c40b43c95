"""The tap: its settings, its streams, and how it is invoked."""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any, ClassVar

import click
from singer_sdk.exceptions import MappingError
from singer_sdk.helpers.capabilities import (
    CapabilitiesEnum,
    PluginCapabilities,
    TapCapabilities,
)
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_rutter.catalog import checked, settle
from tap_rutter.connections.notices import unknown_settings, unknown_variables
from tap_rutter.errors import ConfigError
from tap_rutter.schema.document import document
from tap_rutter.settings import Settings
from tap_rutter.settings_schema import JSONSCHEMA, REFUSED
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.streams.base import RutterStream, RutterTap
from tap_rutter.streams.described import check_described
from tap_rutter.sync import maps
from tap_rutter.sync.run import Run
from tap_rutter.sync.state import Bookmarks, check_shape
from tap_rutter.sync.writer import BlockWriter

logger = logging.getLogger("tap-rutter")


class TapRutter(RutterTap):
    """Singer tap for Rutter's unified API of commerce, accounting, banking, HR and ads."""

    name = "tap-rutter"
    package_name = "tap-rutter"
    # A copy: the SDK adds its own settings to it.
    config_jsonschema: ClassVar[dict[str, Any]] = copy.deepcopy(JSONSCHEMA)
    message_writer_class = BlockWriter
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(
        self,
        *,
        config: Any = None,
        catalog: Any = None,
        state: Any = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        **kwargs: Any,
    ) -> None:
        """Check everything that was given, before any request.

        Raises:
            ConfigError: for settings, a catalog or a state that cannot be used.
        """
        self._with_credentials = validate_config
        self.notices: list[str] = []
        check_shape(state or {})
        if parse_env_config:
            config = {**(config or {}), **read_environment()}
        super().__init__(
            config=config,
            catalog=checked(catalog),
            state=state or None,
            validate_config=validate_config,
            **kwargs,
        )
        self.bookmarks = Bookmarks(self.state)  # type: ignore[arg-type]

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # The SDK's own check quotes values in its messages, secrets too; no public hook precedes
        # it. Ours names the setting only.
        del raise_errors
        self.settings = Settings.from_config(
            self.config, with_credentials=self._with_credentials, known_optional=OPTIONAL
        )
        self.append_builtin_config(self.config_jsonschema)
        # maps.py says in words what is wrong with a map; the SDK's schema of them cannot be used.
        values = {**self._config}
        if isinstance(values.get("stream_maps"), dict):
            values["stream_maps"] = {}
        for error in DEFAULT_JSONSCHEMA_VALIDATOR(self.config_jsonschema).iter_errors(values):
            if error.path:
                where = ".".join(str(part) for part in error.path)
                raise ConfigError(
                    f"Setting '{where}' is not of its type: {error.validator} must be"
                    f" {error.validator_value!r}."
                )
        if self._config.get("flattening_enabled") and "flattening_max_depth" not in self._config:
            raise ConfigError("Setting 'flattening_enabled' needs 'flattening_max_depth' as well.")
        known = {*self.config_jsonschema["properties"], *REFUSED}
        self.notices += unknown_settings(self._config, known)
        self.notices += unknown_variables(os.environ, known)
        return []

    def setup_mapper(self) -> None:
        """Prepare the SCHEMA messages, by way of the SDK's maps.

        Raises:
            ConfigError: for a map that cannot be read.
        """
        settle(self._input_catalog, self)
        given = self._config.get("stream_maps") or {}
        settled, said = maps.checked(given, self._known())
        # A copy: the SDK takes parts out of it.
        self._config = {**self._config, "stream_maps": settled}
        self.notices += said
        try:
            super().setup_mapper()
        except (MappingError, LookupError, TypeError, ValueError) as error:
            # The SDK's own message quotes the expression, and with it whatever it was given.
            raise ConfigError(
                "Setting 'stream_maps' or flattening holds what cannot be used"
                f" ({type(error).__name__})."
            ) from None
        maps.guard(self.mapper)

    def _known(self) -> maps.Known:
        """What stream maps can be about."""
        streams = self.rutter_streams
        return maps.Known(
            streams=[name_of(stream) for stream in STREAMS],
            columns={stream.name: list(stream.schema["properties"]) for stream in streams},
            keys={stream.name: stream.primary_keys for stream in streams},
        )

    def discover_streams(self) -> Sequence[RutterStream]:
        """The streams that the API version has; optional ones only when named.

        Raises:
            UndescribedStream: for a stream that the API description does not know in any version.
        """
        pinned = document(self.settings.api_version)
        check_described(STREAMS, pinned)
        return [
            stream(self)
            for stream in STREAMS
            if (not stream.path or pinned.has(stream.path))
            and (not stream.is_optional or name_of(stream) in self.settings.optional_streams)
        ]

    @property
    def rutter_streams(self) -> list[RutterStream]:
        """The streams in the order in which they are read."""
        return [stream for stream in self.streams.values() if isinstance(stream, RutterStream)]

    @cached_property
    def streams_by_resource(self) -> Mapping[str, str]:
        """Names of streams by what deletion events call their rows."""
        return {
            stream.event_resource: name_of(stream) for stream in STREAMS if stream.event_resource
        }

    @cached_property
    def run(self) -> Run:
        """The run that this tap is for."""
        return Run(self)

    @property
    def writer(self) -> BlockWriter:
        """Where messages go."""
        assert isinstance(self.message_writer, BlockWriter)
        return self.message_writer

    @classmethod
    def cb_config(cls, ctx: Any, param: Any, value: tuple[str, ...]) -> Any:
        """The settings that the command line names; a file that cannot be read is named.

        Raises:
            ConfigError: for a file that cannot be read.
        """
        given = super().cb_config(ctx, param, tuple(name for name in value if name == "ENV"))
        given.config = read_config([name for name in value if name != "ENV"])
        return given

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, whose ``--test`` is an option like others.

        The SDK's own trial ends before a catalog has been taken in, and logs what is no fault as
        unhandled errors.
        """
        from tap_rutter.cli.tap_command import TESTS

        command = super().get_singer_command()
        for option in command.params:
            if isinstance(option, click.Option) and option.name == "test":
                option.type = click.Choice(TESTS)
                option.expose_value, option.callback = True, None
                option.help = (
                    "Try out whether the tap can read, moving no bookmark: one record of each"
                    " stream (all or records, also without a value), or the schemas alone (schema),"
                    " which needs no request."
                )
        return command

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        test: str = "disabled",
    ) -> None:
        """Run the tap from the command line."""
        from tap_rutter.cli.tap_command import invoke

        if about:
            cls.print_about(about_format)
            return
        sys.exit(invoke(cls, config=config, state=state, catalog=catalog, test=test))


def read_config(sources: Sequence[str]) -> dict[str, Any]:
    """The settings in JSON files, later ones winning, and for ``ENV`` in the environment.

    Raises:
        ConfigError: for a file that cannot be read, or a variable that is not of its type.
    """
    config: dict[str, Any] = {}
    for source in sources:
        config |= read_environment() if source == "ENV" else _read_file(source)
    return config


def _read_file(source: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"File {source} cannot be read: {error.strerror}.") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"The settings in {source} are no JSON object.")
    return content


def read_environment() -> dict[str, Any]:
    """The settings in variables such as ``TAP_RUTTER_CLIENT_ID``, also from a file ``.env``.

    Raises:
        ConfigError: for a variable that is not of its setting's type.
    """
    try:
        return dict(TapRutter._env_var_config)
    except ValueError:
        for name, schema in TapRutter.config_jsonschema["properties"].items():
            _check_variable(name, schema)
        raise


def _check_variable(setting: str, schema: Mapping[str, Any]) -> None:
    variable = f"{TapRutter._env_var_prefix}{setting.upper()}"
    kinds = schema.get("type", ())
    try:
        if "integer" in kinds:
            int(os.environ.get(variable, "0"))
        elif "object" in kinds:
            json.loads(os.environ.get(variable, "{}"))
    except ValueError:
        expected = "an integer" if "integer" in kinds else "a JSON object"
        raise ConfigError(f"Setting '{setting}' in {variable} must be {expected}.") from None
