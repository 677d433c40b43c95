"""How many rows of each object Rutter says that it has synced of a connection."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from tap_rutter.connections.history import whole_count

_UNKNOWN = -1

# Connections of a platform have counts of the same objects: their names are kept once.
_places: dict[tuple[str, ...], Mapping[str, int]] = {}


class RowCounts:
    """Counts by object; thousands of them are kept for a whole run."""

    __slots__ = ("_counts", "_places")

    def __init__(self, places: Mapping[str, int], counts: Sequence[int]) -> None:
        """
        Args:
            places: Where the count of an object stands, by its bare name.
            counts: The counts; less than 0 for what is not told.
        """
        self._places = places
        self._counts = counts

    @classmethod
    def of_status(cls, status: Mapping[str, Any]) -> RowCounts:
        """The counts in a ``/connections/status`` answer."""
        history = status.get("historical_sync_status")
        total = history.get("total") if isinstance(history, dict) else None
        counts: dict[str, int | None] = {}
        for name, entity in total.items() if isinstance(total, dict) else ():
            count = entity.get("synced_count") if isinstance(entity, dict) else None
            counts.setdefault(_bare(name.lower()), whole_count(count))
        names = tuple(counts)
        places = _places.setdefault(names, {name: place for place, name in enumerate(names)})
        return cls(
            places,
            array("q", [_UNKNOWN if count is None else count for count in counts.values()]),
        )

    def of(self, rutter_object: str) -> int | None:
        """How many rows of an object; None where that is not told."""
        place = self._places.get(_bare(rutter_object))
        count = _UNKNOWN if place is None else self._counts[place]
        return None if count == _UNKNOWN else count


def _bare(name: str) -> str:
    # How these entities are spelt is not documented; they are the same words.
    return name.removesuffix("s")


NO_COUNTS = RowCounts({}, ())
