"""Other people's targets: where they are installed, how they are set, what they have landed.

``make targets`` installs each into an environment of its own. What a target has landed is read back
without the target, by the database or a reader of the file format.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from support.meltano import ROOT, loader_command
from support.singer import Json, discovered
from support.warehouse import Row, Table, read_tables
from tap_rutter.demo.database import Database
from tap_rutter.streams import OPTIONAL

Rows = Mapping[str, list[Row]]
"""Rows by stream, in the order in which the target keeps them."""


def own_environment(package: str, command: str, *, before: tuple[int, int] | None = None) -> Path:
    """A command that ``make targets`` has installed into an environment of its own.

    Without it the calling test is skipped; where every check must run, it fails.

    Args:
        package: Name of the file in tests/targets.
        command: The command that the package brings.
        before: The first Python on which it cannot be installed.
    """
    found = ROOT / ".targets" / package / "bin" / command
    if found.exists():
        return found
    if before is not None and sys.version_info >= before:
        pytest.skip(f"{package} cannot be installed on Python {before[0]}.{before[1]} and newer")
    reason = f"{package} is not installed; `make targets` installs it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Target(ABC):
    """A target with its settings, and how its rows are read back."""

    folder: Path
    """For files, of this test alone."""
    database: Callable[[], Database]

    name: ClassVar[str]
    """As docs/targets.md has it."""
    is_keyed: ClassVar[bool] = True
    """Whether it keeps one row per key; otherwise it keeps every row that was delivered."""
    makes_doubles: ClassVar[bool] = False
    """Whether numbers with a fraction keep only some 15 digits."""
    empties_are_null: ClassVar[bool] = False
    """Whether an empty text cannot be told from null."""

    escapes_breaks: ClassVar[bool] = False
    r"""Whether a line break in a text lands as the two characters ``\n``, and a tab as ``\t``."""
    keeps_nested: ClassVar[bool] = True
    """Whether nested values can be read again as what they were."""

    @abstractmethod
    def command(self) -> Path:
        """The installed command; without it the calling test is skipped."""

    @abstractmethod
    def options(self) -> Json:
        """The target's configuration."""

    @abstractmethod
    def rows(self) -> Rows:
        """All rows that it has landed so far, by stream."""


class TargetPostgres(Target):
    name = "target-postgres (MeltanoLabs)"

    def command(self) -> Path:
        return loader_command("target-postgres")

    def options(self) -> Json:
        return {
            "sqlalchemy_url": self.database().sqlalchemy_url,
            "default_target_schema": "meltanolabs",
        }

    def rows(self) -> Rows:
        return _in_postgres(self.database(), "meltanolabs")


class TargetPostgresOfPipelinewise(Target):
    name = "target-postgres (PipelineWise)"
    makes_doubles = True
    escapes_breaks = True

    def command(self) -> Path:
        package = "pipelinewise-target-postgres"
        return own_environment(package, "target-postgres", before=(3, 12))

    def options(self) -> Json:
        address = urlsplit(self.database().uri)
        (folder,) = parse_qs(address.query)["host"]
        return {
            "host": folder,
            "port": 5432,
            "user": address.netloc.rstrip("@"),
            "password": "none is asked for",
            "dbname": address.path.strip("/"),
            "default_target_schema": "pipelinewise",
        }

    def rows(self) -> Rows:
        return _in_postgres(self.database(), "pipelinewise")


class TargetDuckDB(Target):
    name = "target-duckdb"
    makes_doubles = True

    def command(self) -> Path:
        return own_environment("target-duckdb", "target-duckdb", before=(3, 14))

    def options(self) -> Json:
        return {"filepath": str(self._file), "default_target_schema": "rutter"}

    @property
    def _file(self) -> Path:
        return self.folder / "landed.duckdb"

    def rows(self) -> Rows:
        # DuckDB's own package lives in the target's environment only.
        return _told_by(self.command().with_name("python"), _ASK_DUCKDB, str(self._file))


_ASK_DUCKDB = """
import json, sys
import duckdb

database = duckdb.connect(sys.argv[1], read_only=True)
found = {}
for (table,) in database.execute("select table_name from duckdb_tables()").fetchall():
    rows = database.execute(f'select * from rutter."{table}"')
    names = [column[0] for column in rows.description]
    found[table] = [dict(zip(names, row)) for row in rows.fetchall()]
json.dump(found, sys.stdout, default=str)
"""


class TargetJsonl(Target):
    name = "target-jsonl"
    is_keyed = False

    def command(self) -> Path:
        return loader_command("target-jsonl")

    def options(self) -> Json:
        return {"destination_path": str(self.folder), "do_timestamp_file": False}

    def rows(self) -> Rows:
        return {file.stem: json_lines(file) for file in self.folder.glob("*.jsonl")}


class TargetCsv(Target):
    name = "target-csv (MeltanoLabs)"
    is_keyed = False
    empties_are_null = True
    keeps_nested = False

    def command(self) -> Path:
        return own_environment("meltanolabs-target-csv", "target-csv")

    def options(self) -> Json:
        # Without the time in the name, each run replaces the files.
        return {
            "output_path": str(self.folder),
            "file_naming_scheme": "{stream_name}.{timestamp}.csv",
        }

    def rows(self) -> Rows:
        csv.field_size_limit(sys.maxsize)
        found: dict[str, list[Row]] = {}
        for file in sorted(self.folder.glob("*.csv")):
            stream, _, _ = file.name.partition(".")
            with file.open(encoding="utf-8", newline="") as lines:
                found.setdefault(stream, []).extend(csv.DictReader(lines))
        return found


TARGETS: tuple[type[Target], ...] = (
    TargetPostgres,
    TargetPostgresOfPipelinewise,
    TargetDuckDB,
    TargetJsonl,
    TargetCsv,
)


def _in_postgres(database: Database, schema: str) -> Rows:
    return {name: list(table.rows) for name, table in read_tables(database, schema).items()}


def _told_by(python: Path, script: str, *arguments: str) -> Rows:
    """What a script prints that another environment's Python runs."""
    told = subprocess.run(
        [python, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    found: Rows = json.loads(told.stdout)
    return found


def json_lines(file: Path) -> list[Row]:
    """The rows of a file with a JSON object per line, their numbers exact."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_float=Decimal) for line in lines]


# ---- rows in one form

_KINDS = {
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "object": "jsonb",
    "array": "jsonb",
    "string": "text",
}
_TIME = "timestamp without time zone"
_WORDS = {"0": False, "1": True, "false": False, "true": True}


@cache
def _declared(stream: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The key, and PostgreSQL's types for the columns, of a stream as the catalog declares it."""
    entries = discovered(*OPTIONAL)["streams"]
    entry = next(e for e in entries if e["tap_stream_id"] == stream)
    types = {}
    for name, declared_type in entry["schema"]["properties"].items():
        kind = next(kind for kind in declared_type["type"] if kind != "null")
        types[name] = _TIME if declared_type.get("format") == "date-time" else _KINDS[kind]
    return tuple(entry["key_properties"]), types


def as_table(stream: str, rows: Iterable[Row]) -> Table:
    """Rows as a table of the types that the catalog declares; of each key the last row.

    A column that is not declared fails, unless it is one that targets add.
    """
    key, types = _declared(stream)
    newest: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        own = {name: value for name, value in row.items() if not name.startswith("_sdc_")}
        unknown = own.keys() - types.keys()
        assert not unknown, f"{stream}: columns that the catalog does not declare: {unknown}"
        typed = {name: _typed(value, types[name]) for name, value in own.items()}
        newest[tuple(typed[name] for name in key)] = typed
    return Table(key, types, tuple(newest.values()))


def _typed(value: Any, kind: str) -> Any:
    """A value of a declared type, out of the form in which a file or a database gives it."""
    match kind:
        case "jsonb" if isinstance(value, str):
            return json.loads(value, parse_float=Decimal)
        case "numeric" | "bigint" if isinstance(value, str | float):
            return Decimal(str(value))
        case "boolean" if value is not None and not isinstance(value, bool):
            return _WORDS[str(value).lower()]
        case _:
            return value


def without_nested(stream: str, row: Row) -> Row:
    """A row without its columns of objects and arrays."""
    _, types = _declared(stream)
    return {name: value for name, value in row.items() if types.get(name) != "jsonb"}


def without_empties(row: Row) -> Row:
    """A row whose empty texts are null."""
    return {name: None if value == "" else value for name, value in row.items()}


def with_escapes(row: Row) -> Row:
    """A row whose texts have JSON's escapes in the place of line breaks and the like."""
    return {
        name: _escaped(value) if isinstance(value, str) else value for name, value in row.items()
    }


def _escaped(text: str) -> str:
    found = json.dumps(text, ensure_ascii=False)[1:-1]
    return found.replace('\\"', '"').replace("\\\\", "\\")


def through_doubles(value: Any) -> Any:
    """A value whose numbers with a fraction have passed through a double, nested ones too."""
    match value:
        case dict():
            return {name: through_doubles(entry) for name, entry in value.items()}
        case list():
            return [through_doubles(entry) for entry in value]
        case Decimal() | float():
            return Decimal(str(float(value))).normalize()
        case _:
            return value
