"""Runs by way of Meltano: the repository's own project, its plugins, and a real PostgreSQL."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.hidden import secrets
from support.ledger import PASSWORD, own_database
from support.meltano import Project, loader_command
from support.runs import SCHEMA, Fleet, mark, processes_of
from support.threads import until

from tap_rutter.demo.database import Database
from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig, MeltanoProject
from tap_rutter.fleet.model import Fault, Lane, Member, RunResult
from tap_rutter.fleet.runs import Slot, asked, prepare, schema_hash
from tap_rutter.simulator import Simulator

ORDERS, PRODUCTS = "commerce_orders", "commerce_products"


@pytest.fixture
def fleet(
    run_rutter: Simulator, tmp_path: Path, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fleet]:
    """Two shops, an empty warehouse, and what a user writes who has a Meltano project."""
    loader_command("target-postgres")
    (tmp_path / "project").mkdir()
    Project.make(tmp_path / "project")
    # A run's connections are the ledger's to say: with this setting, it would read none.
    (tmp_path / "project" / ".env").write_text("TAP_RUTTER_PLATFORMS='[\"XERO\"]'\n")
    with own_database(postgres) as url:
        variables = {
            "RUTTER_CLIENT_ID": run_rutter.client_id,
            "RUTTER_CLIENT_SECRET": run_rutter.client_secret,
            "TAP_RUTTER_API_URL": run_rutter.api_url,
            "TAP_RUTTER__SELECT": json.dumps([f"{ORDERS}.*", "sync_report.*"]),
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": SCHEMA,
            "TARGET_POSTGRES_SQLALCHEMY_URL": url.replace("postgresql:", "postgresql+psycopg:", 1),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        made = Fleet(run_rutter, tmp_path, url)
        file = tmp_path / "fleet.toml"
        file.write_text(
            f"""
            [fleet]
            ledger_url = "postgresql:"
            stop_seconds = 60
            work_directory = "{made.work_directory.name}"
            [meltano]
            project = "project"
            environment = "prod"
            variables = ["RUTTER_CLIENT_*"]
            [target]
            variables = ["TARGET_POSTGRES_*"]
            database_url = "{url}"
            """,
            encoding="utf-8",
        )
        with asked(FleetConfig.load(file)) as made._config:
            yield made
        assert list(made.work_directory.iterdir()) == [], "a run left files behind"
        until(lambda: not processes_of(tmp_path), "the end of all processes of the runs", 60)


def together(fleet: Fleet, *runs: dict[str, Any]) -> list[RunResult]:
    """Runs at once, each in a slot of its own and with states of its own."""
    results: dict[int, RunResult] = {}

    def one(number: int, options: dict[str, Any]) -> None:
        slot = Slot(fleet.config)
        try:
            results[number] = fleet.run(options.pop("claim"), slot=slot, **options)
        finally:
            slot.close()

    threads = [threading.Thread(target=one, args=entry) for entry in enumerate(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in sorted(results)]


@pytest.mark.longer
def test_runs_by_way_of_meltano_land_the_world_and_keep_apart(fleet: Fleet) -> None:
    world = fleet.simulator.world
    first, second = world.connections.values()
    slot = Slot(fleet.config)
    prepare(slot)
    slot.close()
    assert fleet.landed(ORDERS) == set()
    handed: list[tuple[str, Any]] = []

    def hand_over(own: str) -> Any:
        def keep(states: Any, shared: Any) -> None:
            handed.append((own, states))
            fleet.hand_over(states, shared)

        return keep

    done = together(
        fleet,
        {"claim": fleet.claim(first), "on_states": hand_over(first.id)},
        {
            "claim": fleet.claim(fleet.member(second, mark(ORDERS)), lane=Lane.FRESH),
            "on_states": hand_over(second.id),
        },
    )
    assert [result.fault for result in done] == [None, None], done
    assert fleet.landed(ORDERS) == fleet.expected("/orders")
    # What the project does not select is neither read nor made.
    assert fleet.landed(PRODUCTS) == set()
    assert not [entry for entry in fleet.simulator.requests if entry.path == "/products"]
    # At once in one project, and no state of one is in the other's.
    assert {own for own, _ in handed} == {first.id, second.id}
    for own, states in handed:
        other = second.id if own == first.id else first.id
        assert set(states) == {own}
        assert other not in json.dumps(states)

    _a_stop_passes_through(fleet, fleet.member(first), fleet.member(second))


def _a_stop_passes_through(fleet: Fleet, *members: Member) -> None:
    """And while the run is held, nothing secret is seen of it."""
    held, stop, asked_for = threading.Event(), threading.Event(), list[Any]()

    def hold(request: Any) -> None:
        asked_for.append(request.params)
        held.set()

    fleet.simulator.faults.add("delay", path="/orders", seconds=300, call=hold, times=None)
    results = list[RunResult]()
    claim = fleet.claim(*members)
    run = threading.Thread(target=lambda: results.append(fleet.run(claim, stop=stop, slot=None)))
    run.start()
    try:
        assert held.wait(600)
        lines, variables, modes = "", "", set()
        for pid, line in processes_of(fleet.directory).items():
            lines += line + "\n"
            variables += Path(f"/proc/{pid}/environ").read_text(encoding="utf-8")
        for entry in fleet.work_directory.iterdir():
            modes.add(entry.stat().st_mode & 0o777)
    finally:
        stop.set()
        run.join()
    assert "/extractors/tap-rutter/" in lines
    assert "/loaders/target-postgres/" in lines
    assert modes == {0o700}
    for what, text in secrets(fleet.simulator.world).items():
        assert text not in lines + variables, what
    assert PASSWORD not in lines
    # The state is an argument: it goes on from what the first runs had handed over.
    assert all("updated_at_min" in params for params in asked_for)
    # The tap has heard of it, and the target has ended with its input.
    (done,) = results
    assert (done.stopped, done.fault, done.tap_exit, done.target_exit) == (True, None, 143, 0), done


def test_a_plugin_that_is_not_installed_is_the_fleets_fault(
    run_rutter: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "unused").mkdir()
    Project.make(tmp_path / "project")
    missing = MeltanoProject(
        str(tmp_path / "unused"),
        str(tmp_path / "nowhere"),
        {"default_target_schema": "x", "password": "one"},
    )
    fleet = Fleet(run_rutter, tmp_path, target=("never-used",))
    fleet.use(meltano_project=str(tmp_path / "project"), meltano=missing)
    done = fleet.run(fleet.claim(*run_rutter.world.connections.values()))
    assert done.fault is Fault.FLEET
    assert "could not be found" in done.message
    # Tables depend on the loader's settings, and on no secret among them.
    before = schema_hash(fleet.config)

    def hash_with(**settings: str) -> str:
        changed = replace(missing, loader_settings={**missing.loader_settings, **settings})
        return schema_hash(replace(fleet.config, meltano=changed))

    assert hash_with(password="another") == before
    assert hash_with(default_target_schema="another") != before


# ---- mistakes, without starting anything that works


def load(folder: Path, text: str) -> FleetConfig:
    file = folder / "fleet.toml"
    file.write_text(f'[fleet]\nledger_url = "postgresql:"\n{text}', encoding="utf-8")
    return FleetConfig.load(file, {})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('[target]\ncommand = ["x"]', "'command' of [target] cannot be used beside [meltano]"),
        ('[tap]\ncatalog = "x.json"', "'catalog' of [tap] cannot be used beside [meltano]"),
        ('[tap]\ncommand = ["x"]', "'command' of [tap] cannot be used beside [meltano]"),
    ],
)
def test_the_project_alone_says_how_they_are_run(tmp_path: Path, section: str, said: str) -> None:
    (tmp_path / "meltano.yml").touch()
    load(tmp_path, '[meltano]\nproject = "."').check_target()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f'{section}\n[meltano]\nproject = "."')
    assert said in caught.value.message


def test_a_folder_without_a_project_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'project' of \[meltano\] must be a folder"):
        load(tmp_path, '[meltano]\nproject = "nowhere"')


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('Extractor tap-rutter is not known to Meltano')", "not known to"),
        ("print('no JSON')", "it said nothing"),
        ("import os; os.kill(os.getpid(), 9)", "it said nothing"),
    ],
)
def test_a_project_that_does_not_answer_is_said(tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "meltano.yml").touch()
    command = json.dumps([sys.executable, "-c", script])
    config = load(tmp_path, f'work_directory = "."\n[meltano]\nproject = "."\ncommand = {command}')
    with pytest.raises(ConfigError) as caught, asked(config, {}):
        pass
    assert caught.value.message.startswith("Meltano does not tell the config of tap-rutter: ")
    assert said in caught.value.message
    missing = replace(config, meltano_command=("no-such-meltano",))
    with pytest.raises(ConfigError, match=r"no-such-meltano: No such file"), asked(missing, {}):
        pass
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == []


def test_what_meltano_keeps_for_a_target_goes_with_it(tmp_path: Path) -> None:
    """Settings with passwords are in there while the target runs."""
    for name in ("runs", "unused"):
        (tmp_path / name).mkdir()
    command = (sys.executable, "-c", "import sys; sys.stdin.read()")
    slot = Slot(
        FleetConfig(
            work_directory=str(tmp_path / "runs"),
            meltano_project=str(tmp_path),
            meltano_command=command,
            meltano=MeltanoProject(str(tmp_path / "unused"), str(tmp_path / "nowhere")),
        )
    )
    runners = [slot.take(slot.claim_id()) for _ in range(2)]
    (of_slot,) = (tmp_path / "runs").iterdir()
    kept = [entry for entry in of_slot.iterdir() if entry.is_dir()]
    assert len(kept) == 2, "one for each target of the slot"
    assert {entry.stat().st_mode & 0o777 for entry in (of_slot, *kept)} == {0o700}
    for runner in runners:
        runner.close()
    until(lambda: not any(entry.exists() for entry in kept), "the end of both", 60)
    slot.close()
    assert [*(tmp_path / "runs").iterdir()] == []


_ANSWERS = """
import json, os, sys
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([sys.argv[2:], sorted(os.environ)]) + chr(10))
what, plugin = sys.argv[-2:]
answers = {"--dump=catalog": {"streams": []}, "--dump=config": {"page_size": 9, "of": plugin}}
print(json.dumps(answers[what]))
"""


def test_the_project_is_asked_for_no_more_than_is_needed(tmp_path: Path) -> None:
    (tmp_path / "meltano.yml").touch()
    heard = tmp_path / "heard.jsonl"
    command = json.dumps([sys.executable, "-c", _ANSWERS, str(heard)])
    config = load(
        tmp_path,
        f"""
        work_directory = "."
        [meltano]
        project = "."
        environment = "prod"
        extractor = "tap-other"
        variables = ["FOR_THE_TAP"]
        command = {command}
        [target]
        variables = ["FOR_THE_TARGET"]
        """,
    )
    given = dict.fromkeys(
        ("PATH", "TAP_RUTTER_PAGE_SIZE", "FOR_THE_TAP", "FOR_THE_TARGET", "FOR_NOBODY"), "7"
    )
    with asked(config, given, for_runs=False) as answered:
        assert (answered.tap_config["page_size"], answered.catalog) == (9, "")
    with asked(replace(config, tap_config={"page_size": 7}), given) as answered:
        assert answered.tap_config == {"page_size": 7, "of": "tap-other"}, "variables win"
        assert answered.meltano is not None
        assert answered.meltano.loader_settings["of"] == "target-postgres"
        assert json.loads(Path(answered.catalog).read_text(encoding="utf-8")) == {"streams": []}
    assert not Path(answered.catalog).exists()
    lines = [json.loads(line) for line in heard.read_text(encoding="utf-8").splitlines()]
    assert [argv[-2:] for argv, _ in lines] == [
        ["--dump=config", "tap-other"],
        ["--dump=config", "tap-other"],
        ["--dump=config", "target-postgres"],
        ["--dump=catalog", "tap-other"],
    ]
    for argv, names in lines:
        assert argv[:4] == ["--cwd", str(tmp_path), "--environment", "prod"]
        assert {"TAP_RUTTER_PAGE_SIZE", "FOR_THE_TAP", "MELTANO_SYS_DIR_ROOT"} <= set(names)
        assert "FOR_NOBODY" not in names
