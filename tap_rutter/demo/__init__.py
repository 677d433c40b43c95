"""``rutterctl demo``: Rutter, this tap under Meltano, target-postgres, PostgreSQL, end to end.

Rutter is simulated, unless there are keys for the real API. Everything else is what a user would
run: Meltano, the tap, target-postgres, and a PostgreSQL with its data in a folder.

What only the demo needs belongs here: its database, its Meltano project, the changes at its
simulated Rutter, its tables of results. It may import the tap, the simulator and the command line.
Only the command ``rutterctl`` imports it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table

from tap_rutter.demo import database, report
from tap_rutter.demo.database import Database
from tap_rutter.demo.pipeline import DemoError, Project
from tap_rutter.demo.world import let_things_happen, rows_shown
from tap_rutter.simulator import Simulator, standard_world
from tap_rutter.tap import TapRutter

__all__ = ["DemoError", "main", "psql"]

FOLDER = ".demo"


@dataclass(frozen=True)
class Keys:
    """Client id and secret of a Rutter organisation."""

    client_id: str
    client_secret: str

    @classmethod
    def find(cls, folder: Path) -> Keys | None:
        """From the environment or the folder's .env; a variable, even an empty one, wins.

        Raises:
            DemoError: when there is only one of the two.
        """
        known = {**dotenv_values(folder / ".env"), **os.environ}
        found = {
            name: known.get(f"RUTTER_{name}", known.get(f"TAP_RUTTER_{name}")) or ""
            for name in ("CLIENT_ID", "CLIENT_SECRET")
        }
        missing = [f"RUTTER_{name}" for name, value in found.items() if not value]
        if len(missing) == len(found):
            return None
        if missing:
            raise DemoError(f"{missing[0]} is missing: the real API needs both keys.")
        return cls(found["CLIENT_ID"], found["CLIENT_SECRET"])

    def settings(self) -> dict[str, str]:
        """As environment variables of the tap."""
        return {
            "TAP_RUTTER_CLIENT_ID": self.client_id,
            "TAP_RUTTER_CLIENT_SECRET": self.client_secret,
        }


def main(folder: Path) -> int:
    """Run the demo in a folder and print what landed.

    Returns:
        The exit code: 0, or 1 if a run on the real API failed or PostgreSQL does not hold what the
        simulator shows.

    Raises:
        DemoError: when a part of the demo does not work.
    """
    keys = Keys.find(folder)
    demo = folder / FOLDER
    database.remove(demo / "postgres")
    shutil.rmtree(demo, ignore_errors=True)
    demo.mkdir()
    signal.signal(signal.SIGTERM, _terminated)
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    if os.geteuid() == 0:
        progress.print(
            "As root: PostgreSQL runs as the system user pgserver, which is made if need be and"
            " may enter the folders above this one."
        )
    with database.running(demo / "postgres") as postgres:
        postgres.prepare()
        the_demo = _Demo(demo, Project.find(folder, demo), postgres, progress)
        right = the_demo.real(keys) if keys else the_demo.simulated()
    _tell_how_to_look()
    return 0 if right else 1


@dataclass(frozen=True)
class _Demo:
    folder: Path
    project: Project
    postgres: Database
    progress: Console

    def simulated(self) -> bool:
        """Two runs on a simulated Rutter; returns whether PostgreSQL holds what Rutter shows."""
        world = standard_world()
        with Simulator(world) as rutter:
            self.progress.print(
                f"Rutter is simulated, at {rutter.api_url}; Meltano, tap, target and PostgreSQL"
                " are real."
            )
            settings = {
                **Keys(rutter.client_id, rutter.client_secret).settings(),
                "TAP_RUTTER_API_URL": rutter.api_url,
            }
            self._sync("First run", settings)
            first = self.postgres.tables()
            with world.lock:
                changes = let_things_happen(world)
            self.progress.print(
                f"Half a day passes at Rutter: {sum(c.created for c in changes.values())} rows are"
                f" made, {sum(c.updated for c in changes.values())} changed,"
                f" {sum(c.deleted for c in changes.values())} deleted."
            )
            self._sync("Second run", settings)
            second = self.postgres.tables()
            deleted = self.postgres.deleted()
            lines = [
                report.line(
                    name,
                    rows_shown(world, path),
                    first.get(name, report.NOTHING),
                    second.get(name, report.NOTHING),
                    deleted.get(name, set()),
                    changes.get(path),
                )
                for name, path in _paths().items()
            ]
        _print(report.comparison(lines))
        wrong = report.wrong(lines)
        if wrong:
            self.progress.print(
                f"[red]PostgreSQL does not hold what Rutter shows:[/red] {', '.join(wrong)}"
            )
        return not wrong

    def real(self, keys: Keys) -> bool:
        """One run on the real API; returns whether it ended well."""
        self.progress.print("The keys for the real API are set: nothing here is simulated.")
        try:
            self._sync("Run", keys.settings())
        except DemoError as error:
            # The streams that did not fail have landed.
            self.progress.print(str(error), markup=False)
            failed = True
        else:
            failed = False
        tables = self.postgres.tables()
        if tables:
            _print(report.inventory(tables))
        return not failed

    def _sync(self, title: str, settings: dict[str, str]) -> None:
        log = self.folder / f"{title.lower().replace(' ', '-')}.log"
        seconds = self.project.run(
            title,
            settings={
                **settings,
                "TARGET_POSTGRES_SQLALCHEMY_URL": self.postgres.sqlalchemy_url,
                "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": database.SCHEMA,
                # Bookmarks of the demo stay apart from those of other runs in this project.
                "MELTANO_DATABASE_URI": f"sqlite:///{(self.folder / 'meltano.db').resolve()}",
            },
            log=log,
            console=self.progress,
        )
        self.progress.print(f"{title}: meltano run tap-rutter target-postgres, {seconds:.1f} s")


def psql(folder: Path, arguments: list[str]) -> int:
    """Open psql on the database of the last demo in a folder.

    Returns:
        psql's exit code.

    Raises:
        DemoError: if the demo has not been run yet.
    """
    data = folder / FOLDER / "postgres"
    if not (data / "PG_VERSION").is_file():
        raise DemoError(f"nothing has landed yet; first run: {_commands()[0]}")
    with database.running(data) as postgres:
        if not arguments:
            print(f"Until you leave psql, other clients find the data at {postgres.uri}")
        with subprocess.Popen([postgres.psql, postgres.uri, *arguments]) as process:
            # psql handles Control-C itself: it ends a query, not the session.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return process.wait()


def _paths() -> dict[str, str]:
    """The streams that are read from Rutter, each with the path of its list."""
    streams = TapRutter(config={}, validate_config=False).rutter_streams
    return {stream.name: stream.path for stream in streams if stream.path}


def _tell_how_to_look() -> None:
    _, shell, query = _commands()
    print(f"To look at the tables (schema {database.SCHEMA}):")
    print(f"  {shell:<56}opens psql; \\dt lists the tables")
    print(f"  {query}")


def _commands() -> tuple[str, str, str]:
    """The commands to run the demo, to open psql and to run one query, in the current folder."""
    question = "select platform, status, count(*) from connections group by 1, 2"
    if "MAKELEVEL" in os.environ:
        return "make demo", "make psql", f"make psql SQL='{question}'"
    shell = "rutterctl demo --psql"
    return "rutterctl demo", shell, f'{shell} -- --command "{question}"'


def _print(grid: Table) -> None:
    print()
    Console(highlight=False).print(grid)
    print()


def _terminated(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)
