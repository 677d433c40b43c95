"""The words that the parts of the fleet share. Times are aware, in UTC."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

ALL_STREAMS = "*"
"""Stands for every stream of a connection, as in ``sync_report``."""

CHILDREN: Mapping[str, str] = {
    # No webhook tells of attachments. They are read again where their parent has changed, so the
    # parent's mark, which bears Rutter's own time, serves for both.
    "accounting_bank_deposits": "accounting_bank_deposit_attachments",
    "accounting_bank_transfers": "accounting_bank_transfer_attachments",
    "accounting_bills": "accounting_bill_attachments",
    "accounting_expenses": "accounting_expense_attachments",
    "accounting_invoices": "accounting_invoice_attachments",
    "accounting_journal_entries": "accounting_journal_entry_attachments",
}
"""A stream of which webhooks tell, and the stream whose rows hang under its rows."""

State: TypeAlias = dict[str, Any]
"""A tap's state in the form that a STATE message carries; of one connection where it says so."""


class Lane(enum.StrEnum):
    """What a slot may take, by how long somebody waits for it."""

    FRESH = "fresh"
    """A webhook told of changes: seconds matter."""
    SWEEP = "sweep"
    """Not read for a while: minutes matter."""
    BULK = "bulk"
    """Many rows are expected: a first read, history that has grown, a full read."""


class Status(enum.StrEnum):
    """Whether a connection takes part."""

    ACTIVE = "active"
    PARKED = "parked"
    """Not run until somebody, or its status at Rutter, says otherwise."""
    REMOVED = "removed"
    """A tombstone: not added again by a listing."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One connection as Rutter lists it. It holds no secret: the ledger keeps none."""

    id: str
    platform: str
    status: str
    """Rutter's word: active, unhealthy, not_ready, needs_reauth, disabled."""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """What is dirty: a stream of a connection, or all of them."""

    connection_id: str
    stream: str
    """The stream's name, or ``ALL_STREAMS``."""
    since: datetime | None = None
    """The oldest change that was told of; None where the webhook bears no time."""
    grown: bool = False
    """Older rows have come (history was completed, a backfill ended): the whole connection is read
    by a run of all streams, in the bulk lane where its history is large. ``stream`` is
    ``ALL_STREAMS``, and ``since`` None."""


LISTING = Mark("*", ALL_STREAMS)
"""Not about data: the connections themselves are to be listed soon. No connection has this id."""


@dataclass(frozen=True, slots=True)
class ClaimedMark:
    """A mark as a run found it. It is cleared only if ``seq`` has not moved since."""

    stream: str
    seq: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A ``*_DELETED`` webhook: for commerce there is no other source."""

    body_sha256: str
    """Of the webhook's raw body, in hex; its key, so that a repeated one keeps its first time."""
    connection_id: str
    stream: str
    object_id: str
    deleted_at: datetime | None
    """What the payload says, where it says anything."""
    state_at: datetime | None = None
    """How old the last state is that the payload shows: its last_synced_at, or its updated_at for
    commerce. A row that is newer has come back."""


@dataclass(frozen=True, slots=True)
class Member:
    """One connection of a claim, with all that a run of it needs but its token."""

    connection_id: str
    platform: str
    rutter_status: str
    state: State | None
    """Of this connection alone; None before its first STATE."""
    marks: tuple[ClaimedMark, ...]
    expected_rows: int | None
    """What its last runs of this lane delivered; None before the first."""
    last_seconds: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on some connections: nobody else runs them until it ends."""

    id: UUID
    lane: Lane
    platform: str
    members: tuple[Member, ...]
    lease_seconds: float
    full_read: bool = False
    """The nightly read of everything that reconcile needs."""
    shared_state: State = field(default_factory=dict)
    """What the state remembers of the platform and not of a connection: lists not served."""

    @property
    def connection_ids(self) -> tuple[str, ...]:
        """Its members' ids, in order."""
        return tuple(member.connection_id for member in self.members)


class Fault(enum.StrEnum):
    """Whose fault a failure is."""

    CONNECTION = "connection"
    """Its own outcome: it backs off, and is parked after several."""
    RUN = "run"
    """Tap or target died: its members are run alone next, and only runs alone count."""
    FLEET = "fleet"
    """Settings, credentials, database, network: claiming pauses, and nobody is parked."""


@dataclass(frozen=True, slots=True)
class ConnectionOutcome:
    """What a run did for one connection."""

    connection_id: str
    succeeded: bool
    """All that was asked for has been delivered, or was skipped for a benign reason."""
    reason: str | None = None
    """``sync_report``'s reason of the worst partition, such as needs_reauth."""
    message: str = ""
    """For people; redacted."""
    rows: int = 0
    requests: int = 0
    failed_streams: tuple[str, ...] = ()
    """Streams that were not read to their ends; one whose child was not, as well. Empty where
    nothing failed, or the connection failed as a whole."""
    read_others: bool = False
    """Whether another stream was read to its end, so that it is not the connection that fails."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. The states were handed over while it ran."""

    outcomes: tuple[ConnectionOutcome, ...]
    """One per member; empty unless ``fault`` is None or CONNECTION."""
    seconds: float
    fault: Fault | None = None
    """None: nothing failed."""
    message: str = ""
    """Of the run as a whole, for people; redacted."""
    tap_exit: int | None = None
    target_exit: int | None = None
    stopped: bool = False
    """It was asked to stop before its end: its marks stay, it counts against nobody."""
    throttled: int = 0
    """How many requests were answered 429."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing changed in the ledger."""

    added: tuple[str, ...] = ()
    revived: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()


Environment: TypeAlias = Mapping[str, str]
"""Environment variables of a process."""
