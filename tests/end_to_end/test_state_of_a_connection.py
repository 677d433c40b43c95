"""docs/warehouse.md: one connection's bookmarks are taken out of the state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.commands import ROOT, blocks, script
from support.meltano import Project
from support.singer import environment, run

pytestmark = pytest.mark.longer

_NAME = "dev:tap-rutter-to-target-postgres"


def _partition(connection: str, **more: object) -> dict[str, object]:
    return {"context": {"connection_id": connection}, **more}


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_bookmarks_of_one_connection_are_removed_and_no_others(tmp_path: Path) -> None:
    kept = _partition("kept", replication_key_value="2026-03-02T09:11:00.000Z")
    state = {
        "connections": {"partitions": [_partition("gone", history={}), kept]},
        "commerce_orders": {"partitions": [kept, _partition("gone"), _partition("gone", x="a")]},
        "accounting_bills": {"partitions": [_partition("gone")]},
        "sync_report": {},
    }
    project = Project.make(tmp_path)
    given = json.dumps({"singer_state": {"bookmarks": state}})
    assert project.run("state", "set", "--force", _NAME, given).code == 0
    page = ROOT / "docs" / "warehouse.md"
    found = [block for block in blocks(page) if block.run_by.endswith(Path(__file__).name)]
    commands = ["bash", "-c", script(found, {"CONNECTION": "gone"})]
    ended = run(commands, env=environment(), cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    left = json.loads(project.run("state", "get", _NAME).stdout.splitlines()[-1])
    assert left["singer_state"]["bookmarks"] == {
        "connections": {"partitions": [kept]},
        "commerce_orders": {"partitions": [kept]},
        "accounting_bills": {"partitions": []},
        "sync_report": {},
    }
