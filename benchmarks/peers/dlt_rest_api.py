"""dlt's ``rest_api`` source, extracted only or loaded into DuckDB.

With several workers the year is cut into as many windows. Each is a resource, and they are read in
parallel. dlt's documentation reads one endpoint with several threads in this way.

To read only new rows, each connection is a source, with a resource for each list and its own
``incremental``. Resources that depend on a list of connections would share one ``incremental``, and
miss rows of a connection that come later than those of another one.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import dlt  # type: ignore[import-not-found, unused-ignore]
from dlt.sources.rest_api import (  # type: ignore[import-not-found, unused-ignore]
    rest_api_source,
)


def windows(job: dict[str, Any]) -> list[dict[str, str]]:
    """Bounds of equal windows over the range, one for each worker; no bounds for one worker."""
    count, start, end = job["workers"], job["start_ms"], job["end_ms"]
    if count == 1:
        return [{}]
    edges = [start + (end - start) * index // count for index in range(count + 1)]
    return [
        # The rows have whole milliseconds, so none is read twice.
        {"updated_at_min": str(low), "updated_at_max": str(high - 1)}
        for low, high in pairwise(edges)
    ]


def resources(job: dict[str, Any]) -> list[dict[str, Any]]:
    """A resource for each window of one list of one connection."""
    [connection], [stream] = job["connections"], job["streams"]
    return [
        resource(job, connection, stream, str(number), bounds)
        for number, bounds in enumerate(windows(job))
    ]


def incremental_resources(job: dict[str, Any]) -> list[dict[str, Any]]:
    """A resource for each list of one connection, which continues from its state."""
    [connection] = job["connections"]
    return [
        resource(
            job,
            connection,
            stream,
            "new",
            {
                f"{stream['replication_key']}_min": {
                    "type": "incremental",
                    "cursor_path": stream["replication_key"],
                    "initial_value": job["start"],
                    "convert": milliseconds,
                }
            },
        )
        | {"processing_steps": [{"map": partial(belonging, connection["id"])}]}
        for stream in job["streams"]
    ]


def milliseconds(text: str) -> int:
    """A time in the form of the API's parameters."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def belonging(connection_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row with its connection."""
    row["connection_id"] = connection_id
    return row


def resource(
    job: dict[str, Any],
    connection: dict[str, str],
    stream: dict[str, str],
    name: str,
    bounds: dict[str, Any],
) -> dict[str, Any]:
    """One list of one connection, within bounds."""
    return {
        "name": f"{stream['name']}_{name}",
        "table_name": stream["name"],
        "endpoint": {
            "path": stream["path"].lstrip("/"),
            "data_selector": stream["key"],
            "params": {"access_token": connection["access_token"], "limit": job["page_size"]}
            | bounds,
        },
    }


def source(job: dict[str, Any]) -> Any:
    """The source of one connection."""
    return rest_api_source(
        {
            "client": {
                "base_url": job["api_url"],
                "headers": {"X-Rutter-Version": job["api_version"]},
                "auth": {
                    "type": "http_basic",
                    "username": job["client_id"],
                    "password": job["client_secret"],
                },
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "next_cursor",
                    "cursor_param": "cursor",
                },
            },
            "resource_defaults": {"primary_key": "id", "write_disposition": "append"},
            "resources": incremental_resources(job) if job["incremental"] else resources(job),
        },
        # Set on the source: on a resource it has no effect, as the server's log shows.
        parallelized=job["workers"] > 1,
        name=f"rutter_{job['connections'][0]['id'].replace('-', '')}",
    )


def main() -> None:
    """Read what the job asks for, and print how many rows were read."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(sys.argv[2])
    destination = sys.argv[3] if len(sys.argv) > 3 else None
    pipeline = dlt.pipeline(
        pipeline_name="orders",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "orders.duckdb")) if destination else None,
        dataset_name="rutter",
    )
    if destination:
        pipeline.run(source(job))
        rows = pipeline.last_trace.last_normalize_info.row_counts
    else:
        # The destination is not known yet.
        each = [job | {"connections": [connection]} for connection in job["connections"]]
        info = pipeline.extract([source(part) for part in each])
        rows = {}
        for metrics in info.metrics[info.loads_ids[0]]:
            for table, found in metrics["table_metrics"].items():
                rows[table] = rows.get(table, 0) + found.items_count
    names = [stream["name"] for stream in job["streams"]]
    print(json.dumps({"delivered": sum(rows.get(name, 0) for name in names)}))


if __name__ == "__main__":
    main()
