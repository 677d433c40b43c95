"""Exit codes, and the messages of the command when it cannot read or need not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.in_process import run_here, sync
from support.singer import Ended, arguments, run_tap, settings

from tap_rutter import __version__
from tap_rutter.simulator import Simulator, World

SECRET = "s3cr3t-of-the-test"

MISSING = object()
# Settings that cannot be used: what is set, and what the one line must name.
BAD_SETTINGS: list[tuple[str, Any, str]] = [
    ("client_id", MISSING, "'client_id' is missing"),
    ("client_secret", MISSING, "'client_secret' is missing"),
    ("client_secret", None, "'client_secret' is missing"),
    ("client_secret", "  ", "'client_secret' is missing"),
    ("client_id", 7, "'client_id' must be a string"),
    ("client_secret", [SECRET], "'client_secret' must be a string"),
    ("environment", "staging", "'environment' must be one of: production, sandbox"),
    ("api_version", "2020-01-01", "'api_version' must be one of: 2024-08-31, 2024-04-30"),
    ("api_version", 20240831, "'api_version' must be a string"),
    ("api_url", "api.example.com/versioned", "'api_url' must be a http or https address"),
    ("api_url", "http://[half", "'api_url' must be a http or https address"),
    ("api_url", f"https://me:{SECRET}@example.com", "'api_url' must not hold a user name"),
    ("access_tokens", SECRET, "'access_tokens' must be an array of strings"),
    ("access_tokens", [SECRET, 5], "'access_tokens' must be an array of strings"),
    ("connection_ids", "one", "'connection_ids' must be an array of strings"),
    ("connection_ids", [""], "'connection_ids' must be an array of strings"),
    ("platforms", {"QUICKBOOKS": True}, "'platforms' must be an array of strings"),
    ("shard", "3/2", "'shard' must be 'k/n'"),
    ("shard", "0/2", "'shard' must be 'k/n'"),
    ("shard", "first", "'shard' must be 'k/n'"),
    ("shard", 1, "'shard' must be a string"),
    ("start_date", "yesterday", "'start_date' must be a date or time since 1970"),
    ("start_date", "1969-12-31", "'start_date' must be a date or time since 1970"),
    ("start_date", 1700000000, "'start_date' must be a string"),
    ("lookback_hours", -1, "'lookback_hours' must be an integer from 0"),
    ("window_days", 0, "'window_days' must be an integer from 1"),
    ("payout_days", 1.5, "'payout_days' must be an integer"),
    ("statement_months", True, "'statement_months' must be an integer"),
    ("optional_streams", ["no_such"], "'optional_streams' must hold names of optional streams"),
    ("concurrency", "eight", "'concurrency' must be an integer"),
    ("concurrency", 0, "'concurrency' must be an integer from 1"),
    ("page_size", 501, "'page_size' must be an integer from 1 to 500"),
    ("expand_platform_data", "yes", "'expand_platform_data' must be true or false"),
    ("force_fetch", 1, "'force_fetch' must be true or false"),
    ("on_connection_error", "ignore", "'on_connection_error' must be one of: warn, fail"),
    ("request_timeout", 0, "'request_timeout' must be an integer from 1"),
    ("max_retry_seconds", "long", "'max_retry_seconds' must be an integer"),
    ("user_agent", "one\r\nX-Two: 2", "'user_agent' must be printable"),
    ("emit_activate_version_messages", True, "'emit_activate_version_messages' is not supported"),
    ("batch_config", {"encoding": {"format": "jsonl"}}, "'batch_config' is not supported"),
    ("stream_maps", "none", "'stream_maps' is not of its type"),
    ("flattening_enabled", "yes", "'flattening_enabled' is not of its type"),
    ("flattening_max_depth", "deep", "'flattening_max_depth' is not of its type"),
]

# Files whose content cannot be used: the option, the content, what the line must name.
BAD_FILES: list[tuple[str, str, str]] = [
    ("--config", '{"client_id": "a", ', "config.json"),
    ("--config", "[]", "config.json"),
    ("--config", '"text"', "config.json"),
    ("--config", "\udcff\udcfe", "config.json"),
    ("--catalog", '{"streams": [', "catalog.json"),
    ("--catalog", "[]", "catalog.json"),
    ("--catalog", '"text"', "catalog.json"),
    ("--catalog", "{}", "catalog"),
    ("--catalog", '{"streams": {}}', "catalog"),
    ("--catalog", '{"streams": [{}]}', "catalog"),
    ("--catalog", '{"streams": [{"tap_stream_id": "connections", "schema": []}]}', "catalog"),
    (
        "--catalog",
        '{"streams": [{"tap_stream_id": "connections", "schema": {"properties": {"id": 5}}}]}',
        "catalog",
    ),
    (
        "--catalog",
        '{"streams": [{"tap_stream_id": "connections", "schema": {}, "metadata": 5}]}',
        "catalog",
    ),
    ("--state", '{"bookmarks": ', "state.json"),
    ("--state", "[1]", "state.json"),
    ("--state", '"text"', "state.json"),
    ("--state", '{"singer_state": {}}', "Meltano's wrapping"),
    ("--state", '{"currently_syncing": null}', "has no 'bookmarks'"),
    ("--state", '{"bookmarks": []}', "bookmarks must be an object"),
    ("--state", '{"bookmarks": {"orders": 5}}', "bookmarks.orders must be an object"),
    (
        "--state",
        '{"bookmarks": {"orders": {"replication_key_value": "2024-01-01"}}}',
        "bookmarks.orders holds one bookmark for all connections",
    ),
    (
        "--state",
        '{"bookmarks": {"orders": {"partitions": {}}}}',
        "bookmarks.orders.partitions must be an array",
    ),
    (
        "--state",
        '{"bookmarks": {"orders": {"partitions": [{}]}}}',
        r"bookmarks.orders.partitions[0].context must be an object",
    ),
    (
        "--state",
        '{"bookmarks": {"orders": {"partitions": [{"context": {"connection_id": 5}}]}}}',
        "bookmarks.orders.partitions[0].context.connection_id must be a string",
    ),
    (
        "--state",
        '{"bookmarks": {"orders": {"partitions": [{"context": {"connection_id": "a"},'
        ' "replication_key_value": "soon"}]}}}',
        "bookmarks.orders.partitions[0].replication_key_value must be a time",
    ),
    (
        "--state",
        '{"bookmarks": {"connections": {"partitions": [{"context": {"connection_id": "a"},'
        ' "history": [1]}]}}}',
        "bookmarks.connections.partitions[0].history cannot be read",
    ),
]


@pytest.fixture(scope="module")
def rutter() -> Iterator[Simulator]:
    world = World()
    for platform in ("QUICKBOOKS", "SHOPIFY"):
        world.add_connection(platform, counts={"/accounting/vendors": 2, "/orders": 2})
    with Simulator(world) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _no_requests_yet(rutter: Simulator) -> None:
    rutter.requests.clear()
    rutter.faults.clear()


def refused(ended: Ended, simulator: Simulator, names: str) -> None:
    """Exit 2, one line that names what is wrong, and nothing else has happened."""
    assert ended.code == 2, ended.stderr
    assert ended.stdout == ""
    assert len(ended.errors) == 1, ended.stderr
    assert names in ended.errors[0]
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stderr
    assert simulator.client_secret not in ended.stderr
    assert list(simulator.requests) == []


@pytest.mark.parametrize(("name", "value", "names"), BAD_SETTINGS)
def test_a_bad_setting_is_named_in_one_line(
    rutter: Simulator, name: str, value: Any, names: str
) -> None:
    config = settings(rutter)
    if value is MISSING:
        del config[name]
    else:
        config[name] = value
    with arguments(config) as files:
        refused(run_here(*files), rutter, names)


@pytest.mark.parametrize(("option", "content", "names"), BAD_FILES)
def test_a_bad_file_is_named_in_one_line(
    rutter: Simulator, tmp_path: Path, option: str, content: str, names: str
) -> None:
    file = tmp_path / f"{option.strip('-')}.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with arguments(None if option == "--config" else settings(rutter)) as files:
        refused(run_here(*files, option, str(file)), rutter, names)


@pytest.mark.parametrize("option", ["--config", "--catalog", "--state"])
@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_cannot_be_read_is_named_in_one_line(
    rutter: Simulator, tmp_path: Path, option: str, kind: str
) -> None:
    file = tmp_path / "given.json"
    if kind == "folder":
        file.mkdir()
    with arguments(None if option == "--config" else settings(rutter)) as files:
        refused(run_here(*files, option, str(file)), rutter, "given.json")


def test_a_variable_of_the_wrong_type_is_named_in_one_line(
    rutter: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings(rutter).items():
        monkeypatch.setenv(f"TAP_RUTTER_{name.upper()}", str(value))
    monkeypatch.setenv("TAP_RUTTER_CONCURRENCY", "eight")
    refused(run_here("--config=ENV"), rutter, "concurrency")


def test_settings_come_from_the_environment_too(
    rutter: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings(rutter).items():
        monkeypatch.setenv(f"TAP_RUTTER_{name.upper()}", str(value))
    monkeypatch.setenv("TAP_RUTTER_PLATFORMS", '["SHOPIFY"]')
    monkeypatch.setenv("TAP_RUTTER_STREAM_MAPS", '{"commerce_orders": {"status": null}}')
    ended = run_here("--config=ENV")
    assert ended.code == 0, ended.stderr
    records = ended.messages.records
    assert len(records["commerce_orders"]) == 2
    assert all("status" not in record for record in records["commerce_orders"])
    assert records["accounting_vendors"] == []


def test_an_unknown_option_is_exit_2(rutter: Simulator) -> None:
    refused(run_here("--no-such-option"), rutter, "--no-such-option")


# ---- in a process of its own: the same, as a shell sees it


@pytest.mark.parametrize(
    ("config", "names"), [({"client_id": "one"}, "client_secret"), ([], "config.json")]
)
def test_a_process_ends_with_2_and_says_one_line(
    rutter: Simulator, config: object, names: str
) -> None:
    refused(run_tap(config=config), rutter, names)


def test_a_process_ends_with_3_when_the_credentials_are_refused(rutter: Simulator) -> None:
    ended = run_tap(config=settings(rutter, client_secret=SECRET))
    assert ended.code == 3
    assert ended.stdout == ""
    (error,) = ended.errors
    assert "'client_id' and 'client_secret'" in error
    assert "production" in error
    assert SECRET not in ended.stderr
    assert [entry.path for entry in rutter.requests] == ["/connections"]


# ---- which connections


def test_only_unknown_connections_are_exit_2_after_the_listing(rutter: Simulator) -> None:
    with arguments(settings(rutter, connection_ids=["nobody", "no one"])) as files:
        ended = run_here(*files)
    assert ended.code == 2
    assert ended.stdout == ""
    (error,) = ended.errors
    assert "'connection_ids'" in error
    assert "nobody, no one" in error
    assert [entry.path for entry in rutter.requests] == ["/connections"]


def test_some_unknown_connections_are_a_warning(rutter: Simulator) -> None:
    known = next(iter(rutter.world.connections))
    with arguments(settings(rutter, connection_ids=["nobody", known])) as files:
        ended = run_here(*files)
    assert ended.code == 0, ended.stderr
    assert ended.errors == []
    warnings = [line for line in ended.stderr.splitlines() if "| WARNING" in line]
    assert any("'connection_ids'" in line and "nobody" in line for line in warnings)
    assert {record["id"] for record in ended.messages.records["connections"]} == {known}


def test_refused_credentials_are_told_from_a_refused_access_token(rutter: Simulator) -> None:
    token = next(iter(rutter.world.connections.values())).access_token
    with arguments(settings(rutter, access_tokens=[token], client_secret=SECRET)) as files:
        ended = run_here(*files)
    assert ended.code == 3
    assert ended.stdout == ""
    assert token not in ended.stderr
    with arguments(settings(rutter, access_tokens=[token, "not-a-token-of-anyone"])) as files:
        ended = run_here(*files)
    assert ended.code == 1
    assert "not-a-token-of-anyone" not in ended.stderr + ended.stdout
    assert len(ended.messages.records["connections"]) == 1


def test_a_listing_that_fails_is_exit_1(rutter: Simulator) -> None:
    rutter.faults.add("respond", path="/connections", status=503, times=None)
    with arguments(settings(rutter, max_retry_seconds=0)) as files:
        ended = run_here(*files)
    assert ended.code == 1
    assert ended.stdout == ""
    assert len(ended.errors) == 1
    assert "503" in ended.errors[0]


def test_a_failed_stream_is_exit_1_and_the_others_are_read(rutter: Simulator) -> None:
    rutter.faults.add("respond", path="/accounting/bills", status=400, times=None)
    with arguments(settings(rutter)) as files:
        ended = run_here(*files)
    assert ended.code == 1
    assert len(ended.messages.records["accounting_vendors"]) == 2
    assert len(ended.messages.records["commerce_orders"]) == 2
    assert ended.messages.lines[-1]["type"] == "STATE"
    assert "accounting_bills" in ended.errors[0]


@pytest.mark.parametrize("status", ["disabled", "needs_reauth"])
@pytest.mark.parametrize(("setting", "code"), [("warn", 0), ("fail", 1)])
def test_connections_in_trouble_are_benign_unless_asked_otherwise(
    status: str, setting: str, code: int
) -> None:
    world = World()
    world.add_connection("QUICKBOOKS", status=status)
    with Simulator(world) as simulator:
        with arguments(settings(simulator, on_connection_error=setting)) as files:
            ended = run_here(*files)
        assert ended.code == code, ended.stderr
        assert all(entry.path.startswith("/connections") for entry in simulator.requests)


# ---- what needs neither configuration nor network


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to connect fails the test."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a connection to somewhere")

    monkeypatch.setattr("socket.socket.connect", fail)
    monkeypatch.setattr("socket.getaddrinfo", fail)


@pytest.mark.usefixtures("nowhere")
def test_discovery_needs_nothing() -> None:
    ended = run_here("--discover")
    assert ended.code == 0
    assert ended.errors == []
    names = [stream["tap_stream_id"] for stream in json.loads(ended.stdout)["streams"]]
    assert len(names) > 50


@pytest.mark.usefixtures("nowhere")
def test_discovery_knows_the_version_and_the_optional_streams(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    config = {"api_version": "2023-03-14", "optional_streams": ["accounting_metrics"]}
    file.write_text(json.dumps(config))
    ended = run_here("--config", str(file), "--discover")
    names = [stream["tap_stream_id"] for stream in json.loads(ended.stdout)["streams"]]
    assert "accounting_metrics" in names
    assert "accounting_ap_aging_report_summaries" in names
    assert "hris_employees" not in names


@pytest.mark.usefixtures("nowhere")
def test_about_needs_nothing() -> None:
    ended = run_here("--about", "--format=json")
    assert ended.code == 0
    about = json.loads(ended.stdout)
    assert about["name"] == "tap-rutter"
    assert "batch" not in about["capabilities"]
    assert "activate-version" not in about["capabilities"]
    assert {"client_id", "client_secret"} <= about["settings"]["properties"].keys()


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_need_nothing(option: str) -> None:
    ended = run_here(option)
    assert ended.code == 0
    assert ended.errors == []
    assert re.search(rf"v{re.escape(__version__)}|--config", ended.stdout)


def test_a_whole_run_is_exit_0(rutter: Simulator) -> None:
    state = sync(rutter, "accounting_vendors").state
    with arguments(settings(rutter), state) as files:
        ended = run_here(*files)
    assert ended.code == 0
    assert ended.errors == []
    assert ended.messages.state["bookmarks"].keys() >= {"accounting_vendors", "commerce_orders"}
