"""What a schema itself says, before it is reduced: its types, null, and its parts."""

from __future__ import annotations

from typing import Any

from openapi_reduce_places import Place, UnreadableError

Json = dict[str, Any]

UNIONS = ("anyOf", "oneOf", "x-any-of")
NULL: Json = {"type": "null"}


def is_only_null(types: object) -> bool:
    return types in ("null", ["null"])


def is_composed(raw: Json) -> bool:
    """Whether a schema is made of other schemas (`allOf`, `anyOf`, a reference and so on)."""
    return any(raw.get(key) for key in ("$ref", "allOf", *UNIONS))


def is_null(raw: object) -> bool:
    if not isinstance(raw, dict) or is_composed(raw):
        return False
    return (
        is_only_null(raw.get("type"))
        or raw.get("enum") in ([None], ["null"])
        or raw.get("const", "") is None
    )


def allows_null(raw: Json) -> bool:
    """Whether a schema itself says that it may be null; references are not followed."""
    variants = [variant for key in UNIONS for variant in raw.get(key, [])]
    return bool(raw.get("nullable")) or "null" in raw.get("type", "") or any(map(is_null, variants))


def says_a_type(raw: object) -> bool:
    """Whether a variant says more than which properties are required together."""
    return isinstance(raw, dict) and bool(set(raw) - {"required", "not", "title", "description"})


def merge(one: Json, two: Json) -> Json:
    """Both schemas in one, as `allOf` means it. Where they differ, `two` wins."""
    merged = {**one, **two}
    if "properties" in one and "properties" in two:
        merged["properties"] = {**one["properties"], **two["properties"]}
    for key in ("required", "unions"):
        if key in one and key in two:
            merged[key] = [*one[key], *two[key]]
    return merged


def without_null(plain: Json) -> tuple[Any, bool]:
    """A plain schema that allows no null (None if it allows nothing else), and whether it did."""
    if plain == NULL:
        return None, True
    types = plain.get("type")
    if not isinstance(types, list) or "null" not in types:
        return plain, False
    kept = [kind for kind in types if kind != "null"]
    rest = {**plain, "type": kept[0] if len(kept) == 1 else kept}
    if "enum" in rest:
        rest["enum"] = [value for value in rest["enum"] if value is not None]
    return rest, True


def types_of(flat: Json, at: Place) -> tuple[list[str], bool]:
    """The types a schema allows besides null, and whether it allows null."""
    given = flat.get("type")
    types = [given] if isinstance(given, str) else list(given or [])
    nullable = bool(flat.get("nullable")) or "null" in types
    # Generators write the null of a nullable enum as a member, or as the string "null".
    nullable |= any(value in (None, "null") for value in flat.get("enum", []))
    types = [kind for kind in types if kind != "null"]
    if not types and given is None:
        types = _implied_types(flat)
    unknown = set(types) - {"object", "array", "string", "number", "integer", "boolean"}
    if unknown:
        raise UnreadableError(
            f"{at}: its type is {sorted(unknown)[0]!r}, which JSON Schema does not know"
        )
    if types or not nullable:
        return types, nullable
    # An empty schema allows anything, also null. Only an explicit null is "only null".
    says_null = given is not None or bool(flat.get("enum"))
    return (["null"], True) if says_null else ([], False)


def _implied_types(flat: Json) -> list[str]:
    if "properties" in flat or "additionalProperties" in flat:
        return ["object"]
    if "items" in flat:
        return ["array"]
    names = {str: "string", bool: "boolean", int: "number", float: "number"}
    kinds = [names.get(type(value)) for value in flat.get("enum", []) if value is not None]
    return list(dict.fromkeys(kind for kind in kinds if kind))
