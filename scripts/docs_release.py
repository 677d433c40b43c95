"""What the documents say of the release: where the package is, and what Meltano Hub is told of it.

Addresses of ours come from ``[tool.tap-rutter.release]`` in ``pyproject.toml`` only. While it has
none, nothing is published, and these parts say what to do instead.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent

PACKAGE = "tap-rutter"
_INDEX = f"https://pypi.org/project/{PACKAGE}/"
_WRITTEN = "# Written by `make docs`, from meltano.yml and scripts/docs_release.py.\n"

_NOT_YET = """\
tap-rutter is not published yet: there is no package on PyPI, and the repository has no public
address. Until it is, build the package in your clone, and tell pip and uv where it is:

```shell
pip wheel --no-deps --wheel-dir dist .
export PIP_FIND_LINKS="$PWD/dist" UV_FIND_LINKS="$PWD/dist"
```

In this shell, all commands on these pages then work as they are written. pip can also install from
the address of a repository, here from that of your clone:

```shell
pip install "git+file://$PWD"
```"""

_PUBLISHED = """\
[![The package on PyPI](https://img.shields.io/pypi/v/{package})]({index})
[![CI]({repository}/actions/workflows/ci.yml/badge.svg)]({repository}/actions/workflows/ci.yml)

The package is [{package} on PyPI]({index}). pip can also install a version that is not released:

<!-- not run: no test reads the public repository -->

```shell
pip install "git+{repository}"
```"""


def release(root: Path = ROOT) -> dict[str, str]:
    """What ``pyproject.toml`` says of the release: ``repository``, empty until there is one."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, str] = project["tool"][PACKAGE]["release"]
    return found


def published(root: Path = ROOT) -> str:
    """Where the package can be had from, for the README."""
    repository = release(root)["repository"]
    if not repository:
        return _NOT_YET
    return _PUBLISHED.format(package=PACKAGE, repository=repository, index=_INDEX)


def extractor(root: Path = ROOT) -> str:
    """The tap's definition in the form of Meltano Hub, also for ``meltano add --from-ref``."""
    tap = _plugin(root, "extractors", PACKAGE)
    classifiers = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "classifiers"
    ]
    versions = [name.rpartition(" ")[2] for name in classifiers if "Python :: 3." in name]
    repository = release(root)["repository"]
    definition = {
        "name": PACKAGE,
        "variant": PACKAGE,
        "namespace": tap["namespace"],
        "label": tap["label"],
        "description": tap["description"],
        "pip_url": PACKAGE,
        "executable": tap["executable"],
        "supported_python_versions": versions,
        **({"repo": repository} if repository else {}),
        "domain_url": "https://www.rutter.com",
        "keywords": ["accounting", "api", "banking", "commerce", "meltano_sdk"],
        "maintenance_status": "active",
        # The Hub's own people rate a plugin.
        "quality": "unknown",
        "capabilities": tap["capabilities"],
        "settings_group_validation": tap["settings_group_validation"],
        "settings": tap["settings"],
    }
    return _WRITTEN + _text(definition)


def loader(root: Path = ROOT) -> str:
    """target-postgres with the settings that the tap is made for, for ``meltano add --from-ref``.

    Unlike the Hub's own definition it has the defaults of this repository's ``meltano.yml``.
    """
    target = _plugin(root, "loaders", "target-postgres")
    return _WRITTEN + _text({"name": target["name"], "variant": "meltanolabs", **target})


def _plugin(root: Path, kind: str, name: str) -> dict[str, Any]:
    project = yaml.safe_load((root / "meltano.yml").read_text(encoding="utf-8"))
    (found,) = (entry for entry in project["plugins"][kind] if entry["name"] == name)
    plugin: dict[str, Any] = found
    return plugin


def _text(definition: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=100)
    return text
