"""The README's table of features: nothing is claimed that no test shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

SHOWN_BY = {
    "Incremental sync": [
        "tests/end_to_end/test_landing.py::test_a_run_after_changes_lands_exactly_them"
    ],
    "Deletes": [
        "tests/end_to_end/test_landing.py::test_deleted_objects_tell_of_the_deletions_that_rutter_tells_of",
        "tests/warehouse/test_deletions.py::test_a_deleted_row_is_kept_with_its_values_and_marked",
        "tests/warehouse/test_reconcile.py::test_a_row_is_marked_after_a_second_full_read_without_it",
    ],
    "History": [
        "tests/end_to_end/test_landing.py::test_the_first_run_lands_the_world",
        "tests/sync/test_late_data.py::test_history_that_grows_is_read_again_once",
    ],
    "Re-sync": [
        "tests/sync/test_resync.py::test_a_full_table_stream_is_read_whole_and_its_bookmark_set_anew",
        "tests/sync/test_resync.py::test_connections_are_read_again_and_the_others_keep_their_entries",
    ],
    "Selection": [
        "tests/end_to_end/test_first_steps.py::test_the_page_shows_what_happens",
        "tests/sync/test_catalogs.py::test_columns_selected_without_a_root_leave",
    ],
    "Hashing": ["tests/sync/test_maps.py::test_the_usual_map_takes_rows_that_lack_the_field"],
    "Custom data": [
        "tests/sync/test_snapshots.py::test_custom_fields_of_every_type_of_entity_whatever_the_wire_calls_it",
        "tests/sync/test_expand.py::test_platform_data_that_were_given_once_are_not_what_a_later_400_is_about",
    ],
    "Schema changes": [
        "tests/sync/test_nasty_data.py::test_it_happens_as_the_page_says",
        "tests/sync/test_versions.py::test_a_key_is_never_null_and_all_else_may_be",
    ],
    "Exact amounts": ["tests/sync/test_nasty_data.py::test_it_happens_as_the_page_says"],
    "Many connections": [
        "tests/end_to_end/test_landing.py::test_the_key_is_composite_and_its_first_column_is_the_connection",
        "tests/sync/test_fault_matrix.py::test_what_does_not_pass_fails_its_partition_alone",
    ],
    "Idle runs": ["tests/sync/test_only_after_sync.py::test_an_idle_connection_costs_one_request"],
    "Within seconds": [
        "tests/fleet/test_fleet_harm.py::test_whatever_is_killed_landed_equals_the_world",
        "tests/fleet/test_fleet_demo.py::test_the_demo_shows_what_it_says",
    ],
    "Completeness": [
        "tests/end_to_end/test_landing.py::test_the_report_counts_what_was_delivered",
        "tests/end_to_end/test_landing.py::test_the_report_names_the_connections_that_were_not_read",
    ],
    "dbt": [
        "tests/dbt/test_dbt_build.py::test_every_model_is_built_and_every_test_passes_or_only_warns"
    ],
    "A simulator": ["tests/simulator/test_control.py::test_every_example_of_the_page_works"],
}


def features() -> dict[str, str]:
    """The table: what you get, by feature."""
    section = README.partition("\n## Features\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    return dict(rows[2:])


def test_every_feature_names_its_tests() -> None:
    assert features().keys() == SHOWN_BY.keys()


@pytest.mark.parametrize("feature", SHOWN_BY)
def test_a_feature_is_explained_and_tested(feature: str) -> None:
    assert "](" in features()[feature]
    for test in SHOWN_BY[feature]:
        file, _, function = test.partition("::")
        assert f"\ndef {function}(" in (ROOT / file).read_text(encoding="utf-8"), test
