"""Tap and target by way of Meltano: ``meltano invoke`` for each, in a system directory of its own.

Two Meltano processes that share a system directory share its database and the files of their
plugins. So each gets a directory of its own, for this user alone: links to the plugins that are
installed, and a copy of a database that nobody has used. Neither state nor catalog is taken from
there: both are arguments, as without Meltano.

With arguments, Meltano neither discovers a catalog nor selects streams. So the project is asked
once, when a worker starts: for the tap's settings, for the target's, and for the catalog with what
meltano.yml and ``TAP_RUTTER__SELECT`` select.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig, MeltanoProject
from tap_rutter.fleet.model import Environment
from tap_rutter.fleet.runs.environment import asking_environment
from tap_rutter.fleet.runs.files import RunDirectory
from tap_rutter.redact import SECRETS, redact

ADVICE = "https://melta.no/"
"""Where Meltano sends everybody, on the last line of whatever went wrong."""
_ASKING_SECONDS = 300.0
_DATABASE = "meltano.db"
_PLUGINS = ("extractors", "loaders")
_NOT_STARTED = re.compile(
    r"Executable '[^']*' could not be found|is not known to Meltano"
    r"|Cannot upgrade the system database"
)
_FIXED = {
    # A run asks nobody but Rutter and the target's database for anything.
    "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
    "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
    # What plugins say passes through Meltano's log: as it is, and all of it.
    "MELTANO_CLI_LOG_FORMAT": "plain",
    "MELTANO_CLI_LOG_LEVEL": "info",
}


def invocation(config: FleetConfig, plugin: str, *options: str) -> tuple[str, ...]:
    """The command that runs a plugin; the plugin's own arguments follow it."""
    chosen = ("--environment", config.meltano_environment) if config.meltano_environment else ()
    return (
        *command(config),
        *("--cwd", config.meltano_project),
        *chosen,
        *("invoke", "--no-install"),
        *options,
        plugin,
    )


def command(config: FleetConfig) -> tuple[str, ...]:
    """Meltano itself: the operator's command, or the one of this installation."""
    beside = Path(sys.executable).with_name("meltano")
    return config.meltano_command or (str(beside) if beside.exists() else beside.name,)


def system_directory(config: FleetConfig, path: Path) -> dict[str, str]:
    """Make the system directory of one process; returns the variables that lead Meltano to it."""
    assert config.meltano is not None
    path.mkdir(mode=0o700)
    _link_plugins(path, config.meltano.plugins)
    unused = Path(config.meltano.directory, _DATABASE)
    if unused.exists():
        shutil.copyfile(unused, path / _DATABASE)
    return _variables(path)


def _link_plugins(path: Path, plugins: str) -> None:
    # None are there where all of the project's plugins are found along the PATH.
    for installed in (Path(plugins, name) for name in _PLUGINS):
        if installed.is_dir():
            (path / installed.name).symlink_to(installed)


def _variables(path: Path) -> dict[str, str]:
    return {
        **_FIXED,
        "MELTANO_SYS_DIR_ROOT": str(path),
        "MELTANO_DATABASE_URI": f"sqlite:///{path / _DATABASE}",
    }


# ---- what the project says


@contextmanager
def asked(
    config: FleetConfig, environment: Environment = os.environ, *, for_runs: bool = True
) -> Iterator[FleetConfig]:
    """The configuration with what the Meltano project says; the same one without Meltano.

    Args:
        config: The fleet's.
        environment: This process's.
        for_runs: Whether runs are to be started; the receiver needs the tap's settings only.

    Raises:
        ConfigError: when Meltano does not answer, with what it says.
    """
    if not config.meltano_project:
        yield config
        return
    with RunDirectory(config.work_directory) as directory:
        yield _Asking(config, directory.path, environment).answers(for_runs)


class _Asking:
    def __init__(self, config: FleetConfig, path: Path, environment: Environment) -> None:
        self._config = config
        self._path = path
        own = Path(config.meltano_project, ".meltano")
        self._plugins = str(Path(environment.get("MELTANO_SYS_DIR_ROOT") or own).absolute())
        self._environment = {
            **asking_environment(config, environment),
            **_variables(path),
            "XDG_STATE_HOME": str(path),  # for the log of the discovery
        }

    def answers(self, for_runs: bool) -> FleetConfig:
        config = self._config
        _link_plugins(self._path, self._plugins)
        settings = self._ask(config.meltano_extractor, "config")
        SECRETS.add(settings.get("client_secret"))
        project = MeltanoProject(str(self._path), self._plugins)
        catalog = ""
        if for_runs:
            loader = self._ask(config.meltano_loader, "config")
            project = replace(project, loader_settings=loader)
            file = self._path / "catalog.json"
            file.write_text(
                json.dumps(self._ask(config.meltano_extractor, "catalog")), encoding="utf-8"
            )
            catalog = str(file)
        # Variables of this process win, as they do without Meltano.
        given = {**settings, **config.tap_config}
        return replace(config, tap_config=given, catalog=catalog, meltano=project)

    def _ask(self, plugin: str, what: str) -> Mapping[str, Any]:
        argv = invocation(self._config, plugin, f"--dump={what}")
        trouble = f"Meltano does not tell the {what} of {plugin}"
        try:
            told = subprocess.run(
                argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ASKING_SECONDS,
                check=False,
            )
        except OSError as error:
            raise ConfigError(f"{trouble}: {argv[0]}: {error.strerror}.") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{trouble}: it took longer than five minutes.") from None
        try:
            answer = json.loads(told.stdout) if not told.returncode else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ConfigError(f"{trouble}: {_last_words(told.stderr)}")
        return answer


def _last_words(said: bytes) -> str:
    lines = [line.strip() for line in redact(said.decode(errors="replace")).splitlines()]
    telling = [line for line in lines if line and ADVICE not in line]
    return telling[-1][-600:] if telling else "it said nothing."


def has_not_started(said: str) -> bool:
    """Whether Meltano has ended since it could not start a plugin, which concerns every run."""
    return _NOT_STARTED.search(said) is not None
