"""A target that keeps one row per key, and commits a STATE after what came before it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from support.in_process import REPORT

Json = dict[str, Any]


def key_of(stream: str) -> str:
    """The column that tells the rows of a stream apart within a connection."""
    return "start_date" if stream == "accounting_balance_sheets" else "id"


class Store:
    """Tables by stream and connection, rows by id, and the last STATE committed."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], dict[str, Json]] = {}
        self.state: Json | None = None

    def take(self, lines: Iterable[Json], *, commit: bool = True) -> None:
        """Keep all records, and the states unless the target never came to commit them."""
        for line in lines:
            if line.get("stream") == REPORT:
                continue  # says how it went; what is there is read from the rows alone
            if line["type"] == "RECORD":
                record = line["record"]
                table = self.tables.setdefault((line["stream"], record["connection_id"]), {})
                table[record[key_of(line["stream"])]] = record
            elif line["type"] == "STATE" and commit:
                self.state = line["value"]

    def rows(self, stream: str, connection_id: str) -> dict[str, Json]:
        """A connection's rows in the table of a stream, by id."""
        return self.tables.get((stream, connection_id), {})
