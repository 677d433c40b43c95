"""The demo's Meltano project, and a run of it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape

COMMAND = ("run", "tap-rutter", "target-postgres")

_LAST_LINES = 20
# One such line for each stream, of tap and target: not worth showing.
_NOISE = " METRIC: "
_TIME_AND_LEVEL = re.compile(r"^\S+Z \[\w+ *\] ")


class DemoError(Exception):
    """The demo cannot go on; the message says why, and what to do."""


@dataclass(frozen=True)
class Project:
    """A folder with a meltano.yml that declares this tap."""

    root: Path

    @classmethod
    def find(cls, folder: Path, demo: Path) -> Project:
        """The project of a folder, or else one of the demo's own.

        The latter serves where the package was installed without its repository: the same
        meltano.yml, but its plugins are those installed beside the package.
        """
        if "name: tap-rutter" in _text(folder / "meltano.yml"):
            return cls(folder)
        packaged = resources.files("tap_rutter.demo") / "meltano.yml"
        if not packaged.is_file():
            raise DemoError(f"The folder {folder} has no meltano.yml with tap-rutter.")
        project = yaml.safe_load(packaged.read_text(encoding="utf-8"))
        for plugins in project["plugins"].values():
            for plugin in plugins:
                del plugin["pip_url"]
        root = demo / "project"
        root.mkdir(parents=True)
        (root / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
        return cls(root)

    def run(self, title: str, *, settings: Mapping[str, str], log: Path, console: Console) -> float:
        """``meltano run tap-rutter target-postgres``, its output into a file.

        Args:
            title: What is going on, in a few words, for whoever watches.
            settings: Environment variables.
            log: The file.
            console: Where progress is shown.

        Returns:
            Seconds that it took.

        Raises:
            DemoError: when it did not end well, with the errors that it logged.
        """
        started = time.monotonic()
        last: deque[str] = deque(maxlen=_LAST_LINES)
        errors: deque[str] = deque(maxlen=_LAST_LINES)
        with (
            log.open("w", encoding="utf-8") as file,
            console.status(title) as status,
            subprocess.Popen(
                [_meltano(), *COMMAND],
                cwd=self.root,
                env=self._environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            ) as process,
        ):
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    file.write(line)
                    if _NOISE in line:
                        continue
                    told = _TIME_AND_LEVEL.sub("", line).strip()
                    (errors if " [error" in line else last).append(told)
                    status.update(f"{title}  [dim]{escape(told[: console.width // 2])}[/dim]")
            except BaseException:
                # Meltano's tap and target outlive Meltano, unless the whole group is told.
                os.killpg(process.pid, signal.SIGTERM)
                raise
        if process.returncode:
            said = "\n  ".join(errors or last)
            raise DemoError(
                f"{title}: meltano {' '.join(COMMAND)} ended with exit code {process.returncode}:"
                f"\n\n  {said}\n\nThe whole log is in {log}"
            )
        return time.monotonic() - started

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            # Without a pip_url Meltano looks the plugins up here.
            "PATH": _path(),
            # Whatever other project the user works in.
            "MELTANO_PROJECT_ROOT": str(self.root.resolve()),
            "MELTANO_ENVIRONMENT": "dev",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_CLI_LOG_FORMAT": "uncolored",
            **settings,
        }


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _meltano() -> str:
    """Meltano's command: the one beside this Python, before any other."""
    found = shutil.which("meltano", path=_path())
    if found is None:
        raise DemoError('Meltano is not installed; run: pip install "tap-rutter[demo]"')
    return found


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
