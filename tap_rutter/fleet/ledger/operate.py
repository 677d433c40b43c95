"""What an operator does to connections, and what is shown to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from tap_rutter.fleet.ledger import claims, marks, states
from tap_rutter.fleet.ledger.database import Transaction, storable
from tap_rutter.fleet.ledger.errors import LedgerError
from tap_rutter.fleet.model import ALL_STREAMS, Lane, Mark, State, Status
from tap_rutter.redact import redact_start

_LONGEST_REASON = 500


@dataclass(frozen=True)
class ConnectionStatus:
    """One connection as ``rutterctl fleet status`` shows it. Times are in UTC."""

    connection_id: str
    platform: str
    name: str | None
    rutter_status: str
    status: Status
    parked_by: str | None
    """status, unlisted, failures or operator."""
    parked_reason: str | None
    status_since: datetime
    lane: Lane | None
    """Where it is due; None if it is not, or is running."""
    due_since: datetime | None
    next_due: datetime | None
    """When it is due again, as far as that is known now."""
    claim_id: UUID | None
    worker: str | None
    """Who runs it now."""
    running_since: datetime | None
    lease_ended: bool
    """It is claimed, and its worker has not renewed the lease."""
    marks: int
    marked_since: datetime | None
    swept_at: datetime | None
    """When its last successful run of all streams began."""
    full_read_at: datetime | None
    lag_seconds: float | None
    """The age of its data: since its last run of all streams, or its oldest mark if that is older.
    None before its first run."""
    failures: int
    lost: int
    last_fault: str | None
    last_reason: str | None
    last_message: str | None
    expected_rows: int | None


_STATUS = """
    select
        c.connection_id, c.platform, c.name, c.rutter_status, c.status, c.parked_by,
        c.parked_reason, c.status_since, c.claim_id, c.swept_at, c.full_read_at,
        greatest(c.fresh_failures, c.sweep_failures) as failures, c.lost,
        c.last_fault, c.last_reason, c.last_message, c.sweep_rows as expected_rows,
        least(c.fresh_due, c.sweep_due, c.full_due) as next_due,
        case
            when c.claim_id is not null then null
            when c.fresh_due <= now() then 'fresh'
            when c.sweep_due <= now() and not c.bulk then 'sweep'
            when c.sweep_due <= now() or c.full_due <= now() then 'bulk'
        end as lane,
        l.worker, l.started_at as running_since,
        coalesce(l.expires_at <= clock_timestamp(), false) as lease_ended,
        coalesce(m.marks, 0) as marks, m.marked_since,
        extract(epoch from now() - least(c.swept_at, m.marked_since))::float8 as lag_seconds,
        c.read_once
    from rutter_fleet.connections as c
    left join rutter_fleet.claims as l on l.claim_id = c.claim_id and l.ended_at is null
    left join (
        select connection_id, count(*) as marks,
            min(coalesce(claimed_first_at, first_at)) as marked_since
        from rutter_fleet.marks
        where %(ids)s::text[] is null or connection_id = any(%(ids)s)
        group by connection_id
    ) as m using (connection_id)
    where (%(ids)s::text[] is null or c.connection_id = any(%(ids)s))
        and (%(removed)s or c.status <> 'removed')
    order by c.connection_id
"""


def status(
    transaction: Transaction, connection_ids: Sequence[str] | None, removed: bool
) -> list[ConnectionStatus]:
    """All connections, or those named, in the order of their ids."""
    values = {"ids": None if connection_ids is None else list(connection_ids), "removed": removed}
    shown = []
    for row in transaction.execute(_STATUS, values):
        read_once = row.pop("read_once")
        lane = row.pop("lane")
        shown.append(
            ConnectionStatus(
                **{
                    **row,
                    "status": Status(row["status"]),
                    "lag_seconds": row["lag_seconds"] if read_once else None,
                },
                lane=Lane(lane) if lane else None,
                due_since=row["next_due"] if lane else None,
            )
        )
    return shown


def known(transaction: Transaction, connection_ids: Iterable[str]) -> list[str]:
    """The ids, in order, each once, with the rows of their connections locked.

    Raises:
        LedgerError: one of them is not in the ledger.
    """
    ids = sorted(set(connection_ids))
    rows = transaction.execute(
        "select connection_id from rutter_fleet.connections where connection_id = any(%s)"
        " and status <> 'removed' order by connection_id for no key update",
        [ids],
    )
    if missing := sorted(set(ids) - {row["connection_id"] for row in rows}):
        raise LedgerError(
            f"The ledger does not know the connection {missing[0]}, or it was removed. Connections"
            " are added by the sweep, when Rutter lists them."
        )
    return ids


def make_dirty(transaction: Transaction, connection_ids: Iterable[str]) -> None:
    """All streams of the connections are due at once, whatever they were waiting for."""
    ids = known(transaction, connection_ids)
    marks.put(transaction, [Mark(id_, ALL_STREAMS) for id_ in ids], ())
    transaction.execute(
        "update rutter_fleet.connections set fresh_not_before = '-infinity',"
        " sweep_not_before = '-infinity' where connection_id = any(%s)",
        [ids],
    )


def park(transaction: Transaction, connection_ids: Iterable[str], reason: str) -> None:
    """Do not run the connections until they are unparked. A run that is at work ends in order."""
    transaction.execute(
        "update rutter_fleet.connections set status = 'parked', parked_by = 'operator',"
        " parked_reason = %(reason)s, status_since = clock_timestamp()"
        " where connection_id = any(%(ids)s)",
        {
            "ids": known(transaction, connection_ids),
            "reason": storable(redact_start(reason, _LONGEST_REASON)),
        },
    )


def unpark(transaction: Transaction, connection_ids: Iterable[str]) -> None:
    """Run the connections again, whoever parked them: at once, without their past failures."""
    transaction.execute(
        "update rutter_fleet.connections set status = 'active', parked_by = null,"
        " parked_reason = null, status_since = clock_timestamp(), sweep_at = clock_timestamp(),"
        " fresh_failures = 0, sweep_failures = 0, lost = 0, crowd = null,"
        " fresh_not_before = '-infinity', sweep_not_before = '-infinity', unlisted_since = null"
        " where connection_id = any(%s) and status = 'parked'",
        [known(transaction, connection_ids)],
    )


def remove(transaction: Transaction, connection_id: str) -> UUID | None:
    """Forget a connection but for its tombstone, and end the lease of a run that is at work on it.

    Returns:
        The claim that must be buried, as any whose lease has run out: until then its target may
        still be loading rows of the connection.

    Raises:
        LedgerError: the ledger does not know it, or another run has just begun: try again.
    """
    row = transaction.execute(
        "select claim_id from rutter_fleet.connections where connection_id = %s", [connection_id]
    ).fetchone()
    claim_id: UUID | None = row["claim_id"] if row else None
    if claim_id is not None:
        # The claim's row first, as everywhere: else this and its run would wait for each other.
        transaction.execute(
            "update rutter_fleet.claims set expires_at = least(expires_at, clock_timestamp())"
            " where claim_id = %s and ended_at is null",
            [claim_id],
        )
    locked = transaction.execute(
        "select claim_id from rutter_fleet.connections where connection_id = %s for no key update",
        [connection_id],
    ).fetchone()
    if locked is None:
        raise LedgerError(f"The ledger does not know the connection {connection_id}.")
    if locked["claim_id"] not in (None, claim_id):
        raise LedgerError(f"A run of the connection {connection_id} has just begun. Try again.")
    transaction.execute(
        "update rutter_fleet.connections set status = 'removed', parked_by = null,"
        " parked_reason = null, name = null, status_since = clock_timestamp(), marked_at = null,"
        " whole_at = null, grown_at = null, sweep_at = null, full_at = null, last_reason = null,"
        " last_message = null where connection_id = %s",
        [connection_id],
    )
    for table in ("marks", "states", "deletions"):
        transaction.execute(
            f"delete from rutter_fleet.{table} where connection_id = %s", [connection_id]
        )
    for row in transaction.execute(
        "select platform, shared from rutter_fleet.platforms order by platform for no key update"
    ).fetchall():
        shared = states.without_connection(row["shared"], connection_id)
        if shared != row["shared"]:
            transaction.execute(
                "update rutter_fleet.platforms set shared = %s where platform = %s",
                [Jsonb(shared), row["platform"]],
            )
    return claim_id if locked["claim_id"] is not None else None


def export_state(transaction: Transaction) -> State:
    """One state of all connections, as the tap or Meltano takes it."""
    rows = transaction.execute("select state from rutter_fleet.states order by connection_id")
    kept = [row["state"] for row in rows]
    shared: State = {}
    for row in transaction.execute(
        "select shared from rutter_fleet.platforms order by platform = '*', platform"
    ):
        shared = states.merged({}, row["shared"], shared) if shared else row["shared"]
    return states.join(kept, shared)


def import_state(transaction: Transaction, state: State) -> int:
    """Take a state over, in place of what the ledger has of the connections in it.

    Connections that the ledger does not know yet have their state when the listing adds them.

    Returns:
        How many connections it is of.

    Raises:
        ConfigError: it is not a state of this tap; the message names the place.
        LedgerError: one of them is running: the run would write over it.
    """
    from tap_rutter.sync.state import check_shape  # brings the SDK, which nothing else here needs

    check_shape(state)
    own, shared = states.cut(state)
    ids = sorted(own)
    rows = transaction.execute(
        "select connection_id, platform, claim_id, status from rutter_fleet.connections"
        " where connection_id = any(%s) order by connection_id for no key update",
        [ids],
    ).fetchall()
    if running := [row["connection_id"] for row in rows if row["claim_id"] is not None]:
        raise LedgerError(
            f"{len(running)} of the connections are running, such as {running[0]}. Pause the fleet,"
            " wait until none is running, and import again."
        )
    removed = {row["connection_id"] for row in rows if row["status"] == "removed"}
    ids = [connection_id for connection_id in ids if connection_id not in removed]
    transaction.execute(
        "insert into rutter_fleet.states (connection_id, state, saved_at)"
        " select u.*, clock_timestamp() from unnest(%s::text[], %s::jsonb[]) as u"
        " on conflict (connection_id) do update set state = excluded.state,"
        " saved_at = excluded.saved_at, claim_id = null",
        [ids, [Jsonb(own[connection_id]) for connection_id in ids]],
    )
    transaction.execute(
        "update rutter_fleet.connections set read_once = true where connection_id = any(%s)", [ids]
    )
    if shared:
        platforms = transaction.execute(
            "select distinct platform from rutter_fleet.connections order by 1"
        )
        for platform in ["*", *(row["platform"] for row in platforms)]:
            # For '*' it stays whole: each platform takes its part with its first claim.
            part = shared if platform == "*" else states.of_platform(shared, platform)
            now = {} if platform == "*" else claims.shared_of(transaction, platform)
            transaction.execute(
                "insert into rutter_fleet.platforms (platform, shared) values (%s, %s)"
                " on conflict (platform) do update set shared = excluded.shared",
                [platform, Jsonb(states.merged({}, part, now))],
            )
    return len(ids)
