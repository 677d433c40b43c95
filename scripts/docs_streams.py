"""The pages of the streams, by family: what each holds, its fields, and which ids point where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from docs_diagrams import references
from docs_families import FAMILIES, family_of, newest_fields, streams_in
from docs_fields import VERSIONS, Field, versions_of
from docs_plain_fields import plain_meaning

from tap_rutter.connections.platforms import PLATFORMS
from tap_rutter.schema.field_docs import meaning
from tap_rutter.schema.foreign_keys import KINDS, target_of
from tap_rutter.streams import STREAMS, name_of
from tap_rutter.streams.base import RutterStream

_CHOICES_SHOWN = 20  # longer lists are of currencies, countries and platforms


def summary(stream: type[RutterStream]) -> str:
    """What a stream holds, in one sentence."""
    return (stream.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")


def families_table() -> str:
    """The families, with their pages."""
    lines = ["| family | streams | optional |", "| --- | --- | --- |"]
    for family in FAMILIES:
        streams = streams_in(family)
        optional = [f"`{name_of(stream)}`" for stream in streams if stream.is_optional]
        page = f"[{family}](streams/{family}.md)"
        lines.append(f"| {page} | {len(streams)} | {', '.join(optional) or '-'} |")
    return "\n".join(lines)


def endpoints_table() -> str:
    """Every endpoint that is a stream."""
    lines = ["| endpoint | stream | API versions |", "| --- | --- | --- |"]
    for stream in sorted(STREAMS, key=lambda stream: stream.path):
        if stream.path:
            name, versions = name_of(stream), versions_of(stream)
            told = "all" if versions == VERSIONS else ", ".join(versions)
            link = f"[`{name}`](streams/{family_of(name)}.md#{name})"
            lines.append(f"| `{stream.path}` | {link} | {told} |")
    return "\n".join(lines)


def page(family: str) -> str:
    """The generated part of a family's page."""
    parts = [references(family), *(_section(stream) for stream in streams_in(family))]
    return "\n\n".join(part for part in parts if part)


# ---- a stream's section


def _section(stream: type[RutterStream]) -> str:
    fields = newest_fields(stream)
    parts = [f"## {name_of(stream)}", summary(stream), _facts(stream)]
    parts.append(_table(stream, "column", (field for field in fields if not field.is_nested)))
    nested = [field for field in fields if field.is_nested]
    if nested:
        table = _table(stream, "field", nested)
        parts.append(f"<details><summary>Inside its columns</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(parts)


def _facts(stream: type[RutterStream]) -> str:
    """Endpoint, replication, key and so on."""
    facts = [
        ("Endpoint", f"`{stream.path}`" if stream.path else "none: the tap makes the rows"),
        ("Replication", stream.replication.label),
        ("Key", ", ".join(f"`{name}`" for name in stream.primary_keys)),
        ("Bookmark", f"`{stream.replication_key}`" if stream.replication_key else "none"),
    ]
    if stream.is_optional:
        facts.append(("Optional", "only where `optional_streams` names it"))
    versions = versions_of(stream)
    if versions != VERSIONS:
        facts.append(("API versions", ", ".join(f"`{version}`" for version in versions)))
    known = PLATFORMS.get(name_of(stream))
    if known:
        names = ", ".join(f"`{platform}`" for platform in known)
        facts.append(("Platforms", f"at least {names}"))
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def _table(stream: type[RutterStream], heading: str, fields: Iterable[Field]) -> str:
    lines = [f"| {heading} | type | meaning |", "| --- | --- | --- |"]
    for field in fields:
        told = " ".join(_told(name_of(stream), field))
        lines.append(f"| `{field.path}` | {field.type} | {told} |")
    return "\n".join(lines)


def _told(stream: str, field: Field) -> Iterator[str]:
    """What a field means, which values it takes, and where it points."""
    target = target_of(stream, field.path)
    told = meaning(stream, field.path)
    if not told and target is None and (stream, field.path) not in KINDS:
        told = plain_meaning(stream, field.path)
    if told:
        yield told
    if 0 < len(field.choices) <= _CHOICES_SHOWN:
        yield ", ".join(f"`{choice}`" for choice in field.choices)
    if target is not None and field.path != "connection_id":
        yield f"→ {_link(target, stream)}"
    elif (stream, field.path) in KINDS:
        yield f"→ the stream for the `{KINDS[stream, field.path]}` beside it"


def _link(target: str, stream: str) -> str:
    family = family_of(target)
    page = "" if family == family_of(stream) else f"{family}.md"
    return f"[`{target}`]({page}#{target})"
