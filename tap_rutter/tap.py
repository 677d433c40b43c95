"""The tap as the Meltano Singer SDK knows it: its settings, its streams, and its one run.

The console script ``tap-rutter`` runs it by way of ``cli/tap_command.py``.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import IO, Any, ClassVar

from singer_sdk.exceptions import MappingError
from singer_sdk.helpers.capabilities import (
    CapabilitiesEnum,
    PluginCapabilities,
    TapCapabilities,
)
from singer_sdk.mapper import PluginMapper

from tap_rutter.catalog import checked, leaves_of, selected_in, settle
from tap_rutter.config import (
    check_sdk_settings,
    check_variables,
    check_variables_are_replaced,
    notices_of,
    read_files,
    read_json,
)
from tap_rutter.errors import ConfigError
from tap_rutter.redact import guard_logging
from tap_rutter.settings import Settings
from tap_rutter.settings_schema import JSONSCHEMA
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.streams.base import RutterStream, RutterTap
from tap_rutter.sync import maps
from tap_rutter.sync.run import Run
from tap_rutter.sync.state import Bookmarks, check_shape
from tap_rutter.sync.writer import STATE_NUMBER, BlockWriter, GivenState

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
        """Check settings, catalog and state, before any request.

        Raises:
            ConfigError: for settings, a catalog or a state that cannot be used.
        """
        self._with_credentials = validate_config
        self.notices: list[str] = []
        check_shape(state or {})
        # A number that a STATE of an earlier run bears says nothing in this one.
        state = {name: value for name, value in (state or {}).items() if name != STATE_NUMBER}
        try:
            super().__init__(
                config=config,
                catalog=checked(catalog),
                state=state or None,
                parse_env_config=parse_env_config,
                validate_config=validate_config,
                **kwargs,
            )
        except ValueError:
            if parse_env_config:
                check_variables(self.config_jsonschema)
            raise
        self.bookmarks = Bookmarks(self.state)  # type: ignore[arg-type]
        # The SDK's own keeps a copy of the state, and no public hook takes its place.
        self._state_writer = GivenState(self.writer)
        self.writer.numbers_states = bool(self.settings.report_file)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # The SDK's own check quotes values in its messages, secrets too, and no public hook runs
        # before it. Our messages name the setting only.
        del raise_errors
        self.settings = Settings.from_config(
            self.config, with_credentials=self._with_credentials, known_optional=OPTIONAL
        )
        self.append_builtin_config(self.config_jsonschema)
        check_variables_are_replaced(self.config)
        check_sdk_settings(self.config, self.config_jsonschema)
        self.notices += notices_of(self.config, self.config_jsonschema)
        return []

    def setup_mapper(self) -> None:
        """Prepare the SDK's stream maps, which make the SCHEMA messages.

        Raises:
            ConfigError: for a map that cannot be read.
        """
        settle(
            self.input_catalog,
            self.settings.api_version,
            schema_of=lambda leaf: leaf.make_schema(self),
        )
        settled, said = maps.checked(self.config.get("stream_maps") or {}, self._known())
        self.notices += said
        try:
            # As in the SDK, but with our checked maps instead of those of the configuration.
            self.mapper = PluginMapper(
                plugin_config={**self.config, "stream_maps": settled}, logger=self.logger
            )
            # A map of a stream that is not selected finds none of its columns, not even the key.
            self.mapper.register_raw_streams_from_catalog(selected_in(self.catalog))
        except (MappingError, LookupError, TypeError, ValueError) as error:
            # The SDK's own message quotes the expression, and so whatever value is in it.
            raise ConfigError(
                "Setting 'stream_maps', or a setting of flattening, cannot be used"
                f" ({type(error).__name__})."
            ) from None
        maps.guard(self.mapper)

    def _known(self) -> maps.Known:
        """The streams and columns that stream maps may name."""
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
        return [leaf(self) for leaf in leaves_of(self.settings)]

    @property
    def rutter_streams(self) -> list[RutterStream]:
        """The streams in the order in which they are read."""
        return [stream for stream in self.streams.values() if isinstance(stream, RutterStream)]

    @cached_property
    def streams_by_resource(self) -> Mapping[str, str]:
        """Stream names, by the names that deletion events use for their rows."""
        return {
            stream.event_resource: name_of(stream) for stream in STREAMS if stream.event_resource
        }

    @cached_property
    def run(self) -> Run:
        """The tap's one run."""
        return Run(self)

    @property
    def writer(self) -> BlockWriter:
        """Where messages go."""
        assert isinstance(self.message_writer, BlockWriter)
        return self.message_writer

    # ---- the command line

    @classmethod
    def cb_config(cls, ctx: Any, param: Any, value: tuple[str, ...]) -> Any:
        """The settings that the command line names.

        Raises:
            ConfigError: for a file that cannot be read.
        """
        given = super().cb_config(ctx, param, tuple(name for name in value if name == "ENV"))
        given.config = read_files(name for name in value if name != "ENV")
        return given

    @classmethod
    def from_arguments(
        cls, *, config: Any, state: IO[str] | None, catalog: IO[str] | None
    ) -> TapRutter:
        """The tap for a command line, with its settings, catalog and state checked.

        Raises:
            ConfigError: for settings, a catalog or a state that cannot be used.
        """
        cls.print_version(print_fn=logger.info)
        return cls(
            config=dict(config.config) if config else {},
            parse_env_config=bool(config and config.parse_env),
            state=None if state is None else read_json(state, "state"),
            catalog=None if catalog is None else read_json(catalog, "catalog"),
            validate_config=True,
        )

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the tap as the SDK's command ``TapRutter.cli`` does; exits with 0 or 1.

        The console script has its own command, which also handles signals, explains the exit code
        and logs a summary.
        """
        guard_logging()
        if about:
            cls.print_about(about_format)
            return
        tap = cls.from_arguments(config=config, state=state, catalog=catalog)
        try:
            tap.sync_all()
            code = tap.run.exit_code
            tap.run.end_report(code)
        finally:
            tap.run.close()
        sys.exit(code)
