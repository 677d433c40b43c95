"""Prepare a release: fill in where the project is, date the changelog, and write what follows.

::

    python scripts/release.py --repository https://github.com/OWNER/tap-rutter --date 2026-12-01
    python scripts/release.py --check v1.0.0

The version is that of ``pyproject.toml``. The repository's address is needed the first time; from
then on it is in ``pyproject.toml``, and whatever names an address of ours is written from it.
``--check`` writes nothing: it says what keeps a tag from being released, and ends with 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_UNRELEASED = "## [Unreleased]\n"
_ADDRESS = re.compile(r"https://[\w.-]+(?:/[\w.-]+)+")
_URLS = """\
[project.urls]
Homepage = "{repository}"
Source = "{repository}"
Issues = "{repository}/issues"
Changelog = "{repository}/blob/main/CHANGELOG.md"

"""
# What becomes of a link of the README on the package's page.
_LINKS_IN_REPOSITORY = (
    r"\((?!https?:)([^)]+)\)', replacement = '\1' }",
    r"\((?!https?:)([^)]+)\)', replacement = '[\1](REPOSITORY/blob/v$HFPR_VERSION/\2)' }",
)


class ReleaseError(Exception):
    """What keeps a version from being released. The message says what to do."""


def main(argv: list[str] | None = None) -> int:
    """Prepare a release, or check one; 1 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", default="", help="where the project is, without a last /")
    parser.add_argument("--date", default="", help="day of the release; today without it")
    parser.add_argument("--check", metavar="TAG", help="only check what is to be released as TAG")
    arguments = parser.parse_args(argv)
    try:
        if arguments.check:
            check(ROOT, arguments.check)
        else:
            prepare(ROOT, arguments.repository, arguments.date)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def prepare(root: Path, repository: str, day: str) -> None:
    """Write addresses and date into the tree.

    Args:
        root: The tree.
        repository: The repository's address; "" where ``pyproject.toml`` has it already.
        day: Such as ``2026-12-01``; "" for today, in UTC.

    Raises:
        ReleaseError: before anything is written.
    """
    project = _project(root)
    version, known = project["project"]["version"], _repository(project)
    repository = repository or known
    if not _ADDRESS.fullmatch(repository):
        raise ReleaseError(
            "say where the repository is: make release REPOSITORY=https://HOST/OWNER/tap-rutter"
        )
    if known not in {"", repository}:
        raise ReleaseError(f"pyproject.toml has another repository: {known}")
    try:
        day = (date.fromisoformat(day) if day else datetime.now(UTC).date()).isoformat()
    except ValueError:
        raise ReleaseError(f"not a day such as 2026-12-01: {day}") from None
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if f"## [{version}]" in changes:
        raise ReleaseError(f"the changelog has {version} already: raise version in pyproject.toml")
    if changes.count(_UNRELEASED) != 1:
        raise ReleaseError("CHANGELOG.md has no section 'Unreleased'")

    if not known:
        file = root / "pyproject.toml"
        text = file.read_text(encoding="utf-8")
        text = text.replace(*_LINKS_IN_REPOSITORY).replace("REPOSITORY", repository)
        text = text.replace('repository = ""', f'repository = "{repository}"', 1)
        text = text.replace(
            "[dependency-groups]\n",
            f"{_URLS.format(repository=repository)}[dependency-groups]\n",
            1,
        )
        file.write_text(text, encoding="utf-8")
    changes = changes.replace(_UNRELEASED, f"{_UNRELEASED}\n## [{version}] - {day}\n")
    changes, links = _links(changes)
    links = [
        f"[Unreleased]: {repository}/compare/v{version}...HEAD",
        f"[{version}]: {repository}/releases/tag/v{version}",
        *(link for link in links if not link.startswith("[Unreleased]: ")),
    ]
    changes = "\n".join([changes, *links, ""])
    (root / "CHANGELOG.md").write_text(changes, encoding="utf-8")
    subprocess.run([sys.executable, str(root / "scripts" / "build_docs.py")], check=True)
    print(f"{version} is ready, of {day}. Next: docs/release.md")


def _links(changes: str) -> tuple[str, list[str]]:
    """The changelog without the addresses of versions at its end, and these."""
    lines = changes.splitlines()
    links: list[str] = []
    while lines and (not lines[-1] or re.match(r"\[[^]]+\]: ", lines[-1])):
        links.insert(0, lines.pop())
    return "\n".join([*lines, ""]), [link for link in links if link]


def check(root: Path, tag: str) -> None:
    """Whether a tree can be released under a tag.

    Raises:
        ReleaseError: if not.
    """
    project = _project(root)
    version = project["project"]["version"]
    if tag != f"v{version}":
        raise ReleaseError(f"the tag {tag} is not v and the version of pyproject.toml, {version}")
    if not _repository(project):
        raise ReleaseError("pyproject.toml has no address of the repository: make release")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has no dated section {version}: make release")
    print(f"{version} can be released")


def _project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def _repository(project: dict[str, Any]) -> str:
    found: str = project["tool"]["tap-rutter"]["release"]["repository"]
    return found


if __name__ == "__main__":
    sys.exit(main())
