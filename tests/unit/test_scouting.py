"""Which partitions wait: the same as counting through all that came before them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.replication.gates import Gate
from tap_rutter.replication.scouting import Answer, Place, Scouting

STREAM = "accounting_bills"
PLATFORMS = ("QUICKBOOKS", "XERO", "")

# Each partition: its platform, whether it has a bookmark, and what it finds out.
partitions = st.lists(
    st.tuples(st.sampled_from(PLATFORMS), st.booleans(), st.sampled_from(Answer)), max_size=12
)


def waits(
    index: int,
    cast: list[tuple[str, bool, Answer]],
    known: dict[int, Answer],
    platform: str | None,
) -> bool:
    """Whether a partition waits for others of a platform, or of all; by counting."""
    open_ones = 0
    for before, (other, has_bookmark, _) in enumerate(cast[:index]):
        if platform not in {None, other}:
            continue
        answer = known.get(before)
        refused = answer is Answer.CLOSED or (answer is Answer.MISSING and platform is not None)
        if answer not in {None, Answer.NOTHING} and not refused:
            return False
        open_ones += not has_bookmark and answer is not Answer.NOTHING
    return open_ones >= 2


@given(partitions, st.randoms(use_true_random=False))
def test_a_partition_waits_for_what_two_before_it_find_out(
    cast: list[tuple[str, bool, Answer]], rng: object
) -> None:
    places = [Place(STREAM, platform, index) for index, (platform, _, _) in enumerate(cast)]
    scouting = Scouting()
    scouting.begin(STREAM, [places[index] for index, one in enumerate(cast) if not one[1]])
    order = list(range(len(cast)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    known: dict[int, Answer] = {}
    held: dict[int, Gate] = {}
    for turn in [None, *order]:
        if turn is not None:
            known[turn] = cast[turn][2]
            scouting.note(places[turn], cast[turn][2])
        for index, (platform, has_bookmark, _) in enumerate(cast):
            if has_bookmark or index in known:
                continue
            expected = waits(index, cast, known, None)
            expected = expected or (bool(platform) and waits(index, cast, known, platform))
            gate = next(scouting.gates(places[index]), None)
            assert (gate is not None) == expected
            if gate is not None:
                assert not gate.is_open
            # A gate that was given out opens when its wait is over.
            former = held.get(index)
            if former is not None and former is not gate:
                assert former.is_open
            if gate is not None:
                held[index] = gate


def test_nobody_waits_in_a_stream_that_is_not_read() -> None:
    scouting = Scouting()
    place = Place(STREAM, "XERO", 5)
    assert not list(scouting.gates(place))
    scouting.begin(STREAM, [Place(STREAM, "XERO", index) for index in range(6)])
    assert len(list(scouting.gates(place))) == 2
    scouting.forget(STREAM)
    scouting.note(place, Answer.MISSING)
    assert not list(scouting.gates(place))
