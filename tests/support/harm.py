"""A fleet that is harmed: its scene, and what must be true of it in the end."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from support.ledger import PASSWORD
from support.runs import descendants
from tap_rutter.demo.database import Database
from tap_rutter.demo.fleet_scene import CONFIG, Scene
from tap_rutter.demo.fleet_watch import change_something
from tap_rutter.simulator import World
from tap_rutter.simulator.worlds import counts_for

PATHS = {"commerce_orders": "/orders", "accounting_invoices": "/accounting/invoices"}
STREAMS = [*PATHS, "deleted_objects", "connections", "sync_report"]
SECONDS = float(os.environ.get("FLEET_SOAK_SECONDS", "4"))
CONNECTIONS = int(os.environ.get("FLEET_SOAK_CONNECTIONS", "3"))
WORKERS = int(os.environ.get("FLEET_SOAK_WORKERS", "2"))


class Server(Database):
    """A database of the test's own."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def sqlalchemy_url(self) -> str:
        return self._uri.replace("postgresql:", "postgresql+psycopg:", 1)


def config_with(scene: Scene, name: str, settings: Mapping[str, Any]) -> str:
    """The scene's configuration with more settings of the tap; its name in the scene's folder."""
    tap = json.loads((scene.folder / "tap.json").read_text(encoding="utf-8"))
    config = (scene.folder / CONFIG).read_text(encoding="utf-8")
    for file, text in {
        f"tap-{name}.json": json.dumps({**tap, **settings}),
        f"fleet-{name}.toml": config.replace('"tap.json"', f'"tap-{name}.json"'),
    }.items():
        shutil.copy2(scene.folder / "tap.json", scene.folder / file)  # for the owner alone
        (scene.folder / file).write_text(text, encoding="utf-8")
    return f"fleet-{name}.toml"


def busy_world(connections: int) -> World:
    """Shops and ledgers, in turn."""
    world = World(7, immediate=True)
    for number in range(connections):
        platform = ("SHOPIFY", "QUICKBOOKS")[number % 2]
        connection = world.add_connection(platform, name=f"{platform} {number}")
        counts = counts_for(world, connection, 0.05)
        connection.counts = {path: n for path, n in counts.items() if path in PATHS.values()}
    return world


@contextmanager
def harmed(
    folder: Path, url: str, connections: int, *, settings: Mapping[str, Any] | None = None
) -> Iterator[Scene]:
    """A scene whose processes may be killed; nothing runs yet, and in the end nothing does."""
    scene = Scene(
        folder,
        busy_world(connections),
        Server(url),
        STREAMS,
        settings={
            "lease_seconds": 6.0,
            "slots": 3,
            "sweep_minutes": 1,
            "park_after": 3,
            "back_off_seconds": 1.0,
            **(settings or {}),
        },
        tap={"max_retry_seconds": 2},
        lost=0.1,
        doubled=0.1,
    )
    try:
        yield scene
    finally:
        scene.stop()


def bustle(scene: Scene, dice: random.Random, seconds: float) -> None:
    """Rows change for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        change_something(scene.world, scene.readable(), PATHS, dice)
        time.sleep(0.2)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def sweep_all(scene: Scene) -> None:
    """Rutter syncs every connection, and the sweep, which brings what no webhook did, is due."""
    for connection in scene.readable():
        scene.world.sync(connection.id)
    scene.world.advance(60)
    scene.query(
        "with due as (update rutter_fleet.connections set sweep_at = clock_timestamp(),"
        " sweep_not_before = '-infinity' where status = 'active' returning 1)"
        " select count(*) from due"
    )


def parked(scene: Scene) -> set[str]:
    """The connections that are parked."""
    rows = scene.query("select connection_id from rutter_fleet.connections where status = 'parked'")
    return {name for (name,) in rows}


def check_runs(scene: Scene) -> None:
    """No two runs of a connection overlap, as Rutter sees it."""
    spans: dict[str, dict[str, tuple[float, float]]] = {}
    for request in scene.simulator.requests:
        if request.connection_id is not None:
            _, _, claim = request.headers["user-agent"].partition(" (claim ")
            assert claim, "a request of no run"
            runs = spans.setdefault(request.connection_id, {})
            first, last = runs.get(claim, (request.started, request.started))
            runs[claim] = (min(first, request.started), max(last, request.started))
    assert spans.keys() >= {c.id for c in scene.readable()}
    assert max(len(runs) for runs in spans.values()) > 1
    for runs in spans.values():
        for (_, last), (first, _) in pairwise(sorted(runs.values())):
            assert last < first, "two runs of one connection at once"


def check_states(scene: Scene) -> None:
    """A state holds what is of its own connection."""
    rows = scene.query("select connection_id, state from rutter_fleet.states")
    assert {name for name, _ in rows} >= {c.id for c in scene.readable()}
    for name, state in rows:
        for stream in state["bookmarks"].values():
            for partition in stream.get("partitions", ()):
                assert partition["context"] == {"connection_id": name}


def secrets_of(scene: Scene) -> list[str]:
    """What nobody may see but Rutter, the target's database and the files of runs."""
    tokens = [connection.access_token for connection in scene.world.connections.values()]
    return [*tokens, scene.simulator.client_secret, PASSWORD]


def check_nothing_secret_in(what: str, text: str, scene: Scene) -> None:
    """No secret is in a text."""
    assert text, f"nothing was seen of {what}"
    for secret in secrets_of(scene):
        assert secret not in text, f"a secret is in {what}"


def check_kept(scene: Scene) -> None:
    """No secret is in the ledger, nor in what the processes have said."""
    tables = scene.query(
        "select table_name from information_schema.tables where table_schema = 'rutter_fleet'"
    )
    assert len(tables) > 5
    for (name,) in tables:
        rows = scene.query(f"select to_jsonb(t)::text from rutter_fleet.{name} as t")
        check_nothing_secret_in(f"the ledger's table {name}", json.dumps(rows), scene)
    logs = "".join(path.read_text(errors="replace") for path in scene.folder.glob("*.log"))
    check_nothing_secret_in("the logs", logs, scene)


def check_seen(scene: Scene, *metrics_ports: int) -> None:
    """No secret is in what others on this machine see of the processes, nor over HTTP.

    Of each process: its command line, and the environment that it was started with. Files of runs
    are for their owner alone.
    """
    seen, environments = "", ""
    for process in [*scene.workers, scene.receiver]:
        if process is None or process.poll() is not None:
            continue
        below = descendants(process.pid)
        seen += "\n".join(below.values()) + _read(process.pid, "cmdline")
        environments += "".join(_read(pid, "environ") for pid in below)
    check_nothing_secret_in("command lines", seen, scene)
    check_nothing_secret_in("environments", environments, scene)
    for path in (scene.folder / "runs").rglob("*"):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # its run has ended
        assert mode & 0o077 == 0, path
    for port, names in [
        (scene.port, ("healthz", "readyz", "metrics")),
        *((port, ("metrics",)) for port in metrics_ports),
    ]:
        for name in names:
            with urlopen(f"http://127.0.0.1:{port}/{name}", timeout=30) as answer:
                check_nothing_secret_in(f"/{name}", answer.read().decode(), scene)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b"\n").decode()
    except OSError:
        return ""


def check_files(scene: Scene) -> None:
    """Workers that have ended leave no files with secrets behind, nor do runs of killed ones."""
    assert [path.name for path in (scene.folder / "runs").iterdir()] == []


def claims_in(names: Iterable[str]) -> set[str]:
    """The ids of claims in names of sessions."""
    pattern = re.compile(r"rutter-fleet ([0-9a-f-]{36})")
    return {found[1] for name in names if (found := pattern.match(name))}
