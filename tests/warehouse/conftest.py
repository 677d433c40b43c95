"""What the warehouse's tests share: a schema of its own for each test, empty or with bills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.warehouse_schema import Warehouse, bills_of_both, open_warehouse


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    """An empty warehouse."""
    yield from open_warehouse()


@pytest.fixture
def bills(warehouse: Warehouse) -> Warehouse:
    """The same with bills of both connections."""
    return bills_of_both(warehouse)
