"""Trying the tap out with ``--test``: complete output, few log lines, and the right exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.in_process import run_here
from support.singer import (
    COMMAND,
    Ended,
    Json,
    arguments,
    catalog_of,
    discovered,
    environment,
    run,
    run_tap,
    settings,
)

from tap_rutter.simulator import Simulator, World, standard_world
from tap_rutter.tap import TapRutter

STREAMS = [entry["tap_stream_id"] for entry in discovered()["streams"]]
VENDORS, BILLS = "accounting_vendors", "accounting_bills"


@pytest.fixture(scope="module")
def rutter() -> Iterator[Simulator]:
    with Simulator(standard_world(scale=0.02)) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _no_requests_yet(rutter: Simulator) -> None:
    rutter.requests.clear()
    rutter.faults.clear()


def tried(simulator: Simulator, *args: str, catalog: Json | None = None, **more: Any) -> Ended:
    with arguments(settings(simulator, **more), catalog=catalog) as files:
        return run_here(*files, *args)


def calm(ended: Ended) -> None:
    assert "unhandled" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Aborted" not in ended.stderr


@pytest.mark.parametrize("option", ["--test", "--test=all", "--test=records"])
def test_records_of_every_stream_come_one_each(rutter: Simulator, option: str) -> None:
    ended = tried(rutter, option)
    assert ended.code == 0, ended.stderr
    assert ended.errors == []
    calm(ended)
    assert list(ended.messages.schemas) == STREAMS
    counts = Counter({name: len(rows) for name, rows in ended.messages.records.items()})
    assert set(counts.values()) == {1}
    assert {VENDORS, "commerce_orders", "connections", "hris_employees"} <= counts.keys()
    assert ended.messages.states == []
    assert f"Tried out {len(STREAMS)} streams: {len(counts)} gave a record" in ended.stderr


def test_schemas_come_whole_and_without_a_request(rutter: Simulator) -> None:
    ended = tried(rutter, "--test=schema")
    assert ended.code == 0, ended.stderr
    calm(ended)
    assert [line["type"] for line in ended.messages.lines] == ["SCHEMA"] * len(STREAMS)
    assert [line["stream"] for line in ended.messages.lines] == STREAMS
    assert list(rutter.requests) == []


def test_a_process_writes_all_of_it(rutter: Simulator) -> None:
    ended = run_tap("--test=schema", config=settings(rutter))
    assert ended.code == 0, ended.stderr
    assert list(ended.messages.schemas) == STREAMS


@pytest.mark.parametrize("value", ["bogus", "", "SCHEMA2"])
def test_another_value_is_refused(rutter: Simulator, value: str) -> None:
    ended = tried(rutter, f"--test={value}")
    assert (ended.code, ended.stdout) == (2, "")
    (error,) = ended.errors
    assert "--test" in error
    assert "'all', 'records', 'schema', 'disabled'" in error
    assert list(rutter.requests) == []


def test_disabled_is_a_run(rutter: Simulator) -> None:
    ended = tried(rutter, "--test=disabled", catalog=catalog_of(VENDORS))
    assert ended.code == 0, ended.stderr
    assert len(ended.messages.states) >= 1


@pytest.mark.parametrize("option", ["--test", "--test=schema"])
def test_a_catalog_says_what_is_tried(rutter: Simulator, option: str) -> None:
    ended = tried(rutter, option, catalog=catalog_of(VENDORS))
    assert ended.code == 0, ended.stderr
    assert list(ended.messages.schemas) == [VENDORS]


def test_a_stream_that_fails_is_said_in_a_line_and_others_are_tried(rutter: Simulator) -> None:
    rutter.faults.add("respond", path="/accounting/bills", status=400, times=None)
    ended = tried(rutter, "--test")
    assert ended.code == 1
    calm(ended)
    assert list(ended.messages.schemas) == STREAMS
    assert ended.messages.records[BILLS] == []
    assert len(ended.messages.records[VENDORS]) == 1
    assert len(ended.errors) == 1, ended.errors
    assert f"{BILLS} of connection" in ended.errors[0]
    assert " 1 failed." in ended.stderr


def test_a_map_that_fails_is_a_failure(rutter: Simulator) -> None:
    maps = {VENDORS: {"vendor_name": "md5(nobody)"}, "connections": {"name": "md5(nobody)"}}
    ended = tried(rutter, "--test", stream_maps=maps)
    assert ended.code == 1
    calm(ended)
    assert len(ended.errors) == 2
    assert all("there is no field 'nobody'" in line for line in ended.errors)


@pytest.mark.parametrize(("status", "path", "code"), [(401, "/connections", 3), (400, "/*", 1)])
def test_a_list_of_connections_that_is_refused_ends_the_trial(
    rutter: Simulator, status: int, path: str, code: int
) -> None:
    rutter.faults.add("respond", path=path, status=status, times=None)
    ended = tried(rutter, "--test")
    assert (ended.code, ended.stdout) == (code, "")
    assert len(ended.errors) == 1
    calm(ended)


def test_a_token_that_is_refused_is_a_failure(rutter: Simulator) -> None:
    token = next(iter(rutter.world.connections.values())).access_token
    ended = tried(rutter, "--test", access_tokens=[token, "of-nobody"])
    assert ended.code == 1
    calm(ended)


def test_what_platforms_lack_is_not_asked_of_all_their_connections() -> None:
    world = World()
    for _ in range(7):
        world.add_connection("SHOPIFY", counts={"/orders": 1})
    with Simulator(world) as simulator:
        ended = tried(simulator, "--test", catalog=catalog_of(VENDORS, "commerce_orders"))
        assert ended.code == 0, ended.stderr
        assert len(simulator.requests.to("/accounting/vendors")) == 2
    assert len(ended.messages.records["commerce_orders"]) == 1


def test_the_sdks_own_trial_is_calm_too(
    rutter: Simulator, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tap = TapRutter(config=settings(rutter), catalog=catalog_of(VENDORS, BILLS))
    try:
        assert tap.run_sync_dry_run(1, [tap.streams[VENDORS], tap.streams[BILLS]])
    finally:
        tap.run.close()
    assert capsys.readouterr().out.count('"RECORD"') == 2
    assert "unhandled" not in caplog.text


def test_a_reader_that_ends_first_causes_no_traceback(rutter: Simulator) -> None:
    with arguments(settings(rutter)) as files:
        script = (
            f"'{COMMAND}' {' '.join(files)} --test=schema | head -c 10; exit ${{PIPESTATUS[0]}}"
        )
        ended = run(["bash", "-c", script], env=environment())
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
