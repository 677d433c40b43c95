"""Webhooks of the simulator: what is told of which change, and how it is sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tap_rutter.simulator import Connection, Simulator, World
from tap_rutter.simulator.__main__ import main
from tap_rutter.simulator.webhooks import ATTEMPTS


class Listener:
    """An address that remembers what it was sent, and answers as a test says."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.headers["X-Rutter-Signature"], body))
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self, simulator: Simulator) -> list[dict[str, Any]]:
        """What has come, once nothing is left to be sent."""
        assert simulator.webhooks.settled()
        return [json.loads(body) for _, body in self.got]

    def codes(self, simulator: Simulator) -> list[str]:
        return sorted(content["code"] for content in self.told(simulator))


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def world() -> World:
    made = World(seed=3)
    made.add_connection("SHOPIFY", counts={"/orders": 3, "/products": 1})
    made.add_connection("QUICKBOOKS", counts={"/accounting/bills": 2, "/accounting/expenses": 2})
    return made


@pytest.fixture
def simulator(world: World, listener: Listener) -> Iterator[Simulator]:
    with Simulator(world, webhooks=[listener.url]) as running:
        yield running


@pytest.fixture
def shop(world: World) -> Connection:
    return next(iter(world.connections.values()))


@pytest.fixture
def ledger(world: World) -> Connection:
    return [*world.connections.values()][1]


def test_the_body_is_signed_with_the_client_secret(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    world.update(shop.id, "/orders", world.keys(shop.id, "/orders")[0], status="archived")
    assert simulator.webhooks.settled()
    [(signature, body)] = listener.got
    digest = hmac.new(world.client_secret.encode(), body, hashlib.sha256).digest()
    assert signature == "sha256=" + base64.b64encode(digest).decode()


def test_an_object_is_told_as_lists_show_it(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    key = world.create(shop.id, "/orders", name="#1001")
    shown = world.rows(shop.id, "/orders")[0]
    [told] = listener.told(simulator)
    assert (told["type"], told["code"]) == ("ORDER", "ORDER_CREATED")
    assert (told["connection_id"], told["access_token"]) == (shop.id, shop.access_token)
    assert told["order"]["id"] == shown["id"] == key
    assert told["order"]["updated_at"] == shown["updated_at"]


def test_a_deleted_object_is_told_in_its_last_state(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    last = world.rows(shop.id, "/orders")[0]
    world.delete(shop.id, "/orders", last["id"])
    [told] = listener.told(simulator)
    assert told["code"] == "ORDER_DELETED"
    assert told["order"]["updated_at"] == last["updated_at"]


def test_what_waits_for_a_sync_is_told_by_it(
    simulator: Simulator, world: World, listener: Listener, ledger: Connection
) -> None:
    world.create(ledger.id, "/accounting/bills", immediate=False)
    assert listener.told(simulator) == []
    world.sync(ledger.id)
    assert listener.codes(simulator) == ["BILL_CREATED", "INCREMENTAL_SYNC_COMPLETED"]


def test_there_is_a_code_for_some_changes_only(
    simulator: Simulator, world: World, listener: Listener, ledger: Connection
) -> None:
    world.create(ledger.id, "/accounting/tax_rates")
    world.delete(
        ledger.id, "/accounting/tax_rates", world.create(ledger.id, "/accounting/tax_rates")
    )
    refund = world.create(ledger.id, "/accounting/expenses", expense_type="refund")
    world.delete(ledger.id, "/accounting/expenses", refund)
    assert listener.codes(simulator) == [
        "EXPENSE_CREATED",
        "EXPENSE_REFUND_DELETED",
        "TAX_RATE_DELETED",
    ]


def test_text_that_is_no_object_is_not_told(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    for text in ("[1]", "{", "null"):
        world.put_raw(shop.id, "/orders", "odd", text)
    world.put_raw(shop.id, "/orders", "odd", '{"id": "odd", "total": 1.10}')
    [told] = listener.told(simulator)
    assert (told["code"], told["order"]["id"]) == ("ORDER_UPDATED", "odd")


def test_what_becomes_of_connections_is_told(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    world.add_history_batch(shop.id, {"/orders": 2})
    for status in ("needs_reauth", "disabled", "active", "active", "unhealthy"):
        world.set_status(shop.id, status)
    fresh = world.add_connection("XERO", status="not_ready")
    world.make_ready(fresh.id)
    told = listener.told(simulator)
    assert {content["type"] for content in told} == {"CONNECTION"}
    assert sorted(content["code"] for content in told) == [
        "CONNECTION_AUTHENTICATED",
        "CONNECTION_DISABLED",
        "CONNECTION_ERROR",
        "CONNECTION_NEEDS_UPDATE",
        "CONNECTION_UPDATED",
        "HISTORICAL_UPDATE",
        "INITIAL_UPDATE",
    ]
    by_code = {content["code"]: content for content in told}
    assert by_code["CONNECTION_NEEDS_UPDATE"]["update_url"] == shop.link_url
    assert by_code["HISTORICAL_UPDATE"]["entities_included_to_time_range"] == [
        {"platformEntity": "order", "xMonthsAgo": 12}
    ]


def test_nothing_is_told_of_the_rows_that_a_world_is_made_with(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    fresh = world.add_connection("SHOPIFY", status="not_ready", counts={"/orders": 6})
    world.rows(fresh.id, "/orders")
    world.make_ready(fresh.id)
    world.rows(shop.id, "/orders")
    assert listener.codes(simulator) == ["CONNECTION_AUTHENTICATED", "INITIAL_UPDATE"]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_is_not_taken_is_tried_again(
    world: World, listener: Listener, shop: Connection, status: int
) -> None:
    with Simulator(world) as simulator:
        simulator.webhooks.subscribe(listener.url, hurry=100_000)
        listener.statuses = [status] * (ATTEMPTS - 1)
        world.create(shop.id, "/products")
        assert listener.codes(simulator) == ["PRODUCT_CREATED"] * ATTEMPTS
        [delivery] = simulator.webhooks.as_json()["deliveries"]
    assert (delivery["attempts"], delivery["outcome"]) == (ATTEMPTS, "delivered")


def test_after_six_attempts_it_is_given_up(
    world: World, listener: Listener, shop: Connection
) -> None:
    with Simulator(world) as simulator:
        simulator.webhooks.subscribe(listener.url, hurry=100_000)
        listener.statuses = [503] * 20
        world.create(shop.id, "/products")
        assert len(listener.codes(simulator)) == ATTEMPTS
        assert simulator.webhooks.as_json()["counts"] == {"failed": 1}


def test_an_address_where_nobody_answers_costs_the_world_nothing(
    world: World, listener: Listener, shop: Connection
) -> None:
    with Simulator(world) as simulator:
        simulator.webhooks.subscribe("http://127.0.0.1:9/none", hurry=100_000)
        simulator.webhooks.subscribe(listener.url)
        world.create(shop.id, "/products")
        assert listener.codes(simulator) == ["PRODUCT_CREATED"]
        assert simulator.webhooks.as_json()["counts"] == {"delivered": 1, "failed": 1}


def test_some_are_lost_and_some_come_twice(
    world: World, listener: Listener, shop: Connection
) -> None:
    with Simulator(world) as simulator:
        simulator.webhooks.subscribe(listener.url, lost=0.3, doubled=0.3)
        for _ in range(60):
            world.create(shop.id, "/products")
        bodies = [json.dumps(content) for content in listener.told(simulator)]
        counts = simulator.webhooks.as_json()["counts"]
    assert 5 < counts["lost"] < 40
    assert counts["delivered"] == len(bodies) > len(set(bodies)) == 60 - counts["lost"]


def test_only_the_codes_that_were_asked_for(
    world: World, listener: Listener, shop: Connection
) -> None:
    with Simulator(world) as simulator:
        simulator.webhooks.subscribe(listener.url, codes=["ORDER_CREATED"])
        world.create(shop.id, "/products")
        world.create(shop.id, "/orders")
        assert listener.codes(simulator) == ["ORDER_CREATED"]


def test_nothing_is_sent_after_clearing(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    world.create(shop.id, "/products")
    assert len(listener.codes(simulator)) == 1
    simulator.webhooks.clear()
    world.create(shop.id, "/products")
    assert len(listener.codes(simulator)) == 1
    assert simulator.webhooks.as_json()["subscriptions"] == []


def test_a_world_that_replaces_another_tells_as_well(
    simulator: Simulator, world: World, listener: Listener, shop: Connection
) -> None:
    other = World(seed=4)
    newcomer = other.add_connection("SHOPIFY")
    simulator.replace_world(other)
    world.create(shop.id, "/products")
    other.create(newcomer.id, "/products")
    told = listener.told(simulator)
    # Two worlds send side by side, in any order.
    (place,) = [n for n, content in enumerate(told) if content["connection_id"] == newcomer.id]
    signature, body = listener.got[place]
    digest = hmac.new(other.client_secret.encode(), body, hashlib.sha256).digest()
    assert signature == "sha256=" + base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("ftp://127.0.0.1/", {}),
        ("nowhere", {}),
        ("http://127.0.0.1/", {"lost": 2.0}),
        ("http://127.0.0.1/", {"hurry": 0.0}),
    ],
)
def test_what_cannot_be_subscribed_is_refused(
    simulator: Simulator, url: str, more: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=r"address|share"):
        simulator.webhooks.subscribe(url, **more)  # type: ignore[arg-type]


def test_the_option_refuses_what_is_no_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--webhooks", "nowhere"]) == 2
    assert "'nowhere' is not an address" in capsys.readouterr().err
