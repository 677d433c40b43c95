"""The language of the parameter `filter`: comparisons, AND, OR, parentheses."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tap_rutter.simulator.tables import Row, is_time
from tap_rutter.simulator.text import parse_iso

Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*")|(?P<compare><=|>=|=|<|>)|(?P<paren>[()])"""
    r"""|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*))"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class BadFilter(ValueError):
    """The text is not a filter, or names a field that cannot be filtered by."""


def parse_filter(text: str, columns: set[str]) -> Test:
    """A test for rows; raises BadFilter for a text that cannot be read."""
    parser = _Parser(_tokens(text), columns)
    test = parser.alternatives()
    parser.end()
    return test


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise BadFilter(f"filter: cannot read {text[position:]!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], columns: set[str]) -> None:
        self._tokens = tokens
        self._columns = columns

    def alternatives(self) -> Test:
        tests = [self._all_of()]
        while self._word("OR"):
            tests.append(self._all_of())
        return lambda row: any(test(row) for test in tests)

    def end(self) -> None:
        if self._tokens:
            raise BadFilter(f"filter: {self._tokens[0][1]!r} was not expected")

    def _all_of(self) -> Test:
        tests = [self._one()]
        while self._word("AND"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        kind, text = self._next()
        if text == "(":
            test = self.alternatives()
            if self._next()[1] != ")":
                raise BadFilter("filter: a parenthesis is not closed")
            return test
        if kind != "word" or text not in self._columns:
            raise BadFilter(f"filter: {text!r} cannot be filtered by")
        operation = self._next()
        if operation[0] != "compare":
            raise BadFilter(f"filter: {operation[1]!r} is not a comparison")
        return _comparison(text, operation[1], *self._next())

    def _word(self, word: str) -> bool:
        if self._tokens and self._tokens[0] == ("word", word):
            del self._tokens[0]
            return True
        return False

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise BadFilter("filter: ends too early")
        return self._tokens.pop(0)


def _comparison(column: str, symbol: str, kind: str, text: str) -> Test:
    compare = _COMPARE[symbol]
    wanted: Any
    if kind == "number":
        wanted = Decimal(text)
        return lambda row: (
            _is_number(row.scalars.get(column)) and compare(row.scalars[column], wanted)
        )
    if kind != "text":
        raise BadFilter(f"filter: {text!r} is not a value; texts and times need double quotes")
    if is_time(column):
        wanted = parse_iso(text.strip('"'))
        if wanted is None:
            raise BadFilter(f"filter: {text} is not an ISO 8601 time")
        return lambda row: (found := row.times.get(column)) is not None and compare(found, wanted)
    if symbol != "=":
        raise BadFilter(f"filter: texts can be compared by = only, not by {symbol}")
    return lambda row: row.scalars.get(column) == text.strip('"')


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
