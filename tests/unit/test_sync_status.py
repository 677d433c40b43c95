"""How a connection stands: what has grown, and up to when its rows can be relied on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter import redact, times
from tap_rutter.api.client import Client
from tap_rutter.api.request import Counts, Request, Response
from tap_rutter.connections.history import History
from tap_rutter.connections.sync_status import SyncStatus, read_sync_status
from tap_rutter.errors import ConnectionUnusable, PartitionFailed, RequestFailed, Stopped

CUTOFF = 1_706_702_400_000  # 2024-01-31T12:00:00Z
DAY, HOUR = times.DAY, times.HOUR

# ---- the horizon


@pytest.mark.parametrize(
    ("started", "completed", "horizon"),
    [
        (CUTOFF - HOUR, CUTOFF - 2 * HOUR, CUTOFF - 2 * HOUR),
        (CUTOFF - 2 * HOUR, CUTOFF - HOUR, CUTOFF - 2 * HOUR),
        (CUTOFF - 5 * DAY, CUTOFF - 5 * DAY + HOUR, CUTOFF - 5 * DAY),
        (CUTOFF, CUTOFF, CUTOFF),
        # One of them unknown.
        (CUTOFF - HOUR, None, CUTOFF - HOUR),
        (None, CUTOFF - HOUR, CUTOFF - HOUR),
        # Both unknown: the platform may have been synced fifteen days ago.
        (None, None, CUTOFF - 15 * DAY),
        # Not a time of a sync: in the future, or before 2000.
        (CUTOFF + 1, CUTOFF - HOUR, CUTOFF - HOUR),
        (CUTOFF + DAY, CUTOFF + DAY, CUTOFF - 15 * DAY),
        (0, CUTOFF - HOUR, CUTOFF - HOUR),
        (0, None, CUTOFF - 15 * DAY),
        (-1, 946_684_799_999, CUTOFF - 15 * DAY),
        (946_684_800_000, None, 946_684_800_000),
    ],
)
def test_the_horizon_is_the_last_sync_that_is_known_to_have_begun_and_completed(
    started: int | None, completed: int | None, horizon: int
) -> None:
    facts = SyncStatus(sync_started_ms=started, sync_completed_ms=completed)
    assert facts.horizon(CUTOFF) == horizon


@given(st.one_of(st.none(), st.integers()), st.one_of(st.none(), st.integers()))
def test_the_horizon_never_lies_beyond_the_cutoff(
    started: int | None, completed: int | None
) -> None:
    assert (
        SyncStatus(sync_started_ms=started, sync_completed_ms=completed).horizon(CUTOFF) <= CUTOFF
    )


# ---- history

OLD, OLDER = 1_500_000_000, 1_400_000_000

GROWTH: list[tuple[str, History, History, bool]] = [
    ("nothing is known", History(), History(), False),
    ("nothing has changed", History(True, 3, {"a": OLD}), History(True, 3, {"a": OLD}), False),
    ("the first sync was completed", History(completed=False), History(completed=True), True),
    ("it is not completed yet", History(completed=False), History(completed=False), False),
    ("it was completed before", History(completed=True), History(completed=True), False),
    ("it is begun anew", History(completed=True), History(completed=False), False),
    ("it is told for the first time", History(completed=None), History(completed=True), True),
    ("it is not told any more", History(completed=False), History(completed=None), False),
    ("a batch more", History(batches=3), History(batches=4), True),
    ("the first batch", History(batches=0), History(batches=1), True),
    ("as many batches", History(batches=3), History(batches=3), False),
    ("fewer batches", History(batches=3), History(batches=2), False),
    ("batches are told for the first time", History(), History(batches=2), True),
    ("batches are not told any more", History(batches=2), History(), False),
    ("an entity is ready", History(waiting={"a": OLD}), History(ready={"a": OLD}), True),
    ("an entity is new", History(ready={"b": OLD}), History(ready={"a": 1, "b": OLD}), True),
    ("an entity without a date is ready", History(), History(ready={"a": None}), True),
    ("older rows of an entity", History(ready={"a": OLD}), History(ready={"a": OLDER}), True),
    ("its oldest went", History(ready={"a": OLDER}), History(ready={"a": OLD}), False),
    ("its first rows", History(ready={"a": None}), History(ready={"a": OLD}), False),
    ("its date is not told", History(ready={"a": OLD}), History(ready={"a": None}), False),
    ("an entity is not ready any more", History(ready={"a": 1}), History(waiting={"a": 1}), False),
    ("older rows meanwhile", History(waiting={"a": OLD}), History(waiting={"a": OLDER}), True),
    ("as old as before", History(waiting={"a": OLD}), History(waiting={"a": OLD}), False),
    ("a waiting one is new", History(), History(waiting={"a": OLD}), False),
    ("older, not ready any more", History(ready={"a": OLD}), History(waiting={"a": OLDER}), True),
    ("one grew, one shrank", History(batches=2, ready={"a": OLD}),
     History(batches=1, ready={"a": OLDER}), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("older", "now", "grown"), [row[1:] for row in GROWTH], ids=[row[0] for row in GROWTH]
)
def test_history_has_grown_where_older_rows_may_have_come(
    older: History, now: History, grown: bool
) -> None:
    assert now.has_grown(older) is grown


moments = st.one_of(st.none(), st.integers(min_value=0, max_value=4))
entities = st.dictionaries(st.sampled_from("abc"), moments, max_size=3)
histories = st.builds(
    History,
    st.sampled_from([None, False, True]),
    st.one_of(st.none(), st.integers(min_value=0, max_value=3)),
    entities,
    st.dictionaries(st.sampled_from("de"), st.integers(min_value=0, max_value=4), max_size=2),
)


@given(histories)
def test_a_history_does_not_outgrow_itself(history: History) -> None:
    assert not history.has_grown(history)


@given(histories)
def test_a_history_survives_the_state(history: History) -> None:
    kept = json.loads(json.dumps(history.to_state()))
    assert History.from_state(kept) == history
    assert None not in kept.values()


@given(histories, histories)
def test_what_grew_is_read_again_once(older: History, now: History) -> None:
    merged = now.merged(older)
    assert not now.merged(merged).has_grown(merged)


@given(histories)
def test_an_answer_that_tells_nothing_changes_nothing(older: History) -> None:
    merged = History().merged(older)
    assert merged == older
    assert not merged.has_grown(older)


def status(**history: Any) -> dict[str, Any]:
    return {"historical_sync_status": history}


@pytest.mark.parametrize(
    ("answer", "history"),
    [
        ({}, History()),
        ({"historical_sync_status": None}, History()),
        ({"historical_sync_status": "x"}, History()),
        (status(), History()),
        (status(historical_sync_completed=True, num_batches_completed=3), History(True, 3)),
        (status(historical_sync_completed="yes", num_batches_completed="3"), History()),
        (status(num_batches_completed=None, historical_sync_completed=False), History(False)),
        (status(total="x"), History()),
        (status(total={"orders": None, "payouts": 7}), History()),
        (
            status(
                total={
                    "orders": {"ready": True, "oldest_entity_date": "2017-07-14T02:40:00.500Z"},
                    "payouts": {"ready": True, "oldest_entity_date": None},
                    "products": {"ready": False, "oldest_entity_date": "2017-07-14"},
                    "customers": {"ready": False},
                    "stores": {"ready": "yes", "oldest_entity_date": "soon"},
                }
            ),
            History(
                ready={"orders": OLD, "payouts": None},
                waiting={"products": OLD - OLD % 86_400},
            ),
        ),
    ],
)
def test_the_history_in_an_answer(answer: dict[str, Any], history: History) -> None:
    assert History.of(answer) == history


def test_the_oldest_date_of_all_entities() -> None:
    assert History().oldest_ms is None
    assert History(ready={"a": None}).oldest_ms is None
    history = History(ready={"a": OLD, "b": None}, waiting={"c": OLDER})
    assert history.oldest_ms == OLDER * 1_000


# ---- reading them

LINK = "https://link.test/4711"
STATUS = {
    "id": "c",
    "is_ready": True,
    "last_sync_completed_at": "2024-01-31T10:00:00Z",
    "link_url": LINK,
    "historical_sync_status": {"num_batches_completed": 2},
}
CONNECTION = {
    "id": "c",
    "last_sync_started_at": "2024-01-31T09:00:00Z",
    "last_sync_completed_at": "2024-01-31T09:30:00Z",
    "unavailable_objects": ["invoice", 7, None, "bill"],
}


class Clock:
    def now(self) -> int:
        return CUTOFF


class FakeClient:
    """Answers by path: a body, or an error that is raised."""

    clock = Clock()

    def __init__(self, status: Any, connection: Any) -> None:
        self._answers = {"/connections/status": status, "/connections/access_token": connection}
        self.calls: list[Request] = []

    def get(self, call: Request, decode: Callable[[Response], Any], counts: Counts) -> Any:
        self.calls.append(call)
        counts.requests += 1
        answer = self._answers[call.path]
        if isinstance(answer, Exception):
            raise answer
        return decode(Response(json.dumps(answer).encode(), CUTOFF - 5))


def facts_of(status: Any, connection: Any) -> SyncStatus:
    return read_sync_status(cast("Client", FakeClient(status, connection)), "c")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> redact.Secrets:
    learnt = redact.Secrets()
    monkeypatch.setattr(redact, "SECRETS", learnt)
    monkeypatch.setattr("tap_rutter.connections.sync_status.SECRETS", learnt)
    return learnt


def test_the_sync_status_is_what_both_answers_tell() -> None:
    client = FakeClient({"status": STATUS}, {"connection": CONNECTION})
    facts = read_sync_status(cast("Client", client), "c")
    assert facts.sync_started_ms == CUTOFF - 3 * HOUR
    assert facts.sync_completed_ms == CUTOFF - 2 * HOUR - 30 * times.MINUTE, "the older answer"
    assert facts.history == History(batches=2)
    assert facts.unavailable == {"invoice", "bill"}
    assert facts.is_ready is True
    assert facts.received_ms == CUTOFF - 5
    assert facts.counts.requests == 2
    assert {call.connection_id for call in client.calls} == {"c"}


def test_link_addresses_are_secrets_and_are_not_kept(secrets: redact.Secrets) -> None:
    facts = facts_of({"status": STATUS}, {"connection": {**CONNECTION, "link_url": LINK + "-b"}})
    assert LINK not in json.dumps(dict(facts.status))
    assert "4711" not in secrets.hide(f"{LINK} {LINK}-b")


FAULT = PartitionFailed("broken", reason="retries_exhausted")


@pytest.mark.parametrize("connection", [FAULT, {}, {"connection": None}, {"connection": []}])
def test_a_fault_of_these_endpoints_loses_no_data(connection: Any) -> None:
    facts = facts_of({"status": STATUS}, connection)
    assert facts.sync_started_ms is None
    assert facts.sync_completed_ms == CUTOFF - 2 * HOUR
    assert facts.unavailable == frozenset()
    nothing = facts_of(FAULT, connection)
    assert (nothing.status, nothing.history, nothing.is_ready) == ({}, History(), None)
    assert nothing.horizon(CUTOFF) == CUTOFF - 15 * DAY


@pytest.mark.parametrize("value", [None, "", "soon", 17, True, "0000-00-00"])
def test_unreadable_facts_are_unknown(value: Any) -> None:
    facts = facts_of(
        {
            "status": {
                "is_ready": value if value is not True else 1,
                "last_sync_completed_at": value,
            }
        },
        {"connection": {"last_sync_started_at": value, "unavailable_objects": value}},
    )
    assert (facts.sync_started_ms, facts.sync_completed_ms, facts.is_ready) == (None, None, None)
    assert facts.unavailable == frozenset()


@pytest.mark.parametrize(
    "error",
    [ConnectionUnusable("not ready", reason="not_ready"), Stopped("the end")],
)
def test_what_costs_the_connection_or_ends_the_run_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        facts_of(error, {"connection": CONNECTION})
    with pytest.raises(type(error)):
        facts_of({"status": STATUS}, error)


def test_a_connection_refused_in_a_200_is_refused() -> None:
    with pytest.raises(ConnectionUnusable) as caught:
        facts_of({"error_code": "CONNECTION_DISABLED"}, {"connection": CONNECTION})
    assert isinstance(caught.value, RequestFailed)
    assert caught.value.reason == "disabled"


def test_times_read_after_the_cutoff_are_not_in_the_future() -> None:
    """A long run reads facts well after its cutoff; syncs of meanwhile are known all the same."""
    cutoff = 1_772_400_000_000
    later = cutoff + 3 * 3_600_000
    facts = SyncStatus(sync_started_ms=later, sync_completed_ms=later, received_ms=later + 1)
    assert facts.horizon(cutoff) == cutoff
    unread = SyncStatus(sync_started_ms=later, sync_completed_ms=later, received_ms=cutoff)
    assert unread.horizon(cutoff) < cutoff
