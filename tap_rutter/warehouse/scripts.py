"""The warehouse scripts, ready to run: each is one transaction in plain SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

DEFAULT_SCHEMA = "rutter"

# psql's own form of a variable that is quoted as a literal, so that the files look like SQL.
_PLACEHOLDER = re.compile(r":'([a-z_]+)'")


@dataclass(frozen=True)
class Script:
    """One warehouse script: its summary, and its values with their defaults.

    A value whose default is ``None`` must be given.
    """

    summary: str
    values: Mapping[str, str | None] = field(default_factory=dict)


SCRIPTS: Mapping[str, Script] = {
    "apply-deletions": Script(
        "Mark or remove the rows whose deletion Rutter reported.",
        {"mode": "mark", "connection_id": ""},
    ),
    "reconcile": Script(
        "Mark the rows that two complete full reads in a row did not deliver.",
        {"connection_id": "", "ignore_empty_reads": "false"},
    ),
    "remove-connection": Script(
        "Remove one connection's rows from every table.", {"connection_id": None}
    ),
    "prune-report": Script(
        "Remove old rows of sync_report, but for those that the other scripts go by.",
        {"days": "90"},
    ),
    "report-views": Script("Create the views sync_freshness and sync_completeness."),
    "line-items": Script("Create a view of single lines for each table with line items."),
    "indexes": Script("Create the indexes that models and these scripts search by."),
}


def literal(text: str) -> str:
    """The text as an SQL string literal, under any setting of standard_conforming_strings.

    Raises:
        ValueError: if the text holds a NUL character, which PostgreSQL cannot store.
    """
    if "\0" in text:
        message = "a PostgreSQL text cannot hold a NUL character"
        raise ValueError(message)
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


def render(name: str, schema: str = DEFAULT_SCHEMA, /, **values: str) -> str:
    """A script for one schema, as SQL text that psql or any driver can run.

    Args:
        name: one of ``SCRIPTS``.
        schema: the schema that the target loads into, unquoted.
        values: the script's values, as text; others have their defaults.

    Raises:
        KeyError: if there is no script of that name.
        ValueError: if a value is unknown or missing, or cannot be written in SQL.
    """
    script = SCRIPTS[name]
    if unknown := values.keys() - script.values.keys():
        message = f"{name} takes no {', '.join(sorted(unknown))}"
        raise ValueError(message)
    filled = {**script.values, **values, "schema": schema}

    def fill(placeholder: re.Match[str]) -> str:
        value = filled[placeholder[1]]
        if value is None:
            message = f"{name} needs {placeholder[1]}"
            raise ValueError(message)
        return literal(value)

    own = _PLACEHOLDER.sub(fill, _read(name.replace("-", "_")))
    return f"begin;\n\n{_read('catalogue')}\n{own}\ncommit;\n"


def _read(name: str) -> str:
    return files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
