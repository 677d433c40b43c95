"""Entity diagrams of the streams, from the foreign keys that the code knows.

Each family's diagram has the names of the fields that point somewhere. The diagram of all streams
has lines only, since it would be too large to read otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from docs_families import FAMILIES, newest_fields, streams_in

from tap_rutter.schema.foreign_keys import KINDS, target_of, target_of_kind
from tap_rutter.streams import STREAMS, name_of

_SHARED = 8  # a stream to which more streams than this point is in a table, not in the diagram
_KEYS_SHOWN = 3
_ONE_A_CONNECTION = {"connection_statuses", "connection_sync_configs"}

Pair = tuple[str, str]
"""Two streams: the one with the id, and the one that it points to."""


def references(family: str) -> str:
    """The family's diagram, and below it a table of streams that most others point to."""
    keys = _keys(family)
    shared = _shared(keys)
    drawn = {pair: paths for pair, paths in keys.items() if pair[1] not in shared}
    lines = [_line(pair, _label(paths)) for pair, paths in sorted(drawn.items())]
    lines += [_line(pair, label, dotted=True) for pair, label in _by_kind(family)]
    if not keys:
        others = (name_of(stream) for stream in streams_in(family))
        lines = [_to_connections(name, "connection_id") for name in others if name != "connections"]
    parts = ["## What points where", _diagram(lines)]
    if shared:
        rows = ["| stream | is pointed to by |", "| --- | --- |"]
        for target, sources in sorted(shared.items()):
            names = ", ".join(f"`{name}`" for name in sorted(sources))
            rows.append(f"| [`{target}`](#{target}) | {names} |")
        parts.append("Not in the diagram, since most streams point to them:\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def all_references() -> str:
    """The diagram of all streams, without the names of fields, and what is left out of it."""
    pairs: set[Pair] = set()
    left_out: set[str] = set()
    for family in FAMILIES:
        keys = _keys(family)
        left_out |= _shared(keys).keys()
        pairs |= {pair for pair in keys if pair[1] not in left_out}
        pairs |= {pair for pair, _ in _by_kind(family)}
    pairs = {(source, target) for source, target in pairs if source != target}
    joined = {name for pair in pairs for name in pair}
    lines = [_line(pair) for pair in sorted(pairs)]
    lines += [
        _to_connections(name)
        for name in map(name_of, STREAMS)
        if name not in joined and name != "connections"
    ]
    names = ", ".join(f"`{name}`" for name in sorted(left_out))
    return f"{_diagram(lines)}\n\nLeft out are lines to {names}: most accounting streams have them."


def _keys(family: str) -> dict[Pair, list[str]]:
    """Fields by the two streams that they connect."""
    found: dict[Pair, list[str]] = defaultdict(list)
    for stream in streams_in(family):
        for field in newest_fields(stream):
            target = target_of(name_of(stream), field.path)
            if target is not None and field.path != "connection_id":
                found[name_of(stream), target].append(field.path)
    return found


def _shared(pairs: Iterable[Pair]) -> Mapping[str, list[str]]:
    """Streams to which so many point that lines would hide all else; with those that do."""
    sources: dict[str, list[str]] = defaultdict(list)
    for source, target in pairs:
        sources[target].append(source)
    return {target: names for target, names in sources.items() if len(names) > _SHARED}


def _by_kind(family: str) -> Iterator[tuple[Pair, str]]:
    """References into one of several streams, with the label of each."""
    for stream in streams_in(family):
        fields = {field.path: field for field in newest_fields(stream)}
        for (name, path), kind in KINDS.items():
            if name != name_of(stream):
                continue
            beside = f"{path.rpartition('.')[0]}.{kind}".removeprefix(".")
            targets = filter(None, map(target_of_kind, fields[beside].choices))
            for target in sorted(set(targets)):
                yield (name, target), f"{_label([path])}, by {kind}"


def _line(pair: Pair, label: str = "", *, dotted: bool = False) -> str:
    source, target = pair
    return f'    {target} {"|o..o{" if dotted else "|o--o{"} {source} : "{label}"'


def _to_connections(stream: str, label: str = "") -> str:
    many = "||--||" if stream in _ONE_A_CONNECTION else "||--o{"
    return f'    connections {many} {stream} : "{label}"'


def _diagram(lines: Iterable[str]) -> str:
    return "\n".join(["```mermaid", "erDiagram", "    direction LR", *lines, "```"])


def _label(paths: list[str]) -> str:
    """The fields of one relation; if there are many, the first of them."""
    shown = [path.replace("[]", "") for path in paths[:_KEYS_SHOWN]]
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
