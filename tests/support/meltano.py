"""A Meltano project for one test: this repository's own meltano.yml, its state for itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support.pages import merged
from support.singer import Ended, Json, arguments, environment, run
from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator

ROOT = Path(__file__).resolve().parents[2]
_PLUGINS = ROOT / ".meltano"


def kind_of(schema: Json) -> str:
    """The ``kind`` that Meltano has for a setting with this JSON schema."""
    if schema.get("enum"):
        return "options"
    if schema.get("format") == "date-time":
        return "date_iso8601"
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return next(str(name) for name in types if name != "null")


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


def load(command: Path, text: str, options: object, cwd: Path) -> Json:
    """Pipe a tap's output into a target, and give the state that the target has committed.

    The target must end well, and that state must be the last one of the tap: a target may end with
    code 0 although nothing has landed.
    """
    with arguments(options) as files:
        done = run([command, *files], env=environment(), stdin=text, cwd=cwd)
    assert done.code == 0, done.stderr[-3000:]
    from_the_end = (json.loads(line) for line in reversed(text.strip().split("\n")))
    last: Json = next(line["value"] for line in from_the_end if line["type"] == "STATE")
    assert json.loads(done.stdout.splitlines()[-1]) == last
    return last


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

    def add(self, part: Json) -> None:
        """Write further configuration into the project's meltano.yml, as a user would."""
        file = self.root / "meltano.yml"
        project = yaml.safe_load(file.read_text(encoding="utf-8"))
        file.write_text(yaml.safe_dump(merged(project, part)), encoding="utf-8")

    def run(self, *command: str, **variables: str) -> Ended:
        """A Meltano command in the project."""
        return self._run(
            ["meltano", *command], {"MELTANO_CLI_LOG_FORMAT": "uncolored", **variables}
        )

    def shell(self, script: str, *positional: str, **variables: str) -> Ended:
        """A shell script in the project's folder."""
        return self._run(["sh", "-c", script, "sh", *positional], variables)

    def _run(self, command: list[str], variables: Mapping[str, str]) -> Ended:
        variables = {"MELTANO_CLI_DISABLE_VERSION_CHECK": "true", **variables}
        return run(command, env=environment(**variables), cwd=self.root)
