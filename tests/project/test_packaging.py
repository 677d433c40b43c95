"""What the package promises to pip, to Meltano and to those who read its example files."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from singer_sdk.helpers import capabilities
from singer_sdk.helpers._flattening import FlatteningOptions
from support.meltano import kind_of

import tap_rutter
from tap_rutter.tap import TapRutter

ROOT = Path(__file__).resolve().parents[2]

# Values that .env.example shows although the settings have no default.
_NO_DEFAULT = {
    "access_tokens",
    "api_url",
    "client_id",
    "client_secret",
    "connection_ids",
    "connections_file",
    "platforms",
    "report_file",
    "shard",
    "start_date",
}
# Settings of the SDK that Meltano is not told of: random values in place of real ones need a
# package that the tap does not bring.
_NOT_OFFERED = {"faker_config"}
# What the SDK adds to a tap's settings, as it does to the schema of a tap that has been run.
_OF_THE_SDK = {
    name
    for schema in (capabilities.STREAM_MAPS_CONFIG, capabilities.FLATTENING_CONFIG)
    for name in schema["properties"]
}


def _settings() -> dict[str, dict[str, Any]]:
    """The tap's own settings."""
    properties = TapRutter.config_jsonschema["properties"]
    return {name: properties[name] for name in properties if name not in _OF_THE_SDK}


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def _plugins(kind: str) -> dict[str, dict[str, Any]]:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    return {plugin["name"]: plugin for plugin in project["plugins"][kind]}


# ---- meltano.yml


def test_meltano_yml_is_valid_by_meltanos_schema_and_warns_of_nothing() -> None:
    schema = json.loads((files("meltano.schemas") / "meltano.schema.json").read_text())
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    jsonschema.validate(project, schema)
    assert "version" not in project  # deprecated, and warned of at every command
    assert project["send_anonymous_usage_stats"] is False
    kinds = [
        setting["kind"]
        for plugins in project["plugins"].values()
        for plugin in plugins
        for setting in plugin["settings"]
    ]
    assert "password" not in kinds  # deprecated in favour of sensitive


def test_meltano_yml_declares_the_settings_of_the_tap() -> None:
    declared = {s["name"]: s for s in _plugins("extractors")["tap-rutter"]["settings"]}
    for name, schema in _settings().items():
        setting = declared[name]
        assert setting["kind"] == kind_of(schema), name
        assert setting["label"] == schema["title"], name
        assert setting["description"] == schema["description"], name
        assert setting.get("sensitive", False) == schema.get("secret", False), name
        options = [option["value"] for option in setting.get("options", [])]
        assert options == [value for value in schema.get("enum", []) if value is not None], name


def test_meltano_yml_shows_every_default_of_the_tap() -> None:
    declared = {s["name"]: s for s in _plugins("extractors")["tap-rutter"]["settings"]}
    shown = {name: setting["value"] for name, setting in declared.items() if "value" in setting}
    flat = FlatteningOptions(enabled=False)
    assert shown == {
        **{
            name: schema["default"]
            for name, schema in _settings().items()
            if schema.get("default") is not None and name != "user_agent"  # it holds the version
        },
        "flattening_enabled": flat.enabled,
        "flattening_max_key_length": flat.max_key_length,
        "flattening_separator": flat.separator,
    }


def test_meltano_yml_declares_no_setting_that_the_tap_does_not_know() -> None:
    about = _output(_command("tap-rutter"), "--about", "--format=json")
    known = json.loads(about)["settings"]["properties"]
    declared = {s["name"]: s for s in _plugins("extractors")["tap-rutter"]["settings"]}
    assert set(declared) == set(known) - _NOT_OFFERED
    for name in set(declared) & _OF_THE_SDK:
        assert declared[name]["kind"] == kind_of(known[name]), name


def test_meltano_yml_declares_the_capabilities_of_the_tap() -> None:
    declared = _plugins("extractors")["tap-rutter"]["capabilities"]
    assert declared == sorted(capability.value for capability in TapRutter.capabilities)


def test_meltano_hands_settings_over_without_the_hub(tmp_path: Path) -> None:
    shutil.copy(ROOT / "meltano.yml", tmp_path)
    config = json.loads(
        _meltano(
            tmp_path,
            "invoke",
            "--no-install",
            "--dump=config",
            "tap-rutter",
            RUTTER_CLIENT_ID="from the short name",
            RUTTER_CLIENT_SECRET="from the short name",
            TAP_RUTTER_CLIENT_SECRET="from the long name",
            TAP_RUTTER_CONNECTION_IDS='["a", "b"]',
            TAP_RUTTER_PAGE_SIZE="100",
            TAP_RUTTER_FORCE_FETCH="true",
            TAP_RUTTER_START_DATE="2024-01-31T00:00:00Z",
        )
    )
    defaults = {
        setting["name"]: setting["value"]
        for setting in _plugins("extractors")["tap-rutter"]["settings"]
        if "value" in setting
    }
    assert config == defaults | {
        "client_id": "from the short name",
        "client_secret": "from the long name",
        "connection_ids": ["a", "b"],
        "page_size": 100,
        "force_fetch": True,
        "start_date": "2024-01-31T00:00:00Z",
    }


def test_meltano_loads_with_the_settings_that_the_tap_is_made_for(tmp_path: Path) -> None:
    shutil.copy(ROOT / "meltano.yml", tmp_path)
    config = json.loads(
        _meltano(tmp_path, "invoke", "--no-install", "--dump=config", "target-postgres")
    )
    assert config["default_target_schema"] == "rutter"
    assert config["use_copy"] is False  # COPY would round amounts to 15 digits
    assert config["validate_records"] is False
    assert config["add_record_metadata"] is True


# ---- .env.example


def test_env_example_shows_every_setting_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^#TAP_RUTTER_(\w+)=(.*)$", text, re.MULTILINE))
    settings = _settings()
    assert set(shown) == {name.upper() for name in settings}
    for name, schema in settings.items():
        default = schema.get("default")
        if name == "user_agent":  # its default holds the version
            continue
        assert (default is None) == (name in _NO_DEFAULT), name
        if default is not None:
            expected = default if isinstance(default, str) else json.dumps(default)
            assert shown[name.upper()] == expected, name


def test_env_example_sets_nothing_as_it_stands() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    # Meltano cannot read an empty variable as an array or a number.
    assert [line for line in lines if line.strip() and not line.startswith("#")] == []


# ---- pyproject.toml and uv.lock


def test_version_is_the_one_of_pyproject() -> None:
    assert tap_rutter.__version__ == _toml("pyproject.toml")["project"]["version"]


def test_extras_name_packages_that_import() -> None:
    importable = metadata.packages_distributions()
    for extra, requirements in _toml("pyproject.toml")["project"]["optional-dependencies"].items():
        for text in requirements:
            requirement = Requirement(text)
            assert requirement.specifier.contains(metadata.version(requirement.name)), extra
            modules = [
                module
                for module, owners in importable.items()
                if canonicalize_name(requirement.name) in map(canonicalize_name, owners)
                and not module.startswith("_")
                and "." not in module
            ]
            assert any(import_module(module) for module in modules), requirement.name


def test_meltano_installs_the_loader_that_the_package_is_tested_with() -> None:
    demo = _toml("pyproject.toml")["project"]["optional-dependencies"]["demo"]
    assert _plugins("loaders")["target-postgres"]["pip_url"] in demo


def test_lock_file_is_of_this_pyproject_and_of_the_public_index() -> None:
    lock = _toml("uv.lock")
    project = _toml("pyproject.toml")["project"]
    (ours,) = (package for package in lock["package"] if package["name"] == project["name"])
    assert ours["version"] == project["version"]
    wanted = {Requirement(text).name for text in project["dependencies"]}
    for requirements in project["optional-dependencies"].values():
        wanted |= {Requirement(text).name for text in requirements}
    assert {entry["name"] for entry in ours["metadata"]["requires-dist"]} == wanted
    addresses = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    # The public index and its files: no mirror that only some can reach.
    assert addresses
    assert all(re.fullmatch(r"[a-z]+(\.[a-z]+)?\.org", address) for address in addresses)


# ---- the wheel


def test_the_wheel_is_the_package_and_the_demos_project() -> None:
    wheel = _toml("pyproject.toml")["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {
        "packages": ["tap_rutter"],
        "force-include": {"meltano.yml": "tap_rutter/demo/meltano.yml"},
    }


def test_the_wheel_has_nothing_that_none_of_its_commands_comes_to() -> None:
    modules = _modules()
    waiting = ["tap_rutter", "tap_rutter.cli.tap_command", "tap_rutter.cli.rutterctl"]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in modules and name not in reached:
            reached.add(name)
            waiting += [*_imports(name, modules[name]), name.rpartition(".")[0]]
    assert sorted(set(modules) - reached) == []


def _modules() -> dict[str, Path]:
    """The modules of the package by name."""
    found = {}
    for file in (ROOT / "tap_rutter").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def _imports(name: str, file: Path) -> Iterator[str]:
    """What a module may import, at its top or within its functions."""
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -node.level + 1 or None] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith("tap_rutter."):
            # As importlib takes it: resources, and what is run with -m.
            named = str(node.value)
            yield from (named, f"{named}.__main__")


# ---- commands


def _command(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _output(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    return subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, timeout=60, cwd=cwd, env=env
    ).stdout


def _meltano(project: Path, *arguments: str, **settings: str) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TAP_RUTTER_", "RUTTER_", "TARGET_", "MELTANO_"))
    }
    environment |= settings
    environment["MELTANO_HUB_URL"] = "http://127.0.0.1:9"  # nobody listens on port 9
    environment["MELTANO_CLI_DISABLE_VERSION_CHECK"] = "true"
    return _output(_command("meltano"), *arguments, cwd=project, env=environment)
