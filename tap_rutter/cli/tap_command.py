"""The console script ``tap-rutter``: every error is one line and an exit code (see endings.py)."""

from __future__ import annotations

import gc
import json
import signal
import sys

import click

from tap_rutter.cli.endings import BAD_CONFIG, FAILED, fail, reader_gone
from tap_rutter.errors import ConfigError
from tap_rutter.redact import guard_logging, redact


def main(args: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    sys.exit(run_command(args))


def run_command(args: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    try:
        command = _load()
        guard_logging()
        result = command.main(args=args, prog_name="tap-rutter", standalone_mode=False)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else FAILED
    except ConfigError as error:
        return fail(error.message, BAD_CONFIG)
    except click.ClickException as error:
        return fail(redact(error.format_message()), BAD_CONFIG)
    except click.Abort:
        return 130
    except FileNotFoundError as error:
        return fail(f"File not found: {error.filename}", BAD_CONFIG)
    except IsADirectoryError as error:
        return fail(f"A directory where a file is expected: {error.filename}", BAD_CONFIG)
    except PermissionError as error:
        return fail(f"File cannot be read: {error.filename}", BAD_CONFIG)
    except json.JSONDecodeError as error:
        return fail(f"Malformed JSON at line {error.lineno}, column {error.colno}.", BAD_CONFIG)
    except (ValueError, TypeError) as error:
        # From configuration files or variables, whose values must not be quoted.
        return fail(f"The configuration cannot be read ({type(error).__name__}).", BAD_CONFIG)
    except BrokenPipeError:
        return reader_gone()
    except KeyboardInterrupt:  # before the run handles signals itself
        return 128 + signal.SIGINT
    return result if isinstance(result, int) else 0


def _load() -> click.Command:
    """Import the tap: most of the time of a short run, and a tenth less without the collector."""
    is_first = "tap_rutter.tap" not in sys.modules
    if is_first:
        gc.disable()  # what modules create stays, so there is no garbage to collect
    try:
        from tap_rutter.cli.running import singer_command
        from tap_rutter.tap import TapRutter
    finally:
        if is_first:
            gc.freeze()
            gc.enable()
    return singer_command(TapRutter)
