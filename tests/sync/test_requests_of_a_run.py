"""What a whole run asks of Rutter, over all streams and connections."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from support.shown import BY_DEFAULT, PATHS
from support.singer import sync

from tap_rutter.simulator import Simulator, standard_world


@pytest.fixture(scope="module")
def whole() -> Iterator[Simulator]:
    """A simulator that has been read whole, by eight workers."""
    with Simulator(standard_world(scale=0.05)) as simulator:
        sync(simulator)
        yield simulator


def test_every_request_is_a_get_that_names_the_version(whole: Simulator) -> None:
    assert {entry.method for entry in whole.requests} == {"GET"}
    assert {entry.headers.get("x-rutter-version") for entry in whole.requests} == {"2024-08-31"}
    assert {entry.headers["user-agent"].partition("/")[0] for entry in whole.requests} == {
        "tap-rutter"
    }


def test_nothing_that_rutter_would_refuse_is_asked(whole: Simulator) -> None:
    """An object that a platform does not have is a 404; anything else would be a mistake."""
    assert {entry.status for entry in whole.requests} == {200, 404}


def test_the_connections_are_listed_once_and_each_is_looked_up_once(whole: Simulator) -> None:
    counted = Counter(
        (entry.path, entry.connection_id)
        for entry in whole.requests
        if entry.path.startswith("/connections")
    )
    facts = ("/connections/status", "/connections/access_token")
    expected = {(path, identity) for path in facts for identity in whole.world.connections}
    assert set(counted) == {("/connections", None)} | expected
    assert set(counted.values()) == {1}


def test_connections_that_rutter_refuses_are_not_asked_for_data(whole: Simulator) -> None:
    refused = {
        connection.id
        for connection in whole.world.connections.values()
        if connection.status in {"disabled", "needs_reauth", "not_ready"}
    }
    assert len(refused) == 3
    asked = {entry.path for entry in whole.requests if entry.connection_id in refused}
    assert asked == {"/connections/status", "/connections/access_token"}


def test_what_rutter_names_as_unavailable_is_not_asked_for(whole: Simulator) -> None:
    without = {
        connection.id
        for connection in whole.world.connections.values()
        if "location" in (connection.unavailable_objects or ())
    }
    asked_for = {entry.connection_id for entry in whole.requests.to("/accounting/locations")}
    assert without
    assert asked_for.isdisjoint(without)


def test_every_stream_asks_its_endpoint(whole: Simulator) -> None:
    paths = {entry.path for entry in whole.requests}
    for stream in BY_DEFAULT:
        pattern = re.sub(r"{\w+}", "[^/]+", PATHS[stream])
        assert any(re.fullmatch(pattern, path) for path in paths), stream
