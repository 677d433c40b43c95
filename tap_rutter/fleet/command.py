"""``rutterctl fleet``: the receiver, workers, and what an operator does to them."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import click
from rich.console import Console

from tap_rutter.config import read_json
from tap_rutter.errors import ConfigError, CredentialsRefused, TapError
from tap_rutter.fleet import show
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger, LedgerError
from tap_rutter.fleet.runs import asked
from tap_rutter.names import counted
from tap_rutter.redact import SECRETS, guard_logging
from tap_rutter.warehouse.command import days_kept

_Command: TypeAlias = Callable[..., Any]
_BAD_CONFIG, _FAILED, _REFUSED = 2, 1, 3


@click.group()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="RUTTER_FLEET_CONFIG",
    metavar="FILE",
    help="The fleet's configuration, a TOML file; variables RUTTER_FLEET_… win over it.",
)
@click.pass_context
def fleet(context: click.Context, path: Path | None) -> None:
    """Keep many connections fresh: webhooks, a ledger in PostgreSQL, and workers."""
    context.obj = path
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("singer_sdk").setLevel(logging.WARNING)  # it tells of each variable it reads
    guard_logging()


@contextmanager
def _told_in_words() -> Iterator[None]:
    """A user's mistake is one line and an exit code."""
    try:
        yield
    except ConfigError as error:
        click.echo(f"Error: {error.message}", err=True)
        sys.exit(_BAD_CONFIG)
    except TapError as error:
        click.echo(f"Error: {error.message}", err=True)
        sys.exit(_REFUSED if isinstance(error, CredentialsRefused) else _FAILED)
    except LedgerError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_FAILED)


def _with_config(function: _Command) -> _Command:
    """Give the command the checked configuration."""

    @click.pass_obj
    @functools.wraps(function)
    def wrapped(path: Path | None, *args: Any, **kwargs: Any) -> Any:
        with _told_in_words():
            config = FleetConfig.load(path)
            SECRETS.add(config.ledger_url, config.broker_url, config.target_database_url)
            return function(config, *args, **kwargs)

    return wrapped


def _with_ledger(function: _Command) -> _Command:
    """Give the command the configuration and a migrated ledger."""

    @_with_config
    @functools.wraps(function)
    def wrapped(config: FleetConfig, *args: Any, **kwargs: Any) -> Any:
        with Ledger(config.ledger_url, name="rutterctl") as ledger:
            ledger.migrate()
            return function(config, ledger, *args, **kwargs)

    return wrapped


@fleet.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, help="The port; 0 takes any free one.")
@_with_ledger
def serve(config: FleetConfig, ledger: Ledger, host: str, port: int) -> None:
    """Take Rutter's webhooks, at /webhooks; also /healthz, /readyz and /metrics.

    It speaks plain HTTP: put a proxy with TLS in front of it.
    """
    from tap_rutter.fleet.webhooks.serve import serve as take_webhooks

    with asked(config, for_runs=False) as config:
        take_webhooks(config, ledger, host=host, port=port)


@fleet.command()
@click.option(
    "--metrics-port", default=0, help="Serve Prometheus metrics on this port. Default: none."
)
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="And this address.")
@_with_config
def work(config: FleetConfig, metrics_port: int, metrics_host: str) -> None:
    """Claim what is due and run it, until SIGTERM or SIGINT."""
    from tap_rutter.fleet.work.worker import Worker

    with asked(config) as config:
        sys.exit(Worker(config, metrics_port=metrics_port, host=metrics_host).run())


@fleet.command()
@_with_ledger
def migrate(config: FleetConfig, ledger: Ledger) -> None:  # noqa: ARG001 - done by then
    """Bring the ledger's tables up to date; every other command does so too."""
    click.echo("The ledger is up to date.")


@fleet.command()
@click.option(
    "--new-api-version",
    is_flag=True,
    help="Then bring the fleet to this configuration's api_version, and read everything anew.",
)
@_with_ledger
def prepare(config: FleetConfig, ledger: Ledger, new_api_version: bool) -> None:
    """Have the target make its tables and columns now, as at a deployment.

    Workers do so by themselves before their first run; loads never change a table then.
    """
    from tap_rutter.fleet.work.place import TargetPlace

    config.check_target()
    with asked(config) as config:
        if not new_api_version:
            ledger.check_api_version(config.api_version)
        place = TargetPlace(config, ledger)
        try:
            place.prepare()
        finally:
            place.close()
        click.echo("The target's tables are prepared.")
        if new_api_version:
            count = ledger.change_api_version(config.api_version)
            click.echo(
                f"The fleet reads API version {config.api_version}."
                f" Connections to be read anew: {count}."
            )


@fleet.command()
@_with_ledger
def sweep(config: FleetConfig, ledger: Ledger) -> None:
    """List the connections now, and make due what has not been read for a while."""
    from tap_rutter.fleet.work.connection_list import ConnectionList

    with asked(config, for_runs=False) as config:
        listing = ConnectionList(config, ledger).refresh()
        due = ledger.make_due(config)
    click.echo(
        f"{len(listing.added)} added, {len(listing.revived)} revived, {len(listing.parked)} parked,"
        f" {len(listing.unlisted)} missing from Rutter's list; {due} became due."
    )


@fleet.command()
@click.argument("connection_ids", nargs=-1, metavar="[CONNECTION…]")
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
@_with_ledger
def status(
    config: FleetConfig,  # noqa: ARG001 - the ledger is enough
    ledger: Ledger,
    connection_ids: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what is due, what is running where, how far it is behind, and what is parked and why."""
    rows = ledger.status(connection_ids or None)
    facts = ledger.due(), ledger.lag(), ledger.paused(), ledger.speed(), ledger.api_version()
    if as_json:
        click.echo(show.as_json(rows, *facts))
    else:
        show.show(Console(highlight=False), rows, *facts)
    _say_unknown(connection_ids, {row.connection_id for row in rows})


def _say_unknown(asked: tuple[str, ...], known: set[str]) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown:
        click.echo(f"Error: the ledger does not know {', '.join(unknown)[:300]}.", err=True)
        sys.exit(_FAILED)


def _known(ledger: Ledger, connection_ids: tuple[str, ...]) -> None:
    rows = ledger.status(connection_ids, removed=True)
    _say_unknown(connection_ids, {row.connection_id for row in rows})


_connections = click.argument(
    "connection_ids", nargs=-1, required=True, metavar="CONNECTION [CONNECTION…]"
)


@fleet.command()
@_connections
@_with_ledger
def sync(config: FleetConfig, ledger: Ledger, connection_ids: tuple[str, ...]) -> None:  # noqa: ARG001
    """Read all streams of these connections as soon as a slot is free."""
    _known(ledger, connection_ids)
    ledger.make_dirty(*connection_ids)
    click.echo(f"Due: {len(connection_ids)}.")


@fleet.command()
@_connections
@click.option("--reason", default="by an operator", show_default=True, help="Shown by status.")
@_with_ledger
def park(
    config: FleetConfig,  # noqa: ARG001
    ledger: Ledger,
    connection_ids: tuple[str, ...],
    reason: str,
) -> None:
    """Run these connections no more until they are unparked."""
    _known(ledger, connection_ids)
    ledger.park(*connection_ids, reason=reason)
    click.echo(f"Parked: {len(connection_ids)}.")


@fleet.command()
@_connections
@_with_ledger
def unpark(config: FleetConfig, ledger: Ledger, connection_ids: tuple[str, ...]) -> None:  # noqa: ARG001
    """Run these connections again, at once."""
    _known(ledger, connection_ids)
    ledger.unpark(*connection_ids)
    click.echo(f"Unparked: {len(connection_ids)}.")


@fleet.command()
@click.argument("connection_id", metavar="CONNECTION")
@_with_ledger
def remove(config: FleetConfig, ledger: Ledger, connection_id: str) -> None:
    """Forget a connection, but for a tombstone that keeps it from being added again.

    A run that is at work on it is ended. Its rows in the warehouse stay: rutterctl sql
    remove-connection removes them.
    """
    from tap_rutter.fleet.work.place import end_sessions_of

    _known(ledger, (connection_id,))
    claim_id = ledger.remove(connection_id)
    if claim_id is not None:
        end_sessions_of(claim_id, config)
        ledger.bury(claim_id, config=config)
    click.echo(
        f"Removed. Its rows: rutterctl sql remove-connection --connection-id {connection_id} --run"
    )


@fleet.command()
@days_kept
@_with_config
def prune(config: FleetConfig, days: int) -> None:
    """Delete old rows of sync_report, but keep what `reconcile` goes by.

    The same as rutterctl sql prune-report --run, on the target's database.
    """
    from tap_rutter.warehouse.database import DatabaseError, run
    from tap_rutter.warehouse.scripts import render

    if not (config.target_database_url and config.target_schema):
        raise ConfigError(
            "Settings 'database_url' and 'schema' of [target] are missing: they say where"
            " sync_report is."
        )
    script = render("prune-report", config.target_schema, days=str(days))
    try:
        outcome = run(script, config.target_database_url)
    except DatabaseError as error:
        raise TapError(str(error)) from None
    for stream, removed, kept in outcome.rows:
        click.echo(f"{stream}: {counted(removed, 'row')} removed, {kept:,} kept.")


@fleet.group()
def state() -> None:
    """Move the tap's state between the ledger and a file, or Meltano."""


@state.command("export")
@_with_ledger
def export_state(config: FleetConfig, ledger: Ledger) -> None:  # noqa: ARG001
    """Print the state of all connections, as the tap takes it."""
    click.echo(json.dumps(ledger.export_state()))


@state.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@_with_ledger
def import_state(config: FleetConfig, ledger: Ledger, file: IO[str]) -> None:  # noqa: ARG001
    """Take over a state as the tap wrote it; with Meltano, what `meltano state get` shows."""
    from tap_rutter.sync.state import check_shape

    content = read_json(file, "state") or {}
    if isinstance(content.get("singer_state"), dict):
        content = content["singer_state"]
    check_shape(content)
    click.echo(f"Connections: {ledger.import_state(content)}.")
