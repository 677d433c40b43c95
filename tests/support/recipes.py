"""The recipes of docs/recipes.md, and what their tests run them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.meltano import ROOT, load, loader_command
from support.pages import Section, sections
from support.singer import Ended, Json, run_tap, settings
from tap_rutter.demo.database import Database
from tap_rutter.simulator import Simulator, World

RECIPES = sections(ROOT / "docs" / "recipes.md")


def small_world(**options: Any) -> World:
    """A ledger and two shops with a few rows."""
    world = World(**options)
    world.add_connection(
        "QUICKBOOKS", counts={"/accounting/vendors": 12, "/accounting/invoices": 5}
    )
    for _ in range(2):
        world.add_connection("SHOPIFY", counts={"/orders": 25, "/customers": 12})
    return world


def config_of(recipe: Section) -> Json:
    """What a recipe says under the tap's ``config``."""
    (tap,) = recipe.yaml()["plugins"]["extractors"]
    found: Json = tap["config"]
    return found


def into_postgres(
    simulator: Simulator,
    config: Json,
    database: Database,
    schema: str,
    folder: Path,
    *,
    code: int = 0,
) -> None:
    """A run of the tap with further settings, into a schema; it must end with this exit code."""
    # Tables without rows would take most of the time.
    ended = run_tap(config=settings(simulator, empty_tables=False, **config))
    assert ended.code == code, ended.stderr
    options = {"sqlalchemy_url": database.sqlalchemy_url, "default_target_schema": schema}
    load(loader_command("target-postgres"), ended.stdout, options, folder)


def said(ended: Ended) -> str:
    """All that a command has written."""
    return ended.stdout + ended.stderr
