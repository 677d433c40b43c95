"""What the hosted repository is given: workflows that are pinned, and forms that ask enough."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

GITHUB = Path(__file__).resolve().parents[2] / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [
    file for file in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if file.stem != "config"
]

pytestmark = pytest.mark.skipif(not GITHUB.exists(), reason="the sdist has no .github")


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_by_hash_and_name_their_version(file: Path) -> None:
    used = re.findall(r"uses: (.*)", file.read_text(encoding="utf-8"))
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    if not zizmor.exists():
        pytest.skip("zizmor is not installed")
    command = [str(zizmor), "--offline", "--quiet", "--persona", "pedantic", str(GITHUB)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_publishing_job_has_an_identity_and_it_runs_no_code_of_ours() -> None:
    trusted = {
        name: job
        for file in WORKFLOWS
        for name, job in _read(file)["jobs"].items()
        if "id-token" in job.get("permissions", {})
    }
    assert list(trusted) == ["publish"]
    assert trusted["publish"]["environment"] == "pypi"
    assert all(set(step) <= {"uses", "with"} for step in trusted["publish"]["steps"])
    assert all("checkout" not in step["uses"] for step in trusted["publish"]["steps"])


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_a_form_asks_for_what_check_says(file: Path) -> None:
    form = _read(file)
    assert form.keys() == {"name", "description", "labels", "body"}
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in fields} <= {"textarea", "input"}
    ids = [part["id"] for part in fields]
    assert len(ids) == len(set(ids))
    (check,) = (part for part in fields if part["id"] == "check")
    assert "rutterctl check" in check["attributes"]["label"]
    assert "ecrets are not in it" in check["attributes"]["description"]
