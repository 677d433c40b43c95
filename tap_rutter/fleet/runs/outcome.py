"""How a run ended: for each connection by the tap's own report, and whose fault a failure is. Pure.

A run has succeeded when the tap has reported to its end, the target has ended with 0, and the
target has said that the last STATE of the tap has landed. One without the other proves nothing: a
target may end with 0 and nothing landed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tap_rutter.fleet.model import ALL_STREAMS, CHILDREN, ConnectionOutcome, Fault, RunResult
from tap_rutter.fleet.runs.pipe import Watched

_LONGEST = 500

BAD_CONFIG, REFUSED, CANNOT_START = 2, 3, 127
ALL_CONNECTIONS = "*"
_BENIGN = frozenset(
    {"unsupported", "unavailable", "not_activated", "not_synced_since", "not_ready"}
    | {"needs_reauth", "disabled"}
)
"""Reasons of ``sync_report`` that are not failures."""
_WHOLE = frozenset({"unauthorized", "interrupted"})
"""Reasons that say nothing about the stream: its connection has failed, or the run."""
_NO_PROOF = frozenset(
    {ALL_STREAMS, "connections", "connection_statuses", "connection_sync_configs"}
    | {"deleted_objects", "sync_report"}
)
"""Streams that Rutter answers for any connection, whether or not its data can be read."""
_WORST_FIRST = (
    "unauthorized",
    "needs_reauth",
    "disabled",
    "not_ready",
    "rate_limited",
    "retries_exhausted",
)

# SQLSTATEs as drivers show them: by number, or by the name of an exception's class.
_RACE = re.compile(
    r"DuplicateTable|DuplicateColumn|DuplicateSchema|DeadlockDetected|"
    r"\b(?:42P07|42701|42P06|40P01)\b|tuple concurrently updated|"
    r"(?:UniqueViolation|23505|duplicate key)[\s\S]{0,300}?pg_[a-z]+_[a-z_]*index"
)
_FLEET = re.compile(
    r"could not (?:translate host name|connect to server|resolve|extend file)|"
    r"connection (?:to server [\s\S]{0,200}? )?failed: (?:connection|could not|FATAL|timeout)|"
    r"Connection refused|Connection timed out|connection timeout expired|timeout expired|"
    r"Name or service not known|Temporary failure in name resolution|nodename nor servname|"
    r"Network is unreachable|No route to host|No space left on device|"
    r"password authentication failed|no pg_hba\.conf entry|"
    r"(?:database|role) \"[^\"]*\" does not exist|permission denied for (?:schema|database)|"
    r"the database system is |remaining connection slots|too many (?:clients|connections)|"
    r"certificate verify failed|read-only transaction",
    re.IGNORECASE,
)
_STATE_UNREADABLE = ("The given state cannot be read", "'connections_file' names cannot be used")


@dataclass
class Report:
    """What the tap has written to its report file."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    last: Mapping[str, Any] | None = None
    """The last line, about the run; None if the tap was killed."""

    @classmethod
    def read(cls, path: Path) -> Report:
        """The lines that are whole; none where there is no file."""
        report = cls()
        try:
            content = path.read_bytes()
        except OSError:
            return report
        decoder = msgspec.json.Decoder(dict[str, Any])
        for line in content.split(b"\n")[:-1]:
            row = decoder.decode(line)
            if "exit_code" in row:
                report.last = row
            else:
                report.rows.append(row)
        return report


def is_race(seen: Watched) -> bool:
    """Whether the target failed since another made the same table at that moment."""
    return _target_failed(seen) and _RACE.search(seen.target_said.text) is not None


def result_of(
    members: Sequence[str],
    seen: Watched,
    report: Report,
    *,
    seconds: float,
    is_database_there: Callable[[], bool] = lambda: True,
    unlisted: Iterable[str] = (),
) -> RunResult:
    """The result of a run.

    Args:
        members: Ids of the claim's connections.
        seen: Its processes, from outside.
        report: What the tap said.
        seconds: How long it took.
        is_database_there: Asked only where it decides whose fault a failure is.
        unlisted: Members of which Rutter's list knows nothing; they were not run.
    """
    last = report.last or {}
    facts: dict[str, Any] = {
        "seconds": seconds,
        "tap_exit": seen.tap_exit,
        "target_exit": seen.target_exit,
        "throttled": int(last.get("throttled") or 0),
    }
    if has_landed(seen, report) and last.get("reason") != "unreachable":
        outcomes = outcomes_of(members, report.rows, unlisted)
        failed = not all(outcome.succeeded for outcome in outcomes)
        return RunResult(outcomes, fault=Fault.CONNECTION if failed else None, **facts)
    if seen.was_silent:
        said = "Neither tap nor target gave a sign of life for an hour: the run was killed."
        return RunResult((), fault=Fault.RUN, message=said, **facts)
    if seen.was_stopped or seen.was_killed:
        return RunResult((), stopped=True, message="The run was asked to end.", **facts)
    fault, message = _blame(seen, report, is_database_there)
    return RunResult((), fault=fault, message=message[:_LONGEST], **facts)


def has_landed(seen: Watched, report: Report) -> bool:
    """Whether all that the tap has written is in the target, and the tap came to its end."""
    last = report.last
    return (
        last is not None
        and seen.tap_exit in {0, 1}
        and last["exit_code"] == seen.tap_exit
        and seen.target_exit == 0
        and 0 < last["last_state"] <= seen.states.last_number
    )


def outcomes_of(
    members: Sequence[str], rows: Iterable[Mapping[str, Any]], unlisted: Iterable[str] = ()
) -> tuple[ConnectionOutcome, ...]:
    """What a run that came to its end did for each of its members."""
    by_connection: dict[str, list[Mapping[str, Any]]] = {name: [] for name in members}
    for row in rows:
        by_connection.get(row["connection_id"], []).append(row)
    missing = set(unlisted)
    return tuple(
        _unlisted(name) if name in missing else _outcome(name, by_connection[name])
        for name in members
    )


def _outcome(connection_id: str, rows: Sequence[Mapping[str, Any]]) -> ConnectionOutcome:
    failed = [row for row in rows if _failed(row)]
    # A connection that is skipped whole has a row of its own; what its platform does not serve
    # stands there too, and is not the reason.
    skipped = [
        row
        for row in rows
        if row["stream"] == ALL_STREAMS
        and row["reason"] in {"not_ready", "needs_reauth", "disabled"}
    ]
    told = sorted(failed or skipped, key=_badness)
    worst = told[0] if told else None
    message = ""
    if worst is not None and worst["error_message"]:
        where = "" if worst["stream"] == ALL_STREAMS else f"{worst['stream']}: "
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        message = f"{where}{worst['error_message']}"[:_LONGEST] + more
    is_whole = any(row["stream"] == ALL_STREAMS or row["reason"] in _WHOLE for row in failed)
    return ConnectionOutcome(
        connection_id,
        succeeded=not failed,
        reason=worst["reason"] if worst else None,
        message=message,
        rows=sum(row["rows"] for row in rows),
        requests=sum(row["requests"] for row in rows),
        failed_streams=() if is_whole else _with_parents(row["stream"] for row in failed),
        read_others=any(
            row["reason"] == "not_synced_since"
            or (row["status"] == "complete" and row["stream"] not in _NO_PROOF)
            for row in rows
        ),
    )


def _with_parents(streams: Iterable[str]) -> tuple[str, ...]:
    """The streams, and those of which a webhook tells in their place."""
    found = set(streams)
    return tuple(sorted(found | {above for above, child in CHILDREN.items() if child in found}))


def _failed(row: Mapping[str, Any]) -> bool:
    status, reason = str(row["status"]), row["reason"]
    return reason not in _BENIGN if status == "skipped" else status != "complete"


def _badness(row: Mapping[str, Any]) -> tuple[bool, int]:
    reason = row["reason"]
    place = _WORST_FIRST.index(reason) if reason in _WORST_FIRST else len(_WORST_FIRST)
    return row["stream"] != ALL_STREAMS, place


def _unlisted(connection_id: str) -> ConnectionOutcome:
    return ConnectionOutcome(
        connection_id,
        succeeded=False,
        reason="unlisted",
        message="Rutter's list of connections does not have it: it was removed there, or it"
        " belongs to another organisation or environment.",
    )


# ---- whose fault


def _blame(
    seen: Watched, report: Report, is_database_there: Callable[[], bool]
) -> tuple[Fault, str]:
    last = report.last or {}
    if seen.tap_exit == BAD_CONFIG:
        said = _last_line(seen.tap_said.text)
        # One connection's state or row may be why; alone, it is found out.
        one = any(text in said for text in _STATE_UNREADABLE)
        return (Fault.RUN if one else Fault.FLEET), f"The tap refuses what it is given: {said}"
    if seen.tap_exit == REFUSED:
        return Fault.FLEET, last.get("message") or _last_line(seen.tap_said.text)
    if last.get("reason") == "unreachable":
        return Fault.FLEET, str(last["message"])
    if seen.tap_exit == CANNOT_START:
        return Fault.FLEET, f"The tap cannot be started: {_last_line(seen.tap_said.text)}"
    if _target_failed(seen):
        return _blame_for_target(seen, is_database_there)
    if seen.tap_exit in {None, 0, 1} and report.last is None:
        said = _last_line(seen.tap_said.text)
        return Fault.RUN, f"The tap ended {_how(seen.tap_exit)} and without its report. {said}"
    if seen.tap_exit not in {0, 1}:
        return Fault.RUN, f"The tap ended {_how(seen.tap_exit)} before it was done."
    if not is_database_there():
        return Fault.FLEET, "The target's database does not answer."
    return Fault.RUN, (
        f"The target ended {_how(seen.target_exit)}, and has not said that the tap's last STATE has"
        " landed."
    )


def _blame_for_target(seen: Watched, is_database_there: Callable[[], bool]) -> tuple[Fault, str]:
    said = seen.target_said.text
    message = f"The target ended {_how(seen.target_exit)}: {_last_line(said)}"
    if seen.target_exit == CANNOT_START or _FLEET.search(said) or not is_database_there():
        return Fault.FLEET, message
    return Fault.RUN, message


def _target_failed(seen: Watched) -> bool:
    return seen.target_exit not in {0, None}


def _how(code: int | None) -> str:
    if code is None:
        return "with its supervisor"
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def _last_line(text: str) -> str:
    """The last line that says something, such as an exception after its traceback."""
    lines = [line.strip() for line in text.splitlines()]
    telling = [
        line for line in lines if line and not line.startswith(("^", "(Background on", "[SQL"))
    ]
    return telling[-1] if telling else "It said nothing."
