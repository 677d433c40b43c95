"""Read a description of the API and keep its bare facts.

Two forms are read: a published OpenAPI 3 document, and the facts form (an object `endpoints` of
paths). Both end as *plain* schemas: no prose, no references, nullability in `type`, unions in
`anyOf`. A type that contains itself cannot be written out, so where it comes round again stands
`{"x-up": n}`: the n-th enclosing object, 0 being the nearest. Which objects become components, and
what they are called, is decided afterwards (`openapi_reduce_names`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

UP = "x-up"

# Lists of every currency or language of the world grow without notice and say nothing that a tap
# may enforce; the longest enum that does say something (the webhook codes) has 113 members.
LARGEST_ENUM = 150

# The API documents its times in words; `format: date-time` is rarely given.
ISO_8601 = re.compile(r"ISO[ _-]?8601", re.IGNORECASE)

_FACTS = ("type", "enum", "format", "description", "properties", "items", "additionalProperties")
_UNIONS = ("anyOf", "oneOf", "x-any-of")
_NULL: Json = {"type": "null"}
_STRING: Json = {"type": "string"}
_NEAREST = "the nearest object"


class UnreadableError(Exception):
    """The source has a shape that cannot be read; the message is one line and says where."""


@dataclass(frozen=True)
class Endpoint:
    """One GET endpoint: its operation id, parameters, and the plain schema of its answer."""

    operation_id: str
    parameters: list[Json]
    schema: Json


@dataclass(frozen=True)
class _Enclosing:
    """Where in a schema we are: how many objects are open, and which references led to which.

    A reference to something that is not an object with properties has no object to come round to.
    """

    depth: int = 0
    refs: dict[str, int | None] = field(default_factory=dict)

    def within(self, names: frozenset[str], *, is_object: bool) -> _Enclosing:
        refs = {**self.refs, **dict.fromkeys(names, self.depth if is_object else None)}
        return _Enclosing(self.depth + 1 if is_object else self.depth, refs)


def read_source(source: object, notes: list[str]) -> dict[str, Endpoint]:
    """The GET endpoints of a published description or of the facts form, by path.

    `notes` is given a line for each thing that could be kept only in part.
    """
    if not isinstance(source, dict):
        raise UnreadableError("the source is not an object")
    if "endpoints" in source:
        source = _from_facts(source)
    version = source.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        found = source.get("swagger", version)
        raise UnreadableError(
            f"neither OpenAPI 3 (openapi is {found!r}) nor the facts form (no key 'endpoints')"
        )
    paths = source.get("paths")
    if not isinstance(paths, dict) or not paths:
        raise UnreadableError("paths: not an object with endpoints")
    reader = _Reader(source, notes)
    endpoints = {}
    for path, item in paths.items():
        if isinstance(item, dict) and "get" in item:
            # Some generators write a path's parameters the way web frameworks do.
            braced = re.sub(r":(\w+)", r"{\1}", path)
            try:
                endpoints[braced] = reader.endpoint(braced, item)
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
                # What the checks below do not foresee must still say where it stands.
                raise UnreadableError(f"GET {path}: not the shape of OpenAPI ({error})") from error
    if not endpoints:
        raise UnreadableError("paths: no GET endpoint")
    return endpoints


def _from_facts(facts: Json) -> Json:
    """The facts form as an OpenAPI document; its schemas are understood as they are."""
    endpoints = facts["endpoints"]
    if not isinstance(endpoints, dict):
        raise UnreadableError("endpoints: not an object")
    paths = {}
    for path, entry in endpoints.items():
        if not isinstance(entry, dict) or "response" not in entry:
            raise UnreadableError(f"{path}: no response")
        parameters = [
            {
                "name": name,
                "in": place,
                "required": param.get("required"),
                "deprecated": param.get("deprecated"),
                "schema": {k: param[k] for k in ("type", "enum", "default") if k in param},
            }
            for place in ("path", "query")
            for name, param in entry.get(f"{place}_params", {}).items()
        ]
        answer = {"200": {"content": {"application/json": {"schema": entry["response"]}}}}
        operation: Json = {"parameters": parameters, "responses": answer}
        if "operation" in entry:
            operation["operationId"] = entry["operation"]
        paths[path] = {"get": operation}
    return {"openapi": "3.1.0", "paths": paths}


def _operation_id_of(path: str) -> str:
    """A name for an operation that the source leaves unnamed."""
    words = re.findall(r"[A-Za-z0-9]+", path)
    return "Get" + "".join(word[:1].upper() + word[1:] for word in words)


class _Reader:
    """Turns the operations and schemas of one document into plain ones."""

    def __init__(self, document: Json, notes: list[str]) -> None:
        self.document = document
        self.notes = notes

    def endpoint(self, path: str, item: Json) -> Endpoint:
        operation = item["get"]
        at = f"GET {path}"
        if not isinstance(operation, dict):
            raise UnreadableError(f"{at}: not an object")
        return Endpoint(
            operation.get("operationId") or _operation_id_of(path),
            self._parameters(path, [*item.get("parameters", []), *operation.get("parameters", [])]),
            self.schema(self._answer(operation, at), at, _Enclosing()),
        )

    def _answer(self, operation: Json, at: str) -> object:
        responses = operation.get("responses")
        if not isinstance(responses, dict) or not responses:
            raise UnreadableError(f"{at}: no responses")
        response = next((responses[key] for key in ("200", "2XX") if key in responses), None)
        if response is None:
            self.notes.append(f"{at}: no response 200, its answer is left open")
            return {}
        if "$ref" in response:
            response = self._resolve(response["$ref"], at)
        return response.get("content", {}).get("application/json", {}).get("schema", {})

    def _parameters(self, path: str, raw: list[Json]) -> list[Json]:
        """Path and query parameters; a path's own come first, and are added where unlisted."""
        read: dict[tuple[str, str], Json] = {
            ("path", name): {"name": name, "in": "path", "required": True, "schema": _STRING}
            for name in re.findall(r"{(\w+)}", path)
        }
        for entry in raw:
            param = self._resolve(entry["$ref"], path) if "$ref" in entry else entry
            name, place = str(param.get("name")), param.get("in")
            if place not in ("path", "query"):
                continue
            at = f"GET {path}, parameter {name}"
            schema = self.schema(param.get("schema", {}), at, _Enclosing())
            facts: Json = {key: schema[key] for key in ("type", "enum") if key in schema}
            if "default" in param.get("schema", {}):
                facts["default"] = param["schema"]["default"]
            required = place == "path" or bool(param.get("required"))
            result = {"name": name, "in": place, "required": required, "schema": facts}
            if param.get("deprecated"):
                result["deprecated"] = True
            read[place, name] = result
        return list(read.values())

    def schema(self, raw: object, at: str, enclosing: _Enclosing) -> Json:
        """The plain schema of `raw`; `at` says where it stands, for messages."""
        flat, names = self._flatten(raw, at, enclosing, ())
        if "recursive" in flat:
            return self._recursion(flat, at, enclosing)
        if "unions" in flat:
            return self._union(flat, names, at, enclosing)
        return self._single(flat, names, at, enclosing)

    def _flatten(
        self, raw: object, at: str, enclosing: _Enclosing, path: tuple[str, ...]
    ) -> tuple[Json, frozenset[str]]:
        """`raw` with its references, `allOf` and "or null" merged in, and the references' names.

        `path` holds the references that led here, without an object in between.
        """
        if raw is True:
            return {}, frozenset()
        if not isinstance(raw, dict):
            raise UnreadableError(f"{at}: a schema is not an object")
        own = {key: raw[key] for key in _FACTS if raw.get(key) is not None}
        if raw.get("nullable"):
            own["nullable"] = True
        if isinstance(raw.get("required"), list):
            own["required"] = raw["required"]
        if "const" in raw:
            own["enum"] = [raw["const"]]
        if "x-recursive" in raw:
            return {**own, "recursive": _NEAREST}, frozenset()
        parts = [(part, path) for part in raw.get("allOf", [])]
        names: frozenset[str] = frozenset()
        if "$ref" in raw:
            name = raw["$ref"]
            if name in enclosing.refs:
                if _allows_null(self._resolve(name, at)):
                    own["nullable"] = True
                return {**own, "recursive": name}, frozenset()
            if name in path:
                raise UnreadableError(f"{at}: {name} refers to itself")
            names = frozenset([name])
            parts.insert(0, (self._resolve(name, at), (*path, name)))
        for key in _UNIONS:
            variants = raw.get(key, [])
            some = [variant for variant in variants if not _is_null(variant)]
            if len(some) < len(variants):
                own["nullable"] = True
            if len(some) == 1:
                parts.append((some[0], path))
            elif any(_says_a_type(variant) for variant in some):
                own.setdefault("unions", []).append(some)
        flat: Json = {}
        for part, way in parts:
            merged, inner = self._flatten(part, at, enclosing, way)
            flat, names = _merge(flat, merged), names | inner
        return _merge(flat, own), names

    def _recursion(self, flat: Json, at: str, enclosing: _Enclosing) -> Json:
        name = flat["recursive"]
        target = enclosing.depth - 1 if name == _NEAREST else enclosing.refs[name]
        if target is None:
            self.notes.append(f"{at}: comes round to {name}, which is no object; left open")
            return {}
        if target < 0:
            raise UnreadableError(f"{at}: x-recursive outside an object")
        again: Json = {UP: enclosing.depth - 1 - target}
        return {"anyOf": [again, _NULL]} if _allows_null(flat) else again

    def _resolve(self, reference: object, at: str) -> Json:
        target: object = self.document
        for step in str(reference).removeprefix("#/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        if not isinstance(target, dict) or not str(reference).startswith("#/"):
            raise UnreadableError(f"{at}: {reference} is not in the document")
        return target

    def _union(self, flat: Json, names: frozenset[str], at: str, enclosing: _Enclosing) -> Json:
        if len(flat["unions"]) > 1:
            raise UnreadableError(f"{at}: several unions at once")
        base = {key: value for key, value in flat.items() if key not in ("unions", "nullable")}
        inner = enclosing.within(names, is_object=False)
        variants: list[Json] = []
        nullable = bool(flat.get("nullable"))
        for variant in flat["unions"][0]:
            plain = self.schema({"allOf": [base, variant]} if base else variant, at, inner)
            for one in plain.get("anyOf", [plain]):
                something, null_too = _without_null(one)
                nullable |= null_too
                if something not in (None, *variants):
                    variants.append(something)
        if len(variants) == 1 and not nullable:
            return variants[0]
        return {"anyOf": [*variants, _NULL] if nullable else variants}

    def _single(self, flat: Json, names: frozenset[str], at: str, enclosing: _Enclosing) -> Json:
        types, nullable = _types(flat, at)
        plain: Json = {}
        if types:
            all_types = [*types, "null"] if nullable and types != ["null"] else types
            plain["type"] = all_types[0] if len(all_types) == 1 else all_types
        if "string" in types and (
            flat.get("format") == "date-time" or ISO_8601.search(str(flat.get("description", "")))
        ):
            plain["format"] = "date-time"
        values = [value for value in flat.get("enum", []) if value not in (None, "null")]
        if values and len(values) <= LARGEST_ENUM:
            plain["enum"] = [*values, None] if nullable else values
        if "object" in types:
            plain |= self._object(flat, names, at, enclosing)
        if "array" in types and flat.get("items"):
            inner = enclosing.within(names, is_object=False)
            plain["items"] = self.schema(flat["items"], f"{at}[]", inner)
        return plain

    def _object(self, flat: Json, names: frozenset[str], at: str, enclosing: _Enclosing) -> Json:
        plain: Json = {}
        properties = flat.get("properties", {})
        inner = enclosing.within(names, is_object=bool(properties))
        if not isinstance(properties, dict):
            raise UnreadableError(f"{at}: properties are not an object")
        if properties:
            plain["properties"] = {
                name: self.schema(schema, f"{at}.{name}", inner)
                for name, schema in properties.items()
            }
        required = [name for name in dict.fromkeys(flat.get("required", [])) if name in properties]
        if required:
            plain["required"] = required
        # `false` and `true` are left out: new fields come without notice, so all objects are open.
        if isinstance(flat.get("additionalProperties"), dict) and flat["additionalProperties"]:
            plain["additionalProperties"] = self.schema(
                flat["additionalProperties"], f"{at}.*", inner
            )
        return plain


def _is_null(raw: object) -> bool:
    if not isinstance(raw, dict):
        return False
    return (
        raw.get("type") in ("null", ["null"])
        or raw.get("enum") in ([None], ["null"])
        or raw.get("const", "") is None
    )


def _allows_null(raw: Json) -> bool:
    """Whether a schema says itself that it may be null; what it refers to is not looked at."""
    variants = [variant for key in _UNIONS for variant in raw.get(key, [])]
    return (
        bool(raw.get("nullable")) or "null" in raw.get("type", "") or any(map(_is_null, variants))
    )


def _says_a_type(raw: object) -> bool:
    """Whether a variant says more than which properties must be there together."""
    return isinstance(raw, dict) and bool(set(raw) - {"required", "not", "title", "description"})


def _merge(one: Json, two: Json) -> Json:
    """Both at once, as `allOf` means it; `two` wins where they differ."""
    merged = {**one, **two}
    if "properties" in one and "properties" in two:
        merged["properties"] = {**one["properties"], **two["properties"]}
    for key in ("required", "unions"):
        if key in one and key in two:
            merged[key] = [*one[key], *two[key]]
    return merged


def _without_null(plain: Json) -> tuple[Any, bool]:
    """A plain schema that allows no null (None if it allows nothing else), and whether it did."""
    if plain == _NULL:
        return None, True
    types = plain.get("type")
    if not isinstance(types, list) or "null" not in types:
        return plain, False
    kept = [kind for kind in types if kind != "null"]
    rest = {**plain, "type": kept[0] if len(kept) == 1 else kept}
    if "enum" in rest:
        rest["enum"] = [value for value in rest["enum"] if value is not None]
    return rest, True


def _types(flat: Json, at: str) -> tuple[list[str], bool]:
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
        raise UnreadableError(f"{at}: unknown type {sorted(unknown)[0]!r}")
    return (types, nullable) if types or not nullable else (["null"], True)


def _implied_types(flat: Json) -> list[str]:
    if "properties" in flat or "additionalProperties" in flat:
        return ["object"]
    if "items" in flat:
        return ["array"]
    names = {str: "string", bool: "boolean", int: "number", float: "number"}
    kinds = [names.get(type(value)) for value in flat.get("enum", []) if value is not None]
    return list(dict.fromkeys(kind for kind in kinds if kind))
