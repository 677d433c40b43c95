"""What flows from the readers of partitions to the emitter: a small class for each kind of item.

The reader of a replication yields an ``Item``. The plan adds ``Begin`` before and ``Done`` behind,
which makes a ``PartitionItem``. The emitter gets a ``DeliveredItem``. All are closed unions: code
that consumes them matches every member, so the type checker notices a new member that is not
handled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from tap_rutter.api.pages import Page
from tap_rutter.replication.gates import Gate


@dataclass(frozen=True, slots=True)
class End:
    """A list of the partition has been read to its end."""

    list_name: str = ""


@dataclass(frozen=True, slots=True)
class Unsorted:
    """A list does not come in the requested sort order: its rows so far move no bookmark."""

    list_name: str = ""


@dataclass(frozen=True, slots=True)
class WindowEnd:
    """A window has been read to its end; ``high`` is its upper bound, Unix ms."""

    high: int


@dataclass(frozen=True, slots=True)
class BoundsIgnored:
    """Rows came that the request's bounds exclude: no end of a window moves the bookmark any more.

    The whole list follows, without bounds.
    """


@dataclass(frozen=True, slots=True)
class OrderBroken:
    """The list was read in a way that relies on an order that it does not keep.

    The bookmark is set back, and the whole list follows along its cursor.
    """


@dataclass(frozen=True, slots=True)
class MonthsRead:
    """The months from ``first`` to ``last`` were requested, and their rows have come."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class ParentRead:
    """All rows under one parent have arrived."""

    parent_id: str


@dataclass(frozen=True, slots=True)
class ParentsRead:
    """All rows under the parents on a page have arrived."""

    parents: Page


@dataclass(frozen=True, slots=True)
class Inline:
    """Further lists of the partition, whose items come here, before the reader's own next item.

    Several of them are read at the same time; they are delivered one after another in this order.
    """

    readings: tuple[Iterator[Item], ...]


@dataclass(frozen=True, slots=True)
class WaitFor:
    """The reader's next item is read once the gate is open, or once all before it has been taken.

    It says nothing to the emitter, which never sees it.
    """

    gate: Gate


ListItem = (
    Page
    | End
    | Unsorted
    | WindowEnd
    | BoundsIgnored
    | OrderBroken
    | MonthsRead
    | ParentRead
    | ParentsRead
)
"""What the lists of a partition say, in the order in which it is delivered."""

Item = ListItem | Inline | WaitFor
"""What a reader yields."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The partition begins: its connection can be read."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Rutter says that the connection's platform cannot serve this object, so it was not asked."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Rutter has synced nothing since the partition was last read: it was not asked."""


@dataclass(frozen=True, slots=True)
class Done:
    """All of the partition has been read."""


PartitionItem = Item | Begin | Unavailable | Unchanged | Done
"""What a partition yields from its beginning to its end."""

DeliveredItem = ListItem | Begin | Unavailable | Unchanged | Done
"""The same as the emitter gets it: further lists have been read at their place."""
