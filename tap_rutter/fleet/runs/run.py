"""One run of a claim: its files, its processes, what they hand over, and how it ended."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger.states import cut
from tap_rutter.fleet.model import Claim, ConnectionOutcome, Fault, RunResult, State
from tap_rutter.fleet.runs import files, meltano
from tap_rutter.fleet.runs.environment import tap_settings
from tap_rutter.fleet.runs.outcome import CANNOT_START, Report, is_race, outcomes_of, result_of
from tap_rutter.fleet.runs.pipe import Watched, watch
from tap_rutter.fleet.runs.sessions import is_reachable
from tap_rutter.fleet.runs.slot import Slot
from tap_rutter.redact import SECRETS

logger = logging.getLogger("tap-rutter.fleet")

OnStates = Callable[[dict[str, State], State], None]

TRIES = 4
"""How often a run is begun whose target fell over another that made the same table."""
_ORPHANED_AFTER = 0.3
"""The part of a lease after which a run ends whose worker has stopped. A worker that works kills it
0.6 of a lease after the last renewal at the latest (``work/heartbeat.py``), so it ends before its
lease does, whenever the worker stopped."""


def run_claim(
    claim: Claim,
    config: FleetConfig,
    *,
    listing: Mapping[str, Mapping[str, Any]],
    on_states: OnStates,
    stop: threading.Event,
    kill: threading.Event | None = None,
    slot: Slot | None = None,
) -> RunResult:
    """Run the tap into the target for the connections of a claim.

    Args:
        claim: What to run, with the states to go on from.
        config: The fleet's.
        listing: Rutter's list of connections by id, each with its access token.
        on_states: Called at once with each STATE that the target has committed: what has changed,
            by connection, and what is shared. If it raises, as with ``ClaimLost``, the run is
            killed, and the error goes on from here once nothing of the run is left.
        stop: Ends the run in order: the tap ends with a STATE, and the target with its input.
        kill: Ends it at once, for a lease that could not be renewed.
        slot: Where it runs, with a spare; one of its own without.

    Raises:
        ConfigError: for a catalog or a variable that cannot be used.
        NurseryGone: when no process can be started.
        Exception: whatever ``on_states`` has raised.
    """
    own = slot or Slot(config)
    try:
        return _Run(claim, own, listing, on_states, stop, kill or threading.Event()).run()
    finally:
        if slot is None:
            own.close()


class _Run:
    def __init__(
        self,
        claim: Claim,
        slot: Slot,
        listing: Mapping[str, Mapping[str, Any]],
        on_states: OnStates,
        stop: threading.Event,
        kill: threading.Event,
    ) -> None:
        self._claim = claim
        self._slot = slot
        self._config = slot.config
        self._listing = listing
        self._on_states = on_states
        self._stop = stop
        self._kill = kill
        self._states = {
            member.connection_id: member.state for member in claim.members if member.state
        }
        self._shared = claim.shared_state
        self._begun = time.monotonic()

    def run(self) -> RunResult:
        """The run, and once more where its target fell over another's set-up."""
        rows = [
            files.row_of(self._claim, member, self._listing[member.connection_id])
            for member in self._claim.members
            if member.connection_id in self._listing
        ]
        SECRETS.add(*(row.get("access_token") for row in rows))
        catalog = files.catalog_of(self._config, files.streams_of(self._claim))
        if not rows or (catalog is not None and not catalog["streams"]):
            return self._nothing_to_do()
        for attempt in range(TRIES):
            seen, report = self._attempt(rows, catalog)
            is_last = attempt == TRIES - 1 or self._stop.is_set() or self._kill.is_set()
            if not is_race(seen) or is_last:
                break
            logger.info("A target failed since another one made the same table: it is run again.")
            time.sleep(random.uniform(0.05, 0.3) * (attempt + 1))
        return result_of(
            self._claim.connection_ids,
            seen,
            report,
            seconds=time.monotonic() - self._begun,
            is_database_there=self._is_database_there,
            unlisted=self._unlisted,
        )

    @property
    def _unlisted(self) -> list[str]:
        return [name for name in self._claim.connection_ids if name not in self._listing]

    def _nothing_to_do(self) -> RunResult:
        outcomes: tuple[ConnectionOutcome, ...] = outcomes_of(
            self._claim.connection_ids, [], self._unlisted
        )
        failed = not all(outcome.succeeded for outcome in outcomes)
        return RunResult(
            outcomes,
            seconds=time.monotonic() - self._begun,
            fault=Fault.CONNECTION if failed else None,
        )

    def _attempt(
        self, rows: list[dict[str, Any]], catalog: dict[str, Any] | None
    ) -> tuple[Watched, Report]:
        config, claim = self._config, self._claim
        with files.RunDirectory(config.work_directory) as directory:
            report = directory.path / "report.jsonl"
            settings = {
                **files.settings_of(
                    claim, tap_settings(config), after_sync=config.sweep_only_after_sync
                ),
                "connections_file": directory.write("connections.json", {"connections": rows}),
                "report_file": str(report),
            }
            arguments = [
                *("--config", directory.write("settings.json", settings)),
                *(
                    "--state",
                    directory.write(
                        "state.json", files.state_of(claim, self._states, self._shared)
                    ),
                ),
            ]
            if catalog is not None:
                arguments += ["--catalog", directory.write("catalog.json", catalog)]
            runner = self._slot.take(claim.id)
            self._slot.start_tap(runner, arguments, directory.path)
            seen = watch(
                runner,
                on_state=self._hand_over,
                on_tap_end=self._slot.replace_spare,
                stop=self._stop,
                kill=self._kill,
                stop_seconds=config.stop_seconds,
                orphan_seconds=claim.lease_seconds * _ORPHANED_AFTER,
            )
            if config.meltano is not None:
                _see_through_meltano(seen, tap_began=report.exists())
            return seen, Report.read(report)

    def _hand_over(self, state: State) -> None:
        """Give out what a STATE changes for the members, and remember it."""
        states, shared = cut(state)
        # Bookmarks may also be taken back, all of a connection's as well.
        changed = {
            name: own
            for name in self._claim.connection_ids
            if (own := states.get(name, {})) != self._states.get(name, {})
        }
        if not changed and shared == self._shared:
            return
        self._on_states(changed, shared)
        self._states |= changed
        self._shared = shared

    def _is_database_there(self) -> bool:
        url = self._config.target_database_url
        return is_reachable(url) if url else True


def _see_through_meltano(seen: Watched, *, tap_began: bool) -> None:
    """Meltano ends with 1 whatever is wrong; that it starts nothing concerns every run alike."""
    for said in (seen.tap_said, seen.target_said):
        said.drop_lines(meltano.ADVICE)
    if seen.tap_exit == 1 and not tap_began:
        seen.tap_exit = CANNOT_START
    if seen.target_exit == 1 and meltano.has_not_started(seen.target_said.text):
        seen.target_exit = CANNOT_START
