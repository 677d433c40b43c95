"""The messages in the code, found in its syntax trees.

To look for ``raise`` and ``logger`` only would miss texts that are put together from parts, and
those that a helper makes. So every text of two words or more counts, unless nobody sees it as a
message: docstrings, the help of commands and of metrics, SQL, and the modules in ``_OTHER_TEXTS``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HOLE = "…"
"""Stands for what a message names, such as a setting, a connection or a number."""

PACKAGE = Path(__file__).parents[2] / "tap_rutter"

_OTHER_TEXTS = {
    "api/exchange.py": "the transport shows its errors in words of its own",
    "connections/platforms.py": "names of platforms",
    "dbt/marts.py": "part of the package that is written",
    "dbt/package.py": "part of the package that is written",
    "dbt/staging.py": "part of the package that is written",
    "demo/world.py": "values of simulated rows",
    "replication/endpoint.py": "shown in the documentation of streams",
    "replication/scouting.py": "what its values mean",
    "schema/field_docs.py": "the meanings of columns",
    "simulator/": "answers of a simulated server",
}
_STILL_PRINTED = {"simulator/__main__.py"}
_HELP = {"description", "epilog", "help", "metavar", "short_help", "title"}
_SILENT_CALLS = {
    # The texts of regular expressions, and the help of metrics and scripts.
    *("re.compile", "re.search", "Counter", "Gauge", "GaugeMetricFamily", "Histogram", "Script"),
    # Faults of the program, which no user can cause, and one that is shown in other words.
    *("AssertionError", "LookupError", "NotImplementedError", "TypeError", "zlib.error"),
}
_SQL = re.compile(
    r"\(?(?:alter|begin|case|coalesce|create|delete from|exists|grant|insert into|least|select"
    r"|update|with recursive|with \w+ as)\b|.*\b(?:is not null|and not \(|pg_backend_pid)"
)
_CODE = re.compile(
    r"[\w\[\], .]+ \| none|tuple\[|\w+ = |%\(|line \\d|\w+ asc\b|… … …|python -m |\S* ?-c "
)
_LABELS = {
    # Replication methods, in the documentation of streams.
    *("child snapshot", "synced, per parent"),
    # What webhooks ask for.
    *("read and list", "read grown"),
    # A part of a message of the tap, by which the fleet knows it.
    "'connections_file' names cannot be used",
}
_MARKUP = re.compile(r"\[/?(?:dim|red)\]")
_PLACEHOLDER = re.compile(r"%(?:\.\d+)?[dfs]")
_WORD = re.compile(r"[A-Za-z][A-Za-z']+")


class Message(NamedTuple):
    """A text of the code."""

    place: str
    """Its file and line."""
    text: str
    """In one line, with holes for what is filled in."""


def messages() -> list[Message]:
    """All messages of the package, in the order of its files."""
    return [
        Message(f"tap_rutter/{name}:{line}", text)
        for name, tree in _modules()
        for line, text in _texts(tree)
        if _is_message(text)
    ]


def plain(text: str) -> str:
    """A text in one line, with one hole for each thing, or things in a row, that are filled in."""
    text = _PLACEHOLDER.sub(HOLE, _MARKUP.sub("", " ".join(text.split())))
    return re.sub(f"{HOLE}+", HOLE, text)


def pieces(text: str) -> list[str]:
    """What a text says between its holes."""
    parts = (part.strip(" .:;,()'\"") for part in plain(text).split(HOLE))
    return [part for part in parts if _WORD.search(part)]


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if name in _STILL_PRINTED or not name.startswith(tuple(_OTHER_TEXTS)):
            yield name, ast.parse(file.read_text(encoding="utf-8"))


def _is_message(text: str) -> bool:
    is_sentence = " " in text and len(re.findall(r"[A-Za-z][A-Za-z']*", text)) > 1
    is_label = re.match(r"[A-Z][a-z]+: …", text) is not None
    is_other = text in _LABELS or _SQL.match(text.lower()) or _CODE.match(text.lower())
    return (is_sentence or is_label) and not is_other


def _texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.lineno, plain(node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
        yield node.lineno, plain("".join(map(str, parts)))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _texts(part.value)
    elif not _is_silent(node):
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def _is_silent(node: ast.AST) -> bool:
    """Whether nobody sees the texts in it as messages."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    if isinstance(node, ast.keyword):
        return node.arg in _HELP
    if isinstance(node, ast.Assign):
        return any(isinstance(to, ast.Attribute) and to.attr in _HELP for to in node.targets)
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        return called in _SILENT_CALLS or called.endswith(".startswith")
    return isinstance(node, ast.Assert | ast.Compare)
