"""A run of the tap for the console script: from the options to the exit code."""

from __future__ import annotations

import logging
from functools import partial
from typing import IO, Any

import click

from tap_rutter.cli.endings import BAD_CONFIG, FAILED, REFUSED, fail, reader_gone
from tap_rutter.cli.log import hide_metrics
from tap_rutter.cli.progress_bar import open_progress_bar
from tap_rutter.cli.signals import ending_in_order
from tap_rutter.cli.summary import log_remarks, log_summary
from tap_rutter.config import warnings_of_address
from tap_rutter.errors import (
    CredentialsRefused,
    RequestFailed,
    Stopped,
    Terminated,
    UnknownConnections,
)
from tap_rutter.redact import guard_logging
from tap_rutter.sync import preview
from tap_rutter.tap import TapRutter

logger = logging.getLogger("tap-rutter")

DISABLED = "disabled"
TESTS = ("all", "records", "schema", DISABLED)
"""Values of ``--test``: one record of each stream (all or records), or the schemas only."""


def singer_command(tap_class: type[TapRutter]) -> click.Command:
    """The SDK's command with our run instead of its own, and with ``--test`` as a normal option.

    The SDK's own ``--test`` ends before the catalog is applied, and logs unhandled errors where
    there are none.
    """
    command = tap_class.cli
    command.callback = partial(_run, tap_class)
    for option in command.params:
        if isinstance(option, click.Option) and option.name == "test":
            option.type = click.Choice(TESTS)
            option.expose_value, option.callback = True, None
            option.help = (
                "Try out whether the tap can read; no bookmark moves. Writes one record of each"
                " stream (all or records, also without a value), or only the schemas (schema),"
                " which needs no request."
            )
    return command


def _run(
    tap_class: type[TapRutter], *, about: bool, about_format: str | None, **arguments: Any
) -> int:
    if about:
        tap_class.print_about(about_format)
        return 0
    return invoke(tap_class, **arguments)


def invoke(
    tap_class: type[TapRutter],
    *,
    config: Any,
    state: IO[str] | None,
    catalog: IO[str] | None,
    test: str = DISABLED,
) -> int:
    """Run the tap as the settings and the catalog say; returns the exit code.

    ``test``: one of ``TESTS``, to try the tap out only.
    """
    guard_logging()
    tap = tap_class.from_arguments(config=config, state=state, catalog=catalog)
    hide_metrics()  # after the tap: the SDK sets up its logging with it
    for warning in (*tap.notices, *warnings_of_address(tap.settings.api_url)):
        logger.warning("%s", warning)
    with ending_in_order(tap.run.end):
        try:
            code = _code_of(tap, test)
            tap.run.end_report(code)
            return code
        finally:
            tap.run.close()


def _code_of(tap: TapRutter, test: str) -> int:
    """Do what was asked for; returns the exit code."""
    try:
        return _read(tap) if test == DISABLED else _try_out(tap, test)
    except Terminated as ended:
        return _end(tap, ended.signum, write_state=test == DISABLED)
    except BrokenPipeError:
        return reader_gone()
    except OSError as error:  # those of requests never come this far
        return fail(f"The output cannot be written: {error.strerror}.", FAILED)
    except (ValueError, TypeError):
        # The settings have been read: from here on it is not their fault.
        logger.exception("A fault of the tap itself:")
        return FAILED


def _list_connections(tap: TapRutter) -> int:
    """List the connections; returns 0, or the exit code if they cannot be listed."""
    try:
        tap.run.start()
    except CredentialsRefused as error:
        return fail(error.message, REFUSED)
    except UnknownConnections as error:
        return fail(error.message, BAD_CONFIG)
    except Stopped:
        tap.run.check_signal()
        return FAILED
    except RequestFailed as error:
        what = "" if tap.settings.connections_file else "The connections cannot be listed: "
        return fail(what + error.message, FAILED)
    return 0


def _read(tap: TapRutter) -> int:
    code = _list_connections(tap)
    if code:
        return code
    tap.run.progress_bar = open_progress_bar(tap.run.client)
    try:
        tap.sync_all()
        tap.run.finish()
    except Stopped:
        tap.run.check_signal()
        return FAILED
    except CredentialsRefused as error:
        tap.run.trouble = error
        tap.run.finish()
        return fail(error.message, REFUSED)
    tap.run.progress_bar.end(tap.run.report.delivered)
    tap.run.progress_bar.stop()
    log_summary(tap.run)
    return tap.run.exit_code


def _try_out(tap: TapRutter, test: str) -> int:
    if test == "schema":
        preview.write_schemas(tap.rutter_streams, tap.writer)
        return 0
    code = _list_connections(tap)
    if code:
        return code
    try:
        preview.write_records(tap.run.start().emitter, tap.rutter_streams, tap.writer)
    except Stopped:
        tap.run.check_signal()
        return FAILED
    log_remarks(tap.run)
    return tap.run.exit_code


def _end(tap: TapRutter, signum: int, *, write_state: bool) -> int:
    """End after a signal: complete the last line, and write a STATE for what was delivered."""
    logger.warning("Ended by signal %d: writing what has been read.", signum)
    try:
        if write_state:
            tap.run.finish()
        tap.writer.flush()
    except BrokenPipeError:
        reader_gone()
    return 128 + signum
