"""Settings that name what does not exist: a hint at start and end, with the most similar name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.in_process import run_here, sync
from support.singer import Ended, Json, arguments, run_tap, settings

from tap_rutter.simulator import Simulator, World

VENDORS = "accounting_vendors"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    world = World()
    world.add_connection("QUICKBOOKS", counts={"/accounting/vendors": 2})
    with Simulator(world) as running:
        yield running


def said(log: str, what: str) -> list[str]:
    """Where a word is said: WARNING at the start, INFO in the summary."""
    lines = log.splitlines()
    summary = next(index for index, line in enumerate(lines) if "INFO Read " in line)
    begin = next(index for index, line in enumerate(lines) if "Beginning sync" in line)
    found = [index for index, line in enumerate(lines) if what in line]
    assert len(found) == 2
    assert found[0] < begin < summary < found[1]
    assert lines[found[0]].startswith("WARNING ")
    return [lines[index].partition(" ")[2] for index in found]


MISSPELT: list[tuple[Json, str]] = [
    ({"acess_tokens": ["a-token"]}, "Did you mean 'access_tokens'?"),
    ({"page_sise": 5}, "'page_sise' is not a setting of tap-rutter: it has no effect."),
    ({"page_sise": 5}, "Did you mean 'page_size'?"),
    ({"page-size": 5}, "Did you mean 'page_size'?"),
    ({"stream_map": {}}, "Did you mean 'stream_maps'?"),
    ({"platforms": ["SHOPFY"]}, "Setting 'platforms' names SHOPFY, but no connection is of"),
    ({"platforms": ["SHOPFY"]}, "Did you mean 'SHOPIFY'?"),
    ({"platforms": ["quickbook", "quickbooks"]}, "Did you mean 'QUICKBOOKS'?"),
    ({"platforms": ["QUICKBOOKS_DESKTOP"]}, "Did you mean 'QUICKBOOKS'?"),
    ({"platforms": ["XERO", "QUICKBOOKS"]}, "names XERO, but no connection is of that platform."),
]


@pytest.mark.parametrize(("given", "expected"), MISSPELT)
def test_what_is_misspelt_is_said_first_and_last(
    simulator: Simulator, given: Json, expected: str
) -> None:
    run = sync(simulator, VENDORS, **given)
    assert run.code == 0
    first, last = said(run.log, expected)
    assert first == last
    assert "a-token" not in run.log


def test_a_platform_spelt_well_is_not_mistaken_for_one_that_is_not_there(
    simulator: Simulator,
) -> None:
    assert "Did you mean" not in sync(simulator, VENDORS, platforms=["SHOPIFY"]).log


def test_unknown_connections_are_in_the_summary_too(simulator: Simulator) -> None:
    known = next(iter(simulator.world.connections))
    run = sync(simulator, VENDORS, connection_ids=[known, "nobody"])
    said(run.log, "names connections that Rutter does not know: nobody.")


def test_what_is_spelt_well_is_not_told_of(simulator: Simulator) -> None:
    more: Json = {
        "stream_maps": {},
        "stream_map_config": {},
        "faker_config": {},
        "flattening_enabled": False,
        "emit_activate_version_messages": False,
        "platforms": ["quickbooks"],
    }
    assert "WARNING" not in sync(simulator, VENDORS, **more).log


def warned(ended: Ended) -> list[str]:
    return [line for line in ended.stderr.splitlines() if "| WARNING" in line]


def test_a_variable_that_is_misspelt_is_told_of(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings(simulator).items():
        monkeypatch.setenv(f"TAP_RUTTER_{name.upper()}", str(value))
    monkeypatch.setenv("TAP_RUTTER_CONECTION_IDS", '["s3cret"]')
    # Of others: Meltano's, the SDK's, a build's.
    names = ("_SELECT", "__LOAD_SCHEMA", "LOGLEVEL", "IMAGE", "STREAM_MAP_CONFIG_HASH_KEY")
    for name in names:
        monkeypatch.setenv(f"TAP_RUTTER_{name}", "INFO")
    ended = run_here("--config=ENV")
    assert ended.code == 0, ended.stderr
    (warning,) = warned(ended)
    assert "TAP_RUTTER_CONECTION_IDS is not a setting" in warning
    assert "Did you mean TAP_RUTTER_CONNECTION_IDS?" in warning
    assert "s3cret" not in ended.stderr


def test_a_required_setting_that_is_misspelt_is_named(simulator: Simulator) -> None:
    config = settings(simulator)
    config["clientid"] = config.pop("client_id")
    with arguments(config) as files:
        ended = run_here(*files)
    assert ended.code == 2
    (error,) = ended.errors
    assert "'client_id' is missing" in error
    assert "'clientid', which is there, is not a setting" in error


def test_a_process_says_it_among_its_first_lines(simulator: Simulator) -> None:
    ended = run_tap(config=settings(simulator, page_sise=5))
    assert ended.code == 0, ended.stderr
    lines = ended.stderr.splitlines()
    assert "'page_sise'" in "\n".join(lines[:6])
    assert "'page_sise'" in "\n".join(lines[-4:])
