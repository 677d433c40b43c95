"""Give the objects of plain schemas their names, and put each into `components` once.

Every object with properties becomes a component, except the envelope of an answer (records, cursor,
connection), which stays in its path. Equal objects are one component, wherever they are. A name
comes from the table of names (by position), or else from the position:

- `/accounting/bills.bills[]`, the records of an answer, are called Bill;
- `Bill.line_items[]`, the objects in a list of a component, are called BillLineItem;
- `Order.customer`, an object in a component, is called OrderCustomer;
- `*.connection` in the table stands for this key in every answer;
- `/jobs/{id}` in the table makes the answer as a whole a component.
"""

from __future__ import annotations

import json
import re

from openapi_reduce import UP, Endpoint
from openapi_reduce_types import Json

REF = "#/components/schemas/"


def singular(key: str) -> str:
    """`entries` -> `entry`, `addresses` -> `address`; right for the keys of this API."""
    if key.endswith("ies"):
        return key[:-3] + "y"
    if key.endswith(("sses", "ches", "shes", "xes")):
        return key[:-2]
    if key.endswith("s") and not key.endswith(("ss", "us", "is")):
        return key[:-1]
    return key


def pascal(key: str) -> str:
    """`line_items` -> `LineItems`."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", key))


class Components:
    """The components of one document, filled while its endpoints are placed."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self.schemas: dict[str, Json] = {}
        self.renamed: list[str] = []
        self._known: dict[str, str] = {}
        self._shapes: dict[str, str] = {}

    def place_endpoint(self, path: str, endpoint: Endpoint) -> Json:
        """The path item of an endpoint, its answer's objects replaced by references."""
        answer = self._answer(path, endpoint.schema)
        return {
            "get": {
                "operationId": endpoint.operation_id,
                "parameters": endpoint.parameters,
                "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
            }
        }

    def _answer(self, path: str, schema: Json) -> Json:
        if "anyOf" in schema:
            return {"anyOf": [self._answer(path, variant) for variant in schema["anyOf"]]}
        if path in self.names or _key(schema, []) in self._known:
            return self._place(schema, path, self.names.get(path, ""), [])
        if "properties" not in schema:
            return schema
        properties = {}
        for key, value in schema["properties"].items():
            position = f"{path}.{key}"
            if f"{position}{_brackets(value)}" not in self.names and f"*.{key}" in self.names:
                position = f"*.{key}"
            name = pascal(singular(key) if "items" in value else key)
            properties[key] = self._place(value, position, name, [])
        return {**schema, "properties": properties}

    def _place(self, schema: Json, position: str, name: str, enclosing: list[str]) -> Json:
        """`schema` with every object in it replaced by a reference to its component."""
        if UP in schema:
            return {"$ref": REF + enclosing[-1 - schema[UP]]}
        if "anyOf" in schema:
            placed = [self._place(v, position, name, enclosing) for v in schema["anyOf"]]
            return {"anyOf": placed}
        if "items" in schema:
            items = self._place(schema["items"], f"{position}[]", name, enclosing)
            return {**schema, "items": items}
        if "properties" not in schema:
            if "additionalProperties" not in schema:
                return schema
            values = schema["additionalProperties"]
            placed_values = self._place(values, f"{position}.*", name, enclosing)
            return {**schema, "additionalProperties": placed_values}
        reference = {"$ref": REF + self._component(schema, position, name, enclosing)}
        nullable = isinstance(schema["type"], list)
        return {"anyOf": [reference, {"type": "null"}]} if nullable else reference

    def _component(self, schema: Json, position: str, name: str, enclosing: list[str]) -> str:
        key = _key(schema, enclosing)
        own = self.names.get(position)
        if own is not None and self._shapes.get(own) == key:
            return own
        # A position in the table keeps its name in every version, even if another object has the
        # same form there: classes and departments differ only in some versions.
        if own is None and key in self._known:
            return self._known[key]
        name = self._free(own or name, position)
        self._known.setdefault(key, name)
        self._shapes[name] = key
        self.schemas[name] = {}
        inner = [*enclosing, name]
        properties = {}
        for prop, value in schema["properties"].items():
            part = pascal(singular(prop) if "items" in value else prop)
            properties[prop] = self._place(value, f"{name}.{prop}", name + part, inner)
        component = {**schema, "type": "object", "properties": properties}
        if "additionalProperties" in schema:
            component["additionalProperties"] = self._place(
                schema["additionalProperties"], f"{name}.*", f"{name}Value", inner
            )
        self.schemas[name] = component
        return name

    def _free(self, name: str, position: str) -> str:
        """`name`, with the next number if another object has the name already."""
        free, number = name, 1
        while free in self.schemas:
            number += 1
            free = f"{name}{number}"
        if free != name:
            self.renamed.append(f"{position}: called {free}, since {name} is another object")
        return free


def _brackets(schema: Json) -> str:
    return "[]" if "items" in schema else ""


def _key(schema: Json, enclosing: list[str]) -> str:
    """A key that equal objects share. Null does not count; the sequence of properties does.

    An object that refers to an enclosing object is equal only within the same enclosing objects.
    """
    text = json.dumps({**schema, "type": "object"} if "properties" in schema else schema)
    return text + "".join(enclosing) if _points_out(schema, 0) else text


def _points_out(schema: Json, depth: int) -> bool:
    if UP in schema:
        return bool(schema[UP] >= depth)
    inner = depth + 1 if "properties" in schema else depth
    children = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    children += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    return any(_points_out(child, inner) for child in children)
