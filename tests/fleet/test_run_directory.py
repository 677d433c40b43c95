"""The directory of a run: for its owner alone, and gone after it, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tap_rutter.fleet.runs import files as files_of
from tap_rutter.fleet.runs import remove_leftovers
from tap_rutter.fleet.runs.files import RunDirectory


def test_a_runs_files_are_for_its_owner_alone_and_go_with_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with RunDirectory(str(tmp_path)) as directory:
            path = Path(directory.write("settings.json", {"client_secret": "s"}))
            assert json.loads(path.read_text(encoding="utf-8")) == {"client_secret": "s"}
            assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_looks_after_is_removed_and_nothing_else(tmp_path: Path) -> None:
    lost = tmp_path / "rutter-run-lost"
    lost.mkdir()
    (lost / "lock").touch()
    (lost / "connections.json").write_text("tokens", encoding="utf-8")
    other = tmp_path / "somebody-elses"
    other.mkdir()
    with RunDirectory(str(tmp_path)) as directory:
        assert remove_leftovers(str(tmp_path)) == 1
        assert directory.path.is_dir()
        assert not lost.exists()
        assert other.exists()


def test_what_was_half_made_or_half_removed_is_removed(tmp_path: Path) -> None:
    """A worker may be killed at any moment, and the lock may have gone before the tokens."""
    (tmp_path / "rutter-run-made").mkdir()
    (tmp_path / "rutter-run-removed").mkdir()
    (tmp_path / "rutter-run-removed" / "connections.json").write_text("tokens", encoding="utf-8")
    assert remove_leftovers(str(tmp_path)) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_another_directory_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "rutter-run-link").symlink_to(elsewhere)
    assert remove_leftovers(str(tmp_path)) == 0
    assert list(elsewhere.iterdir()) == []


def test_a_directory_that_is_removed_before_it_has_a_lock_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files_of._lock_of
    removed: list[int] = []

    def lock_of(directory: Path) -> int:
        if not removed:
            monkeypatch.setattr(files_of, "_lock_of", real)
            removed.append(remove_leftovers(str(tmp_path)))
        return real(directory)

    monkeypatch.setattr(files_of, "_lock_of", lock_of)
    with RunDirectory(str(tmp_path)) as directory:
        assert removed == [1]
        assert directory.path.is_dir()


def test_a_directory_that_was_taken_for_a_leftover_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    taken: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not taken:  # between the making of the directory and its lock
            taken.append(remove_leftovers_by(real))
        real(descriptor, how)

    def remove_leftovers_by(lock: Any) -> int:
        monkeypatch.setattr(fcntl, "flock", lock)
        return remove_leftovers(str(tmp_path))

    monkeypatch.setattr(fcntl, "flock", flock)
    with RunDirectory(str(tmp_path)) as directory:
        assert taken == [1]
        assert directory.path.is_dir()
