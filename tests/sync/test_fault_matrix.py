"""Each row of the failure table, on the first, a middle and the last page of both kinds of list.

What is asserted is what a user would see: rows delivered, bookmarks, rows of ``sync_report``, the
exit code, and how many requests it took. Then Rutter is well again, and the next run must bring
what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from support import singer
from support.in_process import Run, sync
from support.ledgers import error
from support.singer import Json

from tap_rutter import times
from tap_rutter.simulator import Connection, Simulator, World

pytestmark = pytest.mark.any_workers

PAGE = 5
ROWS = {"synced": 20, "updated": 60}  # of an updated list so many that it is read in windows


@dataclass(frozen=True)
class Replication:
    """A list of one replication, and another of the same platform that is read after it."""

    platform: str
    path: str
    stream: str
    replication_key: str
    other_path: str
    other_stream: str


SYNCED = Replication(
    "QUICKBOOKS",
    "/accounting/bills",
    "accounting_bills",
    "last_synced_at",
    "/accounting/vendors",
    "accounting_vendors",
)
UPDATED = Replication(
    "SHOPIFY", "/orders", "commerce_orders", "updated_at", "/products", "commerce_products"
)


def make_world(kind: Replication) -> World:
    """Two connections of a platform, each with a list of several pages or windows."""
    world = World(3, history_days=60)
    world.switches.set("cursor_seek", "exact")  # a row comes once, so that rows can be counted
    rows = ROWS["synced" if kind is SYNCED else "updated"]
    for _ in range(2):
        world.add_connection(kind.platform, counts={kind.path: rows, kind.other_path: 2})
    return world


def read(simulator: Simulator, kind: Replication, state: Json | None = None, **more: Any) -> Run:
    """Read both lists of both connections, one request at a time."""
    settings = {"page_size": PAGE, "concurrency": 1, "start_date": "2026-01-01", **more}
    return sync(simulator, kind.stream, kind.other_stream, state=state, **settings)


@dataclass(frozen=True)
class Good:
    """A run without trouble, to compare with."""

    run: Run
    requests: int
    """To the list in question."""
    records: list[Json]


@cache
def good(kind: Replication) -> Good:
    """The run that would have been."""
    world = make_world(kind)
    connection = next(iter(world.connections.values()))
    with Simulator(world) as simulator:
        run = read(simulator, kind)
        asked = len(simulator.requests.to(kind.path, connection.id))
    assert run.code == 0
    return Good(run, asked, preview_records(run, kind, connection))


def preview_records(run: Run, kind: Replication, connection: Connection) -> list[Json]:
    """What a run delivered of the list of a connection, in its order."""
    return [row for row in run.records[kind.stream] if row["connection_id"] == connection.id]


@dataclass
class Scene:
    """The first connection's list is struck at one of its pages."""

    kind: Replication
    place: str
    simulator: Simulator
    ill: Connection
    well: Connection

    @property
    def number(self) -> int:
        """Which request of the list is struck, from 1."""
        last = good(self.kind).requests
        return {"first": 1, "middle": last // 2 + 1, "last": last}[self.place]

    def strike(self, action: str, *, lasting: bool = False, **options: Any) -> None:
        """Strike the list at the place, once or from there on."""
        when: Json = {"after": self.number - 1, "times": None} if lasting else {"nth": self.number}
        options |= when
        self.simulator.faults.add(action, path=self.kind.path, connection_id=self.ill.id, **options)

    def read(self, state: Json | None = None) -> Run:
        return read(self.simulator, self.kind, state)

    def asked(self, run: Run) -> int:
        """How often the list was asked for, and that the report says the same."""
        asked = len(self.simulator.requests.to(self.kind.path, self.ill.id))
        if not singer.in_turn():  # others were on their way when the pair was given up
            return asked
        row = run.report(self.kind.stream, self.ill.id)
        assert (row["requests"], row["retries"]) == (asked, len(run.waits))
        return asked

    def told(self, run: Run) -> tuple[str, str | None]:
        """Status and reason that the report gives for the list."""
        row = run.report(self.kind.stream, self.ill.id)
        return row["status"], row["reason"]

    def bookmark(self, run: Run) -> int | None:
        """The list's bookmark, Unix ms."""
        partitions = run.state["bookmarks"].get(self.kind.stream, {}).get("partitions", [])
        for partition in partitions:
            if partition["context"]["connection_id"] == self.ill.id:
                return times.parse(partition["replication_key_value"])
        return None

    # ---- what holds whatever happened

    def assert_others_are_whole(self, run: Run, *, other_list: bool = True) -> None:
        """The other connection's lists, and the other list of this one."""
        kind = self.kind
        whole = [
            (kind.stream, kind.path, self.well),
            (kind.other_stream, kind.other_path, self.well),
        ]
        if other_list:
            whole.append((kind.other_stream, kind.other_path, self.ill))
        for stream, path, connection in whole:
            shown = {row["id"] for row in self.simulator.world.rows(connection.id, path)}
            assert run.ids(stream, connection.id) == shown
            row = run.report(stream, connection.id)
            assert (row["status"], row["reason"], row["rows"]) == ("complete", None, len(shown))

    def assert_asked_no_further(self, run: Run, *, again: bool = False) -> None:
        """No page beyond the struck one, but for windows that were being read ahead."""
        if not singer.in_turn():
            return
        pages = self.asked(run) - len(run.waits)
        if self.kind is UPDATED and self.place == "middle":
            assert self.number <= pages <= good(self.kind).requests
        else:
            assert pages == self.number + again

    def assert_cut_short(self, run: Run) -> None:
        """The rows before the struck page were delivered, and the bookmark hides no other."""
        delivered = preview_records(run, self.kind, self.ill)
        assert delivered == good(self.kind).records[: len(delivered)]
        if self.kind is SYNCED:
            assert len(delivered) == PAGE * (self.number - 1)
        elif singer.in_turn():  # else whichever window was struck
            assert (len(delivered) > 0) == (self.place != "first")
        ids = {row["id"] for row in delivered}
        rows = self.simulator.world.rows(self.ill.id, self.kind.path)
        missing = [row for row in rows if row["id"] not in ids]
        assert missing
        bookmark = self.bookmark(run)
        if singer.in_turn() or not delivered:
            assert (bookmark is None) == (not delivered)
        for row in missing:
            stamp = times.parse(row[self.kind.replication_key])
            assert bookmark is None or (stamp is not None and stamp >= bookmark)

    def assert_recovers(self, run: Run) -> None:
        """Once Rutter is well, the next run brings the rest."""
        self.simulator.faults.clear()
        again = self.read(run.state)
        assert again.code == 0, again.log
        assert self.told(again) == ("complete", None)
        stream, identity = self.kind.stream, self.ill.id
        shown = {row["id"] for row in self.simulator.world.rows(identity, self.kind.path)}
        assert run.ids(stream, identity) | again.ids(stream, identity) == shown
        assert again.state["bookmarks"].keys() == good(self.kind).run.state["bookmarks"].keys()


@pytest.fixture(params=[SYNCED, UPDATED], ids=["synced", "updated"])
def kind(request: pytest.FixtureRequest) -> Replication:
    found: Replication = request.param
    return found


@pytest.fixture(params=["first", "middle", "last"])
def scene(kind: Replication, request: pytest.FixtureRequest) -> Iterator[Scene]:
    world = make_world(kind)
    ill, well = world.connections.values()
    with Simulator(world) as simulator:
        yield Scene(kind, request.param, simulator, ill, well)


# ---- what passes by itself

# One of each way in which the tap notices; test_retries.py has the others.
PASSING: dict[str, Json] = {
    "reset": {"action": "reset"},
    "cut short": {"action": "cut"},
    "html": {"action": "html"},
    "429": {"action": "respond", "status": 429},
    "503": {"action": "respond", "status": 503, "body": "<html>busy</html>"},
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_costs_one_request_more(scene: Scene, fault: str) -> None:
    scene.strike(**PASSING[fault])
    run = scene.read()
    expected = good(scene.kind)
    assert run.code == 0, run.log
    assert preview_records(run, scene.kind, scene.ill) == expected.records
    assert run.state == expected.run.state
    assert scene.asked(run) == expected.requests + 1
    row = run.report(scene.kind.stream, scene.ill.id)
    assert (row["status"], row["reason"], row["error_message"]) == ("complete", None, None)
    assert row["rows"] == len(expected.records)
    (wait,) = run.waits
    assert 0.5 <= wait <= 1.0
    scene.assert_others_are_whole(run)


LASTING = {"html": "bad_response", "429": "rate_limited"}


@pytest.mark.parametrize("fault", LASTING)
def test_what_does_not_pass_fails_its_partition_alone(scene: Scene, fault: str) -> None:
    scene.strike(lasting=True, **PASSING[fault])
    run = scene.read()
    assert run.code == 1
    assert scene.told(run) == ("failed", LASTING[fault])
    assert " times, last with " in run.report(scene.kind.stream, scene.ill.id)["error_message"]
    scene.assert_asked_no_further(run)
    assert f"{scene.kind.stream} of connection {scene.ill.id} failed" in run.log
    scene.assert_cut_short(run)
    scene.assert_others_are_whole(run)
    if fault == "html":
        scene.assert_recovers(run)


# ---- what is refused

REFUSED: dict[str, tuple[Json, str]] = {
    "400": ({"action": "respond", "status": 400, "body": error("SOME_CODE")}, "refused"),
    "410": ({"action": "respond", "status": 410, "body": error("SOME_CODE")}, "refused"),
    "no list": ({"action": "no_list"}, "bad_response"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_refused_is_not_asked_again(scene: Scene, fault: str) -> None:
    options, reason = REFUSED[fault]
    scene.strike(lasting=True, **options)
    run = scene.read()
    assert run.code == 1
    assert run.waits == ()
    assert scene.told(run) == ("failed", reason)
    # A sorted list that is refused with 400 is asked once more without the order.
    again = fault == "400" and scene.kind is SYNCED
    scene.assert_asked_no_further(run, again=again)
    row = run.report(scene.kind.stream, scene.ill.id)
    if options["action"] == "respond":
        assert row["error_code"] == "SOME_CODE"
        assert row["error_message"].endswith(f"answered {fault} SOME_CODE: as Rutter puts it")
    if again:
        # What an ordered chain had moved does not count for an unordered one.
        assert scene.bookmark(run) is None
    else:
        scene.assert_cut_short(run)
    scene.assert_others_are_whole(run)
    if options["action"] == "respond":
        scene.assert_recovers(run)


def test_a_404_skips_a_list_that_never_gave_anything(scene: Scene) -> None:
    scene.strike("respond", status=404, body=error("ENDPOINT_NOT_SUPPORTED"), lasting=True)
    run = scene.read()
    assert run.waits == ()
    if scene.place == "first":
        assert run.code == 0
        row = run.report("*", scene.ill.id)
        assert (row["status"], row["reason"], row["requests"]) == ("skipped", "unsupported", 1)
        assert row["skipped"] == [scene.kind.stream]
    else:
        # The list is there, or it would not have begun.
        assert run.code == 1
        assert scene.told(run) == ("failed", "unsupported")
        scene.assert_asked_no_further(run)
    scene.assert_cut_short(run)
    scene.assert_others_are_whole(run)
    scene.assert_recovers(run)


# ---- what is the matter with the connection as a whole

UNUSABLE: dict[str, tuple[Json, str, int]] = {
    "PRODUCT_NOT_READY": ({"status": 400, "body": error("PRODUCT_NOT_READY")}, "not_ready", 0),
    "NEEDS_UPDATE": ({"status": 400, "body": error("NEEDS_UPDATE")}, "needs_reauth", 0),
    "401": ({"status": 401, "body": error("INVALID_CREDENTIALS")}, "unauthorized", 1),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_connection_that_is_refused_is_left_alone(scene: Scene, fault: str) -> None:
    options, reason, code = UNUSABLE[fault]
    scene.strike("respond", lasting=True, **options)
    run = scene.read()
    assert run.code == code
    assert run.waits == ()
    row = run.report("*", scene.ill.id)
    assert (row["status"], row["reason"]) == ("skipped", reason)
    assert not run.ids(scene.kind.other_stream, scene.ill.id)
    delivered = preview_records(run, scene.kind, scene.ill)
    if not delivered:
        assert scene.place == "first" or not singer.in_turn()
        assert row["skipped"] == [scene.kind.stream, scene.kind.other_stream]
    else:
        # What was delivered before it is told of in a row of its own.
        assert row["skipped"] == [scene.kind.other_stream]
        scene.assert_asked_no_further(run)
        assert scene.told(run) == ("skipped", reason)
        assert run.report(scene.kind.stream, scene.ill.id)["rows"] == len(delivered)
    scene.assert_cut_short(run)
    scene.assert_others_are_whole(run, other_list=False)
    if fault == "NEEDS_UPDATE":
        scene.assert_recovers(run)


# ---- lists that do not end


@pytest.mark.parametrize("action", ["repeat_cursor", "endless"])
def test_a_list_that_does_not_end_fails(kind: Replication, action: str) -> None:
    world = make_world(kind)
    ill, well = world.connections.values()
    with Simulator(world) as simulator:
        simulator.faults.add(action, path=kind.path, connection_id=ill.id, times=None)
        scene = Scene(kind, "first", simulator, ill, well)
        run = scene.read()
        assert run.code == 1
        assert scene.told(run) == ("failed", "cursor_loop")
        assert "cursor loop" in run.report(kind.stream, ill.id)["error_message"]
        if singer.in_turn():
            assert scene.asked(run) <= good(kind).requests
        scene.assert_others_are_whole(run)
        scene.assert_recovers(run)
