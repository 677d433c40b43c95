"""The console script ``tap-rutter``: the SDK's command, with exit codes and messages of our own.

====  ===================================================================================
0     all complete, or skipped for a benign reason that is reported
1     something failed, after everything else was synced and its state written
2     bad configuration: nothing on standard output, no request (unknown connection ids: after
      the listing)
3     Rutter refuses the organisation's credentials
130   ended by SIGINT
143   ended by SIGTERM
====  ===================================================================================
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tap_rutter.cli.log import hide_metrics
from tap_rutter.cli.progress_bar import open_progress_bar
from tap_rutter.errors import (
    ConfigError,
    CredentialsRefused,
    RequestFailed,
    Stopped,
    Terminated,
    UnknownConnections,
)
from tap_rutter.redact import guard_logging, redact

if TYPE_CHECKING:
    from tap_rutter.tap import TapRutter

logger = logging.getLogger("tap-rutter")

FAILED, BAD_CONFIG, REFUSED = 1, 2, 3
DISABLED = "disabled"
TESTS = ("all", "records", "schema", DISABLED)
"""What ``--test`` takes: records (the same as all), or the schemas alone; or a run after all."""
_GRACE_SECONDS = 5.0
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


def main(args: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    sys.exit(run_command(args))


def run_command(args: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    try:
        command = _load().cli
        guard_logging()
        result = command.main(args=args, prog_name="tap-rutter", standalone_mode=False)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else FAILED
    except ConfigError as error:
        return _say(error.message, BAD_CONFIG)
    except click.ClickException as error:
        return _say(redact(error.format_message()), BAD_CONFIG)
    except click.Abort:
        return 130
    except FileNotFoundError as error:
        return _say(f"File not found: {error.filename}", BAD_CONFIG)
    except IsADirectoryError as error:
        return _say(f"A directory where a file is expected: {error.filename}", BAD_CONFIG)
    except PermissionError as error:
        return _say(f"File cannot be read: {error.filename}", BAD_CONFIG)
    except json.JSONDecodeError as error:
        return _say(f"Malformed JSON at line {error.lineno}, column {error.colno}.", BAD_CONFIG)
    except (ValueError, TypeError) as error:
        # Reading configuration files and variables; what they hold is not to be quoted.
        return _say(f"The configuration cannot be read ({type(error).__name__}).", BAD_CONFIG)
    except BrokenPipeError:
        return _reader_gone()
    except KeyboardInterrupt:  # before the run looks after signals itself
        return 128 + signal.SIGINT
    return result if isinstance(result, int) else 0


def _load() -> type[TapRutter]:
    """The tap, imported: most of what a short run takes, and a tenth less this way."""
    is_first = "tap_rutter.tap" not in sys.modules
    if is_first:
        gc.disable()  # what modules make stays: looking for garbage in between finds none
    try:
        from tap_rutter.tap import TapRutter
    finally:
        if is_first:
            gc.freeze()
            gc.enable()
    return TapRutter


def _say(message: str, code: int) -> int:
    logger.error("%s", message)
    return code


def invoke(
    tap_class: type[TapRutter],
    *,
    config: Any,
    state: IO[str] | None,
    catalog: IO[str] | None,
    test: str = DISABLED,
) -> int:
    """Read everything that the settings and the catalog ask for; returns the exit code.

    ``test``: whether to try it out only, one of ``TESTS``.
    """
    guard_logging()
    tap_class.print_version(print_fn=logger.info)
    tap = tap_class(
        config=dict(config.config) if config else {},
        parse_env_config=bool(config and config.parse_env),
        state=None if state is None else _json(state, "state"),
        catalog=None if catalog is None else _json(catalog, "catalog"),
        validate_config=True,
    )
    hide_metrics()  # the SDK sets its logging up with the tap
    for notice in tap.notices:
        logger.warning("%s", notice)
    _warn_of_address(tap.settings.api_url)
    with _signals(tap):
        try:
            return _read(tap) if test == DISABLED else _try_out(tap, test)
        except Terminated as ended:
            return _end(tap, ended.signum, stated=test == DISABLED)
        except BrokenPipeError:
            return _reader_gone()
        except OSError as error:  # those of requests never come this far
            return _say(f"The output cannot be written: {error.strerror}.", FAILED)
        except (ValueError, TypeError):
            # The settings have been read: from here on it is no fault of theirs.
            logger.exception("A fault of the tap itself:")
            return FAILED
        finally:
            tap.run.close()


def _warn_of_address(api_url: str) -> None:
    parts = urlsplit(api_url)
    if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        logger.warning("Setting 'api_url' is no https address: keys and tokens travel readable.")
    if not parts.path.endswith("/versioned"):
        logger.warning(
            "Setting 'api_url' does not end in /versioned: Rutter's other addresses take no notice"
            " of 'api_version'."
        )


def _json(source: IO[str], what: str) -> Any:
    try:
        content = json.loads(source.read())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ConfigError(f"The given {what} is no JSON: {source.name}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"The given {what} is no JSON object: {source.name}")
    return content


def _try_out(tap: TapRutter, test: str) -> int:
    from tap_rutter.sync import preview

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
    for line in (*tap.run.delivery.map_failures.lines(), *tap.run.notices):
        logger.info("%s", line)
    return tap.run.exit_code


def _list_connections(tap: TapRutter) -> int:
    """See that the connections can be listed; returns the exit code."""
    try:
        tap.run.start()
    except CredentialsRefused as error:
        return _say(error.message, REFUSED)
    except UnknownConnections as error:
        return _say(error.message, BAD_CONFIG)
    except Stopped:
        tap.run.check_signal()
        return FAILED
    except RequestFailed as error:
        return _say(f"The connections cannot be listed: {error.message}", FAILED)
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
        tap.run.finish()
        return _say(error.message, REFUSED)
    tap.run.progress_bar.end(tap.run.report.delivered)
    tap.run.progress_bar.stop()
    _summarise(tap)
    return tap.run.exit_code


def _summarise(tap: TapRutter) -> None:
    run = tap.run
    lines = run.report.summary(run.clock.now(), run.throttle.turns)
    for line in (*lines, *run.delivery.map_failures.lines(), *run.notices):
        logger.info("%s", line)


@contextmanager
def _signals(tap: TapRutter) -> Iterator[None]:
    """SIGTERM and SIGINT end the run in order, within a few seconds even if its reader is stuck."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        # Whatever the emitter holds now, a lock or half a line, it must be able to let go of: the
        # handler itself only starts a thread.
        for name in before:
            signal.signal(name, signal.SIG_IGN)
        threading.Thread(target=_ending, args=(tap, signum), daemon=True).start()

    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    for name in before:
        signal.signal(name, end)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _ending(tap: TapRutter, signum: int) -> None:
    tap.run.end(signum)
    time.sleep(_GRACE_SECONDS)
    # The reader takes nothing: what it has committed is what counts.
    os._exit(128 + signum)


def _end(tap: TapRutter, signum: int, *, stated: bool) -> int:
    """A whole last line, and a STATE for what was delivered unless it was for trial only."""
    logger.warning("Ended by signal %d: writing what has been read.", signum)
    try:
        if stated:
            tap.run.finish()
        tap.writer.flush()
    except BrokenPipeError:
        _reader_gone()
    return 128 + signum


def _reader_gone() -> int:
    """The reader of standard output has ended: nothing more can be delivered."""
    # Python would complain once more when it flushes standard output at exit.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    logger.error("The reader of the tap's output has ended before the tap.")
    return FAILED
