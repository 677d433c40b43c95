"""Addresses of ours are in one place, and a release fills them in everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from support.package import ROOT, build, copy, files

REPOSITORY = "https://code.example/someone/tap-rutter"
_URL = re.compile(r"https?://[^\s)\]>\"'`]*tap[-_]rutter[^\s)\]>\"'`]*", re.IGNORECASE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Whoever reads these takes an address for one that leads somewhere.
_SHOWN = (".md", ".toml", ".yml", ".yaml", ".example", ".json", ".py")
_NOT_SHOWN = ("tests/", "scripts/docs_release.py", "scripts/release.py")
_PLACEHOLDER = ("https://HOST/OWNER/", "https://github.com/OWNER/")


def _addresses(tree: Path) -> set[str]:
    """The addresses of ours that a tree shows."""
    found: set[str] = set()
    for file in files():
        name = file.as_posix()
        if name.endswith(_SHOWN) and not name.startswith(_NOT_SHOWN):
            found |= set(_URL.findall((tree / file).read_text(encoding="utf-8")))
    return {address for address in found if not address.startswith(_PLACEHOLDER)}


def _page(tree: Path, into: Path) -> str:
    """The text of the package's page at the index, as the wheel holds it."""
    (wheel,) = build(tree, into, "wheel")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        return archive.read(name).decode()


def _release(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(tree / "scripts" / "release.py"), *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_address_of_ours_is_shown_but_those_of_the_release() -> None:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["tap-rutter"]["release"]
    repository = release["repository"]
    own = (repository, "https://pypi.org/project/tap-rutter", "https://img.shields.io/pypi/")
    strange = {a for a in _addresses(ROOT) if not (repository and a.startswith(own))}
    assert strange == set(), "addresses of ours come from [tool.tap-rutter.release] alone"


@pytest.mark.skipif(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["tap-rutter"]["release"][
        "repository"
    ]
    != "",
    reason="the first release has been made",
)
def test_a_release_fills_in_what_is_not_there_yet(tmp_path: Path) -> None:
    tree = copy(tmp_path / "tree")
    version = tomllib.loads((tree / "pyproject.toml").read_text())["project"]["version"]
    assert all(link.startswith("https://") for link in _LINK.findall(_page(tree, tmp_path / "0")))
    refused = _release(tree, "--check", f"v{version}")
    assert refused.returncode == 1
    assert "no address of the repository: make release" in refused.stderr

    done = _release(tree, "--repository", REPOSITORY, "--date", "2026-12-01")
    assert done.returncode == 0, done.stderr

    project = tomllib.loads((tree / "pyproject.toml").read_text())
    assert project["tool"]["tap-rutter"]["release"] == {"repository": REPOSITORY}
    assert project["project"]["urls"]["Homepage"] == REPOSITORY
    assert project["project"]["urls"]["Issues"] == f"{REPOSITORY}/issues"
    changes = (tree / "CHANGELOG.md").read_text()
    assert f"## [Unreleased]\n\n## [{version}] - 2026-12-01\n" in changes
    assert changes.endswith(
        f"\n\n[Unreleased]: {REPOSITORY}/compare/v{version}...HEAD\n"
        f"[{version}]: {REPOSITORY}/releases/tag/v{version}\n"
    )
    page = _page(tree, tmp_path / "released")
    assert set(_LINK.findall(page)) >= {f"{REPOSITORY}/blob/v{version}/docs/state.md"}
    assert all(link.startswith("https://") for link in _LINK.findall(page))
    readme = (tree / "README.md").read_text()
    assert "not published yet" not in readme
    assert f'pip install "git+{REPOSITORY}"' in readme
    definition = yaml.safe_load((tree / "plugins/extractors/tap-rutter.yml").read_text())
    assert definition["repo"] == REPOSITORY
    assert _addresses(tree), "and they are found by the test above"

    assert _release(tree, "--check", f"v{version}").returncode == 0
    assert _release(tree, "--check", "v9.9.9").returncode == 1
    again = _release(tree)
    assert again.returncode == 1
    assert f"the changelog has {version} already" in again.stderr


def test_what_a_release_needs_is_said_before_anything_is_written(tmp_path: Path) -> None:
    tree = copy(tmp_path / "tree")
    before = (tree / "CHANGELOG.md").read_bytes(), (tree / "pyproject.toml").read_bytes()
    for arguments, reason in (
        (["--repository", "tap-rutter"], "say where the repository is"),
        (["--repository", REPOSITORY, "--date", "soon"], "not a day such as 2026-12-01: soon"),
    ):
        refused = _release(tree, *arguments)
        assert refused.returncode == 1
        assert reason in refused.stderr
        assert "Traceback" not in refused.stderr
    assert before == ((tree / "CHANGELOG.md").read_bytes(), (tree / "pyproject.toml").read_bytes())
