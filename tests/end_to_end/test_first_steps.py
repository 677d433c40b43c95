"""The first steps, as their page tells them: each command is run, and shows what the page shows."""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
import yaml
from support.hidden import secrets
from support.meltano import Project, from_to
from support.singer import environment

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, standard_world

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "first-steps.md").read_text(encoding="utf-8")
SCHEMA = "first_steps"


@dataclass(frozen=True)
class Step:
    """A command of the page, with the output that the page shows."""

    command: str
    output: tuple[str, ...]


def steps() -> list[Step]:
    """All commands of the page, in their order."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    parts = chain.from_iterable(
        re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] for block in blocks
    )
    return [Step(command, tuple(output)) for command, *output in map(str.splitlines, parts)]


def shows(output: str, lines: tuple[str, ...]) -> str | None:
    """The first line of the page that the output lacks, in this order; None if all are there.

    In a line of the page, ``…`` stands for any text; a line of ``…`` alone for any lines. How far
    columns are apart does not matter.
    """
    rest = iter(" ".join(line.split()) for line in output.splitlines())
    for line in lines:
        if line.strip() == "…":
            continue
        parts = " ".join(line.split()).split("…")
        pattern = re.compile(".*".join(re.escape(part) for part in parts))
        if not any(pattern.fullmatch(candidate) for candidate in rest):
            return line
    return None


@pytest.mark.longer
def test_the_page_shows_what_happens(postgres: Database, tmp_path: Path) -> None:
    world = standard_world(seed=1)
    Project.make(tmp_path)
    with Simulator(world) as simulator:
        variables = environment(
            **from_to(simulator, postgres),
            MELTANO_CLI_DISABLE_VERSION_CHECK="true",
            MELTANO_CLI_LOG_FORMAT="uncolored",
            TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA=SCHEMA,
            WAREHOUSE=postgres.uri,
            COLUMNS="200",
        )
        variables["PATH"] = f"{postgres.psql.parent}:{variables['PATH']}"
        for step in steps():
            ended = subprocess.run(
                ["bash", "-c", step.command.replace(" rutter.", f" {SCHEMA}.")],
                cwd=tmp_path,
                env=variables,
                capture_output=True,
                text=True,
                check=False,
            )
            said = ended.stdout + ended.stderr
            # Two connections of this world cannot be read, which `check` says by its exit code.
            assert ended.returncode == (1 if step.command == "rutterctl check" else 0), said
            lacking = shows(said, step.output)
            assert lacking is None, f"{step.command}: no line {lacking!r} in\n{said}"
            assert not [name for name, secret in secrets(world).items() if secret in said]
    # What step 4 limits, step 8 takes off.
    project = yaml.safe_load((tmp_path / "meltano.yml").read_text(encoding="utf-8"))
    (tap,) = project["plugins"]["extractors"]
    assert "connection_ids" not in tap["config"]
    assert not tap.get("select")


@pytest.mark.parametrize(
    "text", re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
def test_the_recipes_of_schedulers_are_python(text: str) -> None:
    ast.parse(text)
