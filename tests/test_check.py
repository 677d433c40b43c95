"""``rutterctl check``: a table of the connections, nothing read and nothing secret shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tap_rutter import cli
from tap_rutter.simulator import Simulator, standard_world


def run(*args: str, **variables: str) -> Result:
    return CliRunner().invoke(cli.main, ["check", *args], env={"COLUMNS": "200", **variables})


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
        ("[]", "no JSON object"),
        ("{", "no JSON object"),
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


def test_refused_credentials_are_said(tmp_path: Path) -> None:
    with Simulator(standard_world(seed=1)) as simulator:
        result = run("--config", config_of(simulator, tmp_path, client_secret="wrong-secret"))
    assert result.exit_code == 1
    assert "client_secret" in result.output
    assert "wrong-secret" not in result.output
