"""Whatever happens to a world between and during runs, a keyed target ends up with its rows.

``SOAK_HISTORIES=5000`` plays more histories than the usual hundred, ``SOAK_FIRST=1000`` others,
``SOAK_SEED=17`` one alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from soak import history

pytestmark = pytest.mark.any_workers

_FIRST = int(os.environ.get("SOAK_FIRST", "0"))
_COUNT = int(os.environ.get("SOAK_HISTORIES", "100"))
_SEED = os.environ.get("SOAK_SEED")
_SHARE = 10
_OFTEN = 40
"""How many are played by ``make test``, too."""


def _shares() -> list[Any]:
    if _SEED is not None:
        return [range(int(_SEED), int(_SEED) + 1)]
    end = _FIRST + _COUNT
    shares = [range(at, min(at + _SHARE, end)) for at in range(_FIRST, end, _SHARE)]
    if "SOAK_HISTORIES" in os.environ:
        return shares
    return [
        share if share.start < _OFTEN else pytest.param(share, marks=pytest.mark.longer)
        for share in shares
    ]


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Errors only: most of what a thousand runs have to say is of no use here."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("seeds", _shares(), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_the_target_ends_up_with_the_rows_of_the_world(seeds: range) -> None:
    for seed in seeds:
        history.play(seed)
