"""States that cannot be read are refused: the message names the place and what belongs there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_state import HISTORY, T1, T2, content, partition, state_of

from tap_rutter.errors import ConfigError
from tap_rutter.sync.state import Bookmarks, check_shape


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"bookmarks": {}},
        {"bookmarks": {"invoices": {}}},
        {"bookmarks": {"invoices": {"partitions": []}}},
        {"bookmarks": {"invoices": {"partitions": [{"context": {}}]}}},
        {"bookmarks": {"invoices": {"replication_key_value": None}}},
        state_of(invoices=[partition("a")]),
        state_of(invoices=[partition("a", passes={"expense": T1, "refund": T2})]),
        state_of(invoices=[partition("a", passes={}, parents="abcdefgh", start_date=T1)]),
        state_of(invoices=[partition("a", unknown={"to": ["us"]})]),
        state_of(orders=[partition("a", null_times=True, whole_read_at=T1)]),
        state_of(connections=[{"context": {"connection_id": "a"}, "history": HISTORY.to_state()}]),
        {"bookmarks": {}, "more": 1},
    ],
)
def test_a_shape_that_can_be_read(state: Any) -> None:
    check_shape(state)
    Bookmarks(state)


def one(**parts: Any) -> dict[str, Any]:
    return state_of(invoices=[partition("a"), {**partition("b"), **parts}])


def history(value: Any) -> dict[str, Any]:
    return state_of(connections=[{"context": {"connection_id": "a"}, "history": value}])


BAD = "qxzzy"
PARTITION = "bookmarks.invoices.partitions[1]"
KNOWN = "bookmarks.connections.partitions[0]"


@pytest.mark.parametrize(
    ("state", "path"),
    [
        ([], "the state"),
        ("x", "the state"),
        (17, "the state"),
        ({"singer_state": {"bookmarks": {}}}, "the state"),
        ({"completed": {}, "partial": {}}, "the state"),
        ({"invoices": {"partitions": []}}, "the state"),
        ({"bookmarks": None}, "bookmarks"),
        ({"bookmarks": []}, "bookmarks"),
        ({"bookmarks": BAD}, "bookmarks"),
        ({"bookmarks": {"invoices": None}}, "bookmarks.invoices"),
        ({"bookmarks": {"invoices": []}}, "bookmarks.invoices"),
        ({"bookmarks": {"invoices": {"partitions": None}}}, "bookmarks.invoices.partitions"),
        ({"bookmarks": {"invoices": {"partitions": {}}}}, "bookmarks.invoices.partitions"),
        ({"bookmarks": {"invoices": {"replication_key_value": T1}}}, "bookmarks.invoices"),
        (state_of(invoices=[partition("a"), None]), PARTITION),  # type: ignore[list-item]
        (state_of(invoices=[partition("a"), [BAD]]), PARTITION),  # type: ignore[list-item]
        (state_of(invoices=[partition("a"), {}]), f"{PARTITION}.context"),
        (one(context=None), f"{PARTITION}.context"),
        (one(context=[BAD]), f"{PARTITION}.context"),
        (one(context={"connection_id": 17}), f"{PARTITION}.context.connection_id"),
        (one(context={"connection_id": None}), f"{PARTITION}.context.connection_id"),
        (one(replication_key_value=BAD), f"{PARTITION}.replication_key_value"),
        (one(replication_key_value=17), f"{PARTITION}.replication_key_value"),
        (one(replication_key_value=""), f"{PARTITION}.replication_key_value"),
        (one(start_date=BAD), f"{PARTITION}.start_date"),
        (one(start_date=True), f"{PARTITION}.start_date"),
        (one(whole_read_at=[BAD]), f"{PARTITION}.whole_read_at"),
        (one(passes=BAD), f"{PARTITION}.passes"),
        (one(passes=[T1]), f"{PARTITION}.passes"),
        (one(passes={"expense": BAD}), f"{PARTITION}.passes"),
        (one(passes={"expense": None}), f"{PARTITION}.passes"),
        (one(parents=[BAD]), f"{PARTITION}.parents"),
        (history(BAD), "bookmarks.connections.partitions[0].history"),
        (history([BAD]), "bookmarks.connections.partitions[0].history"),
        (history({"completed": BAD}), "bookmarks.connections.partitions[0].history"),
        (history({"batches": BAD}), "bookmarks.connections.partitions[0].history"),
        (history({"batches": 1.5}), "bookmarks.connections.partitions[0].history"),
        (history({"ready": [BAD]}), "bookmarks.connections.partitions[0].history"),
        (history({"waiting": {"a": BAD}}), "bookmarks.connections.partitions[0].history"),
    ],
)
def test_a_shape_that_cannot_be_read_is_refused_with_its_path(state: Any, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_shape(state)
    assert f" {path} " in caught.value.message
    assert BAD not in caught.value.message


ENTRY = {"platform": "P", "api_version": "V", "at": T1, "streams": ["s"]}
READ = {"synced": T1, "at": T1, "bookmarks": 1, "missed": ["s"]}


def fact(name: str, value: Any) -> dict[str, Any]:
    """A state that knows one thing of one connection."""
    return state_of(connections=[{"context": {"connection_id": "a"}, name: value}])


def lacking(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != name}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ([], "the state must be an object"),
        ({"singer_state": {}}, "the state is Meltano's wrapping, not the state inside it"),
        ({"completed": {}}, "the state is Meltano's wrapping, not the state inside it"),
        ({"invoices": {}}, "the state has no 'bookmarks'"),
        ({"bookmarks": []}, "bookmarks must be an object"),
        ({"bookmarks": {"s": 1}}, "bookmarks.s must be an object"),
        (
            {"bookmarks": {"s": {"replication_key_value": T1}}},
            "bookmarks.s holds one bookmark for all connections, not one per connection",
        ),
        ({"bookmarks": {"s": {"partitions": 1}}}, "bookmarks.s.partitions must be an array"),
        (one(context=1), f"{PARTITION}.context must be an object"),
        (one(context={"connection_id": 1}), f"{PARTITION}.context.connection_id must be a string"),
        (one(read_from=1), f"{PARTITION}.read_from must be a time"),
        (one(known_to=1), f"{PARTITION}.known_to must be a time"),
        (one(whole_read_at=1), f"{PARTITION}.whole_read_at must be a time"),
        (one(passes=1), f"{PARTITION}.passes must hold times"),
        (one(parents=1), f"{PARTITION}.parents must be a string"),
        (fact("history", 1), f"{KNOWN}.history cannot be read"),
        (fact("unserved", {}), f"{KNOWN}.unserved must be an array"),
        (fact("unserved", [ENTRY, 1]), f"{KNOWN}.unserved[1] must be an object"),
        *(
            (fact("unserved", [lacking(ENTRY, name)]), f"{KNOWN}.unserved[0].{name} must be {what}")
            for name, what in {
                "platform": "a string",
                "api_version": "a string",
                "at": "a time",
                "streams": "an array of strings",
            }.items()
        ),
        (
            fact("unserved", [{**ENTRY, "streams": ["s", 1]}]),
            f"{KNOWN}.unserved[0].streams must be an array of strings",
        ),
        (fact("last_reads", []), f"{KNOWN}.last_reads must be an object"),
        (fact("last_reads", {"c": 1}), f"{KNOWN}.last_reads.c must be an object"),
        *(
            (fact("last_reads", {"c": lacking(READ, name)}), f"{KNOWN}.last_reads.c.{name} {what}")
            for name, what in {
                "synced": "must be a time",
                "at": "must be a time",
                "bookmarks": "must be an integer",
            }.items()
        ),
        *(
            (
                fact("last_reads", {"c": {**READ, "missed": missed}}),
                f"{KNOWN}.last_reads.c.missed must be an array of strings",
            )
            for missed in ("s", ["s", 1])
        ),
    ],
)
def test_the_message_says_what_belongs_there(state: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_shape(state)
    assert caught.value.message == (
        f"The given state cannot be read: {said}. Pass the state as this tap wrote it (with"
        " Meltano: what `meltano state get` shows under singer_state), or none for a read from the"
        " start."
    )


@pytest.mark.parametrize(
    "state",
    [
        fact("unserved", [ENTRY, {**ENTRY, "streams": []}]),
        fact("last_reads", {"c": READ, "d": lacking(READ, "missed")}),
        fact("last_reads", None),
        one(read_from=T1, known_to=T1, whole_read_at=T1, passes={"expense": T1}, parents="p"),
        one(read_from=None, passes=None, parents=None),
        state_of(invoices=[{"context": {}}]),
        {"bookmarks": {"invoices": {"replication_key_value": T1, "partitions": []}}},
        {"bookmarks": {"invoices": {}}},
        fact("history", {"completed": None, "batches": None, "ready": None, "waiting": {"a": 1}}),
    ],
)
def test_what_this_tap_writes_can_be_read(state: Any) -> None:
    check_shape(state)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.just(T1)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "bookmarks",
                    "partitions",
                    "context",
                    "connection_id",
                    "replication_key_value",
                    "passes",
                    "history",
                    "ready",
                    "start_date",
                    "connections",
                    "invoices",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=15,
)


@given(
    st.one_of(
        values,
        values.map(lambda value: {"bookmarks": value}),
        values.map(lambda value: {"bookmarks": {"invoices": value}}),
        values.map(lambda value: {"bookmarks": {"connections": {"partitions": [value]}}}),
        values.map(lambda value: one(history=value)),
        values.map(lambda value: one(passes=value, parents=value)),
    )
)
def test_any_state_is_refused_in_words_or_can_be_worked_with(state: Any) -> None:
    try:
        check_shape(state)
    except ConfigError:
        return
    bookmarks = Bookmarks(state)
    for stream in ("invoices", "connections"):
        for connection in ("a", "b", ""):
            bookmarks.get(stream, connection)
            bookmarks.history(connection)
            bookmarks.put_history(connection, HISTORY)
            bookmarks.put(stream, connection, content())
            bookmarks.put(stream, connection, None)
    check_shape(state)
