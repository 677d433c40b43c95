"""A Meltano project for one test: this repository's own meltano.yml, its state for itself."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support.singer import Ended, environment, run
from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator

ROOT = Path(__file__).resolve().parents[2]
_PLUGINS = ROOT / ".meltano"


def loader_command(name: str) -> Path:
    """A loader's command, which only Meltano's own installation may have.

    Without it the calling test is skipped; where every check must run, it fails.
    """
    installed = _PLUGINS / "loaders" / name / "venv" / "bin" / name
    found = str(installed) if installed.exists() else shutil.which(name)
    if found is None:
        reason = f"{name} is not installed; `make test` installs it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)


def from_to(simulator: Simulator, database: Database) -> dict[str, str]:
    """The variables by which the project's tap and target know where to read and to land."""
    return {
        "RUTTER_CLIENT_ID": simulator.client_id,
        "RUTTER_CLIENT_SECRET": simulator.client_secret,
        "TAP_RUTTER_API_URL": simulator.api_url,
        "TARGET_POSTGRES_SQLALCHEMY_URL": database.sqlalchemy_url,
    }


@dataclass(frozen=True)
class Project:
    """A folder with a meltano.yml."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Project:
        """A project that uses the plugins which `make` has installed into the repository.

        Where they are not, it uses those that are installed beside this Python: without a pip_url
        Meltano looks for a plugin's command in the PATH.
        """
        text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
        if (_PLUGINS / ".plugins-installed").exists():
            (root / ".meltano").mkdir()
            for kind in ("extractors", "loaders"):
                (root / ".meltano" / kind).symlink_to(_PLUGINS / kind)
        else:
            project = yaml.safe_load(text)
            for plugins in project["plugins"].values():
                for plugin in plugins:
                    del plugin["pip_url"]
            text = yaml.safe_dump(project)
        (root / "meltano.yml").write_text(text, encoding="utf-8")
        return cls(root)

    def run(self, *arguments: str, **variables: str) -> Ended:
        """A Meltano command in the project."""
        variables = {
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "MELTANO_CLI_LOG_FORMAT": "uncolored",
            **variables,
        }
        return run(["meltano", *arguments], env=environment(**variables), cwd=self.root)
