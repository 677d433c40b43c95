"""An Airflow DAG beside a fleet: what is done to its data, once they are there.

The workers themselves run all the time, and are no tasks. This asks them how far they are behind,
and goes on only when they are not: deletions, the nightly comparison, and whatever your models are.

Copy it into Airflow's folder of DAGs. Where its tasks run, there must be tap-rutter with the extra
``fleet``, and the variables of the fleet: RUTTER_FLEET_CONFIG, RUTTER_FLEET_LEDGER_URL,
TAP_RUTTER_CLIENT_ID, TAP_RUTTER_CLIENT_SECRET, and WAREHOUSE_DSN for the scripts.
"""

from __future__ import annotations

import json
import subprocess

import pendulum
from airflow.sdk import dag, task

SCHEMA = "rutter"
LONGEST_LAG = 2 * 3600
"""Seconds for which the oldest connection of the sweep may have been due."""


def rutterctl(*arguments: str) -> str:
    """What a command prints; a command that fails fails the task, and its message is in the log."""
    done = subprocess.run(["rutterctl", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


@dag(
    schedule="@hourly",
    start_date=pendulum.datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["rutter"],
)
def rutter_fleet() -> None:
    """Wait for the fleet, then look after its tables."""

    @task.sensor(poke_interval=60, timeout=45 * 60, mode="reschedule")
    def up_to_date() -> bool:
        """Whether nothing is paused, and nothing has been due for long."""
        status = json.loads(rutterctl("fleet", "status", "--json"))
        lag = max(status["lanes"][lane]["lag_seconds"] for lane in ("fresh", "sweep"))
        return status["paused"] is None and lag <= LONGEST_LAG

    @task
    def apply_deletions() -> None:
        """Mark the rows whose deletion Rutter told of, by events or by webhooks."""
        rutterctl("sql", "apply-deletions", "--schema", SCHEMA, "--run")

    @task
    def reconcile() -> None:
        """Mark the rows that two complete full reads in a row did not deliver."""
        rutterctl("sql", "reconcile", "--schema", SCHEMA, "--run")

    @task
    def prune() -> None:
        """Delete old rows of sync_report that none of the others needs."""
        rutterctl("fleet", "prune", "--days", "90")

    # Your models come after reconcile, such as a task of dbt.
    up_to_date() >> apply_deletions() >> reconcile() >> prune()


rutter_fleet()
