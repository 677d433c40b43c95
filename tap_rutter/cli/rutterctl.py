"""``rutterctl``, the operator's command.

Each command imports the packages of an extra in its body. So the help, and the commands that need
no extra, work wherever the tap itself is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from tap_rutter import __version__
from tap_rutter.warehouse.command import sql


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import the packages of an extra inside this block.

    Raises:
        click.ClickException: when one is not installed: one line that says what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "tap_rutter":
            raise
        raise click.ClickException(
            f'the package {package} is not installed; run: pip install "tap-rutter[{extra}]"'
        ) from error


class _Main(click.Group):
    """The commands; ``fleet`` is a group of its own, which is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in order."""
        return sorted([*super().list_commands(ctx), "fleet"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; without its extra ``fleet`` only says what to install."""
        if cmd_name != "fleet":
            return super().get_command(ctx, cmd_name)
        try:
            with needs("fleet"):
                from tap_rutter.fleet.command import fleet
        except click.ClickException as error:
            return _missing(error)
        return fleet


def _missing(error: click.ClickException) -> click.Command:
    def say(**_: object) -> None:
        raise error

    return click.Command(
        "fleet",
        callback=say,
        params=[click.Argument(["args"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
        short_help='Keep many connections fresh (needs "tap-rutter[fleet]").',
    )


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rutterctl")
def main() -> None:
    """Try tap-rutter out, and operate it."""


@main.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def simulate(context: click.Context, args: tuple[str, ...]) -> None:
    """Serve a simulated Rutter on this machine."""
    from tap_rutter.simulator.__main__ import main as serve

    context.exit(serve(list(args), command=context.command_path))


@main.command()
@click.option(
    "--psql",
    "shell",
    is_flag=True,
    help="Look at what the last demo landed: start its PostgreSQL again and open psql on it."
    " Arguments after -- go to psql.",
)
@click.option(
    "--fleet",
    is_flag=True,
    help="Show a fleet instead: webhooks, a receiver, two workers of which one is killed, and how"
    " long rows take. Rutter is simulated.",
)
@click.argument("psql_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def demo(context: click.Context, shell: bool, fleet: bool, psql_args: tuple[str, ...]) -> None:
    """Sync Rutter into an embedded PostgreSQL, twice, and show what landed.

    Rutter is simulated, unless RUTTER_CLIENT_ID and RUTTER_CLIENT_SECRET are set, in the
    environment or in a file .env in this folder. All that the demo makes is in the folder .demo.
    """
    if psql_args and not shell:
        raise click.UsageError("arguments are for --psql only")
    if shell and fleet:
        raise click.UsageError("--psql looks at what either demo landed: leave --fleet out")
    if fleet:
        with needs("demo,fleet"):
            import celery  # noqa: F401 - of the extra fleet, whose processes are started

            from tap_rutter.demo import fleet as the_fleet
        context.exit(the_fleet.main(Path.cwd()))
    with needs("demo"):
        from tap_rutter import demo as the_demo
    try:
        if shell:
            context.exit(the_demo.psql(Path.cwd(), list(psql_args)))
        context.exit(the_demo.main(Path.cwd()))
    except the_demo.DemoError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option(
    "--config",
    "files",
    multiple=True,
    metavar="FILE|ENV",
    help="Settings, as the tap takes them: a JSON file, or ENV for variables such as"
    " TAP_RUTTER_CLIENT_ID, also from a file .env in this folder. Without it: ENV.",
)
@click.pass_context
def check(context: click.Context, files: tuple[str, ...]) -> None:
    """Show how the merchant connections stand; no data are read.

    For each connection: platform, status, whether it is ready, how many kinds of objects it can
    serve, how long ago Rutter last synced it, and why it is not read. In a pipe each has one line.
    Keys are found as the demo and Meltano find them: RUTTER_CLIENT_ID and RUTTER_CLIENT_SECRET do,
    in the environment or in a file .env in this folder. Exits with 1 where one cannot be read.
    """
    with needs("cli"):
        from rich.console import Console

        from tap_rutter.cli import check as the_check
    from tap_rutter.errors import ConfigError, TapError

    try:
        config = the_check.read_settings(files, Path.cwd())
        context.exit(the_check.check(config, Console(highlight=False)))
    except TapError as error:
        click.echo(f"Error: {error.message}", err=True)
        context.exit(2 if isinstance(error, ConfigError) else 1)


@main.command()
@click.option(
    "--output",
    default="dbt_rutter",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write.",
)
@click.option(
    "--config",
    "files",
    multiple=True,
    metavar="FILE|ENV",
    help="The tap's settings, as the tap takes them; they decide which streams there are. No keys"
    " are needed.",
)
@click.option(
    "--catalog",
    type=click.File(encoding="utf-8"),
    help="The tap's catalog, which selects streams and columns. Without it: all.",
)
def dbt(output: Path, files: tuple[str, ...], catalog: IO[str] | None) -> None:
    """Write a dbt package for the tables that the selected streams are loaded into.

    Sources with descriptions and freshness, tests, staging models without deleted rows, line items,
    and models of open invoices and bills, monthly revenue, and cash by day. For PostgreSQL.
    """
    with needs("dbt"):
        from tap_rutter.dbt.command import write_package
    from tap_rutter.errors import ConfigError

    try:
        package = write_package(
            output,
            [name for name in files if name != "ENV"],
            catalog,
            from_variables="ENV" in files,
        )
    except ConfigError as error:
        click.echo(f"Error: {error.message}", err=True)
        raise SystemExit(2) from None
    click.echo(f"{len(package.files)} files are in {output}; its README.md says how to go on.")
    for mart, missing in package.left_out.items():
        click.echo(f"Not written: {mart}, which needs {', '.join(missing)}.", err=True)


main.add_command(sql)
