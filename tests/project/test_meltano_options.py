"""The Meltano definition offers the choices that the settings take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tap_rutter.settings_schema import JSONSCHEMA

DEFINITION = Path(__file__).resolve().parents[2] / "meltano.yml"


def test_options_are_the_choices_of_their_settings() -> None:
    project: Any = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    (tap,) = [e for e in project["plugins"]["extractors"] if e["name"] == "tap-rutter"]
    offered = {
        setting["name"]: [option["value"] for option in setting["options"]]
        for setting in tap["settings"]
        if "options" in setting
    }
    taken = {
        name: [*schema["enum"]]
        for name, schema in JSONSCHEMA["properties"].items()
        if "enum" in schema
    }
    assert offered == taken
