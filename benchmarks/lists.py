"""Which lists are read, and the typed schemas that the peers are given for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tap_rutter.schema.document import document
from tap_rutter.streams import STREAMS, name_of
from tap_rutter.versions import LATEST

ORDERS = "commerce_orders"

# Lists that are not enabled for any connection: they answer without rows.
_WITHOUT_ROWS = (
    "accounting_bank_feed_transactions",
    "ads_accounts",
    "ads_campaigns",
    "banking_bank_accounts",
    "banking_bank_transactions",
    "commerce_subscriptions",
    "hris_departments",
    "hris_employees",
    "hris_organizations",
)
# Not like the others: two lists in one, financial statements, one object, a form for each type.
_NOT_PLAIN = (
    "accounting_expenses",
    "accounting_balance_sheets",
    "accounting_cash_flow_statements",
    "accounting_income_statements",
    "accounting_company_info",
    "accounting_custom_fields",
)


@dataclass(frozen=True)
class RutterList:
    """One list of the API, under the name that the tap gives to its stream."""

    name: str
    path: str
    key: str
    """The key that the rows are under."""
    replication_key: str
    component: str

    def to_json(self) -> dict[str, str]:
        """The list in the form that the peers read."""
        return asdict(self)


def _known() -> dict[str, RutterList]:
    pinned = document(LATEST)
    return {
        name_of(stream): RutterList(
            name=name_of(stream),
            path=stream.path,
            key=stream.records_key,
            replication_key=stream.replication_key,
            component=stream.component,
        )
        for stream in STREAMS
        if stream.component and stream.replication_key and pinned.has(stream.path)
    }


def orders() -> RutterList:
    """The one list of the cases with large connections."""
    return _known()[ORDERS]


def ledger() -> tuple[list[RutterList], list[RutterList]]:
    """Forty lists of an accounting connection, with and without rows."""
    known = _known()
    empty = [known[name] for name in _WITHOUT_ROWS]
    full = [
        entry
        for name, entry in known.items()
        if name.startswith("accounting_")
        and "{" not in entry.path
        and name not in _NOT_PLAIN
        and name not in _WITHOUT_ROWS
    ]
    return full, empty


def write_schemas(folder: Path) -> None:
    """Write a fully typed JSON Schema for each list, as authors of taps and connectors do."""
    folder.mkdir(parents=True, exist_ok=True)
    full, empty = ledger()
    for entry in (orders(), *full, *empty):
        schema = _typed(entry.component, ())
        key = {"connection_id": {"type": "string"}, "id": {"type": "string"}}
        schema |= {"type": "object", "properties": key | schema["properties"] | key}
        (folder / f"{entry.name}.json").write_text(json.dumps(schema), encoding="utf-8")


def _typed(component: str, seen: tuple[str, ...]) -> dict[str, Any]:
    return _schema(document(LATEST).components[component], (*seen, component))


def _schema(node: Mapping[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
    """A field with the types of everything in it; recursive types are open objects."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        return {"type": ["object", "null"]} if name in seen else _typed(name, seen)
    if "anyOf" in node:
        kinds = [_schema(entry, seen) for entry in node["anyOf"] if entry.get("type") != "null"]
        return kinds[0] if len(kinds) == 1 else {}
    given = node.get("type", "object")
    named = [given] if isinstance(given, str) else given
    schema: dict[str, Any] = {"type": list(dict.fromkeys([*named, "null"]))}
    if node.get("format") == "date-time":
        schema["format"] = "date-time"
    if node.get("properties"):
        schema["properties"] = {
            name: _schema(entry, seen) for name, entry in node["properties"].items()
        }
    if "items" in node:
        schema["items"] = _schema(node["items"], seen)
    return schema
