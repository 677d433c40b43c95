"""Rows made from the schema of their component: the same seed gives the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from hashlib import md5
from typing import Any

from tap_rutter.simulator.documents import Document, Schema
from tap_rutter.simulator.references import target_of, target_of_kind
from tap_rutter.simulator.text import DAY, iso


def _split(text: str) -> list[str]:
    return text.split()


_WORDS = _split(
    "amber basin cedar delta ember fjord grove harbor inlet juniper kelp lagoon maple north "
    "onyx pine quartz ridge spruce tundra umber vale willow yarrow zephyr"
)
_FIRST = _split("Ana Bo Chidi Dmitri Élodie Fatima Grace Hiro Íñigo José Łukasz Mei Noor Søren")
_LAST = _split("Abbott Brûlé Chen D'Arcy Eze Fischer García Haddad Ito Müller O'Neil Šimić 王")
_CURRENCIES = _split("USD EUR GBP CAD AUD JPY CHF SEK PLN BRL")
_COUNTRIES = _split("US GB DE FR CA AU SE PL")
_CITIES = _split("Austin Bergen Córdoba Dakar Essen Fargo Göteborg Hobart")
# Numbers whose digits a careless client loses, or that it takes for another type.
_AWKWARD = [
    Decimal(text)
    for text in ("0.1", "10", "1234567890.123456789", "0.30", "-19.99", "99999999999.99", "0")
]
_NULL_SHARE = 0.18
_ABSENT_SHARE = 0.15
_AMOUNTS = _split("amount total balance price value cost fee paid current days")


def row_id(seed: int, connection_id: str, path: str, index: int) -> str:
    """The id of the index-th row that a list of this connection was made with."""
    digest = md5(f"{seed}|{connection_id}|{path}|{index}".encode(), usedforsecurity=False)
    text = digest.hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


class Maker:
    """Makes values for one row. Ids of other objects lead to rows of the connection."""

    def __init__(
        self,
        document: Document,
        rng: random.Random,
        *,
        family: str,
        path: str,
        pick: Callable[[str, random.Random], str | None],
        earliest: int,
        latest: int,
    ) -> None:
        """`pick` gives the id of some row of a list. Times lie in [earliest, latest], Unix ms."""
        self._document = document
        self._rng = rng
        self._family = family
        self._path = path
        self._pick = pick
        self._earliest = earliest
        self._latest = latest

    def value(self, schema: Schema, field: str = "", parent: str = "", depth: int = 0) -> Any:
        schema = self._document.resolve(schema)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            kept = [b for b in branches if b.get("type") != "null"]
            return self.value(kept[0], field, parent, depth) if kept else None
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        nullable = "null" in kinds
        target = target_of(self._family, self._path, field, parent)
        kinds = [kind for kind in kinds if kind != "null"]
        if target is not None and kinds == ["string"]:
            return self._reference(target, nullable)
        if not kinds or (nullable and self._rng.random() < _NULL_SHARE):
            return None
        choices = [value for value in schema.get("enum", ()) if value is not None]
        if choices:
            return self._rng.choice(choices)
        match kinds[0]:
            case "object":
                return self.object(schema, field, depth + 1)
            case "array":
                return self._array(schema, field, depth + 1)
            case "boolean":
                return self._rng.random() < 0.5
            case "number":
                return self._number(field)
            case "integer":
                return self._rng.randrange(1, 500)
            case _:
                return self._text(schema, field)

    def object(self, schema: Schema, field: str, depth: int) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        required = schema.get("required", ())
        if not properties:
            return self.free_form()
        made: dict[str, Any] = {}
        for name, sub in properties.items():
            if name == "platform_data":
                continue
            recursive = depth > 1 and "$ref" in sub and not self._may_nest(depth)
            if name not in required and (recursive or self._rng.random() < _ABSENT_SHARE):
                continue
            made[name] = self.value(sub, name, field, depth)
        linked = target_of_kind(field, made.get("type"))
        if linked is not None and made.get("id") is not None:
            made["id"] = self._pick(linked, self._rng) or made["id"]
        return made

    def free_form(self) -> dict[str, Any]:
        """A value that a platform might send in a field without a schema."""
        rng = self._rng
        return {
            "Id": str(rng.randrange(10_000)),
            "SyncToken": rng.randrange(10),
            "Rate": self.amount(),
            "Tags": rng.sample(_WORDS, 2),
            "Nested": {"Note": f"{rng.choice(_WORDS)} “{rng.choice(_WORDS)}”", "Empty": None},
        }

    def amount(self) -> Decimal:
        if self._rng.random() < 0.06:
            return self._rng.choice(_AWKWARD)
        return Decimal(self._rng.randrange(1, 9_999_999)).scaleb(-2)

    def _reference(self, target: str, nullable: bool) -> str | None:
        if nullable and self._rng.random() < _NULL_SHARE:
            return None
        found = self._pick(target, self._rng)
        return found if found is not None or nullable else self._uuid()

    def _array(self, schema: Schema, field: str, depth: int) -> list[Any]:
        items: Schema = schema.get("items", {})
        recursive = "$ref" in items and not self._may_nest(depth)
        if recursive or depth > 6:
            return []
        least = 1 if field == "line_items" else 0
        count = self._rng.randint(least, 3)
        return [self.value(items, field, field, depth) for _ in range(count)]

    def _may_nest(self, depth: int) -> bool:
        return depth < 4

    def _number(self, field: str) -> Decimal | int:
        rng = self._rng
        if "quantity" in field or "days" in field or field.endswith(("_count", "clicks")):
            return rng.randrange(1, 60)
        if field in {"impressions", "total_impressions", "number_of_employees", "interval_count"}:
            return rng.randrange(1, 90_000)
        if "rate" in field or "percent" in field:
            return Decimal(rng.randrange(1, 250_000)).scaleb(-4)
        return self.amount()

    def _uuid(self) -> str:
        text = f"{self._rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-b{text[17:20]}-{text[20:]}"

    def time(self) -> int:
        return self._rng.randint(self._earliest, self._latest)

    def _text(self, schema: Schema, field: str) -> str:
        rng = self._rng
        if schema.get("format") == "date-time" or field.endswith(("_at", "_date")):
            moment = self.time()
            whole_day = field.endswith("date") or field == "date"
            return iso(moment - moment % DAY if whole_day else moment)
        if field == "date":
            return iso(self.time())[:10]
        if field == "platform_id" or field.endswith("platform_id"):
            return str(rng.randrange(1_000, 9_999_999))
        if field == "id" or field.endswith("_id"):
            return self._uuid()
        if "rate" in field or "percent" in field:
            return str(Decimal(rng.randrange(1, 250_000)).scaleb(-4))
        for known, make in _TEXTS.items():
            if known in field:
                return make(rng)
        if any(part in field for part in _AMOUNTS):
            return str(self.amount())
        return " ".join(rng.sample(_WORDS, 2))


_TEXTS: dict[str, Callable[[random.Random], str]] = {
    "currency_name": lambda rng: f"{rng.choice(_WORDS).title()} dollar",
    "currency": lambda rng: rng.choice(_CURRENCIES),
    "email": lambda rng: f"{rng.choice(_WORDS)}.{rng.randrange(1000)}@example.com",
    "phone": lambda rng: f"+1 555 {rng.randrange(1000):03d} {rng.randrange(10_000):04d}",
    "url": lambda rng: f"https://example.com/{rng.choice(_WORDS)}/{rng.randrange(10_000)}",
    "link": lambda rng: f"https://example.com/{rng.choice(_WORDS)}/{rng.randrange(10_000)}",
    "website": lambda rng: f"https://{rng.choice(_WORDS)}.example.com",
    "src": lambda rng: f"https://example.com/{rng.choice(_WORDS)}.jpg",
    "first_name": lambda rng: rng.choice(_FIRST),
    "last_name": lambda rng: rng.choice(_LAST),
    "contact_name": lambda rng: f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
    "file_name": lambda rng: f"{rng.choice(_WORDS)}.pdf",
    "name": lambda rng: f"{rng.choice(_WORDS).title()} & {rng.choice(_WORDS).title()} GmbH",
    "country": lambda rng: rng.choice(_COUNTRIES),
    "city": lambda rng: rng.choice(_CITIES),
    "postal_code": lambda rng: f"{rng.randrange(100_000):05d}",
    "address1": lambda rng: f"{rng.randrange(1, 400)} {rng.choice(_WORDS).title()} St.",
    "document_number": lambda rng: f"{rng.choice('ABX')}-{rng.randrange(100_000):05d}",
    "number": lambda rng: str(rng.randrange(1_000, 999_999)),
    "description": lambda rng: f"{rng.choice(_WORDS)}, “{rng.choice(_WORDS)}”\n{rng.choice(_LAST)}",
    "memo": lambda rng: f'{rng.choice(_WORDS)} "{rng.choice(_WORDS)}" \\ {rng.choice(_LAST)}',
    "mask": lambda rng: f"{rng.randrange(10_000):04d}",
}
