"""The package as a user has it: built from this tree, installed into an empty environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]

# With these, pip takes nothing from anywhere but the machine.
OFFLINE = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip's own way of saying: without
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
_OURS = ("tap_rutter", "_editable_impl_tap_rutter", "__editable__")


def files() -> list[Path]:
    """The files of this tree, relative to it: those that git has, and new ones."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).exists()]


def copy(folder: Path) -> Path:
    """A copy of this tree, in which a build or a script leaves files of its own."""
    for file in files():
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target)
    return folder


def clone(folder: Path) -> Path:
    """A copy of this tree that is a repository too."""
    copy(folder)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "test"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


def build(tree: Path, into: Path, *kinds: str) -> list[Path]:
    """Build a wheel, an sdist (``kinds``) or both from a tree, without the package index."""
    kinds = kinds or ("wheel", "sdist")
    options = [option for kind in kinds for option in ("--target", kind)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", into, *options],
        cwd=tree,
        check=True,
        capture_output=True,
    )
    return sorted(into.iterdir())


def empty_environment(folder: Path) -> Path:
    """A virtual environment without the tap, in which pip finds its requirements installed already.

    They are those of the environment that runs the tests. Returns the folder of its commands.
    """
    present = folder / "present"
    present.mkdir(parents=True)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(_OURS):
            (present / entry.name).symlink_to(entry)
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    commands = folder / "venv" / "bin"
    (libraries,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (libraries / "present.pth").write_text(f"{present}\n")
    pip = commands / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{commands / "python"}" -m pip "$@"\n')
    pip.chmod(0o755)
    return commands


def installed(shared: Path) -> Path:
    """The folder of the commands of the built wheel; made once for all who share the folder."""
    commands = shared / "package" / "venv" / "bin"
    with FileLock(shared / "package.lock"):
        if not (commands / "tap-rutter").exists():
            shutil.rmtree(shared / "package", ignore_errors=True)
            empty_environment(shared / "package")
            (wheel,) = build(ROOT, shared / "package" / "dist", "wheel")
            subprocess.run(
                [commands / "pip", "install", "--quiet", "--no-deps", wheel],
                check=True,
                env={**os.environ, **OFFLINE},
            )
    return commands
