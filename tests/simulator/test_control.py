"""The simulator's control interface: its examples work, and its errors can be read."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tap_rutter.simulator import Connection, Simulator, World, standard_world
from tap_rutter.simulator.control import Control
from tap_rutter.simulator.faults import ACTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(standard_world(seed=5, scale=0.02)) as running:
        yield running


@pytest.fixture
def shop(simulator: Simulator) -> Connection:
    return next(
        entry for entry in simulator.world.connections.values() if entry.platform == "SHOPIFY"
    )


def ask(simulator: Simulator, method: str, route: str, body: str | None = None) -> tuple[int, Any]:
    """A control request: the status, and the answer's JSON."""
    request = urllib.request.Request(
        simulator.control_url + route, data=body.encode() if body else None, method=method
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


# ---- the page


def commands() -> list[list[str]]:
    """The curl commands of the page, as a shell takes them apart."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    return [shlex.split(line) for line in lines if line.startswith("curl ")]


def as_request(command: list[str]) -> tuple[str, str, str | None]:
    """Method, route and body of a curl command."""
    body = command[command.index("-d") + 1] if "-d" in command else None
    method = "POST" if body or "POST" in command else "GET"
    parts = urlsplit(command[-1])
    assert parts.path.startswith("/_control/")
    query = f"?{parts.query}" if parts.query else ""
    return method, parts.path.removeprefix("/_control") + query, body


def test_every_example_of_the_page_works(simulator: Simulator, shop: Connection) -> None:
    (key, *_) = simulator.world.keys(shop.id, "/orders")
    assert len(commands()) > 20
    for command in commands():
        filled = [part.replace("CONNECTION", shop.id).replace("ORDER", key) for part in command]
        status, answer = ask(simulator, *as_request(filled))
        assert status == 200, (command, answer)


def test_every_route_has_an_example(simulator: Simulator) -> None:
    shown = {(method, route.partition("?")[0]) for method, route, _ in map(as_request, commands())}
    routes = {(method, path or "/") for method, path in Control(simulator).routes}
    assert shown == routes


def test_every_action_is_explained() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| action |")[2].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert set(re.findall(r"`(\w+)`", " ".join(first))) == set(ACTIONS)


def test_the_routes_are_listed_with_what_they_take(simulator: Simulator) -> None:
    status, answer = ask(simulator, "GET", "/")
    assert status == 200
    assert answer["routes"]["POST /_control/clock"]["needs"] == {"seconds": "a number from 0 on"}
    assert "do" in answer["routes"]["POST /_control/connection"]["may_have"]


# ---- errors

ROW = {"connection_id": "CONNECTION", "path": "/orders", "key": "ORDER"}
REFUSED: list[tuple[str, Any, str]] = [
    ("/clock", {}, "'seconds' is missing: a number from 0 on"),
    ("/clock", {"seconds": "soon"}, "'seconds' must be a number from 0 on"),
    ("/clock", {"seconds": -1}, "'seconds' must be a number from 0 on"),
    ("/clock", {"second": 5}, "no argument 'second'; it takes seconds; did you mean 'seconds'?"),
    ("/clock", [5], "the body must be a JSON object"),
    ("/clock", "{", "the body is not JSON: "),
    ("/create", {"path": "/orders"}, "'connection_id' is missing: text"),
    ("/create", {**ROW, "key": "x"}, "no argument 'key'"),
    ("/create", {"connection_id": "x", "path": "/orders"}, "no connection 'x' in this world"),
    (
        "/create",
        {"connection_id": "CONNECTION", "path": "/order"},
        "has no path '/order'; did you mean '/orders'?",
    ),
    ("/update", {**ROW, "fields": []}, "'fields' must be an object"),
    ("/update", {**ROW, "fields": {"late": 5}}, "'late' belongs beside 'fields'"),
    ("/update", {**ROW, "key": "none such"}, "has no row 'none such'"),
    ("/connection", {"connection_id": "x"}, "GET /_control/world lists them"),
    ("/connection", {"connection_id": "CONNECTION", "status": "gone"}, "must be one of active, "),
    ("/connection", {"connection_id": "CONNECTION", "do": "it"}, "must be one of sync, pause"),
    ("/connection", {"connection_id": "CONNECTION", "paused": "no"}, "must be true or false"),
    ("/history", {"connection_id": "CONNECTION", "rows": {"/orders": "many"}}, "whole numbers"),
    ("/history", {"connection_id": "CONNECTION", "rows": {"/order": 1}}, "has no path '/order'"),
    ("/switches", {"name": "gravity", "value": 1}, "'name' must be one of activated, "),
    ("/switches", {"name": "sort", "value": 1}, "switch sort takes one of ['honour', "),
    ("/faults", {"action": "explode"}, "'action' must be one of respond, redirect"),
    ("/faults", {"action": "respond", "status": "503"}, "'status' must be a whole number"),
    ("/faults", {"action": "respond", "state": 503}, "did you mean 'status'?"),
    ("/faults", {"action": "delay", "seconds": "long"}, "'seconds' must be a number"),
    ("/faults", {"action": "none", "call": "me"}, "no argument 'call'"),
]


@pytest.mark.parametrize(("route", "body", "says"), REFUSED, ids=str)
def test_what_cannot_be_done_is_said_in_words(
    simulator: Simulator, shop: Connection, route: str, body: Any, says: str
) -> None:
    before = simulator.world.rows(shop.id, "/orders"), str(simulator.world.clock), shop.status
    (key, *_) = simulator.world.keys(shop.id, "/orders")
    text = body if isinstance(body, str) else json.dumps(body)
    text = text.replace("CONNECTION", shop.id).replace("ORDER", key)
    status, answer = ask(simulator, "POST", route, text)
    assert status == 400
    assert says in answer["error"]
    assert answer["route"] == f"POST {route}"
    assert not re.search(r"\w+Error|Traceback|got an unexpected", answer["error"])
    after = simulator.world.rows(shop.id, "/orders"), str(simulator.world.clock), shop.status
    assert after == before
    assert simulator.faults.as_json() == []


def test_an_unknown_route_names_the_nearest(simulator: Simulator) -> None:
    status, answer = ask(simulator, "GET", "/request")
    assert (status, answer) == (
        404,
        {
            "error": "no control route '/request'; GET /_control/ lists them;"
            " did you mean '/requests'?"
        },
    )
    status, answer = ask(simulator, "GET", "/create")
    assert (status, answer) == (405, {"error": "/create takes POST, not GET"})


def test_a_world_made_by_a_program_cannot_be_reset() -> None:
    with Simulator(World()) as simulator:
        status, answer = ask(simulator, "POST", "/reset")
    assert status == 400
    assert "cannot be reset" in answer["error"]


# ---- its command


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["rutterctl", "simulate"], "rutterctl simulate"),
        (["python", "-m", "tap_rutter.simulator"], "python -m tap_rutter.simulator"),
    ],
)
def test_the_help_names_the_command_that_was_typed(typed: list[str], shown: str) -> None:
    folder = Path(sys.executable).parent
    command = [str(folder / typed[0]), *typed[1:]]
    told = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith(f"usage: {shown} [-h]")
    wrong = subprocess.run([*command, "--sead"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert f"{shown}: error: " in wrong.stderr
