"""STATE messages, written stream by stream: the same bytes, and all of them or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.api.json_text import ENCODER
from tap_rutter.sync import writer as module
from tap_rutter.sync.writer import BlockWriter

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What reaches standard output, write by write."""
    blocks: list[bytes] = []
    monkeypatch.setattr(module, "write_out", lambda content: blocks.append(bytes(content)))
    return blocks


def line_of(state: Any) -> bytes:
    return ENCODER.encode({"type": "STATE", "value": state})


@given(st.dictionaries(texts, values, max_size=4))
def test_the_pieces_are_the_message(state: dict[str, Any]) -> None:
    assert b"".join(module._pieces(state)) == line_of(state)


def large_state() -> dict[str, Any]:
    partitions = [
        {"context": {"connection_id": str(number)}, "mark": "-" * 900} for number in range(100)
    ]
    return {"bookmarks": {f"s{n}": {"partitions": partitions} for n in range(20)}, "more": 17}


@pytest.mark.parametrize("state", [{}, {"bookmarks": {"a": {"partitions": []}}}, large_state()])
def test_a_state_is_one_line_after_what_came_before(
    written: list[bytes], state: dict[str, Any]
) -> None:
    made = BlockWriter()
    made.write_line(b"{}")
    assert made.write_state(state) == len(line_of(state))
    assert b"".join(written) == b"{}\n" + line_of(state) + b"\n"


def test_a_large_state_is_never_held_as_one_text(written: list[bytes]) -> None:
    state = large_state()
    BlockWriter().write_state(state)
    assert max(map(len, written)) < len(line_of(state)) / 8


def test_of_a_state_that_cannot_be_written_nothing_is(written: list[bytes]) -> None:
    state = large_state()
    state["odd"] = "\ud800"
    made = BlockWriter()
    made.write_line(b"{}")
    with pytest.raises(ValueError, match="surrogates"):
        made.write_state(state)
    made.flush()
    assert written == [b"{}\n"]
