"""``rutterctl check``: a table of the connections. It reads no data and shows no secret."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from support.singer import COMMAND, environment

from tap_rutter.cli import check as the_check
from tap_rutter.cli import rutterctl
from tap_rutter.simulator import Connection, Simulator, World, standard_world


def run(*args: str, **variables: str) -> Result:
    return CliRunner().invoke(rutterctl.main, ["check", *args], env={"COLUMNS": "200", **variables})


def config_of(simulator: Simulator, folder: Path, **more: object) -> str:
    file = folder / "config.json"
    config = {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "api_url": simulator.api_url,
        **more,
    }
    file.write_text(json.dumps(config), encoding="utf-8")
    return str(file)


def test_every_connection_has_a_line_and_no_data_are_read(tmp_path: Path) -> None:
    world = standard_world(seed=1)
    with Simulator(world) as simulator:
        result = run("--config", config_of(simulator, tmp_path))
        paths = {request.path for request in simulator.requests}
    assert paths == {"/connections", "/connections/status", "/connections/access_token"}
    assert result.exit_code == 1  # two of them Rutter refuses
    for connection in world.connections.values():
        (line,) = [line for line in result.output.splitlines() if connection.id in line]
        assert connection.platform in line
        assert connection.status in line
        assert connection.access_token not in result.output
    assert "location" in result.output


def test_readable_connections_alone_end_well(tmp_path: Path) -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        config = config_of(simulator, tmp_path, platforms=["SHOPIFY"])
        result = run("--config", config)
    assert result.exit_code == 0
    assert result.output.count("SHOPIFY") == 2
    assert "2 connections" in result.output


def test_settings_come_from_the_environment() -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        result = run(
            TAP_RUTTER_CLIENT_ID=simulator.client_id,
            TAP_RUTTER_CLIENT_SECRET=simulator.client_secret,
            TAP_RUTTER_API_URL=simulator.api_url,
            TAP_RUTTER_PLATFORMS='["GUSTO"]',
        )
    assert result.exit_code == 0, result.output
    assert "GUSTO" in result.output
    assert "SHOPIFY" not in result.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "'client_id' is missing"),
        ("[]", "are not a JSON object"),
        ("{", "are not a JSON object"),
        ('{"client_id": "a", "client_secret": "b", "shard": "0/2"}', "'shard'"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(content, encoding="utf-8")
    result = run("--config", str(file))
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_refused_credentials_are_reported(tmp_path: Path) -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        result = run("--config", config_of(simulator, tmp_path, client_secret="wrong-secret"))
    assert result.exit_code == 1
    assert "client_secret" in result.output
    assert "wrong-secret" not in result.output


# ---- how it looks


def printed(config: dict[str, object], width: int, *, terminal: bool) -> list[str]:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system=None, highlight=False
    )
    the_check.check(config, console)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [72, 80, 120, 250])
@pytest.mark.longer
def test_on_a_terminal_nothing_is_cut_and_no_line_is_too_long(width: int) -> None:
    world = standard_world(seed=1)
    with Simulator(world) as simulator:
        lines = printed(given(simulator), width, terminal=True)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for connection in world.connections.values():
        assert connection.id in text
        assert connection.platform in text
        assert str(connection.name) in text
    assert "…" not in text
    assert "the merchant has to sign in again, in Rutter Link" in text


def test_in_a_pipe_each_connection_is_one_whole_line() -> None:
    """As in CI: rich would take it for 80 columns wide."""
    world = standard_world(seed=1)
    with Simulator(world) as simulator:
        url = simulator.api_url
        ended = subprocess.run(
            [COMMAND.with_name("rutterctl"), "check"],
            env=environment(
                TAP_RUTTER_CLIENT_ID=simulator.client_id,
                TAP_RUTTER_CLIENT_SECRET=simulator.client_secret,
                TAP_RUTTER_API_URL=simulator.api_url,
                CI="true",
                GITHUB_ACTIONS="true",
            ),
            capture_output=True,
            text=True,
            check=False,
        )
    title, headings, *lines = ended.stdout.splitlines()
    assert title == f"12 connections, {url}"
    assert re.split("  +", headings) == list(the_check.HEADINGS)
    assert len(lines) == len(world.connections)
    for line, connection in zip(lines, sorted(world.connections.values(), key=_id), strict=True):
        cells = re.split("  +", line)
        assert cells[:4] == [connection.id, connection.platform, connection.name, connection.status]
        assert len(cells) == 8
        assert all(cells)
        assert connection.status == "active" or len(cells[-1]) > 10, "why it is not read"


def _id(connection: Connection) -> str:
    return connection.id


def given(simulator: Simulator, **more: object) -> dict[str, object]:
    return {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "api_url": simulator.api_url,
        **more,
    }


def test_objects_are_counted_among_those_that_such_a_platform_may_have() -> None:
    world = World(3, history_days=30)
    lacking = ["location", "department", "order"]
    for platform in ("PLAID", "SHOPIFY", "QUICKBOOKS"):
        world.add_connection(platform).unavailable_objects = lacking
    with Simulator(world) as simulator:
        lines = printed(given(simulator), 80, terminal=False)
    cells = {re.split("  +", line)[1]: re.split("  +", line) for line in lines[2:]}
    assert cells["PLAID"][5] == "-"
    assert cells["SHOPIFY"][5] == "8 of 9"
    assert cells["SHOPIFY"][7] == "cannot serve order"
    assert cells["QUICKBOOKS"][5] == "35 of 37"
    assert cells["QUICKBOOKS"][7] == "cannot serve department, location"


def test_the_environment_is_named_where_no_other_address_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(the_check, "read_standings", lambda _: ([], 0))
    keys = {"client_id": "a", "client_secret": "b"}
    assert printed({**keys, "environment": "sandbox"}, 80, terminal=False)[0] == (
        "0 connections, sandbox"
    )
    url = "https://acme.rutterapi.com/versioned"
    title = printed({**keys, "environment": "sandbox", "api_url": url}, 80, terminal=False)[0]
    assert title == f"0 connections, {url}"


def test_a_connection_that_does_not_tell_how_it_stands_says_so(tmp_path: Path) -> None:
    world = World(3, history_days=30)
    world.add_connection("QUICKBOOKS")
    with Simulator(world) as simulator:
        for path in ("/connections/status", "/connections/access_token"):
            simulator.faults.add("respond", path=path, status=500, body="{}", times=None)
        result = run("--config", config_of(simulator, tmp_path, max_retry_seconds=0))
    assert result.exit_code == 1
    line = result.output.splitlines()[-1]
    assert re.split("  +", line.strip())[4:7] == ["-", "-", "-"]
    assert len(re.split("  +", line.strip())[7]) > 10


# ---- where the keys come from


@pytest.mark.parametrize("prefix", ["RUTTER_", "TAP_RUTTER_"])
def test_keys_come_from_a_file_as_those_of_the_demo_and_meltano_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        (tmp_path / ".env").write_text(
            f"{prefix}CLIENT_ID={simulator.client_id}\n"
            f"{prefix}CLIENT_SECRET={simulator.client_secret}\n"
            f"TAP_RUTTER_API_URL={simulator.api_url}\n"
            'TAP_RUTTER_PLATFORMS=["GUSTO"]\n',
            encoding="utf-8",
        )
        monkeypatch.chdir(tmp_path)
        before = dict(os.environ)
        result = run()
        assert dict(os.environ) == before
    assert result.exit_code == 0, result.output
    assert "1 connection," in result.output
    assert "GUSTO" in result.output


def test_a_variable_that_is_set_hides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        (tmp_path / ".env").write_text(
            'RUTTER_CLIENT_ID=of-the-file\nTAP_RUTTER_PLATFORMS=["SHOPIFY"]\n',
            encoding="utf-8",
        )
        monkeypatch.chdir(tmp_path)
        result = run(
            RUTTER_CLIENT_ID=simulator.client_id,
            RUTTER_CLIENT_SECRET=simulator.client_secret,
            TAP_RUTTER_API_URL=simulator.api_url,
            TAP_RUTTER_PLATFORMS='["GUSTO"]',
        )
    assert result.exit_code == 0, result.output
    assert "SHOPIFY" not in result.output
    assert "GUSTO" in result.output
