"""Differences between API versions: streams and fields that are added, removed or changed."""

from __future__ import annotations

from itertools import pairwise

from docs_fields import VERSIONS, Field, fields_of, streams_of

from tap_rutter.schema.document import document

# New names of fields, in any stream. Used only where one field is removed and the other added.
_RENAMED = (
    ("amount", "allocated_amount"),
    ("amount", "total_amount"),
    ("base_currency_code", "currency_code"),
    ("createdAt", "created_at"),
    ("currency", "currency_code"),
    ("currency_code", "currency_codes"),
    ("current_balance", "balance"),
    ("date", "allocated_date"),
    ("expense_date", "transaction_date"),
    ("posted_date", "issue_date"),
    ("total_discount", "discount_amount"),
    ("txn_date", "transaction_date"),
    ("updatedAt", "updated_at"),
)


def differences() -> str:
    """All steps from a version to the next, newest first."""
    return "\n\n".join(_step(older, newer) for older, newer in reversed(list(pairwise(VERSIONS))))


def sources_table() -> str:
    """The source of each version's document."""
    lines = ["| version | description | as of |", "| --- | --- | --- |"]
    for version in reversed(VERSIONS):
        source = document(version).source
        told = "derived from the neighbouring version's" if source["derived"] else "published"
        lines.append(f"| `{version}` | {told} | {source['date']} |")
    return "\n".join(lines)


def _step(older: str, newer: str) -> str:
    before, after = streams_of(older), streams_of(newer)
    parts = [f"## From {older} to {newer}"]
    for title, names in (
        ("New streams", after.keys() - before.keys()),
        ("Streams that are gone", before.keys() - after.keys()),
    ):
        if names:
            parts.append(f"{title}: " + ", ".join(f"`{name}`" for name in sorted(names)) + ".")
    rows = [
        row for name in sorted(before.keys() & after.keys()) for row in _rows(older, newer, name)
    ]
    if rows:
        parts.append("\n".join(["| stream | field | change |", "| --- | --- | --- |", *rows]))
    else:
        parts.append("No field differs.")
    return "\n\n".join(parts)


def _rows(older: str, newer: str, stream: str) -> list[str]:
    """The changes of one stream; without the fields inside a field that is added or removed."""
    before = {field.path: field for field in fields_of(older, stream)}
    after = {field.path: field for field in fields_of(newer, stream)}
    gone, come = _outermost(before, after), _outermost(after, before)
    rows = []
    for path in sorted({*gone, *come, *(before.keys() & after.keys())}):
        if path in gone:
            change = _going(before[path], after, come)
        elif path in come:
            change = "" if _formerly(path, gone) else f"new: {after[path].type}"
        else:
            change = _staying(before.get(path), after.get(path))
        if change:
            rows.append(f"| `{stream}` | `{path}` | {change} |")
    return rows


def _going(field: Field, after: dict[str, Field], come: set[str]) -> str:
    renamed = _renamed(field.path, come)
    if renamed is None:
        return "is gone"
    retyped = _staying(Field(renamed, field.type), Field(renamed, after[renamed].type))
    return f"is `{renamed}` now" + (f", {retyped}" if retyped else "")


def _staying(before: Field | None, after: Field | None) -> str:
    """The changes of a field that both versions have. Values that are only added are left out."""
    if before is None or after is None:
        return ""
    if before.type != after.type:
        return f"{before.type} became {after.type}"
    lost = [choice for choice in before.choices if choice not in after.choices]
    if not lost or not after.choices:
        return ""
    new = [choice for choice in after.choices if choice not in before.choices]
    return f"values {_values(lost)} are gone" + (f", new: {_values(new)}" if new else "")


def _values(choices: list[str]) -> str:
    return ", ".join(f"`{choice}`" for choice in choices)


def _outermost(there: dict[str, Field], elsewhere: dict[str, Field]) -> set[str]:
    """Paths that only one version has, without paths inside other such paths."""
    only = there.keys() - elsewhere.keys()
    return {path for path in only if not any(parent in only for parent in _parents(path))}


def _parents(path: str) -> list[str]:
    parts = path.split(".")
    around = [".".join(parts[:length]) for length in range(1, len(parts))]
    return [parent.removesuffix("[]") for parent in around]


def _renamed(path: str, come: set[str]) -> str | None:
    """The new name of a field that was removed."""
    around, dot, name = path.rpartition(".")
    for old, new in _RENAMED:
        if name == old and f"{around}{dot}{new}" in come:
            return f"{around}{dot}{new}"
    return None


def _formerly(path: str, gone: set[str]) -> bool:
    return any(_renamed(old, {path}) for old in gone)
