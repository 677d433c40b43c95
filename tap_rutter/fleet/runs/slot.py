"""A place for one run at a time, with a spare: a target that has been started and waits.

Starting a target takes a second or so. A spare is started before its claim is known, so it brings
the claim's id with it: its database sessions bear that id, and the slot's next claim is to bear it
as well (``claim_id``). A claim with another id is run too, by a target that is started for it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from uuid import UUID, uuid4

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Environment
from tap_rutter.fleet.runs import meltano
from tap_rutter.fleet.runs.command import tap_command, target_command
from tap_rutter.fleet.runs.environment import learn_secrets
from tap_rutter.fleet.runs.files import RunDirectory
from tap_rutter.fleet.runs.runner import Runner, nursery_of_process
from tap_rutter.fleet.runs.sessions import session_name

SPARE_SECONDS = 900.0
"""A spare that has waited for so long is replaced: what it was started with may have changed."""


TAP, TARGET = "tap", "target"
"""What a nursery imports: ``tap`` alone is this package's, else ``=`` and an entry point follow."""


def imports_of(config: FleetConfig, environment: Environment = os.environ) -> tuple[str, ...]:
    """What a nursery can import, so that runs are copies of it: milliseconds instead of a second.

    The default tap; and the target, where its command is a console script that was installed
    beside this Python. On Linux only: elsewhere a copy may not use what the system's frameworks
    have set up. With Meltano, both are copies of Meltano, which starts the plugins as ever.
    """
    if sys.platform != "linux":
        return ()
    path = environment.get("PATH")
    if config.meltano is not None:
        entry = _entry_point(meltano.command(config)[0], path)
        return (f"{TAP}={entry}", f"{TARGET}={entry}") if entry else ()
    found = [] if config.tap_command else [TAP]
    if config.target_command:
        entry = _entry_point(config.target_command[0], path)
        found += [f"{TARGET}={entry}"] if entry else []
    return tuple(found)


def _entry_point(command: str, path: str | None) -> str | None:
    """The function behind a console script of this very environment, as ``module:name``."""
    script = shutil.which(command, path=path)
    if script is None or Path(script).parent.resolve() != Path(sys.executable).parent.resolve():
        return None
    found = [*entry_points(group="console_scripts", name=Path(script).name)]
    return found[0].value if len(found) == 1 and ":" in found[0].value else None


@dataclass
class _Spare:
    claim_id: UUID
    runner: Runner


class Slot:
    """One run at a time. Used by one thread at a time."""

    def __init__(self, config: FleetConfig, environment: Environment = os.environ) -> None:
        self.config = config
        self.environment = environment
        self.imports = imports_of(config, environment)
        self._nursery = nursery_of_process(self.imports)
        self._spare: _Spare | None = None
        self._is_asked = False
        # What Meltano keeps for the slot's targets.
        self._directory: RunDirectory | None = None
        learn_secrets(config, environment)

    def claim_id(self) -> UUID:
        """The id that the slot's next claim should bear; a target has been started under it."""
        self._is_asked = True
        self.keep_spare()
        assert self._spare is not None
        return self._spare.claim_id

    def replace_spare(self) -> None:
        """Start the next spare ahead of its claim, if there is somebody who asks for its id."""
        if self._is_asked:
            self.keep_spare()

    def keep_spare(self) -> None:
        """Start a target ahead, unless one waits that is young and alive."""
        spare = self._spare
        if spare is not None:
            age = time.monotonic() - spare.runner.started
            if age < SPARE_SECONDS and spare.runner.is_waiting():
                return
            self.drop_spare()
        claim_id = uuid4()
        self._spare = _Spare(claim_id, self._started(claim_id))

    def take(self, claim_id: UUID) -> Runner:
        """A supervisor with a target for a claim: the spare, or else one that starts now."""
        spare, self._spare = self._spare, None
        if spare is not None:
            if spare.claim_id == claim_id and spare.runner.is_waiting():
                return spare.runner
            spare.runner.close()
        return self._started(claim_id)

    @property
    def forks_tap(self) -> bool:
        """Whether the tap, or Meltano for it, is a copy of a process that has imported it."""
        return self._forks(TAP)

    def _forks(self, which: str) -> bool:
        return any(name.partition("=")[0] == which for name in self.imports)

    @property
    def nursery_pid(self) -> int | None:
        """The process id of what starts the runs, once it has been started."""
        return self._nursery.pid

    def start(self, claim_id: UUID, **variables: str) -> Runner:
        """A target that starts now, with these variables beside its own."""
        return self._started(claim_id, **variables)

    def drop_spare(self) -> None:
        """End the spare."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.runner.close()

    def close(self) -> None:
        """End the spare; nothing of the slot is left."""
        self.drop_spare()
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.remove()

    def start_tap(
        self,
        runner: Runner,
        arguments: Sequence[str],
        directory: Path,
        *,
        last_line: str | None = None,
    ) -> None:
        """Start the tap into a runner's target; see ``Runner.start_tap``."""
        command = tap_command(self.config, arguments, directory, self.environment)
        runner.start_tap(
            command.argv,
            command.environment,
            fork=self.forks_tap,
            directory=str(directory),
            last_line=last_line,
        )

    def _started(self, claim_id: UUID, **variables: str) -> Runner:
        runner = self._nursery.runner()
        directory = self._directory_for_target()
        name = session_name(claim_id)
        command = target_command(self.config, name, directory, self.environment)
        runner.start_target(
            command.argv,
            {**command.environment, **variables},
            fork=self._forks(TARGET),
            directory=str(directory or ""),
        )
        return runner

    def _directory_for_target(self) -> Path | None:
        if self.config.meltano is None:
            return None
        if self._directory is None:
            self._directory = RunDirectory(self.config.work_directory)
        # One for each: the slot's next target is started while this one still works.
        return self._directory.path / uuid4().hex
