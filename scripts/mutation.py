"""Change the code a little, thousands of times, and see whether the tests notice.

``python scripts/mutation.py errors signature`` tries the modules of these names, with the fast
tests that are named for them below; ``--list`` names all. For each change that no test noticed (a
survivor) the difference is printed: write a test that fails with it, or find that it changes
nothing that anybody could see.

mutmut changes functions and methods, but none with a decorator (properties, context managers), and
nothing outside of functions, such as SQL in constants. The tests must run in this process: a
command that a test starts uses the code as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".mutation"

_COPIED = ("tap_rutter", "tests", "scripts", "docs", "meltano.yml", "README.md", "CHANGELOG.md")
_SETTINGS = """
[tool.mutmut]
source_paths = ["tap_rutter"]
only_mutate = [{modules}]
pytest_add_cli_args_test_selection = [{tests}]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-k", {chosen}]
also_copy = ["scripts", "docs", "meltano.yml", "README.md", "CHANGELOG.md"]
use_git_change_detection = false
timeout_constant = 5.0
timeout_multiplier = 4.0
"""
_HYPOTHESIS = """

from hypothesis import Phase

# A failing example need not be made small, nor be kept: that it fails is enough.
settings.register_profile(
    "mutation", settings(), phases=[Phase.explicit, Phase.generate], database=None
)
settings.load_profile("mutation")
"""
# mutmut's exit codes: of pytest, and its own.
_KILLED = {1, 3, 36, 24, 152, -24, 255, -9, -11}  # a test failed, or did not end
_UNTESTED = {5, 33}


@dataclass(frozen=True)
class Target:
    """A module and the tests that are to notice changes of it."""

    module: str
    tests: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    """Expressions of ``pytest -k``, one of which fits each test that is run; none: all tests."""
    left_out: tuple[str, ...] = ()
    """Parts of the names of tests that are left out: they take longer than all others together, or
    have parameters that mutmut cannot pass on."""
    needs_postgres: bool = False


TARGETS = {
    "conform": Target(
        "tap_rutter/records/conform.py",
        ("tests/unit/test_conform.py", "tests/unit/test_conform_keys.py"),
        left_out=("any_row_has", "brought_into_form", "no_value_is_lost"),
    ),
    "fast_path": Target(
        "tap_rutter/records/fast_path.py",
        ("tests/unit/test_fast_path.py", "tests/unit/test_fast_path_pages.py"),
        left_out=(
            "checked_at_once",
            "normal_together",
            "takes_the_fast_path_leaves",
            "one_odd_row",
        ),
    ),
    "errors": Target(
        "tap_rutter/errors.py",
        ("tests/unit/test_errors.py",),
        left_out=("any_message", "no_body_breaks"),
    ),
    "plan": Target(
        "tap_rutter/sync/plan.py",
        (
            "tests/unit/test_plan.py",
            "tests/sync/test_read_ahead_of_others.py",
            "tests/sync/test_isolation.py",
            "tests/sync/test_late_data.py",
            "tests/sync/test_not_activated.py",
            "tests/sync/test_only_after_sync.py",
            "tests/sync/test_unserved.py",
            "tests/sync/test_unserved_memory.py",
        ),
        chosen=(
            "test_plan",
            "read_ahead_of_others",
            "first_read_of_a_connection_that_is_not_ready",
            "is_not_ready_is_not_asked",
            "large_organisation and bills-8",
            "idle_connection and 8",
            "connection_that_is_lost",
            "an_unavailable_object",
            "two_connections and 8",
            "whoever_fails and 8",
            "speak_for_its_platform",
            "asked_of_many_at_once",
            "in_trouble_fail_the_run",
            "no_listing_calls_not_ready",
        ),
    ),
    "spread": Target("tap_rutter/replication/spread.py", ("tests/unit/test_spread.py",)),
    "windows": Target("tap_rutter/replication/windows.py", ("tests/unit/test_windows.py",)),
    "state": Target(
        "tap_rutter/sync/state.py",
        ("tests/unit/test_state.py", "tests/unit/test_state_shapes.py"),
        left_out=("any_state_is", "shows_what_was_put"),
    ),
    "signature": Target(
        "tap_rutter/fleet/webhooks/signature.py", ("tests/fleet/test_hook_signature.py",)
    ),
    "claims": Target(
        "tap_rutter/fleet/ledger/claims.py",
        (
            "tests/fleet/test_ledger_claims.py",
            "tests/fleet/test_ledger_taking.py",
            "tests/fleet/test_ledger_states.py",
        ),
        left_out=("learn_different_things",),
        needs_postgres=True,
    ),
    "leases": Target(
        "tap_rutter/fleet/ledger/leases.py",
        ("tests/fleet/test_ledger_claims.py", "tests/fleet/test_ledger_taking.py"),
        needs_postgres=True,
    ),
    "ending": Target(
        "tap_rutter/fleet/ledger/ending.py",
        (
            "tests/fleet/test_ledger_claims.py",
            "tests/fleet/test_ledger_states.py",
            "tests/fleet/test_ledger_marks.py",
            "tests/fleet/test_ledger_failed_streams.py",
            "tests/fleet/test_ledger_failures.py",
        ),
        left_out=("five_hundred", "learn_different_things"),
        needs_postgres=True,
    ),
    "verdicts": Target(
        "tap_rutter/fleet/ledger/verdicts.py", ("tests/fleet/test_ledger_verdicts.py",)
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the modules; returns 1 if a change survived."""
    parser = argparse.ArgumentParser(description="Mutation testing of single modules.")
    parser.add_argument("names", nargs="*", metavar="MODULE", help=", ".join(TARGETS))
    parser.add_argument("--list", action="store_true", help="name the modules and their tests")
    parser.add_argument("--sample", type=int, default=0, help="try so many changes of each only")
    parser.add_argument("--processes", type=int, default=1, help="how many at once")
    asked = parser.parse_args(arguments)
    if asked.list or not asked.names:
        for name, target in TARGETS.items():
            print(f"{name}: {target.module}, with {' '.join(target.tests)}")
        return 0
    if unknown := set(asked.names) - TARGETS.keys():
        parser.error(f"not known: {', '.join(sorted(unknown))}. There are: {', '.join(TARGETS)}")
    survived = 0
    with ExitStack() as stack:
        environment = dict(os.environ)
        if any(TARGETS[name].needs_postgres for name in asked.names):
            environment["TEST_POSTGRES_DATA"] = str(stack.enter_context(_postgres()))
        for name in asked.names:
            survived += _try(name, environment, asked.sample, asked.processes)
    return 1 if survived else 0


@contextmanager
def _postgres() -> Iterator[Path]:
    """One server for all tests: to start it anew would take longer than they do."""
    from tap_rutter.demo import database

    data = WORK / f"postgres-{os.getpid()}"
    try:
        with database.running(data) as server:
            server.prepare()
            yield data
    finally:
        database.remove(data)


def _try(name: str, environment: dict[str, str], sample: int, processes: int) -> int:
    """Try one module; returns how many changes survived."""
    target, folder = TARGETS[name], WORK / name
    _copy(target, folder)
    temporary = folder / "tmp"
    temporary.mkdir()
    environment |= {
        "PYTEST_DEBUG_TEMPROOT": str(temporary),
        # To look for plugins takes longer than most tests do.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    mutmut = [str(Path(sys.executable).with_name("mutmut"))]
    chosen: list[str] = []
    if sample:
        # One that does not exist: all changes are made, and none is tried.
        _call([*mutmut, "run", "none.such"], folder, environment)
        chosen = sorted(_results(folder))
        chosen = random.Random(1).sample(chosen, min(sample, len(chosen)))
    log = _call([*mutmut, "run", "--max-children", str(processes), *chosen], folder, environment)
    tried = {key: code for key, code in _results(folder).items() if code is not None}
    if not tried:
        print(f"{log[-3000:]}\n{name}: mutmut has tried nothing", flush=True)
        return 1
    survivors = [key for key, code in tried.items() if code not in _KILLED]
    for key in survivors:
        print(f"\n{key}{' (no test runs it)' if tried[key] in _UNTESTED else ''}")
        shown = _call([*mutmut, "show", key], folder, environment)
        print("\n".join(line for line in shown.splitlines() if line[:1] in "+-"))
    codes = Counter("killed" if code in _KILLED else "survived" for code in tried.values())
    total = sum(codes.values())
    print(f"\n{target.module}: {codes['killed']} of {total} changes were noticed", flush=True)
    return len(survivors)


def _copy(target: Target, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    with (folder / "tests" / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write(_HYPOTHESIS)
    settings = _SETTINGS.format(
        modules=json.dumps(target.module),
        tests=", ".join(map(json.dumps, target.tests)),
        chosen=json.dumps(_expression(target)),
    )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(project + settings, encoding="utf-8")


def _expression(target: Target) -> str:
    """Which of the tests are run, for ``pytest -k``."""
    parts = [f"not {name}" for name in target.left_out]
    if target.chosen:
        parts.append(f"({' or '.join(f'({fitting})' for fitting in target.chosen)})")
    return " and ".join(parts)


def _call(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.stdout


def _results(folder: Path) -> dict[str, int | None]:
    """The changes that mutmut has made, with how the tests of each ended; None: not tried."""
    found: dict[str, int | None] = {}
    for file in (folder / "mutants" / "tap_rutter").rglob("*.meta"):
        found |= json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


if __name__ == "__main__":
    sys.exit(main())
