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
# Tap and target each log such a line for every stream: not shown.
_NOISE = " METRIC: "
_TIME_AND_LEVEL = re.compile(r"^\S+Z \[\w+ *\] ")


class DemoError(Exception):
    """The demo cannot go on. The message says why, and what to do."""


@dataclass(frozen=True)
class Project:
    """A folder with a meltano.yml that declares this tap."""

    root: Path

    @classmethod
    def find(cls, folder: Path, demo: Path) -> Project:
        """The Meltano project in a folder, or else the demo's own project.

        The demo's own project is for a package that was installed without its repository. It has
        the same meltano.yml, but uses the plugins that are installed beside the package.
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
        """Run ``meltano run tap-rutter target-postgres``, with its output in a file.

        Args:
            title: A few words about what is happening, for the progress display.
            settings: Environment variables.
            log: The file.
            console: Where progress is shown.

        Returns:
            Seconds that it took.

        Raises:
            DemoError: if it did not end with 0; with the errors that it logged.
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
                # The signal goes to the whole process group: otherwise Meltano's tap and target
                # would live on.
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
            # Meltano looks for plugins without a pip_url on this path.
            "PATH": _path(),
            # Not some other Meltano project that the user works in.
            "MELTANO_PROJECT_ROOT": str(self.root.resolve()),
            "MELTANO_ENVIRONMENT": "dev",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_CLI_LOG_FORMAT": "uncolored",
            **settings,
        }


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _meltano() -> str:
    """The command meltano: preferably the one beside this Python."""
    found = shutil.which("meltano", path=_path())
    if found is None:
        raise DemoError('Meltano is not installed; run: pip install "tap-rutter[demo]"')
    return found


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
