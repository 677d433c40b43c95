"""Two forms of the tables at once, from an empty database: each is prepared once, by one target."""

from __future__ import annotations

import random
from pathlib import Path

import psycopg
import pytest
from support.harm import (
    CONNECTIONS,
    PATHS,
    SECONDS,
    bustle,
    check_files,
    check_runs,
    check_states,
    claims_in,
    config_with,
    harmed,
    parked,
    sweep_all,
)
from support.ledger import own_database

from tap_rutter.demo.database import SCHEMA, Database
from tap_rutter.demo.fleet_scene import Scene, until

COLUMN = "of_the_next_version"

# Who changes which table of the target's schema. Targets make temporary tables for each load.
_WATCH_TABLES = f"""
    create table public.changed (session text, what text, at timestamptz default clock_timestamp());
    create function public.note() returns event_trigger language plpgsql security definer as $$
    begin
        insert into public.changed (session, what)
        select current_setting('application_name'), command_tag || ' ' || object_identity
        from pg_event_trigger_ddl_commands() where schema_name = '{SCHEMA}';
    end $$;
    create event trigger note on ddl_command_end execute function public.note();
"""


def next_version(scene: Scene) -> str:
    """The configuration of workers whose tap has a column more; its name in the scene's folder."""
    return config_with(
        scene, "next", {"stream_maps": {"commerce_orders": {COLUMN: "record['id']"}}}
    )


@pytest.mark.longer
def test_two_versions_at_once_prepare_once_each_and_no_load_changes_a_table(
    postgres: Database, tmp_path: Path
) -> None:
    dice = random.Random(3)
    with (
        own_database(postgres) as url,
        harmed(tmp_path / "fleet", url, CONNECTIONS, settings={"slots": 4}) as scene,
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_WATCH_TABLES)
        scene.start(1)
        until(scene.is_read_once, 240, "the first reads did not end")
        bustle(scene, dice, SECONDS / 2)
        # A new column, while the others load.
        scene.add_worker(config=next_version(scene))
        until(lambda: is_prepared_under_load(scene, dice), 120, "the new form was not prepared")
        bustle(scene, dice, SECONDS / 2)
        sweep_all(scene)
        until(lambda: scene.is_idle() and not scene.missing(PATHS), 240, "rows were lost")
        assert parked(scene) == set()
        check_states(scene)
        changed = scene.query("select session, what from public.changed")
        claims = {str(name) for (name,) in scene.query("select claim_id from rutter_fleet.claims")}
        workers = {
            name.rpartition(":")[0]
            for (name,) in scene.query("select worker from rutter_fleet.claims")
        }
        new = scene.query(f"select count(*) from {SCHEMA}.commerce_orders where {COLUMN} = id")
        scene.stop()
    assert len(workers) == 2, "both have worked"
    assert new != [(0,)]
    sessions = {session for session, _ in changed}
    assert claims_in(sessions) & claims == set(), "a load changed a table"
    assert len(sessions) == 2, "one target for each form"
    assert sum("CREATE TABLE" in what and "commerce_orders" in what for _, what in changed) == 1
    check_runs(scene)
    check_files(scene)


def is_prepared_under_load(scene: Scene, dice: random.Random) -> bool:
    """Whether both forms of the tables have been prepared; rows change while somebody waits."""
    bustle(scene, dice, 1)
    return len(scene.query("select schema_hash from rutter_fleet.prepared")) == 2
