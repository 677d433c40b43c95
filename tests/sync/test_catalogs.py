"""Catalogs as people and runners write them: what is selected leaves, whole, with its key."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from support.in_process import sync
from support.singer import Json, catalog_of, discovered

from tap_rutter.simulator import Simulator, World
from tap_rutter.streams import STREAMS, name_of
from tap_rutter.tap import TapRutter

pytestmark = pytest.mark.any_workers

BILLS = "accounting_bills"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    world = World()
    world.add_connection("QUICKBOOKS", counts={"/accounting/bills": 3})
    with Simulator(world) as running:
        yield running


def with_metadata(*parts: Json) -> Json:
    """A catalog of the bills with this metadata and nothing else."""
    catalog = copy.deepcopy(catalog_of(BILLS))
    (entry,) = catalog["streams"]
    entry["metadata"] = list(parts)
    return catalog


def column(name: str, **metadata: Any) -> Json:
    return {"breadcrumb": ["properties", name], "metadata": metadata}


COLUMNS = next(
    entry["schema"]["properties"]
    for entry in discovered()["streams"]
    if entry["tap_stream_id"] == BILLS
)


def read(simulator: Simulator, catalog: Json) -> tuple[list[Json], set[str]]:
    """The records, and the columns that the SCHEMA declares."""
    messages = sync(simulator, catalog=catalog)
    return messages.records[BILLS], set(messages.schemas[BILLS]["schema"]["properties"])


def test_every_column_deselected_and_no_root_leaves_the_key(simulator: Simulator) -> None:
    catalog = with_metadata(*(column(name, selected=False) for name in COLUMNS))
    records, declared = read(simulator, catalog)
    assert declared == {"connection_id", "id"}
    assert len(records) == 3
    assert all(record.keys() == declared and all(record.values()) for record in records)


def test_columns_selected_without_a_root_leave(simulator: Simulator) -> None:
    catalog = with_metadata(
        column("id", inclusion="automatic"),
        column("memo", selected=True),
        column("total_amount", selected=False),
    )
    records, declared = read(simulator, catalog)
    # What the metadata do not name is as selected as the stream.
    assert declared == set(COLUMNS) - {"total_amount"}
    assert len(records) == 3
    assert all("memo" in record and "total_amount" not in record for record in records)


def test_an_entry_under_another_name_is_its_streams(simulator: Simulator) -> None:
    catalog = catalog_of(BILLS)
    for entry in catalog["streams"]:
        entry["stream"] = "bills of ours"
    records, _ = read(simulator, catalog)
    assert len(records) == 3


def test_every_row_on_the_fast_path_has_a_field_beside_its_connection() -> None:
    """The fast path puts a comma between the connection and the row's first field."""
    tap = TapRutter(config={"optional_streams": []}, validate_config=False)
    for stream in STREAMS:
        made = tap.streams.get(name_of(stream))
        if made is not None and made.fast_path is not None:  # type: ignore[attr-defined]
            assert set(stream.primary_keys) - {"connection_id"}, name_of(stream)
