"""The rooms of the code: imports run one way between them, and no files import in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import tap_rutter

ROOT = Path(tap_rutter.__file__).parent

FLOORS: tuple[tuple[str, ...], ...] = (
    # Each may import from those above it, and from its own room.
    (
        "errors",
        "json_values",
        "names",
        "redact",
        "times",
        "versions",
        "settings_schema",
        "settings",
        "",
    ),
    ("api",),
    ("schema",),
    ("records",),
    ("connections",),
    ("replication",),
    ("sync",),
    ("streams",),
    ("tap", "config", "catalog"),
    ("cli",),
)
APART = {
    # They import the core; the core never imports them. The operator's command leads to them all.
    "simulator": {"openapi"},
    "warehouse": set(),
    "dbt": {"tap", "config", "schema", "streams", ""},
    "fleet": {
        "config",
        "errors",
        "names",
        "redact",
        "settings",
        "settings_schema",
        "times",
        "",
        # To list connections with their tokens, and to look at a state.
        "api",
        "connections",
        "streams",
        "sync",
        # To prune its report.
        "warehouse",
    },
    "demo": {"simulator", "warehouse", "cli", "tap"},
}
OPERATORS_COMMAND = "tap_rutter.cli.rutterctl"


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Mapping[str, Path] = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports_of(module: str) -> set[str]:
    """Modules of the package that a module imports: anywhere in it, for types only as well."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return {name for name in found if name in MODULES and name != module}


def room_of(module: str) -> str:
    """The room that a module stands in: a folder, or a file of the top floor by its own name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def test_every_module_has_its_room() -> None:
    known = {*FLOOR_OF, *APART, "openapi"}
    assert {module for module in MODULES if room_of(module) not in known} == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_one_way(module: str) -> None:
    if module == OPERATORS_COMMAND:
        return
    room = room_of(module)
    for other in sorted(imports_of(module)):
        to = room_of(other)
        if to == room or to == "":
            continue
        if room in APART:
            assert to in FLOOR_OF or to in APART[room], f"{module} imports {other}"
        else:
            assert to in FLOOR_OF, f"{module} imports {other}: {to} stands apart"
            assert FLOOR_OF[to] <= FLOOR_OF[room], f"{module} imports {other}: {to} is further out"


def circles() -> Iterator[list[str]]:
    """Modules that import each other, directly or by way of others."""
    edges = {module: imports_of(module) for module in MODULES}
    state: dict[str, int] = {}
    way: list[str] = []

    def visit(module: str) -> Iterator[list[str]]:
        state[module] = 1
        way.append(module)
        for other in sorted(edges[module]):
            if state.get(other) == 1:
                yield [*way[way.index(other) :], other]
            elif other not in state:
                yield from visit(other)
        way.pop()
        state[module] = 2

    for module in sorted(MODULES):
        if module not in state:
            yield from visit(module)


def test_no_files_import_in_a_circle() -> None:
    assert [" -> ".join(way) for way in circles()] == []


def test_every_room_says_what_it_is_for() -> None:
    for module, path in MODULES.items():
        if path.name == "__init__.py" and room_of(module) not in {"openapi"}:
            told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            assert len(told) > 80, f"{module} does not say what lives there"


def test_no_file_is_too_long_to_read_in_one_go() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES.values()
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}
