"""A ledger's balance sheets, and jobs by which they come later."""

from __future__ import annotations

from support.singer import Messages
from tap_rutter.simulator import Connection, World

STREAM, PATH = "accounting_balance_sheets", "/accounting/balance_sheets"
PROMISE = '{"async_response":{"id":"j","status":"prequeued","response_url":"https://r/jobs/j"}}'


def ledger() -> tuple[World, Connection]:
    """A ledger on 2 March 2026, with some 27 months of statements."""
    world = World(7)
    return world, world.add_connection("QUICKBOOKS")


def job_of(body: str) -> str:
    """A job that has succeeded, with the JSON text of its answer's body."""
    return f'{{"id":"j","status":"success","response":{{"http_status":200,"body":{body}}}}}'


def months(messages: Messages, stream: str = STREAM) -> list[str]:
    """The months that were delivered, oldest first; one that came twice is there twice."""
    return sorted(row["start_date"][:7] for row in messages.records[stream])
