"""Apply the fixes of a version to its document: merge patches, and parts of a neighbour's document.

A fix has a `reason`, and one of these:

- `components` or `endpoints` (names, paths) with `rename` (old field name to new, in place) and
  `merge`: a JSON merge patch (RFC 7396) on each of the components, or of the GET operations. Lists
  of names are patched as maps: in a patch, `required` is `{field: true, other: null}`, `parameters`
  is `{name: {...}}`. A `merge` that is null removes the component or the endpoint as a whole.
- `add`: whole endpoints by path that the source lacks, with the components that they need in
`schemas`.
- `take`, the version of a neighbour, with one or more of `endpoints` (whole), `parameters` and
  `answer` (names of parameters, of fields beside the records) of the endpoints in `of`, `fields`
  (component to field names), and `operation_ids` (true: wherever both have the endpoint). They are
  copied from the neighbour's document, with the components they need and that are missing here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from openapi_reduce_names import REF
from openapi_reduce_types import Json

Neighbour = Callable[[str], Json]


class FixError(Exception):
    """A fix cannot be applied. The message is one line."""


def apply_fixes(document: Json, fixes: list[Json], neighbour: Neighbour) -> list[str]:
    """Change `document` as the fixes say; returns the reasons of fixes that changed nothing.

    `neighbour` gives the document of another version.
    """
    idle = []
    for fix in fixes:
        before = copy.deepcopy(document)
        if not fix.get("reason"):
            raise FixError(f"a fix has no reason: {str(fix)[:60]}")
        if "add" in fix:
            _add(document, fix)
        elif "take" in fix:
            _take(document, fix, neighbour(fix["take"]))
        else:
            _merge_all(document, fix)
        if document == before:
            idle.append(fix["reason"])
    prune(document)
    return idle


def prune(document: Json) -> None:
    """Remove components that nothing refers to, and refuse references to missing components."""
    schemas = document["components"]["schemas"]
    used: set[str] = set()
    waiting = list(references(document["paths"]))
    while waiting:
        name = waiting.pop()
        if name not in schemas:
            raise FixError(f"component {name} is referred to, but it is not in the document")
        if name not in used:
            used.add(name)
            waiting += references(schemas[name])
    for name in set(schemas) - used:
        del schemas[name]


def references(value: object) -> Iterator[str]:
    """The names of the components that a part of a document refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(REF)
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def answer_of(operation: Json) -> Json:
    """The schema of an operation's answer."""
    schema: Json = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return schema


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, with lists of names patched as maps."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key == "required" and isinstance(value, dict):
            result[key] = list(merge_patch(dict.fromkeys(result.get(key, []), True), value))
        elif key == "parameters" and isinstance(value, dict):
            named = {param["name"]: param for param in result.get(key, [])}
            result[key] = list(merge_patch(named, value).values())
        else:
            result[key] = merge_patch(result.get(key), value)
    if result.get("required") == []:
        del result["required"]
    return result


def _add(document: Json, fix: Json) -> None:
    added = copy.deepcopy(fix)
    document["paths"] = dict(sorted({**document["paths"], **added["add"]}.items()))
    schemas = {**document["components"]["schemas"], **added.get("schemas", {})}
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def _merge_all(document: Json, fix: Json) -> None:
    patch = fix.get("merge", {})
    schemas, paths = document["components"]["schemas"], document["paths"]
    for name in fix.get("components", []):
        if patch is None:
            schemas.pop(name, None)
        else:
            _rename(name, _there(schemas, name, "component", fix), fix)
            schemas[name] = merge_patch(schemas[name], patch)
    for path in fix.get("endpoints", []):
        if patch is None:
            paths.pop(path, None)
        else:
            operation = _there(paths, path, "endpoint", fix)["get"]
            paths[path] = {"get": merge_patch(operation, patch)}


def _rename(component: str, schema: Json, fix: Json) -> None:
    for old, new in fix.get("rename", {}).items():
        if new not in schema["properties"]:
            _there(schema["properties"], old, f"in component {component} the field", fix)
        schema["properties"] = {
            new if name == old else name: value for name, value in schema["properties"].items()
        }
        schema["required"] = [new if name == old else name for name in schema.get("required", [])]


def _there(mapping: Json, key: str, what: str, fix: Json) -> Json:
    """What a fix names; `what` says in the message what it should be."""
    if key not in mapping:
        where = f"the document of {fix['take']}" if "take" in fix else "the document"
        raise FixError(f"{what} {key} is not in {where} (fix: {fix['reason'][:60]})")
    found: Json = mapping[key]
    return found


def _take(document: Json, fix: Json, source: Json) -> None:
    schemas, paths = document["components"]["schemas"], document["paths"]
    for path in fix.get("endpoints", []):
        paths[path] = copy.deepcopy(_there(source["paths"], path, "endpoint", fix))
    for path in fix.get("of", []):
        here, there = (
            _there(doc["paths"], path, "endpoint", fix)["get"] for doc in (document, source)
        )
        if "parameters" in fix:
            _take_parameters(path, here, there, fix)
        if "answer" in fix:
            what = f"in the answer of {path} the field"
            _take_fields(answer_of(here), answer_of(there), fix["answer"], what, fix)
    if fix.get("operation_ids"):
        for path in set(paths) & set(source["paths"]):
            paths[path]["get"]["operationId"] = source["paths"][path]["get"]["operationId"]
    for name, fields in fix.get("fields", {}).items():
        there = _there(source["components"]["schemas"], name, "component", fix)
        here = _there(schemas, name, "component", fix)
        _take_fields(here, there, fields, f"in component {name} the field", fix)
    waiting = [*references(paths), *references(schemas)]
    while waiting:
        name = waiting.pop()
        if name not in schemas:
            schemas[name] = copy.deepcopy(
                _there(source["components"]["schemas"], name, "component", fix)
            )
            waiting += references(schemas[name])


def _take_parameters(path: str, here: Json, there: Json, fix: Json) -> None:
    theirs = {param["name"]: param for param in there["parameters"]}
    ours = {param["name"]: param for param in here["parameters"]}
    what = f"of {path} the parameter"
    taken = {name: _there(theirs, name, what, fix) for name in fix["parameters"]}
    here["parameters"] = list(_in_order_of(theirs, ours, taken).values())


def _take_fields(here: Json, there: Json, names: list[str], what: str, fix: Json) -> None:
    theirs = there["properties"]
    taken = {name: copy.deepcopy(_there(theirs, name, what, fix)) for name in names}
    here["properties"] = _in_order_of(theirs, here["properties"], taken)
    required = {*here.get("required", [])} - set(names) | {*names} & {*there.get("required", [])}
    if required:
        here["required"] = [name for name in here["properties"] if name in required]


def _in_order_of(order: Json, ours: Json, taken: Json) -> Json:
    """`ours` with the taken entries, each behind the entry that it follows in the neighbour."""
    keys = list(ours)
    names = list(order)
    for name in sorted(taken, key=names.index):
        if name not in keys:
            before = [key for key in names[: names.index(name)] if key in keys]
            keys.insert(keys.index(before[-1]) + 1 if before else 0, name)
    merged = {**ours, **taken}
    return {key: merged[key] for key in keys}
