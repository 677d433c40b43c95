"""The rows of one list of one connection, and how a page of them is found."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from tap_rutter.simulator.text import encode, parse_iso, to_bytes

# Parts of a row that a list shows only if `expand` asks for them.
EXPANDABLE = ("platform_data", "transactions")
TIME_COLUMNS = ("created_at", "updated_at", "last_synced_at")

Bounds = tuple[int | None, int | None]


class Row:
    """One visible row: its text, and the values that lists sort and filter by."""

    __slots__ = ("body", "key", "parent", "parts", "scalars", "times")

    def __init__(
        self,
        key: str,
        body: bytes,
        *,
        times: Mapping[str, int | None],
        scalars: Mapping[str, Any],
        parts: Mapping[str, bytes] | None = None,
        parent: str | None = None,
    ) -> None:
        self.key = key
        self.body = body
        self.times = times
        self.scalars = scalars
        self.parts = parts or {}
        self.parent = parent

    def served(self, expand: Iterable[str] = ()) -> bytes:
        shown = [name for name in expand if name in self.parts]
        if not shown or not self.body.endswith(b"}"):
            return self.body
        extra = b"".join(b',"%s":%s' % (name.encode(), self.parts[name]) for name in shown)
        return self.body[:-1] + extra + b"}"


@dataclass
class Draft:
    """A row as the platform has it, without the stamp of a sync."""

    key: str
    data: dict[str, Any]
    times: dict[str, int | None]
    """Times in addition to those in the data. A time here wins."""
    parts: dict[str, bytes] = field(default_factory=dict)
    parent: str | None = None
    raw: str | None = None
    """Any text to serve instead of the data."""
    stamped: bool = False
    """Whether `last_synced_at` was given, so that a sync does not set it."""
    unseen: dict[str, Any] = field(default_factory=dict)
    """Values for sorting and filtering that rows of this API version do not show."""

    def land(self, stamp: int, show_stamp: Callable[[int], str] | None) -> Row:
        """The visible row; `show_stamp`: whether its data show the stamp."""
        data = self.data
        if not self.stamped:
            if self.raw is None and show_stamp is not None:
                data = {**data, "last_synced_at": show_stamp(stamp)}
            self.times["last_synced_at"] = stamp
        times: dict[str, int | None] = {}
        for name, value in data.items():
            if isinstance(value, str) and is_time(name):
                times[name] = parse_iso(value)
        # A time that the row shows as null, or as something that is not a time, sorts as null.
        times |= {name: None for name in TIME_COLUMNS if name in data and name not in times}
        times |= self.times
        text = self.raw if self.raw is not None else encode(data)
        shown = {k: v for k, v in data.items() if not isinstance(v, (dict, list))}
        return Row(
            self.key,
            to_bytes(text),
            times=times,
            scalars=self.unseen | shown,
            parts=self.parts,
            parent=self.parent,
        )


@dataclass(frozen=True)
class Pending:
    """A change at the platform that waits for a sync."""

    draft: Draft | None
    """None if the row was deleted."""
    changed_at: int


@dataclass(frozen=True)
class Cursor:
    """Points at the next row, by its sort value (a time in whole seconds) and its key."""

    token: str
    key: str


@dataclass(frozen=True)
class Query:
    """What a request asks a list for."""

    column: str
    descending: bool
    limit: int
    cursor: Cursor | None = None
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    """Inclusive bounds, Unix ms. A row with null in a bounded column is not shown."""
    equals: Mapping[str, str] = field(default_factory=dict)
    where: Callable[[Row], bool] | None = None
    parent: str | None = None
    nulls_first: bool = False
    exact_seek: bool = False
    expand: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    bodies: list[bytes]
    next: Cursor | None


class RowSource(Protocol):
    """A list of one connection, with stored or computed rows."""

    def page(self, query: Query) -> Page: ...

    def __len__(self) -> int: ...

    def bodies(self) -> Iterator[bytes]: ...

    def span(self) -> tuple[int, int] | None:
        """The oldest and newest `created_at` of the rows, or a similar time if they have none."""
        ...


class Table:
    """Stored rows, which can be changed."""

    def __init__(self, default_column: str = "updated_at") -> None:
        self.rows: dict[str, Row] = {}
        self.pending: dict[str, Pending] = {}
        """Changes at the platform that wait for a sync."""
        self._default_column = default_column
        self._orders: dict[tuple[str, bool, bool], _Order] = {}
        self._span: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def put(self, row: Row) -> None:
        self.rows[row.key] = row
        self._orders.clear()
        self._span = None

    def remove(self, key: str) -> Row | None:
        self._orders.clear()
        self._span = None
        return self.rows.pop(key, None)

    def in_order(self) -> list[Row]:
        """The rows, newest first."""
        return self._order(self._default_column, descending=True, nulls_first=False).rows

    def bodies(self) -> Iterator[bytes]:
        return (row.body for row in self.in_order())

    def span(self) -> tuple[int, int] | None:
        if self._span is None and self.rows:
            times = [t for row in self.rows.values() if (t := _age(row)) is not None]
            self._span = (min(times), max(times)) if times else None
        return self._span

    def page(self, query: Query) -> Page:
        order = self._order(query.column, query.descending, query.nulls_first)
        start, stop = order.within(query.bounds.get(query.column))
        if query.cursor is not None:
            found = order.seek(query.cursor, exact=query.exact_seek, limit=query.limit)
            start = max(start, found)
        bodies: list[bytes] = []
        rows = order.rows
        for position in range(start, stop):
            row = rows[position]
            if not _shown(row, query):
                continue
            if len(bodies) == query.limit:
                return Page(bodies, Cursor(order.token(position), row.key))
            bodies.append(row.served(query.expand))
        return Page(bodies, None)

    def _order(self, column: str, descending: bool, nulls_first: bool) -> _Order:
        key = (column, descending, nulls_first)
        found = self._orders.get(key)
        if found is None:
            found = self._orders[key] = _Order(self.rows.values(), *key)
        return found


def is_time(column: str) -> bool:
    return column.endswith(("_at", "date"))


def sort_value(row: Row, column: str) -> Any:
    """A row's value of this column for sorting: Unix ms for a time, else the value itself."""
    return row.times.get(column) if is_time(column) else row.scalars.get(column)


def _age(row: Row) -> int | None:
    for column in ("created_at", "updated_at", "transaction_date", "date", "start_date"):
        found = row.times.get(column)
        if found is not None:
            return found
    return row.times.get("last_synced_at")


def _shown(row: Row, query: Query) -> bool:
    if query.parent is not None and row.parent != query.parent:
        return False
    for column, (low, high) in query.bounds.items():
        value = row.times.get(column)
        if value is None or (low is not None and value < low):
            return False
        if high is not None and value > high:
            return False
    for column, wanted in query.equals.items():
        value = row.scalars.get(column)
        if value is None or str(value) != wanted:
            return False
    return query.where is None or query.where(row)


class _Order:
    """The rows of a list in one sort order: by value, then by key; nulls at one end."""

    def __init__(
        self, rows: Iterable[Row], column: str, descending: bool, nulls_first: bool
    ) -> None:
        known: list[tuple[Any, str, Row]] = []
        nulls: list[tuple[str, Row]] = []
        self._is_time = is_time(column)
        for row in rows:
            value = sort_value(row, column)
            if value is None:
                nulls.append((row.key, row))
            else:
                known.append((value, row.key, row))
        self._parse: Callable[[str], Any] = Decimal
        if not all(isinstance(value, (int, Decimal)) for value, _, _ in known):
            known = [(str(value), key, row) for value, key, row in known]
            self._parse = str
        known.sort(key=lambda entry: entry[:2], reverse=descending)
        nulls.sort(key=lambda entry: entry[0], reverse=descending)
        null_rows = [row for _, row in nulls]
        known_rows = [row for _, _, row in known]
        self.rows = null_rows + known_rows if nulls_first else known_rows + null_rows
        self._first = len(nulls) if nulls_first else 0
        self._first_null = 0 if nulls_first else len(known)
        self._values = [value for value, _, _ in known]
        self._sign = -1 if descending else 1
        if self._is_time:
            # Always ascending, so that a bisection works for both directions.
            self._seconds = [self._sign * (value // 1000) for value in self._values]
            self._signed = [self._sign * value for value in self._values]
        self._position = {row.key: index for index, row in enumerate(self.rows)}

    def within(self, bounds: Bounds | None) -> tuple[int, int]:
        """The range of rows within the bounds on the sort column."""
        if bounds is None or not self._is_time:
            return 0, len(self.rows)
        low, high = bounds if self._sign == 1 else (bounds[1], bounds[0])
        start = 0 if low is None else bisect_left(self._signed, self._sign * low)
        stop = (
            len(self._signed) if high is None else bisect_left(self._signed, self._sign * high + 1)
        )
        return self._first + start, self._first + stop

    def token(self, position: int) -> str:
        index = position - self._first
        if not 0 <= index < len(self._values):
            return "null"
        value = self._values[index]
        return str(value // 1000) if self._is_time else str(value).encode("utf-8").hex()

    def seek(self, cursor: Cursor, *, exact: bool, limit: int) -> int:
        """Where the page of a cursor starts: at the row that it points at, or before it.

        The cursor knows whole seconds only. So, unless `exact`, some rows of that second come
        again, at most half a page. If the row has moved or was deleted meanwhile, the page starts
        with the first row of its second.
        """
        begin = self._begin(cursor.token)
        position = self._position.get(cursor.key)
        if position is None or self.token(position) != cursor.token:
            return begin
        return position if exact else max(begin, position - limit // 2)

    def _begin(self, token: str) -> int:
        if token == "null":
            return self._first_null
        if self._is_time:
            return self._first + bisect_left(self._seconds, self._sign * int(token))
        value = self._parse(bytes.fromhex(token).decode("utf-8"))
        for index, known in enumerate(self._values):
            if (known >= value) if self._sign == 1 else (known <= value):
                return self._first + index
        return self._first + len(self._values)
