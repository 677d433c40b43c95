"""Which commands tap and target are, with the variables that they get."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Environment
from tap_rutter.fleet.runs import meltano
from tap_rutter.fleet.runs.environment import tap_environment, target_environment


@dataclass(frozen=True)
class Command:
    """A command to be started."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    """All of its variables."""


def tap_command(
    config: FleetConfig,
    arguments: Sequence[str],
    directory: Path,
    environment: Environment = os.environ,
) -> Command:
    """The tap: the operator's command, Meltano, or that of this very package.

    Args:
        config: The fleet's.
        arguments: The tap's own.
        directory: The run's, for this user alone.
        environment: The worker's.
    """
    given = tap_environment(environment)
    if config.meltano is not None:
        more = meltano.system_directory(config, directory / "meltano")
        argv = meltano.invocation(config, config.meltano_extractor)
        return Command((*argv, *arguments), {**given, **more})
    return Command((*(config.tap_command or _own_tap()), *arguments), given)


def target_command(
    config: FleetConfig, name: str, directory: Path | None, environment: Environment = os.environ
) -> Command:
    """The target: the operator's command, or Meltano.

    Args:
        config: The fleet's.
        name: What its database sessions are called.
        directory: For what Meltano keeps, for this user alone; it is made here.
        environment: The worker's.
    """
    given = target_environment(config, name, environment)
    if config.meltano is None:
        return Command(config.target_command, given)
    assert directory is not None
    more = meltano.system_directory(config, directory)
    return Command(meltano.invocation(config, config.meltano_loader), {**given, **more})


def _own_tap() -> tuple[str, ...]:
    beside = Path(sys.executable).with_name("tap-rutter")
    return (str(beside) if beside.exists() else beside.name,)
