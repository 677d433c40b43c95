"""Worlds for benchmarks: millions of rows, computed when they are requested."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from tap_rutter.simulator.errors import bad_request
from tap_rutter.simulator.factory import Factory
from tap_rutter.simulator.generate import row_id
from tap_rutter.simulator.places import Place, place_of
from tap_rutter.simulator.platforms import serves
from tap_rutter.simulator.tables import Cursor, Page, Query
from tap_rutter.simulator.text import DAY, HOUR, encode, iso, to_bytes, to_milliseconds
from tap_rutter.simulator.world import DEFAULT_START, DEFAULT_VERSION, World

_PLACEHOLDER = re.compile(r"@@(id|created_at|updated_at|last_synced_at)@@")
# How far other times lie from a row's `updated_at`.
_OFFSETS = {"created_at": -HOUR, "updated_at": 0, "last_synced_at": HOUR}
# Lists whose answers depend on more than times, which computed rows cannot do.
_NOT_IN_BULK = frozenset({"/accounting/expenses", "/ads/campaigns/dailies", "/events"})


class Template:
    """The text of a row, with gaps for its id and its times."""

    def __init__(self, text: str) -> None:
        names = _PLACEHOLDER.findall(text)
        literal = [part.replace("%", "%%") for part in _PLACEHOLDER.split(text)[::2]]
        self._format = to_bytes("%b".join(literal))
        self._names: tuple[str, ...] = tuple(names)

    def fill(self, key: bytes, updated: int) -> bytes:
        values = [
            key if name == "id" else time_text(updated + _OFFSETS[name]) for name in self._names
        ]
        return self._format % tuple(values)


class BulkRows:
    """A list of rows at even distances in time, or in even bursts; row 0 is the oldest."""

    def __init__(
        self,
        templates: list[Template],
        prefix: str,
        count: int,
        first: int,
        step: int,
        *,
        burst: int = 0,
        every: int = 0,
    ) -> None:
        """`first` and `step`: the first row's `updated_at` and the distance of two, Unix ms.

        `burst`: how many rows a burst has; 0: one burst is all. `every`: from one to the next, ms.
        """
        self._templates = templates
        self._prefix = prefix.encode()
        self._count = count
        self._first = first
        self._step = step
        self._burst = burst or max(count, 1)
        self._every = every

    def __len__(self) -> int:
        return self._count

    def span(self) -> tuple[int, int] | None:
        if not self._count:
            return None
        offset = _OFFSETS["created_at"]
        return self._updated(0) + offset, self._updated(self._count - 1) + offset

    def bodies(self) -> Iterator[bytes]:
        return (self.body(index) for index in range(self._count - 1, -1, -1))

    def body(self, index: int) -> bytes:
        # The pool's length and this step have no common divisor, so neighbours differ.
        template = self._templates[index * 7 % len(self._templates)]
        return template.fill(self._key(index), self._updated(index))

    def page(self, query: Query) -> Page:
        if query.equals or query.where is not None or query.parent is not None:
            raise bad_request("INVALID_PARAMETER", "computed rows can be filtered by time only")
        low, high = 0, self._count
        for column, (least, most) in query.bounds.items():
            offset = _OFFSETS.get(column, 0)
            rows = range(self._count)
            if least is not None:
                low = max(low, bisect_left(rows, least - offset, key=self._updated))
            if most is not None:
                high = min(high, bisect_right(rows, most - offset, key=self._updated))
        cursor = query.cursor
        if query.descending:
            start = high - 1 if cursor is None else min(high - 1, self._index(cursor))
            stop = max(low - 1, start - query.limit)
            chosen = range(start, stop, -1)
            more = stop >= low
        else:
            start = low if cursor is None else max(low, self._index(cursor))
            stop = min(high, start + query.limit)
            chosen = range(start, stop)
            more = stop < high
        bodies = [self.body(index) for index in chosen]
        if not more or not bodies:
            return Page(bodies, None)
        second = (self._updated(stop) + _OFFSETS.get(query.column, 0)) // 1000
        return Page(bodies, Cursor(str(second), self._key(stop).decode()))

    def _updated(self, index: int) -> int:
        burst, within = divmod(index, self._burst)
        return self._first + burst * self._every + within * self._step

    def _key(self, index: int) -> bytes:
        return b"%b-%012x" % (self._prefix, index)

    def _index(self, cursor: Cursor) -> int:
        return int(cursor.key.rpartition("-")[2], 16)


def bulk_world(
    orders: int = 1_000_000,
    connections: int = 1,
    *,
    seed: int = 1,
    platform: str = "SHOPIFY",
    tables: Mapping[str, int] | None = None,
    body_size: int = 3_000,
    pool: int = 64,
    days: int = 365,
    burst: int = 0,
    version: str = DEFAULT_VERSION,
    start: datetime = DEFAULT_START,
) -> World:
    """A world of equal `connections`, each with the same number of orders, and of rows in `tables`.

    Bodies come from a pool of so many texts per list; an order is about `body_size` bytes long.
    The rows spread evenly over `days`, or come in bursts of `burst` rows within an hour, also at
    even distances over `days`. They cannot be changed. Other lists are empty.
    """
    world = World(seed, version=version, start=start, history_days=days)
    wanted = {"/orders": orders, **(tables or {})}
    factory = Factory(world.document, seed, to_milliseconds(start), world.lag)
    pools: dict[str, list[Template]] = {}
    for _ in range(connections):
        connection = world.add_connection(platform)
        for path, count in wanted.items():
            place = place_of(world.document, path)
            if place is None or path in _NOT_IN_BULK or not place.endpoint.paged:
                raise ValueError(f"{path} cannot be made in bulk")
            if not count or not serves(platform, path):
                continue
            if path not in pools:
                pools[path] = _templates(world, factory, place, pool, body_size)
            span = days * DAY
            number = -(-count // burst) if burst else 1
            every = span // number
            step = max(1, HOUR // burst if burst else span // count)
            newest = to_milliseconds(start) - 2 * HOUR
            reach = (number - 1) * every + ((count - 1) % (burst or count)) * step
            connection.synthetic[path] = BulkRows(
                pools[path],
                row_id(seed, connection.id, path, 0)[:23],
                count,
                newest - reach,
                step,
                burst=burst,
                every=every,
            )
    world.recipe = lambda: bulk_world(
        orders,
        connections,
        seed=seed,
        platform=platform,
        tables=tables,
        body_size=body_size,
        pool=pool,
        days=days,
        burst=burst,
        version=version,
        start=start,
    )
    return world


def _templates(
    world: World, factory: Factory, place: Place, pool: int, body_size: int
) -> list[Template]:
    """Texts of rows of one list. Rows with line items get as many lines as fit the size."""
    connection = next(iter(world.connections.values()))
    made: list[Template] = []
    # It has no common divisor with the step in which rows go through the pool.
    size = pool if pool % 7 else pool + 1
    for number in range(size):
        key = row_id(world.seed, "pool", place.storage, number)
        draft = factory.fresh(connection, place, key, world.clock.now)
        data = draft.data
        items = data.get("line_items")
        while items and len(encode(data)) < body_size:
            more = factory.fresh(connection, place, f"{key}{len(items)}", world.clock.now)
            items.extend(more.data.get("line_items", [])[:1])
        data |= {name: f"@@{name}@@" for name in ("id", *_OFFSETS) if name in data}
        made.append(Template(encode(data)))
    return made


@lru_cache(maxsize=4096)
def _hour_text(hour: int) -> bytes:
    return iso(hour * HOUR)[:14].encode()


def time_text(milliseconds: int) -> bytes:
    """The same as `text.iso`, but in bytes, and fast."""
    hour, rest = divmod(milliseconds, HOUR)
    minute, rest = divmod(rest, 60_000)
    return b"%b%02d:%02d.%03dZ" % (_hour_text(hour), minute, *divmod(rest, 1000))
