"""The fleet's configuration: a file, variables that win, and mistakes in words without values."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import _NAMES, FleetConfig

ROOT = Path(__file__).resolve().parents[2]
SECRET = "postgresql://u:a-secret@db/x"


def load(folder: Path, text: str = "", **variables: str) -> FleetConfig:
    file = folder / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    given = {f"RUTTER_FLEET_{name.upper()}": value for name, value in variables.items()}
    return FleetConfig.load(file, given)


def test_a_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "tap.json").write_text(json.dumps({"page_size": 9}), encoding="utf-8")
    config = load(
        tmp_path,
        """
        [fleet]
        ledger_url = "postgresql://ledger"
        slots = 2
        look_seconds = 0.5
        [tap]
        config = "tap.json"
        catalog = "catalog.json"
        command = ["tap-rutter", "--x"]
        [target]
        command = ["target", "--config", "a b.json"]
        variables = ["TARGET_*"]
        database_url = "postgresql://target"
        schema = "rutter"
        """,
    )
    assert (config.ledger_url, config.slots, config.look_seconds) == ("postgresql://ledger", 2, 0.5)
    assert config.tap_config == {"page_size": 9}
    assert config.catalog == str(tmp_path / "catalog.json"), "beside the configuration"
    assert config.tap_command == ("tap-rutter", "--x")
    assert config.target_command == ("target", "--config", "a b.json")
    assert config.target_variables == ("TARGET_*",)
    assert (config.target_database_url, config.target_schema) == ("postgresql://target", "rutter")


def test_variables_win_and_are_enough(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[fleet]\nledger_url = "postgresql://file"\nslots = 2',
        ledger_url="postgresql://variable",
        slots="3",
        webhook_secrets="one, two",
        sweep_only_after_sync="False",
        target_command="target --config x",
    )
    assert (config.ledger_url, config.slots) == ("postgresql://variable", 3)
    assert config.webhook_secrets == ("one", "two")
    assert config.sweep_only_after_sync is False
    assert config.target_command == ("target", "--config", "x")
    assert FleetConfig.load(None, {"RUTTER_FLEET_LEDGER_URL": "x"}).ledger_url == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fleet]\nslots = 0", "'slots' of [fleet] must be a whole number, 1 or more"),
        ("[fleet]\nslots = 1.5", "'slots' of [fleet] must be a whole number"),
        ("[fleet]\nslots = true", "'slots' of [fleet] must be a whole number"),
        ("[fleet]\nlook_seconds = -1", "'look_seconds' of [fleet] must be a number, 0 or more"),
        ("[fleet]\nsweep_only_after_sync = 1", "'sweep_only_after_sync' of [fleet] must be true"),
        ("[fleet]\nledger_url = 3", "'ledger_url' of [fleet] must be a string"),
        ("[fleet]\nledger_urls = 'x'", "no setting 'ledger_urls'. Did you mean 'ledger_url'?"),
        ("[target]\ncommand = 3", "'command' of [target] must be an array of strings"),
        ("[target]\ncommand = ['']", "'command' of [target] must be an array of strings"),
        ("[tap]\nconfig = 'nowhere.json'", "nowhere.json cannot be read"),
        ("[other]\nx = 1", "[other] is not a section"),
        ("slots = 3", "[slots] is not a section"),
        (f"[fleet]\nledger_url = {SECRET}", "is not TOML at line 2"),
        ("", "'ledger_url' of [fleet] is missing"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in caught.value.message
    assert "a-secret" not in caught.value.message


def test_a_value_that_is_wrong_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "", slots=SECRET)
    assert "'slots' of [fleet]" in caught.value.message
    assert "a-secret" not in caught.value.message


def test_what_is_secret_is_not_in_its_text() -> None:
    config = FleetConfig(
        ledger_url=SECRET,
        broker_url=SECRET,
        target_database_url=SECRET,
        webhook_secrets=("a-secret",),
        tap_config={"client_secret": "a-secret"},
    )
    assert "a-secret" not in repr(config)


def test_every_setting_is_in_the_guide() -> None:
    pages = sorted((ROOT / "docs").glob("fleet*.md"))
    guide = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for _, name in _NAMES if f"| `{name}` |" not in guide] == []
    defaults = FleetConfig()
    for entry in fields(FleetConfig):
        value = getattr(defaults, entry.name)
        if isinstance(value, bool):
            assert f"| `{entry.name}` | {str(value).lower()} |" in guide, entry.name
        elif isinstance(value, int | float):
            assert f"| `{entry.name}` | {value:g} |" in guide.replace(",", ""), entry.name
