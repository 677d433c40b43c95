"""``make golden`` writes what the examples lack, and nothing else."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "data" / "examples"


def test_a_missing_example_and_a_missing_field_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    script = importlib.import_module("new_examples")
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder)
    (folder / "accounting_tasks.json").unlink()
    bills = folder / "accounting_bills.json"
    entry = json.loads(bills.read_text(encoding="utf-8"))
    del entry["body"]["bills"][0]["document_number"]
    for line in entry["body"]["bills"][0]["line_items"]:
        line.pop("description", None)
    bills.write_text(json.dumps(entry), encoding="utf-8")

    assert script.main(folder) == 0

    said = capsys.readouterr().out
    assert "accounting_tasks.json: written" in said
    assert "accounting_bills.json: added" in said
    whole = json.loads((EXAMPLES / "accounting_tasks.json").read_text(encoding="utf-8"))
    made = json.loads((folder / "accounting_tasks.json").read_text(encoding="utf-8"))
    assert made["endpoint"] == whole["endpoint"]
    assert made["body"]["tasks"][0].keys() == whole["body"]["tasks"][0].keys()
    (bill,) = json.loads(bills.read_text(encoding="utf-8"))["body"]["bills"]
    assert "document_number" in bill
    assert any("description" in line for line in bill["line_items"])
    assert script.main(folder) == 0
    assert capsys.readouterr().out == ""


def test_the_examples_lack_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    assert importlib.import_module("new_examples").main(tmp_path / "examples") == 0
    assert capsys.readouterr().out == ""
