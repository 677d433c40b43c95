"""Runs into targets of every manner: only what the target says has landed counts."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.hidden import secrets
from support.runs import (
    WELL,
    Fleet,
    all_texts,
    listing_of,
    mark,
    processes_of,
    scripted,
)
from support.threads import until

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import ClaimLost
from tap_rutter.fleet.model import Fault, Lane, State
from tap_rutter.fleet.runs import PrepareFailed, Slot, prepare
from tap_rutter.fleet.runs import pipe as pipe_of
from tap_rutter.fleet.runs import slot as slot_of
from tap_rutter.simulator import Simulator

ORDERS, PRODUCTS = "commerce_orders", "commerce_products"


@pytest.fixture
def fleet(run_rutter: Simulator, tmp_path: Path) -> Iterator[Fleet]:
    """Two shops; a target that does well unless a test says otherwise. Nothing is left behind."""
    made = Fleet(run_rutter, tmp_path, target=scripted(tmp_path, WELL))
    yield made
    if made.slot is not None:
        made.slot.close()
    assert list(made.work_directory.iterdir()) == [], "a run left files behind"
    until(lambda: not processes_of(tmp_path), "the end of all processes of the runs")


def fresh(fleet: Fleet) -> Any:
    """A claim of one dirty stream of each shop: short."""
    shops = fleet.simulator.world.connections.values()
    return fleet.claim(*(fleet.member(shop, mark(ORDERS)) for shop in shops), lane=Lane.FRESH)


def into(fleet: Fleet, body: str) -> None:
    fleet.use(target_command=scripted(fleet.directory, body))


# ---- what is handed over


def test_the_states_are_cut_by_connection(fleet: Fleet) -> None:
    done = fleet.run(fresh(fleet))
    assert done.fault is None, done.message
    first, second = fleet.simulator.world.connections
    assert set(fleet.states) == {first, second}
    for own, other in ((first, second), (second, first)):
        text = json.dumps(fleet.states[own])
        assert own in text
        assert other not in text
        assert ORDERS in fleet.states[own]["bookmarks"]
        assert "state_number" not in text
    assert [outcome.rows for outcome in done.outcomes] == [12, 12]


def test_the_next_run_goes_on_from_what_was_handed_over(fleet: Fleet) -> None:
    fleet.run(fresh(fleet))
    before = dict(fleet.states)
    fleet.handed.clear()
    fleet.simulator.requests.clear()
    again = fleet.run(fresh(fleet))
    assert again.fault is None
    asked = [entry.params for entry in fleet.simulator.requests if entry.path == "/orders"]
    assert len(asked) == 2
    assert all("updated_at_min" in params for params in asked)
    assert fleet.states == before
    assert fleet.handed == [], "nothing has changed, so nothing is handed over"


def test_bookmarks_that_are_taken_back_are_handed_over_too(fleet: Fleet) -> None:
    fleet.run(fresh(fleet))
    first, second = fleet.states
    into(
        fleet,
        f"""
        for line in lines:
            if line["type"] == "STATE":
                last = line["value"]
        for entry in last["bookmarks"].values():
            entry["partitions"] = [
                one for one in entry["partitions"] if one["context"]["connection_id"] != {second!r}
            ]
        say(last)
        """,
    )
    before = fleet.states[first]
    assert fleet.run(fresh(fleet)).fault is None
    assert fleet.states == {first: before, second: {}}


def test_a_run_of_changes_since_a_time_hands_no_bookmark_over(fleet: Fleet) -> None:
    fleet.run(fresh(fleet))
    fleet.handed.clear()
    world = fleet.simulator.world
    (shop, _) = world.connections.values()
    world.advance(3600)
    world.sync(shop.id)
    world.create(shop.id, "/orders")
    one = fleet.member(shop, mark(ORDERS, world.now))
    done = fleet.run(fleet.claim(one, lane=Lane.FRESH))
    assert (done.fault, done.outcomes[0].rows) == (None, 1)
    assert fleet.handed == []


def test_each_state_is_handed_over_when_the_target_says_it(fleet: Fleet) -> None:
    # It ends only when somebody has taken the first state in.
    flag = fleet.directory / "handed"
    into(
        fleet,
        f"""
        for line in lines:
            if line["type"] == "STATE":
                last = line["value"]
                say(last)
        while not os.path.exists({str(flag)!r}):
            time.sleep(0.01)
        """,
    )

    def on_states(states: dict[str, State], shared: State) -> None:
        flag.touch()
        fleet.hand_over(states, shared)

    assert fleet.run(fresh(fleet), on_states=on_states).fault is None
    assert len(fleet.states) == 2


def test_a_claim_that_is_lost_kills_the_run_and_says_so(fleet: Fleet) -> None:
    into(
        fleet,
        """
        for line in lines:
            if line["type"] == "STATE":
                say(line["value"])
        time.sleep(600)
        """,
    )
    claim = fresh(fleet)

    def on_states(_: dict[str, State], __: State) -> None:
        raise ClaimLost(claim.id)

    with pytest.raises(ClaimLost):
        fleet.run(claim, on_states=on_states)
    assert processes_of(fleet.directory) == {}


def test_a_full_read_reads_everything_anew(fleet: Fleet) -> None:
    fleet.run(fresh(fleet))
    shops = [*fleet.simulator.world.connections.values()]
    done = fleet.run(fleet.claim(*shops, lane=Lane.BULK, full_read=True))
    assert done.fault is None, done.message
    # Orders and products, and what is told of each connection.
    assert all(outcome.rows >= 15 for outcome in done.outcomes)


def test_a_connection_that_is_not_listed_is_not_run(fleet: Fleet) -> None:
    first, second = fleet.simulator.world.connections
    listing = listing_of(fleet.simulator)
    del listing[second]
    done = fleet.run(fresh(fleet), listing=listing)
    assert done.fault is Fault.CONNECTION
    assert [(entry.connection_id, entry.reason) for entry in done.outcomes] == [
        (first, None),
        (second, "unlisted"),
    ]
    nobody = fleet.run(fresh(fleet), listing={})
    assert [entry.reason for entry in nobody.outcomes] == ["unlisted", "unlisted"]


def test_dirty_streams_that_are_not_selected_need_no_run(fleet: Fleet) -> None:
    catalog = fleet.directory / "catalog.json"
    catalog.write_text(json.dumps({"streams": [{"tap_stream_id": PRODUCTS}]}), encoding="utf-8")
    fleet.use(catalog=str(catalog), target_command=("a-command-that-is-not-there",))
    done = fleet.run(fresh(fleet))
    assert done.fault is None
    assert all(outcome.succeeded for outcome in done.outcomes)


def test_one_connections_failure_is_its_own(fleet: Fleet) -> None:
    first, second = fleet.simulator.world.connections
    fleet.simulator.faults.add(
        "respond", path="/orders", connection_id=second, status=450, times=None
    )
    done = fleet.run(fresh(fleet))
    assert done.fault is Fault.CONNECTION
    assert [entry.succeeded for entry in done.outcomes] == [True, False]
    assert "450" in done.outcomes[1].message
    assert first in fleet.states


# ---- targets that do otherwise

ODD = {
    "it ends with 0 and says nothing": "for line in lines: pass",
    "it ends with 0 at once": "",
    "it says an older state only": """
        seen = [line["value"] for line in lines if line["type"] == "STATE"]
        say({**seen[-1], "state_number": seen[-1]["state_number"] - 1})
        """,
    "it says the state that it was given first": """
        first = None
        for line in lines:
            if line["type"] == "STATE" and first is None:
                first = line["value"]
        say(first)
        """,
    "it dies before the first line": "sys.exit(1)",
    "it dies within": """
        next(lines)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    "it says the last state and fails": """
        for line in lines:
            if line["type"] == "STATE":
                last = line["value"]
        say(last)
        sys.exit(1)
        """,
    "it prints garbage": """
        for line in lines:
            sys.stdout.write("{not a state" + chr(10) + "[]" + chr(10) + chr(0) * 9 + chr(10))
        """,
    "it closes its input": """
        next(lines)
        os.close(0)
        sys.exit(0)
        """,
}


@pytest.mark.parametrize("what", ODD)
def test_a_target_that_has_not_said_it_all_has_landed_nothing(fleet: Fleet, what: str) -> None:
    fleet.run(fresh(fleet))  # so that a first STATE, as it was given, comes before all records
    world = fleet.simulator.world
    for shop in world.connections:
        world.advance(60)
        world.sync(shop)
        world.create(shop, "/orders")
    into(fleet, ODD[what])
    done = fleet.run(fresh(fleet))
    assert done.fault is Fault.RUN, done
    assert done.outcomes == ()
    assert done.message


def test_a_state_that_was_handed_over_stays_where_a_later_one_never_came(fleet: Fleet) -> None:
    into(
        fleet,
        """
        seen = [line["value"] for line in lines if line["type"] == "STATE"]
        say({**seen[-1], "state_number": 1})
        """,
    )
    fleet.run(fresh(fleet))
    assert len(fleet.states) == 2


def test_garbage_between_states_is_passed_over(fleet: Fleet) -> None:
    into(
        fleet,
        """
        for line in lines:
            print("loading " + line["type"], "{", "[1]", "null", sep=chr(10))
            if line["type"] == "STATE":
                last = line["value"]
        say(last)
        """,
    )
    assert fleet.run(fresh(fleet)).fault is None


def test_a_target_that_talks_much_is_not_stuck(fleet: Fleet) -> None:
    into(
        fleet,
        """
        for line in lines:
            sys.stderr.write("x" * 200_000 + chr(10))
            sys.stdout.write("y" * 200_000 + chr(10))
            if line["type"] == "STATE":
                last = line["value"]
        say(last)
        """,
    )
    assert fleet.run(fresh(fleet)).fault is None


def test_a_command_that_is_not_there_is_the_fleets_fault(fleet: Fleet) -> None:
    fleet.use(target_command=("a-command-that-is-not-there",))
    done = fleet.run(fresh(fleet))
    assert done.fault is Fault.FLEET
    assert "a-command-that-is-not-there cannot be started" in done.message


def test_bad_settings_and_refused_credentials_are_the_fleets_fault(fleet: Fleet) -> None:
    usual = dict(fleet.config.tap_config)
    fleet.use(tap_config={**usual, "page_size": 0})
    bad = fleet.run(fresh(fleet))
    assert (bad.fault, bad.tap_exit) == (Fault.FLEET, 2)
    assert "'page_size'" in bad.message
    fleet.use(tap_config={**usual, "client_secret": "another-secret"})
    refused = fleet.run(fresh(fleet))
    assert (refused.fault, refused.tap_exit) == (Fault.FLEET, 3)
    assert "another-secret" not in refused.message


def test_an_api_that_does_not_answer_is_the_fleets_fault(fleet: Fleet) -> None:
    claim, listing = fresh(fleet), listing_of(fleet.simulator)
    assert fleet.config.tap_config
    fleet.simulator.stop()
    done = fleet.run(claim, listing=listing)
    assert done.fault is Fault.FLEET
    assert "nothing answers" in done.message


def test_one_connections_broken_state_is_not_the_fleets_fault(fleet: Fleet) -> None:
    first, _ = fleet.simulator.world.connections
    fleet.states[first] = {
        "bookmarks": {
            ORDERS: {
                "partitions": [
                    {"context": {"connection_id": first}, "replication_key_value": "no time"}
                ]
            }
        }
    }
    done = fleet.run(fresh(fleet))
    assert (done.fault, done.tap_exit) == (Fault.RUN, 2)


def test_targets_that_fall_over_each_other_are_run_again_at_once(fleet: Fleet) -> None:
    flag = fleet.directory / "fell"
    into(
        fleet,
        f"""
        for line in lines:
            if line["type"] == "STATE":
                last = line["value"]
        if not os.path.exists({str(flag)!r}):
            open({str(flag)!r}, "w").close()
            sys.exit('psycopg.errors.DuplicateTable: relation "orders" already exists')
        say(last)
        """,
    )
    done = fleet.run(fresh(fleet))
    assert done.fault is None
    assert flag.exists()


# ---- stops


def stuck(fleet: Fleet, body: str, **options: Any) -> Any:
    """A run that is under way, with the means to end it."""
    into(fleet, body)
    stop, kill = threading.Event(), threading.Event()
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(fleet.run(fresh(fleet), stop=stop, kill=kill, **options))
    )
    thread.start()
    return thread, stop, kill, found


SLOW = """
    for line in lines:
        if line["type"] == "STATE":
            last = line["value"]
    say(last)
    """


def test_a_stop_signals_the_tap_and_what_it_delivered_lands(fleet: Fleet) -> None:
    first, second = fleet.simulator.world.connections
    reached = threading.Event()
    fleet.simulator.faults.add(
        "delay",
        path="/products",
        connection_id=second,
        seconds=300,
        call=lambda _: reached.set(),
        times=None,
    )
    fleet.use(tap_config={**fleet.config.tap_config, "concurrency": 1})
    into(fleet, SLOW)
    stop = threading.Event()
    shops = fleet.simulator.world.connections.values()
    claim = fleet.claim(
        *(fleet.member(shop, mark(ORDERS), mark(PRODUCTS)) for shop in shops), lane=Lane.FRESH
    )
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(fleet.run(claim, stop=stop)))
    thread.start()
    assert reached.wait(60)
    stop.set()
    thread.join(60)
    (done,) = found
    assert (done.stopped, done.fault, done.outcomes) == (True, None, ())
    assert (done.tap_exit, done.target_exit) == (143, 0)
    assert ORDERS in fleet.states[first]["bookmarks"]
    assert ORDERS in fleet.states[second]["bookmarks"]


@pytest.mark.parametrize("body", ["time.sleep(600)", "for line in lines: pass\ntime.sleep(600)"])
def test_a_stop_kills_what_does_not_end_by_itself(fleet: Fleet, body: str) -> None:
    fleet.use(stop_seconds=1.0)
    thread, stop, _, found = stuck(fleet, body)
    until(lambda: processes_of(fleet.directory), "the target")
    stop.set()
    thread.join(60)
    assert found[0].stopped
    assert found[0].target_exit == -signal.SIGKILL


def test_a_kill_waits_for_nothing(fleet: Fleet) -> None:
    fleet.use(stop_seconds=600.0)
    thread, _, kill, found = stuck(fleet, "time.sleep(600)")
    until(lambda: processes_of(fleet.directory), "the target")
    kill.set()
    thread.join(60)
    assert found[0].stopped
    assert found[0].fault is None


def test_a_run_without_a_sign_of_life_is_killed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe_of, "LONGEST_SILENCE", 1.0)
    into(fleet, "time.sleep(600)")
    done = fleet.run(fresh(fleet))
    assert (done.fault, done.stopped) == (Fault.RUN, False)
    assert "sign of life" in done.message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_target_hears_of_no_signal_that_asks_it_to_end(fleet: Fleet, number: int) -> None:
    """An SDK target would drain what it has, or not, say its state, and end with 0."""
    into(
        fleet,
        f"""
        import threading
        def ended(*_):
            say({{"bookmarks": {{}}, "state_number": 99}})
            os._exit(0)
        signal.signal({int(number)}, ended)
        for line in lines:
            os.kill(os.getpid(), {int(number)})
            if line["type"] == "STATE":
                last = line["value"]
        say(last)
        """,
    )
    done = fleet.run(fresh(fleet))
    assert done.fault is None, done
    assert len(fleet.states) == 2


# ---- spares


def test_a_spare_is_used_once_and_replaced(fleet: Fleet) -> None:
    log = fleet.directory / "started"
    into(
        fleet,
        f"""
        with open({str(log)!r}, "a") as file:
            file.write(os.environ["PGAPPNAME"] + chr(10))
        for line in lines:
            if line["type"] == "STATE":
                last = line["value"]
        say(last)
        """,
    )
    slot = fleet.slot = Slot(fleet.config)
    names = []
    for _ in range(3):
        claim_id = slot.claim_id()
        assert slot.claim_id() == claim_id, "it stays until it is used"
        until(lambda: log.exists() and str(claim_id) in log.read_text(), "the spare")  # noqa: B023
        names.append(f"rutter-fleet {claim_id}")
        shops = fleet.simulator.world.connections.values()
        members = [fleet.member(shop, mark(ORDERS)) for shop in shops]
        done = fleet.run(fleet.claim(*members, lane=Lane.FRESH, claim_id=claim_id))
        assert done.fault is None
    started = log.read_text().splitlines()
    assert started[:3] == names
    assert len(started) <= 4, "more targets were started than were needed"


def test_a_claim_with_another_id_gets_a_target_of_its_own(fleet: Fleet) -> None:
    slot = fleet.slot = Slot(fleet.config)
    spare = slot.claim_id()
    done = fleet.run(fresh(fleet))
    assert done.fault is None
    assert slot.claim_id() != spare


def test_a_slot_that_nobody_asks_for_an_id_starts_no_spare(fleet: Fleet) -> None:
    log = fleet.directory / "started"
    into(fleet, f"open({str(log)!r}, 'a').write('one ')\n" + textwrap.dedent(WELL))
    fleet.slot = Slot(fleet.config)
    for _ in range(2):
        assert fleet.run(fresh(fleet)).fault is None
    fleet.slot.close()
    assert log.read_text() == "one one "


def test_a_spare_that_died_is_replaced(fleet: Fleet) -> None:
    slot = fleet.slot = Slot(fleet.config)
    claim_id = slot.claim_id()
    (pid,) = until(lambda: processes_of(fleet.directory), "the spare")
    os.kill(pid, signal.SIGKILL)
    until(lambda: slot.claim_id() != claim_id, "another spare")
    shops = fleet.simulator.world.connections.values()
    members = [fleet.member(shop, mark(ORDERS)) for shop in shops]
    done = fleet.run(fleet.claim(*members, lane=Lane.FRESH, claim_id=slot.claim_id()))
    assert done.fault is None


def test_a_spare_that_has_waited_long_is_replaced(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = fleet.slot = Slot(fleet.config)
    claim_id = slot.claim_id()
    monkeypatch.setattr("tap_rutter.fleet.runs.slot.SPARE_SECONDS", 0.0)
    assert slot.claim_id() != claim_id


# ---- tables


def test_tables_are_prepared_by_the_schemas_alone(fleet: Fleet) -> None:
    told = fleet.directory / "told"
    into(
        fleet,
        f"""
        with open({str(told)!r}, "w") as file:
            for line in lines:
                file.write(line["type"] + " " + line.get("stream", "") + chr(10))
                if line["type"] == "STATE":
                    say(line["value"])
            file.write(os.environ["PGOPTIONS"])
        """,
    )
    slot = fleet.slot = Slot(fleet.config)
    prepare(slot)
    *lines, state, options = told.read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"SCHEMA"}
    assert f"SCHEMA {ORDERS}" in lines
    assert "SCHEMA sync_report" in lines
    assert state == "STATE "
    assert options == "-c lock_timeout=30s"
    assert len(fleet.simulator.requests) == 0


def test_a_run_declares_only_what_it_brings_rows_of(fleet: Fleet) -> None:
    told = fleet.directory / "told"
    into(
        fleet,
        f"""
        with open({str(told)!r}, "w") as file:
            for line in lines:
                if line["type"] == "SCHEMA":
                    file.write(line["stream"] + chr(10))
                if line["type"] == "STATE":
                    last = line["value"]
        say(last)
        """,
    )
    done = fleet.run(fleet.claim(*fleet.simulator.world.connections.values()))
    assert done.fault is None
    declared = told.read_text().splitlines()
    assert {ORDERS, PRODUCTS} < {*declared}
    assert "commerce_payouts" not in declared


@pytest.mark.parametrize(
    "body",
    ["for line in lines: pass", "sys.exit('ValueError: x')", "next(lines); sys.exit(0)"],
)
def test_tables_are_not_prepared_unless_the_target_says_so(fleet: Fleet, body: str) -> None:
    into(fleet, body)
    slot = fleet.slot = Slot(fleet.config)
    with pytest.raises(PrepareFailed, match="The tables cannot be prepared"):
        prepare(slot)


# ---- secrets


def test_nothing_secret_is_told_by_targets_that_tell_everything(fleet: Fleet) -> None:
    world = fleet.simulator.world
    told = "; ".join(secrets(world).values())
    into(
        fleet,
        f"""
        for line in lines: pass
        sys.exit({told!r})
        """,
    )
    fleet.use(target_database_url="postgresql://u:pass-of-the-warehouse@127.0.0.1:1/d")
    done = fleet.run(fresh(fleet))
    assert done.fault is Fault.FLEET, "its database is not there"
    text = all_texts(done, fleet.handed)
    for what, secret in secrets(world).items():
        assert secret not in text, what


def test_a_target_of_this_environment_is_forked_and_does_as_its_script(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what its console script would be: arguments, environment, and its way to end."""
    module = fleet.directory / "forked_target.py"
    module.write_text(
        """
import json, os, sys
def main():
    assert sys.argv[1:] == ["--config", "x"], sys.argv
    assert os.environ["PGAPPNAME"].startswith("rutter-fleet "), os.environ
    assert "RUTTER_SECRET" not in os.environ
    for line in map(json.loads, sys.stdin):
        if line["type"] == "STATE":
            last = line["value"]
        if line["type"] == "RECORD" and line["record"].get("name") == "poison":
            raise ValueError("it is a poison")
    print(json.dumps(last))
    sys.exit("not well" if os.path.exists(__file__ + ".bad") else None)
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(fleet.directory))
    monkeypatch.setenv("RUTTER_SECRET", "x")
    monkeypatch.setattr(slot_of, "_entry_point", lambda *_: "forked_target:main")
    fleet.use(target_command=("forked-target", "--config", "x"))
    done = fleet.run(fresh(fleet))
    assert done.fault is None, done.message
    assert len(fleet.states) == 2
    module.with_name("forked_target.py.bad").touch()
    bad = fleet.run(fresh(fleet))
    assert (bad.fault, bad.target_exit) == (Fault.RUN, 1)
    assert "not well" in bad.message
    shop = next(iter(fleet.simulator.world.connections))
    fleet.simulator.world.create(shop, "/orders", name="poison")
    poisoned = fleet.run(fresh(fleet))
    assert (poisoned.fault, poisoned.target_exit) == (Fault.RUN, 1)
    assert "ValueError: it is a poison" in poisoned.message


def test_what_cannot_be_imported_is_started_as_any_other(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_of, "_entry_point", lambda *_: "a_module_that_is_not_there:main")
    done = fleet.run(fresh(fleet))
    assert done.fault is None, done.message


def test_only_console_scripts_of_this_environment_are_imported(tmp_path: Path) -> None:
    def imports(*command: str) -> list[str]:
        found = slot_of.imports_of(FleetConfig(target_command=command))
        return [name for name in found if name != "tap"]

    beside = Path(sys.executable).with_name("target-postgres")
    assert imports(str(beside)) == ["target=target_postgres.target:TargetPostgres.cli"]
    assert imports(sys.executable, "-c", "pass") == []
    elsewhere = tmp_path / "target-postgres"
    elsewhere.touch(mode=0o755)
    assert imports(str(elsewhere)) == []
    assert imports("a-target-that-is-not-there") == []


def test_another_command_in_the_place_of_the_tap_is_started_not_forked(fleet: Fleet) -> None:
    command = (sys.executable, "-c", "from tap_rutter.cli.tap_command import main; main()")
    fleet.use(tap_command=command)
    slot = fleet.slot = Slot(fleet.config)
    assert not slot.forks_tap
    done = fleet.run(fresh(fleet))
    assert done.fault is None, done.message
    assert len(fleet.states) == 2
    fleet.use(tap_command=("a-tap-that-is-not-there",))
    fleet.slot.close()
    fleet.slot = None
    gone = fleet.run(fresh(fleet))
    assert gone.fault is Fault.FLEET
    assert "a-tap-that-is-not-there" in gone.message
