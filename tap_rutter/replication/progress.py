"""What a partition's bookmark may say: the protocol that each replication method implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tap_rutter.replication.items import ListItem


class Progress(Protocol):
    """What a partition's bookmark may say, page by page. Lives with the emitter, in one thread."""

    full_read: bool
    """Whether nothing of the partition is left out by a bookmark or a start date."""
    start_ms: int | None
    """The lower bound that was asked for, Unix ms; None for none."""

    def see(self, item: ListItem) -> None:
        """Take an item in, after its rows were delivered."""

    def finish(self) -> None:
        """The partition is complete."""

    def partition_state(self) -> Mapping[str, Any] | None:
        """The partition's content now; None for no entry."""
