"""A virtual environment for each peer, made when it is first needed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cached_property
from pathlib import Path

from benchmarks.measure import last_words

_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parent
BENCH = ROOT / ".bench"
# It has the usual name of virtual environments, which tools that search the repository ignore.
_FOLDER = BENCH / ".venv"


class NotInstalled(Exception):
    """A peer cannot be installed here. The message says why."""


class Environments:
    """The environments, by the name of their ``requirements-<name>.txt``."""

    def __init__(self) -> None:
        self._found: dict[str, Path | NotInstalled] = {}

    @cached_property
    def own(self) -> Path:
        """The folder with the tap's own executables."""
        return Path(sys.executable).parent

    def bin(self, name: str) -> Path:
        """The folder with an environment's executables.

        Raises:
            NotInstalled: if it cannot be installed. This is tried only once.
        """
        if name not in self._found:
            try:
                self._found[name] = _made(name)
            except NotInstalled as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, NotInstalled):
            raise found
        return found


def _made(name: str) -> Path:
    requirements = _HERE / f"requirements-{name}.txt"
    folder = _FOLDER / name
    binaries = folder / "bin"
    mark = folder / ".installed"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return binaries
    print(f"Installing {requirements.name} into {folder.relative_to(ROOT)}", file=sys.stderr)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)], name)
    pip = [str(binaries / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _run([*pip, "install", "--requirement", str(requirements)], name)
    mark.write_text(wanted, encoding="utf-8")
    return binaries


def _run(argv: list[str], name: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = errors[-1] if errors else last_words(done.stderr + done.stdout)
        raise NotInstalled(f"cannot be installed ({name}): {said}")
