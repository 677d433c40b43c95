"""Streams without rows are declared or not, as the setting says; rows never lack their SCHEMA."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.in_process import sync
from support.singer import Messages, catalog_of, run_tap, settings

from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.any_workers

STREAMS = ("commerce_orders", "commerce_products", "accounting_bills", "connections", "sync_report")


@pytest.fixture
def rutter() -> Iterator[Simulator]:
    world = World()
    world.add_connection("SHOPIFY", counts={"/orders": 12})
    with Simulator(world) as simulator:
        yield simulator


def declared_late(messages: Messages) -> set[str]:
    """Streams of which a record comes before the SCHEMA."""
    declared: set[str] = set()
    late = set()
    for line in messages.lines:
        if line["type"] == "SCHEMA":
            assert line["stream"] not in declared, f"{line['stream']} is declared twice"
            declared.add(line["stream"])
        elif line["type"] == "RECORD" and line["stream"] not in declared:
            late.add(line["stream"])
    return late


def test_every_stream_is_declared_unless_somebody_says_otherwise(rutter: Simulator) -> None:
    given = sync(rutter, *STREAMS)
    assert set(given.schemas) == set(STREAMS)
    assert declared_late(given) == set()


@pytest.mark.parametrize("more", [{}, {"flattening_enabled": True, "flattening_max_depth": 1}])
def test_without_empty_tables_what_has_rows_is_declared_before_them(
    rutter: Simulator, more: dict[str, Any]
) -> None:
    given = sync(rutter, *STREAMS, empty_tables=False, **more)
    assert set(given.schemas) == {"commerce_orders", "connections", "sync_report"}
    assert declared_late(given) == set()
    usual = sync(rutter, *STREAMS, **more)
    assert given.schemas["commerce_orders"] == usual.schemas["commerce_orders"]
    assert given.records["commerce_orders"] == usual.records["commerce_orders"]


def test_a_run_that_finds_nothing_declares_nothing(rutter: Simulator) -> None:
    first = sync(rutter, "accounting_bills", empty_tables=False)
    assert [line["type"] for line in first.lines if line.get("stream") != "sync_report"] == [
        "STATE"
    ]


def test_aliases_and_maps_are_declared_as_well(rutter: Simulator) -> None:
    maps = {"commerce_orders": {"__alias__": "orders", "id": "id"}}
    given = sync(rutter, *STREAMS, empty_tables=False, stream_maps=maps)
    assert "orders" in given.schemas
    assert declared_late(given) == set()


@pytest.mark.parametrize("how", ["schema", "records"])
def test_a_trial_declares_all(rutter: Simulator, how: str) -> None:
    config = settings(rutter, empty_tables=False)
    ended = run_tap(f"--test={how}", config=config, catalog=catalog_of(*STREAMS))
    assert ended.code == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {line["stream"] for line in lines if line["type"] == "SCHEMA"} == set(STREAMS)
    assert declared_late(ended.messages) == set()
