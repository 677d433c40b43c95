"""Which lanes a slot takes, in which order. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tap_rutter.fleet.model import Lane

_ALL = (Lane.FRESH, Lane.SWEEP, Lane.BULK)


def lanes_of(slot: int, slots: int) -> Sequence[Lane]:
    """The lanes of a slot, the one that it serves first in front.

    From two slots on, one never takes bulk, so that a backfill delays no webhook and no sweep; from
    three on, another is for fresh alone. Each lane comes first in some slot, so that none starves.

    Args:
        slot: counted from 0.
        slots: how many the worker has.
    """
    if slots == 1:
        return _ALL
    if slots == 2:
        return (Lane.FRESH, Lane.SWEEP) if slot == 0 else (Lane.BULK, Lane.SWEEP, Lane.FRESH)
    if slot == 0:
        return (Lane.FRESH,)
    if slot == 1:
        return (Lane.SWEEP, Lane.FRESH)
    if slot == 2:
        return (Lane.BULK, Lane.SWEEP, Lane.FRESH)
    return (Lane.SWEEP, Lane.FRESH, Lane.BULK)


def slots_at(speed: float, slots: int) -> int:
    """How many slots work while Rutter refuses requests for their number; one at least."""
    return max(1, math.ceil(slots * speed))
