"""The script that Rutter's guide leads to: one request after the other, all rows in memory.

A loop over the cursor with ``requests``, connection by connection and list by list; the rows are
gathered in one list and written at the end, as JSON lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import requests


def rows_of(job: dict[str, Any], stream: dict[str, str], token: str) -> list[dict[str, Any]]:
    """All rows of one list of one connection."""
    rows: list[dict[str, Any]] = []
    params = {"access_token": token, "limit": str(job["page_size"])}
    while True:
        response = requests.get(
            job["api_url"] + stream["path"],
            params=params,
            auth=(job["client_id"], job["client_secret"]),
            headers={"X-Rutter-Version": job["api_version"]},
            timeout=60,
        )
        response.raise_for_status()
        page = response.json()
        rows.extend(page[stream["key"]])
        if not page.get("next_cursor"):
            return rows
        params["cursor"] = page["next_cursor"]


def main() -> None:
    """Read all lists of all connections, then write."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    everything: list[dict[str, Any]] = []
    for connection in job["connections"]:
        for stream in job["streams"]:
            everything.extend(rows_of(job, stream, connection["access_token"]))
    for row in everything:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
