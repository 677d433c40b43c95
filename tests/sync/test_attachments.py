"""Attachments: asked for document by document, and only where a document has changed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from support.documents import ATTACHMENTS, BILL_ATTACHMENTS, BILLS, ledger
from support.in_process import sync
from support.partitions import GONE, asked, bookmark, status
from support.singer import Json, in_turn

from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

OLDER = "2023-03-14"


def _by_id(row: Json) -> str:
    return str(row["id"])


def attachments(world: World, connection: Connection, parents: str, parent_type: str) -> list[Json]:
    """All attachments of all documents of a kind, as they should leave."""
    found = []
    for parent in world.rows(connection.id, f"/accounting/{parents}"):
        for row in world.rows(connection.id, f"/accounting/{parents}/{parent['id']}/attachments"):
            del row["file_url"]
            found.append(
                {
                    "connection_id": connection.id,
                    **row,
                    "parent_id": parent["id"],
                    "parent_type": parent_type,
                    "parent_last_synced_at": parent["last_synced_at"],
                }
            )
    return sorted(found, key=_by_id)


@pytest.mark.parametrize("stream", ATTACHMENTS)
def test_attachments_of_each_kind_of_parent(stream: str) -> None:
    parents = ATTACHMENTS[stream]
    world, connection = ledger(parents)
    with Simulator(world) as simulator:
        messages = sync(simulator, stream)
    parent_type = parents.removesuffix("s").replace("entrie", "entry")
    expected = attachments(world, connection, parents, parent_type)
    assert len(expected) == 8
    assert sorted(messages.records[stream], key=_by_id) == expected
    lists = 2 if parents == "expenses" else 1  # refunds are a list of their own
    path = f"/accounting/{parents}"
    under_each = {f"{path}/{key}/attachments": 1 for key in world.keys(connection.id, path)}
    assert asked(simulator) == {path: lists, **under_each}
    for entry in simulator.requests:
        if entry.path in under_each:
            assert entry.params == {}, "attachments take no page, no order and no bound"


def test_the_link_to_a_file_never_leaves() -> None:
    world, _ = ledger()
    with Simulator(world) as simulator:
        messages = sync(simulator, BILL_ATTACHMENTS)
    assert "file_url" not in messages.schemas[BILL_ATTACHMENTS]["schema"]["properties"]
    assert all("file_url" not in json.dumps(line, default=str) for line in messages.lines)
    assert all("_rutter_extra" not in row for row in messages.records[BILL_ATTACHMENTS])


@pytest.mark.parametrize("stream", ATTACHMENTS)
def test_the_link_to_a_file_is_kept_where_it_is_asked_for(stream: str) -> None:
    parents = ATTACHMENTS[stream]
    world, connection = ledger(parents)
    with Simulator(world) as simulator:
        messages = sync(simulator, stream, attachment_urls=True)
    links = {
        row["file_url"]
        for parent in world.keys(connection.id, f"/accounting/{parents}")
        for row in world.rows(connection.id, f"/accounting/{parents}/{parent}/attachments")
    }
    assert len(links) == 8
    assert {row["file_url"] for row in messages.records[stream]} == links
    field = messages.schemas[stream]["schema"]["properties"]["file_url"]
    assert field["type"] == ["string", "null"]
    assert "short time" in field["description"]


def test_attachments_of_two_documents_may_share_an_id() -> None:
    world, connection = ledger(count=2, attachments=0)
    one, other = world.keys(connection.id, BILLS)
    row = {"id": "7", "platform_id": "7", "file_name": "a.pdf", "file_url": "https://f.example/a"}
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond",
            path=f"{BILLS}/*/attachments",
            status=200,
            body=json.dumps({"attachments": [row]}),
            times=None,
        )
        messages = sync(simulator, BILL_ATTACHMENTS)
    keys = [(row["parent_id"], row["id"]) for row in messages.records[BILL_ATTACHMENTS]]
    assert sorted(keys) == sorted([(one, "7"), (other, "7")])
    assert set(messages.schemas[BILL_ATTACHMENTS]["key_properties"]) == {
        "connection_id",
        "parent_id",
        "id",
    }


def test_only_documents_that_changed_since_the_bookmark_are_asked_for() -> None:
    world, connection = ledger(count=30, attachments=6)
    with Simulator(world) as simulator:
        first = sync(simulator, BILL_ATTACHMENTS)
        assert sum(asked(simulator).values()) == 1 + 30
        world.advance(48 * 3600)
        changed = world.keys(connection.id, BILLS)[10]
        world.update(connection.id, BILLS, changed, memo="now with an attachment")
        new = world.create(connection.id, f"{BILLS}/{changed}/attachments")
        simulator.requests.clear()
        second = sync(simulator, BILL_ATTACHMENTS, state=first.state)
        marked = datetime.fromisoformat(
            bookmark(first, BILL_ATTACHMENTS)["replication_key_value"]
        ) - timedelta(hours=1)
        since = {
            row["id"]
            for row in world.rows(connection.id, BILLS)
            if datetime.fromisoformat(row["last_synced_at"]) >= marked
        }
        assert changed in since
        assert len(since) < 30
        under_each = {f"{BILLS}/{key}/attachments": 1 for key in since}
        assert asked(simulator) == {BILLS: 1, **under_each}
        assert new in {row["id"] for row in second.records[BILL_ATTACHMENTS]}
        # The next run has the overlap of an hour alone to read again.
        simulator.requests.clear()
        world.advance(48 * 3600)
        third = sync(simulator, BILL_ATTACHMENTS, state=second.state)
    assert asked(simulator) == {BILLS: 1, f"{BILLS}/{changed}/attachments": 1}
    assert third.state == second.state


def test_the_bookmark_of_attachments_is_that_of_their_parents() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        messages = sync(simulator, BILL_ATTACHMENTS)
    newest = max(row["last_synced_at"] for row in world.rows(connection.id, BILLS))
    partition = bookmark(messages, BILL_ATTACHMENTS)
    assert partition["replication_key"] == "parent_last_synced_at"
    assert partition["replication_key_value"] == newest


def test_a_platform_without_attachments_costs_one_request_for_each_document() -> None:
    world, _ = ledger(count=20)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=f"{BILLS}/*/attachments", status=404, body=GONE, times=None
        )
        messages = sync(simulator, BILL_ATTACHMENTS)
    assert status(messages, BILL_ATTACHMENTS) == ("skipped", "unsupported")
    assert asked(simulator)[BILLS] == 1
    assert sum(asked(simulator).values()) == 1 + 20
    assert BILL_ATTACHMENTS not in messages.state["bookmarks"]


@pytest.mark.parametrize("code", [404, 410])
@pytest.mark.parametrize("place", [1, 2, 4])
def test_a_document_that_is_deleted_meanwhile_costs_the_others_nothing(
    place: int, code: int
) -> None:
    world, connection = ledger(count=4, attachments=4)
    with Simulator(world) as simulator:
        # In Rutter's own order, oldest change first.
        order = sorted(
            world.rows(connection.id, BILLS), key=lambda row: (row["last_synced_at"], row["id"])
        )
        gone = order[place - 1]["id"]
        simulator.faults.add(
            "respond", path=f"{BILLS}/{gone}/attachments", status=code, body=GONE, times=None
        )
        messages = sync(simulator, BILL_ATTACHMENTS)
    assert status(messages, BILL_ATTACHMENTS) == ("complete", None)
    others = {row["id"] for row in order} - {gone}
    assert {row["parent_id"] for row in messages.records[BILL_ATTACHMENTS]} == others
    assert sum(asked(simulator).values()) == 1 + 4


def test_a_first_document_that_is_gone_does_not_fail_a_partition_with_a_bookmark() -> None:
    world, connection = ledger(count=4, attachments=4)
    with Simulator(world) as simulator:
        before = sync(simulator, BILL_ATTACHMENTS)
        world.advance(3600 * 48)
        for key in world.keys(connection.id, BILLS):
            world.update(connection.id, BILLS, key, memo="changed")
        simulator.requests.clear()
        sync(simulator, BILL_ATTACHMENTS, state=before.state, concurrency=1)
        first = next(e.path for e in simulator.requests if e.path.endswith("/attachments"))
        simulator.faults.add("respond", path=first, status=404, body=GONE, times=None)
        after = sync(simulator, BILL_ATTACHMENTS, state=before.state)
        assert status(after, BILL_ATTACHMENTS) == ("complete", None)
        assert len({row["parent_id"] for row in after.records[BILL_ATTACHMENTS]}) == 3
        assert bookmark(after, BILL_ATTACHMENTS) != bookmark(before, BILL_ATTACHMENTS)
        # But if no document has the list any more, something is wrong.
        simulator.faults.add(
            "respond", path=f"{BILLS}/*/attachments", status=404, body=GONE, times=None
        )
        failed = sync(simulator, BILL_ATTACHMENTS, state=before.state)
    assert status(failed, BILL_ATTACHMENTS)[0] == "failed"
    assert bookmark(failed, BILL_ATTACHMENTS) == bookmark(before, BILL_ATTACHMENTS)


def test_a_document_that_fails_holds_the_bookmark() -> None:
    world, connection = ledger()
    with Simulator(world) as simulator:
        ill = world.keys(connection.id, BILLS)[2]
        fault = simulator.faults.add(
            "respond", path=f"{BILLS}/{ill}/attachments", status=500, times=None
        )
        failed = sync(simulator, BILL_ATTACHMENTS, max_retry_seconds=0)
        assert status(failed, BILL_ATTACHMENTS) == ("failed", "retries_exhausted")
        assert BILL_ATTACHMENTS not in failed.state["bookmarks"]
        fault.times = 0
        after = sync(simulator, BILL_ATTACHMENTS, state=failed.state)
    assert sorted(after.records[BILL_ATTACHMENTS], key=_by_id) == attachments(
        world, connection, "bills", "bill"
    )


def test_a_sort_order_that_is_refused_is_left_out() -> None:
    world, _ = ledger()
    world.switches.set("sort", "refuse")
    with Simulator(world) as simulator:
        messages = sync(simulator, BILL_ATTACHMENTS)
    assert len(messages.records[BILL_ATTACHMENTS]) == 8
    assert ["sort" in entry.params for entry in simulator.requests.to(BILLS)] == [True, False]


def test_the_platforms_own_data_are_not_asked_for_with_the_parents() -> None:
    world, _ = ledger()
    with Simulator(world) as simulator:
        sync(simulator, BILL_ATTACHMENTS, expand_platform_data=True)
    assert all("expand" not in entry.params for entry in simulator.requests.to(BILLS))


def test_an_id_is_one_segment_of_the_path() -> None:
    world, connection = ledger(count=0, attachments=0)
    strange = "a?b#c %d"
    world.create(connection.id, BILLS, id=strange)
    world.create(connection.id, f"{BILLS}/{strange}/attachments", id="x")
    with Simulator(world) as simulator:
        messages = sync(simulator, BILL_ATTACHMENTS)
    assert [row["parent_id"] for row in messages.records[BILL_ATTACHMENTS]] == [strange]
    assert asked(simulator) == {BILLS: 1, f"{BILLS}/{strange}/attachments": 1}


# ---- the list that older API versions have


@pytest.mark.parametrize("version", ["2023-02-07", "2023-03-14", "2024-04-30"])
@pytest.mark.parametrize("stream", list(ATTACHMENTS)[:4])
def test_an_older_version_may_have_the_list_of_all_parents_alone(stream: str, version: str) -> None:
    parents = ATTACHMENTS[stream]
    world, connection = ledger(parents, version=version)
    path = f"/accounting/{parents}"
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=f"{path}/*/attachments", status=404, body=GONE, times=None
        )
        # The older list is in pages, the newer one is not.
        messages = sync(simulator, stream, api_version=version, concurrency=1, page_size=1)
        asked_for = [
            entry.params["attached_to_id"]
            for entry in simulator.requests
            if entry.path == f"{path}/attachments" and "cursor" not in entry.params
        ]
        requests = [e.path for e in simulator.requests if e.path.endswith("/attachments")]
    parent_type = parents.removesuffix("s").replace("entrie", "entry")
    expected = attachments(world, connection, parents, parent_type)
    assert len(expected) == 8
    assert sorted(messages.records[stream], key=_by_id) == expected
    assert status(messages, stream) == ("complete", None)
    assert sorted(asked_for) == sorted(world.keys(connection.id, path))
    missing = [asked_path for asked_path in requests if asked_path != f"{path}/attachments"]
    if in_turn():
        assert len(missing) == 1, "once the older list has answered, it alone is asked"


@pytest.mark.parametrize("code", [400, 404, 410])
def test_a_platform_without_attachments_is_asked_for_the_older_list_once(code: int) -> None:
    world, _ = ledger(count=5, version=OLDER)
    with Simulator(world) as simulator:
        for path, answer in ((f"{BILLS}/*/attachments", 404), (f"{BILLS}/attachments", code)):
            simulator.faults.add("respond", path=path, status=answer, body=GONE, times=None)
        messages = sync(simulator, BILL_ATTACHMENTS, api_version=OLDER, concurrency=1)
    assert status(messages, BILL_ATTACHMENTS) == ("skipped", "unsupported")
    # Those that are under way at the same time do not know of each other.
    assert 1 <= asked(simulator)[f"{BILLS}/attachments"] <= (1 if in_turn() else 5)
    assert sum(asked(simulator).values()) == 1 + 5 + asked(simulator)[f"{BILLS}/attachments"]


def test_an_older_list_that_breaks_off_fails_the_partition() -> None:
    world, _ = ledger(count=3, version=OLDER)
    with Simulator(world) as simulator:
        for path, answer in ((f"{BILLS}/*/attachments", 404), (f"{BILLS}/attachments", 500)):
            simulator.faults.add("respond", path=path, status=answer, body=GONE, times=None)
        messages = sync(simulator, BILL_ATTACHMENTS, api_version=OLDER)
    assert status(messages, BILL_ATTACHMENTS) == ("failed", "retries_exhausted")
    assert BILL_ATTACHMENTS not in messages.state.get("bookmarks", {})


def test_the_newest_version_has_no_older_list() -> None:
    world, _ = ledger(count=3)
    with Simulator(world) as simulator:
        simulator.faults.add(
            "respond", path=f"{BILLS}/*/attachments", status=404, body=GONE, times=None
        )
        sync(simulator, BILL_ATTACHMENTS)
    assert f"{BILLS}/attachments" not in asked(simulator)
