"""Reports of partitions that are over are kept as figures, and tell what they told before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_rutter.api.request import Counts
from tap_rutter.errors import MapFailed, PartitionFailed
from tap_rutter.sync.partition_report import PartitionReport, PartitionReports
from tap_rutter.sync.report import Report

NOW = 1_706_702_400_000
times = st.integers(-NOW, 2 * NOW)
counts = st.integers(0, 2**32 - 1)


@st.composite
def complete(draw: st.DrawFn) -> PartitionReport:
    entry = PartitionReport(draw(st.sampled_from("abc")), draw(st.sampled_from("xyz")), draw(times))
    entry.rows, entry.pages = draw(st.integers(0, 2**63 - 1)), draw(counts)
    entry.counts = Counts(draw(counts), draw(counts))
    entry.full_read = draw(st.booleans())
    entry.window_start, entry.window_end = draw(st.none() | times), draw(st.none() | times)
    entry.source_synced_ms = draw(st.none() | times)
    entry.source_count = draw(st.none() | st.integers(-(2**63) + 1, 2**63 - 1))
    entry.complete(draw(times))
    return entry


@given(st.lists(complete(), max_size=5))
def test_what_is_over_tells_what_it_told(entries: list[PartitionReport]) -> None:
    kept = PartitionReports()
    for entry in entries:
        kept.add(entry)
        kept.close_last(entry)
    assert list(kept) == entries
    assert list(kept.told_in_words()) == []
    assert [kept[index] for index in range(len(kept))] == entries


def partial(entry: PartitionReport) -> None:
    entry.partial = "rows are missing"
    entry.complete(NOW)


def repaired(entry: PartitionReport) -> None:
    entry.repairs.repaired_values += 1
    entry.complete(NOW)


def unmapped(entry: PartitionReport) -> None:
    entry.unmapped = MapFailed("x", "column", "said")
    entry.complete(NOW)


@pytest.mark.parametrize(
    "end",
    [
        partial,
        repaired,
        unmapped,
        lambda entry: entry.skip("unavailable", NOW),
        lambda entry: entry.fail(PartitionFailed("no", reason="refused", code="C"), NOW),
        lambda _: None,
    ],
    ids=["partial", "repaired", "unmapped", "skipped", "failed", "interrupted"],
)
def test_what_has_more_to_tell_than_figures_is_kept_whole(
    end: Callable[[PartitionReport], None],
) -> None:
    report = Report("2024-08-31", NOW)
    entry = report.partition("c", "x", NOW)
    end(entry)
    (before,) = report.rows()
    report.close(entry)
    assert list(report.rows()) == [before]


def test_news_are_told_once_and_in_order_whether_they_are_over_or_not() -> None:
    report = Report("2024-08-31", NOW)
    for stream in "xyz":
        entry = report.partition("c", stream, NOW)
        entry.complete(NOW + 1)
        report.close(entry)
    folded = report.partition("c", "folded", NOW)
    folded.skip("unavailable", NOW)
    report.fold(folded)
    report.close(folded)
    assert [row["stream"] for row in report.news(all_of_it=False)] == ["x", "y", "z"]
    begun = report.partition("c", "begun", NOW)
    assert list(report.news(all_of_it=False)) == []
    begun.complete(NOW + 2)
    report.close(begun)
    report.partition("d", "interrupted", NOW)
    assert [row["stream"] for row in report.news(all_of_it=False)] == ["begun"]
    assert [row["stream"] for row in report.news(all_of_it=True)] == ["interrupted", "*"]
