"""The simulator's faults, its request log, its control routes and its command line."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from support.http_client import Client, of

from tap_rutter.simulator import Request, World, standard_world

ORDERS = "/orders"


@pytest.fixture
def world() -> World:
    return standard_world(seed=5, scale=0.1)


def control(client: Client, route: str, **body: Any) -> Any:
    request = urllib.request.Request(
        client.simulator.control_url + route,
        data=json.dumps(body).encode() if body else None,
        method="POST" if body else "GET",
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def test_answers_are_compressed_on_request_and_bear_date_and_id(
    client: Client, world: World
) -> None:
    shop = of(world, "SHOPIFY")
    headers = {**client.headers, "Accept-Encoding": "gzip"}
    plain = client.get("/orders", shop, limit=20)
    packed = client.get("/orders", shop, limit=20, headers=headers)
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert parsedate_to_datetime(plain.headers["date"]) == world.now
    assert plain.headers["x-rutter-request-id"] != packed.headers["x-rutter-request-id"]
    client.simulator.gzip = False
    assert "content-encoding" not in client.get("/orders", shop, headers=headers).headers


def test_a_fault_may_replace_an_answer(client: Client, world: World) -> None:
    shop, faults = of(world, "SHOPIFY"), client.simulator.faults
    faults.add("respond", path=ORDERS, status=429, headers={"Retry-After": "7"}, times=2)
    for _ in range(2):
        reply = client.get(ORDERS, shop)
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    good = client.get(ORDERS, shop)
    assert good.status == 200
    faults.add("html")
    assert client.get(ORDERS, shop).body.startswith(b"<!doctype html>")
    faults.add("broken_json")
    broken = client.get(ORDERS, shop)
    assert broken.status == 200 and good.body.startswith(broken.body) and broken.body != good.body
    faults.add("no_list")
    assert "orders" not in client.get(ORDERS, shop).json
    faults.add("redirect", headers={"Location": "https://elsewhere.example/x"})
    assert client.get(ORDERS, shop).headers["location"] == "https://elsewhere.example/x"
    assert client.get(ORDERS, shop).body == good.body


def test_a_fault_may_break_an_answer_on_the_wire(client: Client, world: World) -> None:
    shop, faults = of(world, "SHOPIFY"), client.simulator.faults
    faults.add("reset")
    with pytest.raises(ConnectionResetError):
        client.get(ORDERS, shop)
    faults.add("close")
    with pytest.raises(http.client.RemoteDisconnected):
        client.get(ORDERS, shop)
    client.close()
    faults.add("cut")
    with pytest.raises(http.client.IncompleteRead):
        client.get(ORDERS, shop)
    client.close()
    faults.add("bad_gzip")
    reply = client.get(ORDERS, shop)
    assert reply.headers["content-encoding"] == "gzip"
    with pytest.raises(zlib.error):
        gzip.decompress(reply.body)
    faults.add("drip", seconds=0.02)
    faults.add("delay", seconds=0.01)
    dripped, delayed = client.get(ORDERS, shop), client.get(ORDERS, shop)
    assert dripped.body == delayed.body == client.get(ORDERS, shop).body
    assert [entry.fault for entry in client.simulator.requests][-3:] == ["drip", "delay", None]


def test_a_fault_strikes_the_requests_that_it_names(client: Client, world: World) -> None:
    shop, other = (c for c in world.connections.values() if c.platform == "SHOPIFY")
    faults = client.simulator.faults

    def statuses(path: str = ORDERS, connection: Any = shop, **params: Any) -> list[int]:
        return [client.get(path, connection, **params).status for _ in range(4)]

    faults.add("respond", path=ORDERS, nth=3)
    assert statuses() == [200, 200, 500, 200]
    faults.clear()
    faults.add("respond", path="/product*", after=2, times=None, status=503)
    assert statuses() == [200] * 4
    assert statuses("/products") == [200, 200, 503, 503]
    faults.clear()
    faults.add("respond", connection_id=other.id, times=None)
    assert statuses() == [200] * 4
    assert statuses(connection=other) == [500] * 4
    faults.clear()
    faults.add("respond", params={"limit": "9", "updated_at_min": "*"}, times=None)
    assert statuses(limit=9) == [200] * 4
    assert statuses(limit=9, updated_at_min=5) == [500] * 4
    faults.clear()
    faults.add("respond", probability=0.5, times=None)
    assert set(statuses() + statuses() + statuses()) == {200, 500}
    with pytest.raises(ValueError, match="unknown fault action"):
        faults.add("explode")


def test_a_fault_may_make_cursors_lead_nowhere(client: Client, world: World) -> None:
    shop, faults = of(world, "SHOPIFY"), client.simulator.faults
    faults.add("repeat_cursor", path=ORDERS, times=None)
    cursor = client.get(ORDERS, shop, limit=2).json["next_cursor"]
    assert client.get(ORDERS, shop, limit=2, cursor=cursor).json["next_cursor"] == cursor
    faults.clear()
    faults.add("endless", path=ORDERS, times=None)
    first = client.get(ORDERS, shop, limit=2).json
    again = client.get(ORDERS, shop, limit=2, cursor=first["next_cursor"]).json
    assert again["orders"] == first["orders"]
    assert again["next_cursor"] != first["next_cursor"]


def test_a_hook_may_change_the_world_during_a_request(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    made: list[str] = []

    def create(request: Request) -> None:
        assert request.connection_id == shop.id
        made.append(world.create(shop.id, ORDERS))

    client.simulator.faults.add("none", path=ORDERS, call=create)
    assert client.get(ORDERS, shop).json["orders"][0]["id"] == made[0]
    client.get(ORDERS, shop)
    assert len(made) == 1


def test_the_request_log_tells_all_but_secrets(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    client.get(ORDERS, shop, limit=3)
    client.get("/accounting/bills", shop)
    client.get(ORDERS, access_token="unknown")
    log = client.simulator.requests
    assert [entry.status for entry in log] == [200, 404, 401]
    first = log[0]
    assert (first.method, first.path, first.params) == ("GET", ORDERS, {"limit": "3"})
    assert first.connection_id == shop.id and first.size > 100
    assert first.started <= first.finished
    text = repr(list(log))
    assert shop.access_token not in text and client.headers["Authorization"] not in text
    assert [entry.number for entry in log.to(ORDERS, shop.id)] == [1]


def test_switches_by_platform_path_and_connection(client: Client, world: World) -> None:
    qbo, netsuite = of(world, "QUICKBOOKS"), of(world, "NETSUITE")
    bills = "/accounting/bills"
    ask: dict[str, Any] = {"sort": "last_synced_at ASC"}
    sorted_ids = [row["id"] for row in client.rows(bills, qbo, **ask)]
    world.switches.set("sort", "refuse", platform="QUICKBOOKS")
    assert client.get(bills, qbo, **ask).status == 400
    assert client.get(bills, netsuite, **ask).status == 200
    world.switches.set("sort", "ignore", platform="QUICKBOOKS", path=bills)
    unsorted = [row["id"] for row in client.rows(bills, qbo, **ask)]
    assert set(unsorted) == set(sorted_ids) and unsorted != sorted_ids
    assert client.get("/accounting/vendors", qbo, **ask).status == 400
    world.switches.set("last_synced_at_bounds", "ignore", connection_id=qbo.id)
    future = 4_000_000_000_000
    assert client.get(bills, qbo, last_synced_at_min=future).json["bills"]
    assert not client.get(bills, netsuite, last_synced_at_min=future).json["bills"]
    world.switches.set("limit_above_max", "clamp")
    assert client.get(bills, qbo, limit=5000).status == 200
    world.switches.set("most_rows", 2)
    assert len(client.get(bills, qbo, limit=5).json["bills"]) == 2
    assert len(client.get(bills, qbo, limit=1).json["bills"]) == 1
    qbo.not_enabled.add(bills)
    assert client.get(bills, qbo).json["bills"] == []
    world.switches.clear()
    assert client.get(bills, qbo, limit=5000).status == 400
    with pytest.raises(ValueError, match="unknown switch"):
        world.switches.set("gravity", "off")


def test_connections_may_come_in_pages(client: Client, world: World) -> None:
    world.switches.set("connections_page_size", 5)
    found: list[str] = []
    params: dict[str, Any] = {"status": "any"}
    while True:
        body = client.get("/connections", **params).json
        found += [row["id"] for row in body["connections"]]
        if not body["next_cursor"]:
            break
        params["cursor"] = body["next_cursor"]
    assert found == list(world.connections)


def test_control_routes_change_the_world_and_tell_of_it(client: Client, world: World) -> None:
    shop = of(world, "SHOPIFY")
    target = {"connection_id": shop.id, "path": ORDERS}
    told = control(client, "/world")
    assert [row["id"] for row in told["connections"]] == list(world.connections)
    orders = next(row for row in told["connections"] if row["id"] == shop.id)["rows"][ORDERS]
    assert orders == len(world.rows(shop.id, ORDERS))
    now = world.now
    control(client, "/clock", seconds=90)
    assert (world.now - now).total_seconds() == 90
    key = control(client, "/create", **target, fields={"name": "by hand"})["key"]
    control(client, "/update", **target, key=key, fields={"name": "again"})
    listed = control(client, f"/rows?connection_id={shop.id}&path={ORDERS}")
    assert listed["keys"][0] == key
    assert listed["rows"][0]["name"] == "again"
    control(client, "/delete", **target, key=key)
    assert key not in world.keys(shop.id, ORDERS)
    control(client, "/connection", connection_id=shop.id, status="disabled")
    assert client.get(ORDERS, shop).status == 400
    control(client, "/switches", name="disabled_status", value=403)
    assert client.get(ORDERS, shop).status == 403
    control(client, "/connection", connection_id=shop.id, status="active", do="pause")
    assert shop.paused
    control(client, "/faults", action="respond", status=418)
    assert client.get(ORDERS, shop).status == 418
    counted = control(client, "/requests")
    assert counted["paths"] == {ORDERS: 3}
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(client, "/update", **target, key="none such")
    with refused.value as answer:
        assert answer.code == 400 and b"none such" in answer.read()
    control(client, "/reset", sure=True)
    fresh = client.simulator.world
    assert fresh is not world and fresh.now < world.now
    assert client.get(ORDERS, shop).status == 200


def test_the_command_serves_the_world_that_its_options_describe() -> None:
    command = [sys.executable, "-m", "tap_rutter.simulator", "--port", "0", "--seed", "9"]
    process = subprocess.Popen(
        [*command, "--orders", "1000", "--connections", "2"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        told = dict(line.split(maxsplit=1) for line in lines[1:])
        assert told["connections"].strip() == "2"
        found = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/versioned", told["api_url"].strip())
        assert found is not None
        with urllib.request.urlopen(f"http://{found[1]}/_control/world") as answer:
            rows = [c["rows"] for c in json.loads(answer.read())["connections"]]
        assert rows == [{ORDERS: 1000}] * 2
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout is not None
        process.stdout.close()
