"""A tap's state, cut into one per connection and what is left, and put together again.

Pure. A partition whose context names a connection belongs to that connection. Everything else is
shared: what the tap remembers of a platform or of the organisation, in whatever form.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from tap_rutter.fleet.model import State

_BOOKMARKS = "bookmarks"
_PARTITIONS = "partitions"
_Element: TypeAlias = tuple[str, ...]
"""Where a part of a shared state stands: the smallest piece that is set or removed as a whole."""


def cut(state: State) -> tuple[dict[str, State], State]:
    """The states of single connections by id, and the rest.

    Every partition of the given state is in exactly one of them, in the order that it had.
    """
    connections: dict[str, State] = {}
    shared: State = {key: value for key, value in state.items() if key != _BOOKMARKS}
    for stream, entry in state.get(_BOOKMARKS, {}).items():
        rest = {key: value for key, value in entry.items() if key != _PARTITIONS}
        left = []
        for partition in entry.get(_PARTITIONS) or ():
            connection_id = partition.get("context", {}).get("connection_id")
            if connection_id is None:
                left.append(partition)
            else:
                own = connections.setdefault(connection_id, {_BOOKMARKS: {}})
                own[_BOOKMARKS].setdefault(stream, {_PARTITIONS: []})[_PARTITIONS].append(partition)
        if left:
            rest[_PARTITIONS] = left
        if rest:
            shared.setdefault(_BOOKMARKS, {})[stream] = rest
    return connections, shared


def join(states: Iterable[State], shared: State | None = None) -> State:
    """One state of many connections and what they share; what ``cut`` gave comes together again."""
    whole: State = {key: value for key, value in (shared or {}).items() if key != _BOOKMARKS}
    bookmarks: dict[str, Any] = {}
    for state in (shared or {}, *states):
        for stream, entry in state.get(_BOOKMARKS, {}).items():
            joined = bookmarks.setdefault(stream, {})
            for key, value in entry.items():
                if key == _PARTITIONS:
                    joined.setdefault(_PARTITIONS, []).extend(value)
                else:
                    joined[key] = value
    if bookmarks:
        whole[_BOOKMARKS] = bookmarks
    return whole


def of_platform(shared: State, platform: str) -> State:
    """What of a shared state concerns a platform: all but partitions that name another one."""
    return _built(
        {
            element: value
            for element, value in _elements(shared).items()
            if _platform_of(value) in (None, platform)
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
                context = json.dumps(partition.get("context"), sort_keys=True)
                found[_BOOKMARKS, stream, _PARTITIONS, context] = partition
    return found


def _built(elements: Mapping[_Element, Any]) -> State:
    state: State = {}
    for element, value in elements.items():
        if len(element) == 1:
            state[element[0]] = value
            continue
        entry = state.setdefault(_BOOKMARKS, {}).setdefault(element[1], {})
        if len(element) == 3:
            entry[element[2]] = value
        else:
            entry.setdefault(_PARTITIONS, []).append(value)
    return state


def _platform_of(value: Any) -> Any:
    context = value.get("context") if isinstance(value, dict) else None
    return context.get("platform") if isinstance(context, dict) else None
