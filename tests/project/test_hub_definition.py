"""The tap's definition for Meltano Hub: valid by the Hub's rules, and equal to the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from singer_sdk.helpers import capabilities
from support.meltano import kind_of

from tap_rutter.tap import TapRutter

ROOT = Path(__file__).resolve().parents[2]
TAP = ROOT / "plugins" / "extractors" / "tap-rutter.yml"
TARGET = ROOT / "plugins" / "loaders" / "target-postgres.yml"

# The Hub's rules, in our words: the keys and values that its published schemas of plugin
# definitions, settings and metadata take (github.com/meltano/hub, folder schemas). The Hub's own
# check refuses a definition with any other key.
_TEXT = {"type": "string"}
_SETTING = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": _TEXT,
        "label": _TEXT,
        "description": _TEXT,
        "value": {},
        "kind": {
            "enum": [
                "array",
                "boolean",
                "date_iso8601",
                "decimal",
                "email",
                "file",
                "integer",
                "object",
                "options",
                "string",
            ]
        },
        "sensitive": {"type": "boolean"},
        "options": {
            "type": "array",
            "items": {"type": "object", "properties": {"label": _TEXT, "value": _TEXT}},
        },
    },
}
_DEFINITION = {
    "type": "object",
    "required": ["name", "namespace", "variant", "quality"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(
            ("name", "namespace", "variant", "label", "description", "pip_url", "executable"), _TEXT
        ),
        "repo": {"type": "string", "pattern": "^https://"},
        "domain_url": {"type": "string", "pattern": "^https://"},
        "keywords": {"type": "array", "items": _TEXT},
        "maintenance_status": {"enum": ["active", "beta", "development", "inactive", "unknown"]},
        "quality": {"enum": ["gold", "silver", "bronze", "unknown"]},
        "supported_python_versions": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^3\.\d+$"},
        },
        "capabilities": {
            "type": "array",
            "items": {
                "enum": [
                    "about",
                    "activate-version",
                    "batch",
                    "catalog",
                    "discover",
                    "log-based",
                    "properties",
                    "schema-flattening",
                    "state",
                    "stream-maps",
                    "structured-logging",
                    "test",
                ]
            },
        },
        "settings_group_validation": {"type": "array", "items": {"type": "array", "items": _TEXT}},
        "settings": {"type": "array", "items": _SETTING},
    },
}
# Random values in place of real ones need a package that the tap does not bring.
_NOT_OFFERED = {"faker_config"}
# Its default holds the version.
_NO_DEFAULT = {"user_agent"}


@pytest.fixture(scope="module", name="definition")
def _definition() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TAP.read_text(encoding="utf-8"))
    return found


def test_the_hub_takes_the_definition(definition: dict[str, Any]) -> None:
    jsonschema.validate(definition, _DEFINITION)
    for setting in definition["settings"]:
        assert setting.keys() >= {"name", "label", "kind", "description"}, setting
        assert ("options" in setting) == (setting["kind"] == "options"), setting


def test_name_command_and_groups_are_the_packages_own(definition: dict[str, Any]) -> None:
    assert definition["name"] == definition["executable"] == TapRutter.name
    # With this namespace Meltano's variables are those that the tap itself reads.
    assert definition["namespace"] == TapRutter.name.replace("-", "_")
    assert definition["capabilities"] == sorted(each.value for each in TapRutter.capabilities)
    assert definition["settings_group_validation"] == [TapRutter.config_jsonschema["required"]]


def test_the_settings_are_those_of_the_code(definition: dict[str, Any]) -> None:
    # A tap that has been run in this process has the SDK's settings among its own.
    of_the_sdk: dict[str, Any] = {
        **capabilities.STREAM_MAPS_CONFIG["properties"],
        **capabilities.FLATTENING_CONFIG["properties"],
    }
    known = {**TapRutter.config_jsonschema["properties"], **of_the_sdk}
    declared = {setting["name"]: setting for setting in definition["settings"]}
    assert set(declared) == set(known) - _NOT_OFFERED
    for name, setting in declared.items():
        schema = known[name]
        assert setting["kind"] == kind_of(schema), name
        assert setting.get("sensitive", False) == schema.get("secret", False), name
        choices = [value for value in schema.get("enum", []) if value is not None]
        assert [option["value"] for option in setting.get("options", [])] == choices, name
        if name not in of_the_sdk:
            assert setting["label"] == schema["title"], name
            assert setting["description"] == schema["description"], name
        if "default" in schema and name not in _NO_DEFAULT:
            assert setting.get("value") == schema["default"], name


def test_what_installs_the_tap_is_the_package(definition: dict[str, Any]) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'name = "{definition["pip_url"]}"' in project
    classified = re.findall(r"Python :: (3\.\d+)", project)
    assert definition["supported_python_versions"] == classified


def test_the_loader_is_the_one_that_this_repository_runs() -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (own,) = (e for e in project["plugins"]["loaders"] if e["name"] == "target-postgres")
    shipped = yaml.safe_load(TARGET.read_text(encoding="utf-8"))
    assert {name: shipped[name] for name in own} == own
