"""``rutterctl sql``: prints the warehouse scripts, or runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tap_rutter.warehouse.database import DatabaseError, Outcome, run
from tap_rutter.warehouse.scripts import DEFAULT_SCHEMA, SCRIPTS, render

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def sql() -> None:
    """SQL for the PostgreSQL tables that target-postgres loads.

    Each script is printed, for psql or a scheduler of your own, or run with --run. All are safe to
    run again.
    """


def _script(name: str) -> Callable[[_Command], click.Command]:
    """Makes a function the subcommand of a script, with the options that all scripts share."""

    def make(function: _Command) -> click.Command:
        for option in (
            click.option(
                "--dsn",
                envvar="WAREHOUSE_DSN",
                metavar="URI",
                help="The database for --run; better given in the variable WAREHOUSE_DSN, since "
                "other users of the machine can see a command's options.",
            ),
            click.option(
                "--run/--print", "execute", default=False, help="Run it, or print it (default)."
            ),
            click.option(
                "--schema",
                default=DEFAULT_SCHEMA,
                show_default=True,
                help="The schema that the target loads into.",
            ),
        ):
            function = option(function)
        return sql.command(name, help=SCRIPTS[name].summary)(function)

    return make


days_kept = click.option(
    "--days",
    type=click.IntRange(min=1),
    default=90,
    show_default=True,
    help="Keep all rows of the last so many days.",
)
"""How much of ``sync_report`` stays; the fleet's command has the same option."""

_one_connection = click.option(
    "--connection-id", default="", metavar="ID", help="This connection only."
)


@_script("apply-deletions")
@click.option(
    "--mode",
    type=click.Choice(["mark", "remove"]),
    default="mark",
    show_default=True,
    help="Keep the row and set its deleted_at, or remove it.",
)
@_one_connection
def apply_deletions(
    schema: str, execute: bool, dsn: str | None, mode: str, connection_id: str
) -> None:
    _deliver(
        render("apply-deletions", schema, mode=mode, connection_id=connection_id), execute, dsn
    )


@_script("reconcile")
@click.option(
    "--ignore-empty-reads",
    is_flag=True,
    help="A full read without any row proves nothing: Rutter answers the same for an object "
    "that was switched off.",
)
@_one_connection
def reconcile(
    schema: str, execute: bool, dsn: str | None, ignore_empty_reads: bool, connection_id: str
) -> None:
    values = {"connection_id": connection_id, "ignore_empty_reads": str(ignore_empty_reads).lower()}
    _deliver(render("reconcile", schema, **values), execute, dsn)


@_script("remove-connection")
@click.option("--connection-id", required=True, metavar="ID", help="The connection to remove.")
def remove_connection(schema: str, execute: bool, dsn: str | None, connection_id: str) -> None:
    if not connection_id:
        raise click.BadParameter("it must not be empty", param_hint="--connection-id")
    _deliver(render("remove-connection", schema, connection_id=connection_id), execute, dsn)


@_script("prune-report")
@days_kept
def prune_report(schema: str, execute: bool, dsn: str | None, days: int) -> None:
    _deliver(render("prune-report", schema, days=str(days)), execute, dsn)


@_script("report-views")
def report_views(schema: str, execute: bool, dsn: str | None) -> None:
    _deliver(render("report-views", schema), execute, dsn)


@_script("line-items")
def line_items(schema: str, execute: bool, dsn: str | None) -> None:
    _deliver(render("line-items", schema), execute, dsn)


@_script("indexes")
def indexes(schema: str, execute: bool, dsn: str | None) -> None:
    _deliver(render("indexes", schema), execute, dsn)


def _deliver(script: str, execute: bool, dsn: str | None) -> None:
    if not execute:
        click.echo(script, nl=False)
        return
    if not dsn:
        raise click.UsageError("--run needs --dsn or the variable WAREHOUSE_DSN")
    try:
        outcome = run(script, dsn)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from error
    click.echo(_table(outcome))


def _table(outcome: Outcome) -> str:
    """The outcome as a table with aligned columns, numbers to the right."""
    if not outcome.rows:
        return "nothing to do"
    cells = [outcome.columns, *(["" if v is None else str(v) for v in r] for r in outcome.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(outcome.columns))]
    numeric = [isinstance(value, int) for value in outcome.rows[0]]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    )
