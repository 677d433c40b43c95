"""A broker that answers must have been tried; `.ci/run` asks the script."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
_CASE = (
    '<testcase classname="tests.fleet.test_doorbells" name="test_a_bell[{name}]">{inner}</testcase>'
)


@pytest.fixture(name="script")
def _script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("check_brokers")


def report(folder: Path, **inner: str) -> Path:
    cases = "".join(_CASE.format(name=name, inner=text) for name, text in inner.items())
    path = folder / "report.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("inner", "answering", "wrong"),
    [
        ({"RabbitMQ": "", "Redis": ""}, {"RabbitMQ", "Redis"}, []),
        ({"RabbitMQ": "<skipped/>", "Redis": ""}, {"RabbitMQ", "Redis"}, ["RabbitMQ"]),
        ({"RabbitMQ": "<skipped/>", "Redis": ""}, {"Redis"}, []),
        ({}, {"Redis"}, ["Redis"]),
        ({}, set(), []),
    ],
)
def test_what_answers_and_was_not_tried_is_said(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    inner: dict[str, str],
    answering: set[str],
    wrong: list[str],
) -> None:
    from support import brokers

    names = {url: name for name, url in brokers.BROKERS.items()}
    monkeypatch.setattr(brokers, "answers", lambda url: names[url] in answering)
    assert script.main([report(tmp_path, **inner)]) == bool(wrong)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{name} answers, but its tests did not run." for name in wrong]
