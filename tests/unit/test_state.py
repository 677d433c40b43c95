"""Bookmarks: one partition per connection, found at once, in the SDK's own form."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.connections.history import History
from tap_rutter.replication.after_sync import Given, LastRead
from tap_rutter.sync.state import Bookmarks, PartitionStateManager, check_shape

T1, T2 = "2024-01-31T10:00:00.000Z", "2024-01-31T12:00:00.000Z"


def partition(connection: str, value: str = T1, **more: Any) -> dict[str, Any]:
    return {
        "context": {"connection_id": connection},
        "replication_key": "last_synced_at",
        "replication_key_value": value,
        **more,
    }


def content(value: str = T1, **more: Any) -> dict[str, Any]:
    return {"replication_key": "last_synced_at", "replication_key_value": value, **more}


def state_of(**streams: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bookmarks": {name: {"partitions": parts} for name, parts in streams.items()}}


@pytest.fixture
def given_state() -> dict[str, Any]:
    return state_of(
        invoices=[partition("a"), partition("b", extra={"kept": True})],
        orders=[partition("a", T2)],
    )


# ---- finding


def test_partitions_are_found_by_stream_and_connection(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    assert bookmarks.get("invoices", "a") == partition("a")
    assert bookmarks.get("orders", "a") == partition("a", T2)
    assert bookmarks.get("orders", "b") is None
    assert bookmarks.get("bills", "a") is None


def test_nothing_is_created_by_asking(given_state: dict[str, Any]) -> None:
    before = copy.deepcopy(given_state)
    bookmarks = Bookmarks(given_state)
    for stream in ("invoices", "bills", "connections"):
        for connection in ("a", "z"):
            bookmarks.get(stream, connection)
            bookmarks.input_state(stream, connection)
            bookmarks.history(connection)
    assert given_state == before
    assert not bookmarks.changed


@pytest.mark.parametrize("empty", [{}, {"bookmarks": {}}])
def test_an_empty_state_stays_empty(empty: dict[str, Any]) -> None:
    bookmarks = Bookmarks(copy.deepcopy(empty))
    assert bookmarks.get("invoices", "a") is None
    bookmarks.put("invoices", "a", None)
    assert not bookmarks.changed


# ---- setting


def test_a_moved_bookmark_is_what_the_state_shows(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    bookmarks.put("invoices", "a", content(T2))
    assert bookmarks.changed
    assert bookmarks.get("invoices", "a") == partition("a", T2)
    assert given_state == state_of(
        invoices=[partition("a", T2), partition("b", extra={"kept": True})],
        orders=[partition("a", T2)],
    )


def test_what_the_run_was_given_never_changes(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    bookmarks.put("invoices", "a", content(T2))
    bookmarks.put("invoices", "b", None)
    bookmarks.put("invoices", "c", content(T2))
    assert bookmarks.input_state("invoices", "a") == partition("a")
    assert bookmarks.input_state("invoices", "b") == partition("b", extra={"kept": True})
    assert bookmarks.input_state("invoices", "c") is None


def test_the_same_bookmark_again_changes_nothing(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    bookmarks.put("invoices", "a", content(T1))
    assert not bookmarks.changed


def test_content_takes_the_place_of_all_that_was_there(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    bookmarks.put("invoices", "b", content(T2))
    assert bookmarks.get("invoices", "b") == partition("b", T2)


def test_a_bookmark_may_move_backwards(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    bookmarks.put("orders", "a", content(T1))
    assert given_state["bookmarks"]["orders"]["partitions"] == [partition("a", T1)]


def test_new_partitions_come_after_those_that_are_there(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    bookmarks.put("invoices", "c", content(T2))
    bookmarks.put("bills", "a", content(T2))
    assert given_state == state_of(
        invoices=[partition("a"), partition("b", extra={"kept": True}), partition("c", T2)],
        orders=[partition("a", T2)],
        bills=[partition("a", T2)],
    )


def test_removal_takes_the_partition_and_no_other(given_state: dict[str, Any]) -> None:
    bookmarks = Bookmarks(given_state)
    bookmarks.put("invoices", "a", None)
    assert bookmarks.changed
    assert bookmarks.get("invoices", "a") is None
    assert given_state["bookmarks"]["invoices"]["partitions"] == [
        partition("b", extra={"kept": True})
    ]
    bookmarks.put("invoices", "a", content(T2))
    assert bookmarks.get("invoices", "a") == partition("a", T2)


def test_what_is_not_about_a_connection_is_kept() -> None:
    foreign = {"context": {"other": 1}, "replication_key_value": "x", "more": [1]}
    state = state_of(invoices=[foreign, partition("a")])
    state["bookmarks"]["gone"] = {"unknown": {"deep": 1}}
    state["more"] = 17
    before = copy.deepcopy(state)
    bookmarks = Bookmarks(state)
    bookmarks.put("invoices", "b", content())
    bookmarks.put("invoices", "b", None)
    bookmarks.put("invoices", "a", content())
    assert state == before


connections = st.sampled_from("abc")
streams = st.sampled_from(["invoices", "orders", "connections"])
contents = st.one_of(
    st.none(),
    st.sampled_from([T1, T2]).map(content),
    st.builds(lambda value, mark: content(value, start_date=mark), st.just(T1), st.just(T2)),
)


@given(
    st.dictionaries(st.tuples(streams, connections), st.sampled_from([T1, T2])),
    st.lists(st.tuples(streams, connections, contents), max_size=20),
)
def test_the_state_shows_what_was_put_and_keeps_the_rest(
    given_values: dict[tuple[str, str], str],
    puts: list[tuple[str, str, dict[str, Any] | None]],
) -> None:
    state: dict[str, Any] = {"bookmarks": {}}
    for (stream, connection), value in given_values.items():
        entry = state["bookmarks"].setdefault(stream, {"partitions": []})
        entry["partitions"].append(partition(connection, value))
    expected = {pair: content(value) for pair, value in given_values.items()}
    bookmarks = Bookmarks(state)
    for stream, connection, wanted in puts:
        bookmarks.changed = False
        changes = expected.get((stream, connection)) != wanted
        bookmarks.put(stream, connection, wanted)
        assert bookmarks.changed == changes
        if wanted is None:
            expected.pop((stream, connection), None)
        else:
            expected[stream, connection] = wanted
    check_shape(state)
    again = Bookmarks(json.loads(json.dumps(state)))
    for stream in ("invoices", "orders", "connections"):
        parts = state["bookmarks"].get(stream, {}).get("partitions", [])
        assert len(parts) == len({part["context"]["connection_id"] for part in parts})
        for connection in "abc":
            wanted = expected.get((stream, connection))
            full = wanted and {"context": {"connection_id": connection}, **wanted}
            assert bookmarks.get(stream, connection) == full
            assert again.input_state(stream, connection) == full


# ---- history

HISTORY = History(completed=True, batches=3, ready={"orders": 17, "payouts": None})


def test_history_rides_under_the_connections() -> None:
    state: dict[str, Any] = {}
    bookmarks = Bookmarks(state)
    bookmarks.put_history("a", HISTORY)
    assert bookmarks.changed
    assert state == {
        "bookmarks": {
            "connections": {
                "partitions": [
                    {
                        "context": {"connection_id": "a"},
                        "history": {
                            "completed": True,
                            "batches": 3,
                            "ready": {"orders": 17, "payouts": None},
                        },
                    }
                ]
            }
        }
    }
    assert bookmarks.history("a") is None, "asked is what the run was given"
    assert Bookmarks(state).history("a") == HISTORY


def test_history_leaves_what_else_is_known_of_a_connection() -> None:
    state = state_of(connections=[{"context": {"connection_id": "a"}, "more": 1}])
    bookmarks = Bookmarks(state)
    assert bookmarks.history("a") is None
    bookmarks.put_history("a", HISTORY)
    found = bookmarks.get("connections", "a")
    assert found is not None
    assert found["more"] == 1


# ---- what else is known of a connection

ABSENT = {
    "platform": "SHOPIFY",
    "api_version": "2024-08-31",
    "at": T1,
    "streams": ["invoices", "bills"],
}
READ = LastRead(synced_ms=1_000, at_ms=5_000, missed=frozenset({"b", "a"}), bookmarks=2)


def test_what_a_connection_was_answered_with_a_404_is_kept_beside_its_history() -> None:
    state: dict[str, Any] = {}
    bookmarks = Bookmarks(state)
    bookmarks.put_history("a", HISTORY)
    bookmarks.put_unserved("a", [ABSENT])
    bookmarks.put_unserved("b", [])
    assert bookmarks.unserved == {}, "asked is what the run was given"
    again = Bookmarks(copy.deepcopy(state))
    check_shape(state)
    assert again.unserved == {"a": [ABSENT]}
    assert again.history("a") == HISTORY
    again.put_unserved("a", [])
    assert again.get("connections", "a") == {
        "context": {"connection_id": "a"},
        "history": HISTORY.to_state(),
    }


def test_a_connection_is_not_listed_when_nothing_is_known_of_it_any_more() -> None:
    state: dict[str, Any] = {}
    bookmarks = Bookmarks(state)
    bookmarks.put_unserved("a", [ABSENT])
    bookmarks.put_unserved("a", [])
    assert state == {"bookmarks": {"connections": {"partitions": []}}}


def test_last_reads_are_kept_by_choice() -> None:
    state = state_of(invoices=[partition("a"), partition("b")], bills=[partition("a")])
    bookmarks = Bookmarks(state)
    bookmarks.put_last_reads("a", {"one": READ})
    bookmarks.put("orders", "a", content())
    assert bookmarks.last_reads("a") == {"one": READ}
    assert bookmarks.last_reads("b") == {}
    assert bookmarks.given("a", "one") == Given(None, None, 2)
    assert (bookmarks.count("a"), bookmarks.count("b"), bookmarks.count("z")) == (3, 1, 0)

    check_shape(state)
    again = Bookmarks(copy.deepcopy(state))
    again.put_history("a", HISTORY)
    assert again.given("a", "one") == Given(READ, None, 3)
    assert again.given("a", "another") == Given(None, None, 3)
    assert again.given("b", "one") == Given(None, None, 1)


def test_only_the_latest_choices_are_kept() -> None:
    bookmarks = Bookmarks({})
    reads = {name: LastRead(1, at) for name, at in {"c": 3, "a": 1, "d": 4, "b": 2}.items()}
    bookmarks.put_last_reads("x", reads)
    assert bookmarks.last_reads("x") == {name: reads[name] for name in "bcd"}
    bookmarks.put_last_reads("x", {})
    assert bookmarks.last_reads("x") == {}


def test_a_state_is_not_touched_to_remember_no_reads() -> None:
    state: dict[str, Any] = {}
    bookmarks = Bookmarks(state)
    bookmarks.put_last_reads("a", {})
    assert state == {}
    assert not bookmarks.changed


# ---- the SDK's view


@pytest.fixture
def manager(given_state: dict[str, Any]) -> PartitionStateManager:
    bookmarks = Bookmarks(given_state)
    return PartitionStateManager(
        lambda: bookmarks,
        "invoices",
        tap_name="tap-rutter",
        tap_state=given_state,
        state_partitioning_keys=["connection_id"],
    )


def test_the_sdk_finds_partitions_and_creates_none(
    manager: PartitionStateManager, given_state: dict[str, Any]
) -> None:
    before = copy.deepcopy(given_state)
    assert manager.get_context_state({"connection_id": "a"}) == partition("a")
    assert manager.get_context_state({"connection_id": "z"}) == {}
    assert manager.get_context_state(None) == before["bookmarks"]["invoices"]
    assert manager.stream_state == before["bookmarks"]["invoices"]
    assert given_state == before


def test_the_sdk_moves_no_bookmark(
    manager: PartitionStateManager, given_state: dict[str, Any]
) -> None:
    before = copy.deepcopy(given_state)
    context = {"connection_id": "a"}
    record = {"last_synced_at": T2}
    manager.write_starting_replication_value(context, "INCREMENTAL", "last_synced_at", None)
    manager.write_replication_key_signpost(context, T2)
    manager.increment_state(record, context=context)
    manager.finalize_state(manager.get_context_state(context))
    manager.finalize_progress_markers(manager.get_context_state(context))
    assert given_state == before


def test_a_stream_that_the_state_does_not_know_has_none() -> None:
    bookmarks = Bookmarks({})
    manager = PartitionStateManager(lambda: bookmarks, "bills", tap_name="tap-rutter", tap_state={})
    assert manager.stream_state == {}
    assert manager.get_context_state({"connection_id": "a"}) == {}
