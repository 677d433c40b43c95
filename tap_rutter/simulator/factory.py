"""Makes the rows that a connection's lists begin with."""

from __future__ import annotations

import random
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tap_rutter.simulator.connection import Connection
from tap_rutter.simulator.documents import Document
from tap_rutter.simulator.generate import Maker, row_id
from tap_rutter.simulator.places import SINGLETONS, STATEMENTS, Place
from tap_rutter.simulator.platforms import reports_deletions, resource_of, serves
from tap_rutter.simulator.tables import EXPANDABLE, Draft
from tap_rutter.simulator.text import (
    DAY,
    HOUR,
    encode,
    from_milliseconds,
    iso,
    to_bytes,
    to_milliseconds,
)

# The first sync writes many rows at once. The rows of one insert have the same stamp.
_ROWS_PER_INSERT = 7
_ATTACHED_PARENTS = 6
_DAILIES_PER_CAMPAIGN = 20
_PAST_DELETIONS = 12
_METRIC_MONTHS = 12


class Factory:
    """Makes rows for the lists of one world."""

    def __init__(self, document: Document, seed: int, start: int, lag: int) -> None:
        """`start`: the world's first moment, Unix ms; `lag`: ms from a stamp to its visibility."""
        self._document = document
        self._seed = seed
        self._start = start
        self._lag = lag

    def fill(self, connection: Connection, place: Place) -> list[Draft]:
        """The rows of a list, or of all parents for a list under parents."""
        storage = place.storage
        if not serves(connection.platform, storage):
            return []
        if storage in STATEMENTS:
            return [
                self.statement(connection, place, month)
                for month in months(connection.history_start, self._start)
            ]
        if storage == "/events":
            return list(self._past_deletions(connection))
        if "metricName" in place.endpoint.path:
            return self._metric(connection, place)
        count = connection.counts.get(storage, 0)
        if storage in SINGLETONS or storage.endswith("/custom_fields"):
            count = 1
        elif storage == "/products/categories":
            count = 3
        return [self._row(connection, place, index) for index in range(count)]

    def fresh(self, connection: Connection, place: Place, key: str, moment: int) -> Draft:
        """A new row as the platform might create it now."""
        return self._make(connection, place, key, f"fresh|{key}", moment, moment, timed=True)

    def statement(self, connection: Connection, place: Place, month: int) -> Draft:
        """The statement of the calendar month that starts at `month` (Unix ms)."""
        first = from_milliseconds(month)
        last = first.replace(day=monthrange(first.year, first.month)[1])
        key = row_id(self._seed, connection.id, place.storage, month)
        closed = min(to_milliseconds(last) + DAY, self._start)
        draft = self._make(connection, place, key, f"month|{month}", closed, closed)
        draft.data |= {"start_date": iso(month), "end_date": iso(to_milliseconds(last))}
        return draft

    def older(self, connection: Connection, place: Place, key: str, before: int) -> Draft:
        """A row that is older than the history known so far."""
        rng = self._random(connection, place.storage, f"older|{key}")
        created = before - rng.randint(DAY, 180 * DAY)
        return self._make(
            connection, place, key, f"older|{key}", created, created + HOUR, timed=True
        )

    def _row(self, connection: Connection, place: Place, index: int) -> Draft:
        storage = place.storage
        rng = self._random(connection, storage, f"times|{index}")
        key = row_id(self._seed, connection.id, storage, index)
        latest = self._start - 3 * HOUR
        created = rng.randint(connection.history_start, latest)
        updated = min(created + int(rng.expovariate(1 / (5 * DAY))), latest)
        if rng.random() < 0.15:
            # The platform changed many rows at once, in the same second.
            updated = max(updated - updated % (DAY // 2), created)
        draft = self._make(connection, place, key, str(index), created, updated)
        draft.times["last_synced_at"] = stamp = self._stamp(connection, updated, index)
        draft.stamped = True
        if "last_synced_at" in place.rows.columns:
            draft.data["last_synced_at"] = iso(stamp)
        self._adapt(draft, connection, place, index, rng)
        return draft

    def _stamp(self, connection: Connection, updated: int, index: int) -> int:
        first_sync = connection.created_at
        if updated <= first_sync:
            return first_sync + (index // _ROWS_PER_INSERT) * 120 - self._lag
        polled = updated - updated % HOUR + HOUR
        return min(polled, self._start) - self._lag + index % 3

    def _make(
        self,
        connection: Connection,
        place: Place,
        key: str,
        salt: str,
        created: int,
        updated: int,
        *,
        timed: bool = False,
    ) -> Draft:
        """A row with all fields of its schema; `timed`: whether its own times are never null."""
        rng = self._random(connection, place.storage, salt)
        maker = Maker(
            self._document,
            rng,
            family=place.rows.family,
            path=place.storage,
            pick=lambda target, chance: self._pick(connection, target, chance),
            earliest=max(created - 30 * DAY, connection.history_start),
            latest=max(created, connection.history_start + DAY),
        )
        columns = place.rows.columns
        data = maker.object(place.rows.row, "", 1)
        times: dict[str, int | None] = {"created_at": created, "updated_at": updated}
        for column, moment in (("created_at", created), ("updated_at", updated)):
            if column not in columns:
                continue
            shown: str | None = iso(moment)
            if not timed and "null" in columns[column].get("type", ()) and rng.random() < 0.05:
                shown = None
            data[column] = shown
            del times[column]
        if "last_synced_at" in columns:
            data["last_synced_at"] = iso(updated)
        if "id" in columns:
            data["id"] = key
        if "platform_id" in data:
            data["platform_id"] = str(int(key[:8], 16))
        parts = {
            name: to_bytes(encode(data.pop(name)))
            for name in EXPANDABLE
            if name in data and _expanded(place.storage, name)
        }
        if place.storage != "/events":
            parts["platform_data"] = to_bytes(encode(maker.free_form()))
        # Expenses of the oldest version lack expense_type, but can be filtered by it.
        is_silent = place.storage == "/accounting/expenses" and "expense_type" not in columns
        unseen = {"expense_type": "expense"} if is_silent else {}
        return Draft(key, data, times, parts=parts, unseen=unseen)

    def _pick(self, connection: Connection, target: str, rng: random.Random) -> str | None:
        count = connection.counts.get(target, 0)
        if not count:
            return None
        return row_id(self._seed, connection.id, target, rng.randrange(count))

    def _random(self, connection: Connection, storage: str, salt: str) -> random.Random:
        return random.Random(f"{self._seed}|{connection.id}|{storage}|{salt}")

    def _adapt(
        self,
        draft: Draft,
        connection: Connection,
        place: Place,
        index: int,
        rng: random.Random,
    ) -> None:
        """Changes rows of some lists in ways that their schema alone does not say."""
        data, storage = draft.data, place.storage
        if storage == "/customers":
            # Both may be null here, and sometimes are.
            if index % 19 == 7:
                data["id"] = None
            if index % 17 == 5:
                data["updated_at"] = None
        elif storage == "/accounting/expenses":
            told = draft.unseen or data
            told["expense_type"] = "refund" if index % 4 == 1 else "expense"
        elif storage == "/accounting/transactions":
            kind = rng.choice(["invoice", "bill", "expense", "journal_entry"])
            plural = "journal_entries" if kind == "journal_entry" else f"{kind}s"
            data["rutter_transaction_type"] = kind
            data["rutter_transaction_id"] = self._pick(connection, f"/accounting/{plural}", rng)
        elif storage == "/ads/campaigns/dailies":
            campaigns = max(1, connection.counts.get("/ads/campaigns", 1))
            campaign = row_id(self._seed, connection.id, "/ads/campaigns", index % campaigns)
            day = self._start - self._start % DAY - (index // campaigns) * DAY
            data |= {"campaign_id": campaign, "date": iso(day)[:10]}
            draft.parent = campaign
        elif storage.endswith("/attachments"):
            parents = storage.removesuffix("/attachments")
            among = min(_ATTACHED_PARENTS, max(1, connection.counts.get(parents, 1)))
            draft.parent = row_id(self._seed, connection.id, parents, index % among)
            data["attached_to_id"] = draft.parent
        elif storage in {"/banking/bank_accounts/balance", "/banking/bank_accounts/details"}:
            draft.parent = row_id(self._seed, connection.id, "/banking/bank_accounts", index)
            if "account_id" in data:
                data["account_id"] = draft.parent
        elif storage == "/accounting/currencies":
            data["currency_code"] = ("USD", "EUR", "GBP", "CAD", "AUD", "JPY")[index % 6]
        elif storage == "/balance":
            data["iso_currency_code"] = "USD"
        elif storage.endswith("_aging_report_summaries"):
            today = self._start - self._start % DAY
            data |= {"start_date": iso(today - 30 * DAY), "end_date": iso(today)}
        elif storage.endswith("/custom_fields"):
            for section in data.values():
                for number, custom_field in enumerate(section):
                    custom_field["key"] = f"custbody_{number}"

    def _metric(self, connection: Connection, place: Place) -> list[Draft]:
        metric = place.storage.rsplit("/", 1)[-1]
        drafts = []
        for month in months(self._start - 31 * _METRIC_MONTHS * DAY, self._start)[:-1]:
            rng = self._random(connection, place.storage, str(month))
            first = from_milliseconds(month)
            last = first.replace(day=monthrange(first.year, first.month)[1])
            value = f"{rng.randrange(-500_000, 9_000_000) / 100:.2f}"
            data = {
                "start_date": f"{first:%Y-%m-%d}",
                "end_date": f"{last:%Y-%m-%d}",
                "currency": "USD",
                "value": value,
            }
            key = row_id(self._seed, connection.id, metric, month)
            drafts.append(Draft(key, data, {"updated_at": month}, stamped=True))
        return drafts

    def _past_deletions(self, connection: Connection) -> Iterator[Draft]:
        if not reports_deletions(connection.platform):
            return
        lists = [
            (path, resource)
            for path in sorted(connection.counts)
            if (resource := resource_of(path)) is not None
        ]
        for index in range(_PAST_DELETIONS if lists else 0):
            path, resource = lists[index % len(lists)]
            gone = row_id(self._seed, connection.id, path, connection.counts[path] + index)
            key = row_id(self._seed, connection.id, "/events", index)
            stamp = self._start - (index + 1) * 5 * HOUR - self._lag
            yield deletion_event(key, resource, {"id": gone}, stamp)


def deletion_event(key: str, resource: str, data: Any, stamp: int) -> Draft:
    """An event as in /events; `data` is what is known of the deleted object."""
    event = {
        "id": key,
        "type": "object_deleted",
        "resource": resource,
        "last_synced_at": iso(stamp),
        "data": data,
    }
    return Draft(key, event, {}, stamped=True)


def months(start: int, end: int) -> list[int]:
    """The first moments of the calendar months (UTC) from that of `start` to that of `end`."""
    first = from_milliseconds(start)
    year, month = first.year, first.month
    found: list[int] = []
    while (moment := to_milliseconds(datetime(year, month, 1, tzinfo=UTC))) <= end:
        found.append(moment)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def children_count(storage: str, counts: dict[str, int]) -> int:
    """How many rows a list under parents begins with, in all."""
    if storage == "/ads/campaigns/dailies":
        return counts.get("/ads/campaigns", 0) * _DAILIES_PER_CAMPAIGN
    return counts.get("/banking/bank_accounts", 0)


def _expanded(storage: str, name: str) -> bool:
    # Payouts always have their transactions, orders only on request.
    return name != "transactions" or storage == "/orders"
