"""What holds for the whole fleet: pauses, the sweep's turn, the speed, the lanes' doorbells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tap_rutter.fleet.ledger.claims import QUEUES, heads
from tap_rutter.fleet.ledger.database import Transaction, storable
from tap_rutter.fleet.model import Lane
from tap_rutter.redact import redact_start

_LONGEST_REASON = 500
_SLOWEST = 0.05
# Many workers meet the same burst of 429s: together they halve the speed once.
_WANTED_SECONDS = 30
_SLOW_DOWN_SECONDS = 10
_DOUBLES_IN_SECONDS = 60.0

# As it is now: it doubles each minute after it was lowered, up to the whole.
_SPEED = f"""
    least(1, speed * power(2, least(60, greatest(0, coalesce(
        extract(epoch from clock_timestamp() - slowed_at), 0
    )) / {_DOUBLES_IN_SECONDS})))
"""


def pause(transaction: Transaction, reason: str, seconds: float) -> None:
    """Let nothing be claimed for so long; a pause that lasts longer already stays."""
    transaction.execute(
        """
        update rutter_fleet.fleet
        set pause_reason = %(reason)s,
            paused_until = clock_timestamp() + make_interval(secs => %(seconds)s)
        where paused_until is null
            or paused_until < clock_timestamp() + make_interval(secs => %(seconds)s)
        """,
        {"reason": storable(redact_start(reason, _LONGEST_REASON)), "seconds": seconds},
    )


def paused(transaction: Transaction) -> str | None:
    """Why nothing is claimed now; None while things are claimed."""
    row = transaction.execute(
        "select pause_reason from rutter_fleet.fleet where paused_until > clock_timestamp()"
    ).fetchone()
    return row["pause_reason"] or "paused" if row else None


def resume(transaction: Transaction) -> None:
    """End a pause, whatever its reason."""
    transaction.execute(
        "update rutter_fleet.fleet set paused_until = null, pause_reason = null"
        " where paused_until is not null"
    )


def want_listing(transaction: Transaction) -> None:
    """Have the connections listed soon: a webhook said that one stands otherwise."""
    transaction.execute(
        "update rutter_fleet.fleet set listing_wanted_at = clock_timestamp()"
        " where listing_wanted_at is null"
    )


def take_sweep(transaction: Transaction, every_seconds: float) -> bool:
    """Whether the caller has won this sweep: it is one of one interval, and one worker's.

    A listing that webhooks want comes sooner, but not more often than twice a minute.
    """
    won = transaction.execute(
        """
        update rutter_fleet.fleet
        set sweep_taken_at = clock_timestamp(), listing_wanted_at = null
        where sweep_taken_at is null
            or sweep_taken_at <= clock_timestamp() - make_interval(secs => %s)
            or (
                listing_wanted_at is not null
                and sweep_taken_at <= clock_timestamp() - make_interval(secs => %s)
            )
        returning true as won
        """,
        [every_seconds, _WANTED_SECONDS],
    ).fetchone()
    return won is not None


def slow_down(transaction: Transaction) -> None:
    """Halve the speed of the whole fleet, unless somebody did so in the last seconds."""
    transaction.execute(
        f"""
        update rutter_fleet.fleet
        set speed = greatest({_SLOWEST}, {_SPEED} / 2), slowed_at = clock_timestamp()
        where slowed_at is null
            or slowed_at <= clock_timestamp() - make_interval(secs => {_SLOW_DOWN_SECONDS})
        """
    )


def speed(transaction: Transaction) -> float:
    """The factor by which the fleet works now, above 0 up to 1."""
    row = transaction.execute(f"select {_SPEED} as speed from rutter_fleet.fleet").fetchone()
    return float(row["speed"]) if row else 1.0


def due(transaction: Transaction) -> dict[Lane, int]:
    """How many connections are due in each lane; one that is due twice counts once in a lane."""
    row = _one(
        transaction,
        "select "
        + ", ".join(
            f"(select count(*) from rutter_fleet.connections where claim_id is null"
            f" and {queue.waiting} and {queue.due} <= now(){_not_twice(queue.full_read)})"
            f" as q{index}"
            for index, queue in enumerate(QUEUES)
        ),
    )
    counts = dict.fromkeys(Lane, 0)
    for index, queue in enumerate(QUEUES):
        counts[queue.lane] += row[f"q{index}"]
    return counts


def _not_twice(full_read: bool) -> str:
    return " and not (bulk and sweep_due is not null and sweep_due <= now())" if full_read else ""


def lag(transaction: Transaction) -> dict[Lane, float]:
    """For how many seconds the oldest of each lane has been due; 0 where none is."""
    oldest = dict.fromkeys(Lane, 0.0)
    for queue in QUEUES:
        row = _one(
            transaction,
            f"select extract(epoch from now() - min(due)) as age from ({heads(queue)}) as heads",
        )
        oldest[queue.lane] = max(oldest[queue.lane], float(row["age"] or 0))
    return oldest


def is_due(transaction: Transaction) -> dict[Lane, bool]:
    """Whether anything is due in each lane: cheaper than to count it."""
    row = _one(
        transaction,
        "select "
        + ", ".join(
            f"exists (select from rutter_fleet.connections where claim_id is null"
            f" and {queue.waiting} and {queue.due} <= now()) as q{index}"
            for index, queue in enumerate(QUEUES)
        ),
    )
    found = dict.fromkeys(Lane, False)
    for index, queue in enumerate(QUEUES):
        found[queue.lane] |= row[f"q{index}"]
    return found


def ring(transaction: Transaction) -> list[Lane]:
    """Lanes that turned from idle to due since this was last asked; each is told to one caller."""
    if paused(transaction) is not None:
        return []
    rung = {
        row["lane"]: row["rung"]
        for row in transaction.execute("select lane, rung from rutter_fleet.lanes")
    }
    told = []
    for lane, waits in is_due(transaction).items():
        if rung.get(lane) == waits:
            continue
        won = transaction.execute(
            "update rutter_fleet.lanes set rung = %s where lane = %s and rung <> %s"
            " returning true as won",
            [waits, lane, waits],
        ).fetchone()
        if won is not None and waits:
            told.append(lane)
    return told


def found_idle(transaction: Transaction, lane: Lane) -> None:
    """A worker found nothing to claim: the next that is due there is worth a doorbell again."""
    transaction.execute(
        "update rutter_fleet.lanes set rung = false where lane = %s and rung", [lane]
    )


def _one(transaction: Transaction, query: str) -> Mapping[str, Any]:
    row = transaction.execute(query).fetchone()
    assert row is not None
    return row
