"""Runs into PostgreSQL by the real target: what lands, prepared tables, and sessions of a claim."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.ledger import own_database
from support.runs import SCHEMA, Fleet, mark
from support.threads import until

from tap_rutter.demo.database import Database
from tap_rutter.fleet.model import Lane, RunResult
from tap_rutter.fleet.runs import (
    SessionsRemain,
    Slot,
    ensure_prepared,
    prepare,
    session_name,
    terminate_sessions,
)
from tap_rutter.simulator import Simulator, World

ORDERS, INVOICES = "commerce_orders", "accounting_invoices"


@pytest.fixture
def run_rutter() -> Iterator[Simulator]:
    world = World()
    for _ in range(3):
        world.add_connection("SHOPIFY", counts={"/orders": 20, "/products": 4})
    world.add_connection("QUICKBOOKS", counts={"/accounting/invoices": 20})
    with Simulator(world) as simulator:
        yield simulator


@pytest.fixture
def fleet(run_rutter: Simulator, tmp_path: Path, postgres: Database) -> Iterator[Fleet]:
    """Three shops, a ledger, and an empty warehouse."""
    with own_database(postgres) as url:
        made = Fleet(run_rutter, tmp_path, url)
        # Few streams: what is tried here is not the reading.
        catalog = tmp_path / "catalog.json"
        names = (ORDERS, "commerce_products", INVOICES, "sync_report")
        streams = [{"tap_stream_id": name, "stream": name, "schema": {}} for name in names]
        catalog.write_text(json.dumps({"streams": streams}), encoding="utf-8")
        made.more = {"catalog": str(catalog)}
        yield made
        if made.slot is not None:
            made.slot.close()


def shops(fleet: Fleet) -> list[Any]:
    return [c for c in fleet.simulator.world.connections.values() if c.platform == "SHOPIFY"]


def test_what_the_world_holds_lands_and_what_changes_lands_after_it(fleet: Fleet) -> None:
    slot = fleet.slot = Slot(fleet.config)
    prepare(slot)
    first, second, third = shops(fleet)
    world = fleet.simulator.world
    done = fleet.run(fleet.claim(first, second, third, claim_id=slot.claim_id()))
    assert done.fault is None, done.message
    assert fleet.landed(ORDERS) == fleet.expected("/orders", shops(fleet))
    assert fleet.landed("commerce_products") == fleet.expected("/products", shops(fleet))
    # A webhook tells of one order; another connection's is not told of.
    world.advance(7200)
    for shop in (first, second):
        world.sync(shop.id)
    told = world.create(first.id, "/orders")
    silent = world.create(second.id, "/orders")
    since = fleet.member(first, mark(ORDERS, world.now))
    fresh = fleet.run(fleet.claim(since, lane=Lane.FRESH, claim_id=slot.claim_id()))
    assert (fresh.fault, fresh.outcomes[0].rows) == (None, 1), fresh.message
    assert (first.id, told) in fleet.landed(ORDERS)
    assert (second.id, silent) not in fleet.landed(ORDERS)
    swept = fleet.run(fleet.claim(*shops(fleet), claim_id=slot.claim_id()))
    assert swept.fault is None, swept.message
    assert fleet.landed(ORDERS) == fleet.expected("/orders", shops(fleet))
    reports = fleet.rows(f"select count(distinct run_id) from {SCHEMA}.sync_report")
    assert reports == [(2,)], "a run of marks has its dirty streams only"


class Remembered:
    """The ledger's part in the preparing of tables."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.times = 0
        self._lock = threading.Lock()

    def prepared(self, schema_hash: str) -> bool:
        return schema_hash in self.known

    @contextmanager
    def preparing(self, schema_hash: str, lock_timeout: float) -> Iterator[bool]:
        assert lock_timeout > 0
        with self._lock:
            needed = schema_hash not in self.known
            self.times += needed
            yield needed
            self.known.add(schema_hash)


def test_targets_that_start_together_land_all_once_tables_are_prepared(fleet: Fleet) -> None:
    """And an empty database at the start: all of them want it prepared."""
    ledger, results = Remembered(), list[RunResult]()
    while len(shops(fleet)) < 8:
        fleet.simulator.world.add_connection("SHOPIFY", counts={"/orders": 5, "/products": 1})
    members = shops(fleet)
    config = fleet.config

    def work(number: int) -> None:
        slot = Slot(config)
        try:
            ensure_prepared(ledger, slot)
            with lock:
                claim = fleet.claim(members[number], claim_id=slot.claim_id())
            results.append(fleet.run(claim, slot=slot, on_states=lambda *_: None))
        finally:
            slot.close()

    lock = threading.Lock()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.fault for done in results] == [None] * 8, results
    assert ledger.times == 1
    assert fleet.landed(ORDERS) == fleet.expected("/orders", members)


def test_the_sessions_of_a_claim_are_found_and_ended(fleet: Fleet, postgres: Database) -> None:
    slot = fleet.slot = Slot(fleet.config)
    claim_id = slot.claim_id()
    held = threading.Event()
    # The target has begun, and waits for a further page of a list.
    fleet.simulator.faults.add(
        "delay", path="/orders", after=3, seconds=300, call=lambda _: held.set(), times=None
    )
    fleet.use(tap_config={**fleet.config.tap_config, "page_size": 5, "concurrency": 1})
    slot.config = fleet.config
    kill, results = threading.Event(), list[RunResult]()
    claim = fleet.claim(*shops(fleet), claim_id=claim_id)
    run = threading.Thread(target=lambda: results.append(fleet.run(claim, kill=kill)))
    run.start()
    try:
        query = "select count(*) from pg_stat_activity where application_name = '{}'"
        until(
            lambda: fleet.rows(query.format(session_name(claim_id)))[0][0],
            "the session of the claim's target",
            60,
        )
        assert terminate_sessions(fleet.database_url, [uuid.uuid4()]) == 0
        assert terminate_sessions(fleet.database_url, []) == 0
        assert terminate_sessions(fleet.database_url, [uuid.uuid4(), claim_id]) >= 1
        assert fleet.rows(query.format(session_name(claim_id))) == [(0,)]
    finally:
        kill.set()
        run.join(60)
    assert not results[0].outcomes
    # A role that may not end them is told what to grant.
    role = f"run_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute(f"create role {role} login".encode())
    try:
        theirs = fleet.database_url.replace("//postgres:", f"//{role}:")
        with (
            psycopg.connect(fleet.database_url, application_name=session_name(claim_id)),
            pytest.raises(SessionsRemain, match="pg_signal_backend"),
        ):
            terminate_sessions(theirs, [claim_id], timeout=0.1)
    finally:
        with psycopg.connect(postgres.uri, autocommit=True) as connection:
            connection.execute(f"drop role {role}".encode())


def test_a_database_that_is_not_there_is_the_fleets_fault(fleet: Fleet) -> None:
    fleet.database_url = fleet.database_url.replace("/ledger_", "/nowhere_")
    done = fleet.run(fleet.claim(*shops(fleet)))
    assert done.fault == "fleet"
    assert "does not exist" in done.message
    assert "a-word-that-nobody-may-see" not in repr(done)
