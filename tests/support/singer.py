"""The tap as others run it, and the Singer messages that it writes."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tap_rutter.simulator import Simulator
from tap_rutter.streams import OPTIONAL
from tap_rutter.tap import TapRutter

Json = dict[str, Any]

WORKERS = os.environ.get("TEST_WORKERS")
"""With how many workers the tap is to run in all tests, whatever they say themselves."""

COMMAND = Path(sys.executable).with_name("tap-rutter")

# What a developer has set for real use must not reach the tests.
_FOREIGN = ("TAP_RUTTER_", "RUTTER_", "TARGET_", "MELTANO_", "LOGLEVEL", "SINGER_SDK_")


@dataclass(frozen=True)
class Messages:
    """Singer messages in their order; numbers with a fraction are exact."""

    lines: tuple[Json, ...]

    @classmethod
    def parse(cls, text: str | bytes) -> Messages:
        """Read a tap's standard output; every line must be a JSON object."""
        return cls(tuple(json.loads(line, parse_float=Decimal) for line in text.splitlines()))

    @cached_property
    def records(self) -> dict[str, list[Json]]:
        """Records by stream; an empty list for a stream without any."""
        found: dict[str, list[Json]] = defaultdict(list)
        for line in self.lines:
            if line["type"] == "RECORD":
                found[line["stream"]].append(line["record"])
        return found

    @cached_property
    def schemas(self) -> dict[str, Json]:
        """SCHEMA messages by stream."""
        return {line["stream"]: line for line in self.lines if line["type"] == "SCHEMA"}

    @cached_property
    def states(self) -> list[Json]:
        """The values of the STATE messages."""
        return [line["value"] for line in self.lines if line["type"] == "STATE"]

    @property
    def state(self) -> Json:
        """What a target would hand to the next run."""
        return self.states[-1]


@dataclass(frozen=True)
class Ended:
    """A process that has come to its end."""

    code: int
    stdout: str
    stderr: str

    @property
    def messages(self) -> Messages:
        return Messages.parse(self.stdout)

    @property
    def errors(self) -> list[str]:
        """The lines that were logged as errors."""
        return [line for line in self.stderr.splitlines() if "| ERROR" in line]


def settings(simulator: Simulator, **more: Any) -> Json:
    """A configuration that reads a simulator."""
    if WORKERS:
        more = {**more, "concurrency": int(WORKERS)}
    return {
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "api_url": simulator.api_url,
        **more,
    }


def in_turn() -> bool:
    """Whether tests that set ``concurrency`` to one may rely on requests that come in turn."""
    return WORKERS in {None, "1"}


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would configure the tap or its peers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    # Both the plugins and Meltano are those that are installed beside this Python.
    path = os.pathsep.join([str(COMMAND.parent), kept.get("PATH", "")])
    if WORKERS:
        more = {"TAP_RUTTER_CONCURRENCY": WORKERS, **more}
    return {**kept, "PATH": path, "NO_COLOR": "1", **more}


@contextmanager
def arguments(
    config: object = None, state: object = None, catalog: object = None
) -> Iterator[list[str]]:
    """Command line arguments for files that hold these values."""
    given = {"--config": config, "--state": state, "--catalog": catalog}
    with tempfile.TemporaryDirectory() as folder:
        found: list[str] = []
        for option, value in given.items():
            if value is not None:
                file = Path(folder, f"{option.strip('-')}.json")
                file.write_text(json.dumps(value), encoding="utf-8")
                found += [option, str(file)]
        yield found


def run_tap(
    *args: str,
    config: object = None,
    state: object = None,
    catalog: object = None,
    **variables: str,
) -> Ended:
    """The console script in a process of its own, until it ends."""
    with arguments(config, state, catalog) as files:
        return run([COMMAND, *files, *args], env=environment(**variables))


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    stdin: str = "",
    cwd: Path | None = None,
) -> Ended:
    """A command in a process of its own, until it ends."""
    ended = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=env, cwd=cwd, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@cache
def discovered(*optional: str) -> Json:
    """The catalog, as discovery gives it, with these optional streams."""
    tap = TapRutter(config={"optional_streams": list(optional)}, validate_config=False)
    catalog: Json = tap.catalog_dict
    return catalog


def catalog_of(*streams: str, full_table: Collection[str] = ()) -> Json:
    """A catalog of these streams alone: what a catalog does not have is not read.

    Args:
        streams: Names of streams.
        full_table: Those of them that it asks to read whole.
    """
    entries = discovered(*(name for name in OPTIONAL if name in streams))["streams"]
    # Schemas are large, and nobody changes them: what is selected is a matter of the metadata.
    chosen = [
        {**entry, "metadata": copy.deepcopy(entry["metadata"])}
        for entry in entries
        if entry["tap_stream_id"] in streams
    ]
    assert len(chosen) == len(set(streams)), f"no such stream among {streams}"
    for entry in chosen:
        (own,) = (part["metadata"] for part in entry["metadata"] if not part["breadcrumb"])
        own["selected"] = True
        if entry["tap_stream_id"] in full_table:
            entry["replication_method"] = own["forced-replication-method"] = "FULL_TABLE"
    return {"streams": chosen}


def pipe(config: Json, target: str | Path, options: Json) -> None:
    """``tap-rutter --config … | target --config …``; both must end well."""
    with arguments(config) as tap_files, arguments(options) as target_files:
        tap = subprocess.Popen(
            [COMMAND, *tap_files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        with tap:
            assert tap.stdout is not None
            assert tap.stderr is not None
            loaded = subprocess.run(
                [target, *target_files],
                stdin=tap.stdout,
                capture_output=True,
                text=True,
                env=environment(),
                check=False,
            )
            said = tap.stderr.read().decode()
    assert tap.returncode == 0, said
    assert loaded.returncode == 0, loaded.stderr
