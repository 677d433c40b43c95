"""What Prometheus sees of workers, and that the dashboard asks for what there is."""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.ledger import LedgerWorld

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.model import Claim, ConnectionOutcome, Fault, Lane, Mark, RunResult
from tap_rutter.fleet.webhooks.counters import Counters
from tap_rutter.fleet.work.metrics import LedgerMetrics, RunMetrics, serve_metrics

ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"\brutter_fleet_\w+")


def text_of(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def a_result(*, fault: Fault | None = None, stopped: bool = False) -> RunResult:
    outcomes = (
        ConnectionOutcome("a", succeeded=True, rows=7),
        ConnectionOutcome("b", succeeded=False, rows=1),
    )
    return RunResult(outcomes, 2.5, fault, throttled=3, stopped=stopped)


def a_claim() -> Claim:
    return Claim(uuid.uuid4(), Lane.FRESH, "XERO", (), 60.0)


def exported(world: LedgerWorld) -> str:
    """All metrics of a worker and a receiver, each with a value."""
    registry = CollectorRegistry()
    runs = RunMetrics(registry)
    runs.ended(a_claim(), a_result())
    registry.register(LedgerMetrics(world.ledger))
    counters = Counters(lambda: 0)
    counters.webhooks.labels("INVOICE", "kept").inc()
    counters.refused.labels("signature").inc()
    return text_of(registry) + text_of(counters.registry)


def samples(text: str) -> set[str]:
    return {name for line in text.splitlines() if line[:1] != "#" for name in _NAME.findall(line)}


def test_the_dashboard_asks_for_metrics_that_exist(ledger_world: LedgerWorld) -> None:
    there = samples(exported(ledger_world))
    dashboard = json.loads((ROOT / "docs" / "fleet-dashboard.json").read_text(encoding="utf-8"))
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in _NAME.findall(target["expr"])
    }
    assert asked - there == set()
    families = {re.sub(r"_(?:total|created|bucket|count|sum)$", "", name) for name in there}
    shown = {re.sub(r"_(?:total|bucket|count|sum)$", "", name) for name in asked}
    assert families - shown == set(), "metrics that no panel shows"


def test_labels_of_the_dashboard_exist(ledger_world: LedgerWorld) -> None:
    text = exported(ledger_world)
    dashboard = json.loads((ROOT / "docs" / "fleet-dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            (name, *_) = _NAME.findall(target["expr"])
            lines = "\n".join(line for line in text.splitlines() if line.startswith(name))
            grouped = re.search(r" by \(([^)]*)\)", target["expr"])
            labels = grouped[1].split(", ") if grouped else []
            for label in (*labels, *re.findall(r"{{(\w+)}}", target["legendFormat"])):
                assert f'{label}="' in lines, f"{panel['title']}: {label}"


def test_every_metric_is_documented(ledger_world: LedgerWorld) -> None:
    pages = "".join(
        (ROOT / "docs" / name).read_text(encoding="utf-8")
        for name in ("fleet.md", "fleet-webhooks.md")
    )
    names = {
        re.sub(r"_(?:bucket|count|sum)$", "", name)
        for name in samples(exported(ledger_world))
        if not name.endswith("_created")
    }
    assert sorted(name for name in names if f"`{name}`" not in pages) == []


def test_runs_are_counted_by_how_they_ended() -> None:
    registry = CollectorRegistry()
    runs = RunMetrics(registry)
    runs.ended(a_claim(), a_result())
    runs.ended(a_claim(), a_result(fault=Fault.RUN))
    runs.ended(a_claim(), a_result(stopped=True))
    value = registry.get_sample_value
    for ended in ("complete", "fault_of_run", "stopped"):
        assert value("rutter_fleet_runs_total", {"lane": "fresh", "ended": ended}) == 1
    by_result = {"lane": "fresh", "result": "failed"}
    assert value("rutter_fleet_connections_run_total", by_result) == 3
    assert value("rutter_fleet_rows_total", {"lane": "fresh"}) == 24
    assert value("rutter_fleet_throttled_requests_total") == 9


def test_the_ledger_is_asked_at_each_scrape(ledger_world: LedgerWorld) -> None:
    registry = CollectorRegistry()
    registry.register(LedgerMetrics(ledger_world.ledger))
    assert 'rutter_fleet_due{lane="bulk"} 0.0' in text_of(registry)
    ledger_world.ledger.pause("something", 60)
    ledger_world.ledger.put_webhooks([Mark("nobody-yet", "bills")])
    text = text_of(registry)
    assert "rutter_fleet_paused 1.0" in text
    assert "rutter_fleet_ledger_up 1.0" in text


@pytest.mark.longer
def test_without_a_ledger_only_that_is_told() -> None:
    registry = CollectorRegistry()
    with Ledger("postgresql://127.0.0.1:9/none") as ledger:
        registry.register(LedgerMetrics(ledger))
        text = text_of(registry)
    assert "rutter_fleet_ledger_up 0.0" in text
    assert "rutter_fleet_due{" not in text


def test_metrics_are_served_on_a_port_that_is_free() -> None:
    registry = CollectorRegistry()
    RunMetrics(registry)
    server, thread = serve_metrics(registry, 0, "127.0.0.1")
    try:
        port = server.server_address[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"rutter_fleet_throttled_requests_total 0.0" in answer.read()
        with pytest.raises(ConfigError, match="cannot listen"):
            serve_metrics(registry, int(port), "127.0.0.1")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
