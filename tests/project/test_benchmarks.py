"""The benchmarks count, extrapolate and show their measurements. These are not tests themselves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import asking, idle, keeping, page, summary, tables
from benchmarks.bench import Bench
from benchmarks.cases import CASES
from benchmarks.measure import OUTPUT, RunFailed
from benchmarks.rows import Result, Row, Start, load
from benchmarks.targets import verdicts

ROOT = Path(__file__).resolve().parents[2]
QUICK, SLOW = idle.group_name(1_000, 0), idle.group_name(1_000, 50)
LISTS = 40


def row(group: str, key: str, cpu: float, wall: float, **more: object) -> Row:
    """A row that was run once, on a thousand connections."""
    made = Row(
        group=group,
        key=key,
        label=key,
        setting="32 workers" if key.startswith("tap") else "sequential",
        units=1_000 * LISTS,
        records=0,
        walls=[wall],
        cpus=[cpu],
        peaks=[1e8],
        start=Start(wall=1.0, cpu=1.0, units=LISTS, requests=LISTS + 3),
        requests=42_001,
    )
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def idle_result(cpu: float = 10.0) -> Result:
    """The tap, and a peer that read ten connections."""
    part = {"units": 40_000, "measured_units": 400, "requests": 402, "note": ""}
    return Result(
        case="idle",
        title=idle.TITLE,
        unit="list",
        reference=idle.REFERENCE,
        about="What was done.",
        measured_at="2026-01-02",
        machine="2 cores",
        runs=3,
        rows=[
            row(QUICK, "tap", cpu, 12.0),
            row(QUICK, "guide", 1.9, 2.8, **part),
            row(SLOW, "tap", cpu, 66.0),
            row(SLOW, "guide", 1.9, 21.0, **part),
        ],
    )


def test_what_was_measured_on_fewer_is_extended_in_a_straight_line() -> None:
    guide = idle_result().row(QUICK, "guide")
    assert guide is not None
    # One list costs (1.9 - 1.0) / 360 seconds, a request each but for 3.
    assert guide.cpu == pytest.approx(1.0 + 0.9 / 360 * 39_960)
    assert guide.asked == round(43 + 359 / 360 * 39_960)
    assert guide.each == pytest.approx(0.9 / 360)


@pytest.mark.parametrize(("cpu", "met"), [(12.9, True), (13.1, False)])
def test_the_target_is_told_beside_the_row_at_any_latency(cpu: float, met: bool) -> None:
    found = verdicts([idle_result(cpu)])
    assert [(entry.group, entry.key, entry.is_met) for entry in found] == [
        (QUICK, "tap", met),
        (SLOW, "tap", met),
    ]


@pytest.mark.parametrize(("latencies", "met"), [([0.5, 0.09, 0.02], True), ([0.1], False)])
def test_a_server_is_judged_by_its_latency(latencies: list[float], met: bool) -> None:
    received = row("all", "signed", 15.0, 30.0, latencies=latencies)
    result = dataclasses.replace(idle_result(), case="fleet-receiver", rows=[received])
    assert [entry.is_met for entry in verdicts([result])] == [met]


def test_a_case_leaves_out_the_columns_that_it_has_nothing_for() -> None:
    result = idle_result()
    lines = tables.section(result, verdicts([result])).splitlines()
    [head, *_] = [line for line in lines if line.startswith("| contestant")]
    assert "requests" in head
    assert "records / CPU-s" not in head
    assert "the median of 3 alternating runs" in lines[0]


def test_the_readme_is_told_multiples_of_the_tap() -> None:
    table = summary.by_name([idle_result()])["idle"].splitlines()
    assert table[2] == "| tap-rutter | 42,001 | 10 s | 66 s (32 workers) |"
    assert table[3].startswith("| a script with `requests` that follows the cursor | 39,892 | 10 ")


def test_what_was_not_measured_stays_on_the_page() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    old = page.between(text, "")
    titles = [case.title for case in CASES]
    result = idle_result()
    new = page.part(old, [result], verdicts([result]), titles, None)
    before, after = page.sections(old), page.sections(new)
    assert next(iter(after)) == idle.TITLE
    assert idle.TITLE in before
    assert after.keys() == before.keys()
    changed = {title for title, section in after.items() if section != before[title]}
    assert changed == {idle.TITLE, "The targets"}
    # Of the targets, those of the other cases stay.
    targets = [
        [
            line
            for line in page_of["The targets"].splitlines()
            if not line.startswith(f"| {idle.TITLE}")
        ]
        for page_of in (before, after)
    ]
    assert targets[0] == targets[1]
    assert len(targets[0]) > 2
    # The same once more changes nothing.
    assert page.part(new, [result], verdicts([result]), titles, None) == new


def test_the_documents_have_their_places() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("idle", "one-connection"):
        assert "new" in page.replaced(readme, name, "new")
    with pytest.raises(ValueError, match="no place"):
        page.replaced(readme, "another", "new")


def test_results_are_kept_as_they_are(tmp_path: Path) -> None:
    result = idle_result()
    result.save(tmp_path)
    assert load(tmp_path, ["idle", "fleet"]) == [result]


def test_the_last_state_of_each_kind_is_kept(tmp_path: Path) -> None:
    states = [{"type": "STATE", "value": {"n": number}} for number in (1, 2)]
    records = [{"type": "RECORD", "record": {"type": "STATE"}}]
    lines = [json.dumps(line) for line in (*states, *records)]
    (tmp_path / OUTPUT).write_text("\n".join(lines))
    assert json.loads(keeping.singer(tmp_path).read_text()) == {"n": 2}
    messages = [
        {
            "type": "STATE",
            "state": {
                "type": "STREAM",
                "stream": {"stream_descriptor": {"name": name}, "stream_state": {"n": number}},
                "sourceStats": {"recordCount": 1},
            },
        }
        for number, name in enumerate(("bills", "vendors", "bills"))
    ]
    (tmp_path / OUTPUT).write_text("\n".join(json.dumps(line) for line in messages))
    kept = json.loads(keeping.airbyte(tmp_path).read_text())
    assert [entry["stream"]["stream_state"]["n"] for entry in kept] == [2, 1]
    assert all("sourceStats" not in entry for entry in kept)
    (tmp_path / OUTPUT).write_text("")
    with pytest.raises(RunFailed):
        keeping.singer(tmp_path)


@pytest.mark.longer
def test_the_server_counts_the_requests_of_an_idle_run() -> None:
    """The real thing, with the tap alone: the peers would have to be installed."""
    _, rows = idle.measure(Bench(runs=1, quick=True, timeout=120, contestants=frozenset({"tap"})))
    assert [entry.error for entry in rows] == [None] * len(rows)
    asked = {entry.group: entry.asked for entry in rows if entry.key == idle.REFERENCE}
    assert asked == {idle.group_name(count, 0): 1 + count * (2 + LISTS) for count in (2, 4)}


def test_a_setting_is_measured_once_the_tap_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(runs=1, quick=True, timeout=1, contestants=frozenset({"tap"}))
    for known in (frozenset[str](), frozenset({idle.AFTER_SYNC})):
        monkeypatch.setattr(idle, "settings_known", lambda _, known=known: known)
        given = [dict(asker.settings) for asker in idle.entrants(bench)]
        assert given == [{}, *({name: True} for name in known)]


def test_what_a_request_takes_is_told_beside_what_others_take_for_it() -> None:
    measured = asking.measure(Bench(runs=1, quick=True, timeout=60))
    assert list(measured)[:3] == ["a bare socket", "http.client", "urllib3's pool"]
    assert all(value > 0 for value in measured.values())
    assert "(1.00 of urllib3's pool): urllib3's pool" in asking.as_text(measured)
