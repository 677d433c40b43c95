"""What tests of the project's own files share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.openapi import ROOT, Workshop


@pytest.fixture(scope="module", name="tool")
def _tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("update_openapi")


@pytest.fixture(name="workshop")
def _workshop(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Workshop:
    return Workshop(tool, tmp_path, capsys)
