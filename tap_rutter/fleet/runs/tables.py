"""Tables are prepared before loads.

Targets that start at once die creating the same schema, table or column. So what the tables depend
on is hashed; a form that the ledger does not know is prepared once, by one worker, with the tap's
SCHEMA messages alone; then no load changes a table.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import threading
import time
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol
from uuid import uuid4

from tap_rutter import __version__
from tap_rutter.errors import TapError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Environment, State
from tap_rutter.fleet.runs.environment import (
    tap_environment,
    tap_settings,
    target_environment,
    target_files,
    without_secrets,
)
from tap_rutter.fleet.runs.files import RunDirectory, catalog_of, read_catalog
from tap_rutter.fleet.runs.outcome import CANNOT_START, is_race
from tap_rutter.fleet.runs.pipe import STATE_NUMBER, Watched, watch
from tap_rutter.fleet.runs.slot import Slot

TRIES = 5
LOCK_SECONDS = 30
"""How long a change of a table waits for whoever reads it: behind it, all others would wait."""
_STOP_SECONDS = 30.0

# What shapes neither columns nor tables. A setting that is not named here may.
_SHAPELESS = frozenset(
    {
        "api_url",
        "client_id",
        "client_secret",
        "concurrency",
        "empty_tables",
        "environment",
        "force_fetch",
        "lookback_hours",
        "max_retry_seconds",
        "on_connection_error",
        "only_after_sync",
        "page_size",
        "payout_days",
        "recheck_unserved_hours",
        "request_timeout",
        "start_date",
        "statement_months",
        "user_agent",
        "window_days",
    }
)


class PrepareFailed(TapError):
    """The tables could not be prepared; the message says why, without secrets."""


class Preparing(Protocol):
    """What the ledger does for it."""

    def prepared(self, schema_hash: str) -> bool:
        """Whether tables of this form have been prepared."""

    def preparing(self, schema_hash: str, lock_timeout: float) -> AbstractContextManager[bool]:
        """The turn to prepare them; True if it is still to be done."""


def schema_hash(config: FleetConfig, environment: Environment = os.environ) -> str:
    """A text that changes whenever the tables might: tap, settings, catalog, target.

    What is secret is left out, so that the hash tells nothing of it.

    Raises:
        ConfigError: for a catalog that cannot be read.
    """
    settings = tap_settings(config)
    target = {
        name: value
        for name, value in target_environment(config, "", environment).items()
        if name not in tap_environment(environment)
    }
    parts = {
        "tap": [
            _version_of(config.tap_command) if config.tap_command else __version__,
            *config.tap_command,
        ],
        "settings": {name: settings[name] for name in settings if name not in _SHAPELESS},
        "catalog": read_catalog(config.catalog) if config.catalog else None,
        "target": without_secrets(list(config.target_command)),
        "files": {name: _file(text) for name, text in target_files(config).items()},
        "meltano": _loader(config),
        "variables": without_secrets(target),
    }
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _loader(config: FleetConfig) -> Any:
    """Meltano's loader and its settings; None without Meltano."""
    if config.meltano is None:
        return None
    return [config.meltano_loader, without_secrets(config.meltano.loader_settings)]


def _file(text: str) -> Any:
    try:
        return without_secrets(json.loads(text))
    except ValueError:
        return text


@cache
def _version_of(command: tuple[str, ...]) -> str:
    """What a command says of its version."""
    told = subprocess.run(
        [*command, "--version"],
        env=tap_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    return told.stdout.strip()


def ensure_prepared(
    ledger: Preparing,
    slot: Slot,
    known: str | None = None,
    *,
    lock_timeout: float = 600.0,
    stop: threading.Event | None = None,
) -> str:
    """See that the tables have the form that loads need; returns its hash.

    Args:
        ledger: Remembers which forms there are.
        slot: Where it is done.
        known: A hash that this worker has seen prepared: it is not asked for again.
        lock_timeout: Seconds to wait while another worker prepares them.
        stop: Ends it.

    Raises:
        PrepareFailed: when tap or target fails.
    """
    wanted = schema_hash(slot.config, slot.environment)
    if wanted == known or ledger.prepared(wanted):
        return wanted
    with ledger.preparing(wanted, lock_timeout) as is_needed:
        if is_needed:
            prepare(slot, stop=stop)
    return wanted


def prepare(slot: Slot, *, stop: threading.Event | None = None) -> None:
    """Have the target make schema, tables and columns of every selected stream.

    Raises:
        PrepareFailed: when tap or target fails.
    """
    for attempt in range(TRIES):
        landed, seen = _attempt(slot, stop or threading.Event())
        if landed:
            return
        if not is_race(seen):
            break
        # Somebody else's: a load that began before, or another program.
        time.sleep(random.uniform(0.1, 0.5) * (attempt + 1))
    raise PrepareFailed(_said(seen))


def _attempt(slot: Slot, stop: threading.Event) -> tuple[bool, Watched]:
    config, name = slot.config, uuid4()
    told: list[State] = []
    with RunDirectory(config.work_directory) as directory:
        arguments = ["--config", directory.write("settings.json", tap_settings(config))]
        catalog = catalog_of(config, None)
        if catalog is not None:
            arguments += ["--catalog", directory.write("catalog.json", catalog)]
        options = slot.environment.get("PGOPTIONS", "")
        options = options if "PGOPTIONS" in target_environment(config, "", slot.environment) else ""
        runner = slot.start(name, PGOPTIONS=f"{options} -c lock_timeout={LOCK_SECONDS}s".strip())
        slot.start_tap(
            runner,
            [*arguments, "--test=schema"],
            directory.path,
            # A target may end with 0 and nothing done: it is to say that it came to this.
            last_line=json.dumps({"type": "STATE", "value": {"bookmarks": {}, STATE_NUMBER: 1}})
            + "\n",
        )
        seen = watch(
            runner,
            on_state=told.append,
            on_tap_end=lambda: None,
            stop=stop,
            kill=threading.Event(),
            stop_seconds=_STOP_SECONDS,
        )
    return bool(told) and seen.tap_exit == 0 and seen.target_exit == 0, seen


def _said(seen: Watched) -> str:
    if seen.was_stopped:
        return "The tables are not prepared: it was asked to end."
    tap_failed = seen.tap_exit not in {0, None, -9}
    who, code, tail = (
        ("tap", seen.tap_exit, seen.tap_said)
        if tap_failed
        else ("target", seen.target_exit, seen.target_said)
    )
    how = "cannot be started" if code == CANNOT_START else f"ended with exit code {code}"
    last = tail.text.splitlines()[-3:]
    return f"The tables cannot be prepared: the {who} {how}. {' '.join(last)}".strip()
