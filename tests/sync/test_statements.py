"""Statements: whole months, both dates, at most a year a call, and jobs where Rutter is slow."""

from __future__ import annotations

import copy
import itertools
import json
from datetime import UTC, datetime

import pytest
from support.in_process import sync
from support.partitions import bookmark
from support.singer import Json, Messages
from support.statements import PATH, PROMISE, STREAM, job_of, ledger, months

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

PATHS = {
    "accounting_balance_sheets": "/accounting/balance_sheets",
    "accounting_income_statements": "/accounting/income_statements",
    "accounting_cash_flow_statements": "/accounting/cash_flow_statements",
}

DAY = 86_400


def ranges(simulator: Simulator, path: str = PATH) -> list[tuple[str, str]]:
    """First and last day of every range that was asked for, and no request without both."""
    return sorted(
        (entry.params["start_date"][:10], entry.params["end_date"][:10])
        for entry in simulator.requests.to(path)
    )


def months_of(world: World, connection: Connection, path: str = PATH) -> list[str]:
    """The months that Rutter has."""
    return sorted(row["start_date"][:7] for row in world.rows(connection.id, path))


def month_key(world: World, connection: Connection, month: str) -> str:
    """The key of a month's statement."""
    rows = zip(world.keys(connection.id, PATH), world.rows(connection.id, PATH), strict=True)
    return next(key for key, row in rows if row["start_date"].startswith(month))


def outcome(messages: Messages) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Status and reason of each pair, by connection and stream."""
    return {
        (row["connection_id"], row["stream"]): (row["status"], row["reason"])
        for row in messages.records["sync_report"]
    }


# ---- which months are asked for


def year(back: int) -> tuple[str, str]:
    """First and last day of the twelve months that end with March, so many years before 2026."""
    return f"{2025 - back}-04-01", f"{2026 - back}-03-31"


def years(count: int) -> list[tuple[str, str]]:
    """The last years, oldest first."""
    return [year(back) for back in reversed(range(count))]


@pytest.mark.parametrize("stream", PATHS)
def test_a_first_read_goes_back_to_a_year_in_which_there_is_nothing(stream: str) -> None:
    world, connection = ledger()
    path = PATHS[stream]
    with Simulator(world) as simulator:
        messages = sync(simulator, stream)
    known = months_of(world, connection, path)
    assert known[0] < "2024-03" < known[-1] == "2026-03", "three years have rows"
    assert ranges(simulator, path) == years(4)
    # The listing and the connection's facts, and nothing else.
    assert len(simulator.requests) == 4 + 3
    assert months(messages, stream) == known
    assert bookmark(messages, stream) == {
        "context": {"connection_id": connection.id},
        "replication_key": "start_date",
        "replication_key_value": "2026-03-01T00:00:00.000Z",
        "read_from": "2022-04-01T00:00:00.000Z",
        "all_years": True,
    }
    (row,) = messages.records["sync_report"]
    assert row["window_start"] == "2022-04-01T00:00:00.000Z"


def add_month(world: World, connection: Connection, month: str) -> str:
    """A statement of an old month."""
    return world.create(
        connection.id,
        PATH,
        immediate=True,
        start_date=f"{month}-01T00:00:00.000Z",
        end_date=f"{month}-28T00:00:00.000Z",
    )


def test_years_of_rest_do_not_hide_those_before_them() -> None:
    world, connection = ledger()
    # Nothing for two years; that there is something before, the oldest invoice tells.
    add_month(world, connection, "2020-05")
    world.create(connection.id, "/accounting/invoices", late=6 * 365 * DAY, immediate=True)
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM)
        assert months(messages)[0] == "2020-05"
        assert ranges(simulator) == years(7), "to a year that is empty, and older than all"
        # From then on, what is read again is no more than a year beyond the gap.
        simulator.requests.clear()
        sync(simulator, STREAM, state=messages.state)
    assert ranges(simulator)[0] == ("2019-06-01", "2020-05-31"), "the next month has not come yet"


def test_without_any_date_that_rutter_tells_an_empty_year_is_the_end() -> None:
    world, connection = ledger()
    add_month(world, connection, "2020-05")
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path="/connections/status", status=500, times=None)
        messages = sync(simulator, STREAM, max_retry_seconds=0)
        assert ranges(simulator) == years(4)
        simulator.faults.clear()
        world.create(connection.id, "/accounting/invoices", late=6 * 365 * DAY, immediate=True)
        again = sync(simulator, STREAM, state=messages.state)
    # As soon as it is told, all is read again.
    assert months(again)[0] == "2020-05"


def test_a_first_read_goes_back_ten_years_at_most() -> None:
    world, connection = ledger()
    world.switches.set("start_date_bounds", "ignore")  # no year is ever empty
    world.create(connection.id, "/accounting/invoices", late=15 * 365 * DAY, immediate=True)
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM)
    assert ranges(simulator) == years(10)
    assert set(months(messages)) == set(months_of(world, connection))
    assert bookmark(messages, STREAM)["replication_key_value"].startswith("2026-03-01")


def as_before(state: Json, first: str) -> Json:
    """The state as versions wrote it that went back two years at most."""
    (partition,) = state["bookmarks"][STREAM]["partitions"]
    del partition["all_years"]
    partition["read_from"] = f"{first}T00:00:00.000Z"
    return state


def test_a_state_of_the_old_rule_reads_the_missing_years_once() -> None:
    world, connection = ledger()
    add_month(world, connection, "2022-11")
    known = months_of(world, connection)
    with Simulator(world) as simulator:
        state = as_before(sync(simulator, STREAM).state, "2024-03-01")
        simulator.requests.clear()
        first = sync(simulator, STREAM, state=state)
        assert months(first) == known
        assert bookmark(first, STREAM)["all_years"] is True
        simulator.requests.clear()
        second = sync(simulator, STREAM, state=first.state)
    assert ranges(simulator)[0][0] >= "2021-12-01"
    assert ranges(simulator) != years(5), "once is enough"
    assert bookmark(second, STREAM) == bookmark(first, STREAM)


def test_the_missing_years_are_asked_for_again_until_they_have_come() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        state = as_before(sync(simulator, STREAM).state, "2024-03-01")
        simulator.faults.add(
            "respond",
            path=PATH,
            params={"start_date": "2023-04-01T00:00:00.000Z"},
            status=400,
            times=1,
        )
        broken = sync(simulator, STREAM, state=state)
        assert outcome(broken)[connection.id, STREAM][0] == "failed"
        (given,) = state["bookmarks"][STREAM]["partitions"]
        assert bookmark(broken, STREAM) == given
        after = sync(simulator, STREAM, state=broken.state)
    assert months(after) == months_of(world, connection)


def test_a_state_of_the_old_rule_with_a_start_date_lacks_nothing() -> None:
    world, _ = ledger()
    with Simulator(world) as simulator:
        first = sync(simulator, STREAM, start_date="2025-01-15")
        assert "all_years" not in bookmark(first, STREAM)
        simulator.requests.clear()
        later = sync(simulator, STREAM, state=first.state, start_date="2025-01-15")
        assert ranges(simulator) == [("2025-04-01", "2026-03-31")]
        simulator.requests.clear()
        # The start date goes: now there is no bound, and the years before it are read.
        sync(simulator, STREAM, state=later.state)
    assert ranges(simulator) == years(4)


def test_a_later_start_date_changes_nothing() -> None:
    world, _ = ledger()
    with Simulator(world) as simulator:
        first = sync(simulator, STREAM)
        simulator.requests.clear()
        second = sync(simulator, STREAM, state=first.state, start_date="2025-12-01")
        assert bookmark(second, STREAM) == bookmark(first, STREAM)
        sync(simulator, STREAM, state=second.state)
    assert ranges(simulator) == [("2025-04-01", "2026-03-31")] * 2


# ---- dates that are odd


ODD_DATES = ["0001-01-01T00:00:00Z", "1899-12-30T00:00:00Z", "9999-12-01T00:00:00Z", "2031-01-01"]
UNREADABLE_DATES = ["2021-09-31T00:00:00Z", "", "0000-00-00"]


def add_odd(world: World, connection: Connection, odd: str) -> None:
    """A statement that comes whatever is asked for."""
    world.switches.set("start_date_bounds", "ignore", path=PATH)
    end = "2021-10-31T00:00:00Z"
    world.create(connection.id, PATH, immediate=True, start_date=odd, end_date=end)


@pytest.mark.parametrize("odd", ODD_DATES)
@pytest.mark.parametrize("more", [{}, {"start_date": "2024-01-01"}], ids=["all years", "bounded"])
def test_a_month_that_was_not_asked_for_moves_no_bookmark(odd: str, more: Json) -> None:
    world, connection = ledger()
    well = world.add_connection("QUICKBOOKS")
    with Simulator(world) as simulator:
        before = sync(simulator, *PATHS, **more)
        usual = months_of(world, connection)
        add_odd(world, connection, odd)
        state = None
        for _ in range(3):
            messages = sync(simulator, *PATHS, state=state, **more)
            state = messages.state
            told = outcome(messages)
            assert {pair[0] for pair in told} == {connection.id, well.id}
            assert {status for status, _ in told.values()} == {"complete"}
            landed = {row["start_date"][:10] for row in messages.records[STREAM]}
            assert odd[:10] in landed, "it lands all the same"
            assert {f"{month}-01" for month in usual[-12:]} <= landed
            assert state["bookmarks"][STREAM] == before.state["bookmarks"][STREAM] or not more


@pytest.mark.parametrize("odd", UNREADABLE_DATES)
def test_a_statement_whose_date_cannot_be_read_costs_no_other(odd: str) -> None:
    world, connection = ledger()
    usual_months = months_of(world, connection)
    with Simulator(world) as simulator:
        add_odd(world, connection, odd)
        messages = sync(simulator, STREAM, start_date="2025-04-01")
        again = sync(
            simulator, STREAM, state=messages.state, start_date="2025-04-01", statement_months=1
        )
    assert outcome(messages) == {(connection.id, STREAM): ("complete", None)}
    (row,) = (row for row in messages.records[STREAM] if row.get("_rutter_issues"))
    assert row["_rutter_issues"] == {"start_date": odd}
    assert row["end_date"] == "2021-10-31T00:00:00Z"
    assert row["start_date"] < "2000"
    usual = [entry for entry in messages.records[STREAM] if not entry.get("_rutter_issues")]
    assert {entry["start_date"][:7] for entry in usual} == set(usual_months)
    (report,) = messages.records["sync_report"]
    assert report["derived_keys"] == 1
    # The same at every run, so that a target keeps one row of it.
    assert row in again.records[STREAM]
    assert bookmark(again, STREAM)["replication_key_value"].startswith("2026-03-01")


POISONED = ["0001-01-01T00:00:00.000Z", "1899-12-01T00:00:00.000Z", "9999-11-01T00:00:00.000Z"]


@pytest.mark.parametrize("value", POISONED)
@pytest.mark.parametrize("more", [{}, {"start_date": "2024-01-01"}], ids=["all years", "bounded"])
def test_a_bookmark_that_an_odd_row_has_set_is_healed(value: str, more: Json) -> None:
    world, connection = ledger()
    well = world.add_connection("QUICKBOOKS")
    with Simulator(world) as simulator:
        clean = sync(simulator, *PATHS, **more)
        state = copy.deepcopy(clean.state)
        for partition in state["bookmarks"][STREAM]["partitions"]:
            if partition["context"]["connection_id"] == connection.id:
                partition["replication_key_value"] = value
                partition.pop("all_years", None)  # no version that wrote such a thing knew it
        simulator.requests.clear()
        messages = sync(simulator, *PATHS, state=state, **more)
        told = outcome(messages)
        assert {pair[0] for pair in told} == {connection.id, well.id}
        assert {status for status, _ in told.values()} == {"complete"}
        assert messages.state["bookmarks"][STREAM] == clean.state["bookmarks"][STREAM]
        own = [row for row in messages.records[STREAM] if row["connection_id"] == connection.id]
        first = [row for row in clean.records[STREAM] if row["connection_id"] == connection.id]
        assert own == first, "read from its start, once"
        assert len(simulator.requests.to(PATH)) < 10


def test_rows_leave_as_they_are() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    shown = [row for row in world.rows(connection.id, PATH) if row["start_date"] >= "2026"]
    assert messages.records[STREAM] == [{"connection_id": connection.id, **row} for row in shown]


@pytest.mark.parametrize(
    ("start_date", "expected"),
    [
        ("2026-03-02T09:29:59Z", [("2026-03-01", "2026-03-31")]),
        ("2025-04-30T23:59:59Z", [("2025-04-01", "2026-03-31")]),
        (
            "2025-03-31",
            [("2025-03-01", "2026-02-28"), ("2026-03-01", "2026-03-31")],
        ),
        # 1 January in the west is December in UTC no more than here: months are UTC's.
        ("2025-12-31T22:30:00-05:00", [("2026-01-01", "2026-03-31")]),
        ("2027-01-01", [("2026-03-01", "2026-03-31")]),
    ],
)
def test_a_start_date_is_widened_to_its_whole_month(
    start_date: str, expected: list[tuple[str, str]]
) -> None:
    world, _ = ledger()
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM, start_date=start_date)
    assert ranges(simulator) == expected
    assert months(messages)[0] == expected[0][0][:7]
    assert months(messages)[-1] == "2026-03"


def test_no_call_asks_for_more_than_a_year_whatever_the_start() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM, start_date="2019-07-01")
    asked = ranges(simulator)
    assert len(asked) == 7
    assert asked[0][0] == "2019-07-01"
    assert asked[-1][1] == "2026-03-31"
    for (_, end), (start, _) in itertools.pairwise(asked):
        day_after = datetime.fromisoformat(end).timestamp() + DAY
        assert datetime.fromtimestamp(day_after).date().isoformat() == start
    for first, last in asked:
        days = datetime.fromisoformat(last) - datetime.fromisoformat(first)
        assert days.days < 366
    assert months(messages) == months_of(world, connection)


@pytest.mark.parametrize(
    ("again", "first"), [(12, "2025-04-01"), (3, "2026-01-01"), (1, "2026-03-01")]
)
def test_a_later_run_reads_the_last_months_again(again: int, first: str) -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM)
        simulator.requests.clear()
        world.update(
            connection.id, PATH, month_key(world, connection, first[:7]), total_assets="77.70"
        )
        messages = sync(simulator, STREAM, state=before.state, statement_months=again)
    assert ranges(simulator) == [(first, "2026-03-31")]
    assert months(messages)[0] == first[:7]
    restated = {row["start_date"][:10]: row["total_assets"] for row in messages.records[STREAM]}
    assert restated[first] == "77.70"


def test_nothing_is_left_out_after_a_pause_of_20_months() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM)
        simulator.requests.clear()
        world.advance(20 * 30.5 * DAY)
        assert f"{world.now:%Y-%m}" == "2027-11"
        after = sync(simulator, STREAM, state=before.state)
        assert ranges(simulator) == [
            ("2025-04-01", "2026-03-31"),
            ("2026-04-01", "2027-03-31"),
            ("2027-04-01", "2027-11-30"),
        ]
        known = months_of(world, connection)
        assert len(known) > 45
        assert sorted({*months(before), *months(after)}) == known
        # With few months to read again the pause is still covered.
        simulator.requests.clear()
        short = sync(simulator, STREAM, state=before.state, statement_months=1)
    assert ranges(simulator)[0][0] == "2026-03-01"
    assert sorted({*months(before), *months(short)}) == known


def test_a_month_that_is_missing_holds_the_bookmark_until_it_comes() -> None:
    world, connection = ledger()
    world.delete(connection.id, PATH, month_key(world, connection, "2025-10"))
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM, statement_months=2)
        assert "2025-10" not in months(before)
        assert bookmark(before, STREAM)["replication_key_value"].startswith("2025-09-01")
        world.create(
            connection.id,
            PATH,
            start_date="2025-10-01T00:00:00.000Z",
            end_date="2025-10-31T00:00:00.000Z",
        )
        simulator.requests.clear()
        after = sync(simulator, STREAM, state=before.state, statement_months=2)
    assert ranges(simulator) == [("2025-08-01", "2026-03-31")]
    assert "2025-10" in months(after)
    assert bookmark(after, STREAM)["replication_key_value"].startswith("2026-03-01")


def test_a_gap_in_the_months_read_again_never_sets_the_bookmark_back() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM)
        world.delete(connection.id, PATH, month_key(world, connection, "2025-10"))
        after = sync(simulator, STREAM, state=before.state)
    assert bookmark(after, STREAM) == bookmark(before, STREAM)


def test_an_earlier_start_date_reads_the_missing_months_once() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        first = sync(simulator, STREAM, start_date="2026-01-01")
        simulator.requests.clear()
        second = sync(simulator, STREAM, state=first.state, start_date="2024-01-01")
        assert ranges(simulator)[0][0] == "2024-01-01"
        assert months(second) == [m for m in months_of(world, connection) if m >= "2024-01"]
        simulator.requests.clear()
        sync(simulator, STREAM, state=second.state, start_date="2024-01-01")
    assert ranges(simulator) == [("2025-04-01", "2026-03-31")]


def test_older_months_that_come_later_are_read() -> None:
    world, connection = ledger()
    connection.historical_sync_completed = False
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM, start_date="2022-01-01")
        made = world.add_history_batch(connection.id, {PATH: 6})
        after = sync(simulator, STREAM, state=before.state, start_date="2022-01-01")
    assert len(made[PATH]) == 6
    assert months(after) == months_of(world, connection)
    assert months(after)[:6] == [m for m in months(after) if m not in months(before)]


def test_a_ledger_without_statements_has_no_bookmark() -> None:
    world, connection = ledger()
    connection.not_enabled.add(PATH)
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM)
    assert outcome(messages) == {(connection.id, STREAM): ("complete", None)}
    assert STREAM not in messages.state["bookmarks"]


# ---- answers that come later


def job_requests(simulator: Simulator) -> list[str | None]:
    """For each request to a job the connection whose access token it bore."""
    return [entry.connection_id for entry in simulator.requests if entry.path.startswith("/jobs/")]


@pytest.mark.parametrize("shape", ["flat", "wrapped"])
def test_a_job_is_followed_to_its_end(shape: str) -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        at_once = sync(simulator, STREAM, start_date="2026-01-01")
        simulator.requests.clear()
        world.switches.set("async_response", True)
        world.switches.set("job_shape", shape)
        world.switches.set("job_polls", 3)
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    assert messages.records[STREAM] == at_once.records[STREAM] != []
    assert bookmark(messages, STREAM) == bookmark(at_once, STREAM)
    # Asked three times in vain, then the fourth time it is there; no other request.
    assert at_once.waits + messages.waits == (1.0, 2.0, 4.0)
    assert job_requests(simulator) == [None] * 4
    assert len(simulator.requests) == 3 + 1 + 4
    assert {entry.connection_id for entry in simulator.requests.to(PATH)} == {connection.id}


def test_a_job_that_is_there_at_once_is_not_waited_for() -> None:
    world, _ = ledger()
    world.switches.set("async_response", True)
    world.switches.set("job_polls", 0)
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    assert months(messages) == ["2026-01", "2026-02", "2026-03"]
    assert messages.waits == ()
    assert len(job_requests(simulator)) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_job_that_wants_the_access_token_gets_it(status: int) -> None:
    world, connection = ledger()
    refused = '{"error_type":"INVALID_REQUEST","error_code":"MISSING","error_message":"a token"}'
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=PROMISE)
        simulator.faults.add("respond", path="/jobs/j", nth=1, status=status, body=refused)
        pending, done = '{"id":"j","status":"pending"}', job_of('{"balance_sheets":[]}')
        for body in (pending, done):
            simulator.faults.add(
                "respond", path="/jobs/j", params={"access_token": "*"}, status=200, body=body
            )
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    assert outcome(messages) == {(connection.id, STREAM): ("complete", None)}
    assert job_requests(simulator) == [None, connection.id, connection.id]
    assert messages.waits == (1.0,)


@pytest.mark.parametrize("shape", ["flat", "wrapped"])
def test_a_failed_job_fails_its_partition_and_no_other(shape: str) -> None:
    world, ill = ledger()
    well = world.add_connection("QUICKBOOKS")
    world.switches.set("async_response", True)
    world.switches.set("job_shape", shape)
    world.switches.set("job_result", "failure", path=PATH, connection_id=ill.id)
    with Simulator(world) as simulator:
        messages = sync(simulator, *PATHS, start_date="2026-01-01")
    assert {pair: told[0] for pair, told in outcome(messages).items()} == {
        (connection.id, stream): "complete" for connection in (ill, well) for stream in PATHS
    } | {(ill.id, STREAM): "failed"}
    assert {row["connection_id"] for row in messages.records[STREAM]} == {well.id}
    partitions = messages.state["bookmarks"][STREAM]["partitions"]
    assert [entry["context"]["connection_id"] for entry in partitions] == [well.id]
    failed = next(row for row in messages.records["sync_report"] if row["status"] == "failed")
    assert "the job failed" in failed["error_message"]


def test_a_failed_job_among_several_calls_moves_no_bookmark() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM)
        world.advance(20 * 30.5 * DAY)
        fault = '{"async_response":{"id":"none-such","status":"prequeued","response_url":"u"}}'
        simulator.faults.add(
            "respond",
            path=PATH,
            params={"start_date": "2026-04-01T00:00:00.000Z"},
            status=200,
            body=fault,
        )
        messages = sync(simulator, STREAM, state=before.state)
    assert outcome(messages)[connection.id, STREAM][0] == "failed"
    assert bookmark(messages, STREAM) == bookmark(before, STREAM)
    assert before.waits + messages.waits == ()


def test_a_job_that_is_never_done_fails_after_the_time_for_retries() -> None:
    world, slow = ledger()
    world.switches.set("async_response", True, connection_id=slow.id)
    world.switches.set("job_polls", 1_000_000)
    well = world.add_connection("QUICKBOOKS")
    with Simulator(world) as simulator:
        messages = sync(simulator, STREAM, start_date="2026-01-01", max_retry_seconds=100)
    assert outcome(messages) == {
        (slow.id, STREAM): ("failed", "retries_exhausted"),
        (well.id, STREAM): ("complete", None),
    }
    # The waits grow to half a minute, and none goes beyond the time that is given.
    assert messages.waits == (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)
    assert len(job_requests(simulator)) == 8


@pytest.mark.parametrize("identity", ["../connections", "a/b", "", "x?y=1", "ä"])
def test_the_id_of_a_job_cannot_lead_elsewhere(identity: str) -> None:
    world, connection = ledger()
    body = f'{{"async_response":{{"id":"{identity}","status":"pending","response_url":"u"}}}}'
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=body)
        messages = sync(simulator, STREAM, start_date="2026-01-01")
    assert outcome(messages)[connection.id, STREAM] == ("failed", "bad_response")
    assert {entry.path for entry in simulator.requests} == {
        "/connections",
        "/connections/access_token",
        "/connections/status",
        PATH,
    }


def test_a_body_of_a_job_that_is_text_is_read_too() -> None:
    world, connection = ledger()
    row = world.rows(connection.id, PATH)[0]
    text = json.dumps({"balance_sheets": [{"start_date": row["start_date"]}]})
    with Simulator(world) as simulator:
        simulator.faults.add("respond", path=PATH, status=200, body=PROMISE)
        simulator.faults.add("respond", path="/jobs/j", status=200, body=job_of(json.dumps(text)))
        messages = sync(simulator, STREAM, start_date="2026-03-01")
    assert messages.records[STREAM] == [
        {"connection_id": connection.id, "start_date": row["start_date"]}
    ]
    assert messages.waits == ()


def test_months_are_those_of_utc_at_the_edge_of_a_month() -> None:
    world = World(7, start=datetime(2026, 3, 31, 23, 30, tzinfo=UTC))
    connection = world.add_connection("QUICKBOOKS")
    with Simulator(world) as simulator:
        before = sync(simulator, STREAM, start_date="2026-02-10")
        world.advance(3600)
        simulator.requests.clear()
        after = sync(
            simulator, STREAM, state=before.state, start_date="2026-02-10", statement_months=1
        )
    assert months(before)[-1] == "2026-03"
    assert ranges(simulator) == [("2026-03-01", "2026-04-30")]
    assert months(after) == ["2026-03", "2026-04"]
    assert months_of(world, connection)[-1] == "2026-04"
