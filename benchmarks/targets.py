"""The goals, and whether they are met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import idle, receiving
from benchmarks.contestants import MANY
from benchmarks.loading import REFERENCE
from benchmarks.measure import median
from benchmarks.rows import Result

_AT_ONCE = "0 ms a page"
_ALL = "all"
_SLOW = "200 ms a page"
_MB = 1e6


@dataclass(frozen=True)
class Verdict:
    """A goal, with the row that it is about."""

    case: str
    group: str
    key: str
    target: str
    reached: str
    is_met: bool

    def __str__(self) -> str:
        return f"{self.target}: {self.reached}, {'met' if self.is_met else 'missed'}"


@dataclass(frozen=True)
class _Target:
    case: str
    text: str
    judge: Callable[[Result], Iterator[tuple[str, str, str, bool]]]
    """Gives the row's group and key, its value, and whether that meets the goal."""


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """The verdicts on goals whose rows were measured."""
    return [
        Verdict(target.case, group, key, target.text, reached, is_met)
        for result in results
        for target in _TARGETS
        if target.case == result.case
        for group, key, reached, is_met in target.judge(result)
    ]


def _rate_against(
    key: str, least: float
) -> Callable[[Result], Iterator[tuple[str, str, str, bool]]]:
    """Compares records per second of processor time, with one worker and no latency."""

    def judge(result: Result) -> Iterator[tuple[str, str, str, bool]]:
        tap, other = result.row(_AT_ONCE, "tap-1"), result.row(_AT_ONCE, key)
        if tap and other:
            times = tap.rate / other.rate
            yield (
                _AT_ONCE,
                key,
                f"{times:.2f} x",
                times >= least,
            )

    return judge


def _list_request(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    """The cost of a list request in a large fleet, with and without latency."""
    for group in result.groups:
        row = result.row(group, idle.REFERENCE)
        if group.startswith(f"{idle.LARGEST:,} connections") and row and row.each is not None:
            each = row.each * 1e3
            yield group, row.key, f"{each:.2f} ms", each <= 0.3


def _memory_of_connections(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    row = result.row(_ALL, "5000")
    if row:
        yield _ALL, row.key, f"{row.peak / _MB:.0f} MB", row.peak <= 300 * _MB


def _many_windows(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    one, many = result.row(_SLOW, "tap-1"), result.row(_SLOW, f"tap-{MANY}")
    if one and many:
        times = one.wall / many.wall
        yield _SLOW, f"tap-{MANY}", f"{times:.1f} x", times >= 10


def _at_once(group: str, least: float) -> Callable[[Result], Iterator[tuple[str, str, str, bool]]]:
    """How many times as fast many workers read a list as one."""

    def judge(result: Result) -> Iterator[tuple[str, str, str, bool]]:
        one, many = result.row(group, "tap-1"), result.row(group, f"tap-{MANY}")
        if one and many:
            times = one.wall / many.wall
            yield group, f"tap-{MANY}", f"{times:.1f} x", times >= least

    return judge


def _per_connection(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    few, many = result.row(_ALL, "10"), result.row(_ALL, "1000")
    if few and many and few.each and many.each:
        more = many.each / few.each - 1
        yield _ALL, "1000", f"{more:+.0%}", more <= 0.2


def _memory(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    row = result.row(_ALL, "1000000")
    if row:
        first, second = row.halves
        is_met = row.peak < 300 * _MB and second <= 1.1 * first
        grown = f"{second / first - 1:+.0%} in the second half" if first else "not sampled"
        yield row.group, row.key, f"{row.peak / _MB:.0f} MB, {grown}", is_met


def _into_postgres(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    tap, plain = result.row(_ALL, REFERENCE), result.row(_ALL, "plain_sdk-defaults")
    if tap and plain:
        times = plain.wall / tap.wall
        yield _ALL, "plain_sdk-defaults", f"{times:.1f} x", times >= 3


def _webhooks(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    """At 1,000 a second, signed or not."""
    for key in (receiving.REFERENCE, receiving.UNSIGNED):
        row = result.row(_ALL, key)
        if row and row.latencies:
            seconds = median(row.latencies)
            yield _ALL, key, f"{seconds * 1e3:.0f} ms", seconds < 0.1


_TARGETS = (
    _Target("idle", "≤ 0.3 ms of CPU a list request", _list_request),
    _Target("one-connection", "tap ≥ 10 x per CPU-second", _rate_against("plain_sdk-1", 10)),
    _Target("one-connection", "tap ≥ 5 x per CPU-second", _rate_against("dlt-1", 5)),
    _Target("one-connection", "tap ≥ 10 x per CPU-second", _rate_against("airbyte-1", 10)),
    _Target("one-connection", "tap ≥ 0.5 x per CPU-second", _rate_against("floor-1", 0.5)),
    _Target("one-connection", "≥ 10 x one worker", _many_windows),
    _Target("windows", "≥ 10 x one worker", _at_once("even over a year", 10)),
    _Target("windows", "≥ 5 x one worker", _at_once("bursts of two pages", 5)),
    _Target("windows", "≥ 5 x one worker", _at_once("bursts of five pages", 5)),
    _Target("windows", "≥ 5 x one worker", _at_once("bursts of ten pages", 5)),
    _Target("connections", "≤ 20 % above 10 connections", _per_connection),
    _Target("connections", "≤ 300 MB", _memory_of_connections),
    _Target("records", "< 300 MB and flat", _memory),
    _Target("postgres", "tap ≥ 3 x as fast", _into_postgres),
    _Target("fleet-receiver", "99 of 100 in < 100 ms", _webhooks),
)
