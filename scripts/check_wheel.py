"""Check that the built package works alone: without extras, source tree and configuration.

::

    python scripts/check_wheel.py dist/tap_rutter-1.0.0-py3-none-any.whl [PYTHON …]

The wheel is installed, with what it requires and nothing else, into an empty environment of each
Python, and run there. Without names of Pythons it takes each one that the wheel is made for and
this machine has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_UNWANTED = ("benchmarks/", "docs/", "plugins/", "scripts/", "tests/")
# Minor versions of Python 3.
_OLDEST, _NEWEST = 11, 14
_SHIPPED = """
from importlib.resources import files
import tap_rutter
for name in ("py.typed", "demo/meltano.yml", "openapi/2024-08-31.json"):
    print(files(tap_rutter).joinpath(name).is_file(), name)
"""
_INSTALLED = """
from importlib.metadata import files
print(*files("tap-rutter"), sep="\\n")
"""


class WheelError(Exception):
    """The wheel does not work alone. The message says why."""


def main(argv: list[str]) -> int:
    """Try the wheel with each Python, and say with which it failed."""
    wheel = Path(argv[0]).resolve()
    pythons = argv[1:] or _pythons()
    if not pythons:
        print("No Python was found that the wheel is made for", file=sys.stderr)
        return 1
    failed = False
    for python in pythons:
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"Python {_version(python)}: {_try(wheel, python, Path(folder))}")
            except WheelError as error:
                failed = True
                print(f"The wheel does not work alone with {python}: {error}", file=sys.stderr)
    return 1 if failed else 0


def _pythons() -> list[str]:
    """One Python of each minor version: from the PATH, or from pyenv's folder."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    found = []
    for minor in range(_OLDEST, _NEWEST + 1):
        name = f"python3.{minor}"
        candidates = [shutil.which(name), *sorted(map(str, pyenv.glob(f"3.{minor}.*/bin/{name}")))]
        # pyenv puts names into the PATH that do not run, unless their version is chosen.
        found += [python for python in candidates if python and _runs(python)][:1]
    return found


def _runs(python: str) -> bool:
    command = [python, "-c", "import venv"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"


def _version(python: str) -> str:
    return _output(Path.cwd(), python, "-c", "import platform; print(platform.python_version())")


def _try(wheel: Path, python: str, folder: Path) -> str:
    """Install the wheel and run its commands.

    Returns:
        What was found, in a line.

    Raises:
        WheelError: for what a user would miss.
    """
    commands = folder / "venv" / "bin"
    _output(folder, python, "-m", "venv", str(folder / "venv"), "--without-pip")
    # uv alone is quick enough to do this for each Python; it reads pip's own settings not at all.
    own = str(commands / "python")
    _output(folder, _uv(), "pip", "install", "--quiet", "--python", own, str(wheel))
    tap, rutterctl = str(commands / "tap-rutter"), str(commands / "rutterctl")

    about = json.loads(_output(folder, tap, "--about", "--format=json"))
    if "client_secret" not in about["settings"]["properties"]:
        raise WheelError("--about names no settings")
    catalog = json.loads(_output(folder, tap, "--discover"))
    if len(catalog["streams"]) < 40:
        raise WheelError(f"--discover finds only {len(catalog['streams'])} streams")
    if "simulate" not in _output(folder, rutterctl, "--help"):
        raise WheelError("rutterctl --help lists no commands")
    shipped = _output(folder, own, "-c", _SHIPPED)
    if "False" in shipped:
        raise WheelError(f"files are missing:\n{shipped}")
    unwanted = [
        name
        for name in _output(folder, own, "-c", _INSTALLED).split()
        if name.startswith(_UNWANTED)
    ]
    if unwanted:
        raise WheelError(f"it has files that only the repository needs: {', '.join(unwanted)}")
    demo = subprocess.run(
        [rutterctl, "demo"], cwd=folder, text=True, capture_output=True, check=False
    )
    if demo.returncode != 1 or 'pip install "tap-rutter[demo]"' not in demo.stderr:
        raise WheelError(f"rutterctl demo does not name its extra:\n{demo.stderr}")
    return f"tap-rutter {about['version']} works alone, {len(catalog['streams'])} streams"


def _output(folder: Path, *command: str) -> str:
    ended = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    if ended.returncode:
        raise WheelError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr}")
    return ended.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
