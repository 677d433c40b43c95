"""The differences between two documents of one version, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from openapi_reduce_fixes import answer_of
from openapi_reduce_names import REF
from openapi_reduce_types import Json


def changes(old: Json, new: Json) -> list[str]:
    """One line per change: endpoints, parameters, answers, components, their fields."""
    return [
        *_endpoint_changes(old.get("paths", {}), new["paths"]),
        *_component_changes(
            old.get("components", {}).get("schemas", {}), new["components"]["schemas"]
        ),
        *_other_changes(old, new),
    ]


def _endpoint_changes(old: Json, new: Json) -> Iterator[str]:
    for path in sorted({*old, *new}):
        if path not in new:
            yield f"- endpoint {path}"
        elif path not in old:
            yield f"+ endpoint {path}"
        else:
            before, after = old[path]["get"], new[path]["get"]
            if before["operationId"] != after["operationId"]:
                yield f"~ {path}: operation {before['operationId']} -> {after['operationId']}"
            yield from _parameter_changes(path, before, after)
            yield from _schema_changes(f"{path} answer", answer_of(before), answer_of(after))


def _parameter_changes(path: str, before: Json, after: Json) -> Iterator[str]:
    old = {param["name"]: param for param in before["parameters"]}
    new = {param["name"]: param for param in after["parameters"]}
    for name in _names_of_both(old, new):
        where = f"{path} parameter {name}"
        if name not in new:
            yield f"- {where}"
        elif name not in old:
            yield f"+ {where}: {describe(new[name]['schema'])}"
        elif old[name] != new[name]:
            yield from _retyped(where, old[name]["schema"], new[name]["schema"])
            yield from _flag(where, "required", old[name]["required"], new[name]["required"])
            deprecated = [bool(param.get("deprecated")) for param in (old[name], new[name])]
            yield from _flag(where, "deprecated", *deprecated)
            defaults = [param["schema"].get("default") for param in (old[name], new[name])]
            if defaults[0] != defaults[1]:
                yield f"~ {where}: default {defaults[0]} -> {defaults[1]}"


def _component_changes(old: Json, new: Json) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"- component {name}"
        elif name not in old:
            yield f"+ component {name}"
        else:
            yield from _schema_changes(name, old[name], new[name])


def _schema_changes(where: str, old: Json, new: Json) -> Iterator[str]:
    if old == new:
        return
    if "properties" not in old or "properties" not in new:
        yield from _retyped(where, old, new)
        return
    before, after = old["properties"], new["properties"]
    for name in _names_of_both(before, after):
        field = f"{where}.{name}"
        if name not in after:
            yield f"- {field}"
        elif name not in before:
            yield f"+ {field}: {describe(after[name])}"
        else:
            yield from _retyped(field, before[name], after[name])
            required = [name in schema.get("required", []) for schema in (old, new)]
            yield from _flag(field, "required", *required)
    if list(before) != list(after) and set(before) == set(after):
        yield f"~ {where}: order of the fields"


def _retyped(where: str, old: Json, new: Json) -> Iterator[str]:
    if old == new:
        return
    was, now = describe(old), describe(new)
    if was != now:
        nullability = {f"{was} or null": "may be null now", was: ""}.get(now, "")
        if was == f"{now} or null":
            nullability = "never null now"
        yield f"~ {where}: {was} -> {now}" + (f" ({nullability})" if nullability else "")
    values, others = (_members(schema) for schema in (old, new))
    if values != others:
        gone = [f"-{value}" for value in values if value not in others]
        come = [f"+{value}" for value in others if value not in values]
        yield f"~ {where}: values {', '.join([*come, *gone]) or 'in another order'}"
    if was == now and values == others and old.get("default") == new.get("default"):
        yield f"~ {where}: inner shape"


def _flag(where: str, word: str, was: bool, now: bool) -> Iterator[str]:
    if was != now:
        yield f"~ {where}: {word if now else f'no longer {word}'}"


def _other_changes(old: Json, new: Json) -> Iterator[str]:
    for key in ("info", "servers", "x-source"):
        if old.get(key) != new.get(key):
            yield f"~ {key}"


def _names_of_both(old: Json, new: Json) -> list[str]:
    return list(dict.fromkeys([*old, *new]))


def _members(schema: Json) -> list[object]:
    inner = schema.get("items", schema)
    return [value for value in inner.get("enum", []) if value is not None]


def describe(schema: Json) -> str:
    """A schema in a few words: `string or null`, `Address[]`, `date-time`."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REF)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(describe, schema["anyOf"])))
    given = schema.get("type", "anything")
    types = given if isinstance(given, list) else [given]
    words = [_describe_one(kind, schema) for kind in types]
    return " or ".join(words)


def _describe_one(kind: str, schema: Json) -> str:
    if kind == "array" and "items" in schema:
        inner = describe(schema["items"])
        return f"({inner})[]" if " or " in inner else f"{inner}[]"
    if kind == "object" and "additionalProperties" in schema:
        return f"map of {describe(schema['additionalProperties'])}"
    if kind == "object" and "properties" in schema:
        return f"object of {', '.join(schema['properties'])}"
    if kind == "string":
        return str(schema.get("format", kind))
    return kind
