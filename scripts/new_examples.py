"""Write what is missing in tests/data/examples: whole examples, and fields of existing ones.

``make golden`` runs it; tests/end_to_end/test_examples.py reads the examples. The values are made
up from the API document, and ids point to rows of other examples. If Rutter publishes an example,
put its body there instead.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs_fields import versions_of  # noqa: E402

from tap_rutter.schema.document import document  # noqa: E402
from tap_rutter.schema.foreign_keys import target_of  # noqa: E402
from tap_rutter.streams import STREAMS, name_of  # noqa: E402
from tap_rutter.streams.base import RutterStream  # noqa: E402
from tap_rutter.versions import LATEST  # noqa: E402

FOLDER = ROOT / "tests" / "data" / "examples"
_REF = "#/components/schemas/"
_MADE_UP = uuid.UUID("5f0c0a52-6d0f-4f0e-9b8e-0d5b3c1f7a10")
_FREE_FORM = {"Id": "117"}
_ITSELF = object()  # a recursive type is not shown again inside itself
Json = dict[str, Any]


def version_of(stream: type[RutterStream]) -> str:
    """The API version of an example: the default, or the newest version that has the stream."""
    there = versions_of(stream)
    return LATEST if LATEST in there else there[-1]


class Example:
    """Makes the body of one stream's example."""

    def __init__(self, stream: type[RutterStream], folder: Path) -> None:
        self.name = name_of(stream)
        self.stream = stream
        self.version = version_of(stream)
        self.folder = folder

    def body(self) -> Json:
        """The answer of the endpoint, with one row."""
        return {
            self.stream.records_key: [self.row()],
            "next_cursor": None,
            "connection": self._read("accounting_accounts")["body"]["connection"],
        }

    def row(self) -> Json:
        """A row with every field."""
        made: Json = self._value({"$ref": _REF + self.stream.component}, "")
        return made

    def _value(self, node: Mapping[str, Any], path: str, seen: tuple[str, ...] = ()) -> Any:
        if "$ref" in node:
            component = str(node["$ref"]).removeprefix(_REF)
            if component in seen:
                return _ITSELF
            inner = document(self.version).components[component]
            return self._value(inner, path, (*seen, component))
        if "anyOf" in node:
            there = [part for part in node["anyOf"] if part.get("type") != "null"]
            return self._value(there[0], path, seen)
        target = target_of(self.name, path)
        if target is not None and path != "connection_id":
            return self._id_of(target)
        if "enum" in node:
            return next(choice for choice in node["enum"] if choice is not None)
        types = node.get("type", "object")
        kind = types if isinstance(types, str) else next(t for t in types if t != "null")
        if kind == "array":
            item = self._value(node.get("items", {"type": "string"}), f"{path}[]", seen)
            return [] if item is _ITSELF else [item]
        if kind == "object":
            fields = node.get("properties", {})
            inside = {
                name: self._value(field, f"{path}.{name}" if path else name, seen)
                for name, field in fields.items()
            }
            kept = {name: value for name, value in inside.items() if value is not _ITSELF}
            return kept or dict(_FREE_FORM)
        return self._scalar(kind, str(node.get("format", "")), path)

    def _scalar(self, kind: str, form: str, path: str) -> Any:
        if kind in {"number", "integer"}:
            return 117
        if kind == "boolean":
            return True
        if form == "date-time":
            return "2024-05-16T17:03:00.000Z"
        name = path.rpartition(".")[2]
        return self._made_up(path) if name == "id" or name.endswith("_id") else f"some {name}"

    def _id_of(self, target: str) -> str:
        """The id of a row in a stream's example, or the id that a missing example will have."""
        if not (self.folder / f"{target}.json").exists():
            return str(uuid.uuid5(_MADE_UP, f"{target} id"))
        rows = self._read(target)["body"].values()
        found = next(part[0] if isinstance(part, list) else part for part in rows)
        return str(found["id"])

    def _made_up(self, path: str) -> str:
        return str(uuid.uuid5(_MADE_UP, f"{self.name} {path}"))

    def _read(self, name: str) -> Json:
        found: Json = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        return found


def completed(row: Json, made: Json, path: str = "") -> Iterator[str]:
    """Add the fields that a row lacks; returns their paths."""
    for name, value in made.items():
        below = f"{path}.{name}" if path else name
        if name not in row:
            row[name] = value
            yield below
            continue
        inside = row[name] if isinstance(row[name], list) else [row[name]]
        like = value[0] if isinstance(value, list) and value else value
        if isinstance(like, dict) and like != _FREE_FORM:
            # One of the lines is enough: not every line has every field.
            lines = [line for line in inside if isinstance(line, dict)]
            shown = {field for line in lines for field in line}
            for line in lines[:1]:
                rest = {field: entry for field, entry in like.items() if field not in shown}
                rest |= {field: entry for field, entry in like.items() if field in line}
                yield from completed(line, rest, below)


def complete(stream: type[RutterStream], file: Path) -> list[str]:
    """Add the fields that an example lacks; returns their paths."""
    # Numbers keep their digits.
    entry = json.loads(file.read_text(encoding="utf-8"), parse_float=lambda text: f"@@{text}@@")
    rows = entry["body"][stream.records_key]
    first = rows[0] if isinstance(rows, list) else rows
    shown = {name for row in rows for name in row} if isinstance(rows, list) else set(rows)
    made = Example(stream, file.parent).row()
    added = list(completed(first, {k: v for k, v in made.items() if k in first or k not in shown}))
    if added:
        text = json.dumps(entry, indent=1, ensure_ascii=False)
        file.write_text(re.sub(r'"@@(.*?)@@"', r"\1", text) + "\n", encoding="utf-8")
    return added


def is_plain(stream: type[RutterStream]) -> bool:
    """Whether the stream is a list with a row type, so that an example can be made up."""
    return bool(stream.path) and "{" not in stream.path and bool(stream.component)


def main(folder: Path = FOLDER) -> int:
    """Write what is missing; 1 if a stream needs an example that is written by hand."""
    failed = 0
    for stream in STREAMS:
        name = name_of(stream)
        file = folder / f"{name}.json"
        is_wanted = version_of(stream) in {LATEST, "2023-03-14"}
        if not stream.path or not is_wanted:
            continue
        if file.exists():
            added = complete(stream, file) if is_plain(stream) else []
            if added:
                print(f"tests/data/examples/{name}.json: added {', '.join(added)}")
            continue
        if not is_plain(stream):
            print(
                f"{name} needs an example: write tests/data/examples/{name}.json by hand, like"
                " those of the streams beside it",
                file=sys.stderr,
            )
            failed = 1
            continue
        example = Example(stream, folder)
        content = {
            "api_version": example.version,
            "endpoint": stream.path,
            "body": example.body(),
        }
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"tests/data/examples/{name}.json: written, with made-up values")
    return failed


if __name__ == "__main__":
    sys.exit(main())
