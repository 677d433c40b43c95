"""Nothing secret leaves: not in messages, not in logs at DEBUG, not in the list of processes.

Rutter puts the access token into the address of every data request, and a client's libraries quote
addresses freely; its errors may echo what was sent. Everything that can be made to speak speaks
here, and is searched for every secret of the world.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hidden import secrets
from support.singer import COMMAND, Ended, Json, arguments, environment, run_tap, settings

from tap_rutter.simulator import Simulator, World

pytestmark = pytest.mark.any_workers

HIDDEN = "[hidden]"
# As Meltano sets it up: JSON lines, each with its exception and that one's causes.
STRUCTURED = """
version: 1
disable_existing_loggers: false
formatters:
  structured:
    (): singer_sdk.logging.StructuredFormatter
handlers:
  default:
    class: logging.StreamHandler
    formatter: structured
    stream: ext://sys.stderr
root:
  level: DEBUG
  handlers: [default]
"""


@pytest.fixture
def rutter() -> Iterator[Simulator]:
    world = World()
    world.add_connection("QUICKBOOKS", counts={"/accounting/invoices": 5, "/accounting/bills": 5})
    world.add_connection("SHOPIFY", counts={"/orders": 5})
    world.add_connection("AMAZON", status="disabled")
    with Simulator(world) as simulator:
        yield simulator


def leaks(world: World, ended: Ended) -> list[str]:
    """Which secrets stand in which output."""
    return [
        f"{what} in {where}"
        for where, text in (("stdout", ended.stdout), ("stderr", ended.stderr))
        for what, secret in secrets(world).items()
        if secret in text
    ]


def read_loudly(rutter: Simulator, **more: str) -> Ended:
    """A run that says all it can say."""
    config = settings(rutter, max_retry_seconds=1, concurrency=2)
    return run_tap(config=config, TAP_RUTTER_LOGLEVEL="DEBUG", **more)


def confession(world: World) -> Json:
    """An error of Rutter's form that tells everything it knows."""
    told = [f"{what} {secret}" for what, secret in secrets(world).items()]
    token = next(iter(world.connections.values())).access_token
    told.append(f"https://production.rutterapi.com/versioned/orders?access_token={token}&limit=5")
    return {"error_type": "E", "error_code": "C", "error_message": "; ".join(told)}


def test_a_healthy_run_gives_nothing_away(rutter: Simulator) -> None:
    world = rutter.world
    (ledger, *_) = world.connections.values()
    row = {
        "id": "talkative",
        "last_synced_at": "2026-03-01T00:00:00.000Z",
        "access_token": ledger.access_token,
        "additional_fields": {"nested": [{"link_url": ledger.link_url}]},
        "unknown": {"update_url": ledger.link_url, "note": "kept"},
    }
    world.put_raw(ledger.id, "/accounting/invoices", "talkative", json.dumps(row))
    ended = read_loudly(rutter)
    assert ended.code == 0, ended.stderr
    assert leaks(world, ended) == []
    # The logs did speak, and of requests.
    assert f"access_token={HIDDEN}" in ended.stderr
    invoices = {record["id"]: record for record in ended.messages.records["accounting_invoices"]}
    assert invoices["talkative"]["_rutter_extra"] == {"unknown": {"note": "kept"}}
    assert set(ended.messages.records["connections"][0]) == {
        "id",
        "platform",
        "name",
        "status",
        "created_at",
        "updated_at",
    }


@pytest.mark.parametrize("logs", ["console", "structured"])
@pytest.mark.longer
def test_faults_give_nothing_away(rutter: Simulator, tmp_path: Path, logs: str) -> None:
    world, faults = rutter.world, rutter.faults
    body = json.dumps(confession(world))
    token = next(iter(world.connections.values())).access_token
    location = {"Location": f"{rutter.api_url}/orders?access_token={token}"}
    faults.add("respond", path="/accounting/bills", status=400, body=body, times=None)
    faults.add("respond", path="/accounting/vendors", status=500, body=body, times=None)
    faults.add("respond", path="/accounting/items", status=401, body=body, nth=1)
    faults.add("respond", path="/accounting/accounts", status=500, body=f"<p>{body}</p>", nth=1)
    faults.add("respond", path="/accounting/classes", status=404, body=body, times=None)
    faults.add("respond", path="/accounting/currencies", status=200, body=body, times=None)
    faults.add("redirect", path="/customers", headers=location, times=None)
    faults.add("reset", path="/orders", times=None)
    faults.add("html", path="/products", nth=1)
    faults.add("cut", path="/store", nth=1)
    more = {}
    if logs == "structured":
        file = tmp_path / "logging.yaml"
        file.write_text(STRUCTURED)
        more["SINGER_SDK_LOG_CONFIG"] = str(file)
    ended = read_loudly(rutter, **more)
    assert ended.code == 1, ended.stderr
    assert leaks(world, ended) == []
    # What went wrong is said all the same, in the logs and in the report.
    assert HIDDEN in ended.stderr
    failed = {
        row["stream"]: row["error_message"]
        for row in ended.messages.records["sync_report"]
        if row["status"] == "failed"
    }
    assert {"accounting_bills", "commerce_customers", "commerce_orders"} <= failed.keys()
    assert HIDDEN in failed["accounting_bills"]


def test_refused_credentials_give_nothing_away(rutter: Simulator) -> None:
    body = json.dumps(confession(rutter.world))
    rutter.faults.add("respond", path="/connections", status=401, body=body, times=None)
    ended = read_loudly(rutter)
    assert ended.code == 3
    assert leaks(rutter.world, ended) == []


def test_given_access_tokens_are_as_secret_as_listed_ones(rutter: Simulator) -> None:
    tokens = [connection.access_token for connection in rutter.world.connections.values()]
    config = settings(rutter, access_tokens=[*tokens, "token-of-nobody"])
    rutter.faults.add("close", path="/connections/*", nth=1)
    ended = run_tap(config=config, TAP_RUTTER_LOGLEVEL="DEBUG")
    assert ended.code == 1
    assert leaks(rutter.world, ended) == []
    assert "token-of-nobody" not in ended.stdout + ended.stderr
    assert {row["id"] for row in ended.messages.records["connections"]} == set(
        rutter.world.connections
    )


def test_the_list_of_processes_gives_nothing_away(rutter: Simulator) -> None:
    seen: list[str] = []

    def look(_: object) -> None:
        if not seen:
            seen.append(_command_line(tap.pid))

    with (
        arguments(settings(rutter, connection_ids=[next(iter(rutter.world.connections))])) as files,
        subprocess.Popen(
            [COMMAND, *files],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        ) as tap,
    ):
        rutter.before_request = look
        tap.communicate()
    assert "--config" in seen[0]
    assert [what for what, secret in secrets(rutter.world).items() if secret in seen[0]] == []


def _command_line(pid: int) -> str:
    file = Path(f"/proc/{pid}/cmdline")
    if file.exists():
        return file.read_bytes().replace(b"\0", b" ").decode()
    return subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout
