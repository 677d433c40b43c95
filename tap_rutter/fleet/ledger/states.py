"""A tap's state, cut into one per connection and what is left, and put together again.

Pure. A partition whose context names a connection belongs to that connection, but for what it tells
of its platform (``unserved``: lists that were answered 404). Runs of other connections go by that,
so it is shared, in the tap's own form: as partitions of the connections that were asked. So is
everything that is not about a connection, whatever it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from tap_rutter.fleet.model import State

_BOOKMARKS = "bookmarks"
_PARTITIONS = "partitions"
_CONTEXT = "context"
_UNSERVED = "unserved"
_Element: TypeAlias = tuple[str, ...]
"""Where a part of a shared state stands: the smallest piece that is set or removed as a whole."""


def cut(state: State) -> tuple[dict[str, State], State]:
    """The states of single connections by id, and the rest.

    Everything in the given state is in exactly one of them, in the order that it had.
    """
    connections: dict[str, State] = {}
    shared: State = {key: value for key, value in state.items() if key != _BOOKMARKS}
    for stream, entry in state.get(_BOOKMARKS, {}).items():
        rest = {key: value for key, value in entry.items() if key != _PARTITIONS}
        left = []
        for partition in entry.get(_PARTITIONS) or ():
            connection_id = partition.get(_CONTEXT, {}).get("connection_id")
            if connection_id is None:
                left.append(partition)
                continue
            if _UNSERVED in partition:
                context = partition[_CONTEXT]
                left.append({_CONTEXT: context, _UNSERVED: partition[_UNSERVED]})
                partition = {key: value for key, value in partition.items() if key != _UNSERVED}
                if partition.keys() == {_CONTEXT}:
                    continue
            own = connections.setdefault(connection_id, {_BOOKMARKS: {}})
            own[_BOOKMARKS].setdefault(stream, {_PARTITIONS: []})[_PARTITIONS].append(partition)
        if left:
            rest[_PARTITIONS] = left
        if rest:
            shared.setdefault(_BOOKMARKS, {})[stream] = rest
    return connections, shared


def join(states: Iterable[State], shared: State | None = None) -> State:
    """One state of many connections and what they share; what ``cut`` gave comes together again.

    It may name connections that are not among them, by what these tell of their platform.
    """
    whole: State = {key: value for key, value in (shared or {}).items() if key != _BOOKMARKS}
    bookmarks: dict[str, Any] = {}
    told = {
        (stream, partition[_CONTEXT]["connection_id"]): partition[_UNSERVED]
        for stream, partition in _partitions(shared or {})
        if _UNSERVED in partition and "connection_id" in partition[_CONTEXT]
    }
    for state in states:
        for stream, partition in _partitions(state):
            entries = told.pop((stream, partition[_CONTEXT]["connection_id"]), None)
            if entries is not None:
                partition = {**partition, _UNSERVED: entries}
            bookmarks.setdefault(stream, {}).setdefault(_PARTITIONS, []).append(partition)
    for stream, entry in (shared or {}).get(_BOOKMARKS, {}).items():
        joined = bookmarks.setdefault(stream, {})
        for key, value in entry.items():
            if key != _PARTITIONS:
                joined[key] = value
        for partition in entry.get(_PARTITIONS, ()):
            connection_id = partition[_CONTEXT].get("connection_id")
            if connection_id is None or (stream, connection_id) in told:
                joined.setdefault(_PARTITIONS, []).append(partition)
    if bookmarks:
        whole[_BOOKMARKS] = bookmarks
    return whole


def of_platform(shared: State, platform: str) -> State:
    """What of a shared state concerns a platform: all but what names another one."""
    return _built(
        {
            element: value
            for element, value in _elements(shared).items()
            if _platform_of(element, value) in (None, platform)
        }
    )


def without_connection(shared: State, connection_id: str) -> State:
    """A shared state without what a connection told."""
    return _built(
        {
            element: value
            for element, value in _elements(shared).items()
            if len(element) < 4 or json.loads(element[3]).get("connection_id") != connection_id
        }
    )


def merged(before: State, after: State, now: State) -> State:
    """A shared state as it stands, with what one run has changed.

    Two runs of a platform work at the same time, and each knows only what it has learnt itself.
    What a run set or removed counts; what it only carried along does not undo the other's work.

    Args:
        before: what the run was given, or handed over last.
        after: what it hands over.
        now: what is kept, which others may have changed since.
    """
    old, new = _elements(before), _elements(after)
    kept = _elements(now)
    for element in old.keys() | new.keys():
        if element not in new:
            kept.pop(element, None)
        elif element not in old or old[element] != new[element]:
            kept[element] = new[element]
    return _built(kept)


def _partitions(state: State) -> Iterator[tuple[str, Any]]:
    for stream, entry in state.get(_BOOKMARKS, {}).items():
        for partition in entry.get(_PARTITIONS) or ():
            yield stream, partition


def _elements(shared: State) -> dict[_Element, Any]:
    found: dict[_Element, Any] = {
        (key,): value for key, value in shared.items() if key != _BOOKMARKS
    }
    for stream, entry in shared.get(_BOOKMARKS, {}).items():
        for key, value in entry.items():
            if key != _PARTITIONS:
                found[_BOOKMARKS, stream, key] = value
                continue
            for partition in value:
                place = (
                    _BOOKMARKS,
                    stream,
                    _PARTITIONS,
                    json.dumps(partition.get(_CONTEXT), sort_keys=True),
                )
                if not _is_told(partition):
                    found[place] = partition
                    continue
                # Each list by itself: what one run learns of one does not undo what another
                # learns of the next.
                for told in partition[_UNSERVED]:
                    facts = {name: told[name] for name in told if name not in ("at", "streams")}
                    for name in told["streams"]:
                        found[*place, json.dumps(facts, sort_keys=True), name] = told["at"]
    return found


def _built(elements: Mapping[_Element, Any]) -> State:
    state: State = {}
    told: dict[_Element, dict[tuple[str, str], list[str]]] = {}
    for element, value in elements.items():
        if len(element) == 1:
            state[element[0]] = value
            continue
        entry = state.setdefault(_BOOKMARKS, {}).setdefault(element[1], {})
        if len(element) == 3:
            entry[element[2]] = value
        elif len(element) == 4:
            entry.setdefault(_PARTITIONS, []).append(value)
        else:
            place, facts, name = element[:4], element[4], element[5]
            told.setdefault(place, {}).setdefault((facts, value), []).append(name)
    for place, entries in told.items():
        entry = state.setdefault(_BOOKMARKS, {}).setdefault(place[1], {})
        entry.setdefault(_PARTITIONS, []).append(
            {
                _CONTEXT: json.loads(place[3]),
                _UNSERVED: [
                    {**json.loads(facts), "at": at, "streams": sorted(names)}
                    for (facts, at), names in sorted(entries.items())
                ],
            }
        )
    return state


def _is_told(partition: Mapping[str, Any]) -> bool:
    """Whether it is what ``cut`` leaves of a connection: what it tells of its platform."""
    entries = partition.get(_UNSERVED)
    return isinstance(entries, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("at"), str)
        and isinstance(entry.get("streams"), list)
        for entry in entries
    )


def _platform_of(element: _Element, value: Any) -> Any:
    if len(element) > 4:
        return json.loads(element[4]).get("platform")
    context = value.get(_CONTEXT) if isinstance(value, dict) else None
    return context.get("platform") if isinstance(context, dict) else None
