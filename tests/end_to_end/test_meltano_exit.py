"""A failure under ``meltano run`` is seen there, and all other data land."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.hidden import secrets
from support.meltano import Project, from_to
from support.warehouse import read_tables

from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, standard_world

pytestmark = pytest.mark.any_workers


@pytest.mark.longer
def test_a_stream_that_fails_fails_the_meltano_run_after_all_else_has_landed(
    postgres: Database, tmp_path: Path
) -> None:
    world = standard_world(seed=2)
    shops = [entry for entry in world.connections.values() if entry.platform == "SHOPIFY"]
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path="/orders", connection_id=shops[0].id, status=400, times=None
        )
        ended = Project.make(tmp_path).run(
            "run",
            "tap-rutter",
            "target-postgres",
            **from_to(simulator, postgres),
            TAP_RUTTER_PLATFORMS='["SHOPIFY"]',
            TAP_RUTTER__SELECT='["commerce_*.*", "sync_report.*"]',
            TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA="failing",
        )
    said = ended.stdout + ended.stderr
    assert ended.code == 1, said
    assert "commerce_orders of connection " + shops[0].id in said
    assert not [name for name, secret in secrets(world).items() if secret in said]
    tables = read_tables(postgres, "failing")
    landed = {row["connection_id"] for row in tables["commerce_orders"].rows}
    assert landed == {shops[1].id}
    assert {row["connection_id"] for row in tables["commerce_products"].rows} == {
        shop.id for shop in shops
    }
    (report,) = [
        row
        for row in tables["sync_report"].rows
        if (row["stream"], row["connection_id"]) == ("commerce_orders", shops[0].id)
    ]
    assert (report["status"], report["reason"]) == ("failed", "refused")
