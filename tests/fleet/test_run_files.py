"""What a run is given: files, settings, the environment of its processes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import CHILDREN, Claim, ClaimedMark, Lane, Member
from tap_rutter.fleet.runs import schema_hash, session_name
from tap_rutter.fleet.runs.environment import (
    learn_secrets,
    tap_environment,
    tap_settings,
    target_environment,
)
from tap_rutter.fleet.runs.files import (
    catalog_of,
    row_of,
    settings_of,
    state_of,
    streams_of,
)
from tap_rutter.redact import redact
from tap_rutter.replication.per_parent import PerParent
from tap_rutter.streams import STREAMS, name_of

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORDERS, PAYOUTS = "commerce_orders", "commerce_payouts"
LISTED = {
    "id": "a",
    "platform": "SHOPIFY",
    "status": "active",
    "access_token": "token-a",
    "link_url": "https://link.test/secret",
    "streams": ["what Rutter may mean by it"],
}


def member(*marks: ClaimedMark, name: str = "a") -> Member:
    return Member(name, "SHOPIFY", "active", None, marks, None, None)


def claim(*members: Member, lane: Lane = Lane.FRESH, full_read: bool = False) -> Claim:
    return Claim(uuid4(), lane, "SHOPIFY", members, 60.0, full_read)


def dirty(stream: str, since: datetime | None = None) -> ClaimedMark:
    return ClaimedMark(stream, 1, since)


def wanted(*marks: ClaimedMark, lane: Lane = Lane.FRESH, full_read: bool = False) -> dict[str, Any]:
    """What a row says beside what is listed."""
    one = member(*marks)
    row = row_of(claim(one, lane=lane, full_read=full_read), one, LISTED)
    listed = {name: LISTED[name] for name in ("id", "platform", "status", "access_token")}
    assert row.items() >= listed.items()
    assert "link_url" not in row
    return {name: value for name, value in row.items() if name not in listed}


# ---- rows, streams and catalogs


def test_marks_with_a_time_are_read_since_then() -> None:
    row = wanted(dirty(ORDERS, NOON), dirty(PAYOUTS))
    assert row["streams"] == [ORDERS, PAYOUTS]
    assert row["since"] == {ORDERS: "2026-03-01T12:00:00Z"}
    assert not row["start_by"]


def test_a_mark_of_all_streams_with_a_time_reads_them_all_since_then() -> None:
    row = wanted(dirty("*", NOON))
    assert row["since"] == {"*": "2026-03-01T12:00:00Z"}
    assert "streams" not in row


def test_a_stream_that_is_marked_both_ways_is_read_from_its_bookmark_and_covers_both() -> None:
    row = wanted(dirty(ORDERS, NOON), dirty(ORDERS))
    assert row["streams"] == [ORDERS]
    assert not row["since"]
    assert row["start_by"] == {ORDERS: "2026-03-01T12:00:00Z"}


@pytest.mark.parametrize("lane", [Lane.SWEEP, Lane.BULK])
def test_a_run_of_all_streams_reads_what_its_marks_tell_of_as_well(lane: Lane) -> None:
    assert wanted(dirty(ORDERS, NOON), lane=lane) == {"start_by": {ORDERS: "2026-03-01T12:00:00Z"}}
    assert wanted(dirty(ORDERS), lane=lane) == {}
    assert wanted(lane=lane) == {}


def test_a_mark_of_all_streams_without_a_time_is_a_usual_read() -> None:
    assert wanted(dirty("*"), dirty(ORDERS, NOON)) == {"start_by": {ORDERS: "2026-03-01T12:00:00Z"}}


def test_a_full_read_is_asked_for_by_connection() -> None:
    assert wanted(dirty(ORDERS, NOON), lane=Lane.BULK, full_read=True) == {"full_read": True}


def test_a_webhook_run_has_the_dirty_streams_only() -> None:
    both = claim(member(dirty(ORDERS)), member(dirty(PAYOUTS), name="b"))
    assert streams_of(both) == frozenset({ORDERS, PAYOUTS})
    catalog = catalog_of(FleetConfig(), streams_of(both))
    assert catalog is not None
    assert [entry["tap_stream_id"] for entry in catalog["streams"]] == [ORDERS, PAYOUTS]


BILLS, FILES = "accounting_bills", "accounting_bill_attachments"


def with_bookmarks(found: Member, *streams: str) -> Member:
    return replace(found, state={"bookmarks": {name: {} for name in streams}})


@pytest.mark.parametrize("since", [NOON, None])
def test_what_hangs_under_a_dirty_stream_is_read_with_it(since: datetime | None) -> None:
    one = with_bookmarks(member(dirty(BILLS, since)), BILLS, FILES)
    row = row_of(claim(one), one, LISTED)
    assert row["streams"] == [FILES, BILLS]
    noon = "2026-03-01T12:00:00Z"
    assert row["since"] == ({BILLS: noon, FILES: noon} if since else {})
    assert streams_of(claim(one)) == frozenset({BILLS, FILES})


def test_what_was_never_read_under_a_dirty_stream_is_left_to_the_sweep() -> None:
    """It would be read whole, with a request for each parent that there ever was."""
    one = with_bookmarks(member(dirty(BILLS, NOON)), BILLS)
    assert row_of(claim(one), one, LISTED)["streams"] == [BILLS]
    assert streams_of(claim(one)) == frozenset({BILLS})


def test_the_children_are_those_that_are_read_by_their_parents_time() -> None:
    by_path = {leaf.path: name_of(leaf) for leaf in STREAMS}
    found = {
        by_path[leaf.path.split("/{id}")[0]]: name_of(leaf)
        for leaf in STREAMS
        if isinstance(leaf.replication, PerParent) and leaf.replication.reads_since
    }
    assert found == CHILDREN


def test_any_other_run_has_them_all() -> None:
    assert streams_of(claim(member(dirty(ORDERS)), lane=Lane.SWEEP)) is None
    assert streams_of(claim(member(dirty(ORDERS)), member(dirty("*"), name="b"))) is None
    assert streams_of(claim(member(dirty(ORDERS)), member(name="b"))) is None
    assert catalog_of(FleetConfig(), None) is None


def test_the_operators_catalog_is_narrowed_and_otherwise_kept(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    chosen = {"tap_stream_id": ORDERS, "metadata": [{"breadcrumb": [], "metadata": {"x": 1}}]}
    other = {"tap_stream_id": "accounting_bills"}
    path.write_text(json.dumps({"streams": [chosen, other]}), encoding="utf-8")
    config = FleetConfig(catalog=str(path))
    assert catalog_of(config, frozenset({ORDERS, PAYOUTS})) == {"streams": [chosen]}
    assert catalog_of(config, None) == {"streams": [chosen, other]}


@pytest.mark.parametrize("content", ["", "[]", '{"streams": {}}'])
def test_a_bad_catalog_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=str(path)):
        catalog_of(FleetConfig(catalog=str(path)), None)


def test_the_state_is_of_the_members_and_what_they_share() -> None:
    def of(name: str) -> dict[str, Any]:
        return {"bookmarks": {ORDERS: {"partitions": [{"context": {"connection_id": name}}]}}}

    shared = {"unserved": {"SHOPIFY": 1}}
    state = state_of(claim(member(), member(name="b")), {"a": of("a"), "c": of("c")}, shared)
    assert state == {**of("a"), **shared}


def test_the_run_decides_which_connections_are_read() -> None:
    config = FleetConfig(
        tap_config={
            "access_tokens": ["t"],
            "connection_ids": ["a"],
            "platforms": ["X"],
            "shard": "1/2",
            "report_file": "r",
            "page_size": 7,
        }
    )
    assert tap_settings(config) == {"page_size": 7}


def test_settings_of_a_claim_are_the_operators() -> None:
    settings = {"client_id": "c", "page_size": 7}
    swept = claim(member(), lane=Lane.SWEEP)
    given = settings_of(swept, settings)
    agent = given.pop("user_agent")
    assert agent.startswith("tap-rutter/")
    assert agent.endswith(f"(claim {swept.id})"), "runs can be told apart"
    assert given == {**settings, "empty_tables": False, "only_after_sync": True}
    assert settings == {"client_id": "c", "page_size": 7}, "the operator's own are left as they are"


@pytest.mark.parametrize("operators", [{}, {"only_after_sync": True}, {"only_after_sync": False}])
def test_sweeps_alone_leave_out_what_was_not_synced(operators: dict[str, Any]) -> None:
    def asks(given: Claim, **more: bool) -> bool:
        return bool(settings_of(given, operators, **more)["only_after_sync"])

    assert asks(claim(member(), member(name="b"), lane=Lane.SWEEP))
    assert not asks(claim(member(), lane=Lane.SWEEP), after_sync=False)
    # Of any member somebody has told of changes, which the run will count as read.
    assert not asks(claim(member(), member(dirty(ORDERS), name="b"), lane=Lane.SWEEP))
    assert not asks(claim(member(dirty("*", NOON)), lane=Lane.SWEEP))
    assert not asks(claim(member(dirty(ORDERS, NOON))))
    assert not asks(claim(member(), lane=Lane.BULK))
    assert not asks(claim(member(), lane=Lane.BULK, full_read=True))


# ---- environments

FOREIGN = {
    "TAP_RUTTER_CLIENT_SECRET": "s",
    "RUTTER_FLEET_LEDGER_URL": "postgresql://u:p@h/d",
    "AWS_SECRET_ACCESS_KEY": "k",
    "PGPASSWORD": "p",
    "DATABASE_URL": "postgresql://u:p@h/d",
}
HARMLESS = {"PATH": "/bin", "LC_ALL": "C", "HTTPS_PROXY": "http://proxy", "TZ": "UTC"}


def test_children_get_what_is_allowed_and_nothing_else() -> None:
    assert tap_environment({**FOREIGN, **HARMLESS, "TAP_RUTTER_LOGLEVEL": "INFO"}) == {
        **HARMLESS,
        "TAP_RUTTER_LOGLEVEL": "INFO",
    }
    name = session_name(uuid4())
    assert target_environment(FleetConfig(), name, {**FOREIGN, **HARMLESS}) == {
        **HARMLESS,
        "PGAPPNAME": name,
    }


def test_the_target_gets_what_the_operator_names_but_the_name_of_its_sessions() -> None:
    config = FleetConfig(target_variables=("TARGET_POSTGRES_*", "PG*"))
    given = {**FOREIGN, "TARGET_POSTGRES_HOST": "h", "PGAPPNAME": "mine"}
    assert target_environment(config, "ours", given) == {
        "TARGET_POSTGRES_HOST": "h",
        "PGPASSWORD": "p",
        "PGAPPNAME": "ours",
    }


def test_the_taps_variables_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAP_RUTTER_CLIENT_ID", "from-the-environment")
    monkeypatch.setenv("TAP_RUTTER_PAGE_SIZE", "7")
    config = FleetConfig(tap_config={"client_id": "of-the-file", "client_secret": "s"})
    assert tap_settings(config) == {
        "client_id": "from-the-environment",
        "client_secret": "s",
        "page_size": 7,
    }


def test_what_the_target_could_say_is_hidden(tmp_path: Path) -> None:
    path = tmp_path / "target.json"
    path.write_text(
        json.dumps(
            {
                "password": "pass-of-the-file",
                "sqlalchemy_url": "postgresql://u:pass-of%20the-url@h/d",
                "ssh_tunnel": {"private_key": "key-of-the-tunnel"},
            }
        ),
        encoding="utf-8",
    )
    config = FleetConfig(
        ledger_url="postgresql://u:pass-of-the-ledger@h/d",
        target_command=("target", "--config", str(path)),
        target_variables=("TARGET_*",),
        target_database_url="postgresql://u:pass-of-the-target@h/d",
    )
    learn_secrets(config, {"TARGET_PASSWORD": "pass-of-the-environment", "TARGET_HOST": "host"})
    for secret in (
        "pass-of-the-file",
        "pass-of the-url",
        "pass-of%20the-url",
        "key-of-the-tunnel",
        "pass-of-the-ledger",
        "pass-of-the-target",
        "pass-of-the-environment",
    ):
        assert secret not in redact(f"cannot connect with {secret}"), secret
    assert redact("no such host: host") == "no such host: host"


# ---- what the tables depend on


def config_of(tmp_path: Path, **more: Any) -> FleetConfig:
    target = {"host": "h", "password": "p", "default_target_schema": "s", **more.pop("target", {})}
    path = tmp_path / "target.json"
    path.write_text(json.dumps(target), encoding="utf-8")
    tap = {"client_id": "c", "client_secret": "s", **more.pop("tap", {})}
    return FleetConfig(target_command=("target-x", "--config", str(path)), tap_config=tap, **more)


def test_what_shapes_tables_changes_the_hash_and_nothing_else_does(tmp_path: Path) -> None:
    usual = schema_hash(config_of(tmp_path), {})
    assert schema_hash(config_of(tmp_path), {}) == usual
    catalog = tmp_path / "catalog.json"
    catalog.write_text('{"streams": []}', encoding="utf-8")
    shaping: list[dict[str, Any]] = [
        {"tap": {"api_version": "2023-03-14"}},
        {"tap": {"optional_streams": ["commerce_metrics"]}},
        {"tap": {"flattening_enabled": True}},
        {"tap": {"a_setting_of_a_later_version": 1}},
        {"catalog": str(catalog)},
        {"target": {"default_target_schema": "other"}},
        {"target": {"host": "another-database"}},
    ]
    hashes = [schema_hash(config_of(tmp_path, **change), {}) for change in shaping]
    assert len({usual, *hashes}) == 1 + len(shaping)
    shapeless: list[dict[str, Any]] = [
        {"tap": {"client_secret": "another"}},
        {"tap": {"page_size": 7}},
        {"tap": {"connection_ids": ["a"]}},
        {"target": {"password": "another"}},
        {"slots": 9},
    ]
    assert {schema_hash(config_of(tmp_path, **change), {}) for change in shapeless} == {usual}


def test_the_targets_variables_shape_tables_but_for_secrets(tmp_path: Path) -> None:
    config = config_of(tmp_path, target_variables=("TARGET_X_*",))
    usual = schema_hash(config, {"TARGET_X_SCHEMA": "a", "TARGET_X_PASSWORD": "p"})
    assert schema_hash(config, {"TARGET_X_SCHEMA": "b", "TARGET_X_PASSWORD": "p"}) != usual
    assert schema_hash(config, {"TARGET_X_SCHEMA": "a", "TARGET_X_PASSWORD": "q"}) == usual
    url = "postgresql://u:{}@h/d"
    first = schema_hash(config, {"TARGET_X_URL": url.format("p")})
    assert schema_hash(config, {"TARGET_X_URL": url.format("q")}) == first


def test_another_version_of_the_tap_changes_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = schema_hash(config_of(tmp_path), {})
    monkeypatch.setattr("tap_rutter.fleet.runs.tables.__version__", "99.0")
    assert schema_hash(config_of(tmp_path), {}) != usual
