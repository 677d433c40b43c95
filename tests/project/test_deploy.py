"""The files in deploy/ and the commands in the fleet's pages: what they name is there.

They are read, not run: no container engine and no cluster is needed. docs/fleet-deploy.md says what
else was tried of them.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from tap_rutter.cli import rutterctl
from tap_rutter.fleet import show
from tap_rutter.fleet.config import _NAMES, FleetConfig
from tap_rutter.fleet.model import Lane
from tap_rutter.settings_schema import JSONSCHEMA

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PAGES = sorted((ROOT / "docs").glob("fleet*.md"))
DAG = DEPLOY / "airflow" / "rutter_fleet.py"
STOP_SECONDS = FleetConfig().stop_seconds
MARGIN = 15.0


# ---- commands


def check(words: Sequence[str]) -> None:
    """Walk the command tree along a command line without its first word."""
    command: click.Command = rutterctl.main
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            found = [
                entry for entry in command.params if name in {*entry.opts, *entry.secondary_opts}
            ]
            assert found or name in {"-h", "--help"}, f"{command.name} has no option {name}"
            takes_value = found and isinstance(found[0], click.Option) and not found[0].is_flag
            if takes_value and not equals:
                assert rest, f"{name} of {command.name} needs a value"
                rest.pop(0)
        elif isinstance(command, click.Group):
            inner = command.get_command(click.Context(command), word)
            assert inner is not None, f"{command.name} has no command {word}"
            command = inner
        else:
            assert any(isinstance(entry, click.Argument) for entry in command.params), (
                f"{command.name} takes no {word}"
            )


def of_dockerfile() -> Iterator[list[str]]:
    entry = _json_of("ENTRYPOINT")
    assert entry[:2] == ["tini", "--"]
    yield [*entry[2:], *_json_of("CMD")]


def _json_of(instruction: str) -> list[str]:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^{instruction} (\[.*\])$", text, re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


def of_compose() -> Iterator[list[str]]:
    for service in compose()["services"].values():
        if "command" in service:
            yield ["rutterctl", "fleet", *service["command"]]


def of_kubernetes() -> Iterator[list[str]]:
    for document in manifests():
        for container in _pod_of(document).get("containers", ()):
            yield ["rutterctl", "fleet", *container["args"]]


def of_systemd() -> Iterator[list[str]]:
    for path in (DEPLOY / "systemd").iterdir():
        words = shlex.split(unit(path)["Service"]["ExecStart"])
        yield [Path(words[0]).name, *words[1:]]


def of_airflow() -> Iterator[list[str]]:
    for node in ast.walk(ast.parse(DAG.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "rutterctl":
            yield ["rutterctl", *(str(getattr(entry, "value", "x")) for entry in node.args)]


def of_pages() -> Iterator[list[str]]:
    """Command lines in fenced blocks, and whole ones in running text."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
        blocks = [body for language, body in fenced.findall(text) if language == "console"]
        quoted = re.findall(r"`([^`]+)`", fenced.sub("", text))
        lines = [line for block in blocks for line in block.splitlines()]
        lines += [" ".join(code.split()) for code in quoted if code.startswith("rutterctl ")]
        for line in lines:
            _, found, rest = line.partition("rutterctl ")
            if found:
                command = re.split(r"[|>;&,]", rest)[0]
                words = [word for word in shlex.split(command) if word != "…"]
                yield ["rutterctl", *words]


@pytest.mark.parametrize(
    "source", [of_dockerfile, of_compose, of_kubernetes, of_systemd, of_airflow, of_pages]
)
def test_every_command_is_one_that_exists(source: Callable[[], Iterator[list[str]]]) -> None:
    commands = [*source()]
    assert commands
    for first, *rest in commands:
        assert first == "rutterctl"
        check(rest)


@pytest.mark.parametrize(
    "line", ["fleet wrok", "fleet work --metrics", "fleet migrate now", "sql prune --run"]
)
def test_a_command_that_does_not_exist_is_seen(line: str) -> None:
    with pytest.raises(AssertionError):
        check(line.split())


# ---- the configuration that they share


def variables() -> dict[str, str]:
    """The variables of fleet.env.example, those in comments too."""
    text = (DEPLOY / "fleet.env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_the_configuration_is_complete_with_its_variables() -> None:
    config = FleetConfig.load(DEPLOY / "fleet.toml", variables())
    config.check_target()
    assert config.target_database_url == config.ledger_url
    assert config.target_command[0] in _scripts("target-postgres")
    assert config.broker_url.startswith("amqp://")


def _scripts(name: str) -> set[str]:
    from importlib.metadata import entry_points

    return {entry.name for entry in entry_points(group="console_scripts", name=name)}


def test_every_variable_is_a_setting() -> None:
    fleet = {
        f"RUTTER_FLEET_{'' if section == 'fleet' else section.upper() + '_'}{name.upper()}"
        for section, name in _NAMES
    }
    tap = {f"TAP_RUTTER_{name.upper()}" for name in JSONSCHEMA["properties"]}
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (loader,) = [e for e in project["plugins"]["loaders"] if e["name"] == "target-postgres"]
    target = {f"TARGET_POSTGRES_{entry['name'].upper()}" for entry in loader["settings"]}
    assert set(variables()) - fleet - tap - target == {"POSTGRES_PASSWORD"}


# ---- Docker


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_the_image_copies_what_is_there_and_nothing_by_accident() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert all((ROOT / word).exists() and word != "." for word in copied)
    # What the wheel is made of.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    readme = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    needed = {*wheel["packages"], *wheel["force-include"]}
    needed |= {fragment["path"] for fragment in readme["fragments"]}
    assert {*needed, *project["project"]["license-files"]} <= set(copied)
    # The target's version is the one that is tried here.
    (target,) = [e for e in project["dependency-groups"]["test"] if "target-postgres" in e]
    assert f'"{target}"' in text


def test_services_are_given_time_to_stop_and_no_more_than_they_need() -> None:
    services = compose()["services"]
    for name in ("receiver", "worker"):
        assert float(services[name]["stop_grace_period"].removesuffix("s")) >= STOP_SECONDS + MARGIN
        assert services[name]["env_file"] == "fleet.env"
        assert services[name]["build"]["dockerfile"] == "deploy/Dockerfile"
        assert services[name]["read_only"] is True
    assert "env_file" not in services["postgres"], "the client's secret is not the database's"


# ---- systemd


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path, encoding="utf-8")
    return parser


@pytest.mark.parametrize("path", sorted((DEPLOY / "systemd").iterdir()), ids=lambda p: p.name)
def test_units_end_a_worker_in_order(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) >= STOP_SECONDS + MARGIN
    assert service["EnvironmentFile"].startswith("/etc/rutter/")
    folder = str(Path(shlex.split(service["ExecStart"])[0]).parent)
    if "worker" in path.name:
        assert folder in service["Environment"], "the target is found beside the fleet"


# ---- Kubernetes


def manifests() -> list[dict[str, Any]]:
    text = (DEPLOY / "kubernetes" / "fleet.yaml").read_text(encoding="utf-8")
    return [*yaml.safe_load_all(text)]


def _pod_of(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    if "jobTemplate" in spec:
        spec = spec["jobTemplate"]["spec"]
    found: dict[str, Any] = spec.get("template", {}).get("spec", {})
    return found


def test_pods_are_given_time_to_stop_and_hold_no_right_that_they_do_not_need() -> None:
    for document in manifests():
        pod = _pod_of(document)
        for container in pod.get("containers", ()):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert pod["automountServiceAccountToken"] is False
            mounted = {entry["name"] for entry in container["volumeMounts"]}
            assert mounted == {entry["name"] for entry in pod["volumes"]}
        if document["kind"] == "Deployment":
            assert pod["terminationGracePeriodSeconds"] >= STOP_SECONDS + MARGIN
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert document["spec"]["selector"]["matchLabels"].items() <= labels.items()


# ---- Airflow


class _Step:
    """A task of a DAG: remembers what it follows."""

    order: list[str]

    def __init__(self, name: str) -> None:
        self.name = name

    def __rshift__(self, other: _Step) -> _Step:
        if not _Step.order:
            _Step.order.append(self.name)
        _Step.order.append(other.name)
        return other


def _task(function: Callable[[], Any]) -> Callable[[], _Step]:
    functions[function.__name__] = function
    return lambda: _Step(function.__name__)


functions: dict[str, Callable[[], Any]] = {}


def test_the_dag_waits_for_the_fleet_and_then_works_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a stand-in for Airflow: what it does, not that Airflow takes it."""
    _Step.order = []
    sdk, pendulum = ModuleType("airflow.sdk"), ModuleType("pendulum")
    task = lambda function: _task(function)  # noqa: E731
    task.sensor = lambda **_: _task  # type: ignore[attr-defined]
    sdk.task, sdk.dag = task, lambda **_: lambda function: function  # type: ignore[attr-defined]
    pendulum.datetime = lambda *_: None  # type: ignore[attr-defined]
    modules = {"airflow": ModuleType("airflow"), "airflow.sdk": sdk, "pendulum": pendulum}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    said: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        check(command[1:])
        return subprocess.CompletedProcess(command, 0, said[0] if said else "")

    monkeypatch.setattr(subprocess, "run", run)
    runpy.run_path(str(DAG))
    assert _Step.order == ["up_to_date", "apply_deletions", "reconcile", "prune"]
    for name in _Step.order[1:]:
        functions[name]()
    for paused, lag, due in (
        (None, 10.0, True),
        ("Rutter refuses", 0.0, False),
        (None, 1e5, False),
    ):
        said[:] = [show.as_json([], {}, {Lane.SWEEP: lag}, paused, 1.0, None)]
        assert functions["up_to_date"]() is due
