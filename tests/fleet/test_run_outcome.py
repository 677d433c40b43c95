"""How a run ended: when it has succeeded, what it did for whom, and whose fault a failure is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tap_rutter.fleet.model import Fault, RunResult
from tap_rutter.fleet.runs.outcome import Report, is_race, outcomes_of, result_of
from tap_rutter.fleet.runs.pipe import States, Tail, Watched

LAST = {
    "exit_code": 0,
    "reason": None,
    "message": None,
    "last_state": 2,
    "requests": 9,
    "throttled": 4,
}


def row(connection: str, stream: str = "commerce_orders", **more: Any) -> dict[str, Any]:
    return {
        "connection_id": connection,
        "stream": stream,
        "status": "complete",
        "reason": None,
        "error_message": None,
        "rows": 3,
        "requests": 2,
        **more,
    }


def tail(text: str = "") -> Tail:
    kept = Tail()
    kept.add(text.encode())
    return kept


def seen(*, landed: int = 2, tap_said: str = "", target_said: str = "", **more: Any) -> Watched:
    states = States()
    states.last_number = landed
    return Watched(
        states=states,
        tap_said=tail(tap_said),
        target_said=tail(target_said),
        **{"tap_exit": 0, "target_exit": 0, **more},
    )


def result(
    watched: Watched,
    *rows: Mapping[str, Any],
    last: Mapping[str, Any] | None = LAST,
    is_there: bool = True,
) -> RunResult:
    return result_of(
        ("a", "b"),
        watched,
        Report([*rows], last),
        seconds=1.5,
        is_database_there=lambda: is_there,
    )


# ---- success


def test_a_run_has_succeeded_when_the_last_state_has_landed() -> None:
    good = result(seen(), row("a"), row("b"))
    assert good.fault is None
    assert not good.stopped
    assert [outcome.succeeded for outcome in good.outcomes] == [True, True]
    assert (good.seconds, good.throttled, good.tap_exit, good.target_exit) == (1.5, 4, 0, 0)


@pytest.mark.parametrize(
    "watched",
    [
        seen(landed=1),
        seen(landed=0),
        seen(target_exit=1),
        seen(target_exit=-9),
        seen(target_exit=None),
        seen(tap_exit=-9),
        seen(tap_exit=None, target_exit=None),
        seen(tap_exit=1),
        seen(tap_exit=143),
    ],
)
def test_anything_less_is_no_success(watched: Watched) -> None:
    bad = result(watched, row("a"), row("b"))
    assert bad.fault is Fault.RUN
    assert bad.outcomes == ()
    assert bad.message


def test_a_report_without_its_last_line_is_no_success() -> None:
    bad = result(seen(), row("a"), row("b"), last=None)
    assert bad.fault is Fault.RUN
    assert bad.outcomes == ()


def test_a_run_that_wrote_no_state_is_no_success() -> None:
    assert result(seen(landed=0), row("a"), last={**LAST, "last_state": 0}).fault is Fault.RUN


# ---- outcomes


def test_one_connections_failure_is_its_own() -> None:
    watched = seen(tap_exit=1)
    rows = [
        row("a"),
        row("b", status="failed", reason="refused", error_message="/orders answered 450"),
        row("b", "commerce_products", status="failed", reason="retries_exhausted"),
    ]
    told = result(watched, *rows, last={**LAST, "exit_code": 1})
    assert told.fault is Fault.CONNECTION
    good, bad = told.outcomes
    assert (good.connection_id, good.succeeded, good.rows, good.requests) == ("a", True, 3, 2)
    assert (bad.connection_id, bad.succeeded, bad.reason) == ("b", False, "retries_exhausted")
    assert (bad.rows, bad.requests) == (6, 4)


FAILED = {"status": "failed", "reason": "refused", "error_message": "no"}
IDLE = {"status": "skipped", "reason": "not_synced_since"}
BILLS, FILES = "accounting_bills", "accounting_bill_attachments"


@pytest.mark.parametrize(
    ("rows", "failed", "read_others"),
    [
        ([row("a"), row("a", BILLS, **FAILED)], (BILLS,), True),
        ([row("a", BILLS, **FAILED)], (BILLS,), False),
        ([row("a", "*", **IDLE), row("a", BILLS, **FAILED)], (BILLS,), True),
        # A webhook tells of the parent for both.
        ([row("a", BILLS), row("a", FILES, **FAILED)], (FILES, BILLS), True),
        # That Rutter says how a connection stands does not prove that it can be read.
        ([row("a", "connection_statuses"), row("a", BILLS, **FAILED)], (BILLS,), False),
        ([row("a"), row("a", "*", **FAILED)], (), True),
        ([row("a"), row("a", BILLS, **{**FAILED, "reason": "unauthorized"})], (), True),
        ([row("a"), row("a", BILLS, status="skipped", reason="unsupported")], (), True),
    ],
)
def test_a_streams_failure_is_told_from_that_of_its_connection(
    rows: list[Mapping[str, Any]], failed: tuple[str, ...], read_others: bool
) -> None:
    (told,) = outcomes_of(["a"], rows)
    assert set(told.failed_streams) == set(failed)
    assert told.read_others is read_others


@pytest.mark.parametrize("reason", ["needs_reauth", "disabled", "not_ready"])
def test_a_connection_that_is_skipped_for_its_status_has_not_failed(reason: str) -> None:
    whole = row("a", "*", status="skipped", reason=reason, rows=0, requests=1)
    (told,) = outcomes_of(["a"], [whole])
    assert (told.succeeded, told.reason) == (True, reason)


def test_a_token_that_is_refused_is_a_failure() -> None:
    whole = row("a", "*", status="skipped", reason="unauthorized", error_message="401")
    (told,) = outcomes_of(["a"], [whole, row("a")])
    assert (told.succeeded, told.reason, told.message) == (False, "unauthorized", "401")


@pytest.mark.parametrize("reason", ["unsupported", "unavailable", "not_activated"])
def test_a_stream_that_there_is_not_is_no_failure(reason: str) -> None:
    (told,) = outcomes_of(["a"], [row("a", status="skipped", reason=reason)])
    assert (told.succeeded, told.reason) == (True, None)


def test_what_was_interrupted_has_not_succeeded() -> None:
    (told,) = outcomes_of(["a"], [row("a", status="interrupted", reason="interrupted")])
    assert (told.succeeded, told.reason) == (False, "interrupted")


def test_a_connection_that_rutter_does_not_list_has_failed() -> None:
    told = outcomes_of(["a", "b"], [row("a")], unlisted=["b"])
    assert [(outcome.succeeded, outcome.reason) for outcome in told] == [
        (True, None),
        (False, "unlisted"),
    ]


def test_rows_of_the_organisation_are_nobodys() -> None:
    assert outcomes_of(["a"], [row("*", "connections", status="failed")])[0].succeeded


def test_a_report_is_read_as_far_as_its_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    assert Report.read(path) == Report()
    lines: list[Mapping[str, Any]] = [row("a"), row("b")]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text + json.dumps(LAST)[:20], encoding="utf-8")
    assert Report.read(path) == Report(lines, None)
    path.write_text(text + json.dumps(LAST) + "\n", encoding="utf-8")
    assert Report.read(path) == Report(lines, LAST)


# ---- whose fault

OPERATIONAL = "sqlalchemy.exc.OperationalError: (psycopg.OperationalError) connection failed: "
FLEET = [
    OPERATIONAL + 'connection to server at "127.0.0.1", port 1 failed: Connection refused',
    OPERATIONAL + "FATAL:  password authentication failed for user",
    OPERATIONAL + 'FATAL:  database "x" does not exist',
    OPERATIONAL + "FATAL:  the database system is starting up",
    OPERATIONAL + "FATAL:  sorry, too many clients already",
    "psycopg.OperationalError: [Errno -2] Name or service not known",
    "psycopg.errors.DiskFull: could not extend file: No space left on device",
    "psycopg.errors.InsufficientPrivilege: permission denied for schema rutter",
]


@pytest.mark.parametrize("said", FLEET)
def test_a_database_that_lets_nobody_in_is_the_fleets(said: str) -> None:
    watched = seen(landed=0, target_exit=1, tap_exit=-9, target_said=f"Traceback\n{said}\n")
    told = result(watched, last=None)
    assert told.fault is Fault.FLEET
    assert said[:40] in told.message


def test_a_database_that_has_gone_is_the_fleets_however_the_target_says_it() -> None:
    watched = seen(landed=0, target_exit=1, tap_exit=-9, target_said="consuming input failed")
    assert result(watched, last=None).fault is Fault.RUN
    assert result(watched, last=None, is_there=False).fault is Fault.FLEET
    quiet = seen(landed=0)
    assert result(quiet).fault is Fault.RUN
    assert result(quiet, is_there=False).fault is Fault.FLEET


@pytest.mark.parametrize("code", [1, 2, -9, -11])
def test_a_target_that_died_is_the_runs(code: int) -> None:
    watched = seen(landed=0, target_exit=code, tap_exit=-9, target_said="Traceback\nValueError: x")
    told = result(watched, last=None)
    assert told.fault is Fault.RUN
    assert "ValueError: x" in told.message


def test_settings_and_credentials_are_the_fleets() -> None:
    bad = "ERROR | Setting 'page_size' must be an integer from 1 to 500."
    told = result(seen(landed=0, tap_exit=2, tap_said=bad), last=None)
    assert told.fault is Fault.FLEET
    assert "'page_size'" in told.message
    refused = {**LAST, "exit_code": 3, "message": "Rutter refuses 'client_id'"}
    told = result(seen(tap_exit=3), last=refused)
    assert (told.fault, told.message) == (Fault.FLEET, "Rutter refuses 'client_id'")


@pytest.mark.parametrize(
    "said",
    [
        "The given state cannot be read: bookmarks.commerce_orders must be an object.",
        "The file that setting 'connections_file' names cannot be used: connections[3].id …",
    ],
)
def test_one_connections_state_does_not_stop_the_fleet(said: str) -> None:
    told = result(seen(landed=0, tap_exit=2, tap_said=said), last=None)
    assert told.fault is Fault.RUN


def test_an_api_that_does_not_answer_is_the_fleets() -> None:
    last = {**LAST, "exit_code": 1, "reason": "unreachable", "message": "nothing answers at h"}
    told = result(seen(tap_exit=1), last=last)
    assert (told.fault, told.message) == (Fault.FLEET, "nothing answers at h")


def test_a_command_that_is_not_there_is_the_fleets() -> None:
    said = "target-x cannot be started: No such file or directory"
    told = result(seen(landed=0, target_exit=127, tap_exit=-9, target_said=said), last=None)
    assert told.fault is Fault.FLEET
    assert said in told.message
    told = result(seen(landed=0, tap_exit=127, tap_said=said), last=None)
    assert told.fault is Fault.FLEET


@pytest.mark.parametrize("how", [{"was_stopped": True}, {"was_killed": True}])
def test_a_run_that_was_asked_to_end_counts_against_nobody(how: dict[str, Any]) -> None:
    ended = seen(landed=1, tap_exit=143, **how)
    told = result(ended, row("a"), last={**LAST, "exit_code": 143})
    assert (told.stopped, told.fault, told.outcomes) == (True, None, ())


def test_a_run_that_was_done_before_it_could_be_stopped_has_succeeded() -> None:
    told = result(seen(was_stopped=True), row("a"), row("b"))
    assert (told.stopped, told.fault, len(told.outcomes)) == (False, None, 2)


def test_a_run_that_nobody_heard_of_any_more_is_the_runs() -> None:
    told = result(seen(landed=0, tap_exit=-9, was_killed=True, was_silent=True), last=None)
    assert (told.stopped, told.fault) == (False, Fault.RUN)


# ---- set-up races

RACES = [
    'psycopg.errors.DuplicateTable: relation "orders" already exists',
    '(psycopg.errors.DuplicateColumn) column "x" of relation "orders" already exists',
    'psycopg.errors.DuplicateSchema: schema "rutter" already exists',
    "psycopg.errors.UniqueViolation: duplicate key value violates unique constraint"
    ' "pg_type_typname_nsp_index"\nDETAIL: …',
    'duplicate key value violates unique constraint "pg_namespace_nspname_index"',
    "ERROR: 42P07",
    "psycopg.errors.InternalError_: tuple concurrently updated",
]


@pytest.mark.parametrize("said", RACES)
def test_targets_that_fell_over_each_other_are_told_apart(said: str) -> None:
    assert is_race(seen(target_exit=1, target_said=f"Traceback\n{said}\n"))
    assert not is_race(seen(target_exit=0, target_said=said))


def test_a_violation_in_a_table_of_ones_own_is_no_race() -> None:
    said = (
        "psycopg.errors.UniqueViolation: duplicate key value violates unique constraint"
        ' "orders_number_key"'
    )
    assert not is_race(seen(target_exit=1, target_said=said))
    assert not is_race(seen(target_exit=1, target_said="ValueError"))


# ---- what comes out of a target


def test_states_are_taken_however_the_output_is_cut() -> None:
    lines = [{"bookmarks": {"s": {"x": number}}, "state_number": number} for number in (1, 2, 5)]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    for size in (1, 7, len(text)):
        states = States()
        found = [
            state for at in range(0, len(text), size) for state in states.read(text[at : at + size])
        ]
        assert found == [{"bookmarks": {"s": {"x": number}}} for number in (1, 2, 5)]
        assert states.last_number == 5


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Loading...",
        b"{",
        b"[1, 2]",
        b"null",
        b'{"bookmarks": {}}',
        b'{"bookmarks": {}, "state_number": "7"}',
        b'{"bookmarks": {}, "state_number": 1}',
        b'{"bookmarks": {}, "state_number": 2',
        b'{"state_number": \xff}',
        b"{" * 100_000,
    ],
)
def test_what_is_no_newer_state_is_passed_over(line: bytes) -> None:
    states = States()
    assert states.read(b'{"bookmarks": {}, "state_number": 1}\n')
    assert states.read(line + b"\n") == []
    assert states.read(b'{"bookmarks": {}, "state_number": 2}\n') == [{"bookmarks": {}}]


def test_a_line_without_an_end_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_rutter.fleet.runs.pipe._LONGEST_STATE", 1000)
    states = States()
    for _ in range(100):
        assert states.read(b"{" * 99) == []
        assert sum(map(len, states._begun)) <= 1100
    assert states.read(b'\n{"bookmarks": {}, "state_number": 1}\n') == [{"bookmarks": {}}]


def test_of_what_is_said_the_last_lines_are_kept() -> None:
    kept = Tail()
    for number in range(100_000):
        kept.add(f"line {number}\n".encode())
    assert kept.text.splitlines()[-1] == "line 99999"
    assert kept.text.splitlines()[0].startswith("line ")
    assert len(kept.text) < 40_000
