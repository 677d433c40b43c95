"""A ledger is of one API version: whoever is set to another claims nothing, until it is changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.ledger import CONFIG, LedgerWorld

from tap_rutter.fleet.ledger import OtherApiVersion
from tap_rutter.fleet.model import Lane
from tap_rutter.versions import LATEST

OLD = "2024-04-30"
OLDER = replace(CONFIG, tap_config={"api_version": OLD})


def test_the_first_claim_says_which_version_a_fleet_reads(ledger_world: LedgerWorld) -> None:
    ledger_world.list("a", "b")
    assert ledger_world.ledger.api_version() is None
    ledger_world.ledger.check_api_version(LATEST)
    assert ledger_world.claim(Lane.BULK, config=OLDER).connection_ids
    assert ledger_world.ledger.api_version() == OLD
    with pytest.raises(OtherApiVersion, match=f"reads API version {OLD}.*says {LATEST}"):
        ledger_world.claim(Lane.BULK)
    with pytest.raises(OtherApiVersion):
        ledger_world.ledger.check_api_version(LATEST)
    ledger_world.ledger.check_api_version(OLD)


def test_who_is_of_another_version_is_told_so_during_a_pause_as_well(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.idle()
    ledger_world.ledger.pause("a test", 60)
    with pytest.raises(OtherApiVersion):
        ledger_world.ledger.claim(Lane.FRESH, "worker", config=OLDER)


def test_after_a_change_everything_is_read_anew_once_in_the_new_version_alone(
    ledger_world: LedgerWorld,
) -> None:
    ledger_world.settled("a", "b", "gone")
    ledger_world.sql(
        "update rutter_fleet.connections set full_at = now() where connection_id = 'a'"
    )
    at_work = ledger_world.claim(Lane.BULK, config=OLDER)
    assert at_work.full_read
    ledger_world.ledger.remove("gone")
    assert ledger_world.ledger.change_api_version(LATEST) == 2
    with pytest.raises(OtherApiVersion):
        ledger_world.claim(Lane.BULK, config=OLDER)
    ledger_world.finish(at_work)  # what it has read is in the old form
    ledger_world.later(20)
    anew: list[str] = []
    for _ in range(2):
        full = ledger_world.claim(Lane.BULK)
        assert full.full_read
        anew += full.connection_ids
        ledger_world.finish(full)
    assert sorted(anew) == ["a", "b"]
    assert ledger_world.ledger.change_api_version(LATEST) == 0
    assert ledger_world.idle(Lane.BULK)
