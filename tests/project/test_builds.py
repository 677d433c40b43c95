"""What is released: the same bytes from the same tree, with what belongs there, and that alone."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.package import ROOT, build, copy, files

import tap_rutter

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="what git has is compared")

# What only the hosted repository uses, or git itself.
_LEFT_OUT = (".ci/", ".github/", ".gitignore")
_NAME = f"tap_rutter-{tap_rutter.__version__}"


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel of this tree."""
    folder = tmp_path_factory.mktemp("built")
    tree = copy(folder / "tree")
    sdist, wheel = sorted(build(tree, folder / "dist"), key=lambda file: file.suffix)
    return sdist, wheel


def test_the_same_tree_gives_the_same_bytes(built: tuple[Path, Path], tmp_path: Path) -> None:
    # Another folder, other times, other permissions for group and others, and another umask.
    tree = copy(tmp_path / "again")
    for file in tree.rglob("*"):
        if file.is_file() and ".git" not in file.parts:
            os.utime(file, (86_400, 86_400))
            file.chmod(0o600)
    before = os.umask(0o077)
    try:
        again = sorted(build(tree, tmp_path / "dist"), key=lambda file: file.suffix)
    finally:
        os.umask(before)
    assert [file.name for file in again] == [file.name for file in built]
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in built]


def test_the_sdist_gives_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (again,) = build(tmp_path / _NAME, tmp_path / "dist", "wheel")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        held = set(archive.namelist())
    package = {file.as_posix() for file in files() if file.parts[0] == "tap_rutter"}
    about = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    assert held == {
        *package,
        "tap_rutter/demo/meltano.yml",
        *(f"{_NAME}.dist-info/{name}" for name in about),
    }


def test_the_sdist_holds_the_repository_and_nothing_else(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        members = archive.getmembers()
    held = {member.name.removeprefix(f"{_NAME}/") for member in members}
    wanted = {name for file in files() if not (name := file.as_posix()).startswith(_LEFT_OUT)}
    # Hatchling adds what git leaves out, so that a build of the sdist leaves it out too.
    assert held - {".gitignore"} == {*wanted, "PKG-INFO"}
    assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "")}
