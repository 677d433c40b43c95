"""Every block of commands in the documents works as written, page by page, from top to bottom.

Each page is read in a folder of its own, with the built wheel as a user would have installed it,
with a simulated Rutter and a PostgreSQL. What a block may say of itself: ``support/commands.py``.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import psycopg
import pytest
from support.commands import ROOT, Block, blocks, pages, script
from support.meltano import Project
from support.package import OFFLINE, clone, empty_environment, installed
from support.singer import Ended, discovered, environment, run
from support.warehouse import read_tables

from tap_rutter.demo import database
from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, World, standard_world

# The blocks that no test runs. Their pages say why; a new one belongs here as well.
NOT_RUN = {
    "docs/release.md: git tag --sign v1.0.0",
    "docs/fleet-deploy.md: useradd --system --home-dir /var/lib/rutter rutter",
    "docs/fleet-deploy.md: "
    "cp deploy/fleet.env.example deploy/fleet.env && chmod 600 deploy/fleet.env",
    "docs/fleet-meltano.md: cd /srv/rutter && meltano install",
}

# Pages whose blocks a test of their own runs.
OWN_TESTS = {
    "docs/first-steps.md": "tests/end_to_end/test_first_steps.py",
    "docs/recipes.md": "tests/end_to_end/test_recipes.py",
}

README = "README.md"
# Files that a reader has by now, when a page is not the first one.
_CONFIG = {"client_id": "YOUR_CLIENT_ID", "client_secret": "YOUR_CLIENT_SECRET"}

BLOCKS = {page.relative_to(ROOT).as_posix(): list(blocks(page)) for page in pages()}
RUN = {
    page: chosen
    for page, found in BLOCKS.items()
    if page not in OWN_TESTS
    and (chosen := [b for b in found if not (b.why_not_run or b.run_by or b.is_make)])
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A PostgreSQL for these pages alone, since they load into the schema that users have."""
    with database.running(tmp_path_factory.mktemp("warehouse") / "data") as server:
        server.prepare()
        yield server


@pytest.fixture
def schema(warehouse: Database) -> Iterator[str]:
    """The schema that the documents load into, new."""
    with psycopg.connect(warehouse.uri, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA rutter")
        yield "rutter"
        connection.execute("DROP SCHEMA rutter CASCADE")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A Rutter whose connections are all well."""
    world = World(7, history_days=20)
    for platform in ("SHOPIFY", "QUICKBOOKS"):
        paths = ("/orders", "/products", "/accounting/bills", "/accounting/invoices")
        world.add_connection(platform, counts=dict.fromkeys(paths, 8))
    with Simulator(world) as simulator:
        yield simulator


def _stand_ins(page: str, simulator: Simulator, warehouse: Database) -> dict[str, str]:
    """What a reader puts in, and Rutter's address."""
    # A page that starts a simulator reads the world that this one has by its options.
    own = any(block.stays for block in RUN[page])
    world = standard_world(seed=1) if own else simulator.world
    shop = next(each for each in world.connections.values() if each.platform == "SHOPIFY")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "YOUR_CLIENT_ID": world.client_id,
        "YOUR_CLIENT_SECRET": world.client_secret,
        '"environment": "production"': f'"api_url": "{simulator.api_url}"',
        "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE": warehouse.sqlalchemy_url,
        "CONNECTION": shop.id,
        "ORDER": world.keys(shop.id, "/orders")[0],
        "--port 8080": f"--port {port}",
        "127.0.0.1:8080": f"127.0.0.1:{port}",
    }


def _read(
    page: str,
    folder: Path,
    commands: Path,
    simulator: Simulator,
    warehouse: Database,
    variables: Mapping[str, str] = MappingProxyType({}),
    found: list[Block] | None = None,
) -> Ended:
    """Do what a page says, or some blocks of it, in a folder; a failure names the block."""
    if found is None:
        offline = "PIP_NO_INDEX" in variables
        found = [block for block in RUN[page] if not (offline and block.needs_index)]
    given = environment(
        TAP_RUTTER_CLIENT_ID=simulator.client_id,
        TAP_RUTTER_CLIENT_SECRET=simulator.client_secret,
        TAP_RUTTER_API_URL=simulator.api_url,
        TARGET_POSTGRES_SQLALCHEMY_URL=warehouse.sqlalchemy_url,
        WAREHOUSE_DSN=warehouse.uri,
        DATABASE=warehouse.uri,
        MELTANO_CLI_DISABLE_VERSION_CHECK="true",
        MELTANO_SEND_ANONYMOUS_USAGE_STATS="false",
        MELTANO_HUB_URL="http://127.0.0.1:9",  # nobody listens on port 9
        **variables,
    )
    path = [str(commands), given["PATH"], str(warehouse.psql.parent)]
    given |= {"PATH": os.pathsep.join(path), "VIRTUAL_ENV": str(commands.parent)}
    text = script(found, _stand_ins(page, simulator, warehouse))
    ended = run(["bash", "-c", text], env=given, cwd=folder)
    _, _, last = ended.stderr.rpartition("--- ")
    assert ended.code == 0, f"{last[:100]} … {last[-2000:]}\n{ended.stdout[-1000:]}"
    return ended


def _landed(warehouse: Database, simulator: Simulator, schema: str, runs: int) -> None:
    """The tables hold what Rutter has, by so many runs."""
    tables = read_tables(warehouse, schema)
    world = simulator.world
    for stream, path in (("commerce_orders", "/orders"), ("accounting_bills", "/accounting/bills")):
        landed = {(row["connection_id"], row["id"]) for row in tables[stream].rows}
        assert landed == {
            (name, key) for name in world.connections for key in world.keys(name, path)
        }
        assert landed
    assert len({row["run_id"] for row in tables["sync_report"].rows}) == runs


# ---- the README: installed by what it says


@pytest.mark.longer
def test_the_readme_installs_and_syncs_from_an_empty_folder(
    tmp_path: Path, simulator: Simulator, warehouse: Database, schema: str
) -> None:
    folder = clone(tmp_path / "tap-rutter")
    commands = empty_environment(tmp_path / "user")
    _read(README, folder, commands, simulator, warehouse, OFFLINE)
    assert (commands / "tap-rutter").exists()
    _landed(warehouse, simulator, schema, runs=1)

    # "Then, and whenever you want what is new": the same commands again.
    world, synced = simulator.world, RUN[README][-1]
    shop = next(each for each in world.connections.values() if each.platform == "SHOPIFY")
    world.create(shop.id, "/orders")
    first = len(simulator.requests)
    folder = folder / "rutter-sync"
    _read(README, folder, commands, simulator, warehouse, OFFLINE, [synced])
    _landed(warehouse, simulator, schema, runs=2)
    assert json.loads((folder / "state.json").read_text("utf-8"))["bookmarks"]
    assert len(simulator.requests) - first < first


@pytest.mark.skipif(not os.environ.get("INSTALL_TEST"), reason="run by make install-test")
def test_the_readme_installs_and_syncs_with_packages_of_the_index(
    tmp_path: Path, simulator: Simulator, warehouse: Database, schema: str
) -> None:
    folder = clone(tmp_path / "tap-rutter")
    venv.create(tmp_path / "venv", symlinks=True, with_pip=True)
    _read(README, folder, tmp_path / "venv" / "bin", simulator, warehouse)
    _landed(warehouse, simulator, schema, runs=2)  # with Meltano, and without


# ---- all other pages: with the package installed, and a first run behind them


@pytest.mark.parametrize("page", [name for name in RUN if name != README])
@pytest.mark.longer
def test_a_page_works_as_written(
    page: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    simulator: Simulator,
    warehouse: Database,
    schema: str,
) -> None:
    commands = installed(tmp_path_factory.getbasetemp().parent)
    Project.make(tmp_path)
    stand_ins = _stand_ins(page, simulator, warehouse)
    config = {name: stand_ins[value] for name, value in _CONFIG.items()}
    for name, content in {
        "config.json": {**config, "api_url": simulator.api_url},
        "target.json": {
            "sqlalchemy_url": warehouse.sqlalchemy_url,
            "default_target_schema": schema,
        },
    }.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "catalog.json").write_text(json.dumps(discovered()), encoding="utf-8")
    _read(page, tmp_path, commands, simulator, warehouse, OFFLINE)


# ---- what is not run


def test_no_other_block_is_left_out() -> None:
    assert {block.name for found in BLOCKS.values() for block in found if block.why_not_run} == (
        NOT_RUN
    )


def test_a_test_that_runs_a_page_is_there_and_names_it() -> None:
    run_by = {(b.page, b.run_by) for found in BLOCKS.values() for b in found if b.run_by}
    run_by |= {(page, test) for page, test in OWN_TESTS.items() if page in BLOCKS}
    for page, test in run_by:
        assert (ROOT / test).is_file(), f"{page}: {test}"
        text = (ROOT / test).read_text(encoding="utf-8")
        assert page in text or f'"{Path(page).name}"' in text, f"{test} does not name {page}"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_makefile_has_what_the_documents_make() -> None:
    commands = {
        line
        for found in BLOCKS.values()
        for block in found
        if block.is_make
        for line in block.commands.splitlines()
    }
    assert commands
    for command in sorted(commands):
        words = shlex.split(command, comments=True)
        # A dry run: the target is there, and takes these variables.
        ended = run([*words[:1], "--dry-run", *words[1:]], env=environment(), cwd=ROOT)
        assert ended.code == 0, f"{command}: {ended.stderr}"
