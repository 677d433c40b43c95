"""Read a description of the API and reduce it to its facts.

Two forms are read: a published OpenAPI 3 document, and the facts form (an object `endpoints` of
paths). Both end as *plain* schemas: no prose, no references, nullability in `type`, unions in
`anyOf`. A type that contains itself cannot be written out. Where it occurs inside itself, `{"x-up":
n}` stands for the n-th enclosing object, 0 being the nearest. `openapi_reduce_names` decides
afterwards which objects become components, and gives them names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from openapi_reduce_places import Place, UnreadableError, named
from openapi_reduce_types import (
    NULL,
    UNIONS,
    Json,
    allows_null,
    is_composed,
    is_null,
    is_only_null,
    merge,
    says_a_type,
    types_of,
    without_null,
)

UP = "x-up"

# Lists of all currencies or languages grow without notice, and a tap may not enforce them. The
# longest enum that is useful (the webhook codes) has 113 members.
LARGEST_ENUM = 150

# The API documents its times in prose; `format: date-time` is rare.
ISO_8601 = re.compile(r"ISO[ _-]?8601", re.IGNORECASE)

_FACTS = ("type", "enum", "format", "description", "properties", "items", "additionalProperties")
_STRING: Json = {"type": "string"}
_NEAREST = "the nearest object"


@dataclass(frozen=True)
class Endpoint:
    """One GET endpoint: its operation id, parameters, and the plain schema of its answer."""

    operation_id: str
    parameters: list[Json]
    schema: Json


@dataclass(frozen=True)
class _Enclosing:
    """The present place in a schema: how many objects are open, and which references led here.

    A reference to something other than an object with properties does not open an object.
    """

    depth: int = 0
    refs: dict[str, int | None] = field(default_factory=dict)

    def within(self, names: frozenset[str], *, is_object: bool) -> _Enclosing:
        refs = {**self.refs, **dict.fromkeys(names, self.depth if is_object else None)}
        return _Enclosing(self.depth + 1 if is_object else self.depth, refs)


def read_source(source: object, notes: list[str]) -> dict[str, Endpoint]:
    """The GET endpoints of a published description or of the facts form, by path.

    For each thing that could be kept only in part, a line is added to `notes`.
    """
    if not isinstance(source, dict):
        raise UnreadableError("the description is not an object of names and values")
    if "endpoints" in source:
        source = _from_facts(source)
    version = source.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        found = source.get("swagger", version)
        raise UnreadableError(
            f"this is neither an OpenAPI 3 description ('openapi' is {found!r}) nor the facts form"
            " (it has no 'endpoints')"
        )
    paths = source.get("paths")
    if not isinstance(paths, dict) or not paths:
        raise UnreadableError("'paths' is not an object that holds endpoints")
    reader = _Reader(source, notes)
    endpoints = {}
    for path, item in paths.items():
        if isinstance(item, dict) and "get" in item:
            # Some generators write path parameters as web frameworks do.
            braced = re.sub(r":(\w+)", r"{\1}", path)
            place = Place(braced)
            with named(place):
                endpoints[braced] = reader.endpoint(place, item)
    if not endpoints:
        raise UnreadableError("'paths' holds no GET endpoint")
    return endpoints


def _from_facts(facts: Json) -> Json:
    """The facts form as an OpenAPI document. Its schemas need no change."""
    endpoints = facts["endpoints"]
    if not isinstance(endpoints, dict):
        raise UnreadableError("'endpoints' is not an object that holds endpoints")
    paths = {}
    for path, entry in endpoints.items():
        if not isinstance(entry, dict) or "response" not in entry:
            raise UnreadableError(f"GET {path}: it has no 'response'")
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
    """A name for an operation that has none in the source."""
    words = re.findall(r"[A-Za-z0-9]+", path)
    return "Get" + "".join(word[:1].upper() + word[1:] for word in words)


class _Reader:
    """Turns the operations and schemas of one document into plain ones."""

    def __init__(self, document: Json, notes: list[str]) -> None:
        self.document = document
        self.notes = notes

    def endpoint(self, place: Place, item: Json) -> Endpoint:
        operation = item["get"]
        if not isinstance(operation, dict):
            raise UnreadableError(f"{place}: the operation is not an object")
        raw = [*item.get("parameters", []), *operation.get("parameters", [])]
        answer, answer_place = self._answer(operation, place)
        return Endpoint(
            operation.get("operationId") or _operation_id_of(place.path),
            self._parameters(place, raw),
            self.schema(answer, answer_place, _Enclosing()),
        )

    def _answer(self, operation: Json, place: Place) -> tuple[object, Place]:
        responses = operation.get("responses")
        if not isinstance(responses, dict) or not responses:
            raise UnreadableError(f"{place}: it has no responses")
        response = next((responses[key] for key in ("200", "2XX") if key in responses), None)
        if response is None:
            self.notes.append(f"{place}: it has no response 200, so its answer may be anything")
            return {}, place
        if "$ref" in response:
            place, response = (
                place.within(response["$ref"]),
                self._resolve(response["$ref"], place),
            )
        return response.get("content", {}).get("application/json", {}).get("schema", {}), place

    def _parameters(self, place: Place, raw: list[Json]) -> list[Json]:
        """Path and query parameters, those of the path first, even if they are not listed."""
        read: dict[tuple[str, str], Json] = {
            ("path", name): {"name": name, "in": "path", "required": True, "schema": _STRING}
            for name in re.findall(r"{(\w+)}", place.path)
        }
        for entry in raw:
            param = self._resolve(entry["$ref"], place) if "$ref" in entry else entry
            name, where = str(param.get("name")), param.get("in")
            if where not in ("path", "query"):
                continue
            at = replace(place, parameter=name)
            given = param.get("schema", {})
            schema = self.schema(given, at, _Enclosing())
            facts: Json = {key: schema[key] for key in ("type", "enum") if key in schema}
            with named(at):
                default = self._default(given, at)
            if default is not None:
                facts["default"] = default
            required = where == "path" or bool(param.get("required"))
            result = {"name": name, "in": where, "required": required, "schema": facts}
            if param.get("deprecated"):
                result["deprecated"] = True
            read[where, name] = result
        return list(read.values())

    def _default(self, raw: Json, at: Place) -> object:
        """A parameter's default; its schema may be a reference."""
        while "default" not in raw and "$ref" in raw:
            raw = self._resolve(raw["$ref"], at)
        return raw.get("default")

    def schema(self, raw: object, at: Place, enclosing: _Enclosing) -> Json:
        """The plain schema of `raw`; `at` says where it stands, for messages."""
        with named(at):
            return self._schema(raw, at, enclosing)

    def _schema(self, raw: object, at: Place, enclosing: _Enclosing) -> Json:
        flat, names, at = self._flatten(raw, at, enclosing, ())
        if "recursive" in flat:
            return self._recursion(flat, at, enclosing)
        if "unions" in flat:
            return self._union(flat, names, at, enclosing)
        return self._single(flat, names, at, enclosing)

    def _flatten(
        self, raw: object, at: Place, enclosing: _Enclosing, path: tuple[str, ...]
    ) -> tuple[Json, frozenset[str], Place]:
        """`raw` with its references, `allOf` and "or null" merged in, and the references' names.

        `path` has the references that led here, without an object in between. If the schema is only
        a reference, the returned place is in the component that it refers to.
        """
        if raw is True:
            return {}, frozenset(), at
        if not isinstance(raw, dict):
            raise UnreadableError(f"{at}: the schema is not an object")
        own = {key: raw[key] for key in _FACTS if raw.get(key) is not None}
        if raw.get("nullable"):
            own["nullable"] = True
        if is_composed(raw) and is_only_null(own.get("type")):
            # Beside a reference, "null" as the only type would allow no value at all. It is meant
            # as: what the reference says, or null.
            del own["type"]
            own["nullable"] = True
        if isinstance(raw.get("required"), list):
            own["required"] = raw["required"]
        if "const" in raw:
            own["enum"] = [raw["const"]]
        if "x-recursive" in raw:
            return {**own, "recursive": _NEAREST}, frozenset(), at
        every = raw.get("allOf", [])
        parts = [(part, at, path) for part in every if len(every) == 1 or not is_null(part)]
        if len(parts) < len(every):
            own["nullable"] = True
        names: frozenset[str] = frozenset()
        inside = at
        if "$ref" in raw:
            name = raw["$ref"]
            inside = at.within(name)
            if name in enclosing.refs:
                if self._allows_null(self._resolve(name, at), at):
                    own["nullable"] = True
                return {**own, "recursive": name}, frozenset(), at
            if name in path:
                raise UnreadableError(f"{inside}: the component refers to itself only")
            names = frozenset([name])
            parts.insert(0, (self._resolve(name, at), inside, (*path, name)))
        for key in UNIONS:
            variants = raw.get(key, [])
            some = [variant for variant in variants if not is_null(variant)]
            if len(some) < len(variants):
                own["nullable"] = True
            if len(some) == 1:
                parts.append((some[0], at, path))
            elif any(says_a_type(variant) for variant in some):
                own.setdefault("unions", []).append(some)
        flat: Json = {}
        for part, place, way in parts:
            merged, inner, within = self._flatten(part, place, enclosing, way)
            if len(parts) == 1:
                inside = within
            flat, names = merge(flat, merged), names | inner
        return merge(flat, own), names, inside

    def _allows_null(self, raw: Json, at: Place) -> bool:
        """Whether a recursive schema may be null, by itself or by what it refers to."""
        seen: list[Json] = []
        while raw not in seen:
            if allows_null(raw):
                return True
            seen.append(raw)
            raw = self._resolve(raw["$ref"], at) if "$ref" in raw else raw
        return False

    def _recursion(self, flat: Json, at: Place, enclosing: _Enclosing) -> Json:
        name = flat["recursive"]
        target = enclosing.depth - 1 if name == _NEAREST else enclosing.refs[name]
        if target is None:
            self.notes.append(
                f"{at}: it leads back to component {name.rsplit('/', 1)[-1]}, which is not an"
                " object; from here on it may be anything"
            )
            return {}
        if target < 0:
            raise UnreadableError(f"{at}: 'x-recursive' stands outside of any object")
        again: Json = {UP: enclosing.depth - 1 - target}
        return {"anyOf": [again, NULL]} if allows_null(flat) else again

    def _resolve(self, reference: object, at: Place) -> Json:
        target: object = self.document
        for step in str(reference).removeprefix("#/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        if not isinstance(target, dict) or not str(reference).startswith("#/"):
            raise UnreadableError(
                f"{at}: it refers to {reference}, which is not in the description"
            )
        return target

    def _union(self, flat: Json, names: frozenset[str], at: Place, enclosing: _Enclosing) -> Json:
        if len(flat["unions"]) > 1:
            raise UnreadableError(f"{at}: it has several unions at once (anyOf, oneOf)")
        base = {key: value for key, value in flat.items() if key not in ("unions", "nullable")}
        inner = enclosing.within(names, is_object=False)
        variants: list[Json] = []
        nullable = bool(flat.get("nullable"))
        for variant in flat["unions"][0]:
            plain = self.schema({"allOf": [base, variant]} if base else variant, at, inner)
            if not plain:
                return {}  # anything, or something else: anything
            for one in plain.get("anyOf", [plain]):
                something, null_too = without_null(one)
                nullable |= null_too
                if something not in (None, *variants):
                    variants.append(something)
        if len(variants) == 1 and not nullable:
            return variants[0]
        return {"anyOf": [*variants, NULL] if nullable else variants}

    def _single(self, flat: Json, names: frozenset[str], at: Place, enclosing: _Enclosing) -> Json:
        types, nullable = types_of(flat, at)
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
            plain["items"] = self.schema(flat["items"], at.at("[]"), inner)
        return plain

    def _object(self, flat: Json, names: frozenset[str], at: Place, enclosing: _Enclosing) -> Json:
        plain: Json = {}
        properties = flat.get("properties", {})
        inner = enclosing.within(names, is_object=bool(properties))
        if not isinstance(properties, dict):
            raise UnreadableError(f"{at}: 'properties' is not an object")
        if properties:
            plain["properties"] = {
                name: self.schema(schema, at.at(f".{name}"), inner)
                for name, schema in properties.items()
            }
        required = [name for name in dict.fromkeys(flat.get("required", [])) if name in properties]
        if required:
            plain["required"] = required
        # `false` and `true` are left out: fields are added without notice, so all objects are open.
        if isinstance(flat.get("additionalProperties"), dict) and flat["additionalProperties"]:
            plain["additionalProperties"] = self.schema(
                flat["additionalProperties"], at.at(".*"), inner
            )
        return plain
