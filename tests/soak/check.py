"""What a keyed target holds, against what the world shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from soak.scene import STREAMS
from soak.store import Store, key_of
from tap_rutter.simulator import World

Json = dict[str, Any]

_CAMPAIGNS = "/ads/campaigns"
_DAILIES = "/ads/campaigns/dailies"


def differences(
    store: Store,
    world: World,
    path: str,
    connection_id: str,
    *,
    deleted: Iterable[str] = (),
    unseen: Iterable[str] = (),
) -> list[str]:
    """What is wrong with the rows of one list, in words; empty where all is well.

    Args:
        store: What was delivered.
        world: What is to be there.
        path: The list.
        connection_id: Whose.
        deleted: Ids of rows that were deleted at the source: they may still be in the store.
        unseen: Keys of rows that need not have been seen yet.
    """
    connection = world.connections[connection_id]
    if path in connection.not_enabled:
        return []
    kept = dict(store.rows(STREAMS[path], connection_id))
    unnamed = {_unnamed(row): name for name, row in kept.items() if name.startswith("tap:")}
    found: list[str] = []
    skipped = set(unseen)
    if path == _DAILIES:
        skipped |= _unreachable(world, connection_id)
    for key, row in zip(
        world.keys(connection_id, path), world.rows(connection_id, path), strict=True
    ):
        wanted = event(row) if path == "/events" else row
        identity = wanted[key_of(STREAMS[path])] or unnamed.get(_unnamed(wanted), "?")
        landed = kept.pop(identity, None)
        if key in skipped:
            continue
        if landed is None:
            found.append(f"{path} {connection_id}: missing {key} {_brief(row)}")
        elif not same_row(landed, wanted):
            found.append(
                f"{path} {connection_id}: stale {key}: {_unlike(landed, wanted)} {_brief(row)}"
            )
    gone = set(deleted)
    for name in kept:
        if name not in gone and not name.startswith("tap:"):
            found.append(f"{path} {connection_id}: {name} is not in the world")
    return found


def _unreachable(world: World, connection_id: str) -> set[str]:
    """Days of campaigns that are not listed: the API gives days out by campaign only."""
    listed: set[str] = set()
    if _CAMPAIGNS not in world.connections[connection_id].not_enabled:
        listed = set(world.keys(connection_id, _CAMPAIGNS))
    days = zip(
        world.keys(connection_id, _DAILIES), world.rows(connection_id, _DAILIES), strict=True
    )
    return {key for key, row in days if row["campaign_id"] not in listed}


def event(row: Mapping[str, Any]) -> Json:
    """A deletion event as a row of ``deleted_objects``, without its stream."""
    data = row["data"]
    if data is not None and not isinstance(data, dict):
        data = {"value": data}
    return {
        "id": row["id"],
        "resource": row["resource"],
        "object_id": (data or {}).get("id"),
        "deleted_at": row["last_synced_at"],
        "last_synced_at": row["last_synced_at"],
        "data": data,
    }


def same_row(landed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a record holds the row, and nothing that says otherwise."""
    return not _unlike(landed, wanted)


def _unlike(landed: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    unlike = {
        name: (landed.get(name), value)
        for name, value in wanted.items()
        if not (name == "id" and value is None) and not _same(landed.get(name), value)
    }
    for name in ("_rutter_issues", "_rutter_extra"):
        if landed.get(name):
            unlike[name] = (landed[name], None)
    return unlike


def _same(left: Any, right: Any) -> bool:
    if left == right:
        return True
    if isinstance(left, str) and isinstance(right, str):
        moments = _moment(left), _moment(right)
        return moments[0] is not None and moments[0] == moments[1]
    if isinstance(left, dict) and isinstance(right, dict):
        names = left.keys() | right.keys()
        return all(_same(left.get(name), right.get(name)) for name in names)
    return False


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unnamed(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells rows without an id apart."""
    return (str(row.get("platform_id")), str(row.get("email")), str(row.get("phone")))


def _brief(row: Mapping[str, Any]) -> str:
    names = ("created_at", "updated_at", "last_synced_at", "expense_type", "campaign_id")
    return " ".join(f"{name}={row[name]}" for name in names if name in row)
