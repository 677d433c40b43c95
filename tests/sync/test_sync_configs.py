"""The sync configuration: what tells an object that is not enabled from one without data."""

from __future__ import annotations

from typing import Any

import pytest
from support.in_process import Run, sync

from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.simulator.sync_configs import SyncConfig

pytestmark = pytest.mark.any_workers

CONFIGS = "connection_sync_configs"
BILLS, VENDORS, CLASSES = "accounting_bills", "accounting_vendors", "accounting_classes"
CUSTOMERS = "accounting_customers"
COUNTS = {"/accounting/bills": 4, "/accounting/vendors": 0, "/accounting/classes": 0}

OWN = SyncConfig(("ACCOUNTING_BILL", "ACCOUNTING_VENDOR"), months=12, period_minutes=20_160)
OF_PLATFORM = SyncConfig(("ACCOUNTING_BILL",))


def two_ledgers() -> tuple[World, list[Connection]]:
    world = World(7, history_days=60)
    return world, [world.add_connection("QUICKBOOKS", counts=COUNTS) for _ in range(2)]


def read(simulator: Simulator, *streams: str, **more: Any) -> Run:
    optional = [name for name in (CONFIGS,) if name in streams]
    return sync(simulator, *streams, optional_streams=optional, **more)


@pytest.mark.parametrize("spelling", ["camel", "snake", "wrapped"])
def test_a_connection_has_its_own_configuration_or_its_platforms(spelling: str) -> None:
    world, (first, second) = two_ledgers()
    shop = world.add_connection("SHOPIFY")
    world.switches.set("sync_config", spelling)
    world.sync_configs[first.id] = OWN
    world.platform_sync_configs["QUICKBOOKS"] = OF_PLATFORM
    with Simulator(world) as simulator:
        run = read(simulator, CONFIGS)
        asked = [entry for entry in simulator.requests if "/configs/" in entry.path]
    assert run.code == 0, run.log
    rows = {row["connection_id"]: row for row in run.records[CONFIGS]}
    assert rows.keys() == {first.id, second.id}
    assert rows[first.id] == {
        "connection_id": first.id,
        "level": "connection",
        "initial_batches": [{"entities": list(OWN.entities), "months": 12}],
        "initial_entities": list(OWN.entities),
        "incremental_entities": list(OWN.entities),
        "sync_period_minutes": 20_160,
    }
    assert (rows[second.id]["level"], rows[second.id]["sync_period_minutes"]) == ("platform", 60)
    # Nothing is configured for the shop, which is not a failure.
    assert run.report(CONFIGS, shop.id)["status"] == "complete"
    assert {entry.method for entry in asked} == {"GET"}
    assert all(entry.connection_id is None for entry in asked), "a token where none is taken"


def test_without_being_asked_for_nothing_is_read() -> None:
    world, _ = two_ledgers()
    with Simulator(world) as simulator:
        read(simulator, BILLS)
        assert not [entry for entry in simulator.requests if "/configs/" in entry.path]


def test_only_the_two_parts_leave() -> None:
    world, (first, _) = two_ledgers()
    body = (
        '{"initialSync":{"batches":[{"entities":["ACCOUNTING_BILL",7],"secret":"s"}],"token":"t"},'
        '"incrementalSync":{"entities":["A"],"syncPeriodInMinutes":90},"webhook_secret":"w"}'
    )
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=f"/configs/sync/connections/{first.id}", status=200, body=body
        )
        run = read(simulator, CONFIGS)
    (row,) = run.records[CONFIGS]
    assert row["initial_batches"] == [{"entities": ["ACCOUNTING_BILL"], "months": None}]
    assert row["sync_period_minutes"] == 90
    assert len(row) == 6


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{"error_code":"UNAUTHORIZED","error_message":"not for these keys"}'),
        (403, '{"error_code":"FORBIDDEN","error_message":"not for these keys"}'),
        (404, "<html>a gateway</html>"),
        (200, '{"something":{"else":1}}'),
    ],
)
def test_a_refusal_costs_this_stream_and_nothing_else(status: int, body: str) -> None:
    world, (first, second) = two_ledgers()
    world.sync_configs[second.id] = OWN
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path=f"/configs/sync/connections/{first.id}",
            status=status,
            body=body,
            times=None,
        )
        # It comes before these in the catalog where its name is earlier in the alphabet.
        run = read(simulator, CONFIGS, BILLS, "deleted_objects")
    assert run.code == 1
    assert run.report(CONFIGS, first.id)["status"] == "failed"
    assert run.report(CONFIGS, second.id)["rows"] == 1
    assert run.report(BILLS, first.id)["rows"] == 4
    assert run.report("deleted_objects", first.id)["status"] == "complete"


# ---- the hint


def hints(run: Run) -> list[str]:
    return [line for line in run.log.splitlines() if "Hint: " in line]


def test_the_summary_tells_what_is_not_enabled_from_what_is_empty() -> None:
    world, ledgers = two_ledgers()
    for ledger in ledgers:
        world.sync_configs[ledger.id] = OWN
    with Simulator(world) as simulator:
        run = read(simulator, BILLS, VENDORS, CLASSES, CONFIGS)
    assert len(run.records[BILLS]) == 8
    disabled, enabled = hints(run)
    assert "empty, and not enabled in Rutter's sync configuration: accounting_classes." in disabled
    assert "empty, though enabled in Rutter's sync configuration" in enabled
    assert enabled.endswith(f": {VENDORS}.")


def test_without_the_configuration_the_summary_only_asks() -> None:
    world, ledgers = two_ledgers()
    world.sync_configs[ledgers[0].id] = OWN  # of one of them: the other is not known
    with Simulator(world) as simulator:
        told = [read(simulator, BILLS, VENDORS, *more) for more in ([], [CONFIGS])]
    for run in told:
        (hint,) = hints(run)
        assert "empty for every connection that serves them: accounting_vendors." in hint
        assert "Data Sync Configuration" in hint


@pytest.mark.parametrize(
    ("stream", "path", "named"),
    [
        ("accounting_currencies", "/accounting/currencies", "ACCOUNTING_CURRENCY"),
        ("accounting_classes", "/accounting/classes", "ACCOUNTING_CLASS"),
        ("accounting_journal_entries", "/accounting/journal_entries", "JOURNAL_ENTRY"),
        ("accounting_tax_rates", "/accounting/tax_rates", "ACCOUNTING_TAX_RATES"),
        (CUSTOMERS, "/accounting/customers", "ACCOUNTING_CUSTOMER"),
    ],
)
def test_objects_are_recognised_however_they_are_spelt(stream: str, path: str, named: str) -> None:
    world = World(7, history_days=60)
    for _ in range(2):
        ledger = world.add_connection("QUICKBOOKS", counts={**COUNTS, path: 0})
        world.sync_configs[ledger.id] = SyncConfig((named,))
    with Simulator(world) as simulator:
        run = read(simulator, BILLS, stream, CONFIGS)
    (hint,) = hints(run)
    assert "empty, though enabled" in hint
    assert hint.endswith(f": {stream}.")
