"""Which lanes a slot takes."""

from __future__ import annotations

import pytest

from tap_rutter.fleet.model import Lane
from tap_rutter.fleet.work.lanes import lanes_of, slots_at


@pytest.mark.parametrize("slots", range(1, 12))
def test_every_lane_is_served_and_each_comes_first_somewhere(slots: int) -> None:
    lanes = [lanes_of(slot, slots) for slot in range(slots)]
    assert {lane for served in lanes for lane in served} == set(Lane)
    if slots >= 3:
        assert {served[0] for served in lanes} == set(Lane)


@pytest.mark.parametrize("slots", range(2, 12))
def test_one_slot_never_takes_bulk(slots: int) -> None:
    assert any(Lane.BULK not in lanes_of(slot, slots) for slot in range(slots))


@pytest.mark.parametrize("slots", range(3, 12))
def test_from_three_slots_on_one_is_for_fresh_alone(slots: int) -> None:
    assert [Lane.FRESH] in [list(lanes_of(slot, slots)) for slot in range(slots)]


def test_a_refused_fleet_works_with_fewer_slots_but_never_with_none() -> None:
    assert slots_at(1.0, 8) == 8
    assert slots_at(0.5, 8) == 4
    assert slots_at(0.001, 8) == 1
