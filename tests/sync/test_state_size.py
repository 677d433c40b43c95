"""How large a STATE becomes, and what the tap says when it becomes too large."""

from __future__ import annotations

import logging

import pytest
from support.in_process import sync
from support.singer import run_tap, settings

from tap_rutter.simulator import Simulator, World
from tap_rutter.streams import STREAMS
from tap_rutter.sync import delivery

CONNECTIONS = 60
# 5 MiB for 5,000 connections.
BYTES_EACH = 5 * 2**20 / 5_000


def fleet(size: int) -> World:
    """Connections that answer for all their lists, and have rows in four of them."""
    world = World(3, history_days=20)
    lists = ("/orders", "/customers", "/products", "/payouts")
    for _ in range(size):
        world.add_connection("SHOPIFY", counts=dict.fromkeys(lists, 2))
    return world


def test_a_run_over_everything_writes_no_state_beyond_a_kibibyte_a_connection() -> None:
    with Simulator(fleet(CONNECTIONS)) as simulator:
        ended = run_tap(config=settings(simulator))
    assert ended.code == 0
    states = [line for line in ended.stdout.splitlines() if line.startswith('{"type":"STATE"')]
    partitions = {
        name: len(entry["partitions"]) for name, entry in ended.messages.state["bookmarks"].items()
    }
    assert len(STREAMS) > 60
    # Four lists, and what the connections' data were read under.
    assert len(partitions) == 5
    assert set(partitions.values()) == {CONNECTIONS}
    assert max(map(len, states)) <= BYTES_EACH * CONNECTIONS


@pytest.mark.parametrize(("limit", "warnings"), [(2_000, 1), (10**6, 0)])
def test_a_state_that_nears_what_runners_take_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: int, warnings: int
) -> None:
    monkeypatch.setattr(delivery, "_LARGE_STATE", limit)
    monkeypatch.setattr(delivery, "_STATE_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING), Simulator(fleet(6)) as simulator:
        messages = sync(simulator, "commerce_orders", "commerce_products", "commerce_payouts")
    assert len(messages.states) > 3
    assert caplog.text.count("'shard'") == warnings
